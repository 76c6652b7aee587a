"""Regions that calibration is judged in, as codes of a whole case.

``all`` is every voxel that a rater labelled. The others (of 2D, give (1, Y, X)):

- ``union``: within a distance of any rater's foreground. It does not depend on which
  rater is tested.
- ``band``: around the borders of any rater's label map.
- ``foreground``: where any rater has a class other than background.

With one reference, ``band`` and ``foreground`` depend on the label that is tested. Papers
report them, and they are biased: a predictor that is calibrated by construction (the
raters' mean, one of them the outcome) gets an ECE above 0 there, .047 on reference > 0
and .016 in a band in one study, and 0 over all voxels. `BIASED` has the words for it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.kernels.reach import mark_borders, nearest_along

__all__ = [
    "BIASED",
    "REGIONS",
    "Reach",
    "band",
    "challenge_box",
    "dilated_union",
    "foreground",
    "region_codes",
]

REGIONS = ("union", "band", "foreground")

BIASED = {
    "foreground": "reference > 0, as published: biased, not 0 for a calibrated predictor",
    "band": "band around the reference's borders: biased with one reference",
}
"""Region to what a report says beside it."""


@dataclass(frozen=True)
class Reach:
    """A distance, in mm or in voxels.

    Parameters
    ----------
    mm
        Straight distance between the middles of voxels, in mm.
    voxels
        Steps from voxel to voxel over faces.
    """

    mm: float | None = None
    voxels: int | None = None

    def __post_init__(self) -> None:
        """Look whether it is one distance.

        Raises
        ------
        UsageError
            When it is none or two, or negative.
        """
        given = [value for value in (self.mm, self.voxels) if value is not None]
        if len(given) != 1 or not 0 <= given[0] < math.inf:
            raise UsageError(
                f"{self.mm} mm and {self.voxels} voxels are no distance.",
                remedy="Give one of both, 0 or more.",
            )


def dilated_union(
    references: NDArray[Any], reach: Reach, spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0), *,
    ignore_index: int | None = None,
) -> NDArray[np.bool_]:  # fmt: skip
    """Voxels within a distance of any rater's foreground.

    Parameters
    ----------
    references
        (Z, Y, X) or (R, Z, Y, X) class indices; 0 is background.
    reach
        The distance.
    spacing_mm
        (z, y, x).
    ignore_index
        Class index that is none.
    """
    return _grown(foreground(references, ignore_index=ignore_index), reach, spacing_mm)


def foreground(references: NDArray[Any], *, ignore_index: int | None = None) -> NDArray[np.bool_]:
    """Voxels where any rater has a class other than background."""
    found = (references > 0) & (references != _mark(ignore_index))
    return np.asarray(found if references.ndim == 3 else found.any(axis=0), np.bool_)


def band(
    references: NDArray[Any], reach: Reach, spacing_mm: tuple[float, ...] = (1.0, 1.0, 1.0), *,
    ignore_index: int | None = None,
) -> NDArray[np.bool_]:  # fmt: skip
    """Voxels near a border between two classes of any rater.

    Border voxels share a face with another class; ignored voxels and the volume's own faces make
    no border. In mm the band has all voxels within that distance of a border voxel; in voxels it
    is so many deep: 1 are the border voxels, 2 those and their neighbours.
    """
    marks = np.zeros(references.shape[-3:], np.bool_)
    for labels in references if references.ndim == 4 else references[np.newaxis]:
        mark_borders(np.ascontiguousarray(labels), _mark(ignore_index), marks)
    if reach.voxels is None:
        return _grown(marks, reach, spacing_mm)
    if reach.voxels == 0:
        return np.zeros_like(marks)
    return _grown(marks, Reach(voxels=reach.voxels - 1), spacing_mm)


def _mark(ignore_index: int | None) -> int:
    return -1 if ignore_index is None else ignore_index


def challenge_box(references: NDArray[Any], margin: int = 20) -> NDArray[np.bool_]:
    """The box that CURVAS-PDACVI (2025) judges calibration in.

    From `margin` voxels before the first foreground voxel of any rater up to, without it, the
    one `margin` after the last. Theirs wraps around where the box would begin before the volume
    (its slice starts at a negative index) and is mostly empty then; here it is cut off.
    """
    inside = foreground(references)
    box = np.zeros(inside.shape, np.bool_)
    places = np.argwhere(inside)
    if len(places):
        first, last = places.min(axis=0) - margin, places.max(axis=0) + margin
        box[
            tuple(slice(max(0, a), b) for a, b in zip(first.tolist(), last.tolist(), strict=True))
        ] = True
    return box


def _grown(
    seeds: NDArray[np.bool_], reach: Reach, spacing_mm: tuple[float, ...]
) -> NDArray[np.bool_]:
    cost = np.where(seeds, np.float32(0.0), np.float32(np.inf))
    limit = np.float32(_limit(reach))
    for axis, step_mm in enumerate(spacing_mm):
        steps = _step_costs(reach, step_mm)
        shape = (math.prod(seeds.shape[:axis]), seeds.shape[axis], -1)
        flat = cost.reshape(shape)
        out = np.empty_like(flat)
        nearest_along(flat, steps, out)
        cost = out.reshape(seeds.shape)
    found: NDArray[np.bool_] = cost <= limit
    return found


def _limit(reach: Reach) -> float:
    if reach.mm is None:
        return float(reach.voxels or 0)
    return reach.mm**2 * (1 + 1e-6)  # a distance that is met exactly may be rounded up


def _step_costs(reach: Reach, step_mm: float) -> NDArray[np.float32]:
    if reach.mm is None:
        return np.arange((reach.voxels or 0) + 1, dtype=np.float32)
    count = int(reach.mm * (1 + 1e-6) / step_mm) + 1
    return ((np.arange(count) * step_mm) ** 2).astype(np.float32)


def region_codes(
    masks: Mapping[str, NDArray[np.bool_]],
) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
    """Names and codes for a gatherer, of one mask a region.

    Returns
    -------
    names, codes
        Region i has bit i; (Z, Y, X) uint8.

    Raises
    ------
    UsageError
        Without a mask, or for masks of different shapes.
    """
    shapes = {mask.shape for mask in masks.values()}
    if len(shapes) != 1:
        raise UsageError(f"regions of shapes {', '.join(map(str, sorted(shapes))) or 'none'}.")
    codes = np.zeros(shapes.pop(), np.uint8)
    for bit, mask in enumerate(masks.values()):
        codes |= mask.astype(np.uint8) << np.uint8(bit)
    return tuple(masks), codes
