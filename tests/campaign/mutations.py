"""Mutations: inputs of every reader with damaged bytes, headers that lie, and odd words.

Each input is read twice in a process of its own kind, with little memory: it must be
refused in one line or read the same both times, and where a checksum protects what was
changed, as it was. Then many of them are the cases of one run, which must name those
that it cannot do and do the others.
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from softlab_cli.running.executors import ProcessExecutor, WorkerDied
from tests.campaign.changes import CHANGES
from tests.campaign.mutants import Reading, read_twice
from tests.campaign.runs import softlab
from tests.campaign.specimens import Specimen, make_specimens, unpacked

PATIENCE_SECONDS = 60.0
CASES_OF_A_RUN = 120
BAD_WORDS = ("Traceback", "unforeseen", "Fatal Python error")
CASE = "case_{:06d}"


@dataclass(frozen=True)
class Mutation:
    """A changed input, and what came of it.

    Parameters
    ----------
    seed
        Makes it again.
    kind
        Of the input.
    change
        What was done, to which file.
    is_protected
        Whether a checksum covers all that was changed.
    outcome
        ``refused``, ``same`` (read as before) or ``other`` (read, with other values).
    fault
        What is wrong with that; empty when nothing is.
    said
        Why it was refused.
    """

    seed: int
    kind: str
    change: str
    folder: Path
    is_protected: bool = False
    outcome: str = ""
    fault: str = ""
    said: str = ""


def mutate(specimen: Specimen, seed: int, folder: Path) -> Mutation:
    """Write a changed copy of a specimen into a folder."""
    chance = random.Random(seed)
    shutil.copytree(specimen.folder, folder)
    name = chance.choice(sorted(specimen.changed))
    content = (folder / name).read_bytes()
    protected = specimen.changed[name]
    pack = None
    if content.startswith(b"\x1f\x8b") and chance.random() < 0.6:
        content, pack = unpacked(content)
        protected = None
    change = chance.choice(list(CHANGES))
    changed = CHANGES[change](content, chance)
    first = next(
        (i for i, (a, b) in enumerate(zip(content, changed, strict=False)) if a != b), None
    )
    begins = min(len(content), len(changed)) if first is None else first
    (folder / name).write_bytes(pack(changed) if pack else changed)
    is_protected = protected is not None and begins >= protected
    said = f"{change} of {name}" + (", packed again" if pack else "")
    return Mutation(seed, specimen.kind, said, folder, is_protected)


def try_mutations(
    folder: Path, seeds: Sequence[int], kinds: Sequence[str] = ()
) -> Iterator[Mutation]:
    """Mutations with these seeds, as they were read, and what was wrong in runs with them."""
    specimens = make_specimens(folder / "specimens")
    chosen = [specimens[kind] for kind in kinds] or list(specimens.values())
    before = {s.kind: _expect(s) for s in chosen}
    executor = ProcessExecutor(2, PATIENCE_SECONDS, keep=True)
    for start in range(0, len(seeds), CASES_OF_A_RUN):
        place = folder / "mutants"
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        made = {}
        for seed in seeds[start : start + CASES_OF_A_RUN]:
            specimen = chosen[seed % len(chosen)]
            made[seed] = mutate(specimen, seed, place / CASE.format(seed)), specimen
        tasks = [Reading(s, m.seed, m.folder) for m, s in made.values()]
        done = {
            task.seed: judge(made[task.seed][0], result, before[task.specimen.kind])
            for task, result in executor.run(read_twice, tasks)
        }
        faults = run_all(place, [(done[seed], s) for seed, (_, s) in made.items()], start)
        for seed in made:
            fault = done[seed].fault or faults.pop(seed, "")
            yield replace(done[seed], fault=fault)
        for seed, fault in faults.items():
            yield Mutation(seed, "run", "a run with these cases", place, outcome="run", fault=fault)


def _expect(specimen: Specimen) -> Any:
    """What the unchanged specimen gives."""
    found = read_twice(Reading(specimen, 0, specimen.folder))
    assert found[0] == "read", (specimen.kind, found)
    return found[1]


def judge(mutation: Mutation, result: Any, before: Any) -> Mutation:
    """What came of it."""
    if isinstance(result, WorkerDied):
        return replace(mutation, outcome="crash", fault=result.reason)
    outcome, found = result
    if outcome == "fault":
        return replace(mutation, outcome="fault", fault=found)
    if outcome == "refused":
        return replace(mutation, outcome="refused", said=found)
    is_same = found == before
    wrong = "" if is_same or not mutation.is_protected else "other values in spite of a checksum"
    return replace(mutation, outcome="same" if is_same else "other", fault=wrong)


def run_all(place: Path, cases: Sequence[tuple[Mutation, Specimen]], start: int) -> dict[int, str]:
    """Run the command line over all cases; faults by seed, those of the run under -1."""
    chance = random.Random(start)
    listed = [(m, s) for m, s in cases if s.how in ("plain", "object")]
    with open(place / "cases.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "label", "image"])
        for mutation, specimen in listed:
            inside = CASE.format(mutation.seed)
            image = f"{inside}/{specimen.images}" if specimen.images else ""
            writer.writerow([inside, f"{inside}/{specimen.entry}", image])
    out = place / "out.zarr"
    options = [
        "onehot", "--in", "cases.csv", "--out", out.name, "--workers", str(chance.choice([1, 2])),
        "--max-memory", "3G", "--threads", "1", "--no-sync", "--case-timeout", "60",
        "--on-overlap", "highest", "--threshold", "0.5", "--image-like", "ok",
    ]  # fmt: skip
    if chance.random() < 0.7:
        options += ["--labels", "0-9"]
    status, printed = softlab(place, options)
    return {**_faults_of_run(out, status, printed), **_faults_of_cases(out, printed, listed)}


def _faults_of_run(out: Path, status: int, printed: str) -> dict[int, str]:
    bad = next((word for word in BAD_WORDS if word in printed), "")
    if bad:
        at = printed.index(bad)
        return {-1: printed[max(0, at - 300) : at + 1500]}
    if status not in (0, 1):
        return {-1: f"exit status {status}: {printed[-1500:]}"}
    failed = "failed: " in printed
    if bool(status) != failed and (out / "zarr.json").exists():
        return {-1: f"exit status {status}, and failed cases: {failed}"}
    return {}


def _faults_of_cases(
    out: Path, printed: str, listed: Sequence[tuple[Mutation, Specimen]]
) -> dict[int, str]:
    """Cases that are neither done nor named as failed, or done though they cannot be read."""
    if not (out / "zarr.json").exists():
        return {}
    faults = {}
    named = set(re.findall(r"failed: (case_\d+)", printed))
    for mutation, _ in listed:
        inside = CASE.format(mutation.seed)
        done = (out / inside).exists()
        if done == (inside in named):
            faults[mutation.seed] = f"in a run: done {done}, named as failed {inside in named}"
        if done and mutation.outcome == "refused":
            faults[mutation.seed] = f"done in a run, and refused when read alone: {mutation.said}"
    return faults


def table(mutations: Sequence[Mutation]) -> Iterator[str]:
    """Counts by kind of input, and every fault."""
    columns = ("refused", "same", "other", "crash")
    yield (
        f"{'input':<16}{'count':>7}" + "".join(f"{name:>9}" for name in columns) + f"{'faults':>9}"
    )
    for kind in [*sorted({m.kind for m in mutations}), "all"]:
        rows = [m for m in mutations if kind in (m.kind, "all")]
        counts = Counter(m.outcome for m in rows)
        faults = sum(bool(m.fault) for m in rows)
        cells = "".join(f"{counts[name]:>9}" for name in columns)
        yield f"{kind:<16}{len(rows):>9}{cells}{faults:>9}"


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when anything was wrong."""
    parser = argparse.ArgumentParser(prog="mutations", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", default=[], help="this kind of input only")
    parser.add_argument("--keep", type=Path, help="work here, and leave what was made")
    given = parser.parse_args(arguments)
    started, mutations = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="mutations-") as temporary:
        folder = given.keep or Path(temporary)
        seeds = range(given.seed, given.seed + given.count)
        for mutation in try_mutations(folder, seeds, given.kind):
            mutations.append(mutation)
            if mutation.fault:
                print(f"seed {mutation.seed}: {mutation.kind}: {mutation.change}: {mutation.fault}",
                      flush=True)  # fmt: skip
    print(f"{given.count} mutations from seed {given.seed}")
    print("\n".join(table(mutations)))
    print(f"{time.perf_counter() - started:.0f} s")
    return int(any(mutation.fault for mutation in mutations))
