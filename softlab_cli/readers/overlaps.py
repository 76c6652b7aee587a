"""Label maps from segments that may lie over one another: which are where, counted exactly.

Each voxel keeps the number of the combination of segments that it lies in. So all pairs of
segments are counted whichever of them wins, and segments are looked at once, one layer or
file at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.choices import OverlapRule
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import some_of
from softlab_cli.readers.label_values import PIECE_VOXELS
from softlab_cli.readers.segment_sets import SegmentSets, shared_voxels
from softlab_cli.readers.segments import Segment

__all__ = ["BYTES_PER_VOXEL", "Combinations", "value_bytes"]

BYTES_PER_VOXEL = 2
"""What `Combinations` holds for each voxel; the label map comes on top."""

MOST_COMBINATIONS = 1 << 16

NumberOf = Callable[[NDArray[Any]], NDArray[np.integer[Any]]]
"""Stored values to numbers of segments, counted from 1, and 0 for none."""


def value_bytes(segments: Sequence[Segment]) -> int:
    """Bytes of one voxel of a label map of these segments."""
    return 1 if max((s.value for s in segments), default=0) <= np.iinfo(np.uint8).max else 2


class Combinations:
    """Which segments each voxel lies in.

    Parameters
    ----------
    shape
        (Z, Y, X).
    segments
        In the order of the file; number n is the n-th, counted from 1. Those of one label
        value are one, and do not overlap.
    path
        What to name in errors.
    """

    def __init__(
        self, shape: tuple[int, int, int], segments: Sequence[Segment], path: Path
    ) -> None:
        self.shape, self.segments, self.path = shape, segments, path
        self._of_voxel = np.zeros(int(np.prod(shape, dtype=object)), np.uint16)
        self._known = SegmentSets()
        self._next = np.full((1, len(segments) + 1), -1, np.int32)
        self._next[0, 0] = 0

    def add(self, stored: NDArray[Any], number_of: NumberOf) -> None:
        """Add what one layer, or one file, holds.

        Parameters
        ----------
        stored
            As many values as there are voxels, in file order, flat.
        number_of
            Their segments; no segment may be added twice.

        Raises
        ------
        InputError
            When segments overlap in more ways than can be told apart.
        """
        for start in range(0, stored.size, PIECE_VOXELS):
            numbers = number_of(stored[start : start + PIECE_VOXELS])
            if not numbers.any():
                continue
            held = self._of_voxel[start : start + PIECE_VOXELS]
            if held.any():
                where = np.flatnonzero(numbers != 0)
                held[where] = self._joined(held[where], numbers[where])
            else:
                held[:] = self._joined(held, numbers)

    def _joined(self, held: NDArray[np.uint16], numbers: NDArray[Any]) -> NDArray[np.int32]:
        joined = self._look_up(held, numbers)
        if (new := joined < 0).any():
            width = len(self.segments) + 1
            pairs = np.unique(held[new].astype(np.int64) * width + numbers[new])
            for pair in pairs.tolist():
                self._next[pair // width, pair % width] = self._join(*divmod(pair, width))
            joined = self._look_up(held, numbers)
        return joined

    def _look_up(self, held: NDArray[np.uint16], numbers: NDArray[Any]) -> NDArray[np.int32]:
        joined: NDArray[np.int32] = (
            self._next[held, numbers] if held.any() else self._next[0].take(numbers)
        )
        return joined

    def _join(self, combination: int, number: int) -> int:
        """The combination with one more segment."""
        met = len(self._known)
        joined = self._known.joined(combination, number)
        if joined < met:
            return joined
        if joined == MOST_COMBINATIONS:
            raise InputError(
                f"holds segments that overlap in more than {MOST_COMBINATIONS} ways.",
                remedy="Choose fewer with --roi.",
                path=self.path,
            )
        row = np.full((1, len(self.segments) + 1), -1, np.int32)
        row[0, 0] = joined
        self._next = np.concatenate([self._next, row])
        return joined

    def _pieces(self) -> Iterator[slice]:
        size = self._of_voxel.size
        return (slice(i, i + PIECE_VOXELS) for i in range(0, size, PIECE_VOXELS))

    def voxels(self) -> NDArray[np.int64]:
        """(segments,) voxels of each segment, those that others cover included."""
        found = np.zeros(len(self.segments), np.int64)
        for members, count in zip(self._known.members, self._counts().tolist(), strict=True):
            found[[n - 1 for n in members]] += count
        return found

    def _counts(self) -> NDArray[np.int64]:
        counts = np.zeros(len(self._known), np.int64)
        for piece in self._pieces():
            counts += np.bincount(self._of_voxel[piece], minlength=counts.size)
        return counts

    def _overlaps(self) -> list[str]:
        """Pairs of segments that overlap, with voxels, the largest overlap first."""
        values = [dict.fromkeys(self.segments[n - 1].value for n in m) for m in self._known.members]
        if all(len(held) < 2 for held in values):
            return []
        pairs = shared_voxels(map(list, values), self._counts().tolist())
        names = {s.value: s.name for s in self.segments}
        ordered = sorted(pairs.items(), key=lambda entry: -entry[1])
        return [f"{names[a]} and {names[b]}: {count:,} voxels" for (a, b), count in ordered]

    def label_map(self, rule: OverlapRule) -> tuple[NDArray[Any], list[str]]:
        """(Z, Y, X) label values, and a warning when segments overlap.

        Parameters
        ----------
        rule
            Which segment counts: the ``first`` or ``last`` in the file, or the one with
            the ``highest`` label value.

        Raises
        ------
        InputError
            For overlaps under ``error``.
        """
        pairs = self._overlaps()
        if pairs and rule == "error":
            raise InputError(
                f"segments overlap: {some_of(pairs)}.",
                remedy="Say which one counts with --on-overlap first, last or highest.",
                path=self.path,
            )
        dtype = np.uint8 if value_bytes(self.segments) == 1 else np.uint16
        value_of = np.array([self._winner(members, rule) for members in self._known.members], dtype)
        values = np.empty(self._of_voxel.size, dtype)
        for piece in self._pieces():
            values[piece] = value_of.take(self._of_voxel[piece])
        warnings = [f"segments overlap, {rule} counts: {some_of(pairs)}."] if pairs else []
        return values.reshape(self.shape), warnings

    def _winner(self, members: tuple[int, ...], rule: OverlapRule) -> int:
        values = [self.segments[n - 1].value for n in members] or [0]
        return max(values) if rule == "highest" else values[-1 if rule == "last" else 0]
