"""``python -m tests.benchmarks``: run the benchmarks and print the tables."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from .report import environment
from .tables import OUT, TABLES

NEEDED = ("softlab_cli", "torch", "scipy", "tensorstore", "SimpleITK")

INTRODUCTION = """\
Every program is run as a process of its own; seconds and peak resident memory are the
operating system's (`wait4`). softlab and a peer are run in turns (A B A B), after one round
that does not count, except where there is one run only. The figures are medians. Each process
is pinned to one core and told to use one thread, unless said otherwise.

- *process s*: from start to end of the process, imports included.
- *job s*: without start and imports, as the program itself reports it. For softlab it is what
  `--log-json` says of the second of two like cases in one run: reading, checksum of the
  source, softening, statistics, writing both arrays. The peers do a tiny volume before their
  clock starts.
- *times softlab's*: above 1, softlab is faster. The ratio is to softlab's runs in turns with
  that peer.
- *only writing* and *floor* do less than the whole job; of them only *job s* can be compared. The
  floor does not wait for the disk, so its ratio is to `softlab --no-sync`, which does not either.
- *spread*: the largest of the runs over the smallest, of *job s* unless the table says otherwise.
- *store MiB*: softlab's holds the hard labels and the metadata too.
- peers read the file with SimpleITK, compute in float32 and store float16.

The label map is AAL from Debian's package mricron-data: 116 regions and background; 5 classes
are its regions in 4 groups of 29; 512 x 512 x 512 is the same enlarged by nearest neighbour."""


BY_HAND = "\n# On a GPU\n"
"""From this heading on, what is written is kept."""


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer runs, small volumes only")
    parser.add_argument(
        "--only", action="append", choices=TABLES, help="one of the tables; may be repeated"
    )
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the tables to FILE")
    args = parser.parse_args()
    if missing := [name for name in NEEDED if not find_spec(name)]:
        parser.error(f"{', '.join(missing)} missing: pip install --editable '.[test,bench]'")
    names = args.only or [n for n, t in TABLES.items() if t.in_quick or not args.quick]
    _make_inputs(names)
    began = time.perf_counter()
    sections, failed = [], []
    for name in names:
        started = time.perf_counter()
        try:
            sections.append(TABLES[name].make(args.quick))
        except SystemExit as failure:  # a peer that does not work spoils no other table
            failed.append(name)
            sections.append(f"## {name}\n\nNot measured:\n\n```\n{failure}\n```")
        print(f"\n{sections[-1]}", flush=True)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    minutes = (time.perf_counter() - began) / 60
    sections.insert(0, _heading(args.quick, args.only, minutes))
    print(f"\n{sections[0]}", flush=True)
    if args.write:
        text = "\n\n".join(sections) + "\n" + _kept(args.write)
        args.write.write_text(text, encoding="utf-8")
    if failed:
        raise SystemExit(f"Not measured: {', '.join(failed)}.")


def _kept(path: Path) -> str:
    """The part of the file that another machine has measured (`make bench-cuda`)."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    _, heading, after = text.partition(BY_HAND)
    return heading + after


def _make_inputs(names: list[str]) -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    inputs = sorted({entry for name in names for entry in TABLES[name].inputs})
    command = [sys.executable, "-m", "tests.benchmarks.data", *inputs]
    if inputs and (status := subprocess.run(command, check=False).returncode):
        raise SystemExit(status)


def _heading(quick: bool, only: list[str] | None, minutes: float) -> str:
    options = ["--quick"] * quick + [f"--only {name}" for name in only or []]
    command = " ".join(["python -m tests.benchmarks", *options])
    return "\n\n".join(
        ["# Benchmarks", f"Made by `{command}` in {minutes:.0f} minutes (all of it: `make bench`).",
         environment(), INTRODUCTION]
    )  # fmt: skip


if __name__ == "__main__":
    main()
