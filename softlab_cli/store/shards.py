"""Shard files: chunks in any order, then an index of (offset, bytes) and its crc32c.

Absent chunks have 2^64 - 1 for both numbers. This is Zarr v3's
``sharding_indexed`` codec with the index at the end.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import StoreError
from softlab_cli.store.files import system_errors
from softlab_cli.store.layout import ArrayLayout

__all__ = ["Shard", "ShardWriter"]

ABSENT = np.uint64(2**64 - 1)
ENTRY_BYTES = 16
CHECKSUM_BYTES = 4
BUFFER_BYTES = 8 * 2**20
PIECE_BYTES = 2**20


@dataclass
class _OpenShard:
    path: Path
    index: NDArray[np.uint64]
    written: int = 0
    waiting: int = 0
    parts: list[bytes] = field(default_factory=list)


class ShardWriter:
    """Writes the shard files of one array, many at a time.

    Chunks wait in memory and are appended to their files in large pieces; no
    file stays open in between, so the number of shards has no limit. Not
    thread-safe: one thread appends.

    Parameters
    ----------
    folder
        The array's folder.
    layout
        Shape of the shards.
    buffer_bytes
        Bytes that may wait, all shards together.
    """

    def __init__(self, folder: Path, layout: ArrayLayout, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._folder = folder
        self._layout = layout
        self._limit = buffer_bytes
        self._waiting = 0
        self._shards: dict[Shape, _OpenShard] = {}

    def append(self, shard: Shape, slot: int, data: bytes) -> None:
        """Add a chunk.

        Parameters
        ----------
        shard
            The shard's place in the grid.
        slot
            The chunk's number in the shard.
        data
            The encoded chunk; not empty.

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        ValueError
            When the chunk was added before: a method delivered a class twice.
        """
        entry = self._shards.get(shard) or self._open(shard)
        if entry.index[slot, 0] != ABSENT:
            raise ValueError(f"chunk {slot} of shard {shard} was delivered twice")
        entry.index[slot] = entry.written + entry.waiting, len(data)
        entry.parts.append(data)
        entry.waiting += len(data)
        self._waiting += len(data)
        if self._waiting > self._limit:
            self._flush(max(self._shards.values(), key=lambda s: s.waiting))

    def close(self) -> int:
        """Write what waits and every shard's index; returns the bytes of all shards."""
        total = 0
        for shard in self._shards.values():
            index = shard.index.tobytes()
            checksum = google_crc32c.value(index).to_bytes(CHECKSUM_BYTES, "little")
            shard.parts += [index, checksum]
            self._flush(shard)
            total += shard.written + len(index) + CHECKSUM_BYTES
        self._shards.clear()
        return total

    def _open(self, shard: Shape) -> _OpenShard:
        path = self._folder / self._layout.shard_path(shard)
        with system_errors(path, "written"):
            path.parent.mkdir(parents=True, exist_ok=True)
        index = np.full((self._layout.slots, 2), ABSENT, "<u8")
        return self._shards.setdefault(shard, _OpenShard(path, index))

    def _flush(self, shard: _OpenShard) -> None:
        with (
            system_errors(shard.path, "written"),
            open(shard.path, "ab", buffering=PIECE_BYTES) as file,
        ):
            file.writelines(shard.parts)
        self._waiting -= shard.waiting
        shard.written += shard.waiting
        shard.waiting = 0
        shard.parts.clear()


class Shard:
    """A shard file for reading: mapped, with its index sorted by block.

    Parameters
    ----------
    path
        The file.
    layout
        The array that it belongs to.

    Raises
    ------
    StoreError
        When the file is truncated or its index damaged.
    """

    def __init__(self, path: Path, layout: ArrayLayout) -> None:
        self.path = path
        self._per_shard = layout.grid.blocks_per_shard
        self._bytes = _map(path)
        end = len(self._bytes) - layout.slots * ENTRY_BYTES - CHECKSUM_BYTES
        index = _checked_index(self._bytes, end, path)
        self._sort(index.reshape(max(1, layout.count), -1, 2), end)

    @classmethod
    def find(cls, folder: Path, layout: ArrayLayout, shard: Shape) -> Shard | None:
        """The shard at a place of the grid, or None where all its chunks are absent."""
        try:
            return cls(folder / layout.shard_path(shard), layout)
        except FileNotFoundError:
            return None

    def chunks(self, inside: Shape) -> Iterator[tuple[int, memoryview]]:
        """Present chunks of a block: class index and encoded bytes.

        Parameters
        ----------
        inside
            Place of the block in the shard, from `Grid.locate`.
        """
        _, y, x = self._per_shard
        block = (inside[0] * y + inside[1]) * x + inside[2]
        these = slice(self._starts[block], self._starts[block + 1])
        columns = (self._classes, self._offsets, self._sizes)
        rows = zip(*(column[these].tolist() for column in columns), strict=True)
        for class_index, offset, size in rows:
            yield class_index, self._bytes[offset : offset + size]

    def _sort(self, index: NDArray[np.uint64], end: int) -> None:
        """Keep the present chunks only, block after block: most classes are absent."""
        by_block = index.transpose(1, 0, 2)
        present = np.flatnonzero(by_block[..., 0] != ABSENT)
        blocks, class_count = by_block.shape[:2]
        offsets, sizes = by_block.reshape(-1, 2)[present].T
        if len(present) and (offsets.max() > end or (sizes > end - offsets).any()):
            raise StoreError("the index names bytes beyond the end.", path=self.path)
        self._classes = present % class_count
        self._offsets = offsets.astype(np.int64)
        self._sizes = sizes.astype(np.int64)
        self._starts = np.searchsorted(present // class_count, np.arange(blocks + 1)).tolist()


def _map(path: Path) -> memoryview:
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise
    except ValueError:
        raise StoreError("is empty.", remedy="Compute the case again.", path=path) from None
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror or error}).", path=path) from error


def _checked_index(data: memoryview, end: int, path: Path) -> NDArray[np.uint64]:
    if end < 0:
        raise StoreError(
            f"is truncated: {len(data)} bytes cannot hold its index.",
            remedy="Compute the case again.",
            path=path,
        )
    index, kept = data[end:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    found = google_crc32c.value(bytes(index))
    if found != int.from_bytes(kept, "little"):
        raise StoreError(
            f"the index has crc32c {found:08x} instead of {int.from_bytes(kept, 'little'):08x}: "
            "the file is truncated or damaged.",
            remedy="Compute the case again.",
            path=path,
        )
    return np.frombuffer(index, "<u8")
