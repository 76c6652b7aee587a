"""The bounding box and the voxels of every class of a label map, in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel

__all__ = ["find_class_boxes"]


@kernel
def find_class_boxes(
    class_indices: NDArray[Any], boxes: NDArray[np.int64], voxels: NDArray[np.int64]
) -> None:
    """Grow the box of each class until it holds all its voxels, and count them.

    Parameters
    ----------
    class_indices
        (Z, Y, X) of an unsigned type, each below ``len(boxes)``.
    boxes
        (indices, 3, 2): first and last along Z, Y and X, first above last where a box
        is empty; is changed.
    voxels
        (indices,): is added to.
    """
    width = class_indices.shape[2]
    for z in range(class_indices.shape[0]):
        for y in range(class_indices.shape[1]):
            row = class_indices[z, y]
            start = 0
            while start < width:
                index = row[Unsigned(start)]
                stop = start + 1
                # The box and the count are touched once for a run: voxel by voxel takes 3 times
                # as long.
                while stop < width and row[Unsigned(stop)] == index:
                    stop += 1
                voxels[Unsigned(index)] += stop - start
                box = boxes[Unsigned(index)]
                _grow(box[0], z, z)
                _grow(box[1], y, y)
                _grow(box[2], start, stop - 1)
                start = stop


@kernel
def _grow(ends: NDArray[np.int64], first: int, last: int) -> None:
    ends[0] = min(ends[0], first)
    ends[1] = max(ends[1], last)
