"""DICOM behind the same functions as other files; pydicom is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Image, LabelMap
from softlab_cli.readers.base import FileProbe

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.files.scan import Kind
    from softlab_cli.readers.dicom.objects.reference import Reference
    from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = [
    "LabelObject",
    "LabelObjects",
    "check_complete",
    "find_label_objects",
    "find_series",
    "kind_of",
    "label_bytes_on_read",
    "probe",
    "read_image",
    "read_label_map",
    "reference_of",
    "region_names",
    "segment_names",
]

FRAME_BYTES = 24 * 1024
"""What the description of one frame of a segmentation occupies, generously."""

TEXT_GROWTH = 6
"""Contours are text in the file and numbers in memory, for a moment both."""


@dataclass(frozen=True)
class LabelObject:
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
class LabelObjects:
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

    labels: tuple[LabelObject, ...]
    images: dict[str, tuple[Path, ...]]
    broken: tuple[InputError, ...]
    others: tuple[Path, ...] = ()


def find_label_objects(path: Path) -> LabelObjects:
    """The segmentations, structure sets and images of a file or folder, subfolders included."""
    from softlab_cli.readers.dicom.files.common import quiet
    from softlab_cli.readers.dicom.files.scan import scan_dicom

    with quiet():
        scan = scan_dicom(path)
        labels = tuple(
            LabelObject(s.files[0].path, s.uid, s.description)
            for s in scan.of_kind("segmentation", "contours")
        )
        images: dict[str, tuple[Path, ...]] = {}
        for series in scan.of_kind("image"):  # several may lack a UID
            files = tuple(file.path for file in series.files)
            images[series.uid] = images.get(series.uid, ()) + files
        others = [file.path for series in scan.of_kind("other") for file in series.files]
    return LabelObjects(labels, images, scan.broken, tuple(sorted([*others, *scan.foreign])))


def reference_of(path: Path) -> Reference:
    """What a SEG or RTSTRUCT says of the images that it was made from."""
    from softlab_cli.readers.dicom.files.common import quiet
    from softlab_cli.readers.dicom.objects.rtstruct_file import RtStructFile
    from softlab_cli.readers.dicom.objects.seg_file import SegFile

    with quiet():
        kind = kind_of(path)
        if kind == "segmentation":
            return SegFile.open(path).reference
        if kind == "contours":
            return RtStructFile.open(path).reference([])
    raise InputError(
        f"is DICOM ({kind}), not a label map.", remedy="Give a SEG or RTSTRUCT.", path=path
    )


def segment_names(path: Path) -> dict[int, str]:
    """Label values and names of the segments of a SEG."""
    from softlab_cli.readers.dicom.objects.seg_file import describe_seg

    return {s.value: s.name for s in describe_seg(path).segments}


def region_names(path: Path, rois: Sequence[str]) -> dict[int, str]:
    """Label values and names of the regions of an RTSTRUCT that patterns choose, or of all."""
    from softlab_cli.readers.dicom.files.common import quiet
    from softlab_cli.readers.dicom.objects.rtstruct_file import RtStructFile
    from softlab_cli.readers.dicom.objects.segments import assign_values

    with quiet():
        chosen = RtStructFile.open(path).select(rois or None)
        assigned, _ = assign_values([r.segment for r in chosen], None, path, what="region")
    return {s.value: s.name for s in assigned if s is not None}


def kind_of(path: Path) -> Kind:
    """What a DICOM file is.

    Raises
    ------
    InputError
        When it is no readable DICOM file.
    """
    from softlab_cli.readers.dicom.files.common import quiet
    from softlab_cli.readers.dicom.files.scan import scan_dicom

    with quiet():
        scan = scan_dicom(path)
    scan.check()
    if not scan.series:
        raise InputError(
            "is no kind of file that can be read.",
            remedy="Give NIfTI, NRRD, MetaImage, PNG, TIFF or DICOM.",
            path=path,
        )
    return scan.series[0].kind


def check_complete(grid: SeriesGrid) -> SeriesGrid:
    """The grid again, unless a slice's file ends before its pixels do.

    Only the place of the slices is used, but a cut file shows that the copy of the
    series is not sound.
    """
    for file in dict.fromkeys(frame.file for frame in grid.frames):
        file.check_pixels()
    return grid


def find_series(path: Path, wanted: str) -> SeriesGrid | None:
    """The one image series that a UID, description or pattern means; None without a match.

    Raises
    ------
    InputError
        When several match.
    """
    from softlab_cli.readers.dicom.files.common import quiet
    from softlab_cli.readers.dicom.files.scan import choose_series, matching_series, scan_dicom
    from softlab_cli.readers.dicom.series.read import grid_of

    with quiet():
        scan = scan_dicom(path)
        scan.check()
        if not matching_series(scan.of_kind("image"), wanted):
            return None
        return grid_of(scan, choose_series(scan, wanted))


def probe(path: Path, series: str | None = None) -> FileProbe:
    """What the headers of an image series say."""
    from softlab_cli.readers.dicom.series.read import open_series

    grid = check_complete(open_series(path, series))
    voxels = int(np.prod(grid.geometry.shape))
    size = 4 * voxels
    return FileProbe(path, grid.geometry, np.dtype(np.float32), 1, size, 2 * size, grid.warnings)


def label_bytes_on_read(path: Path, voxels: int) -> int:
    """Upper bound of what reading a SEG or RTSTRUCT occupies, bytes.

    Parameters
    ----------
    path
        The file.
    voxels
        Voxels of the series that it lies on: label values and, for fractions,
        the highest fraction so far, both uint16 at most.
    """
    from softlab_cli.readers.dicom.objects.seg_file import describe_seg

    size = path.stat().st_size
    if kind_of(path) == "contours":
        return 4 * voxels + TEXT_GROWTH * size
    return 4 * voxels + 2 * size + FRAME_BYTES * describe_seg(path).frames


def read_image(path: Path) -> Image:
    """An image series."""
    from softlab_cli.readers.dicom.series.read import read_series

    return read_series(path)


def read_label_map(path: Path) -> LabelMap:
    """Refuse: a DICOM label map needs its series, see `softlab_cli.labels.read`."""
    raise InputError(
        f"is DICOM ({'a folder' if path.is_dir() else kind_of(path)}), not a label map by itself.",
        remedy="Give a SEG or RTSTRUCT, and its series with --images.",
        path=path,
    )
