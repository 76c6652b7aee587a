"""How far the surfaces of a reference and a prediction lie apart.

The surface of a class passes the corners at which voxels with the class meet voxels without
it, and is closed at the border of the volume. A corner has the area that marching cubes gives
it (`softlab_cli.evaluation.metrics.surfel_areas`), and its distance to the other surface is that
to the nearest corner on it, exact, in mm. So does DeepMind's surface-distance (Nikolov et al.,
Clinically applicable segmentation of head and neck anatomy for radiotherapy, 2018), with which
these figures agree. Pictures have contours and lengths in place of surfaces and areas.

Voxels that the reference ignores have no class, in the prediction neither.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.core.threads import ordered_map
from softlab_cli.evaluation.metrics.distances import nearest_distances
from softlab_cli.evaluation.metrics.grids import check_spacing, ignore_together, on_one_grid
from softlab_cli.evaluation.metrics.surfel_areas import contour_lengths, surfel_areas
from softlab_cli.evaluation.metrics.surfel_lists import SurfelFinder, SurfelLists

__all__ = ["Direction", "SurfaceDistances", "pool_surfaces", "surface_distances"]

PERCENT = 95.0

MOST_SURFELS = 1 << 23
"""Surfels of both maps that are listed together: 75 MB. A class with more has its own lists."""
"""Share of the surface that HD95 leaves within itself."""


@dataclass(frozen=True)
class Direction:
    """What one surface says of its distance to the other; sums, so that cases can be pooled.

    Parameters
    ----------
    area
        mm^2 of the surface; mm of a contour.
    within
        The part of it that is within each tolerance of the other.
    measured
        The part of it that has a distance: all of it where there is another surface, or none.
    moment
        Sum of area times distance over that part, mm^3 (mm^2).
    largest
        Largest distance to the other, mm; nan without a surface, infinite without another.
    percentile
        The distance that 95 % of the area do not exceed, mm; nan where cases are pooled.
    """

    area: float
    within: tuple[float, ...]
    measured: float
    moment: float
    largest: float
    percentile: float

    @property
    def mean(self) -> float:
        """Mean distance to the other, weighted by area, mm."""
        return _mean(self.moment, self.measured, self.area)


@dataclass(frozen=True)
class SurfaceDistances:
    """The surfaces of one class of one case, or of several.

    One surface without the other is infinitely far from it; where there is neither, distances
    are nan. Both are left out of means over cases, and counted (`is_finite`).

    Parameters
    ----------
    class_index
        The class.
    tolerances_mm
        Those that `within` of the directions is about.
    reference
        From the surface of the reference to that of the prediction.
    prediction
        From the surface of the prediction to that of the reference.
    left_out
        Cases without distances, since one surface or both are missing; 0 or 1 for a case.
    """

    class_index: int
    tolerances_mm: tuple[float, ...]
    reference: Direction
    prediction: Direction
    left_out: int = 0

    @property
    def is_finite(self) -> bool:
        """Whether there are both surfaces (in a case at least), so that distances are numbers."""
        return self.reference.measured > 0

    def surface_dice(self, tolerance_mm: float) -> float:
        """Surface DSC: ``(R_t + P_t) / (R + P)``.

        R and P are the areas of both surfaces, R_t and P_t the parts within the tolerance of the
        other. Symmetric; 1 when there is no surface, 0 when there is one. After Nikolov et al.,
        2018; DeepMind's code has nan for no surface.
        """
        place = self._place(tolerance_mm)
        total = self.reference.area + self.prediction.area
        near = self.reference.within[place] + self.prediction.within[place]
        return near / total if total else 1.0

    def one_sided_surface_dice(self, tolerance_mm: float) -> float:
        """Share of the predicted surface within the tolerance of the reference: ``P_t / P``.

        The probable variant of the numbers that the SVLS papers publish as surface DSC. Its
        fault: a prediction that leaves out half of an object, and is right in the other,
        has about 1. Empty surfaces as in `surface_dice`.
        """
        place = self._place(tolerance_mm)
        if not self.prediction.area:
            return 0.0 if self.reference.area else 1.0
        return self.prediction.within[place] / self.prediction.area

    @property
    def hausdorff_mm(self) -> float:
        """HD: the larger of the largest distances in both directions."""
        return _larger(self.reference.largest, self.prediction.largest)

    @property
    def hausdorff_95_mm(self) -> float:
        """HD95: the larger of the percentiles in both directions, weighted by area.

        A percentile is the least distance at which the area up to it reaches 95 % of all.
        Others count voxels and interpolate (MONAI), or pool both directions.
        """
        return _larger(self.reference.percentile, self.prediction.percentile)

    @property
    def assd_mm(self) -> float:
        """ASSD: mean distance over both surfaces, pooled and weighted by area."""
        one, two = self.reference, self.prediction
        return _mean(one.moment + two.moment, one.measured + two.measured, one.area + two.area)

    @property
    def mean_of_directions_mm(self) -> float:
        """Mean of both directed mean distances; what some call ASSD. See `assd_mm` for ours."""
        if not self.is_finite:
            return self.assd_mm
        return (self.reference.mean + self.prediction.mean) / 2

    def _place(self, tolerance_mm: float) -> int:
        if tolerance_mm not in self.tolerances_mm:
            raise UsageError(
                f"nothing was counted at a tolerance of {tolerance_mm:g} mm.",
                remedy=f"Choose one of {', '.join(f'{t:g}' for t in self.tolerances_mm)}.",
            )
        return self.tolerances_mm.index(tolerance_mm)


def surface_distances(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing_mm: Sequence[float],
    classes: Iterable[int],
    *,
    tolerances_mm: Sequence[float] = (2.0,),
    ignore_index: int | None = None,
    threads: int = 1,
) -> list[SurfaceDistances]:
    """Compare the surfaces of several classes.

    Parameters
    ----------
    reference, prediction
        (Z, Y, X) class indices, uint8 or uint16; a picture without Z.
    spacing_mm
        Of the voxels, one for each axis, in array order.
    classes
        Class indices to compare; others, and the background unless it is one of
        them, have no surface.
    tolerances_mm
        Distances within which surfaces count as one.
    ignore_index
        Index of voxels that are not labelled.
    threads
        The result does not depend on it.

    Returns
    -------
    list of SurfaceDistances
        One for each class, in the order of `classes`.

    Raises
    ------
    GeometryError
        The arrays have different shapes.
    UsageError
        A spacing or a tolerance has no meaning, or the arrays are of another type.
    """
    wanted, tolerances = [int(c) for c in classes], check_tolerances(tolerances_mm)
    first, second = on_one_grid(reference, prediction, wanted)
    check_spacing(spacing_mm, first.ndim)
    areas = (contour_lengths if first.ndim == 2 else surfel_areas)(spacing_mm)
    one = SurfelFinder(first, wanted, threads)
    two = SurfelFinder(ignore_together(first, second, ignore_index), wanted, threads)
    found: list[SurfaceDistances] = []
    for group in _groups(wanted, lambda c: one.count(c) + two.count(c)):
        compare = _Comparison(
            one.lists(group), two.lists(group), tuple(spacing_mm), areas, tolerances
        )
        found += ordered_map(compare.of, group, threads)
    return found


def _groups(classes: Sequence[int], count: Callable[[int], int]) -> Iterator[list[int]]:
    """Classes in their order, so many at a time that their surfels can be held."""
    group: list[int] = []
    held = 0
    for class_index in classes:
        size = count(class_index)
        if group and held + size > MOST_SURFELS:
            yield group
            group, held = [], 0
        group.append(class_index)
        held += size
    if group:
        yield group


def check_tolerances(tolerances_mm: Sequence[float]) -> tuple[float, ...]:
    """Tolerances as numbers.

    Raises
    ------
    UsageError
        One is below 0, or no number.
    """
    values = tuple(float(t) for t in tolerances_mm)
    if not all(t >= 0 for t in values):
        raise UsageError(
            f"tolerances_mm is {values}.", remedy="Give distances in millimetres, from 0 on."
        )
    return values


def pool_surfaces(cases: Sequence[SurfaceDistances]) -> SurfaceDistances:
    """The surfaces of one class of several cases as one.

    Areas are added up, so that a large object counts for more than a small one. Cases with one
    surface count in surface DSC with their area; they are left out of the distances, and
    counted. HD95 of several cases is nan: it is no sum.

    Parameters
    ----------
    cases
        Of one class with the same tolerances; one at least.
    """
    return SurfaceDistances(
        cases[0].class_index,
        cases[0].tolerances_mm,
        _pool([case.reference for case in cases]),
        _pool([case.prediction for case in cases]),
        sum(case.left_out for case in cases),
    )


def _pool(directions: Sequence[Direction]) -> Direction:
    kept = [d.largest for d in directions if d.measured] or [d.largest for d in directions]
    return Direction(
        math.fsum(d.area for d in directions),
        tuple(math.fsum(parts) for parts in zip(*(d.within for d in directions), strict=True)),
        math.fsum(d.measured for d in directions),
        math.fsum(d.moment for d in directions),
        _largest(kept),
        math.nan,
    )


@dataclass(frozen=True, eq=False)
class _Comparison:
    """Two surfaces of all classes, and how to measure them."""

    reference: SurfelLists
    prediction: SurfelLists
    spacing_mm: tuple[float, ...]
    areas: NDArray[np.float64]
    tolerances_mm: tuple[float, ...]

    def of(self, class_index: int) -> SurfaceDistances:
        """The figures of a class."""
        one = self._direction(class_index, self.reference, self.prediction)
        two = self._direction(class_index, self.prediction, self.reference)
        missing = not (one.measured and two.measured)
        return SurfaceDistances(class_index, self.tolerances_mm, one, two, int(missing))

    def _direction(self, class_index: int, one: SurfelLists, other: SurfelLists) -> Direction:
        distances = nearest_distances(
            one.points(class_index), other.points(class_index), self.spacing_mm
        )
        return _direction(distances, one.codes(class_index), self.areas, self.tolerances_mm)


def _direction(
    distances: NDArray[np.float64],
    codes: NDArray[np.uint8],
    areas: NDArray[np.float64],
    tolerances_mm: tuple[float, ...],
) -> Direction:
    """Sums over the surfels of one surface, given the distance and the code of each."""
    # How many have which code is a whole number, so that the area has no rounding of its own.
    area = _area(codes, areas)
    within = tuple(_area(codes[distances <= t], areas) for t in tolerances_mm)
    if not len(distances) or math.isinf(distances[0]):
        least = math.inf if len(distances) else math.nan
        return Direction(area, within, 0.0, 0.0, least, least)
    weights = areas[codes]
    # Most distances are 0, and add nothing.
    far = np.flatnonzero(distances)
    moment = float((distances[far] * weights[far]).sum())
    percentile = _percentile(distances, weights, area)
    return Direction(area, within, area, moment, float(distances.max()), percentile)


def _area(codes: NDArray[np.uint8], areas: NDArray[np.float64]) -> float:
    return math.fsum(np.bincount(codes, minlength=len(areas)) * areas)


def _percentile(
    distances: NDArray[np.float64], weights: NDArray[np.float64], total: float
) -> float:
    """The least distance at which the weight up to it reaches 95 % of the total."""
    far = np.flatnonzero(distances)
    far = far[np.argsort(distances[far], kind="stable")]
    beyond = total - math.fsum(weights[far])
    reached = (beyond + np.cumsum(weights[far])) / total
    if beyond / total >= PERCENT / 100 or not len(far):
        return 0.0
    place = int(np.searchsorted(reached, PERCENT / 100))
    return float(distances[far[min(place, len(far) - 1)]])


def _mean(moment: float, measured: float, area: float) -> float:
    """Mean distance; infinite where a surface has no other, nan without a surface."""
    if measured:
        return moment / measured
    return math.inf if area else math.nan


def _larger(one: float, two: float) -> float:
    return _largest([one, two])


def _largest(values: Sequence[float]) -> float:
    """The largest; without those that are nan, unless all are."""
    return max((v for v in values if not math.isnan(v)), default=math.nan)
