"""What soft labels, as bit patterns of float16, say of labels that they are to predict.

Sums are of whole numbers, so that they are the same in any order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel

__all__ = ["ScoreTables", "add_moved", "add_votes"]


class ScoreTables(NamedTuple):
    """What one probability adds, by its bit pattern; (15361,) each.

    Parameters
    ----------
    steps
        int64, the probability p in steps of 2^-24.
    bins
        int64, the bin that it lies in.
    hit_square, miss_square
        int64, (1 - p)^2 and p^2 in steps of 2^-32.
    hit_surprise, miss_surprise
        int64, -ln p and -ln (1 - p), clipped, in steps of 2^-32.
    """

    steps: NDArray[np.int64]
    bins: NDArray[np.int64]
    hit_square: NDArray[np.int64]
    miss_square: NDArray[np.int64]
    hit_surprise: NDArray[np.int64]
    miss_surprise: NDArray[np.int64]


@kernel
def add_votes(
    values: NDArray[np.uint16], classes: NDArray[np.int64], row_of: NDArray[np.int64],
    targets: NDArray[Any], tables: ScoreTables, sums: NDArray[np.int64], bins: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add what each voxel's soft label is worth against each label that it is tested with.

    A class that a voxel's soft label gives 0, and that is not its label, adds nothing here:
    its count belongs to the first bin of that class.

    Parameters
    ----------
    values
        (k, n) soft labels of n voxels, for the k classes that have any.
    classes
        (k,) class index of each row, ascending.
    row_of
        (C,) row of each class, or -1.
    targets
        (tests, n) class indices.
    tables
        What each soft label adds.
    sums
        (C + 1, 2) squares and surprises; of all classes together, then of each against the
        others.
    bins
        (C + 1, 3, bins) votes, their probabilities in steps of 2^-24, and those that came
        true; of the most probable class (the first of several), then of each.
    """
    rows, tests = len(classes), len(targets)
    for v in range(values.shape[1]):
        voxel = Unsigned(v)
        best, top, squares = 0, -1, np.int64(0)
        for row in range(rows):
            half = values[row, voxel]
            squares += tables.miss_square[half]
            if half > best:
                best, top = half, classes[row]
        place = tables.bins[best]
        bins[0, 0, place] += tests
        bins[0, 1, place] += tests * tables.steps[best]
        for test in range(tests):
            label = np.int64(targets[test, voxel])
            half = np.uint16(0) if row_of[label] < 0 else values[row_of[label], voxel]
            sums[0, 0] += squares - tables.miss_square[half] + tables.hit_square[half]
            sums[0, 1] += tables.hit_surprise[half]
            bins[0, 2, place] += label == top
            sums[label + 1, 0] += tables.hit_square[half]
            sums[label + 1, 1] += tables.hit_surprise[half]
            bins[label + 1, 0, tables.bins[half]] += 1
            bins[label + 1, 1, tables.bins[half]] += tables.steps[half]
            bins[label + 1, 2, tables.bins[half]] += 1
        for row in range(rows):
            half = values[row, voxel]
            if half == 0:
                continue
            own, others = classes[row] + 1, 0
            for test in range(tests):
                others += targets[test, voxel] != classes[row]
            sums[own, 0] += others * tables.miss_square[half]
            sums[own, 1] += others * tables.miss_surprise[half]
            bins[own, 0, tables.bins[half]] += others
            bins[own, 1, tables.bins[half]] += others * tables.steps[half]


@kernel
def add_moved(
    values: NDArray[np.uint16], row_of: NDArray[np.int64], labels: NDArray[Any],
    steps: NDArray[np.int64], found: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add how much of each voxel's soft label is not that of its own label.

    Parameters
    ----------
    values, row_of
        As for `add_votes`.
    labels
        (n,) class indices.
    steps
        As in `ScoreTables`.
    found
        (2,) mass that has moved, in steps of 2^-24, and voxels that it has moved at.
    """
    for v in range(values.shape[1]):
        voxel = Unsigned(v)
        row = row_of[np.int64(labels[voxel])]
        moved = steps[-1] - (steps[values[row, voxel]] if row >= 0 else 0)
        found[0] += moved
        found[1] += moved > 0
