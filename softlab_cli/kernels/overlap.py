"""Counts of pairs of labels, voxel by voxel; whole numbers, whatever the order."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel
from softlab_cli.kernels.labels import RUN, one_value

__all__ = ["RaterCounts", "count_pairs", "count_rater_agreement"]


@kernel
def count_pairs(
    reference: NDArray[Any], prediction: NDArray[Any], ignored: int, counts: NDArray[np.int64]
) -> None:
    """Add how often each label of the reference meets each of the prediction.

    Parameters
    ----------
    reference, prediction
        (n,) of unsigned types.
    ignored
        Label of voxels that the reference does not judge; -1 for none.
    counts
        (C + 2, C + 1): labels from C on count as C, voxels that are ignored in the last row.
    """
    voxels = len(reference)
    for start in range(0, voxels, RUN):
        stop = min(start + RUN, voxels)
        # Label maps are made of long runs: voxel by voxel takes 5 times as long.
        if stop - start == RUN and one_value(reference, start) and one_value(prediction, start):
            _count(reference[Unsigned(start)], prediction[Unsigned(start)], ignored, RUN, counts)
        else:
            for i in range(start, stop):
                _count(reference[Unsigned(i)], prediction[Unsigned(i)], ignored, 1, counts)


@inlined
def _count(a: int, b: int, ignored: int, times: int, counts: NDArray[np.int64]) -> None:
    most = counts.shape[1] - 1
    row = most + 1 if np.int64(a) == ignored else min(np.int64(a), most)
    counts[Unsigned(row), Unsigned(min(np.int64(b), most))] += times


class RaterCounts(NamedTuple):
    """Voxels of each class, by whether the raters agree on the class there.

    They agree on a class in a voxel where all of them say it, or none does.

    Parameters
    ----------
    agreed
        (3, C) int64: where they agree, voxels that all raters say, that the prediction says,
        and that both say.
    disputed
        (C,) int64: where they do not, voxels that the prediction says.
    of_rater, common
        (raters, C) int64: where they do not, voxels that the rater says, and that the prediction
        says as well.
    """

    agreed: NDArray[np.int64]
    disputed: NDArray[np.int64]
    of_rater: NDArray[np.int64]
    common: NDArray[np.int64]


@kernel
def count_rater_agreement(
    raters: NDArray[Any], prediction: NDArray[Any], ignored: int, counts: RaterCounts
) -> None:
    """Add the voxels of some raters and a prediction.

    Parameters
    ----------
    raters
        (raters, n) of an unsigned type; labels from C on are of no class.
    prediction
        (n,) of an unsigned type.
    ignored
        Label of voxels that a rater does not judge; where one does not, nothing counts.
        -1 for none.
    counts
        Is added to.
    """
    raters_count, voxels = raters.shape
    classes = len(counts.disputed)
    for i in range(voxels):
        first = np.int64(raters[0, Unsigned(i)])
        predicted = np.int64(prediction[Unsigned(i)])
        agree, skip, says = True, first == ignored, first == predicted
        for r in range(1, raters_count):
            label = np.int64(raters[r, Unsigned(i)])
            agree &= label == first
            skip |= label == ignored
            says |= label == predicted
        if skip:
            continue
        if agree and first < classes:
            counts.agreed[0, Unsigned(first)] += 1
        if predicted < classes:
            if agree or not says:
                counts.agreed[1, Unsigned(predicted)] += 1
                if says:
                    counts.agreed[2, Unsigned(predicted)] += 1
            else:
                counts.disputed[Unsigned(predicted)] += 1
        if not agree:
            for r in range(raters_count):
                label = np.int64(raters[r, Unsigned(i)])
                if label < classes:
                    counts.of_rater[r, Unsigned(label)] += 1
                    if label == predicted:
                        counts.common[r, Unsigned(label)] += 1
