"""Numbers that geodesic kernels and memory arithmetic share; free of numba."""

from __future__ import annotations

__all__ = ["BLOCK", "CLASS_LANES", "LANES", "ROWS", "SIDE", "WALLS", "WORD"]

LANES = 16
"""Voxels of a row; a fixed number, so that loops over it become vector instructions."""

SIDE = 16
"""Rows along Z and along Y of a block."""

ROWS = SIDE * SIDE
"""Rows of a block."""

BLOCK = ROWS * LANES
"""Voxels of a block."""

WORD = 64
"""Rows whose bits are in one word."""

WALLS = 4
"""Blocks of walls: one before those of the volume and three after."""

CLASS_LANES = 16
"""Classes that the raster scan treats at once, side by side in memory."""
