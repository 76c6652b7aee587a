"""The contours in an RTSTRUCT file, and whether all that it holds were reached."""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import DeflatedExplicitVRLittleEndian

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.dicom.files.common import LPS_TO_RAS, DicomFile
from softlab_cli.readers.dicom.files.elements import integer_of, items_of, text_of, value_of
from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = [
    "CLOSED_KINDS",
    "PLANE_TOLERANCE",
    "READ_AS_CLOSED",
    "Contour",
    "contours_of",
    "lie_on_their_images",
]

PLANE_TOLERANCE = 0.1
"""Contours may lie this far from the plane of their slice, in slices (rounding in files)."""

CLOSED_KINDS = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
READ_AS_CLOSED = frozenset({"INTERPOLATED_PLANAR", ""})
"""Types that are none of the standard, or missing; planning systems write them for outlines."""

_CONTOUR_DATA = 0x30060050


@dataclass(frozen=True, eq=False)
class Contour:
    """One contour.

    Parameters
    ----------
    kind
        Geometric type, such as ``CLOSED_PLANAR``; empty where the file has none.
    points
        (n, 3) LPS millimetres.
    image_uids
        SOP instances that it names.
    """

    kind: str
    points: NDArray[np.float64]
    image_uids: tuple[str, ...]

    @property
    def encloses(self) -> bool:
        """Whether it is the outline of an area."""
        return (self.kind in CLOSED_KINDS | READ_AS_CLOSED) and len(self.points) >= 3

    def in_voxels(self, grid: SeriesGrid) -> NDArray[np.float64]:
        """(n, 3) x, y, z of its points in voxels of a series."""
        to_voxels = np.linalg.inv(grid.geometry.affine) @ LPS_TO_RAS
        places: NDArray[np.float64] = self.points @ to_voxels[:3, :3].T + to_voxels[:3, 3]
        return places


def contours_of(file: DicomFile) -> dict[int, list[Contour]]:
    """The contours of each region, by its number.

    Raises
    ------
    InputError
        When a contour is damaged, or belongs to no region; or when the file holds contours
        that its sequences do not lead to, since one of them is damaged.
    """
    found: dict[int, list[Contour]] = {}
    reached = 0
    for region in file.items("ROIContourSequence"):
        items = items_of(region, "ContourSequence", file.path)
        number = integer_of(region, "ReferencedROINumber", file.path, -1)
        if items and number == -1:
            problem = f"has {len(items)} contour(s) that name no region."
            raise InputError(problem, remedy=FETCH_AGAIN, path=file.path)
        found.setdefault(number, []).extend(_contour(item, file) for item in items)
        reached += sum(_CONTOUR_DATA in item for item in items)
    _check_reached(file, reached)
    return found


def _contour(item: Dataset, file: DicomFile) -> Contour:
    images = items_of(item, "ContourImageSequence", file.path)
    uids = (text_of(value_of(i, "ReferencedSOPInstanceUID", file.path)) for i in images)
    kind = text_of(value_of(item, "ContourGeometricType", file.path)).upper()
    return Contour(kind, _points(item, file), tuple(uid for uid in uids if uid))


def _points(item: Dataset, file: DicomFile) -> NDArray[np.float64]:
    element: Any = item.get_item(_CONTOUR_DATA) if _CONTOUR_DATA in item else None
    value = getattr(element, "value", None)
    # Undecoded text is parsed at once; pydicom would make an object of each number.
    raw = value.split(b"\\") if isinstance(value, bytes) and value.strip() else value or []
    try:
        points = np.array(list(raw)).astype(np.float64).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise _damaged(str(error), file) from error
    if not np.isfinite(points).all():
        raise _damaged("a coordinate is no number", file)
    said = integer_of(item, "NumberOfContourPoints", file.path, len(points))
    if said != len(points):
        raise _damaged(f"it says {said} points and holds {len(points)}", file)
    return points


def _damaged(reason: str, file: DicomFile) -> InputError:
    return InputError(f"has a damaged contour ({reason}).", remedy=FETCH_AGAIN, path=file.path)


def _check_reached(file: DicomFile, reached: int) -> None:
    """Compare with the contours whose tag stands in the bytes of the file.

    A damaged tag or length ends a sequence early, or hides it, without an error.
    """
    meta = getattr(file.header, "file_meta", Dataset())
    if meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian:
        return
    implicit, little = file.header.original_encoding
    tag = rb"\x06\x30\x50\x00" if little else rb"\x30\x06\x00\x50"
    # Long contours are of unknown type in explicit files, whose lengths of text are short.
    pattern = tag if implicit else tag + rb"(?:DS|UN)"
    with (
        open(file.path, "rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        held = sum(1 for _ in re.finditer(pattern, content, re.DOTALL))
    if held > reached:
        raise InputError(
            f"holds {held} contours, but its sequences lead to {reached} of them: one of the "
            "sequences is damaged.",
            remedy=FETCH_AGAIN,
            path=file.path,
        )


def lie_on_their_images(contours: Iterable[Contour], grid: SeriesGrid) -> bool:
    """Whether every contour names an image of a series, and lies on it."""
    slices: dict[str, list[int]] = {}
    for z, frame in enumerate(grid.frames):
        slices.setdefault(frame.uid, []).append(z)
    drawn = [contour for contour in contours if len(contour.points)]
    return bool(drawn) and all(_lies_on_its_image(c, grid, slices) for c in drawn)


def _lies_on_its_image(contour: Contour, grid: SeriesGrid, slices: dict[str, list[int]]) -> bool:
    places = contour.in_voxels(grid)
    rows, columns = grid.geometry.shape[1:]
    # A mask's outline runs along the border of its slice at most.
    within = (places[:, :2] >= -1).all() and (places[:, :2] <= [columns, rows]).all()
    named = [z for uid in contour.image_uids for z in slices.get(uid, ())]
    return bool(within) and any(np.abs(places[:, 2] - z).max() <= PLANE_TOLERANCE for z in named)
