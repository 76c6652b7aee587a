"""Numbers that geodesic kernels and memory arithmetic share; free of numba."""

from __future__ import annotations

__all__ = ["CLASS_LANES", "KEYS", "LANES", "ROWS", "SIDE"]

LANES = 16
"""Voxels of a row; a fixed number, so that loops over it become vector instructions."""

SIDE = 16
"""Rows along Z and along Y of a block."""

ROWS = SIDE * SIDE
"""Rows of a block."""

KEYS = ROWS + SIDE
"""Keys of a block: those of its rows, then the least of each slab (the rows of one z)."""

CLASS_LANES = 16
"""Classes that the raster scan treats at once, side by side in memory."""
