"""Numbers that kernels and memory arithmetic share; free of numba, which is slow to import."""

from __future__ import annotations

__all__ = ["MAX_CLASSES_AT_ONCE", "SEGMENT"]

SEGMENT = 64
"""Voxels along X that are treated at once; a fixed number, so that loops are unrolled."""

MAX_CLASSES_AT_ONCE = 64
"""Classes whose soft labels of a block are in memory together."""
