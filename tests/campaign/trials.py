"""Trials of a campaign: what was tried, with which seed, and what went wrong."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Trial", "campaign"]


@dataclass(frozen=True)
class Trial:
    """One trial.

    Parameters
    ----------
    kind
        What was tried, as the table counts it.
    seed
        Repeats it: ``--count 1 --seed``.
    fault
        What went wrong; empty when nothing did.
    """

    kind: str
    seed: int
    fault: str = ""


def campaign(
    arguments: Sequence[str],
    run: Callable[[Path, int, int], Iterable[Trial]],
    *,
    name: str,
    count: int,
) -> int:
    """Run trials, print a table and every fault, and return the exit status.

    Parameters
    ----------
    arguments
        ``--count N --seed S --keep FOLDER``.
    run
        Makes trials in a folder, from a number of trials and the first seed.
    name
        The campaign.
    count
        Trials by default.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.campaign {name}")
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="work here, and leave what was made")
    chosen = parser.parse_args(arguments)
    started, trials = time.perf_counter(), []
    with tempfile.TemporaryDirectory(prefix="campaign-", ignore_cleanup_errors=True) as temporary:
        folder = chosen.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for trial in run(folder, chosen.count, chosen.seed):
                trials.append(trial)
                if trial.fault:
                    print(f"seed {trial.seed}: {trial.kind}: {trial.fault}", flush=True)
                elif sys.stderr.isatty():
                    print(f"\r{len(trials)}", end="", file=sys.stderr)
        except KeyboardInterrupt:  # what was tried by then counts
            print(f"interrupted after {len(trials)} of {chosen.count}")
    print(table(trials))
    print(f"{time.perf_counter() - started:.0f} s")
    return 1 if any(trial.fault for trial in trials) else 0


def table(trials: Sequence[Trial]) -> str:
    """How many trials of each kind there were, and how many went wrong."""
    every = Counter(trial.kind for trial in trials)
    wrong = Counter(trial.kind for trial in trials if trial.fault)
    width = max(map(len, [*every, "all"]))
    lines = [f"{'':<{width}}  trials  faults"]
    lines += [f"{kind:<{width}}  {every[kind]:>6}  {wrong[kind]:>6}" for kind in sorted(every)]
    return "\n".join([*lines, f"{'all':<{width}}  {len(trials):>6}  {sum(wrong.values()):>6}"])
