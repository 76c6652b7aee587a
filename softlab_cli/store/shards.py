"""Shard files: chunks in any order, their checksums, an index of (offset, bytes), its crc32c.

Absent chunks have 2^64 - 1 for both numbers. This is Zarr v3's ``sharding_indexed``
codec with the index at the end. The checksums (uint32, one for each present chunk in
the order of their slots) lie in a gap that the index does not name, so that others
pass over them: with them a shard is known for what it is without touching its chunks.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import StoreError
from softlab_cli.core.system import remedy_of
from softlab_cli.store.codec import CHECKSUM_BYTES
from softlab_cli.store.files import system_errors
from softlab_cli.store.layout import ArrayLayout
from softlab_cli.store.records import ShardRecord, digest_of
from softlab_cli.store.remedies import ANEW

__all__ = ["Shard", "ShardWriter"]

ABSENT = np.uint64(2**64 - 1)
ENTRY_BYTES = 16
BUFFER_BYTES = 8 * 2**20
PIECE_BYTES = 2**20

LARGEST_READ = 2**14
"""Shards up to this size are read: to map a file takes longer."""


@dataclass
class _OpenShard:
    path: str
    index: NDArray[np.uint64]
    checksums: NDArray[np.uint32]
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
        self._folder = str(folder)
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
            The encoded chunk, which ends in its checksum where the layout says so.

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
        entry.checksums[slot] = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
        entry.parts.append(data)
        entry.waiting += len(data)
        self._waiting += len(data)
        if self._waiting > self._limit:
            self._flush(max(self._shards.values(), key=lambda s: s.waiting))

    def close(self) -> dict[str, ShardRecord]:
        """Write what waits, and every shard's checksums and index.

        Returns
        -------
        shards
            What the case's record says of each shard, by its path below the folder.
        """
        shards = sorted(self._shards.items())
        self._shards.clear()
        return {self._layout.shard_path(index): self._finish(shard) for index, shard in shards}

    def _finish(self, shard: _OpenShard) -> ShardRecord:
        slots = np.flatnonzero(shard.index[:, 0] != ABSENT)
        checksums = shard.checksums[slots]
        if self._layout.checksums:
            shard.parts.append(checksums.astype("<u4").tobytes())
        index = shard.index.tobytes()
        shard.parts += [index, google_crc32c.value(index).to_bytes(CHECKSUM_BYTES, "little")]
        size = shard.written + sum(map(len, shard.parts))
        self._flush(shard)
        return ShardRecord(len(slots), size, digest_of(slots, checksums))

    def _open(self, shard: Shape) -> _OpenShard:
        path = os.path.join(self._folder, self._layout.shard_path(shard))
        place = os.path.dirname(path)
        with system_errors(path, "written"):
            if not os.path.isdir(place):
                os.makedirs(place, exist_ok=True)
        index = np.full((self._layout.slots, 2), ABSENT, "<u8")
        checksums = np.zeros(self._layout.slots, np.uint32)
        return self._shards.setdefault(shard, _OpenShard(path, index, checksums))

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
    record
        What the case's record says of it; None in stores of earlier versions.

    Raises
    ------
    FileNotFoundError
        When there is none.
    StoreError
        When the file is truncated, its index damaged, or another than was recorded.
    """

    def __init__(self, path: Path, layout: ArrayLayout, record: ShardRecord | None = None) -> None:
        self.path = path
        self._per_shard = layout.grid.blocks_per_shard
        self._bytes = _map(path)
        end = len(self._bytes) - layout.slots * ENTRY_BYTES - CHECKSUM_BYTES
        index = _checked_index(self._bytes, end, path).reshape(-1, 2)
        self._is_recorded = record is not None
        checksums = np.zeros(len(index), np.uint32)
        if record is not None:
            checksums = self._check_record(index, end, record)
        self._sort(index, checksums, max(1, layout.count), end)

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
        columns = (self._classes, self._offsets, self._sizes, self._checksums)
        for class_index, offset, size, checksum in zip(
            *(column[these].tolist() for column in columns), strict=True
        ):
            data = self._bytes[offset : offset + size]
            if self._is_recorded:
                self._check_tail(data, checksum, class_index)
            yield class_index, data

    def _check_tail(self, data: memoryview, kept: int, class_index: int) -> None:
        found = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
        if found != kept:
            raise StoreError(
                f"a chunk of class {class_index} says that its crc32c is {found:08x}, and it was "
                f"written with {kept:08x}: it is another one, or damaged.",
                remedy=ANEW,
                path=self.path,
            )

    def _check_record(
        self, index: NDArray[np.uint64], end: int, record: ShardRecord
    ) -> NDArray[np.uint32]:
        """Checksum of each slot, 0 where it is absent, when they are those of the record."""
        slots = np.flatnonzero(index[:, 0] != ABSENT)
        size, start = len(self._bytes), end - CHECKSUM_BYTES * len(slots)
        if (len(slots), size) != (record.chunks, record.size) or start < 0:
            raise StoreError(
                f"has {len(slots)} chunks in {size} bytes, and the case's record tells of "
                f"{record.chunks} in {record.size}.",
                remedy=ANEW,
                path=self.path,
            )
        checksums = np.zeros(len(index), np.uint32)
        checksums[slots] = np.frombuffer(self._bytes[start:end], "<u4")
        if digest_of(slots, checksums[slots]) != record.digest:
            raise StoreError(
                "its chunks are not those that the case's record tells of: it is the shard of "
                "another case or place, or damaged.",
                remedy=ANEW,
                path=self.path,
            )
        return checksums

    def _sort(
        self,
        index: NDArray[np.uint64],
        checksums: NDArray[np.uint32],
        class_count: int,
        end: int,
    ) -> None:
        """Keep the present chunks only, block after block: most classes are absent."""
        by_block = np.arange(len(index)).reshape(class_count, -1).T
        slots = by_block[index[by_block, 0] != ABSENT]
        offsets, sizes = index[slots].T
        if len(slots) and (offsets.max() > end or (sizes > end - offsets).any()):
            problem = "the index names bytes beyond the end."
            raise StoreError(problem, remedy=ANEW, path=self.path)
        self._classes = slots // len(by_block)
        self._offsets = offsets.astype(np.int64)
        self._sizes = sizes.astype(np.int64)
        self._checksums = checksums[slots]
        blocks = np.arange(len(by_block) + 1)
        self._starts = np.searchsorted(slots % len(by_block), blocks).tolist()


def _map(path: Path) -> memoryview:
    try:
        with open(path, "rb", buffering=0) as file:
            if 0 < os.fstat(file.fileno()).st_size <= LARGEST_READ:
                return memoryview(file.read())
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:
        raise
    except ValueError:
        raise StoreError("is empty.", remedy=ANEW, path=path) from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror or error})."
        raise StoreError(problem, remedy=remedy_of(error, "read"), path=path) from error


def _checked_index(data: memoryview, end: int, path: Path) -> NDArray[np.uint64]:
    if end < 0:
        raise StoreError(
            f"is truncated: {len(data)} bytes cannot hold its index.",
            remedy=ANEW,
            path=path,
        )
    index, kept = data[end:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    found = google_crc32c.value(bytes(index))
    if found != int.from_bytes(kept, "little"):
        raise StoreError(
            f"the index has crc32c {found:08x} instead of {int.from_bytes(kept, 'little'):08x}: "
            "the file is truncated or damaged.",
            remedy=ANEW,
            path=path,
        )
    return np.frombuffer(index, "<u8")
