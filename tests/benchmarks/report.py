"""Markdown of the figures, and a description of what they were taken on."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path

from .measure import Result

__all__ = ["comparison", "environment", "number", "show_command", "table"]

PACKAGES = (
    "numpy", "numba", "SimpleITK", "zarr", "numcodecs", "zstandard", "click",
    "torch", "scipy", "tensorstore", "FastGeodis", "monai", "scikit-learn", "torchmetrics",
    "surface-distance-based-measures",
)  # fmt: skip


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are figures."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None) -> str:
    """Three significant digits, or a dash for a figure that was not taken."""
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 99.95 else f"{value:.3g}"


def comparison(ours: Result, pairs: Sequence[tuple[Result, Result]]) -> str:
    """One row for softlab (all runs), one for each peer with its ratio to softlab.

    Parameters
    ----------
    ours
        softlab's runs, all of them.
    pairs
        For each peer: softlab's runs in turns with it, and its own.
    """
    head = ["", "process s", "times softlab's", "job s", "times softlab's", "peak MiB",
            "store MiB", "runs", "spread"]  # fmt: skip
    rows = [_row(ours, "1", "1")]
    for with_peer, peer in pairs:
        ratios = [_ratio(peer, with_peer, what) for what in ("process_s", "job_s")]
        rows.append(_row(peer, *map(number, ratios)))
    return table(head, rows)


def _row(result: Result, process_ratio: str, job_ratio: str) -> list[str]:
    mark = "" if result.share == 1 else " \\*"
    return [
        result.job.name + mark,
        number(result.median("process_s")),
        process_ratio,
        number(result.median("job_s")),
        job_ratio,
        number(result.median("peak_mib")),
        number(result.store_mib),
        str(len(result.peak_mib)),
        number(result.spread("job_s")),
    ]


def _ratio(peer: Result, ours: Result, what: str) -> float | None:
    theirs, mine = peer.median(what), ours.median(what)
    return theirs / mine if theirs is not None and mine else None


def show_command(command: Sequence[str]) -> str:
    """A command as one would type it."""
    head, *rest = command
    return " ".join([Path(head).name, *rest])


def environment() -> str:
    """Machine, system, versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = [
        f"{time.strftime('%Y-%m-%d')}, softlab {_version('softlab-cli')}{_revision()}",
        f"{_processor()}, {cores} cores, {memory:.0f} GiB; {platform.system()} "
        f"{platform.release()}; Python {platform.python_version()}",
        ", ".join(f"{name} {version}" for name in PACKAGES if (version := _version(name))),
    ]
    return "\n".join(f"- {line}" for line in lines)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*:\s*(.+)", path.read_text()) if path.exists() else None
    return found[1] if found else platform.processor() or platform.machine()


def _revision() -> str:
    command = ["git", "rev-parse", "--short", "HEAD"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f" (revision {done.stdout.strip()})" if done.returncode == 0 else ""
