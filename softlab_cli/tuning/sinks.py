"""Where soft labels go that are only to be judged: they are counted, and let go of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.kernels.votes import ScoreTables, add_moved, add_votes
from softlab_cli.tuning.scene import Place
from softlab_cli.tuning.votes import Votes

__all__ = ["MovedSink", "VoteSink"]


class _Part(NamedTuple):
    """A group of classes of one block: its soft labels where voxels count."""

    start: Shape
    classes: tuple[int, ...]
    values: NDArray[np.uint16]


class PlacedSink:
    """Takes the soft labels of the voxels that count; see `softlab_cli.methods.prepared.Sink`.

    Parameters
    ----------
    grid
        The blocks that are expected; the groups of one come one after the other.
    places
        The voxels that count, by the first voxel of their block.
    class_count
        C.
    """

    def __init__(self, grid: Grid, places: Mapping[Shape, Place], class_count: int) -> None:
        self.grid = grid
        self._places = places
        self._class_count = class_count
        self._waiting: list[_Part] = []

    def encode_label(
        self, region: Region, class_indices: NDArray[Any], rater: int | None = None
    ) -> None:
        """Nothing: the labels are known."""

    def encode(self, block: SoftBlock) -> _Part | None:
        """What counts of a block, copied."""
        z, y, x = block.region
        place = self._places.get(start := (z.start, y.start, x.start))
        if place is None:
            return None
        values = block.values.view(np.uint16).reshape(-1, prod(self.grid.block))
        found = [values[:, place.voxels]]
        for value in block.constants.values():
            half = np.float16(value).view(np.uint16)
            found.append(np.full((1, len(place.voxels)), half, np.uint16))
        classes = (*block.class_indices, *block.constants)
        return _Part(start, classes, np.concatenate(found) if len(found) > 1 else found[0])

    def append(self, block: _Part | None) -> None:
        """Count a block when all of its groups are there."""
        if block is None:
            return
        if self._waiting and self._waiting[0].start != block.start:
            self._flush()
        self._waiting.append(block)

    def _flush(self) -> None:
        if not self._waiting:
            return
        classes = np.array([c for part in self._waiting for c in part.classes], np.int64)
        values = np.concatenate([part.values for part in self._waiting])
        order = np.argsort(classes)
        row_of = np.full(self._class_count, -1, np.int64)
        row_of[classes[order]] = np.arange(len(order))
        place = self._places[self._waiting[0].start]
        self._waiting = []
        self._count(np.ascontiguousarray(values[order]), classes[order], row_of, place)

    def _count(
        self, values: NDArray[np.uint16], classes: NDArray[np.int64], row_of: NDArray[np.int64],
        place: Place,
    ) -> None:  # fmt: skip
        raise NotImplementedError


class VoteSink(PlacedSink):
    """Counts how well soft labels predict raters who have no part in them.

    Parameters
    ----------
    grid, places, class_count
        As for `PlacedSink`.
    tables
        What each soft label adds.
    """

    def __init__(
        self, grid: Grid, places: Mapping[Shape, Place], class_count: int, tables: ScoreTables
    ) -> None:
        super().__init__(grid, places, class_count)
        self._tables = tables
        self._tested: Sequence[int] = ()
        self._votes = 0
        self._sums = np.zeros((class_count + 1, 2), object)
        bins = int(tables.bins.max()) + 1
        self._bins = np.zeros((class_count + 1, 3, bins), np.int64)

    def expect(self, tested: Sequence[int]) -> None:
        """The next soft labels are to predict these raters; those before are complete."""
        self._flush()
        self._tested = tested

    def _count(
        self, values: NDArray[np.uint16], classes: NDArray[np.int64], row_of: NDArray[np.int64],
        place: Place,
    ) -> None:  # fmt: skip
        sums = np.zeros(self._sums.shape, np.int64)
        targets = place.labels[list(self._tested)]
        add_votes(values, classes, row_of, targets, self._tables, sums, self._bins)
        self._sums += sums
        self._votes += targets.size

    def votes(self, sources: int) -> Votes:
        """All that was counted; `sources` is as for `Votes`."""
        self._flush()
        bins = self._bins.copy()
        # What gives a class 0 where it is not the label has not been counted one by one.
        bins[:, 0, 0] += self._votes - bins[:, 0].sum(axis=1)
        return Votes(self._votes, sources, self._sums, bins)


class MovedSink(PlacedSink):
    """Counts how much of soft labels is not that of the label itself; parameters as `VoteSink`."""

    def __init__(
        self, grid: Grid, places: Mapping[Shape, Place], class_count: int, tables: ScoreTables
    ) -> None:
        super().__init__(grid, places, class_count)
        self._tables = tables
        self._found = np.zeros(2, np.int64)

    def _count(
        self, values: NDArray[np.uint16], classes: NDArray[np.int64], row_of: NDArray[np.int64],
        place: Place,
    ) -> None:  # fmt: skip
        add_moved(values, row_of, place.labels[0], self._tables.steps, self._found)

    def moved(self) -> tuple[int, int]:
        """Mass that has moved, in steps of 2^-24, and the voxels that it has moved at."""
        self._flush()
        return int(self._found[0]), int(self._found[1])
