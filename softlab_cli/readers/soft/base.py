"""Files with soft labels: what every one of them offers, whatever its format."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.volume import Geometry
from softlab_cli.readers.lattice import Turn

__all__ = ["SoftFile", "turned"]


@dataclass(frozen=True)
class SoftFile:
    """A file with one volume for each class; opening it reads the header alone.

    Parameters
    ----------
    path
        The file.
    geometry
        The grid of a volume.
    dtype
        The type that the numbers are stored in.
    count
        Volumes.
    read
        Index to (Z, Y, X) float32 as stored, the caller's own. Nothing is checked but that
        the file is whole. Reading in order is cheapest.
    step
        Smallest step of the numbers that `read` gives; 0 for floats.
    bytes_held
        Upper bound of what stays in memory beside the volume that was read.
    warnings
        What is odd about the header.
    """

    path: Path
    geometry: Geometry
    dtype: np.dtype[Any]
    count: int
    read: Callable[[int], NDArray[np.float32]] = field(repr=False)
    step: float = 0.0
    bytes_held: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether it can hold whole numbers alone."""
        return self.dtype.kind in "iu" and self.step == 1


def turned(file: SoftFile, turn: Turn, geometry: Geometry) -> SoftFile:
    """A file whose volumes are turned as they are read.

    Parameters
    ----------
    file
        The file.
    turn
        What turns them.
    geometry
        The grid that they lie on then.
    """
    if turn.is_identity:
        return replace(file, geometry=geometry)
    return replace(file, geometry=geometry, read=lambda index: turn.apply(file.read(index)))
