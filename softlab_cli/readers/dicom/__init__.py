"""DICOM behind the same functions as other files; pydicom is imported when it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Image, LabelMap
from softlab_cli.readers.base import FileProbe
from softlab_cli.readers.dicom.guard import damage_explained, guarded
from softlab_cli.readers.label_object import LabelObject
from softlab_cli.readers.replacing import Replacing

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.files.scan import Kind
    from softlab_cli.readers.dicom.objects.fit import Fit
    from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = [
    "FoundObject",
    "FoundObjects",
    "check_complete",
    "damage_explained",
    "find_label_objects",
    "find_object",
    "find_series",
    "fits_in",
    "open_object",
    "probe",
    "read_image",
    "read_label_map",
]


@dataclass(frozen=True)
class FoundObject:
    """A SEG or RTSTRUCT file that was found.

    Parameters
    ----------
    path
        The file.
    uid, description
        Of its own series.
    """

    path: Path
    uid: str
    description: str

    def describe(self) -> str:
        """One line for messages."""
        return f"{self.path.name}  {self.uid} {self.description!r}"


@dataclass(frozen=True)
class FoundObjects:
    """What a folder holds of label objects and images.

    Parameters
    ----------
    labels
        Segmentations and structure sets.
    images
        Files of image series, by series UID.
    broken
        Files that should be DICOM and cannot be read, with the reason.
    others
        Files that are none of these: other objects in DICOM, and other files.
    """

    labels: tuple[FoundObject, ...]
    images: dict[str, tuple[Path, ...]]
    broken: tuple[InputError, ...]
    others: tuple[Path, ...] = ()


def find_label_objects(path: Path) -> FoundObjects:
    """The segmentations, structure sets and images of a file or folder, subfolders included."""
    from softlab_cli.readers.dicom.files.scan import scan_dicom

    with damage_explained(path):
        scan = scan_dicom(path)
        labels = tuple(
            FoundObject(s.files[0].path, s.uid, s.description)
            for s in scan.of_kind("segmentation", "contours")
        )
        images: dict[str, tuple[Path, ...]] = {}
        for series in scan.of_kind("image"):  # several may lack a UID
            files = tuple(file.path for file in series.files)
            images[series.uid] = images.get(series.uid, ()) + files
        others = [file.path for series in scan.of_kind("other") for file in series.files]
    return FoundObjects(labels, images, scan.broken, tuple(sorted([*others, *scan.foreign])))


def find_object(path: Path) -> LabelObject | None:
    """The SEG or RTSTRUCT that a DICOM file is, opened; None for DICOM of other kinds.

    Raises
    ------
    InputError
        When it is no readable DICOM file.
    """
    return _open(path, kind_of(path))


def open_object(path: Path) -> LabelObject:
    """A SEG or RTSTRUCT; `InputError` for anything else."""
    kind = kind_of(path)
    found = _open(path, kind)
    if found is None:
        raise InputError(
            f"is DICOM ({kind}), not a label map.", remedy="Give a SEG or RTSTRUCT.", path=path
        )
    return found


def fits_in(source: LabelObject, folder: Path) -> tuple[Fit, ...]:
    """How a label object fits each image series of a folder; none for one with its own grid.

    Raises
    ------
    InputError
        When it belongs to no common place.
    """
    from softlab_cli.readers.dicom.objects import fit

    reference = source.reference(())
    return () if reference is None else fit.fits_in(reference, folder)


def _open(path: Path, kind: Kind) -> LabelObject | None:
    if kind == "segmentation":
        from softlab_cli.readers.dicom.objects.seg import SegObject

        with damage_explained(path):
            return guarded(SegObject.open(path), path)
    if kind == "contours":
        from softlab_cli.readers.dicom.objects.rtstruct import RtStructObject

        with damage_explained(path):
            return guarded(RtStructObject.open(path), path)
    return None


def kind_of(path: Path) -> Kind:
    """What a DICOM file is.

    Raises
    ------
    InputError
        When it is no readable DICOM file.
    """
    from softlab_cli.readers.dicom.files.scan import scan_dicom

    with damage_explained(path):
        scan = scan_dicom(path)
    scan.check()
    if not scan.series:
        raise InputError(
            "is no kind of file that can be read.",
            remedy="Give NIfTI, NRRD, MetaImage, MGH, Analyze, PNG, TIFF or DICOM.",
            path=path,
        )
    return scan.series[0].kind


def check_complete(grid: SeriesGrid) -> SeriesGrid:
    """The grid again, unless a slice's file ends before its pixels do.

    Only the place of the slices is used, but a cut file shows that the copy of the
    series is not sound.
    """
    return grid.checked()


def find_series(path: Path, wanted: str) -> SeriesGrid | None:
    """The one image series that a UID, description or pattern means; None without a match.

    Raises
    ------
    InputError
        When several match.
    """
    from softlab_cli.readers.dicom.files.scan import choose_series, matching_series, scan_dicom
    from softlab_cli.readers.dicom.series.read import grid_of

    with damage_explained(path):
        scan = scan_dicom(path)
        scan.check()
        if not matching_series(scan.of_kind("image"), wanted):
            return None
        return grid_of(scan, choose_series(scan, wanted))


def probe(path: Path, series: str | None = None) -> FileProbe:
    """What the headers of an image series say."""
    from softlab_cli.readers.dicom.series.read import open_series

    with damage_explained(path):
        grid = check_complete(open_series(path, series))
    voxels = int(np.prod(grid.geometry.shape))
    size = 4 * voxels
    return FileProbe(path, grid.geometry, np.dtype(np.float32), 1, size, 2 * size, grid.warnings)


def read_image(path: Path) -> Image:
    """An image series."""
    from softlab_cli.readers.dicom.series.read import read_series

    with damage_explained(path):
        return read_series(path)


def read_label_map(path: Path, replacing: Replacing | None = None) -> LabelMap:
    """Refuse: a DICOM label map needs its series, see `softlab_cli.labels.read`."""
    raise InputError(
        f"is DICOM ({'a folder' if path.is_dir() else kind_of(path)}), not a label map by itself.",
        remedy="Give a SEG or RTSTRUCT, and its series with --images.",
        path=path,
    )
