"""Sparse tables of whole numbers: how much of each class a pattern has.

Shares are counted in whole parts, never in floating point, so that sums of them
do not depend on the order of raters, voxels or threads.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlab_cli.fusion.patterns import UNLABELLED

__all__ = ["FINEST", "Shares", "count_votes", "one_class", "to_parts"]

FINEST = 2**24
"""Most parts of a whole: one part is then the smallest step of float16."""


@dataclass(frozen=True)
class Shares:
    """Rows of classes with their parts; row r is ``starts[r]`` to ``starts[r + 1]``.

    Parameters
    ----------
    starts
        (rows + 1,) int64.
    classes
        (n,) int64 class indices, rising in each row.
    parts
        (n,) int64, above 0. A row may be empty: nothing is known there.
    """

    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    parts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(rows,) int64, classes in each row."""
        return self.starts[1:] - self.starts[:-1]

    @property
    def rows(self) -> NDArray[np.int64]:
        """(n,) int64, the row of each entry."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @property
    def totals(self) -> NDArray[np.int64]:
        """(rows,) int64, parts of all classes together."""
        sums = np.concatenate([[0], np.cumsum(self.parts)])
        return np.asarray(sums[self.starts[1:]] - sums[self.starts[:-1]])

    def largest(self) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """The class with most parts in each row; among equals the lowest.

        Returns
        -------
        classes
            (rows,) int64, `UNLABELLED` for empty rows.
        tied
            (rows,) whether several classes have most parts.
        """
        from softlab_cli.kernels.fusion import find_largest

        winners = np.full(len(self), UNLABELLED, np.int64)
        tied = np.zeros(len(self), bool)
        find_largest(self.starts, self.classes, self.parts, winners, tied)
        return winners, tied

    def with_total(self, total: int) -> Shares:
        """The same shares in parts of which `total` make a whole, rounded.

        What rounding leaves over goes to the largest class of a row, and classes
        that are left with nothing drop out.
        """
        fractions = self.parts / np.repeat(self.totals, self.lengths)
        return to_parts(self.starts, self.classes, fractions, total)


def count_votes(labels: NDArray[np.int32], weights: NDArray[np.int64] | None = None) -> Shares:
    """What the raters of each pattern voted for.

    Parameters
    ----------
    labels
        (patterns, raters) int32 class indices or `UNLABELLED`.
    weights
        (raters,) int64, parts that each rater's vote is worth; 1 if not given.

    Returns
    -------
    votes
        A row for each pattern; empty where all raters ignored the voxel.
    """
    from softlab_cli.kernels.fusion import gather_votes

    count, raters = labels.shape
    weights = np.ones(raters, np.int64) if weights is None else weights
    starts = np.empty(count + 1, np.int64)
    classes, parts = np.empty(labels.size, np.int64), np.empty(labels.size, np.int64)
    end = gather_votes(labels, weights, starts, classes, parts)
    return Shares(starts, classes[:end].copy(), parts[:end].copy())


def one_class(classes: NDArray[np.int64]) -> Shares:
    """Rows of a single class each; `UNLABELLED` makes an empty row."""
    filled = classes != UNLABELLED
    starts = np.concatenate([[0], np.cumsum(filled)]).astype(np.int64)
    return Shares(starts, classes[filled], np.ones(int(filled.sum()), np.int64))


def to_parts(
    starts: NDArray[np.int64],
    classes: NDArray[np.int64],
    fractions: NDArray[np.float64],
    total: int = FINEST,
) -> Shares:
    """Whole parts of fractions that add up to 1 in each row.

    Parameters
    ----------
    starts, classes
        As in `Shares`.
    fractions
        (n,) float64, at least 0.
    total
        Parts that make a whole.

    Returns
    -------
    shares
        Every row that is not empty adds up to `total` exactly: the remainder of
        rounding goes to the largest class, among equals the lowest.
    """
    parts = np.rint(fractions * total).astype(np.int64)
    rounded = Shares(starts, classes, parts)
    winners, _ = rounded.largest()
    rows = rounded.rows
    parts = parts + np.where(classes == winners[rows], (total - rounded.totals)[rows], 0)
    kept = parts > 0
    before = np.concatenate([[0], np.cumsum(kept)])
    return Shares(before[starts], classes[kept], parts[kept])


def common_total(totals: NDArray[np.int64]) -> int:
    """Fewest parts that all rows' shares can be written in, or `FINEST` if that is less."""
    whole = 1
    for total in np.unique(totals[totals > 0]).tolist():
        whole = math.lcm(whole, total)
        if whole > FINEST:
            return FINEST
    return whole
