"""What a voxel's probabilities add up to after a change of temperature."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel
from softlab_cli.kernels.forecasts import FIXED

__all__ = ["add_partitions"]

LANES = 128
"""Voxels whose sums are in the nearest cache together."""


@kernel
def add_partitions(
    cells: NDArray[Any], table: NDArray[np.float32], base: NDArray[np.float32],
    slots: NDArray[np.uint8], weight: NDArray[np.uint8], sums: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add ln(sum over classes of p^(1/T)) of each voxel, at several temperatures at once.

    Parameters
    ----------
    cells
        (C, n) cells of the probabilities.
    table
        (cells, K), p^(1/T) without that of cell 0.
    base
        (K,), what C classes of cell 0 add up to.
    slots, weight
        (n,); a voxel is added `weight` times.
    sums
        (slots, K), in steps of `FIXED`.
    """
    width = table.shape[1]
    around = np.empty((LANES, width), np.float32)
    for start in range(0, cells.shape[1], LANES):
        voxels = min(LANES, cells.shape[1] - start)
        for x in range(voxels):
            for k in range(width):
                around[x, k] = base[k]
        for c in range(cells.shape[0]):
            for x in range(voxels):
                cell = cells[Unsigned(c), Unsigned(start + x)]
                # Most classes of most voxels have nothing; they are in the base.
                if cell != 0:
                    for k in range(width):
                        around[Unsigned(x), Unsigned(k)] += table[Unsigned(cell), Unsigned(k)]
        for x in range(voxels):
            times = np.float64(weight[start + x])
            for k in range(width):
                logarithm = math.log(np.float64(around[x, k]))
                sums[slots[start + x], k] += np.int64(np.rint(times * logarithm * FIXED))
