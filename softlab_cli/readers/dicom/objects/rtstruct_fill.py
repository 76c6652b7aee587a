"""Contours of one region of interest as voxels of a series' grid."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.kernels.contours import fill_polygon, mark_outline
from softlab_cli.readers.dicom.files.common import listing
from softlab_cli.readers.dicom.objects.rtstruct_contours import (
    CLOSED_KINDS,
    PLANE_TOLERANCE,
    READ_AS_CLOSED,
)
from softlab_cli.readers.dicom.objects.rtstruct_file import Roi
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.options import LostContours

__all__ = ["Outlines", "fill_slice", "place_contours"]

ON_CONTOUR_VOXELS = 0.01
"""Centres this near to a contour count as on it: files give places in rounded millimetres."""

HANGING_SHARE = 0.05
"""From this share of a region on, it is said that voxels have their centres on a contour."""

# Digits kept of places in voxels, so that noise decides nothing on the voxel centres.
_DECIMALS = 6

Box = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Outlines:
    """Closed contours of one region, slice by slice.

    Parameters
    ----------
    name
        Name of the region.
    slices
        Index along Z to polygons, each (n, 2) x and y in voxels.
    shape
        (rows, columns) of a slice.
    path
        The RTSTRUCT file.
    lost
        Whether the region may lose a slice, or become empty.
    warnings
        What was odd.
    """

    name: str
    slices: dict[int, list[NDArray[np.float64]]]
    shape: tuple[int, int]
    path: Path
    lost: LostContours
    warnings: list[str] = field(default_factory=list)

    def fill(self, supersample: int = 1) -> Iterator[tuple[int, Box, NDArray[np.uint32]]]:
        """Each slice with its box and the points inside, of supersample^2 for each voxel.

        Adds to `warnings` what shows only now.
        """
        crossing = []
        for z, polygons in sorted(self.slices.items()):
            box, counts, crosses = fill_slice(polygons, self.shape, supersample)
            if crosses:
                crossing.append(z)
            yield z, box, counts
        if crossing:
            self.note(
                f"contours cross each other at Z index {listing(crossing)}; what two of them "
                "enclose counts as outside."
            )

    def voxels(self) -> Iterator[tuple[int, Box, NDArray[np.bool_]]]:
        """Each slice with its box and the voxels whose centres are inside.

        Adds to `warnings` what shows only now, also that many centres lie on a contour.

        Raises
        ------
        InputError
            After the last slice, when no voxel was inside and the region must not become
            empty.
        """
        empty: list[int] = []
        low = high = filled = 0
        for z, box, counts in self.fill():
            inside = counts > 0
            touched = touch_slice(self.slices[z], box)
            low += int((touched & inside).sum())
            high += int((touched & ~inside).sum())
            filled += int(inside.sum())
            if not inside.any():
                empty.append(z)
            yield z, box, inside
        if empty:
            why = f"its contours enclose no voxel centre at Z index {listing(empty)}."
            self.note(why)
            if not filled:
                self.lose("it becomes empty", why)
        if low + high > HANGING_SHARE * (filled + high):
            self.note(
                f"{low + high:,} voxel centres lie on a contour: {low:,} at its low x or low y "
                f"sides are inside, {high:,} at its high sides are not. It has {filled:,} voxels "
                f"so; {filled + high:,} if all counted."
            )

    def lose(self, loss: str, why: str) -> None:
        """Refuse a loss, or note it where it is allowed."""
        if self.lost == "ok":
            self.note(f"{loss}.")
            return
        raise InputError(
            f"{self.name}: {loss}: {why}",
            remedy="Correct it where it was drawn, leave the region out with --roi, or take what "
            "is left with --lost-contours ok.",
            path=self.path,
        )

    def note(self, warning: str) -> None:
        """Add a warning once, with the region's name."""
        text = f"{self.name}: {warning}"
        if text not in self.warnings:
            self.warnings.append(text)


def place_contours(
    roi: Roi, name: str, grid: SeriesGrid, path: Path, lost: LostContours = "refuse"
) -> Outlines:
    """Bring a region's contours to voxel coordinates.

    Parameters
    ----------
    roi, name
        The region, and what it is called in messages.
    grid
        The series.
    path
        The RTSTRUCT file.
    lost
        Whether the region may lose a slice, or become empty, since contours that enclose
        no area are left out.

    Raises
    ------
    InputError
        When contours are oblique to the slices, lie between them or outside the
        series; or when something is lost that must not be.
    """
    slices: dict[int, list[NDArray[np.float64]]] = {}
    outlines = Outlines(name, slices, grid.geometry.shape[1:], path, lost)
    off: list[str] = []
    elsewhere = 0
    slice_of = {f.uid: z for z, f in enumerate(grid.frames)} if _single(grid) else {}
    for contour in filter(lambda c: c.encloses, roi.contours):
        places = contour.in_voxels(grid)
        z = round(_height(places))
        if problem := _off_slices(places, grid.geometry.shape[0]):
            off.append(problem)
        else:
            slices.setdefault(z, []).append(np.round(places[:, :2], _DECIMALS))
            elsewhere += any(slice_of.get(uid, z) != z for uid in contour.image_uids)
    if off:
        raise InputError(
            f"{name}: {len(off)} contour(s) lie on no slice of the series (which has "
            f"slices 0 to {grid.geometry.shape[0] - 1}): {listing(off, 3)}.",
            remedy="Give the series that the contours were drawn on.",
            path=path,
        )
    _note_kinds(outlines, roi, grid)
    _note_oddities(outlines, roi, grid, elsewhere)
    return outlines


def _height(places: NDArray[np.float64]) -> float:
    return float(np.median(places[:, 2]))


def _off_slices(places: NDArray[np.float64], count: int) -> str:
    """Why points in voxels lie on no slice; empty when they lie on one."""
    height = _height(places)
    if float(np.ptp(places[:, 2])) > 2 * PLANE_TOLERANCE:
        return f"oblique, from slice {places[:, 2].min():.2f} to {places[:, 2].max():.2f}"
    if abs(height - round(height)) > PLANE_TOLERANCE:
        return f"between slices, at {height:.2f}"
    return "" if 0 <= round(height) < count else f"outside the series, at slice {round(height)}"


def _single(grid: SeriesGrid) -> bool:
    """Whether each slice is a file of its own."""
    return len({f.uid for f in grid.frames}) == len(grid.frames)


def _note_kinds(outlines: Outlines, roi: Roi, grid: SeriesGrid) -> None:
    """Say which contours were read although their type is odd, and which were left out."""
    read = Counter(c.kind for c in roi.contours if c.encloses and c.kind in READ_AS_CLOSED)
    for kind, count in read.items():
        outlines.note(f"{count} contour(s) {_of_type(kind)} were read as closed ones.")
    left_out = Counter(
        "of fewer than 3 points" if c.kind in CLOSED_KINDS | READ_AS_CLOSED else _of_type(c.kind)
        for c in roi.contours
        if not c.encloses
    )
    if left_out:
        reasons = listing([f"{count} {reason}" for reason, count in left_out.items()])
        why = f"{left_out.total()} contour(s) that close no outline were left out: {reasons}."
        outlines.note(why)
        if loss := _loss(outlines, roi, grid):
            outlines.lose(loss, why)
    if not outlines.slices:
        outlines.note("it is empty: it has no closed contour.")


def _of_type(kind: str) -> str:
    return f"of type {kind}" if kind else "without a type"


def _loss(outlines: Outlines, roi: Roi, grid: SeriesGrid) -> str:
    """What a region loses with the contours that enclose no area; points are none."""
    left_out = [c for c in roi.contours if not c.encloses and c.kind != "POINT"]
    if left_out and not outlines.slices:
        return "it becomes empty"
    drawn = (c.in_voxels(grid) for c in left_out if len(c.points))
    lost = {round(_height(p)) for p in drawn if not _off_slices(p, grid.geometry.shape[0])}
    lost -= set(outlines.slices)
    return f"it has no contour left at Z index {listing(sorted(lost), 10)}" if lost else ""


def _note_oddities(outlines: Outlines, roi: Roi, grid: SeriesGrid, elsewhere: int) -> None:
    known = {frame.uid for frame in grid.frames}
    absent = {u for c in roi.contours for u in c.image_uids if u and u not in known}
    if absent:
        outlines.note(
            f"it names {len(absent)} image(s) that the series does not have: "
            f"{listing(sorted(absent), 2)}."
        )
    if elsewhere:
        outlines.note(
            f"{elsewhere} contour(s) lie on other slices than the images that they name; "
            "their coordinates were used."
        )
    drawn = outlines.slices
    if gaps := [z for z in range(min(drawn, default=0), max(drawn, default=0)) if z not in drawn]:
        outlines.note(
            f"no contour on {len(gaps)} slice(s) between its first and its last: Z index "
            f"{listing(gaps, 10)}; they stay empty."
        )
    rows, columns = outlines.shape
    reach = [p for polygons in drawn.values() for p in polygons]
    far = np.array([columns - 0.5, rows - 0.5])
    if any((p < -0.5).any() or (p > far).any() for p in reach):
        outlines.note("it reaches outside the slices and was cut off there.")
    _drop_twins(outlines)


def _drop_twins(outlines: Outlines) -> None:
    """A contour given twice would cancel itself under the even-odd rule."""
    dropped = 0
    for polygons in outlines.slices.values():
        unique = {p.tobytes(): p for p in polygons}
        dropped += len(polygons) - len(unique)
        polygons[:] = unique.values()
    if dropped:
        outlines.note(f"{dropped} contour(s) that are copies of others were left out.")


def fill_slice(
    polygons: list[NDArray[np.float64]], shape: tuple[int, int], supersample: int = 1
) -> tuple[Box, NDArray[np.uint32], bool]:
    """Fill all polygons of a slice by the even-odd rule.

    Parameters
    ----------
    polygons
        Each (n, 2) x and y in voxels.
    shape
        (rows, columns) of the slice.
    supersample
        Points along each axis of a voxel; 1 takes the voxel's centre.

    Returns
    -------
    box
        Rows and columns that the polygons touch.
    counts
        (rows, columns) of the box: how many of the voxel's supersample^2 points
        are inside.
    crosses
        Whether two polygons overlap without one holding the other.
    """
    low = np.min([p.min(axis=0) for p in polygons], axis=0)
    high = np.max([p.max(axis=0) for p in polygons], axis=0)
    x0, y0 = (int(v) for v in np.clip(np.floor(low + 0.5), 0, [shape[1], shape[0]]))
    x1, y1 = (int(v) for v in np.clip(np.ceil(high + 0.5), [x0, y0], [shape[1], shape[0]]))
    size = (y1 - y0) * supersample, (x1 - x0) * supersample
    inside = np.zeros(size, np.uint8)
    masks = []
    for polygon in polygons:
        fine = (polygon - [x0, y0] + 0.5) * supersample - 0.5
        mask = fill_polygon(fine, size)
        masks.append(mask)
        inside ^= mask
    counts = inside.reshape(y1 - y0, supersample, x1 - x0, supersample).sum(
        axis=(1, 3), dtype=np.uint32
    )
    return (slice(y0, y1), slice(x0, x1)), counts, _cross(masks)


def touch_slice(polygons: list[NDArray[np.float64]], box: Box) -> NDArray[np.bool_]:
    """Which voxels of a slice's box have their centre on one of its polygons."""
    rows, columns = box
    touched = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for polygon in polygons:
        mark_outline(polygon - [columns.start, rows.start], ON_CONTOUR_VOXELS, touched)
    return touched.astype(bool)


def _cross(masks: list[NDArray[np.uint8]]) -> bool:
    for i, a in enumerate(masks):
        for b in masks[:i]:
            both = int((a & b).sum())
            if both and both != int(a.sum()) and both != int(b.sum()):
                return True
    return False
