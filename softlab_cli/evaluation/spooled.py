"""Soft labels in a scratch file, written class by class and read block by block.

The file is read and not mapped: pages of a map count as memory of the process for as long as
nobody else wants them, up to the size of the whole file.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path
from shutil import disk_usage
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.errors import InputError
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.volume import Geometry
from softlab_cli.store.files import system_errors

__all__ = ["Spooled"]


@dataclass(frozen=True, eq=False)
class Spooled:
    """All classes of a case in a scratch file.

    Parameters
    ----------
    geometry
        The grid.
    count
        C, classes.
    dtype
        float16 or float32.
    path
        The file, (C, Z, Y, X).
    """

    geometry: Geometry
    count: int
    dtype: np.dtype[Any]
    path: Path

    @classmethod
    def empty(cls, geometry: Geometry, count: int, dtype: DTypeLike, folder: Path) -> Spooled:
        """A new file in a folder, all 0.

        Raises
        ------
        InputError
            When there is no room for it.
        """
        found = cls(geometry, count, np.dtype(dtype), folder / "classes")
        size = count * found.class_bytes
        _check_room(size, folder)
        with system_errors(found.path, "written"), open(found.path, "wb") as file:
            file.truncate(size)
        return found

    @property
    def class_bytes(self) -> int:
        """Size of a class in the file."""
        return prod(self.geometry.shape) * self.dtype.itemsize

    def add(self, class_index: int, volume: NDArray[Any]) -> None:
        """Add a (Z, Y, X) volume to a class, which may have several parts."""
        total = self.volume(class_index)
        total += volume.astype(self.dtype, copy=False)
        with system_errors(self.path, "written"), open(self.path, "r+b") as file:
            file.seek(class_index * self.class_bytes)
            file.write(total.data)

    def read(self, region: Region) -> NDArray[Any]:
        """(C, z, y, x), the caller's own."""
        z, y, x = region
        _, rows, columns = self.geometry.shape
        shape = (z.stop - z.start, y.stop - y.start, x.stop - x.start)
        found = np.empty((self.count, *shape), self.dtype)
        plane = np.empty((shape[1], columns), self.dtype)
        with open(self.path, "rb", buffering=0) as file:
            for c in range(self.count):
                for k in range(shape[0]):
                    row = ((z.start + k) * rows + y.start) * columns
                    file.seek(c * self.class_bytes + row * self.dtype.itemsize)
                    file.readinto(plane.data.cast("B"))
                    found[c, k] = plane[:, x]
        return found

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None:
        """None: whether a voxel has no class shows in its values alone."""
        return None

    def volume(self, class_index: int) -> NDArray[Any]:
        """(Z, Y, X) of one class."""
        found = np.empty(self.geometry.shape, self.dtype)
        with open(self.path, "rb") as file:  # buffered: one system call reads 2 GiB at most
            file.seek(class_index * self.class_bytes)
            file.readinto(found.data.cast("B"))
        return found


def _check_room(needed: int, folder: Path) -> None:
    free = disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"needs {format_bytes(needed)} of scratch beside the results, and "
            f"{format_bytes(free)} are free.",
            remedy="Give --out on a larger disk, or make a store of the predictions with "
            "softlab import, which is read as it is.",
        )
