"""Memory as arithmetic: what a case will need, before it is read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.errors import UsageError

__all__ = [
    "PROCESS_BYTES",
    "SHARD_BUFFER_BYTES",
    "CaseMemory",
    "available_bytes",
    "available_cores",
    "blocks_bytes",
    "control_groups",
    "format_bytes",
    "kills_for_memory",
    "parse_bytes",
]

MIB = 2**20

PROCESS_BYTES = 330 * MIB
"""An interpreter with everything imported and compiled, before the first voxel."""

SHARD_BUFFER_BYTES = 16 * MIB
"""Encoded chunks that wait to be written, and the encoder's own buffers."""


def parse_bytes(text: str) -> int:
    """Bytes from ``16G``, ``512MB``, ``1.5 GiB`` or a plain number (powers of 1024)."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"{text!r} is not an amount of memory.", remedy="Write it like 16G.")
    power = " KMGT".index(match[2].upper() or " ")
    return int(float(match[1]) * 1024**power)


def format_bytes(count: float) -> str:
    """An amount of memory for people, in powers of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def available_bytes() -> int:
    """Memory that this process may take.

    The least of what is free, of the limits of the control group and of the groups
    that it lies in, and of what SLURM gave to the job on this node.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    limits += _free_bytes()
    for group in control_groups():
        limits += [n for name in LIMITS for n in _number_in(group / name)]
    return min(limits + _slurm_bytes())


def available_cores() -> int:
    """Processors that this process may use, and that SLURM gave to the task."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    given = _slurm_number("SLURM_CPUS_PER_TASK")
    return max(1, min([cores or 1, *given]))


LIMITS = ("memory.max", "memory.high", "memory.limit_in_bytes")
"""Files with the limit of a control group, of either version."""

KILLS = {"memory.events": "oom_kill", "memory.oom_control": "oom_kill"}
"""Files that count the processes that a limit has ended, and the name of the count."""


def control_groups(
    groups: Path = Path("/proc/self/cgroup"), mounted: Path = Path("/sys/fs/cgroup")
) -> list[Path]:
    """Folders of the control groups of this process that limit memory, from the inside out.

    Parameters
    ----------
    groups
        What the kernel says of this process: a line ``number:controllers:path`` for
        each hierarchy. In a container the path may be one that only the host sees;
        the hierarchy's top is what the container sees of its own group.
    mounted
        Where the hierarchies are.
    """
    found: dict[Path, None] = {}
    for line in _text_of(groups).splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mounted / "memory" if controllers else mounted
        inner = top / path.lstrip("/")
        for folder in (inner, *inner.parents):
            if folder.is_relative_to(top) and folder.is_dir():
                found[folder] = None
    return list(found)


def kills_for_memory() -> int:
    """How many processes the limits of the control groups have ended so far."""
    counts = [0]
    for group in control_groups():
        for name, count in KILLS.items():
            found = re.search(rf"^{count} (\d+)$", _text_of(group / name), re.MULTILINE)
            counts += [int(found[1])] if found else []
    return max(counts)


def _free_bytes() -> list[int]:
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text_of(Path("/proc/meminfo")))
    return [int(found[1]) * 1024] if found else []


def _slurm_bytes() -> list[int]:
    """Memory of the job on this node: as a whole, or for each of its processors."""
    whole = [n * MIB for n in _slurm_number("SLURM_MEM_PER_NODE")]
    cores = _slurm_number("SLURM_CPUS_ON_NODE") or _slurm_number("SLURM_CPUS_PER_TASK") or [1]
    return whole + [n * MIB * cores[0] for n in _slurm_number("SLURM_MEM_PER_CPU")]


def _slurm_number(name: str) -> list[int]:
    """The number that SLURM set, or nothing; 0 stands for all that there is."""
    text = os.environ.get(name, "")
    return [int(text)] if text.isdigit() and int(text) else []


def _number_in(path: Path) -> list[int]:
    text = _text_of(path).strip()
    return [int(text)] if text.isdigit() else []


def _text_of(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def blocks_bytes(workspace_bytes: int, threads: int) -> int:
    """What blocks occupy while they are softened: each thread has one, two more wait.

    Parameters
    ----------
    workspace_bytes
        Scratch memory of one thread.
    threads
        Threads that soften blocks at the same time.
    """
    return 3 * threads * workspace_bytes


@dataclass(frozen=True)
class CaseMemory:
    """What one case needs while it is softened.

    Parameters
    ----------
    voxels
        Voxels of the label map.
    bytes_on_read
        Peak of reading the file, the label map included.
    bytes_held
        What the label map occupies afterwards.
    index_itemsize
        Bytes of a class index.
    workspace_bytes
        Scratch memory of one thread.
    threads
        Threads that soften blocks at the same time.
    pattern_itemsize
        Bytes of the number of a pattern, for several raters; 0 for one.
    """

    voxels: int
    bytes_on_read: int
    bytes_held: int
    index_itemsize: int
    workspace_bytes: int
    threads: int
    pattern_itemsize: int = 0

    @property
    def total(self) -> int:
        """Upper bound of the process's resident memory, in bytes."""
        indices = self.voxels * self.index_itemsize
        patterns = self.voxels * self.pattern_itemsize
        volume = max(self.bytes_on_read, self.bytes_held + indices)
        if patterns:
            # Patterns grow wider while a rater is taken in; in the end they are held
            # with the fused label map, which is no wider, and the hard label.
            volume = max(volume + patterns + patterns // 2, 2 * patterns + indices)
        blocks = blocks_bytes(self.workspace_bytes, self.threads)
        return PROCESS_BYTES + SHARD_BUFFER_BYTES + volume + blocks
