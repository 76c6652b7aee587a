"""Reading one array of a case, chunk by chunk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape, region_shape, shift
from softlab_cli.core.errors import StoreError
from softlab_cli.store.codec import decode_chunk
from softlab_cli.store.files import METADATA, read_json
from softlab_cli.store.layout import ArrayLayout, blocks_touching
from softlab_cli.store.records import ArrayRecord
from softlab_cli.store.remedies import ANEW
from softlab_cli.store.shards import Shard

__all__ = ["ArrayReader", "common", "corner"]


class ArrayReader:
    """One array of a case.

    Parameters
    ----------
    folder
        The array's folder.
    record
        What the case's record says of its files; None in stores of earlier versions.

    Attributes
    ----------
    document
        The array's ``zarr.json``, as it is.
    layout
        What that says.

    Raises
    ------
    StoreError
        When there is no array, one of a layout that is not ours, or another than
        was recorded; when a shard is missing, or longer or shorter than it was.
    """

    def __init__(self, folder: Path, record: ArrayRecord | None = None) -> None:
        self.folder = folder
        self.document = read_json(folder / METADATA)
        self.layout = ArrayLayout.from_json(self.document, folder)
        self.record = record
        self._shards: dict[Shape, Shard | None] = {}
        if self.layout.checksums == (record is None):
            raise StoreError("is not in the record of its case.", remedy=ANEW, path=folder)
        if record is not None:
            if self.layout.checksum != record.layout:
                problem = (
                    f"is {self.layout.dtype.name} {self.layout.shape} in blocks of "
                    f"{self.layout.grid.block}, and the case's record tells otherwise."
                )
                raise StoreError(problem, remedy=ANEW, path=folder)
            record.check_files(folder)

    def path_in(self, case: Path) -> str:
        """Its path below the folder of its case, with ``/``."""
        return str(self.folder)[len(str(case)) + 1 :].replace(os.sep, "/")

    def copy(self, region: Region, rows: Mapping[int, int], target: NDArray[Any]) -> None:
        """Copy the present chunks that touch a region.

        Parameters
        ----------
        region
            A region inside the volume.
        rows
            Class index to row of `target`; classes that it lacks are skipped.
        target
            (rows, *region shape), of the array's type, 0 all over.
        """
        for block in blocks_touching(self.layout.grid, region):
            shared = common(block, region)
            source, place = shift(shared, corner(block)), shift(shared, corner(region))
            for class_index, values in self.chunks(block, rows):
                target[(rows[class_index], *place)] = values[source]

    def read(self, region: Region, place: int = 0) -> NDArray[Any]:
        """Values of the ``label`` array, or of one rater, (Z, Y, X).

        Parameters
        ----------
        region
            A region inside the volume; it may be empty.
        place
            Number of the rater.
        """
        found = np.zeros(region_shape(region), self.layout.dtype)
        if found.size:
            self.copy(region, {place: 0}, found[None])
        return found

    def chunks(
        self, block: Region, wanted: Mapping[int, int]
    ) -> Iterator[tuple[int, NDArray[Any]]]:
        """Present chunks of a block: class index and (Z, Y, X) values of the full block.

        Parameters
        ----------
        block
            A block of the array's grid.
        wanted
            Its keys are the class indices to read.

        Raises
        ------
        StoreError
            When the shard or a chunk is damaged.
        """
        index, inside = self.layout.grid.locate(block)
        shard = self.shard(index)
        if shard is None:
            return
        dtype, shape = self.layout.dtype, self.layout.grid.block
        checksum = self.layout.checksums
        for class_index, data in shard.chunks(inside):
            if class_index not in wanted:
                continue
            try:
                values = decode_chunk(data, dtype, shape, checksum=checksum)
            except StoreError as error:
                problem = f"class {class_index}, block at {corner(block)}: {error.problem}"
                raise StoreError(problem, remedy=ANEW, path=shard.path) from error
            yield class_index, values

    def shard(self, index: Shape) -> Shard | None:
        """The shard at a place of the grid; None where all its chunks are absent.

        Raises
        ------
        StoreError
            When the shard is damaged, missing, or not in the case's record.
        """
        if index not in self._shards:
            self._shards[index] = self._open_shard(self.layout.shard_path(index))
        return self._shards[index]

    def _open_shard(self, name: str) -> Shard | None:
        path = self.folder / name
        kept = None if self.record is None else self.record.shards.get(name)
        try:
            shard = Shard(path, self.layout, kept)
        except FileNotFoundError:
            if kept is None:
                return None
            raise StoreError("is missing.", remedy=ANEW, path=path) from None
        if kept is None and self.record is not None:
            raise StoreError("is not in the record of its case.", remedy=ANEW, path=path)
        return shard


def common(a: Region, b: Region) -> Region:
    """The voxels of two regions that touch each other."""
    z, y, x = (slice(max(s.start, t.start), min(s.stop, t.stop)) for s, t in zip(a, b, strict=True))
    return z, y, x


def corner(region: Region) -> tuple[int, int, int]:
    """First voxel of a region."""
    z, y, x = region
    return z.start, y.start, x.start
