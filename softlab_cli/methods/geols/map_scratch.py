"""Where the maps of all classes wait until they are blended: in memory or in a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape, region_shape
from softlab_cli.core.errors import StoreError

__all__ = ["MapScratch", "places_of"]


class MapScratch:
    """Maps as float16 (uint16), one after another; each is written once and read in pieces.

    A map has one block after another, so that a block of it is one piece.

    Parameters
    ----------
    grid
        How the volume is cut into blocks.
    path
        The file; one that is there is left over from a run that was killed, and is
        replaced. None keeps the maps in memory.
    """

    def __init__(self, grid: Grid, path: Path | None) -> None:
        self.grid = grid
        self.path = path
        self._places = {_corner(region): place for region, place in places_of(grid)}
        self._maps: list[NDArray[np.uint16]] = []
        self._count = 0
        self._voxels = prod(grid.shape)
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes of all maps."""
        return 2 * self._count * self._voxels

    def append(self, halves: NDArray[np.uint16]) -> None:
        """Add a map.

        Parameters
        ----------
        halves
            (voxels,) in the order of `places_of`; the array is the caller's again afterwards.

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        """
        if self.path is None:
            self._maps.append(halves.copy())
        else:
            self._write(self.path, halves)
        self._count += 1

    def _write(self, path: Path, halves: NDArray[np.uint16]) -> None:
        with _system_errors(path, "written"):
            if self._file is None:
                self._file = path.open("wb", buffering=0)
            rest = halves.data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) or 0 :]

    def read(self, number: int, region: Region, target: NDArray[np.uint16]) -> None:
        """Read a block of a map; any thread may do so once all maps are there.

        Parameters
        ----------
        number
            Which map, in the order of `append`.
        region
            The block, as the grid has it.
        target
            (voxels of the block,) is filled.

        Raises
        ------
        StoreError
            When the file cannot be read.
        """
        place = self._places[_corner(region)]
        if self.path is None:
            target[:] = self._maps[number][place : place + len(target)]
            return
        with _system_errors(self.path, "read"), self.path.open("rb", buffering=0) as file:
            file.seek(2 * (number * self._voxels + place))
            rest = target.data.cast("B")
            while rest:
                count = file.readinto(rest)
                if not count:
                    raise StoreError("is shorter than what was written to it.", path=self.path)
                rest = rest[count:]

    def close(self) -> None:
        """Give the memory back, or remove the file."""
        self._maps.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def places_of(grid: Grid) -> Iterator[tuple[Region, int]]:
    """Each block, and where in a map it begins."""
    place = 0
    for region in grid.regions():
        yield region, place
        place += prod(region_shape(region))


def _corner(region: Region) -> Shape:
    z, y, x = region
    return z.start, y.start, x.start


@contextmanager
def _system_errors(path: Path, doing: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be {doing} ({error.strerror or error}).",
            remedy="Free some space there, or raise --max-memory so that no file is needed.",
            path=path,
        ) from error
