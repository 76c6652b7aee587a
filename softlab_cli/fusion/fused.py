"""The fused label map of a case: a class, or a blend of classes, for each voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.fusion.patterns import UNLABELLED, RaterPatterns, Volume
from softlab_cli.fusion.shares import FINEST, Shares, common_total

__all__ = ["Blends", "FusedMap", "fuse_patterns"]


@dataclass(frozen=True)
class Blends:
    """What the numbers of a fused label map stand for.

    Numbers below `class_count` are class indices, `class_count` stands for voxels
    that nobody labelled, and ``class_count + 1 + b`` for row b of `shares`.

    Parameters
    ----------
    class_count
        Number of classes.
    shares
        The blends: two classes or more, with their parts.
    total
        Parts that make a whole.
    """

    class_count: int
    shares: Shares
    total: int

    def __len__(self) -> int:
        """How many different numbers there are."""
        return self.class_count + 1 + len(self.shares)

    @property
    def ignore_index(self) -> int:
        """The number of voxels that nobody labelled."""
        return self.class_count


@dataclass(frozen=True)
class FusedMap:
    """A fused label map.

    Parameters
    ----------
    indices
        (Z, Y, X) uint8, uint16 or uint32; see `Blends`.
    blends
        What the numbers of `indices` stand for.
    hard
        (numbers,) int64, class with the largest share of each number (among
        equals the one of the lowest label value), or `UNLABELLED`.
    ties
        Voxels where several classes have the largest share.
    hard_voxels
        (class_count + 1,) int64, voxels of each class of `hard`, then those that
        nobody labelled.
    """

    indices: Volume
    blends: Blends
    hard: NDArray[np.int64]
    ties: int
    hard_voxels: NDArray[np.int64]

    def hard_label(self, dtype: np.dtype[Any], ignore_index: int) -> Volume:
        """The class with the largest share at each voxel.

        Parameters
        ----------
        dtype
            Type of the class indices.
        ignore_index
            Mark of voxels that nobody labelled.

        Returns
        -------
        class_indices
            (Z, Y, X).
        """
        from softlab_cli.kernels.labels import map_values

        table = np.where(self.hard == UNLABELLED, ignore_index, self.hard).astype(dtype)
        found = np.empty(self.indices.shape, dtype)
        map_values(self.indices.reshape(-1), table, found.reshape(-1))
        return found


def fuse_patterns(patterns: RaterPatterns, shares: Shares) -> FusedMap:
    """Put a rule of fusion into effect.

    Parameters
    ----------
    patterns
        The raters' labels.
    shares
        A row for each pattern, from one of the rules; the rows may have different
        totals. Patterns that occur nowhere may have any.

    Returns
    -------
    fused
        Patterns with the same shares have become one blend.
    """
    from softlab_cli.kernels.labels import map_values

    total = common_total(shares.totals)
    _, tied = shares.largest()
    whole = _in_parts_of(shares, total)
    winners, _ = whole.largest()
    numbers, blends = _number_blends(whole, patterns.class_count)
    hard = np.arange(patterns.class_count + 1 + len(blends), dtype=np.int64)
    hard[patterns.class_count] = UNLABELLED
    hard[numbers] = winners
    indices = np.empty(patterns.indices.shape, np.min_scalar_type(len(hard) - 1))
    map_values(patterns.indices.reshape(-1), numbers.astype(indices.dtype), indices.reshape(-1))
    ties = int(patterns.counts[tied].sum())
    hard_voxels = np.zeros(patterns.class_count + 1, np.int64)
    np.add.at(hard_voxels, winners, patterns.counts)  # UNLABELLED, -1, is the last entry
    return FusedMap(indices, Blends(patterns.class_count, blends, total), hard, ties, hard_voxels)


def _in_parts_of(shares: Shares, total: int) -> Shares:
    if total == FINEST:
        return shares.with_total(total)
    factors = total // np.maximum(shares.totals, 1)
    return Shares(shares.starts, shares.classes, shares.parts * factors[shares.rows])


def _number_blends(shares: Shares, class_count: int) -> tuple[NDArray[np.int64], Shares]:
    """Number of each row, and the rows of two classes or more without repetition."""
    lengths = shares.lengths
    numbers = np.full(len(shares), class_count, np.int64)
    single = lengths == 1
    numbers[single] = shares.classes[shares.starts[:-1][single]]
    mixed = np.flatnonzero(lengths > 1)
    if not len(mixed):
        return numbers, Shares(np.zeros(1, np.int64), mixed, mixed)
    width = int(lengths.max())
    padded = np.zeros((len(shares), 2 * width), np.int64)
    column = np.arange(len(shares.classes)) - np.repeat(shares.starts[:-1], lengths)
    padded[shares.rows, 2 * column] = shares.classes + 1
    padded[shares.rows, 2 * column + 1] = shares.parts
    distinct, which = _distinct(padded[mixed])
    numbers[mixed] = class_count + 1 + which
    filled = distinct[:, ::2] > 0
    starts = np.concatenate([[0], np.cumsum(filled.sum(axis=1))]).astype(np.int64)
    return numbers, Shares(starts, distinct[:, ::2][filled] - 1, distinct[:, 1::2][filled])


def _distinct(rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The rows without repetition, in order, and which of them each row is.

    As `numpy.unique` along an axis, which takes six times as long for few rows.
    """
    order = np.lexsort(rows.T[::-1])
    ordered = rows[order]
    is_new = np.ones(len(rows), bool)
    is_new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    which = np.empty(len(rows), np.int64)
    which[order] = np.cumsum(is_new) - 1
    return ordered[is_new], which
