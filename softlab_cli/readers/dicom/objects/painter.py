"""Label maps painted segment by segment, with a rule for overlaps and their exact counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.choices import OverlapRule
from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.files.common import listing
from softlab_cli.readers.segment_sets import SegmentSets, shared_voxels
from softlab_cli.readers.segments import Segment

__all__ = ["Covers", "Painter"]

View = Callable[[NDArray[Any]], NDArray[Any]]
"""The part of a volume (Z, Y, X) that a frame or contour lies on, as a view of it."""


class Painter:
    """A label map that segments are painted into, with a rule for overlaps.

    Parameters
    ----------
    shape
        (Z, Y, X).
    segments
        All segments that will be painted.
    rule
        ``first`` and ``last`` go by the order of painting, ``highest`` by the
        label value, or by the score where scores are given. ``error`` counts.
    scored
        Whether pixels come with scores.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        segments: Sequence[Segment],
        rule: OverlapRule,
        *,
        scored: bool = False,
    ) -> None:
        largest = max((s.value for s in segments), default=0)
        self.values = np.zeros(shape, np.uint8 if largest <= 255 else np.uint16)
        self.rule = rule
        self._best = np.zeros(shape, np.uint16) if scored and rule == "highest" else None
        self._segments = list(segments)
        self._covers: Covers | None = None
        if len({s.value for s in segments}) < len(segments):
            self._covers = Covers(shape)  # a value does not tell its segment

    def paint(
        self,
        where: View,
        inside: NDArray[np.bool_],
        segment: Segment,
        scores: NDArray[Any] | None = None,
    ) -> None:
        """Paint a part of one segment.

        Parameters
        ----------
        where
            Gives the part of a volume that is painted.
        inside
            Which pixels of that part are painted.
        segment
            One of the painter's segments.
        scores
            Scores of the pixels, for ``highest``.
        """
        view = where(self.values)
        held = view[inside]
        free = not held.any()
        if free and scores is None and self._covers is None:
            view[inside] = segment.value
            return
        if not free and self._covers is None:
            self._covers = self._covers_so_far()
        if self._covers is not None:
            self._covers.add(where, inside, self._segments.index(segment))
        if scores is not None and self._best is not None:
            best = where(self._best)
            wins = scores[inside] > best[inside]
            best[inside] = np.maximum(best[inside], scores[inside])
        else:
            wins = self._wins(segment.value, held)
        view[inside] = np.where(wins, segment.value, held)

    def _wins(self, value: int, held: NDArray[Any]) -> NDArray[np.bool_]:
        """Where a segment takes over from those that were painted before."""
        if self.rule == "last":
            return np.ones(held.shape, bool)
        return held == 0 if self.rule in ("first", "error") else held < value

    def _covers_so_far(self) -> Covers:
        """What lies where before the first overlap: the label values say it."""
        covers = Covers(self.values.shape)
        table = np.zeros(np.iinfo(self.values.dtype).max + 1, np.uint16)
        for index, segment in enumerate(self._segments):
            table[segment.value] = covers.with_segment(0, index)
        np.take(table, self.values, out=covers.sets, mode="clip")
        return covers

    def overlaps(self) -> list[str]:
        """Pairs of segments that overlap, with voxels, the largest overlap first."""
        if self._covers is None:
            return []
        pairs = [
            (count, self._segments[a], self._segments[b])
            for (a, b), count in self._covers.pairs().items()
        ]
        pairs = [entry for entry in pairs if entry[1].value != entry[2].value]
        ordered = sorted(pairs, key=lambda entry: -entry[0])
        return [f"{a.name} and {b.name}: {count:,} voxels" for count, a, b in ordered]

    def finish(self, path: Path) -> tuple[NDArray[Any], list[str]]:
        """The label map, and a warning when segments overlapped.

        Raises
        ------
        InputError
            For overlaps under ``error``.
        """
        if not (pairs := self.overlaps()):
            return self.values, []
        if self.rule == "error":
            raise InputError(
                f"segments overlap: {listing(pairs)}.",
                remedy="Say which one counts with --on-overlap first, last or highest.",
                path=path,
            )
        return self.values, [f"segments overlap, {self.rule} counts: {listing(pairs)}."]


class Covers:
    """Which segments cover each voxel: the number of their set.

    Parameters
    ----------
    shape
        (Z, Y, X).
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.sets: NDArray[Any] = np.zeros(shape, np.uint16)
        self._known = SegmentSets()

    def add(self, where: View, inside: NDArray[np.bool_], segment: int) -> None:
        """Cover some pixels of a part of the volume with one more segment."""
        held = where(self.sets)[inside]
        table = np.zeros(len(self._known), np.uint32)
        for number in np.flatnonzero(np.bincount(held)).tolist():
            table[number] = self.with_segment(number, segment)
        if len(self._known) > np.iinfo(self.sets.dtype).max:
            self.sets = self.sets.astype(np.uint32)
        where(self.sets)[inside] = table[held]

    def with_segment(self, number: int, segment: int) -> int:
        """The number of a set once a segment has joined it."""
        return self._known.joined(number, segment)

    def pairs(self) -> dict[tuple[int, int], int]:
        """Voxels that two segments cover both, for each pair that meets."""
        counts = np.zeros(len(self._known), np.int64)
        for plane in self.sets:  # a count of the whole would copy it at eight bytes a voxel
            counts += np.bincount(plane.ravel(), minlength=len(counts))
        return shared_voxels(self._known.members, counts.tolist())
