"""Statistics of a case: how much of each class there is, hard and soft."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, overlap, region_shape, shift
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums

__all__ = ["CaseStatistics", "LabelCounts", "case_statistics", "sums_with_box"]


@dataclass(frozen=True)
class LabelCounts:
    """What a hard label holds.

    Parameters
    ----------
    hard_voxels
        (C,) int64, voxels of each class.
    ignored
        Voxels that are not labelled.
    box
        Smallest region that holds all foreground; None when there is none.
    ignored_in_box
        Ignored voxels inside the box.
    """

    hard_voxels: NDArray[np.int64]
    ignored: int = 0
    box: Region | None = None
    ignored_in_box: int = 0


@dataclass(frozen=True)
class CaseStatistics:
    """Statistics of a case, as the store keeps them; lists have one entry for each class.

    Parameters
    ----------
    voxels, ignored_voxels
        Voxels of the volume, and those of them that are not labelled; the
        others are valid.
    voxel_mm3
        Volume of a voxel (in 2D its area times the distance of slices, which
        readers set to 1 where the file has none).
    foreground_box
        [start, stop] along Z, Y and X around all classes but the background, or
        None when there are none.
    hard_voxels
        Voxels whose hard label is the class.
    hard_proportion, hard_proportion_valid, hard_proportion_box
        Those, as a share of all voxels, of the valid voxels, and of the valid
        voxels inside the foreground box (None without one).
    hard_mm3
        Those, as a volume.
    soft_mass
        Sum of the class's soft labels, in voxels; None, like all that follows,
        for a store that holds hard labels only.
    soft_proportion, soft_proportion_valid, soft_mm3
        That sum, as above.
    soft_proportion_box
        The same inside the foreground box; None without one, in stores of earlier
        versions, and for imported soft labels, whose box is known only at the end.
    argmax_changes
        Voxels whose largest soft label is not that of their hard label.
    ties
        Voxels whose largest soft label is shared by two classes or more.
    mean_entropy
        Mean over the valid voxels, in nats.
    """

    voxels: int
    ignored_voxels: int
    voxel_mm3: float
    foreground_box: list[list[int]] | None
    hard_voxels: list[int]
    hard_proportion: list[float]
    hard_proportion_valid: list[float]
    hard_proportion_box: list[float] | None
    hard_mm3: list[float]
    soft_mass: list[float] | None = None
    soft_proportion: list[float] | None = None
    soft_proportion_valid: list[float] | None = None
    soft_mm3: list[float] | None = None
    argmax_changes: int | None = None
    ties: int | None = None
    mean_entropy: float | None = None
    soft_proportion_box: list[float] | None = None

    @property
    def mean_entropy_bits(self) -> float | None:
        """`mean_entropy` as people are told it: 1 where two classes share a voxel."""
        return None if self.mean_entropy is None else self.mean_entropy / math.log(2)

    def to_json(self) -> dict[str, Any]:
        """The statistics as the store keeps them."""
        # Not `asdict`, which copies every list: with many classes, that takes longer than the file.
        return dict(vars(self))

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> CaseStatistics:
        """The statistics that `to_json` wrote; entries of later versions are left out."""
        known = {f.name for f in fields(cls)}
        return cls(**{name: fact for name, fact in facts.items() if name in known})


def case_statistics(
    counts: LabelCounts,
    sums: SoftSums | None,
    *,
    background_index: int | None,
    spacing_mm: tuple[float, float, float],
) -> CaseStatistics:
    """Statistics from exact sums, so that they do not depend on how a case was cut up.

    Parameters
    ----------
    counts
        What the hard label holds.
    sums
        Sums over the soft labels; None for a store of hard labels only.
    background_index
        The class that is no foreground, if there is one.
    spacing_mm
        Distance of voxels along (Z, Y, X).
    """
    hard = counts.hard_voxels
    valid = int(hard.sum())
    voxel_mm3 = prod(spacing_mm)
    box = counts.box and [[s.start, s.stop] for s in counts.box]
    statistics = CaseStatistics(
        voxels=valid + counts.ignored,
        ignored_voxels=counts.ignored,
        voxel_mm3=voxel_mm3,
        foreground_box=box,
        hard_voxels=hard.tolist(),
        hard_proportion=_share(hard, valid + counts.ignored),
        hard_proportion_valid=_share(hard, valid),
        hard_proportion_box=_share_of_box(counts, background_index),
        hard_mm3=(hard * voxel_mm3).tolist(),
    )
    return statistics if sums is None else _with_soft(statistics, sums, valid, counts)


def _with_soft(
    statistics: CaseStatistics, sums: SoftSums, valid: int, counts: LabelCounts
) -> CaseStatistics:
    mass, in_box = sums.mass * MASS_UNIT, sums.mass_in_box
    return replace(
        statistics,
        soft_mass=mass.tolist(),
        soft_proportion=_share(mass, statistics.voxels),
        soft_proportion_valid=_share(mass, valid),
        soft_mm3=(mass * statistics.voxel_mm3).tolist(),
        argmax_changes=sums.argmax_changes,
        ties=sums.ties,
        mean_entropy=sums.entropy * ENTROPY_UNIT / max(1, valid),
        soft_proportion_box=None
        if in_box is None
        else _share(in_box * MASS_UNIT, _valid_in_box(counts)),
    )


def _share(amounts: NDArray[Any], of: int) -> list[float]:
    shares: list[float] = (amounts / max(1, of)).tolist()
    return shares


def _share_of_box(counts: LabelCounts, background_index: int | None) -> list[float] | None:
    if counts.box is None:
        return None
    inside = counts.hard_voxels.copy()
    valid = _valid_in_box(counts)
    if background_index is not None:
        # All foreground lies in the box; what else is valid there is background.
        inside[background_index] = 0
        inside[background_index] = valid - inside.sum()
    return _share(inside, valid)


def _valid_in_box(counts: LabelCounts) -> int:
    assert counts.box is not None
    return prod(region_shape(counts.box)) - counts.ignored_in_box


def sums_with_box(block: SoftBlock, box: Region | None) -> SoftSums:
    """A block's sums, with what of its mass lies inside the foreground box.

    Parameters
    ----------
    block
        Soft labels of a block.
    box
        In voxels of the volume; None without any foreground.
    """
    if box is None:
        return block.sums
    inside = overlap(block.region, box)
    voxels, of = prod(region_shape(inside)), prod(region_shape(block.region))
    if voxels == of:
        return replace(block.sums, mass_in_box=block.sums.mass)
    if not voxels:
        return replace(block.sums, mass_in_box=np.zeros_like(block.sums.mass))
    mass = block.sums.mass.copy()
    if block.class_indices:
        mass[list(block.class_indices)] = _inside(block, inside)
    for class_index, value in block.constants.items():
        mass[class_index] -= round(value / MASS_UNIT) * (of - voxels)
    return replace(block.sums, mass_in_box=mass)


def _inside(block: SoftBlock, inside: Region) -> NDArray[np.int64]:
    """(k,) what of the mass of the classes with values lies inside a region."""
    from softlab_cli.kernels.half import subtract_outside

    z, y, x = block.region
    cut = shift(inside, (z.start, y.start, x.start))
    start, stop = tuple(s.start for s in cut), tuple(s.stop for s in cut)
    boxes = block.boxes
    if boxes is None:
        _, depth, height, _ = block.values.shape
        boxes = np.tile([0, depth - 1, 0, height - 1], (len(block.values), 1))
    mass = block.sums.mass[list(block.class_indices)]
    subtract_outside(block.values.view(np.uint16), boxes, start, stop, mass)
    return mass
