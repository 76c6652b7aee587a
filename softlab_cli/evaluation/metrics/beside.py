"""What is added up beside the counts where they do not say it all.

Of float32 a cell is a range, so what its numbers lack to the upper end is added up, and
logarithms of the voters' probabilities. Shares of several raters are compared as they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.cells import CLIP
from softlab_cli.evaluation.metrics.tallies import Tallies
from softlab_cli.kernels.forecasts import FIXED

__all__ = ["Placed", "add_hard", "add_soft", "votes_of", "with_absolute"]

Whole = NDArray[np.int64]


class Placed(NamedTuple):
    """Voxels with the cells of their probabilities.

    Parameters
    ----------
    steps
        (cells,) upper ends, in steps of `FIXED`.
    cells, values
        (C, n).
    top, slots
        (n,) most probable class, and combination of regions.
    """

    steps: Whole
    cells: NDArray[Any]
    values: NDArray[Any]
    top: NDArray[np.uint16]
    slots: NDArray[np.uint8]

    def lacking(self, labels: Whole, voxels: Whole) -> Whole:
        """Steps that the probabilities of these classes lack to the ends of their cells."""
        exact = np.rint(self.values[labels, voxels].astype(np.float64) * FIXED)
        return np.asarray(self.steps[self.cells[labels, voxels]] - exact.astype(np.int64))

    def surprise(self, labels: Whole, voxels: Whole) -> NDArray[np.float64]:
        """-ln of the probabilities of these classes, clipped, in steps."""
        chance = np.maximum(self.values[labels, voxels].astype(np.float64), CLIP)
        return np.asarray(-np.log(chance) * FIXED)


def add_hard(
    placed: Placed, references: NDArray[Any], ignore_index: int,
    residual: Whole, surprise: Whole, top_residual: Whole,
) -> None:  # fmt: skip
    """Add the votes of (R, n) class indices.

    Parameters
    ----------
    residual, surprise, top_residual
        (slots, C), (slots,) and (slots, R, cells), in steps.
    """
    for rater, row in enumerate(references):
        inside = np.flatnonzero(row.astype(np.int64) != ignore_index)
        labels, slots = row[inside].astype(np.int64), placed.slots[inside]
        np.add.at(residual, (slots, labels), placed.lacking(labels, inside))
        np.add.at(surprise, slots, np.rint(placed.surprise(labels, inside)).astype(np.int64))
        _add_top(placed, inside, top_residual[:, rater])


def add_soft(
    placed: Placed, target: NDArray[np.float64],
    residual: Whole, surprise: Whole, top_residual: Whole,
) -> None:  # fmt: skip
    """As `add_hard`, of (C, n) soft labels, which are shares of one vote."""
    inside = np.flatnonzero(target.any(axis=0))
    slots = placed.slots[inside]
    for c, row in enumerate(target):
        labels, share = np.full(len(inside), c), row[inside]
        part = np.rint(share * placed.lacking(labels, inside)).astype(np.int64)
        np.add.at(residual, (slots, labels), part)
        part = np.rint(share * placed.surprise(labels, inside)).astype(np.int64)
        np.add.at(surprise, slots, part)
    _add_top(placed, inside, top_residual[:, 0])


def _add_top(placed: Placed, inside: Whole, top_residual: Whole) -> None:
    best = placed.top[inside].astype(np.int64)
    where = (placed.slots[inside], placed.cells[best, inside])
    np.add.at(top_residual, where, placed.lacking(best, inside))


def votes_of(target: NDArray[Any], class_count: int, soft: bool) -> NDArray[np.float64]:
    """(C, n) votes for each class; soft labels are that already."""
    if soft:
        return np.ascontiguousarray(target, np.float64)
    votes = np.zeros((class_count, target.shape[1]))
    for labels in target:
        for c in range(class_count):
            votes[c] += labels == c
    return votes


def with_absolute(tallies: Tallies) -> Tallies:
    """Fill in `Tallies.absolute` of one rater: p where the class is not, 1 - p where it is."""
    absolute = [
        round((mass - 2 * overlap + votes) * int(FIXED))
        for mass, overlap, votes in zip(
            tallies.mass, tallies.overlap, tallies.positive.sum(axis=1).tolist(), strict=True
        )
    ]
    tallies.absolute[:] = absolute
    return tallies
