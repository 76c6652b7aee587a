"""Counting and renaming the values of label maps, at the speed of memory.

Label maps are made of long runs of one value, so values are looked at `RUN` at a
time first: where they are all the same, nothing is done voxel by voxel.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel

__all__ = ["count_values", "find_box", "map_values"]

RUN = 64
"""Values that are looked at together."""


@inlined
def _is_run(values: NDArray[Any], start: int) -> bool:
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
        if _is_run(values, start):
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
        if _is_run(values, start):
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
    for z in range(class_indices.shape[0]):
        for y in range(class_indices.shape[1]):
            first, last = _find_ends(class_indices[z, y], wanted)
            if first <= last:
                _grow(box[0], z, z)
                _grow(box[1], y, y)
                _grow(box[2], first, last)


@kernel
def _find_ends(row: NDArray[Any], wanted: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last wanted voxel of a row; the first is above the last when there is none."""
    first, last = len(row), -1
    for start in range(0, len(row), RUN):
        stop = min(start + RUN, len(row))
        if stop - start == RUN and _is_run(row, start):
            if wanted[Unsigned(row[Unsigned(start)])]:
                first = min(first, start)
                last = stop - 1
        else:
            for x in range(start, stop):
                if wanted[Unsigned(row[Unsigned(x)])]:
                    first = min(first, x)
                    last = x
    return first, last


@kernel
def _grow(ends: NDArray[np.int64], first: int, last: int) -> None:
    ends[0] = min(ends[0], first)
    ends[1] = max(ends[1], last)
