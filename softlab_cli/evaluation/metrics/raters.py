"""A prediction against several raters, and raters against each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.evaluation.metrics.grids import ignore_together, on_one_grid
from softlab_cli.evaluation.metrics.overlap import Confusion, confusion

__all__ = [
    "THRESHOLDS",
    "RaterAgreement",
    "ThresholdCounts",
    "energy_distances",
    "rater_agreement",
    "raters_against_others",
    "threshold_counts",
]

THRESHOLDS = tuple(float(t) for t in np.linspace(0.1, 0.8, 6))
"""Those of CURVAS-PDACVI 2025."""

BLOCK = 2**18
"""Voxels that are copied at once."""


@dataclass(frozen=True, eq=False)
class RaterAgreement:
    """Counts of voxels by whether the raters agree on a class there, which cases may add up.

    Where they do not, it is disputed. The fields are those of
    `softlab_cli.kernels.overlap.RaterCounts`, which says what they are.
    """

    agreed: NDArray[np.int64]
    disputed: NDArray[np.int64]
    of_rater: NDArray[np.int64]
    common: NDArray[np.int64]

    def __add__(self, other: RaterAgreement) -> RaterAgreement:
        """Both together: of blocks, or of cases with the same raters."""
        return RaterAgreement(
            self.agreed + other.agreed,
            self.disputed + other.disputed,
            self.of_rater + other.of_rater,
            self.common + other.common,
        )

    def consensus_dice(self, class_index: int) -> float:
        """DSC in the voxels where all raters agree on the class.

        ``2 |A & P| / (|A| + |P|)`` with A what all raters say and P what the prediction says
        there; 1 where both are empty. The region is that of CURVAS 2024 (Riera-Marin et al.);
        its own code then averages DSC over image rows, see
        `softlab_cli.evaluation.metrics.published_overlap.curvas_2024_consensus_dice`.
        """
        said, predicted, both = (int(n) for n in self.agreed[:, class_index])
        return _dice(said, predicted, both)

    def dissensus_dice(self, class_index: int) -> float:
        """DSC in the voxels where raters do not agree on the class: the mean over raters.

        A rater and the prediction without the class there agree (1), as everywhere.
        """
        predicted = int(self.disputed[class_index])
        every = [
            _dice(int(said[class_index]), predicted, int(both[class_index]))
            for said, both in zip(self.of_rater, self.common, strict=True)
        ]
        return math.fsum(every) / len(every)


def _dice(one: int, other: int, both: int) -> float:
    return 2 * both / (one + other) if one + other else 1.0


def rater_agreement(
    raters: Sequence[NDArray[Any]],
    prediction: NDArray[Any],
    class_count: int,
    *,
    ignore_index: int | None = None,
) -> RaterAgreement:
    """Count where raters agree and where they do not, with the prediction's part in it.

    Parameters
    ----------
    raters
        Each (Z, Y, X) class indices of one type, uint8 or uint16; pictures without Z. Blocks of
        volumes, too.
    prediction
        The same of the prediction.
    class_count
        Indices below it are classes; others are none.
    ignore_index
        Where a rater has it, nothing is counted.

    Raises
    ------
    GeometryError, UsageError
        As `on_one_grid`; there is no rater.
    """
    from softlab_cli.kernels.overlap import RaterCounts, count_rater_agreement

    if not raters:
        raise UsageError("there are no raters.", remedy="Give one at least.")
    flat = [on_one_grid(rater, prediction, ())[0].reshape(-1) for rater in raters]
    predicted = on_one_grid(raters[0], prediction, ())[1].reshape(-1)
    counts = RaterCounts(
        np.zeros((3, class_count), np.int64),
        np.zeros(class_count, np.int64),
        np.zeros((len(raters), class_count), np.int64),
        np.zeros((len(raters), class_count), np.int64),
    )
    ignored = -1 if ignore_index is None else ignore_index
    for start in range(0, len(predicted), BLOCK):
        inside = slice(start, start + BLOCK)
        block = np.stack([rater[inside] for rater in flat])
        count_rater_agreement(block, predicted[inside], ignored, counts)
    return RaterAgreement(*counts)


def energy_distances(
    samples: Sequence[NDArray[Any]],
    raters: Sequence[NDArray[Any]],
    classes: Sequence[int],
    *,
    ignore_index: int | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """Squared generalised energy distance of each class.

    ``GED^2 = 2 E d(S, Y) - E d(S, S') - E d(Y, Y')`` with ``d = 1 - IoU``, S and S' samples of the
    prediction and Y and Y' raters, drawn independently: a sample and itself are a pair too.
    d is 0 where both are empty. Kohl et al., A probabilistic U-Net, 2018.

    Parameters
    ----------
    samples, raters
        Each (Z, Y, X) class indices, uint8 or uint16. A prediction without samples is one.
    classes
        The classes, ascending or not.
    ignore_index
        A pair of maps is compared where neither has it.
    threads
        The result does not depend on it.

    Returns
    -------
    numpy.ndarray
        (classes,) float64, from 0 (the same distribution) to 2.
    """
    maps = [*samples, *raters]
    apart = np.zeros((len(maps), len(maps), len(classes)))
    for i, j in combinations(range(len(maps)), 2):
        ious = _ious(maps[i], maps[j], classes, ignore_index, threads)
        apart[i, j] = apart[j, i] = 1 - ious
    n = len(samples)
    between = apart[:n, n:].mean(axis=(0, 1))
    squares: NDArray[np.float64] = (
        2 * between - apart[:n, :n].mean(axis=(0, 1)) - apart[n:, n:].mean(axis=(0, 1))
    )
    return squares


def _ious(
    one: NDArray[Any],
    other: NDArray[Any],
    classes: Sequence[int],
    ignore_index: int | None,
    threads: int,
) -> NDArray[np.float64]:
    found = _both_ways(one, other, classes, ignore_index, threads)
    return np.array([found.overlap(c).iou for c in classes])


def raters_against_others(
    raters: Sequence[NDArray[Any]],
    classes: Sequence[int],
    *,
    ignore_index: int | None = None,
    threads: int = 1,
) -> NDArray[np.float64]:
    """The human line: mean DSC of each rater against each of the others.

    Parameters
    ----------
    raters
        Two at least; each (Z, Y, X) class indices, uint8 or uint16.
    classes, ignore_index, threads
        As for `energy_distances`.

    Returns
    -------
    numpy.ndarray
        (raters, classes) float64; nan where neither a rater nor any other has the class.
    """
    if len(raters) < 2:
        raise UsageError("one rater has no others.", remedy="Give two at least.")
    dice = np.full((len(raters), len(raters), len(classes)), np.nan)
    for i, j in combinations(range(len(raters)), 2):
        found = _both_ways(raters[i], raters[j], classes, ignore_index, threads)
        for k, class_index in enumerate(classes):
            overlap = found.overlap(class_index)
            if not overlap.is_absent:
                dice[i, j, k] = dice[j, i, k] = overlap.dice
    counted = np.isfinite(dice).sum(axis=1)
    line = np.full(counted.shape, np.nan)
    np.divide(np.nansum(dice, axis=1), counted, out=line, where=counted > 0)
    return line


def _both_ways(
    one: NDArray[Any],
    other: NDArray[Any],
    classes: Sequence[int],
    ignore_index: int | None,
    threads: int,
) -> Confusion:
    """Pairs of classes where neither of two maps is ignored."""
    judged = ignore_together(other, one, ignore_index)
    return confusion(judged, other, max(classes) + 1, ignore_index=ignore_index, threads=threads)


@dataclass(frozen=True, eq=False)
class ThresholdCounts:
    """Voxels above thresholds; counts, which blocks and cases may add up.

    Parameters
    ----------
    thresholds
        Ascending.
    levels
        (thresholds + 1, thresholds + 1) int64: voxels by how many thresholds the share of the
        raters is above, and how many the prediction is above.
    """

    thresholds: tuple[float, ...]
    levels: NDArray[np.int64]

    def __add__(self, other: ThresholdCounts) -> ThresholdCounts:
        """Both together."""
        return ThresholdCounts(self.thresholds, self.levels + other.levels)

    def dice_at(self, place: int) -> float:
        """DSC of what is above a threshold in both; 1 where both are empty."""
        above = slice(place + 1, None)
        one, other = int(self.levels[above].sum()), int(self.levels[:, above].sum())
        return _dice(one, other, int(self.levels[above, above].sum()))

    @property
    def dice(self) -> float:
        """Thresholded DSC: the mean over all thresholds.

        ``mean_t 2 |[p > t] & [m > t]| / (|[p > t]| + |[m > t]|)``, m the share of raters.
        QUBIQ 2020 and 2021 threshold prediction and raters' mean alike, so does CURVAS-PDACVI
        2025, whose six thresholds `THRESHOLDS` are the default.
        """
        every = [self.dice_at(place) for place in range(len(self.thresholds))]
        return math.fsum(every) / len(every)


def threshold_counts(
    prediction: NDArray[Any],
    votes: NDArray[np.integer[Any]],
    raters: int,
    *,
    thresholds: Sequence[float] = THRESHOLDS,
    counted: NDArray[np.bool_] | None = None,
) -> ThresholdCounts:
    """Count the voxels of one class above each threshold, in prediction and raters' mean.

    Parameters
    ----------
    prediction
        (Z, Y, X) soft labels of the class, of any real type; a block of a volume, too.
    votes
        (Z, Y, X), how many raters say the class.
    raters
        How many there are.
    thresholds
        Ascending; above means more than.
    counted
        (Z, Y, X), where voxels count; None is everywhere.

    Raises
    ------
    InputError
        The prediction is NaN where voxels count.
    GeometryError, UsageError
        The arrays have different shapes; thresholds do not ascend.
    """
    steps = np.asarray(thresholds, np.float64)
    if not len(steps) or (np.diff(steps) <= 0).any():
        raise UsageError(f"thresholds are {tuple(steps)}.", remedy="Give them in ascending order.")
    if prediction.shape != votes.shape:
        on_one_grid(votes.astype(np.uint16), prediction, ())
    shares = np.arange(raters + 1) / raters
    level_of_votes = np.searchsorted(steps, shares, side="left")
    n = len(steps) + 1
    levels = np.zeros(n * n, np.int64)
    flat, said = prediction.reshape(-1), votes.reshape(-1)
    where = None if counted is None else counted.reshape(-1)
    for start in range(0, len(flat), BLOCK):
        inside = slice(start, start + BLOCK)
        kept = slice(None) if where is None else where[inside]
        # In float64: a threshold is not to be rounded to the type of the prediction.
        values = flat[inside][kept].astype(np.float64)
        if np.isnan(values).any():
            raise InputError(
                f"{np.count_nonzero(np.isnan(values))} of {len(values)} predicted values are NaN.",
                remedy="NaN is above no threshold and below none: predict a number.",
            )
        level = np.searchsorted(steps, values, side="left")
        pairs = level_of_votes[said[inside][kept]] * n + level
        levels += np.bincount(pairs, minlength=n * n)
    return ThresholdCounts(tuple(map(float, steps)), levels.reshape(n, n))
