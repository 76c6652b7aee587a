"""A share of the campaign of mutations: nothing is raised but refusals, and nothing read twice."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from softlab_cli.running.executors import WorkerDied
from tests.campaign.changes import CHANGES
from tests.campaign.mutants import Reading, read_twice
from tests.campaign.mutations import Mutation, judge, mutate, table
from tests.campaign.specimens import make_specimens


def test_mutations_of_every_kind(tmp_path: Path) -> None:
    specimens = list(make_specimens(tmp_path / "specimens").values())
    before = {s.kind: read_twice(Reading(s, 0, s.folder))[1] for s in specimens}
    judged = []
    for seed in range(2 * len(specimens)):
        specimen = specimens[seed % len(specimens)]
        mutation = mutate(specimen, seed, tmp_path / str(seed))
        result = read_twice(Reading(specimen, 0, mutation.folder))
        judged.append(judge(mutation, result, before[specimen.kind]))
    faults = [f"{m.seed}: {m.kind}: {m.change}: {m.fault}" for m in judged if m.fault]
    assert not faults, "\n".join(faults)
    counts = Counter(m.outcome for m in judged)
    assert counts["refused"] > 15, "mutations should damage something"
    assert counts["same"] + counts["other"] > 10


@pytest.mark.parametrize("change", CHANGES)
def test_changes_follow_from_the_seed_and_change_something(change: str) -> None:
    content = b"NRRD0004\ntype: uchar\nsizes: 3 4 5\n" + bytes(range(200)) * 4
    made = [CHANGES[change](content, random.Random(seed)) for seed in range(20)]
    assert made == [CHANGES[change](content, random.Random(seed)) for seed in range(20)]
    assert sum(changed != content for changed in made) > 10


MUTATION = Mutation(7, "mha", "flip of a.mha", Path("m"))


@pytest.mark.parametrize(
    ("result", "protected", "outcome", "is_fault"),
    [
        (("refused", "no"), True, "refused", False),
        (("read", 1), True, "same", False),
        (("read", 2), False, "other", False),
        (("read", 2), True, "other", True),
        (("fault", "Traceback"), False, "fault", True),
        (WorkerDied("crashed"), False, "crash", True),
    ],
)
def test_what_is_a_fault(result, protected, outcome, is_fault) -> None:
    mutation = Mutation(7, "mha", "flip of a.mha", Path("m"), protected)
    judged = judge(mutation, result, 1)
    assert judged.outcome == outcome
    assert bool(judged.fault) is is_fault
    assert "1" in next(line for line in table([judged]) if line.startswith("all"))
