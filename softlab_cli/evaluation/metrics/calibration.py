"""How far predicted probabilities are from how often they come true.

All of them compare, in bins of probability, the mean probability (confidence) with the
share of votes that it came true for (accuracy). Counts are pooled over voxels, and
over cases where tallies were added; means over cases of these figures hide what
bins of few voxels do, so they are not offered here.

What is counted is votes: with several raters each voxel has a pair (p, y_r) for each
(pooled, as in UNSURE 2025); `ece_over_raters` is the mean over raters instead, as
CURVAS has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.cells import FITS, TACE_THRESHOLD, Cells, bin_edges, exact_sums
from softlab_cli.evaluation.metrics.tallies import Tallies

__all__ = [
    "ClassMean",
    "Reliability",
    "ace",
    "class_mean",
    "class_reliability",
    "ece",
    "ece_over_raters",
    "equal_counts",
    "mce",
    "overconfidence",
    "reliability",
    "sce",
    "tace",
    "whole",
]


@dataclass(frozen=True)
class Reliability:
    """What a reliability diagram shows; of two sets of voxels, it adds up with ``+``.

    Parameters
    ----------
    count
        Votes in each bin.
    confidence
        Sum of their probabilities, exact.
    accuracy
        Sum of those that came true, exact.
    """

    count: tuple[int, ...]
    confidence: tuple[Fraction, ...]
    accuracy: tuple[Fraction, ...]

    @property
    def bin_count(self) -> int:
        """Number of bins."""
        return len(self.count)

    @property
    def votes(self) -> int:
        """Votes in all bins."""
        return sum(self.count)

    def mean_confidence(self) -> NDArray[np.float64]:
        """(bins,) mean probability of each bin; NaN where it is empty."""
        return _means(self.confidence, self.count)

    def mean_accuracy(self) -> NDArray[np.float64]:
        """(bins,) share that came true; NaN where a bin is empty."""
        return _means(self.accuracy, self.count)

    def share(self) -> NDArray[np.float64]:
        """(bins,) share of the votes in each bin: the confidence histogram."""
        return _means(tuple(Fraction(n) for n in self.count), (self.votes,) * self.bin_count)

    def gaps(self) -> list[Fraction]:
        """Confidence minus accuracy of each bin, summed over its votes."""
        return [c - a for c, a in zip(self.confidence, self.accuracy, strict=True)]

    def expected(self) -> float:
        """Sum over bins of n_b / N times abs(acc_b - conf_b); NaN without votes."""
        total = math.fsum(float(abs(gap)) for gap in self.gaps())
        return total / self.votes if self.votes else math.nan

    def largest(self) -> float:
        """Largest abs(acc_b - conf_b) of a bin that is not empty; NaN without votes."""
        pairs = [(gap, n) for gap, n in zip(self.gaps(), self.count, strict=True) if n]
        return max((float(abs(gap) / n) for gap, n in pairs), default=math.nan)

    def mean(self) -> float:
        """Mean of abs(acc_b - conf_b) over bins that are not empty; NaN without votes."""
        pairs = [(gap, n) for gap, n in zip(self.gaps(), self.count, strict=True) if n]
        total = math.fsum(float(abs(gap)) / n for gap, n in pairs)
        return total / len(pairs) if pairs else math.nan

    def signed(self) -> float:
        """Mean confidence minus mean accuracy: above 0 is over-confident."""
        total = sum(self.gaps(), Fraction(0))
        return float(total / self.votes) if self.votes else math.nan

    def __add__(self, other: Reliability) -> Reliability:
        """Of two sets of voxels."""
        return Reliability(
            tuple(a + b for a, b in zip(self.count, other.count, strict=True)),
            tuple(a + b for a, b in zip(self.confidence, other.confidence, strict=True)),
            tuple(a + b for a, b in zip(self.accuracy, other.accuracy, strict=True)),
        )


def _means(sums: tuple[Fraction, ...], counts: tuple[int, ...]) -> NDArray[np.float64]:
    return np.array([float(s / n) if n else math.nan for s, n in zip(sums, counts, strict=True)])


@dataclass(frozen=True)
class ClassMean:
    """A figure of each class, and its mean.

    Parameters
    ----------
    by_class
        (C,), NaN for classes that have none.
    mean
        Over the classes that count; NaN where none does.
    absent
        Classes that were left out because no rater saw them and they were nowhere the most
        probable; of the ones that were asked for.
    """

    by_class: NDArray[np.float64]
    mean: float
    absent: int


def class_mean(values: list[float], tallies: Tallies, foreground: bool = False) -> ClassMean:
    """Leave out classes that are absent, and take the mean of the others.

    Parameters
    ----------
    values
        One for each of the C classes.
    foreground
        Whether class 0 is left out of the mean.
    """
    by_class = np.where(tallies.absent, np.nan, np.array(values, np.float64))
    asked = by_class[1:] if foreground else by_class
    absent = int(tallies.absent[1 if foreground else 0 :].sum())
    found = asked[~np.isnan(asked)]
    return ClassMean(by_class, math.fsum(found) / len(found) if len(found) else math.nan, absent)


def reliability(
    tallies: Tallies, bin_count: int = 15, *, rater: int | None = None, closed: str = "upper"
) -> Reliability:
    """Reliability diagram of the most probable class.

    Parameters
    ----------
    tallies
        Of a region.
    bin_count
        Bins of equal width, (lower, upper], 0 in the first.
    rater
        One of the raters; by default all, pooled.
    closed
        As for `Cells.bins`.
    """
    chosen = tallies.without_raters() if rater is None else tallies.rater(rater)
    lacking = None if chosen.single is None else chosen.single.top_residual
    made = _binned(
        tallies.cells,
        bin_count,
        closed,
        chosen.top_count,
        chosen.top_correct,
        lacking,
        tallies.unit,
    )
    return made[0]


def class_reliability(
    tallies: Tallies, bin_count: int = 15, *, closed: str = "upper"
) -> list[Reliability]:
    """Reliability diagram of each class: its probability against its votes."""
    lacking = None if tallies.single is None else tallies.single.residual
    return _binned(
        tallies.cells, bin_count, closed, tallies.count, tallies.positive, lacking, tallies.unit
    )


def _binned(
    cells: Cells, bin_count: int, closed: str, count: NDArray[np.int64],
    positive: NDArray[np.int64], lacking: NDArray[np.int64] | None, unit: int,
) -> list[Reliability]:  # fmt: skip
    edges = bin_edges(cells, bin_count, closed)
    found = []
    for row in range(len(count)):
        steps = _in_bins(count[row], edges, cells.steps)
        if lacking is not None:
            gaps = _in_bins(lacking[row], edges)
            steps = [a - b for a, b in zip(steps, gaps, strict=True)]
        found.append(
            Reliability(
                tuple(_in_bins(count[row], edges)),
                tuple(Fraction(step, cells.scale) for step in steps),
                tuple(Fraction(votes, unit) for votes in _in_bins(positive[row], edges)),
            )
        )
    return found


def _in_bins(
    count: NDArray[np.int64], edges: NDArray[np.int64], steps: NDArray[np.int64] | None = None
) -> list[int]:
    """Sums of (cells,) counts over each bin, or of counts times steps."""
    if steps is not None and int(count.sum()) * int(steps[-1]) >= FITS:
        parts = [slice(a, b) for a, b in pairwise(edges.tolist())]
        return [exact_sums(count[part], steps[part])[0] for part in parts]
    upto = np.zeros(len(count) + 1, np.int64)
    np.cumsum(count if steps is None else count * steps, out=upto[1:])
    found: list[int] = np.diff(upto[edges]).tolist()
    return found


def ece(tallies: Tallies, bin_count: int = 15) -> float:
    """Expected calibration error of the most probable class, pooled over raters.

    ECE = sum over bins b of n_b / N times abs(acc_b - conf_b), bins (lower, upper] of equal
    width, counts pooled over voxels and cases (Naeini et al., AAAI 2015; Guo et al., ICML 2017,
    eq. 3). Its sign is a figure of its own: `overconfidence`.

    In a region that depends on the reference that is tested (reference > 0, the band around its
    borders) it is biased: a predictor that is calibrated by construction does not get 0.
    """
    return reliability(tallies, bin_count).expected()


def ece_over_raters(tallies: Tallies, bin_count: int = 15) -> float:
    """Mean over raters of the ECE against each, as the CURVAS challenges report it.

    It is not 0 for the raters' own mean: each of them is judged as if the others were wrong.
    """
    parts = [reliability(tallies, bin_count, rater=r) for r in range(tallies.rater_count)]
    found = [part.expected() for part in parts if part.votes]
    return math.fsum(found) / len(found) if found else math.nan


def mce(tallies: Tallies, bin_count: int = 15) -> float:
    """Maximum calibration error: largest abs(acc_b - conf_b) of a bin (Guo et al., eq. 5)."""
    return reliability(tallies, bin_count).largest()


def overconfidence(tallies: Tallies) -> float:
    """Mean confidence minus accuracy of the most probable class; below 0: under-confident."""
    return whole(tallies).signed()


def whole(tallies: Tallies) -> Reliability:
    """The most probable class in one bin: mean confidence and accuracy."""
    pooled = tallies.without_raters()
    (steps,) = exact_sums(pooled.top_count, tallies.cells.steps)
    if pooled.single is not None:
        steps -= int(pooled.single.top_residual.sum())
    accuracy = Fraction(int(pooled.top_correct.sum()), tallies.unit)
    return Reliability((tallies.votes,), (Fraction(steps, tallies.cells.scale),), (accuracy,))


def sce(tallies: Tallies, bin_count: int = 15, *, foreground: bool = False) -> ClassMean:
    """Static (class-wise) calibration error: the ECE of each class's own probability.

    Mean over classes of sum_b n_b / N abs(acc_b - conf_b), bins (lower, upper] of equal width,
    p = 0 in the first (Nixon et al., Measuring calibration in deep learning, 2019).
    """
    values = [part.expected() for part in class_reliability(tallies, bin_count)]
    return class_mean(values, tallies, foreground)


def equal_counts(tallies: Tallies, bin_count: int, threshold: float = -1.0) -> list[Reliability]:
    """Each class's probabilities above a threshold, in bins of equally many votes.

    Of n votes each bin has n // bins of them, in the order of p, and the last one has the
    remainder too. Where a bin ends among votes of one cell, they are shared out evenly: which
    of them came true does not depend on the order of voxels, as it does where one sorts.
    """
    above = tallies.cells.upper > threshold
    lacking = None if tallies.single is None else tallies.single.residual
    found = []
    for c in range(tallies.class_count):
        used = np.flatnonzero(above & (tallies.count[c] > 0))
        # 64 bits are enough for less than a billion billion parts, else Python's numbers.
        few = tallies.votes * max(tallies.cells.scale, tallies.unit) < 1 << 62
        counts = tallies.count[c, used].astype(np.int64 if few else object)
        mass = counts * tallies.cells.steps[used]
        if lacking is not None:
            mass -= lacking[c, used]
        ranks = _ranks(int(counts.sum()), bin_count)
        ends = _upto(counts)
        places = np.maximum(np.searchsorted(ends, ranks) - 1, 0).tolist()
        found.append(
            Reliability(
                tuple(b - a for a, b in pairwise(ranks)),
                _between(mass, ends, ranks, places, tallies.cells.scale),
                _between(tallies.positive[c, used], ends, ranks, places, tallies.unit),
            )
        )
    return found


def _upto(values: NDArray[Any]) -> NDArray[Any]:
    """(n + 1,) sums of (n,) values before each, and of all."""
    return np.concatenate([np.zeros(1, values.dtype), np.cumsum(values)])


def _ranks(votes: int, bin_count: int) -> list[int]:
    """Votes before each bin, and all of them."""
    return [votes // bin_count * place for place in range(bin_count)] + [votes]


def _between(
    values: NDArray[Any], ends: NDArray[Any], ranks: list[int], places: list[int], scale: int
) -> tuple[Fraction, ...]:
    """Sums of the cells' values between ranks, each rank somewhere in its place's cell."""
    sums = _upto(values)
    reached = []
    for rank, place in zip(ranks, places, strict=True):
        if rank == 0:
            reached.append(Fraction(0))
            continue
        first, last = int(ends[place]), int(ends[place + 1])
        before, after = int(sums[place]), int(sums[place + 1])
        size, inside = last - first, (after - before) * (rank - first)
        reached.append(Fraction(before * size + inside, size * scale))
    return tuple(b - a for a, b in pairwise(reached))


def ace(tallies: Tallies, bin_count: int = 15, *, foreground: bool = False) -> ClassMean:
    """Adaptive calibration error: bins of equal count, none left out.

    Mean over bins of abs(acc_b - conf_b), mean over classes (Nixon et al., 2019). See
    `equal_counts` for ties.
    """
    values = [part.mean() for part in equal_counts(tallies, bin_count)]
    return class_mean(values, tallies, foreground)


def tace(
    tallies: Tallies, bin_count: int = 15, threshold: float = TACE_THRESHOLD, *,
    foreground: bool = True,
) -> ClassMean:  # fmt: skip
    """Thresholded adaptive calibration error: p > `threshold`, bins of equal count, weighted.

    Sum over bins of n_b / N abs(acc_b - conf_b), N the votes above the threshold; mean over
    foreground classes (Nixon et al., 2019). The code published with SVLS takes the mean over
    bins of the weighted terms, which is this divided by the number of bins.

    Of float32, thresholds other than 0.001 and ends of bins are rounded down to the lower end
    of a cell.
    """
    values = [part.expected() for part in equal_counts(tallies, bin_count, threshold)]
    return class_mean(values, tallies, foreground)
