"""The raters' labels of a case, without keeping one volume for each rater."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError, GeometryError, UsageError
from softlab_cli.kernels.sizes import read_only

__all__ = [
    "UNLABELLED",
    "PatternBuilder",
    "RaterPatterns",
    "Volume",
    "find_patterns",
    "pattern_bytes",
]

FIRST_TABLE = 1024
"""Places for combinations, twice as many as there may be before the table grows."""

UNLABELLED = -1
"""Label, in the table of patterns, of a rater that ignored the voxel."""

Volume = NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True)
class RaterPatterns:
    """Which combination of labels each voxel has, and what the combinations are.

    Parameters
    ----------
    indices
        (Z, Y, X) unsigned integers: the pattern of each voxel. Below
        `class_count` it is the class that all raters chose; `class_count` itself
        means that all raters ignored the voxel.
    labels
        (patterns, raters) int32: class index of each rater, or `UNLABELLED`.
    counts
        (patterns,) int64, voxels that have the pattern.
    class_count
        Number of classes.
    """

    indices: Volume
    labels: NDArray[np.int32]
    counts: NDArray[np.int64]
    class_count: int

    @property
    def rater_count(self) -> int:
        """Number of raters."""
        return int(self.labels.shape[1])

    @property
    def disputed(self) -> NDArray[np.bool_]:
        """(patterns,) whether two raters named different classes."""
        named = self.labels != UNLABELLED
        highest = self.labels.max(axis=1, initial=UNLABELLED)
        lowest = np.where(named, self.labels, highest[:, None]).min(axis=1)
        return np.asarray(lowest != highest)

    def class_indices(self, ignore_index: int) -> NDArray[np.int32]:
        """(patterns, raters) class indices, with the ignore index where a rater named none."""
        return np.where(self.labels == UNLABELLED, np.int32(ignore_index), self.labels)

    def rater(self, number: int, dtype: np.dtype[Any], ignore_index: int) -> Volume:
        """The class indices of one rater again, as they were taken in.

        Parameters
        ----------
        number
            The rater, counted from 0.
        dtype
            Type of the class indices.
        ignore_index
            Mark of voxels that are not labelled.

        Returns
        -------
        class_indices
            (Z, Y, X).
        """
        from softlab_cli.kernels.labels import map_values

        table = self.class_indices(ignore_index)[:, number].astype(dtype)
        found = np.empty(self.indices.shape, dtype)
        map_values(self.indices.reshape(-1), table, found.reshape(-1))
        return found


class PatternBuilder:
    """Takes in one rater after another; of each it keeps nothing but the patterns.

    Parameters
    ----------
    class_count
        Number of classes.
    ignore_index
        Mark of voxels that a rater did not label.
    """

    def __init__(self, class_count: int, ignore_index: int) -> None:
        self._class_count = class_count
        self._ignore_index = ignore_index
        self._indices: Volume | None = None
        self._labels = np.empty((0, 0), np.int32)

    def add(self, class_indices: Volume) -> None:
        """Take in the next rater.

        Parameters
        ----------
        class_indices
            (Z, Y, X) uint8 or uint16; it may be discarded afterwards.

        Raises
        ------
        GeometryError
            When it has not the shape of the raters before.
        ClassError
            When it has an index that is no class.
        """
        class_indices = read_only(np.ascontiguousarray(class_indices))
        self._check(class_indices.reshape(-1))
        if self._indices is None:
            self._start(class_indices)
        elif class_indices.shape != self._indices.shape:
            raise GeometryError(
                f"rater {self._labels.shape[1] + 1} has the shape {class_indices.shape}, "
                f"the raters before it {self._indices.shape}.",
                remedy="Bring all raters of a case onto one grid.",
            )
        else:
            self._extend(class_indices.reshape(-1))

    def build(self) -> RaterPatterns:
        """The patterns of all raters so far.

        Raises
        ------
        UsageError
            When there is no rater.
        """
        if self._indices is None:
            raise UsageError("a case without raters cannot be fused.")
        from softlab_cli.kernels.fusion import count_patterns

        counts = np.zeros(len(self._labels), np.int64)
        count_patterns(self._indices.reshape(-1), counts)
        return RaterPatterns(self._indices, self._labels, counts, self._class_count)

    def _check(self, labels: Volume) -> None:
        from softlab_cli.kernels.fusion import is_indexed

        if not is_indexed(labels, self._class_count, self._ignore_index):
            wrong = labels[(labels >= self._class_count) & (labels != self._ignore_index)]
            raise ClassError(
                f"class index {wrong.max()} of rater {self._labels.shape[1] + 1} is no class.",
                remedy=f"There are {self._class_count} classes, counted from 0.",
            )

    def _start(self, class_indices: Volume) -> None:
        from softlab_cli.kernels.fusion import first_pattern

        self._indices = np.empty(class_indices.shape, _smallest(self._class_count + 1))
        first_pattern(
            class_indices.reshape(-1), self._class_count, self._ignore_index,
            self._indices.reshape(-1),
        )  # fmt: skip
        self._labels = _unanimous(self._class_count, 1)

    def _extend(self, labels: Volume) -> None:
        from softlab_cli.kernels.fusion import add_rater

        assert self._indices is not None
        table = _Table.of(FIRST_TABLE)
        done = count = 0
        while done < labels.size:
            # Numbers run on from class_count + 1: as many as the type can hold.
            room = int(np.iinfo(self._indices.dtype).max) - self._class_count
            done, count = add_rater(
                labels, self._class_count, self._ignore_index, self._indices.reshape(-1),
                done, count, min(room, len(table.keys) // 2), table.keys, table.found,
            )  # fmt: skip
            if count == room:
                self._indices = self._indices.astype(_wider(self._indices.dtype))
            if 2 * count >= len(table.keys):
                table = table.larger()
        self._labels = self._combined(table, count)

    def _combined(self, table: _Table, count: int) -> NDArray[np.int32]:
        """Labels of the new patterns: those of the pattern before, and one more."""
        raters = self._labels.shape[1] + 1
        labels = np.empty((self._class_count + 1 + count, raters), np.int32)
        labels[: self._class_count + 1] = _unanimous(self._class_count, raters)
        used = table.keys >= 0
        before, last = np.divmod(table.keys[used], self._class_count + 1)
        rows = table.found[used]
        labels[rows, :-1] = self._labels[before]
        labels[rows, -1] = np.where(last == self._class_count, UNLABELLED, last)
        return labels


@dataclass(frozen=True)
class _Table:
    """Combinations of an earlier pattern and a label; see `kernels.fusion.add_rater`.

    Keys below 0 are free places.
    """

    keys: NDArray[np.int64]
    found: NDArray[np.int64]

    @classmethod
    def of(cls, size: int) -> _Table:
        return cls(np.full(size, -1, np.int64), np.empty(size, np.int64))

    def larger(self) -> _Table:
        from softlab_cli.kernels.fusion import rehash

        table = _Table.of(4 * len(self.keys))
        rehash(self.keys, self.found, table.keys, table.found)
        return table


def find_patterns(raters: Iterable[Volume], class_count: int, ignore_index: int) -> RaterPatterns:
    """Patterns of a case.

    Parameters
    ----------
    raters
        (Z, Y, X) uint8 or uint16 class indices of each rater; an iterator that
        reads them one by one keeps memory low.
    class_count
        Number of classes.
    ignore_index
        Mark of voxels that a rater did not label.
    """
    builder = PatternBuilder(class_count, ignore_index)
    for class_indices in raters:
        builder.add(class_indices)
    return builder.build()


def pattern_bytes(class_count: int, raters: int) -> int:
    """Bytes that the number of a voxel's pattern may take: 1, 2 or 4.

    Parameters
    ----------
    class_count
        Number of classes.
    raters
        Number of raters.
    """
    return _smallest(min((class_count + 1) ** raters + class_count, 2**32 - 1)).itemsize


def _unanimous(class_count: int, raters: int) -> NDArray[np.int32]:
    column = np.arange(class_count + 1, dtype=np.int32)
    column[class_count] = UNLABELLED
    return np.repeat(column[:, None], raters, axis=1)


def _smallest(largest: int) -> np.dtype[Any]:
    return np.min_scalar_type(largest)


def _wider(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{2 * dtype.itemsize}")
