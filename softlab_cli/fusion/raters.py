"""How far the raters of a case agree, and which of them does not belong."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.fusion.agreement import dice_of_pairs, fleiss_kappa, mean_dice, vote_entropy
from softlab_cli.fusion.options import StapleOptions
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.fusion.shares import Shares, count_votes
from softlab_cli.fusion.staple import Staple, run_staple

__all__ = [
    "OUTLIER_RATIO",
    "PairAgreement",
    "RaterStatistics",
    "find_outliers",
    "rater_statistics",
]

OUTLIER_RATIO = 0.5
"""A rater is an outlier when it agrees with the others less than this share of how
far they agree among themselves."""


STATISTICS_STAPLE = StapleOptions(tolerance=1e-4, max_iterations=50)
"""How STAPLE is run for statistics only: for figures of four digits, and briefly."""


@dataclass(frozen=True)
class PairAgreement:
    """Dice of two raters.

    Parameters
    ----------
    raters
        Their names.
    dice
        For each class, over the voxels that both labelled; None where neither
        has the class.
    mean_dice
        Mean over the classes that occur, without background.
    """

    raters: tuple[str, str]
    dice: list[float | None]
    mean_dice: float


@dataclass(frozen=True)
class RaterStatistics:
    """Agreement of the raters of a case, as the store keeps it.

    Lists over classes have an entry for each class index, None where the figure
    is not defined.

    Parameters
    ----------
    raters
        Names, in the order of the other lists.
    labelled_voxels
        Voxels that at least one rater labelled.
    disputed_voxels
        Voxels where two raters named different classes.
    disputed_share
        Those, as a share of the labelled voxels.
    disputed_share_foreground
        Those, as a share of the voxels where a rater named another class than
        background; None where there are none.
    mean_entropy
        Entropy of the raters' shares, mean over the labelled voxels, in nats.
    majority_ties
        Voxels where several classes have most votes.
    pairs
        Each two raters.
    mean_dice
        For each rater, the mean of its `PairAgreement.mean_dice` with the others;
        None with one rater.
    fleiss_kappa, fleiss_kappa_overall
        See `softlab_cli.fusion.agreement.fleiss_kappa`.
    sensitivity, specificity
        For each rater and class, as STAPLE estimates them.
    staple
        How that estimation went; see `softlab_cli.fusion.staple.Staple.to_json`.
    outliers
        Names of raters that do not belong; see `find_outliers`.
    warnings
        A sentence for each of them.
    """

    raters: list[str]
    labelled_voxels: int
    disputed_voxels: int
    disputed_share: float
    disputed_share_foreground: float | None
    mean_entropy: float
    majority_ties: int
    pairs: list[PairAgreement]
    mean_dice: list[float | None]
    fleiss_kappa: list[float | None]
    fleiss_kappa_overall: float | None
    sensitivity: list[list[float | None]]
    specificity: list[list[float | None]]
    staple: dict[str, Any]
    outliers: list[str]
    warnings: list[str]

    def to_json(self) -> dict[str, Any]:
        """The statistics as the store keeps them."""
        return {**vars(self), "pairs": [dict(vars(pair)) for pair in self.pairs]}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> RaterStatistics:
        """The statistics that `to_json` wrote; entries of later versions are left out."""
        known = {f.name for f in fields(cls)}
        kept = {name: fact for name, fact in facts.items() if name in known}
        kept["pairs"] = [
            PairAgreement(tuple(p["raters"]), p["dice"], p["mean_dice"]) for p in facts["pairs"]
        ]
        return cls(**kept)


def rater_statistics(
    patterns: RaterPatterns,
    names: Sequence[str],
    background_index: int | None,
    staple: Staple | None = None,
) -> RaterStatistics:
    """Statistics of a case.

    Parameters
    ----------
    patterns
        The raters' labels.
    names
        Name of each rater.
    background_index
        The class that is no foreground, if there is one.
    staple
        What STAPLE found on these patterns; if not given it is run
        as `STATISTICS_STAPLE` says.
    """
    staple = run_staple(patterns, STATISTICS_STAPLE) if staple is None else staple
    votes, counts = count_votes(patterns.labels), patterns.counts
    labelled = int(counts[votes.lengths > 0].sum())
    disputed = int(counts[votes.lengths > 1].sum())
    pairs = _pairs(patterns, names, background_index)
    table = _table([p.mean_dice for p in pairs], len(names))
    outliers = find_outliers(table)
    kappa, overall = fleiss_kappa(votes, counts, len(names), patterns.class_count)
    return RaterStatistics(
        raters=list(names),
        labelled_voxels=labelled,
        disputed_voxels=disputed,
        disputed_share=disputed / max(1, labelled),
        disputed_share_foreground=_share_of_foreground(votes, counts, background_index),
        mean_entropy=math.fsum(vote_entropy(votes) * counts) / max(1, labelled),
        majority_ties=int(counts[votes.largest()[1]].sum()),
        pairs=pairs,
        mean_dice=_defined(_mean_with_others(table)),
        fleiss_kappa=_defined(kappa),
        fleiss_kappa_overall=_defined(np.array([overall]))[0],
        sensitivity=[_defined(row) for row in staple.sensitivity],
        specificity=[_defined(row) for row in staple.specificity],
        staple=staple.to_json(),
        outliers=[names[j] for j in outliers],
        warnings=[_warn(names[j], *agreement) for j, agreement in outliers.items()],
    )


def find_outliers(table: NDArray[np.float64]) -> dict[int, tuple[float, float]]:
    """Raters that agree with the others far less than those do among themselves.

    A rater is compared with the others *without* it, since one bad rater spoils
    the figures of all. It takes three raters: of two that differ nobody can say
    which is wrong. Ordinary spread (0.70 to 0.85) is never an outlier, and a
    mis-oriented rater (0.08, where the others have 0.75) is.

    Parameters
    ----------
    table
        (raters, raters) Dice of each two raters; the diagonal is not used.

    Returns
    -------
    outliers
        Rater to its mean Dice with the others, and theirs among themselves.
    """
    raters = len(table)
    if raters < 3:
        return {}
    with_others = _mean_with_others(table)
    pairs = np.triu(np.ones((raters, raters), bool), 1)
    found = {}
    for j in range(raters):
        if with_others[j] >= OUTLIER_RATIO:  # no others agree more than wholly
            continue
        rest = pairs.copy()
        rest[j] = rest[:, j] = False
        among_others = float(table[rest].mean())
        if with_others[j] < OUTLIER_RATIO * among_others:
            found[j] = (float(with_others[j]), among_others)
    return found


def _mean_with_others(table: NDArray[np.float64]) -> NDArray[np.float64]:
    others = len(table) - 1
    if not others:
        return np.full(1, np.nan)
    off_diagonal = np.where(np.eye(len(table), dtype=bool), 0, table)
    return np.asarray(off_diagonal.sum(axis=1) / others)


def _warn(name: str, with_others: float, among_others: float) -> str:
    return (
        f"rater {name} has a mean Dice of {with_others:.2f} with the others, which have "
        f"{among_others:.2f} among themselves. Check its orientation, its label values "
        "and whether it belongs to this case."
    )


def _pairs(
    patterns: RaterPatterns, names: Sequence[str], background_index: int | None
) -> list[PairAgreement]:
    per_class = dice_of_pairs(patterns.labels, patterns.counts, patterns.class_count)
    return [
        PairAgreement(pair, _defined(row), mean_dice(row, background_index))
        for pair, row in zip(combinations(names, 2), per_class, strict=True)
    ]


def _table(means: Sequence[float], raters: int) -> NDArray[np.float64]:
    table = np.eye(raters)
    for (i, j), mean in zip(combinations(range(raters), 2), means, strict=True):
        table[i, j] = table[j, i] = mean
    return table


def _share_of_foreground(
    votes: Shares, counts: NDArray[np.int64], background_index: int | None
) -> float | None:
    if background_index is None:
        named = votes.lengths > 0
    else:
        named = np.zeros(len(votes), bool)
        named[votes.rows[votes.classes != background_index]] = True
    voxels = int(counts[named].sum())
    return int(counts[votes.lengths > 1].sum()) / voxels if voxels else None


def _defined(figures: NDArray[np.float64]) -> list[float | None]:
    return [None if math.isnan(figure) else figure for figure in figures.tolist()]
