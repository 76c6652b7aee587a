"""Check the voxels of a case, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, region_shape
from softlab_cli.core.errors import StoreError
from softlab_cli.core.softblock import MASS_UNIT
from softlab_cli.store.arrays import ArrayReader, corner
from softlab_cli.store.defects import Defect
from softlab_cli.store.statistics import CaseStatistics

__all__ = ["check_raters", "check_voxels"]

ONE = np.uint16(0x3C00)
"""The bits of 1.0; those of all float16 from 0 to 1 are smaller, those of others larger."""

MINUS_ZERO = np.uint16(0x8000)


def sum_tolerance(class_count: int) -> float:
    """How far the sum of a voxel's soft labels may be from 1.

    Rounding to float16 moves a value p by at most p 2^-11, or 2^-25 where it is
    subnormal, so a sum of 1 moves by at most 2^-11 + C 2^-25; the values need not
    be the nearest ones, which doubles the first part.
    """
    return float(2.0**-10 + class_count * 2.0**-25)


@dataclass
class _Voxels:
    """Voxels with one fault: how many, and the first of them."""

    count: int = 0
    first: tuple[int, ...] = ()
    example: str = ""

    def add(self, wrong: NDArray[np.bool_], region: Region, values: NDArray[Any]) -> None:
        if not wrong.any():
            return
        if not self.count:
            place = tuple(int(i) for i in np.argwhere(wrong)[0])
            self.first = tuple(p + c for p, c in zip(place, corner(region), strict=True))
            self.example = f"{values[place]:g}"
        self.count += int(wrong.sum())


@dataclass
class _Findings:
    """What adds up over the blocks of a case."""

    class_count: int
    ignore_index: int
    hard_voxels: NDArray[np.int64]
    mass: NDArray[np.float64]
    unreadable: dict[str, str] = field(default_factory=dict)
    range: _Voxels = field(default_factory=_Voxels)
    sums: _Voxels = field(default_factory=_Voxels)
    ignored: _Voxels = field(default_factory=_Voxels)
    labels: _Voxels = field(default_factory=_Voxels)


def check_voxels(
    case_id: str,
    label: ArrayReader,
    soft: ArrayReader | None,
    statistics: CaseStatistics | None,
    class_count: int,
    ignore_index: int,
    *,
    sums_to_one: bool,
) -> Iterator[Defect]:
    """Decode every chunk of a case and check what is in it.

    Memory is that of a few blocks, whatever the number of classes.

    Parameters
    ----------
    case_id
        The case, for the defects.
    label
        The hard labels.
    soft
        The soft labels; None in a store of hard labels only.
    statistics
        What the metadata say of the voxels.
    class_count
        Number of classes.
    ignore_index
        Mark of voxels that are not labelled.
    sums_to_one
        Whether the soft labels of a valid voxel must add up to 1.
    """
    bins = max(class_count, ignore_index + 1)
    found = _Findings(
        class_count, ignore_index, np.zeros(bins, np.int64), np.zeros(class_count, np.float64)
    )
    for region in label.layout.grid.regions():
        try:
            _check_block(region, label, soft, found, sums_to_one)
        except StoreError as error:
            found.unreadable[f"{error.path}: {error.problem}"] = "unreadable data"
    for detail, what in found.unreadable.items():
        yield Defect(case_id, what, detail)
    yield from _voxel_defects(case_id, found)
    if statistics is not None and not found.unreadable:
        yield from _statistics_defects(case_id, found, statistics, soft is not None)


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
    wrong = _Voxels()
    unreadable: dict[str, None] = {}  # each once, in their order
    for region in raters.layout.grid.regions():
        z, y, x = region_shape(region)
        try:
            for _, chunk in raters.chunks(region, everyone):
                values = chunk[:z, :y, :x]
                wrong.add((values >= class_count) & (values != ignore_index), region, values)
        except StoreError as error:
            unreadable[f"{error.path}: {error.problem}"] = None
    for detail in unreadable:
        yield Defect(case_id, "unreadable data", detail)
    if wrong.count:
        yield _voxel_defect(case_id, wrong, "a rater's labels outside the class table", "label")


def _check_block(
    region: Region,
    label: ArrayReader,
    soft: ArrayReader | None,
    found: _Findings,
    sums_to_one: bool,
) -> None:
    indices = label.read(region)
    found.hard_voxels += np.bincount(indices.ravel(), minlength=len(found.hard_voxels))
    ignored = indices == found.ignore_index
    found.labels.add((indices >= found.class_count) & ~ignored, region, indices)
    if soft is None:
        return
    shard, _ = soft.layout.grid.locate(region)
    if soft.shard(shard) is None and sums_to_one:
        # Rightly absent where nothing is labelled, for then all its values are 0.
        if not ignored.all():
            found.unreadable[str(soft.folder / soft.layout.shard_path(shard))] = "missing shard"
        return
    total = _sum_classes(region, soft, found)
    if ignored.any():
        found.ignored.add(ignored & (total != 0), region, total)
    if sums_to_one:
        far = np.abs(total - 1) > sum_tolerance(found.class_count)
        found.sums.add(far & ~ignored, region, total)


def _sum_classes(region: Region, soft: ArrayReader, found: _Findings) -> NDArray[np.float32]:
    """Sum over classes, (Z, Y, X) float32: exact, as all terms are multiples of 2^-24."""
    z, y, x = region_shape(region)
    total = np.zeros((z, y, x), np.float32)
    everything = {c: c for c in range(found.class_count)}
    for class_index, chunk in soft.chunks(region, everything):
        values = chunk[:z, :y, :x]
        bits = values.view(np.uint16)
        if bits.max() > ONE:
            found.range.add((bits > ONE) & (bits != MINUS_ZERO), region, values)
        wide = values.astype(np.float32)
        found.mass[class_index] += wide.sum(dtype=np.float64)
        total += wide
    return total


def _voxel_defects(case_id: str, found: _Findings) -> Iterator[Defect]:
    kinds = [
        (found.range, "soft labels outside [0, 1]", "value"),
        (found.sums, "soft labels do not add up to 1", "sum"),
        (found.ignored, "soft labels at ignored voxels", "sum"),
        (found.labels, "class indices outside the class table", "class index"),
    ]
    for voxels, what, name in kinds:
        if voxels.count:
            yield _voxel_defect(case_id, voxels, what, name)


def _voxel_defect(case_id: str, voxels: _Voxels, what: str, name: str) -> Defect:
    detail = f"{voxels.count} voxels; the first is {voxels.first}, {name} {voxels.example}"
    return Defect(case_id, what, detail)


def _statistics_defects(
    case_id: str, found: _Findings, kept: CaseStatistics, has_soft: bool
) -> Iterator[Defect]:
    hard = found.hard_voxels[: found.class_count].tolist()
    pairs: list[tuple[str, list[Any], list[Any]]] = [
        ("hard_voxels", list(kept.hard_voxels), hard),
        ("ignored_voxels", [kept.ignored_voxels], [int(found.hard_voxels[found.ignore_index])]),
    ]
    if has_soft and kept.soft_mass is not None:
        # Both are whole numbers of 2^-24, so they agree to the last bit.
        mass = np.rint(found.mass / MASS_UNIT) * MASS_UNIT
        pairs.append(("soft_mass", list(kept.soft_mass), mass.tolist()))
    for name, told, counted in pairs:
        if told != counted:
            yield Defect(case_id, "statistics differ from the voxels", _first(name, told, counted))


def _first(name: str, told: list[Any], counted: list[Any]) -> str:
    if len(told) != len(counted):
        return f"{name} has {len(told)} entries for {len(counted)} classes"
    place = next(i for i, (a, b) in enumerate(zip(told, counted, strict=True)) if a != b)
    of = "" if len(told) == 1 else f" of class {place}"
    return f"{name}{of} is {told[place]} in the metadata and {counted[place]} in the voxels"
