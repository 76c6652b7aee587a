"""The grid of a series: where its slices lie, and whether they make a volume.

A stack of slices is a volume only when all slices have one size, spacing and
orientation and their positions are equally spaced on a straight line. That line
need not be perpendicular to the slices (a tilted gantry shears the volume): the
affine says so, and a warning too. Everything else is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Geometry
from softlab_cli.readers.dicom.files.common import LPS_TO_RAS, listing, numbers
from softlab_cli.readers.dicom.files.frames import Frame
from softlab_cli.readers.dicom.series.stack import Stack, one_value

__all__ = ["SeriesGrid", "build_grid"]


@dataclass(frozen=True, eq=False)
class SeriesGrid:
    """The slices of a series in order, and the grid that they make.

    Parameters
    ----------
    path
        The file or folder that was given.
    uid
        Series instance UID, or an empty string.
    frame_of_reference
        Frame of reference UID, or an empty string.
    frames
        The slices, from the first to the last along Z.
    geometry
        Their grid; Z runs along the slices' normal.
    warnings
        What was odd and could be settled.
    """

    path: Path
    uid: str
    frame_of_reference: str
    frames: tuple[Frame, ...]
    geometry: Geometry
    warnings: tuple[str, ...] = ()

    def checked(self) -> SeriesGrid:
        """The same, unless a slice's file ends before its pixels do."""
        for file in dict.fromkeys(frame.file for frame in self.frames):
            file.check_pixels()
        return self

    def slices_of(self, uid: str) -> list[int]:
        """Indices along Z of the slices that the file with this SOP instance UID holds."""
        return [z for z, frame in enumerate(self.frames) if frame.uid == uid]


def build_grid(path: Path, uid: str, frames: Sequence[Frame]) -> SeriesGrid:
    """Put slices in order and work out their grid.

    Parameters
    ----------
    path
        The file or folder to name in errors.
    uid
        Series instance UID.
    frames
        All slices of the series, in any order.

    Raises
    ------
    InputError
        When the slices do not make one volume; the message names the slices.
    """
    kept, warnings = _without_localizers(frames)
    kept, copies = _without_copies(path, kept)
    warnings += copies
    if not uid:
        warnings.append("the series has no UID; files of one folder were taken as one series.")
    reference = one_value(path, kept, "frames of reference", _element("FrameOfReferenceUID"))
    rows = int(one_value(path, kept, "numbers of rows", _integer("Rows")))
    columns = int(one_value(path, kept, "numbers of columns", _integer("Columns")))
    if len(kept) == 1 and kept[0].find("ImagePositionPatient") is None:
        geometry, more = _picture(kept[0], rows, columns)
        return SeriesGrid(path, uid, reference, tuple(kept), geometry, (*warnings, *more))
    stack = Stack.of(path, kept)
    order, step, more = stack.line_up()
    affine = LPS_TO_RAS @ stack.affine(order[0], step)
    return SeriesGrid(
        path,
        uid,
        reference,
        tuple(kept[i] for i in order),
        Geometry((len(kept), rows, columns), affine),
        (*warnings, *more),
    )


def _element(keyword: str) -> Callable[[Frame], str]:
    return lambda frame: frame.file.text(keyword)


def _integer(keyword: str) -> Callable[[Frame], str]:
    return lambda frame: str(frame.file.integer(keyword))


def _without_localizers(frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    localizers = [f for f in frames if "LOCALIZER" in _image_type(f)]
    if not localizers or len(localizers) == len(frames):
        return list(frames), []
    dropped = set(map(id, localizers))
    names = listing([f.name for f in localizers])
    warning = f"{len(localizers)} localizer image(s) among the slices were left out: {names}"
    return [f for f in frames if id(f) not in dropped], [warning]


def _image_type(frame: Frame) -> list[str]:
    value = frame.file.value("ImageType") or []
    return [str(v).upper() for v in ([value] if isinstance(value, str) else value)]


def _without_copies(path: Path, frames: Sequence[Frame]) -> tuple[list[Frame], list[str]]:
    first: dict[tuple[str, int], Frame] = {}
    copies: list[Frame] = []
    for frame in frames:
        key = (frame.uid or frame.name, frame.number)
        twin = first.setdefault(key, frame)
        if twin is frame:
            continue
        if twin.file.path.read_bytes() != frame.file.path.read_bytes():
            raise InputError(
                f"{twin.name} and {frame.name} have the same SOP instance UID ({frame.uid}) "
                "and differ.",
                remedy="Keep the one that belongs to the series.",
                path=path,
            )
        copies.append(frame)
    names = listing([f.file.path for f in copies])
    warning = [f"{len(copies)} file(s) that are copies of others were left out: {names}"]
    return list(first.values()), warning if copies else []


def _picture(frame: Frame, rows: int, columns: int) -> tuple[Geometry, list[str]]:
    """Grid of an image without a place in the patient: 2D, at the origin."""
    warnings = ["the image has no position in the patient; it was put at the origin."]
    for key in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        if (spacing := numbers(frame.find(key), 2)) and min(spacing) > 0:
            break
    else:
        spacing = (1.0, 1.0)
        warnings.append("the image has no pixel spacing; 1 mm was taken.")
    affine = LPS_TO_RAS @ np.diag([spacing[1], spacing[0], 1.0, 1.0])
    return Geometry((1, rows, columns), affine, 2), warnings
