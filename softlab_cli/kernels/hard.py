"""Soft labels with two values: one where a voxel has the class, one where it has not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel

__all__ = ["paint_classes"]


@kernel
def paint_classes(
    padded: NDArray[Any], width: int, classes: NDArray[np.int64], boxes: NDArray[np.int64],
    ignore_index: int, low: int, high: int,
    values: NDArray[np.uint16], voxels: NDArray[np.int64],
) -> None:  # fmt: skip
    """Write the soft labels of some classes of a block.

    Parameters
    ----------
    padded
        (z, y, x) class indices of the block; no halo.
    width
        Voxels of the block along X.
    classes
        The classes; class i goes to plane i.
    boxes
        (classes, 4); first and last z, first and last y to write.
    ignore_index
        Mark of voxels that are not labelled; they get 0.
    low, high
        Bit patterns of the soft label of other voxels, and of those of the class.
    values
        (planes, z, y, x) float16 as uint16.
    voxels
        (classes,); is given the number of voxels of each class.
    """
    ignored = padded.dtype.type(ignore_index)
    for plane in range(len(classes)):
        index = padded.dtype.type(classes[plane])
        count = 0
        for z in range(boxes[plane, 0], boxes[plane, 1] + 1):
            for y in range(boxes[plane, 2], boxes[plane, 3] + 1):
                labels = padded[z, y]
                row = values[plane, z, y]
                # Two loops, each with numbers of one size: writing and counting in one loop
                # takes 1.6 times as long.
                for x in range(width):
                    label = labels[Unsigned(x)]
                    value = np.uint16(high) if label == index else np.uint16(low)
                    row[Unsigned(x)] = value if label != ignored else np.uint16(0)
                for x in range(width):
                    count += int(labels[Unsigned(x)] == index)
        voxels[plane] = count
