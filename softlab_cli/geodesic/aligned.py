"""Memory that starts where a line of the processor's cache does."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["aligned_empty"]

ALIGNMENT = 64
"""Bytes of a cache line, and of the widest vector."""


def aligned_empty(*shape: int) -> NDArray[np.float32]:
    """Uninitialised float32; a vector loaded from its start is in one cache line."""
    size = 4 * math.prod(shape)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(np.float32).reshape(shape)
