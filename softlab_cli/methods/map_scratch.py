"""Where the maps of all classes wait until they are blended: in memory or in a file."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from softlab_cli.errors import StoreError

__all__ = ["MapScratch"]


class MapScratch:
    """Maps as float16 (uint16), one after another; each is written once and read in pieces.

    Parameters
    ----------
    path
        The file; one that is there is left over from a run that was killed, and is
        replaced. None keeps the maps in memory.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._maps: list[NDArray[np.uint16]] = []
        self._count = 0
        self._voxels = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
            (voxels,), as many for each map. The array is the caller's again afterwards.

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        """
        self._voxels = len(halves)
        if self.path is None:
            self._maps.append(halves.copy())
        else:
            self._write(self.path, halves)
        self._count += 1

    def _write(self, path: Path, halves: NDArray[np.uint16]) -> None:
        try:
            if self._file is None:
                self._file = path.open("wb", buffering=0)
            rest = memoryview(halves).cast("B")
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise StoreError(
                f"cannot be written ({error.strerror or error}).",
                remedy="Free some space there, or raise --max-memory so that no file is needed.",
                path=path,
            ) from error

    def read(self, number: int, start: int, target: NDArray[np.uint16]) -> None:
        """Read a piece of a map; any thread may do so once all maps are there.

        Parameters
        ----------
        number
            Which map, in the order of `append`.
        start
            First voxel of the piece.
        target
            Is filled.
        """
        if self.path is None:
            target[:] = self._maps[number][start : start + len(target)]
            return
        with self.path.open("rb", buffering=0) as file:
            file.seek(2 * (number * self._voxels + start))
            rest = memoryview(target).cast("B")
            while rest:
                rest = rest[_some(file.readinto(rest), self.path) :]

    def close(self) -> None:
        """Give the memory back, or remove the file."""
        self._maps.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _some(count: int | None, path: Path) -> int:
    if not count:
        raise StoreError("is shorter than what was written to it.", path=path)
    return count
