"""Borders of label maps, and how far each voxel is from a set of voxels, as far as it matters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import kernel

__all__ = ["mark_borders", "nearest_along"]


@kernel
def mark_borders(labels: NDArray[Any], ignore_index: int, marks: NDArray[np.bool_]) -> None:
    """Mark voxels that share a face with another class.

    Parameters
    ----------
    labels
        (Z, Y, X) class indices.
    ignore_index
        Of voxels that are no class; they make no border.
    marks
        (Z, Y, X); borders are set, the rest is left as it is.
    """
    depth, height, width = labels.shape
    for z in range(depth):
        for y in range(height):
            for x in range(width):
                here = np.int64(labels[z, y, x])
                if here == ignore_index:
                    continue
                for axis in range(3):
                    z2, y2, x2 = z + (axis == 0), y + (axis == 1), x + (axis == 2)
                    if z2 == depth or y2 == height or x2 == width:
                        continue
                    there = np.int64(labels[z2, y2, x2])
                    if there not in (here, ignore_index):
                        marks[z, y, x] = True
                        marks[z2, y2, x2] = True


@kernel
def nearest_along(
    cost: NDArray[np.float32], steps: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Least of the costs along the middle axis, each with that of the way to it.

    Done for each axis in turn this gives the squared distance to the nearest voxel of cost
    0 where `steps` are squares, and the fewest steps over faces where they are numbers.

    Parameters
    ----------
    cost
        (a, n, b), infinity where nothing is.
    steps
        (s,), the cost of going 0, 1, 2 ... voxels; farther ones are out of reach.
    out
        As `cost`; is given the least.
    """
    outer, length, inner = cost.shape
    for i in range(outer):
        for j in range(length):
            for k in range(inner):
                out[i, j, k] = cost[i, j, k]
            for s in range(1, len(steps)):
                for other in (j - s, j + s):
                    if 0 <= other < length:
                        for k in range(inner):
                            out[i, j, k] = min(out[i, j, k], cost[i, other, k] + steps[s])
