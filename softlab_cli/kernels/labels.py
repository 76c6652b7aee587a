"""Counting, renaming and boxing the values of label maps, at the speed of memory.

Label maps are made of long runs of one value, so values are looked at `RUN` at a
time first: where they are all the same, nothing is done voxel by voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel

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
    runs = len(values) // RUN
    for run in range(runs):
        start = run * RUN
        # Each addition to a counter waits for the one before: without this test, counting takes
        # 1.3 times as long.
        if one_value(values, start):
            counts[Unsigned(values[Unsigned(start)])] += RUN
        else:
            for i in range(start, start + RUN):
                counts[Unsigned(values[Unsigned(i)])] += 1
    for i in range(runs * RUN, len(values)):
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
    class_indices: NDArray[Any], wanted: NDArray[np.bool_], box: NDArray[np.int64]
) -> None:
    """Grow a box until it holds all voxels of the wanted classes.

    Parameters
    ----------
    class_indices
        (Z, Y, X) of an unsigned type, each below ``len(wanted)``.
    wanted
        Class index to whether it is wanted.
    box
        (3, 2), first and last along Z, Y and X; first above last when it is empty.
    """
    width = class_indices.shape[2]
    for z in range(class_indices.shape[0]):
        for y in range(class_indices.shape[1]):
            row = class_indices[z, y]
            first, last = box[2, 0], box[2, 1]
            # Only what lies beyond the box can make it grow.
            left = _first_wanted(row, 0, first, wanted)
            behind = max(last + 1, left)
            right = _last_wanted(row, behind, width, wanted)
            found = left < first or right >= behind
            if not found and not (_holds(box[0], z) and _holds(box[1], y)):
                found = _first_wanted(row, first, last + 1, wanted) <= last
            if found:
                _grow(box[0], z, z)
                _grow(box[1], y, y)
                _grow(box[2], left, right)


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
def _first_wanted(row: NDArray[Any], start: int, stop: int, wanted: NDArray[np.bool_]) -> int:
    """First wanted voxel of a part of a row; `stop` when there is none."""
    for begin in range(start, stop, RUN):
        end = min(begin + RUN, stop)
        # One voxel tells for all of a run; looking at each takes 5 times as long.
        is_run = end - begin == RUN and one_value(row, begin)
        for x in range(begin, begin + 1 if is_run else end):
            if wanted[Unsigned(row[Unsigned(x)])]:
                return x
    return stop


@kernel
def _last_wanted(row: NDArray[Any], start: int, stop: int, wanted: NDArray[np.bool_]) -> int:
    """Last wanted voxel of a part of a row; ``start - 1`` when there is none."""
    for end in range(stop, start, -RUN):
        begin = max(end - RUN, start)
        is_run = end - begin == RUN and one_value(row, begin)
        for x in range(end - 1, end - 2 if is_run else begin - 1, -1):
            if wanted[Unsigned(row[Unsigned(x)])]:
                return x
    return start - 1


@kernel
def _holds(ends: NDArray[np.int64], place: int) -> bool:
    return bool(ends[0] <= place <= ends[1])


@kernel
def _grow(ends: NDArray[np.int64], first: int, last: int) -> None:
    ends[0] = min(ends[0], first)
    ends[1] = max(ends[1], last)
