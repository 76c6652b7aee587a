"""Counting, renaming and boxing the values of label maps, at the speed of memory.

Label maps are made of long runs of one value, so values are looked at `RUN` at a
time first: where they are all the same, nothing is done voxel by voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, bare_kernel, inlined, kernel
from softlab_cli.kernels.segments import bit_count, equal, first_bit, last_bit, load
from softlab_cli.kernels.sizes import SEGMENT

__all__ = ["RUN", "count_values", "find_box", "find_class_boxes", "map_values", "one_value"]

RUN = 64
"""Values that are looked at together."""


@inlined
def one_value(values: NDArray[Any], start: int) -> bool:
    """Whether `RUN` values from `start` on are one and the same."""
    # No early end, so that the loop is vectorised; with one, counting takes 1.2 times as long.
    first = values[Unsigned(start)]
    difference = first ^ first
    for i in range(RUN):
        difference |= values[Unsigned(start + i)] ^ first
    return bool(difference == 0)


@kernel
def count_values(values: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Add the number of times that each value occurs.

    Parameters
    ----------
    values
        (n,) of an unsigned type, each below ``len(counts)``.
    counts
        Value to number.
    """
    runs = len(values) // SEGMENT
    for run in range(runs):
        # Each value of a run is counted at once: additions to a counter wait for one another.
        here, left = load(values, run * SEGMENT), ~np.uint64(0)
        while left:
            value = values[Unsigned(run * SEGMENT + first_bit(left))]
            found = equal(here, value)
            counts[Unsigned(value)] += bit_count(found)
            left &= ~found
    for i in range(runs * SEGMENT, len(values)):
        counts[Unsigned(values[Unsigned(i)])] += 1


@kernel
def map_values(values: NDArray[Any], table: NDArray[Any], out: NDArray[Any]) -> None:
    """Replace each value by what a table has for it.

    Parameters
    ----------
    values
        (n,) of an unsigned type, each below ``len(table)``.
    table
        Value to what replaces it, of the type of `out`.
    out
        (n,); may be the memory of `values`.
    """
    runs = len(values) // RUN
    for run in range(runs):
        start = run * RUN
        # A table is looked up voxel by voxel, a number is written vector by vector: without this
        # test, 1.7 times as long.
        if one_value(values, start):
            index = table[Unsigned(values[Unsigned(start)])]
            for i in range(RUN):
                out[Unsigned(start + i)] = index
        else:
            for i in range(start, start + RUN):
                out[Unsigned(i)] = table[Unsigned(values[Unsigned(i)])]
    for i in range(runs * RUN, len(values)):
        out[Unsigned(i)] = table[Unsigned(values[Unsigned(i)])]


@kernel
def find_box(
    class_indices: NDArray[Any], background: int, ignore_index: int, box: NDArray[np.int64]
) -> None:
    """Grow a box until it holds all voxels but those of two indices.

    Parameters
    ----------
    class_indices
        (Z, Y, X) of an unsigned type, C-contiguous.
    background, ignore_index
        The indices that are not wanted; they may be the same.
    box
        (3, 2), first and last along Z, Y and X; first above last when it is empty.
    """
    labels = class_indices.reshape(-1)
    depth, height, width = class_indices.shape
    for z in range(depth):
        for y in range(height):
            row = (z * height + y) * width
            first, last = _wanted_part(labels, row, width, background, ignore_index)
            if first <= last:
                _grow(box[0], z, z)
                _grow(box[1], y, y)
                _grow(box[2], first, last)


@bare_kernel
def _wanted_part(
    labels: NDArray[Any], row: int, width: int, background: int, ignore_index: int
) -> tuple[int, int]:
    """First and last wanted voxel of a row; first above last when there is none."""
    first, last = width, -1
    if width < SEGMENT:
        for x in range(width):
            label = labels[Unsigned(row + x)]
            if label != background and label != ignore_index:
                first, last = min(first, x), x
        return first, last
    for s in range(0, width, SEGMENT):
        start = min(s, width - SEGMENT)  # what is left is looked at with voxels before it
        here = load(labels, row + start)
        wanted = ~(equal(here, background) | equal(here, ignore_index))
        if wanted:
            first = min(first, start + first_bit(wanted))
            last = start + last_bit(wanted)
    return first, last


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
