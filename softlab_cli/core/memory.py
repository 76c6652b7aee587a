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
    "format_bytes",
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
    """Memory that this process may take: what is free, and the control group's limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        found = re.search(r"MemAvailable:\s+(\d+) kB", meminfo.read_text())
        limits += [int(found[1]) * 1024] if found else []
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        limit = Path("/sys/fs/cgroup") / name
        if limit.exists() and (text := limit.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def available_cores() -> int:
    """Processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
