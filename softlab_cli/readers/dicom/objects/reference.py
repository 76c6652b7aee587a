"""The series that a segmentation or contours belong to, and where a frame lies on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.volume import GRID_TOLERANCE_VOXELS, Geometry
from softlab_cli.readers.base import FileProbe
from softlab_cli.readers.dicom.files.common import LPS_TO_RAS, listing, numbers, quiet
from softlab_cli.readers.dicom.files.elements import items_of, text_of, value_of
from softlab_cli.readers.dicom.files.frames import Frame
from softlab_cli.readers.dicom.files.scan import Scan, Series, scan_dicom
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.dicom.series.read import grid_of
from softlab_cli.readers.dicom.series.stack import LARGEST_DEVIATION_VOXELS

__all__ = [
    "Placement",
    "Placer",
    "Reference",
    "find_grid",
    "holds_any",
    "in_frame_of_reference",
    "pick_series",
    "probe_on_series",
    "shares_frame",
]


@dataclass(frozen=True)
class Reference:
    """What a file says of the images that it was made from.

    Parameters
    ----------
    path
        The file.
    series_uids
        Series that it names.
    image_uids
        SOP instances that it names.
    frame_of_reference
        Frame of reference UID, or an empty string.
    lies_on
        Whether all that the file places lies on the images of a series that it names, so
        that its coordinates are those of the series, whatever its frame of reference says.
    place_on
        Finds the place of all that the file holds on a series, without painting it; raises
        what reading would, where it lies elsewhere.
    """

    path: Path
    series_uids: tuple[str, ...]
    image_uids: frozenset[str]
    frame_of_reference: str
    lies_on: Callable[[SeriesGrid], bool] = field(default=lambda grid: False, repr=False)
    place_on: Callable[[SeriesGrid], None] = field(default=lambda grid: None, repr=False)


def find_grid(
    images: str | Path | SeriesGrid | None, reference: Reference, wanted: str | None = None
) -> SeriesGrid:
    """The grid of the series that a file belongs to.

    Parameters
    ----------
    images
        A series that was opened before, or a file or folder in which the series
        is looked up by its UID, then by the images that the file names, then by
        the frame of reference.
    reference
        What the file says of its images.
    wanted
        As for `pick_series`.

    Raises
    ------
    InputError
        When the series is not there, or several could be meant.
    GeometryError
        When its frame of reference is another one.
    """
    if images is None:
        raise InputError(
            f"belongs to series {listing(reference.series_uids) or '(not named)'}, whose images "
            "give it its grid.",
            remedy="Give the folder of that series with --images.",
            path=reference.path,
        )
    if isinstance(images, SeriesGrid):
        grid = _noting_another_series(images, reference)
    else:
        with quiet():
            scan = scan_dicom(Path(images))
            grid = grid_of(scan, pick_series(scan, reference, wanted))
    return in_frame_of_reference(grid, reference)


def probe_on_series(path: Path, series: SeriesGrid | None, bytes_beside: int) -> FileProbe:
    """What a label map on the grid of a series takes to read.

    Parameters
    ----------
    path
        The label object; it refers to a series.
    series
        That series.
    bytes_beside
        What is occupied meanwhile, beside label values, which segments lie over one another
        and, for fractions, the highest fraction so far, which are uint16 at most.
    """
    assert series is not None, f"{path} has no grid of its own"
    voxels = prod(series.geometry.shape)
    held = 2 * voxels
    return FileProbe(path, series.geometry, np.dtype(np.uint16), 1, held, 3 * held + bytes_beside)


def pick_series(scan: Scan, reference: Reference, wanted: str | None = None) -> Series:
    """The one image series of a scan that a file belongs to.

    Parameters
    ----------
    scan
        What was found.
    reference
        What the file says of its images.
    wanted
        What ``--series`` says, where it fits none of them; for the message.

    Raises
    ------
    InputError
        When it is not there, or not the only one; the message lists those that are there.
    """
    scan.check()
    images = scan.of_kind("image")
    by_uid = [s for s in images if s.uid in reference.series_uids]
    by_image = [s for s in images if holds_any(s, reference.image_uids)]
    named = reference.series_uids or reference.image_uids
    by_frame = [] if named else [s for s in images if shares_frame(s, reference)]
    for found in (by_uid, by_image, by_frame):
        if len(found) == 1:
            return found[0]
    raise _no_one_series(scan, reference, by_uid or by_image or by_frame, wanted)


def _no_one_series(
    scan: Scan, reference: Reference, several: list[Series], wanted: str | None
) -> InputError:
    belongs = f"belongs to series {listing(reference.series_uids) or '(not named)'}"
    images = scan.of_kind("image")
    if not images:
        problem = f"{belongs}, but {scan.path} holds no DICOM image."
        remedy = "Give the folder of that series with --images."
        return InputError(problem, remedy=remedy, path=reference.path)
    if several:
        problem = f"fits {len(several)} of the image series in {scan.path} by what it names:\n"
        remedy = "Say which one is meant with --series and its UID."
    else:
        problem = f"{belongs}, which is not among the image series in {scan.path}:\n"
        remedy = "Give the folder of that series with --images, or name one of these with --series."
    if wanted is not None:
        problem = f"(no image series matches --series {wanted!r}) {problem}"
    lines = [f"  {s.describe()}{_shared(s, reference)}\n" for s in several or images]
    return InputError(problem + "".join(lines), remedy=remedy, path=reference.path)


def _shared(series: Series, reference: Reference) -> str:
    return " (in its frame of reference)" if shares_frame(series, reference) else ""


def holds_any(series: Series, image_uids: frozenset[str]) -> bool:
    """Whether any file of a series is among some images."""
    return any(f.text("SOPInstanceUID") in image_uids for f in series.files)


def shares_frame(series: Series, reference: Reference) -> bool:
    """Whether a series lies in the frame of reference that a file names."""
    uid = series.files[0].text("FrameOfReferenceUID")
    return bool(uid) and uid == reference.frame_of_reference


def _noting_another_series(grid: SeriesGrid, reference: Reference) -> SeriesGrid:
    if not reference.series_uids or grid.uid in reference.series_uids:
        return grid
    note = f"made from series {listing(reference.series_uids)}, placed on series {grid.uid}."
    return replace(grid, warnings=(*grid.warnings, note))


def in_frame_of_reference(grid: SeriesGrid, reference: Reference) -> SeriesGrid:
    """The grid again, with a warning where its frame of reference is another one by name only.

    Raises
    ------
    GeometryError
        When it is another one.
    """
    ours, theirs = reference.frame_of_reference, grid.frame_of_reference
    if not ours or not theirs or ours == theirs:
        return grid
    if not reference.lies_on(grid):
        raise GeometryError(
            f"lies in frame of reference {ours}, but the images of series {grid.uid} in "
            f"{theirs}: their coordinates cannot be compared.",
            remedy="Give the folder of the series that it was made from with --images.",
            path=reference.path,
        )
    note = (
        f"lies in frame of reference {ours}, the series in {theirs}; every contour names an "
        "image of the series and lies on it, so both were taken as one."
    )
    return replace(grid, warnings=(*grid.warnings, note))


@dataclass(frozen=True)
class Placement:
    """Where a frame's pixels lie in a volume, up to flips and a change of axes.

    Parameters
    ----------
    start
        Voxel (z, y, x) of the frame's first pixel.
    row_axis, row_sign
        Array axis, and direction along it, of one step to the next row.
    column_axis, column_sign
        The same of one step to the next column.
    """

    start: tuple[int, int, int]
    row_axis: int
    row_sign: int
    column_axis: int
    column_sign: int

    def box(self, shape: tuple[int, int]) -> tuple[slice, slice, slice]:
        """The voxels (z, y, x) that the frame's (rows, columns) pixels are."""
        found = [slice(first, first + 1) for first in self.start]
        for axis, sign, count in (
            (self.row_axis, self.row_sign, shape[0]),
            (self.column_axis, self.column_sign, shape[1]),
        ):
            first = self.start[axis] if sign > 0 else self.start[axis] - count + 1
            found[axis] = slice(first, first + count)
        return found[0], found[1], found[2]

    def view(self, volume: NDArray[np.generic], shape: tuple[int, int]) -> NDArray[np.generic]:
        """The frame's (rows, columns) pixels as a view into a (Z, Y, X) volume."""
        index: list[int | slice] = list(self.start)
        for axis, sign, count in (
            (self.row_axis, self.row_sign, shape[0]),
            (self.column_axis, self.column_sign, shape[1]),
        ):
            first = self.start[axis]
            stop = first + sign * count
            index[axis] = slice(first, stop if stop >= 0 else None, sign)
        view = volume[tuple(index)]
        return view if self.row_axis < self.column_axis else view.T


class Placer:
    """Finds where frames lie on the grid of a series.

    Parameters
    ----------
    grid
        The series.
    """

    def __init__(self, grid: SeriesGrid) -> None:
        self.grid = grid
        self.deviation = 0.0
        """How far the corners of any frame so far lie from voxel centres, in voxels."""
        self._known: dict[tuple[float, ...], Placement] = {}

    def place(self, frame: Frame) -> Placement:
        """Where one frame lies.

        Parameters
        ----------
        frame
            With position, orientation and pixel spacing; or without them, when it
            names the image that it was made from.

        Raises
        ------
        GeometryError
            When the frame's pixels are not voxels of the grid; the message shows
            both grids.
        """
        shape = frame.file.integer("Rows"), frame.file.integer("Columns")
        position = numbers(frame.find("ImagePositionPatient"), 3)
        axes = numbers(frame.find("ImageOrientationPatient"), 6)
        spacing = numbers(frame.find("PixelSpacing"), 2)
        if position is None or axes is None or spacing is None:
            return _place_by_image(frame, self.grid, shape)
        # Segments repeat the same few places, and a file may have thousands of frames.
        key = (*position, *axes, *spacing, *shape)
        if key not in self._known:
            affine = _frame_affine(position, axes, spacing)
            self._known[key], deviation = _place_by_position(frame, affine, shape, self.grid)
            self.deviation = max(self.deviation, deviation)
        return self._known[key]


def _place_by_position(
    frame: Frame, affine: NDArray[np.float64], shape: tuple[int, int], grid: SeriesGrid
) -> tuple[Placement, float]:
    matrix = np.linalg.solve(grid.geometry.affine, LPS_TO_RAS @ affine)[:3, [0, 1, 3]]
    exact = np.rint(matrix)
    corners = np.array([[x, y, 1] for y in (0, shape[0] - 1) for x in (0, shape[1] - 1)]).T
    deviation = float(np.abs((matrix - exact) @ corners).max())
    unit = (np.abs(exact[:, :2]).sum(axis=0) == 1).all() and exact[:, 0] @ exact[:, 1] == 0
    reached = exact @ corners
    size = np.array(grid.geometry.shape[::-1])[:, None]
    inside = (reached >= 0).all() and (reached < size).all()
    allowed = LARGEST_DEVIATION_VOXELS + GRID_TOLERANCE_VOXELS
    if not (unit and inside) or deviation > allowed:
        raise _misplaced(frame, affine, shape, grid, outside=bool(unit) and deviation <= allowed)
    columns = exact.astype(int)
    column_axis, row_axis = (2 - int(np.argmax(np.abs(columns[:, i]))) for i in (0, 1))
    start = columns[::-1, 2]
    placement = Placement(
        (int(start[0]), int(start[1]), int(start[2])),
        row_axis,
        int(columns[2 - row_axis, 1]),
        column_axis,
        int(columns[2 - column_axis, 0]),
    )
    return placement, deviation


def _frame_affine(
    position: tuple[float, ...], axes: tuple[float, ...], spacing: tuple[float, ...]
) -> NDArray[np.float64]:
    """(4, 4) pixel (x, y, 0) of a frame to LPS millimetres."""
    affine = np.eye(4)
    affine[:3, 0] = np.array(axes[:3]) * spacing[1]
    affine[:3, 1] = np.array(axes[3:]) * spacing[0]
    affine[:3, 2] = np.cross(axes[:3], axes[3:])
    affine[:3, 3] = position
    return affine


def _place_by_image(frame: Frame, grid: SeriesGrid, shape: tuple[int, int]) -> Placement:
    path = frame.file.path
    derivations = frame.items("DerivationImageSequence")
    sources = [s for d in derivations for s in items_of(d, "SourceImageSequence", path)]
    for source in sources:
        slices = grid.slices_of(text_of(value_of(source, "ReferencedSOPInstanceUID", path)))
        number = numbers(value_of(source, "ReferencedFrameNumber", path), 1)
        if number is not None:
            slices = [z for z in slices if grid.frames[z].number == number[0] - 1]
        if len(slices) == 1 and shape == grid.geometry.shape[1:]:
            return Placement((slices[0], 0, 0), 1, 1, 2, 1)
    raise GeometryError(
        f"{frame.name} has no position in the patient, and names no image of the series with "
        f"{shape[0]}x{shape[1]} pixels.",
        remedy="Give the series that it was made from.",
        path=path,
    )


def _misplaced(
    frame: Frame,
    affine: NDArray[np.float64],
    shape: tuple[int, int],
    grid: SeriesGrid,
    *,
    outside: bool,
) -> GeometryError:
    own = Geometry((1, *shape), LPS_TO_RAS @ affine)
    how = "reaches outside" if outside else "does not lie on the voxels of"
    return GeometryError(
        f"{frame.name} {how} the series:\n"
        f"  segmentation frame: {own.describe()}\n"
        f"  series: {grid.geometry.describe()}\n",
        remedy="Give the series that it was made from, or resample the segmentation.",
        path=frame.file.path,
    )
