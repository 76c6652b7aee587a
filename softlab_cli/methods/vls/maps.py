"""Where the learned soft labels of a case wait until they are blended: in memory or in a file."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.store.files import system_errors

__all__ = ["PlaneMaps"]


class PlaneMaps:
    """Soft labels as float16, slice by slice; each is written once, and read in pieces.

    Parameters
    ----------
    class_count
        Classes of the table.
    plane
        Voxels along (Y, X).
    path
        The file; None keeps all in memory.
    """

    def __init__(self, class_count: int, plane: tuple[int, int], path: Path | None) -> None:
        self.path = path
        self._shape = (class_count, *plane)
        self._planes: list[NDArray[np.float16]] = []
        self._count = 0
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __len__(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        """Bytes of all slices."""
        return 2 * self._count * int(np.prod(self._shape))

    def append(self, planes: NDArray[np.float16]) -> None:
        """Add some slices, (z, C, Y, X).

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        """
        planes = np.ascontiguousarray(planes)
        self._count += len(planes)
        if self.path is None:
            self._planes.extend(planes)
            return
        with system_errors(self.path, "written"):
            if self._file is None:
                self._file = self.path.open("wb", buffering=0)
            rest = planes.data.cast("B")
            while rest:
                rest = rest[self._file.write(rest) or 0 :]

    def read(self, region: Region) -> NDArray[np.float16]:
        """(z, C, y, x) of a region; any thread may do so once all slices are there.

        Raises
        ------
        StoreError
            When the file cannot be read.
        """
        z, y, x = region
        if self.path is None:
            return np.stack([plane[:, y, x] for plane in self._planes[z]])
        with system_errors(self.path, "read"):
            # Mapped for this piece only, so that what was read does not stay in memory.
            shape = (self._count, *self._shape)
            return np.array(np.memmap(self.path, np.float16, "r", shape=shape)[z, :, y, x])

    def close(self) -> None:
        """Give the memory back, or remove the file."""
        self._planes.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)
