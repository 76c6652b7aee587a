"""Check the voxels of a case and its statistics, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, overlap, region_shape, shift
from softlab_cli.core.errors import StoreError
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftSums
from softlab_cli.store.arrays import ArrayReader, corner
from softlab_cli.store.defects import Defect
from softlab_cli.store.differing import first_difference
from softlab_cli.store.reader import Case
from softlab_cli.store.statistics import CaseStatistics, LabelCounts, case_statistics

__all__ = ["WrongVoxels", "check_raters", "check_voxels"]

ONE = np.uint16(0x3C00)
"""The bits of 1.0; those of all float16 from 0 to 1 are smaller, those of others larger."""

MINUS_ZERO = np.uint16(0x8000)

ENTROPY_TOLERANCE = 1e-6
"""Nats; imported soft labels add up the entropy of a voxel in float32."""


def sum_tolerance(class_count: int) -> float:
    """How far the sum of a voxel's soft labels may be from 1.

    Rounding to float16 moves a value p by at most p 2^-11, or 2^-25 where it is
    subnormal, so a sum of 1 moves by at most 2^-11 + C 2^-25; the values need not
    be the nearest ones, which doubles the first part.
    """
    return float(2.0**-10 + class_count * 2.0**-25)


@dataclass
class WrongVoxels:
    """Voxels with one fault: how many, and the first of them."""

    count: int = 0
    first: tuple[int, ...] = ()
    example: str = ""

    def add(self, wrong: NDArray[np.bool_], region: Region, values: NDArray[Any]) -> None:
        """Take in the voxels of a region that are wrong, and the values of all of them."""
        if not wrong.any():
            return
        if not self.count:
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            self.first = tuple(p + c for p, c in zip(place, corner(region), strict=True))
            self.example = f"{values[place]:g}"
        self.count += int(wrong.sum())

    def defect(self, case_id: str, what: str, name: str) -> Defect:
        """The defect that they are; `name` says what the value is."""
        detail = f"{self.count} voxels; the first is {self.first}, {name} {self.example}"
        return Defect(case_id, what, detail)


@dataclass
class _Findings:
    """What adds up over the blocks of a case."""

    class_count: int
    ignore_index: int
    kept_box: Region | None
    hard_voxels: NDArray[np.int64]
    sums: SoftSums
    ends: NDArray[np.int64] | None = None
    ignored_in_box: int = 0
    unreadable: dict[str, tuple[str, str]] = field(default_factory=dict)
    range: WrongVoxels = field(default_factory=WrongVoxels)
    far: WrongVoxels = field(default_factory=WrongVoxels)
    ignored: WrongVoxels = field(default_factory=WrongVoxels)
    labels: WrongVoxels = field(default_factory=WrongVoxels)

    @classmethod
    def of(cls, case: Case) -> _Findings:
        count, ignore = len(case.classes), case.classes.ignore_index
        hard = np.zeros(max(count, ignore + 1), np.int64)
        sums, box = SoftSums.zero(count), _kept_box(case.statistics)
        if box is not None:
            sums.mass_in_box = np.zeros(count, np.int64)
        return cls(count, ignore, box, hard, sums)

    @property
    def box(self) -> Region | None:
        """Smallest region that holds all foreground."""
        if self.ends is None:
            return None
        z, y, x = (slice(start, stop) for start, stop in self.ends.T.tolist())
        return z, y, x

    def widen(self, starts: NDArray[np.int64], stops: NDArray[np.int64]) -> None:
        """Take in the box of a block's foreground."""
        if self.ends is not None:
            starts = np.minimum(starts, self.ends[0])
            stops = np.maximum(stops, self.ends[1])
        self.ends = np.stack([starts, stops])

    @property
    def counts(self) -> LabelCounts:
        """What the hard label holds."""
        ignored = int(self.hard_voxels[self.ignore_index])
        hard = self.hard_voxels[: self.class_count]
        return LabelCounts(hard, ignored, self.box, self.ignored_in_box)


def check_voxels(case: Case, *, sums_to_one: bool) -> Iterator[Defect]:
    """Decode every chunk of a case and check what is in it, and what is said of it.

    Memory is that of a few blocks, whatever the number of classes.

    Parameters
    ----------
    case
        The case.
    sums_to_one
        Whether the soft labels of a valid voxel must add up to 1.
    """
    found = _Findings.of(case)
    for region in case.label_array.layout.grid.regions():
        try:
            _check_block(region, case, found, sums_to_one)
        except StoreError as error:
            found.unreadable[f"{error.path}: {error.problem}"] = ("unreadable data", error.remedy)
    for detail, (what, remedy) in found.unreadable.items():
        yield Defect(case.case_id, what, detail, remedy=remedy)
    yield from _voxel_defects(case.case_id, found)
    # Values that are no soft labels have no entropy, and no share of anything.
    if case.statistics is not None and not found.unreadable and not found.range.count:
        yield from _statistics_defects(case, case.statistics, found)


def check_raters(
    case_id: str, raters: ArrayReader, class_count: int, ignore_index: int
) -> Iterator[Defect]:
    """Decode the labels of each rater and check that they are classes.

    Parameters
    ----------
    case_id
        The case, for the defects.
    raters
        The labels.
    class_count
        Number of classes.
    ignore_index
        Mark of voxels that are not labelled.
    """
    everyone = {rater: rater for rater in range(raters.layout.count)}
    wrong = WrongVoxels()
    unreadable: dict[str, str] = {}  # each once, in their order
    for region in raters.layout.grid.regions():
        z, y, x = region_shape(region)
        try:
            for _, chunk in raters.chunks(region, everyone):
                values = chunk[:z, :y, :x]
                wrong.add((values >= class_count) & (values != ignore_index), region, values)
        except StoreError as error:
            unreadable[f"{error.path}: {error.problem}"] = error.remedy
    for detail, remedy in unreadable.items():
        yield Defect(case_id, "unreadable data", detail, remedy=remedy)
    if wrong.count:
        yield wrong.defect(case_id, "a rater's labels outside the class table", "label")


def _check_block(region: Region, case: Case, found: _Findings, sums_to_one: bool) -> None:
    indices, soft = case.label_array.read(region), case.soft_array
    ignored = indices == found.ignore_index
    found.labels.add((indices >= found.class_count) & ~ignored, region, indices)
    _count_labels(region, indices, ignored, case.classes.background_index, found)
    if soft is None:
        return
    shard, _ = soft.layout.grid.locate(region)
    if soft.shard(shard) is None and sums_to_one:
        # Rightly absent where nothing is labelled, for then all its values are 0.
        if not ignored.all():
            found.unreadable[str(soft.folder / soft.layout.shard_path(shard))] = (
                "missing shard",
                "",
            )
        return
    total = _sum_classes(region, indices, soft, found)
    if ignored.any():
        found.ignored.add(ignored & (total != 0), region, total)
    if sums_to_one:
        far = np.abs(total - 1) > sum_tolerance(found.class_count)
        found.far.add(far & ~ignored, region, total)


def _count_labels(
    region: Region,
    indices: NDArray[Any],
    ignored: NDArray[np.bool_],
    background: int | None,
    found: _Findings,
) -> None:
    found.hard_voxels += np.bincount(indices.ravel(), minlength=len(found.hard_voxels))
    foreground = ~ignored if background is None else ~ignored & (indices != background)
    if foreground.any():
        axes = [np.flatnonzero(foreground.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        first = np.array(corner(region))
        starts, stops = np.array([[axis[0], axis[-1] + 1] for axis in axes], np.int64).T
        found.widen(starts + first, stops + first)
    if found.kept_box is not None:
        inside = shift(overlap(region, found.kept_box), corner(region))
        found.ignored_in_box += int(np.count_nonzero(ignored[inside]))


def _sum_classes(
    region: Region, indices: NDArray[Any], soft: ArrayReader, found: _Findings
) -> NDArray[np.float32]:
    """Sum over classes, (Z, Y, X) float32: exact, as all terms are multiples of 2^-24."""
    z, y, x = shape = region_shape(region)
    units, sums = _entropy_units(), found.sums
    total = np.zeros(shape, np.float32)
    largest, own = np.zeros(shape, np.uint16), np.zeros(shape, np.uint16)
    shared = np.zeros(shape, np.bool_)
    everything = {c: c for c in range(found.class_count)}
    for class_index, chunk in soft.chunks(region, everything):
        values = chunk[:z, :y, :x]
        bits = values.view(np.uint16)
        if bits.max() > ONE:
            found.range.add((bits > ONE) & (bits != MINUS_ZERO), region, values)
            bits = np.where(bits > ONE, np.uint16(0), bits)
        total += values
        sums.mass[class_index] += _mass(values)
        if sums.mass_in_box is not None and found.kept_box is not None:
            inside = shift(overlap(region, found.kept_box), corner(region))
            sums.mass_in_box[class_index] += _mass(values[inside])
        sums.entropy += _entropy(bits, units)
        # Patterns of the numbers from 0 to 1 are in the order of the numbers.
        np.copyto(own, bits, where=indices == class_index)
        shared = (shared & (bits <= largest)) | ((bits == largest) & (bits > 0))
        np.maximum(largest, bits, out=largest)
    sums.ties += int(np.count_nonzero(shared))
    sums.argmax_changes += int(np.count_nonzero(own < largest))
    return total


@cache
def _entropy_units() -> NDArray[np.int64]:
    from softlab_cli.kernels.half import entropy_units

    return entropy_units(ENTROPY_UNIT)


def _mass(values: NDArray[np.float16]) -> int:
    """Exact: float16 values are whole numbers of the unit, and a block has few of them."""
    constant = values.size > 0 and values.strides == (0, 0, 0)
    total = float(values.flat[0]) * values.size if constant else values.sum(dtype=np.float64)
    return int(total / MASS_UNIT) if np.isfinite(total) else 0


def _entropy(bits: NDArray[np.uint16], units: NDArray[np.int64]) -> int:
    if bits.strides == (0, 0, 0):
        return int(units[bits.flat[0]]) * bits.size
    if bits.size < len(units):  # to count every number there is takes longer than to look them up
        return int(units[bits].sum())
    counts = np.bincount(bits.ravel(), minlength=len(units))
    return int(counts @ units)


def _voxel_defects(case_id: str, found: _Findings) -> Iterator[Defect]:
    kinds = [
        (found.range, "soft labels outside [0, 1]", "value"),
        (found.far, "soft labels do not add up to 1", "sum"),
        (found.ignored, "soft labels at ignored voxels", "sum"),
        (found.labels, "class indices outside the class table", "class index"),
    ]
    for voxels, what, name in kinds:
        if voxels.count:
            yield voxels.defect(case_id, what, name)


def _kept_box(kept: CaseStatistics | None) -> Region | None:
    """The box that the statistics tell; None also where they tell none that could be."""
    if kept is None or kept.foreground_box is None:
        return None
    try:
        z, y, x = (slice(int(start), int(stop)) for start, stop in kept.foreground_box)
    except (TypeError, ValueError):
        return None
    return z, y, x


def _statistics_defects(case: Case, kept: CaseStatistics, found: _Findings) -> Iterator[Defect]:
    has_soft = case.soft_array is not None
    if found.box is None:
        found.sums.mass_in_box = None  # what the statistics tell is the box of nothing
    counted = case_statistics(
        found.counts,
        found.sums if has_soft and kept.soft_mass is not None else None,
        background_index=case.classes.background_index,
        spacing_mm=case.geometry.spacing_mm,
    ).to_json()
    told = kept.to_json()
    if told["soft_proportion_box"] is None:
        counted["soft_proportion_box"] = None  # not everything that writes a store knows it
    if _close(told["mean_entropy"], counted["mean_entropy"]):
        counted["mean_entropy"] = told["mean_entropy"]
    if problem := first_difference(told, counted):
        yield Defect(case.case_id, "statistics differ from the voxels", problem)


def _close(told: Any, counted: float | None) -> bool:
    numbers = isinstance(told, int | float) and counted is not None
    return numbers and abs(told - counted) < ENTROPY_TOLERANCE
