"""Reading label maps and images: one reader for each kind of file, chosen by its ending.

To add a kind of file, write a module with `probe`, `read_label_map` and
`read_image` (see `Reader`) and enter it into `READERS`.
"""

from __future__ import annotations

import os
from functools import lru_cache
from math import prod
from pathlib import Path
from stat import S_ISREG

from softlab_cli.core.caseid import (
    DICOM_SUFFIXES,
    ITK_SUFFIXES,
    NIBABEL_SUFFIXES,
    NIFTI_SUFFIXES,
    NRRD_SUFFIXES,
    PICTURE_SUFFIXES,
    image_suffix,
)
from softlab_cli.core.errors import InputError
from softlab_cli.core.memory import MIB, available_bytes, format_bytes
from softlab_cli.core.volume import Geometry, Image, LabelMap
from softlab_cli.readers import dicom, itk, nibabel_files, nifti, pictures, seg_nrrd
from softlab_cli.readers.base import FileProbe, Reader
from softlab_cli.readers.class_files import (
    ClassFiles,
    ClassFilesObject,
    KeptRater,
    LabelSource,
    path_of,
)
from softlab_cli.readers.label_object import LabelObject, PlainLabelMap
from softlab_cli.readers.replacing import Replacing

__all__ = [
    "READERS",
    "ClassFiles",
    "FileProbe",
    "KeptRater",
    "LabelObject",
    "LabelSource",
    "Reader",
    "is_dicom",
    "open_label_object",
    "path_of",
    "probe",
    "read_geometry",
    "read_image",
    "read_label_map",
]

HEADERS_KEPT = 4096
"""Headers that a process remembers, 2 KiB each at most."""

_NIFTI = Reader(nifti.probe, nifti.read_label_map, nifti.read_image)
_ITK = Reader(itk.probe, itk.read_label_map, itk.read_image)
_NRRD = Reader(itk.probe, seg_nrrd.read_label_map, itk.read_image)
_PICTURES = Reader(pictures.probe, pictures.read_label_map, pictures.read_image)
_NIBABEL = Reader(nibabel_files.probe, nibabel_files.read_label_map, nibabel_files.read_image)
_DICOM = Reader(dicom.probe, dicom.read_label_map, dicom.read_image)

READERS: dict[str, Reader] = {
    **dict.fromkeys(NIFTI_SUFFIXES, _NIFTI),
    **dict.fromkeys(ITK_SUFFIXES, _ITK),
    **dict.fromkeys(NRRD_SUFFIXES, _NRRD),
    **dict.fromkeys(PICTURE_SUFFIXES, _PICTURES),
    **dict.fromkeys(NIBABEL_SUFFIXES, _NIBABEL),
}
"""Ending of the file name, in lower case, to reader; DICOM is known by its content."""


def is_dicom(path: Path) -> bool:
    """Whether a path is a DICOM file, or a folder, which can be nothing else."""
    if image_suffix(path.name):
        return False
    if not path.is_file():
        return path.is_dir()
    from softlab_cli.readers.dicom.files.magic import is_dicom_file

    return path.suffix.lower() in DICOM_SUFFIXES or is_dicom_file(path)


def _reader(path: Path) -> Reader:
    reader = READERS.get(image_suffix(path.name))
    if is_dicom(path):
        return _DICOM
    if reader is None:
        raise InputError(
            "is no kind of file that can be read.",
            remedy=f"What can be read: DICOM, and files that end in {', '.join(READERS)}.",
            path=path,
        )
    return reader


def _path(path: str | os.PathLike[str]) -> Path:
    """The path itself where it is one: to make another of it takes as long as to open a file."""
    return path if isinstance(path, Path) else Path(path)


def probe(path: str | os.PathLike[str]) -> FileProbe:
    """What a file's header says, without reading its voxels.

    Parameters
    ----------
    path
        A label map or an image.

    Returns
    -------
    FileProbe
        Grid, voxel type and the memory that reading takes, in bytes.

    Raises
    ------
    InputError
        When the file cannot be read, or is shorter than its header says.
    """
    try:
        facts = os.stat(path)
    except (OSError, ValueError):  # there is nothing: the reader says so
        facts = None
    if facts is None or not S_ISREG(facts.st_mode):  # a DICOM folder, or nothing
        return _reader(Path(path)).probe(Path(path))
    return _probe_file(os.fspath(path), facts.st_size, facts.st_mtime_ns)


@lru_cache(maxsize=HEADERS_KEPT)
def _probe_file(path: str, size: int, mtime_ns: int) -> FileProbe:
    """A file's header, read once as long as the file stays what it is.

    A plan, a scan and a case all ask for the grid of the image and of each rater.
    """
    return _reader(Path(path)).probe(Path(path))


def read_geometry(path: str | os.PathLike[str]) -> Geometry:
    """The grid of a label map or an image, from its header; see `probe`."""
    return probe(path).geometry


def open_label_object(path: str | os.PathLike[str] | ClassFiles) -> LabelObject:
    """Open what holds labels: the one place that asks of which kind it is.

    Parameters
    ----------
    path
        A NRRD file may name segments, as 3D Slicer does; its header says so. Any other
        file with an image ending is a plain label map, which is not looked into yet. What
        is left is a SEG or RTSTRUCT, and its header is read. Files of one class each are
        one label map.

    Raises
    ------
    InputError
        When it is neither, or cannot be read.
    """
    if isinstance(path, ClassFiles):
        return ClassFilesObject(path, Reader(probe, read_label_map, read_image))
    path = _path(path)
    suffix = image_suffix(path.name)
    if suffix in NRRD_SUFFIXES and (named := seg_nrrd.find_segmentation(path)) is not None:
        return named
    if suffix:
        return PlainLabelMap(path, Reader(probe, read_label_map, read_image))
    return dicom.open_object(path)


def read_label_map(path: str | os.PathLike[str], replacing: Replacing | None = None) -> LabelMap:
    """Read a label map: one integer for each voxel.

    Numbers stored as floats, or scaled by the header, are rounded when they lie
    within 0.001 of an integer. The values keep the smallest integer type that
    holds them all; whether they are classes is for the class table to say.

    Parameters
    ----------
    path
        NIfTI, NRRD, MetaImage, PNG, TIFF, MGH or Analyze, 2D or 3D; further axes
        must have length 1.
    replacing
        What numbers of the file become; by default they stay what they are.

    Returns
    -------
    LabelMap
        Values (Z, Y, X), the grid in RAS+ millimetres, and warnings.

    Raises
    ------
    InputError
        When the file is damaged, has several values for each voxel, places its
        voxels nowhere, or holds numbers that are not integers.
    """
    path = _path(path)
    _check_room(path, as_image=False)
    return _reader(path).read_label_map(path, replacing)


def read_image(path: str | os.PathLike[str]) -> Image:
    """Read an image: one float32 for each voxel and channel.

    Parameters
    ----------
    path
        NIfTI, NRRD, MetaImage, PNG, TIFF, MGH or Analyze, 2D or 3D; further axes,
        vectors and colours are channels. Or a DICOM file, or a folder with one series.

    Returns
    -------
    Image
        Intensities (channels, Z, Y, X), the grid in RAS+ millimetres, and
        warnings.

    Raises
    ------
    InputError
        When the file is damaged or places its voxels nowhere.
    """
    path = _path(path)
    _check_room(path, as_image=True)
    return _reader(path).read_image(path)


ALWAYS_THERE = 32 * MIB
"""To ask the system how much memory there is takes longer than to read a small file."""


def _check_room(path: Path, *, as_image: bool) -> None:
    """Refuse a file whose header promises more voxels than memory has room for.

    Some kilobytes can inflate to gigabytes, and a system that hands out memory which it
    does not have ends some process later.
    """
    if not image_suffix(path.name):
        return
    seen = probe(path)
    voxels = prod(seen.geometry.shape)
    stored = voxels * seen.channels * (seen.dtype.itemsize + 4)
    needed = stored if as_image else seen.bytes_on_read
    if needed > ALWAYS_THERE and needed > (room := available_bytes()):
        raise InputError(
            f"promises {voxels * seen.channels} numbers in a file of "
            f"{format_bytes(path.stat().st_size)}: reading it takes {format_bytes(needed)}, and "
            f"{format_bytes(room)} of memory are free.",
            remedy="Use a machine with more memory, or check the file's header.",
            path=path,
        )
