"""Damage sound stores at random, and count what verify and the reader do not find.

::

    python -m tests.campaign damages --count 1000 --seed 1
    python -m tests.campaign damages --seed 1 --only 137

A damage is *found* when ``softlab verify --in`` tells a defect or refuses the store.
What it does not find must be *harmless*: everything that the reader returns of every
case is what it was. All else is *missed*. It is *read wrong* when the reader returns
something else than before without an error, and *crashed* when anything but an error
of softlab is raised.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import SoftlabError
from softlab_cli.report.soundness import check_store
from tests.campaign.faults import FAULTS
from tests.campaign.stores import Sound, make_stores, quiet, read_everything

__all__ = ["Outcome", "damage", "main"]

WEIGHTS = {"flip shard": 4, "flip metadata": 4, "edit entry": 6, "overwrite bytes": 2}
"""How often a fault is drawn, where it is more than once."""

NOT_TOLD = {"foreign case"}
"""Faults that the reader cannot know of; verify finds them by the sources of the case."""


@dataclass(frozen=True)
class Outcome:
    """What came of one damage.

    Parameters
    ----------
    number
        Number of the damage.
    fault, what
        Name of the fault, and what it did to which kind of store.
    found, quick, on_read
        Whether verify found it, verify --quick, and the reader.
    harmless
        Whether the reader returned of every case what it had returned before.
    wrong
        Whether it returned something else of a case, without an error.
    crash
        The traceback of what is no error of softlab.
    """

    number: int
    fault: str
    what: str
    found: bool = False
    quick: bool = False
    on_read: bool = False
    harmless: bool = False
    wrong: bool = False
    crash: str = ""

    @property
    def missed(self) -> bool:
        """Whether verify did not find what changed something."""
        return not self.found and not self.harmless and not self.crash

    @property
    def failed(self) -> bool:
        """Whether it should not have ended so."""
        return self.missed or bool(self.crash) or (self.wrong and self.fault not in NOT_TOLD)


def damage(folder: Path, numbers: range, seed: int) -> Iterator[Outcome]:
    """Do the damages of these numbers, each to a fresh copy of a sound store.

    Parameters
    ----------
    folder
        An empty folder.
    numbers
        Numbers of the damages.
    seed
        Seed of the campaign.
    """
    stores = make_stores(folder / "sound")
    before = {name: read_everything(sound.path) for name, sound in stores.items()}
    for number in numbers:
        chance = random.Random(f"{seed} {number}")
        name = chance.choice(sorted(stores))
        copy = folder / "damaged"
        fault = what = ""
        while not what:
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(stores[name].path, copy)
            fault = chance.choices(list(FAULTS), [WEIGHTS.get(f, 1) for f in FAULTS])[0]
            what = FAULTS[fault](copy, stores[name], chance)
        what = f"{name}: {what}".replace(f"{folder}/", "")
        with quiet():
            yield _judge(copy, stores[name], before[name], number, fault, what)


def _judge(
    path: Path, sound: Sound, before: dict[str, Any], number: int, fault: str, what: str
) -> Outcome:
    try:
        found = _is_found(path, sound, quick=False)
        quick = _is_found(path, sound, quick=True)
        try:
            after = read_everything(path)
        except SoftlabError:
            return Outcome(number, fault, what, found, quick, on_read=True)
    # Whatever else is raised is what the campaign looks for.
    except Exception:
        return Outcome(number, fault, what, crash=traceback.format_exc())
    errors = any(isinstance(case, SoftlabError) for case in after.values())
    wrong = any(
        not isinstance(case, SoftlabError) and case != before.get(case_id)
        for case_id, case in after.items()
    )
    return Outcome(number, fault, what, found, quick, errors, after == before, wrong)


def _is_found(path: Path, sound: Sound, *, quick: bool) -> bool:
    try:
        defects = check_store(path, inputs=sound.inputs, quick=quick)
    except SoftlabError:
        return True
    return any(d.severity == "defect" for d in defects)


def table(outcomes: list[Outcome]) -> Iterator[str]:
    """Counts by fault, and every damage that should not be."""
    columns = ("found", "quick", "on_read", "harmless", "missed", "wrong", "crash")
    titles = ("verify", "--quick", "reader", "harmless", "missed", "read wrong", "crashed")
    yield f"{'fault':<24}{'count':>7}" + "".join(f"{title:>12}" for title in titles)
    counts: dict[str, Counter[str]] = {}
    for outcome in outcomes:
        for row in (outcome.fault, "all"):
            count = counts.setdefault(row, Counter())
            count["count"] += 1
            count.update({column: bool(getattr(outcome, column)) for column in columns})
    rows = [*sorted(row for row in counts if row != "all"), "all"]
    for row in rows:
        cells = "".join(f"{counts[row][column]:>12}" for column in columns)
        yield f"{row:<24}{counts[row]['count']:>7}{cells}"
    for outcome in outcomes:
        if outcome.failed:
            kinds = [k for k in ("missed", "wrong", "crash") if getattr(outcome, k)]
            yield f"{' and '.join(kinds)}: --only {outcome.number}: {outcome.what}"
            yield outcome.crash


def main(arguments: list[str]) -> int:
    """Run the campaign; 1 when a damage was missed, read wrong, or crashed something."""
    parser = argparse.ArgumentParser(prog="damages", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="do the damage of this number alone")
    given = parser.parse_args(arguments)
    only = given.only
    numbers = range(given.count) if only is None else range(only, only + 1)
    with tempfile.TemporaryDirectory() as name:
        outcomes = list(damage(Path(name), numbers, given.seed))
    print(f"{len(outcomes)} damages, seed {given.seed}")
    print("\n".join(table(outcomes)))
    if only is not None:
        print(outcomes[0])
    return int(any(outcome.failed for outcome in outcomes))
