"""What the callers of kernels need of them before they run: sizes, and a view to hand over.

It is apart from the kernels because they import numba, which takes a quarter of a second;
whoever reckons memory or parses options needs this alone.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "CLASS_LANES",
    "LANES",
    "MAX_CLASSES_AT_ONCE",
    "ROWS",
    "SEGMENT",
    "SIDE",
    "WALLS",
    "read_only",
]

SEGMENT = 64
"""Voxels along X that are treated at once; a fixed number, so that loops are unrolled."""

MAX_CLASSES_AT_ONCE = 64
"""Classes whose soft labels of a block are in memory together."""

# How the exact geodesic engine lays out a volume; see `softlab_cli.kernels.geodesic.tiles`.

LANES = 16
"""Voxels of a row; a fixed number, so that loops over it become vector instructions."""

SIDE = 16
"""Rows along Z and along Y of a block."""

ROWS = SIDE * SIDE
"""Rows of a block."""

BLOCK = ROWS * LANES
"""Voxels of a block."""

WALLS = 4
"""Blocks of walls: one before those of the volume and three after."""

CLASS_LANES = 16
"""Classes that the geodesic raster scan treats at once, side by side in memory."""


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, not to be written to.

    Numba compiles a kernel once for arrays that may be written and once for those that
    may not; a view that may not is always to be had.
    """
    view = array.view()
    view.flags.writeable = False
    return view
