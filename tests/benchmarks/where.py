"""Where the time of a run goes, by the rooms and modules of softlab.

``python -m tests.benchmarks.where -- svls --in labels/ --out soft.zarr --workers 1 --threads 1``
runs a command, looks about every millisecond where it is, and prints the share of each part.
Whatever libraries do (numpy, zlib, files) counts to the module of softlab that asked for it, a
compiled kernel to the module that started it, imports and the loading of kernels to the start.
One process with one thread is looked at. Shares are of time that passed: on a busy machine the
times are longer, and the shares much the same.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from .report import number, table

PACKAGE = Path(__file__).resolve().parents[2] / "softlab_cli"
INSIDE = f"{PACKAGE}/"
START = "start (imports, loading of kernels)"
OTHER = "before and after"
LOADING = ("<frozen importlib", "/numba/", "/llvmlite/")
SECONDS = 0.001
MODULES = 15


class Sampler:
    """Looks where the thread that made it is, again and again."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._watched = threading.get_ident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        before = time.perf_counter()
        while not self._ended.wait(SECONDS):
            place = place_of(sys._current_frames().get(self._watched))
            now = time.perf_counter()
            self.seconds[place] = self.seconds.get(place, 0.0) + now - before
            before = now


def place_of(frame: FrameType | None) -> str:
    """The innermost module of softlab, ``room/module``; the start while something is imported."""
    found = OTHER
    while frame is not None:
        name = frame.f_code.co_filename
        if any(part in name for part in LOADING):
            return START
        if found == OTHER and name.startswith(INSIDE):
            found = name.removeprefix(INSIDE).removesuffix(".py")
        frame = frame.f_back
    return found


def shares(seconds: dict[str, float], most: int) -> list[list[str]]:
    """Rows of a table, the largest share first."""
    total = sum(seconds.values())
    ordered = sorted(seconds.items(), key=lambda pair: -pair[1])[:most]
    return [[part, number(100 * spent / total)] for part, spent in ordered]


def watch(command: Sequence[str]) -> dict[str, float]:
    """Module to seconds of a command of softlab.

    Raises
    ------
    SystemExit
        When the command fails.
    """
    with Sampler() as sampler:
        from softlab_cli.cli.main import cli

        try:
            cli.main(list(command), standalone_mode=False)
        except (SystemExit, click.exceptions.Exit) as end:
            if getattr(end, "code", getattr(end, "exit_code", 0)):
                raise SystemExit(1) from end
    return sampler.seconds


def main() -> None:
    """Print where the time of a command goes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--modules", type=int, default=MODULES, help="rows of the second table")
    parser.add_argument("command", nargs="+", help="what is typed after softlab")
    arguments = parser.parse_args()
    by_module = watch(arguments.command)
    by_room: dict[str, float] = {}
    for module, seconds in by_module.items():
        room = module.split("/")[0]
        by_room[room] = by_room.get(room, 0.0) + seconds
    print(f"{sum(by_module.values()):.2f} s\n")
    print(table(["room", "% of the time"], shares(by_room, len(by_room))) + "\n")
    print(table(["module", "% of the time"], shares(by_module, arguments.modules)))


if __name__ == "__main__":
    main()
