"""One pass over a case, block by block: predictions and references to `Counts`.

::

    gatherer = Gatherer(class_count=4, raters=1, regions=("band",))
    for block in blocks:
        gatherer.add(prediction, reference, codes)
    counts = gatherer.counts()

Memory: 16 bytes for each class, cell and combination of regions that occurs (29 MB
for 117 classes of float16, half as much again for float32), and some 70 MB for the
voxels that are worked on together, however large the block.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.threads import ordered_map
from softlab_cli.evaluation.metrics.beside import (
    Placed,
    add_hard,
    add_soft,
    votes_of,
    with_absolute,
)
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.soundness import SUM_TOLERANCE, check_soft, survey
from softlab_cli.evaluation.metrics.tallies import ALL, Counts, Faults, Single, Tallies
from softlab_cli.evaluation.metrics.temperature import partition_table
from softlab_cli.kernels.forecasts import (
    FIXED,
    compare,
    count_alike,
    count_halves,
    count_singles,
    count_soft_targets,
    count_targets,
    rank,
)
from softlab_cli.kernels.tempered import add_partitions

__all__ = ["Gatherer"]

TOGETHER = 1 << 22
"""Probabilities that are worked on together; sums of that many stay far below 2^63."""

VOXELS_IN_PLACE = 1 << 18
"""Voxels that are worked on where they lie, however many classes, if there are no more: a whole
block of a store. Piece by piece, each copied, counting of 117 classes takes 1.1 times as long."""

SOFT_UNIT = 1 << 24
LARGEST_RATERS = 255
LARGEST_REGIONS = 5


class Gatherer:
    """Counts one case, or a part of it.

    Parameters
    ----------
    class_count
        C, with background.
    raters
        R, raters of the case; 1 for one reference or soft labels.
    soft
        Whether references are soft labels.
    regions
        Names of the bits of the codes; at most 5.
    cells
        What to count probabilities in; by default those of float16.
    temperatures
        Whether to add up what the best temperature is found from: about as long again.
    ordered
        Whether classes have an order (grades, say), so that the ranked probability score has a
        meaning.
    ignore_index
        Class index of voxels that a rater did not label; None for none.
    sum_tolerance
        How far from 1 a voxel's sum may be before it is counted among the faults.
    threads
        Threads to count with; the result is the same for any number.

    Raises
    ------
    UsageError
        For a number of classes, raters or regions that cannot be counted.
    """

    def __init__(
        self,
        class_count: int,
        *,
        raters: int = 1,
        soft: bool = False,
        regions: tuple[str, ...] = (),
        cells: Cells | None = None,
        temperatures: bool = False,
        ordered: bool = False,
        ignore_index: int | None = None,
        sum_tolerance: float = SUM_TOLERANCE,
        threads: int = 1,
    ) -> None:
        _check_numbers(class_count, raters, soft, regions)
        self.class_count, self.raters, self.soft = class_count, raters, soft
        self.regions, self.cells = regions, cells or Cells.half()
        self.ordered, self.threads = ordered, threads
        self.ignore_index = -1 if ignore_index is None else ignore_index
        self.sum_tolerance = sum_tolerance
        self.unit = SOFT_UNIT if soft else 1
        slots, C, R, n = 1 << len(regions), class_count, raters, len(self.cells)
        # What no voxel touches is no memory yet: the system gives pages of zeros on first use.
        self._slot_of: dict[int, int] = {}
        self._count = np.zeros((slots, C, n), np.int64)
        self._positive = np.zeros((slots, C, n), np.int64)
        self._top = np.zeros((2, slots, R, n), np.int64)
        self._predicted = np.zeros((slots, C), np.int64)
        self._spread = np.zeros((slots, C), object) + Fraction(0)
        self._absolute = np.zeros((slots, C), object)
        self._ranked = np.zeros(slots, object)
        self._table = partition_table(self.cells, class_count) if temperatures else None
        nodes = 0 if self._table is None else len(self._table[1])
        self._tempered = np.zeros((slots, nodes), object)
        if self.cells.single:
            self._residual = np.zeros((slots, C, n), np.int64)
            self._top_residual = np.zeros((slots, R, n), np.int64)
            self._squares = np.zeros((slots, C), object)
            self._positive_residual = np.zeros((slots, C), object)
            self._surprise = np.zeros(slots, object)
        self._voxels = self._ignored = 0
        self._faults = Faults()

    def add(
        self,
        prediction: NDArray[Any],
        reference: NDArray[Any],
        codes: NDArray[np.uint8] | None = None,
    ) -> NDArray[np.uint16]:
        """Count a block.

        Parameters
        ----------
        prediction
            (C, z, y, x) probabilities, float16; float32 as well where `cells` are ranges.
            2D, (C, y, x), does as well.
        reference
            (z, y, x) or (R, z, y, x) class indices of an unsigned type; where soft, (C, z, y, x)
            float16 or float32, all 0 at a voxel that is not labelled.
        codes
            (z, y, x), for each voxel the regions that it lies in; bit i for the i-th.

        Returns
        -------
        top
            (z, y, x) uint16, the most probable class of each voxel, the first of several.

        Raises
        ------
        InputError
            For NaN, infinite or negative probabilities, or ones above 1 (say
            `softlab_cli.evaluation.metrics.soundness.find_faults` beforehand what they are),
            and for a class index that is none.
        UsageError
            For shapes or types that do not fit together.
        """
        values, target = self._flat(prediction, reference)
        voxels = values.shape[1]
        code = np.zeros(voxels, np.uint8) if codes is None else np.ravel(codes)
        if len(code) != voxels:
            raise UsageError(f"codes of {len(code):,} voxels and probabilities of {voxels:,}.")
        slots = self._slots(code)
        step = max(1, TOGETHER // (self.class_count * self.raters))
        if voxels <= VOXELS_IN_PLACE and not self._makes_copies:
            step = max(1, voxels)
        top = np.empty(voxels, np.uint16)
        for start in range(0, voxels, step):
            part = slice(start, min(start + step, voxels))
            block = np.ascontiguousarray(values[:, part])
            top[part] = self._add(block, target[:, part], slots[part])
        return top.reshape(prediction.shape[1:])

    @property
    def _makes_copies(self) -> bool:
        """Whether there are arrays beside the probabilities that have one number for each."""
        return self.cells.single or self.soft or self.raters > 1 or self.ordered

    def _flat(
        self, prediction: NDArray[Any], reference: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        kinds = ("float16", "float32") if self.cells.single else ("float16",)
        if str(prediction.dtype) not in kinds:
            raise UsageError(
                f"predictions of type {prediction.dtype} cannot be counted in these cells.",
                remedy=f"Give {' or '.join(kinds)}.",
            )
        rows = self.class_count if self.soft else self.raters
        space = prediction.shape[1:]
        target = reference if reference.ndim > len(space) else reference[np.newaxis]
        if prediction.shape[0] != self.class_count or target.shape != (rows, *space):
            raise UsageError(
                f"a prediction of shape {prediction.shape} and a reference of shape "
                f"{reference.shape} do not fit {self.class_count} classes and {self.raters} raters."
            )
        if not self.soft and target.dtype.kind != "u":
            raise UsageError(f"class indices of type {target.dtype}; they must be unsigned.")
        return prediction.reshape(self.class_count, -1), target.reshape(rows, -1)

    def _slots(self, codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        table = np.zeros(256, np.uint8)
        limit = 1 << len(self.regions)
        for code in np.flatnonzero(np.bincount(codes, minlength=256)).tolist():
            if code >= limit:
                raise UsageError(f"code {code} has bits for more than {len(self.regions)} regions.")
            table[code] = self._slot_of.setdefault(code, len(self._slot_of))
        return table[codes]

    def _add(
        self, values: NDArray[Any], target: NDArray[Any], slots: NDArray[np.uint8]
    ) -> NDArray[np.uint16]:
        if self.cells.single:
            values = values.astype(np.float32, copy=False)
        top, values, faults = survey(values, self.sum_tolerance)
        self._faults += faults
        weight = self._weight(target)
        cells = self.cells.find(values)
        self._vote(cells, top, slots, weight, target)
        self._count_cells(cells, values, slots, weight)
        if self.cells.single:
            self._add_single(cells, top, values, target, slots)
        if self.soft or self.raters > 1 or self.ordered:
            self._add_shares(values, target, slots, weight)
        if self._table is not None:
            sums = np.zeros(self._tempered.shape, np.int64)
            add_partitions(cells, *self._table, slots, weight, sums)
            self._tempered += sums
        labelled = int(np.count_nonzero(weight))
        self._voxels += labelled
        self._ignored += len(weight) - labelled
        return top

    def _weight(self, target: NDArray[Any]) -> NDArray[np.uint8]:
        if self.soft:
            return np.asarray(np.any(target > 0, axis=0), np.uint8)
        return np.asarray(np.sum(target != self.ignore_index, axis=0), np.uint8)

    def _vote(
        self, cells: NDArray[Any], top: NDArray[np.uint16], slots: NDArray[np.uint8],
        weight: NDArray[np.uint8], target: NDArray[Any],
    ) -> None:  # fmt: skip
        out = (self._positive, self._predicted, self._top[0], self._top[1])
        if self.soft:
            soft = target.astype(np.float64)
            check_soft(soft)
            count_soft_targets(cells, top, slots, weight, soft, float(SOFT_UNIT), *out)
            return
        labels = np.ascontiguousarray(target)
        if count_targets(cells, top, slots, labels, self.ignore_index, *out):
            odd = labels[(labels >= self.class_count) & (labels != self.ignore_index)]
            raise InputError(
                f"the reference has class index {int(odd[0])}, and the prediction has "
                f"{self.class_count} classes.",
                remedy="Give both the same classes.",
            )

    def _count_cells(
        self, cells: NDArray[Any], values: NDArray[Any], slots: NDArray[np.uint8],
        weight: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        # Each thread has some classes to itself, so their counts are those of one thread.
        squares = np.zeros((len(self._count), self.class_count), np.int64)

        used = len(self._slot_of)
        alike = _alike(slots) and _alike(weight)

        def count(classes: range) -> None:
            first, last = classes.start, classes.stop
            if self.cells.single:
                count_singles(
                    cells, values, self.cells.steps, slots, weight, first, last,
                    self._count, self._residual, squares,
                )  # fmt: skip
            elif alike:  # far from all that was drawn, or where no region was asked for
                scratch = np.empty((2, 1, len(self.cells)), np.uint32)
                count_alike(cells, int(weight[0]), first, last, self._count[slots[0]], scratch)
            else:
                scratch = np.empty((2, used, len(self.cells)), np.uint32)
                count_halves(cells, slots, weight, first, last, self._count[:used], scratch)

        for _ in ordered_map(count, self._shares_of_classes(), self.threads):
            pass
        if self.cells.single:
            self._squares += squares

    def _shares_of_classes(self) -> Iterator[range]:
        ends = np.linspace(0, self.class_count, self.threads + 1).astype(int).tolist()
        return (range(a, b) for a, b in pairwise(ends) if b > a)

    def _add_single(
        self, cells: NDArray[Any], top: NDArray[np.uint16], values: NDArray[Any],
        target: NDArray[Any], slots: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        place = Placed(self.cells.steps, cells, values, top, slots)
        residual = np.zeros(self._positive_residual.shape, np.int64)
        surprise = np.zeros(len(self._surprise), np.int64)
        if self.soft:
            add_soft(place, target.astype(np.float64), residual, surprise, self._top_residual)
        else:
            add_hard(place, target, self.ignore_index, residual, surprise, self._top_residual)
        self._positive_residual += residual
        self._surprise += surprise

    def _add_shares(
        self, values: NDArray[Any], target: NDArray[Any], slots: NDArray[np.uint8],
        weight: NDArray[np.uint8],
    ) -> None:  # fmt: skip
        votes = votes_of(target, self.class_count, self.soft)
        numbers = np.ascontiguousarray(values, np.float32)
        slot_count = len(self._count)
        if self.ordered:
            ranked = np.zeros(slot_count, np.int64)
            rank(numbers, votes, slots, weight, ranked)
            self._ranked += ranked
        if self.soft or self.raters > 1:
            spread = np.zeros((slot_count, self.class_count, self.raters + 1), np.int64)
            absolute = np.zeros((slot_count, self.class_count), np.int64)
            compare(numbers, votes, slots, weight, spread, absolute)
            self._absolute += absolute
            for n in range(1, self.raters + 1):
                for place in np.argwhere(spread[..., n]):
                    steps = int(spread[place[0], place[1], n])
                    self._spread[place[0], place[1]] += Fraction(steps, n * int(FIXED))

    def counts(self) -> Counts:
        """What has been counted so far; the gatherer is not to be used afterwards."""
        by_code = {code: self._tallies(self._slot_of[code]) for code in sorted(self._slot_of)}
        return Counts(
            self.regions, by_code, self._empty(), self._voxels, self._ignored, self._faults
        )

    def _empty(self) -> Tallies:
        # Views of one zero: C x cells of them take no memory.
        n, zero = len(self.cells), np.int64(0)
        by_class = np.broadcast_to(zero, (self.class_count, n))
        by_rater = np.broadcast_to(zero, (self.raters, n))
        none = np.zeros(self.class_count, object)
        single = Single(by_class, by_rater, none, none, 0) if self.cells.single else None
        return Tallies(
            self.cells, self.unit, by_class, by_class, by_rater, by_rater,
            np.zeros(self.class_count, np.int64), none + Fraction(0), none,
            0 if self.ordered else None,
            None if self._table is None else np.zeros(self._tempered.shape[1], object),
            single,
        )  # fmt: skip

    def _tallies(self, slot: int) -> Tallies:
        count = self._count[slot]
        if self.cells.single:  # cell 0 has not been counted
            count[:, 0] += int(self._top[0, slot].sum()) - count.sum(axis=1)
        single = None
        if self.cells.single:
            single = Single(
                self._residual[slot], self._top_residual[slot], self._squares[slot],
                self._positive_residual[slot], int(self._surprise[slot]),
            )  # fmt: skip
        found = Tallies(
            self.cells, self.unit, count, self._positive[slot],
            self._top[0, slot], self._top[1, slot], self._predicted[slot],
            self._spread[slot], self._absolute[slot],
            int(self._ranked[slot]) if self.ordered else None,
            None if self._table is None else self._tempered[slot], single,
        )  # fmt: skip
        return found if self.soft or self.raters > 1 else with_absolute(found)


def _alike(numbers: NDArray[np.uint8]) -> bool:
    """Whether all are one number."""
    return len(numbers) > 0 and bool(numbers.min() == numbers.max())


def _check_numbers(class_count: int, raters: int, soft: bool, regions: tuple[str, ...]) -> None:
    if not 2 <= class_count <= 65535:
        raise UsageError(f"{class_count} classes cannot be judged.", remedy="Give 2 to 65,535.")
    if not 1 <= raters <= LARGEST_RATERS or (soft and raters > 1):
        raise UsageError(
            f"{raters} raters cannot be counted.",
            remedy=f"Give 1 to {LARGEST_RATERS}; soft labels are one.",
        )
    if len(regions) > LARGEST_REGIONS or len({ALL, *regions}) <= len(regions):
        raise UsageError(
            f"regions {', '.join(regions)} cannot be counted.",
            remedy=f"Give at most {LARGEST_REGIONS}, each once; {ALL!r} is there anyway.",
        )
