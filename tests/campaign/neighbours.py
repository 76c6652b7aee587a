"""Neighbours: several commands at work on one store at the same time.

The same cases by two runs, the parts of one run, a reader beside ``--overwrite``, and
``verify`` during a write. None may fail for the others' sake, except a reader whose
store is taken away, which says so; and the store must be as if one run had made it.
"""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.campaign.runs import (
    begin,
    command,
    content,
    differences,
    end_of,
    make_inputs,
    partials,
    softlab,
)
from tests.campaign.trials import Trial, campaign

METHODS = ("svls", "mha", "msvls", "labels-only")


def same_cases(folder: Path, method: str, chance: random.Random) -> str:
    """Two runs do all cases at once."""
    return all_succeed(folder, [command(method, "shared")] * 2, chance)


def parts(folder: Path, method: str, chance: random.Random) -> str:
    """Three parts of a run at once; the first makes the store."""
    every = [command(method, "shared", "--part", f"{i}/3") for i in (1, 2, 3)]
    return all_succeed(folder, every, chance)


def verify_during_write(folder: Path, method: str, chance: random.Random) -> str:
    """A store is checked again and again while it is written."""
    writer = begin(folder, command(method, "shared", "--workers", "2"))
    fault = ""
    while writer.poll() is None and not fault:
        if (folder / "shared" / "zarr.json").exists():
            status, printed = softlab(folder, ["verify", "shared", "--no-sources"])
            fault = printed if status else ""
        time.sleep(chance.uniform(0, 0.2))
    status, printed = end_of(writer)
    return fault or (printed if status else "")


def overwrite_beside_reader(folder: Path, method: str, chance: random.Random) -> str:
    """A store is replaced while it is read; the reader may find cases missing, and says so."""
    softlab(folder, command(method, "shared"))
    writer = begin(folder, command(method, "shared", "--overwrite"))
    fault = ""
    while writer.poll() is None and not fault:
        exported = folder / "exported"
        shutil.rmtree(exported, ignore_errors=True)
        status, printed = softlab(folder, ["export", "shared", "--to", "npz", "--out", "exported"])
        if "Traceback" in printed or (status and "error: " not in printed):
            fault = printed
        time.sleep(chance.uniform(0, 0.2))
    status, printed = end_of(writer)
    return fault or (printed if status else "")


KINDS: dict[str, Callable[[Path, str, random.Random], str]] = {
    "same cases": same_cases,
    "parts": parts,
    "verify during a write": verify_during_write,
    "overwrite beside a reader": overwrite_beside_reader,
}


def all_succeed(folder: Path, commands: Sequence[Sequence[str]], chance: random.Random) -> str:
    """Begin commands a little apart; what is wrong with one that failed."""
    running = []
    for arguments in commands:
        running.append(begin(folder, arguments))
        time.sleep(chance.uniform(0, 0.5))
    ends = [end_of(process) for process in running]
    return next((printed for status, printed in ends if status), "")


def try_neighbours(folder: Path, count: int, seed: int) -> Iterator[Trial]:
    """Trials with the seeds from one on."""
    make_inputs(folder)
    expected: dict[str, dict[str, bytes]] = {}
    for number in range(seed, seed + count):
        chance = random.Random(number)
        kind, method = chance.choice(list(KINDS)), chance.choice(METHODS)
        if method not in expected:
            softlab(folder, command(method, f"alone-{method}"))
            expected[method] = content(folder / f"alone-{method}")
        shutil.rmtree(folder / "shared", ignore_errors=True)
        fault = KINDS[kind](folder, method, chance)
        fault = fault or differences(content(folder / "shared"), expected[method])
        fault = fault or ", ".join(partials(folder / "shared"))
        yield Trial(kind, number, fault and f"{method}: {fault[-1500:]}")


def main(arguments: Sequence[str]) -> int:
    """Run the campaign."""
    return campaign(arguments, try_neighbours, name="neighbours", count=40)
