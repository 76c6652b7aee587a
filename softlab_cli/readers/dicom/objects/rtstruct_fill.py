"""Contours of one region of interest as voxels of a series' grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.kernels.contours import fill_polygon
from softlab_cli.readers.dicom.files.common import LPS_TO_RAS, listing
from softlab_cli.readers.dicom.objects.rtstruct_file import CLOSED_KINDS, Contour, Roi
from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = ["Outlines", "fill_slice", "place_contours"]

PLANE_TOLERANCE = 0.1
"""Contours may lie this far from the plane of their slice, in slices (rounding in files)."""

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
    warnings
        What was odd.
    """

    name: str
    slices: Mapping[int, list[NDArray[np.float64]]]
    shape: tuple[int, int]
    warnings: list[str] = field(default_factory=list)

    def fill(self, supersample: int = 1) -> Iterator[tuple[int, Box, NDArray[np.uint32]]]:
        """Each slice with its box and the points inside, of supersample^2 for each voxel.

        Adds to `warnings` what shows only now.
        """
        crossing, filled = [], 0
        for z, polygons in sorted(self.slices.items()):
            box, counts, crosses = fill_slice(polygons, self.shape, supersample)
            filled += int(counts.any())
            if crosses:
                crossing.append(z)
            yield z, box, counts
        if crossing:
            self.note(
                f"contours cross each other at Z index {listing(crossing)}; what two of them "
                "enclose counts as outside."
            )
        if self.slices and not filled:
            self.note("its contours enclose no voxel centre.")

    def note(self, warning: str) -> None:
        """Add a warning once, with the region's name."""
        text = f"{self.name}: {warning}"
        if text not in self.warnings:
            self.warnings.append(text)


def place_contours(roi: Roi, name: str, grid: SeriesGrid, path: Path) -> Outlines:
    """Bring a region's contours to voxel coordinates.

    Parameters
    ----------
    roi, name
        The region, and what it is called in messages.
    grid
        The series.
    path
        The RTSTRUCT file.

    Raises
    ------
    InputError
        When contours are oblique to the slices, lie between them or outside the
        series.
    """
    to_voxels = np.linalg.inv(grid.geometry.affine) @ LPS_TO_RAS
    rows, columns = grid.geometry.shape[1:]
    slices: dict[int, list[NDArray[np.float64]]] = {}
    outlines = Outlines(name, slices, (rows, columns))
    off: list[str] = []
    elsewhere = 0
    slice_of = {f.uid: z for z, f in enumerate(grid.frames)} if _single(grid) else {}
    for contour in _closed(roi, outlines):
        places = contour.points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        height = float(np.median(places[:, 2]))
        spread = float(np.ptp(places[:, 2]))
        z = round(height)
        if spread > 2 * PLANE_TOLERANCE:
            off.append(f"oblique, from slice {places[:, 2].min():.2f} to {places[:, 2].max():.2f}")
        elif abs(height - z) > PLANE_TOLERANCE:
            off.append(f"between slices, at {height:.2f}")
        elif not 0 <= z < grid.geometry.shape[0]:
            off.append(f"outside the series, at slice {z}")
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
    _note_oddities(outlines, roi, grid, elsewhere)
    return outlines


def _single(grid: SeriesGrid) -> bool:
    """Whether each slice is a file of its own."""
    return len({f.uid for f in grid.frames}) == len(grid.frames)


def _closed(roi: Roi, outlines: Outlines) -> list[Contour]:
    """Contours that enclose an area; the others are noted."""
    kept = [c for c in roi.contours if c.kind in CLOSED_KINDS and len(c.points) >= 3]
    dropped = [c.kind or "no type" for c in roi.contours if c not in kept]
    if dropped:
        kinds = listing(sorted(set(dropped)))
        outlines.note(f"{len(dropped)} contour(s) without an area were left out ({kinds}).")
    if not kept:
        outlines.note("it is empty: it has no closed contour.")
    return kept


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


def _cross(masks: list[NDArray[np.uint8]]) -> bool:
    for i, a in enumerate(masks):
        for b in masks[:i]:
            both = int((a & b).sum())
            if both and both != int(a.sum()) and both != int(b.sum()):
                return True
    return False
