"""Proper scores of predicted probabilities, and what is said of probabilities alone.

Targets are the shares s_c of the raters' votes; of one rater 0 and 1. All are means over
votes: a voxel weighs as much as raters labelled it, so where all raters labelled all
voxels they are means over voxels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.calibration import (
    ClassMean,
    class_mean,
    class_reliability,
    whole,
)
from softlab_cli.evaluation.metrics.cells import CLIP
from softlab_cli.evaluation.metrics.tallies import Tallies
from softlab_cli.kernels.forecasts import FIXED

__all__ = [
    "BrierParts",
    "brier",
    "brier_by_class",
    "brier_parts",
    "clipped_votes",
    "confidence",
    "entropy",
    "nll",
    "rps",
    "semimetric_dice",
    "sharpness",
    "soft_dice",
]


def brier_by_class(tallies: Tallies) -> NDArray[np.float64]:
    """(C,) mean of (p_c - s_c)^2; NaN without votes."""
    return np.array([float(b / tallies.votes) if tallies.votes else math.nan
                     for b in _squared_gaps(tallies)])  # fmt: skip


def brier(tallies: Tallies) -> float:
    """Brier score: sum over classes of (p_c - s_c)^2, mean over votes; 0 to 2.

    Brier, Verification of forecasts expressed in terms of probability, 1950, eq. 2. The mean
    over classes that scikit-learn takes is 1/C of it. Exact for float16 and hard labels.
    """
    total = sum(_squared_gaps(tallies), Fraction(0))
    return float(total / tallies.votes) if tallies.votes else math.nan


def _squared_gaps(tallies: Tallies) -> list[Fraction]:
    # Against each vote y it is p^2 - 2 p y + y; s (1 - s) of that is the raters' own.
    votes = [Fraction(int(n), tallies.unit) for n in tallies.positive.sum(axis=1).tolist()]
    parts = zip(tallies.squares, tallies.overlap, votes, tallies.spread.tolist(), strict=True)
    return [square - 2 * overlap + n - spread for square, overlap, n, spread in parts]


@dataclass(frozen=True)
class BrierParts:
    """What a Brier score is made of; each summed over classes, and by class (C,).

    score = reliability - resolution + uncertainty + within_bins - disagreement.

    Parameters
    ----------
    reliability
        Sum over bins of n_b / N (conf_b - acc_b)^2; 0 is best.
    resolution
        Sum over bins of n_b / N (acc_b - acc)^2; large is good.
    uncertainty
        acc (1 - acc), of the votes alone.
    within_bins
        What probabilities that differ within a bin add: their variance there, less twice their
        covariance with the votes. 0 where each bin has one probability.
    disagreement
        Mean of s (1 - s): what no prediction can be blamed for. 0 for one rater.
    by_class
        The same, each (C,), in this order.
    """

    reliability: float
    resolution: float
    uncertainty: float
    within_bins: float
    disagreement: float
    by_class: tuple[NDArray[np.float64], ...]


def brier_parts(tallies: Tallies, bin_count: int = 15) -> BrierParts:
    """Decompose the Brier score in bins (lower, upper] of equal width.

    Murphy, A new vector partition of the probability score, 1973; the term within bins as in
    Stephenson et al., Two extra components in the Brier score decomposition, 2008.
    """
    rows: list[list[Fraction]] = []
    nothing = Fraction(0)
    spread, gaps = tallies.spread.tolist(), _squared_gaps(tallies)
    for index, part in enumerate(class_reliability(tallies, bin_count)):
        total = part.votes
        if not total:
            break
        rate = sum(part.accuracy, nothing) / total
        bins = list(zip(part.count, part.confidence, part.accuracy, strict=True))
        reliable = sum(((p - k) ** 2 / n for n, p, k in bins if n), nothing) / total
        resolved = sum((n * (k / n - rate) ** 2 for n, _, k in bins if n), nothing) / total
        score = gaps[index] / total
        disagreed = Fraction(spread[index]) / total
        uncertain = rate * (1 - rate)
        within = score - reliable + resolved - uncertain + disagreed
        rows.append([reliable, resolved, uncertain, within, disagreed])
    if not rows:
        empty = np.full(tallies.class_count, np.nan)
        nan = math.nan
        return BrierParts(nan, nan, nan, nan, nan, (empty,) * 5)
    columns = list(zip(*rows, strict=True))
    by_class = tuple(np.array([float(value) for value in column]) for column in columns)
    a, b, c, d, e = (float(sum(column, nothing)) for column in columns)
    return BrierParts(a, b, c, d, e, by_class)


def nll(tallies: Tallies) -> float:
    """Negative log-likelihood: -ln p of the voters' classes, mean over votes, in nats.

    With shares as targets it is the cross-entropy -sum_c s_c ln p_c. p below 1e-7 counts as
    1e-7; `clipped_votes` says how many those are.
    """
    if not tallies.votes:
        return math.nan
    if tallies.single is not None:
        return tallies.single.surprise / FIXED / tallies.votes
    by_cell = tallies.positive.sum(axis=0)
    used = np.flatnonzero(by_cell)
    logarithms = -np.log(np.maximum(tallies.cells.upper[used], CLIP))
    total = math.fsum((by_cell[used] * logarithms).tolist())
    return total / tallies.unit / tallies.votes


def clipped_votes(tallies: Tallies) -> float:
    """Votes for a class whose probability is below 1e-7 (of float32: not above)."""
    below = tallies.cells.upper <= CLIP
    return float(tallies.positive[:, below].sum() / tallies.unit)


def rps(tallies: Tallies) -> float:
    """Ranked probability score: sum over k of (P(c <= k) - S(c <= k))^2, mean over votes.

    Epstein, A scoring system for probability forecasts of ranked categories, 1969; not divided
    by C - 1, so that of two classes it is half the Brier score. It means something where classes
    have an order.

    Raises
    ------
    UsageError
        When it was not asked for in the pass.
    """
    if tallies.ranked is None:
        raise UsageError(
            "ranked probability scores were not gathered, and cannot be found from counts.",
            remedy="Say in the pass over the predictions that classes are ordered.",
        )
    return tallies.ranked / FIXED / tallies.votes if tallies.votes else math.nan


def confidence(tallies: Tallies) -> float:
    """Mean probability of the most probable class; NaN without votes."""
    return float(whole(tallies).mean_confidence()[0])


def sharpness(tallies: Tallies) -> float:
    """Sum over classes of p_c^2, mean over votes: 1 of hard predictions, 1/C of even ones.

    It is of the predictions alone: sharp is good where calibration is, and bad where not
    (Gneiting et al., Probabilistic forecasts, calibration and sharpness, 2007).
    """
    total = sum(tallies.squares, Fraction(0))
    return float(total / tallies.votes) if tallies.votes else math.nan


def entropy(tallies: Tallies) -> float:
    """-sum over classes of p_c ln p_c, mean over votes, in nats.

    Of float32 each cell's mean stands for its probabilities.
    """
    if not tallies.votes:
        return math.nan
    by_cell = tallies.count.sum(axis=0)
    used = np.flatnonzero(by_cell)
    chance = tallies.cells.upper[used].copy()
    if tallies.single is not None:
        lacking = tallies.single.residual.sum(axis=0)[used]
        chance -= lacking / by_cell[used] / FIXED
    logarithms = np.log(chance, out=np.zeros_like(chance), where=chance > 0)
    return math.fsum((-by_cell[used] * chance * logarithms).tolist()) / tallies.votes


def soft_dice(tallies: Tallies, *, foreground: bool = True) -> ClassMean:
    """Soft Dice 2 sum(p s) / (sum(p) + sum(s)) against shares or soft labels.

    It is linear in s, so it is largest at a hard prediction and not at p = s (METHODS of the
    losses: `softlab_cli.trainers.losses`). NaN where both are empty.
    """
    found = [
        float(2 * overlap / (mass + n)) if mass + n else math.nan
        for overlap, mass, n in zip(tallies.overlap, tallies.mass, _targets(tallies), strict=True)
    ]
    return class_mean(found, tallies, foreground)


def semimetric_dice(tallies: Tallies, *, foreground: bool = True) -> ClassMean:
    """Dice semimetric 1 - sum(abs(p - s)) / (sum(p) + sum(s)): 1 where p = s, and only there.

    One minus DML1 of Wang et al., Dice semimetric losses, MICCAI 2023; of hard predictions and
    references it is Dice. NaN where both are empty.
    """
    found = [
        float(1 - Fraction(int(gap), int(FIXED)) / (mass + n)) if mass + n else math.nan
        for gap, mass, n in zip(
            tallies.absolute.tolist(), tallies.mass, _targets(tallies), strict=True
        )
    ]
    return class_mean(found, tallies, foreground)


def _targets(tallies: Tallies) -> list[Fraction]:
    return [Fraction(int(n), tallies.unit) for n in tallies.positive.sum(axis=1).tolist()]
