"""NRRD and MetaImage files: ITK (SimpleITK) places them, softlab reads their voxels.

What ITK does not survive of a header is refused before (`header_checks`), and what it gets
wrong without a word of the voxels it does not do (`text_voxels`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Geometry, Image, LabelMap
from softlab_cli.readers.base import FETCH_AGAIN, FileProbe, check_one_value
from softlab_cli.readers.geometry import affine_from_itk, shear_warnings, sound_affine
from softlab_cli.readers.header_checks import check_header, file_sizes, range_axis
from softlab_cli.readers.label_values import (
    BUFFER_BYTES,
    collect_labels,
    held_bytes_per_voxel,
    pieces_of,
    read_bytes_per_voxel,
)
from softlab_cli.readers.replacing import Replacing
from softlab_cli.readers.text_geometry import read_text_geometry
from softlab_cli.readers.text_headers import DataPart, check_data_part, find_data_part
from softlab_cli.readers.text_voxels import read_stored

__all__ = ["probe", "read_image", "read_label_map", "read_layers"]

DECODERS = {
    **dict.fromkeys((".seg.nrrd", ".nrrd", ".nhdr"), "NrrdImageIO"),
    **dict.fromkeys((".mha", ".mhd"), "MetaImageIO"),
}
"""ITK's decoders by ending; left to itself, ITK tries them all."""

DTYPES = {
    "8-bit unsigned integer": "u1", "8-bit signed integer": "i1",
    "16-bit unsigned integer": "u2", "16-bit signed integer": "i2",
    "32-bit unsigned integer": "u4", "32-bit signed integer": "i4",
    "64-bit unsigned integer": "u8", "64-bit signed integer": "i8",
    "32-bit float": "f4", "64-bit float": "f8",
}  # fmt: skip
"""ITK's names of voxel types."""


@dataclass(frozen=True)
class _File:
    """A file whose header has been read and believed."""

    geometry: Geometry
    dtype: np.dtype[Any]
    components: int
    volumes: int
    part: DataPart
    range_axis: int
    warnings: tuple[str, ...]

    @property
    def voxels(self) -> int:
        z, y, x = self.geometry.shape
        return z * y * x

    @property
    def channels(self) -> int:
        return self.components * self.volumes

    @property
    def bytes_promised(self) -> int:
        return self.voxels * self.channels * self.dtype.itemsize


def probe(path: Path) -> FileProbe:
    """What the header says; see `FileProbe`."""
    file = _opened(path)
    itemsize = file.dtype.itemsize
    # The numbers as they are stored, and beside them the labels, or another order of axes.
    beside = max(itemsize, read_bytes_per_voxel(file.dtype))
    return FileProbe(
        path=path,
        geometry=file.geometry,
        dtype=file.dtype,
        channels=file.channels,
        bytes_held=file.voxels * held_bytes_per_voxel(file.dtype),
        bytes_on_read=file.voxels * (itemsize + beside) + BUFFER_BYTES,
        warnings=file.warnings,
    )


def read_label_map(path: Path, replacing: Replacing | None = None) -> LabelMap:
    """A label map with one integer for each voxel.

    Parameters
    ----------
    path
        A NRRD or MetaImage file.
    replacing
        What numbers of the file become.

    Raises
    ------
    InputError
        When the file is damaged, has several values for each voxel, or values
        that are not integers.
    """
    file = _opened(path)
    check_one_value(file.channels, file.components, path)
    values = _voxels(file, path).reshape(file.geometry.shape)
    rounded: tuple[str, ...] = ()
    if file.dtype != np.uint8 or (replacing and replacing.concerns(file.dtype)):
        shape = file.geometry.shape
        values, rounded = collect_labels(pieces_of(values), shape, path, replacing=replacing)
    metadata = {"format": image_suffix(path.name), "stored_dtype": file.dtype.name}
    return LabelMap(values, file.geometry, (*file.warnings, *rounded), metadata)


def read_image(path: Path) -> Image:
    """An image; further volumes, vector components and colours are channels.

    Parameters
    ----------
    path
        A NRRD or MetaImage file.

    Raises
    ------
    InputError
        When the file is damaged or stores complex numbers.
    """
    file = _opened(path)
    stored = _voxels(file, path).reshape(file.volumes, file.voxels, file.components)
    with np.errstate(over="ignore"):  # as in the NIfTI reader
        intensities = stored.transpose(0, 2, 1).astype(np.float32, order="C")
    shape = (file.channels, *file.geometry.shape)
    return Image(intensities.reshape(shape), file.geometry, file.warnings)


def read_layers(path: Path) -> tuple[NDArray[Any], Geometry, tuple[str, ...]]:
    """All values of each voxel, as they are stored, with the grid and warnings.

    Returns
    -------
    values
        (voxels, layers) in file order, of the stored type.
    geometry
        The grid.
    warnings
        What was found odd.

    Raises
    ------
    InputError
        When the file is damaged, or holds several volumes.
    """
    file = _opened(path)
    check_one_value(file.volumes, 1, path)
    layers = _voxels(file, path).reshape(file.voxels, file.components)
    return layers, file.geometry, file.warnings


def _opened(path: Path) -> _File:
    """The file with its header read, once it is known to be as long as that says."""
    part = find_data_part(path)
    check_header(path)
    file = _read_header(path, part)
    warnings = check_data_part(part, file.bytes_promised, file.voxels * file.channels, path)
    return replace(file, warnings=(*file.warnings, *warnings))


def _read_header(path: Path, part: DataPart) -> _File:
    reader = _itk().ImageFileReader()
    reader.SetImageIO(DECODERS[image_suffix(path.name)])
    reader.SetFileName(str(path))
    with _explained(path):
        reader.ReadImageInformation()
    size = tuple(int(n) for n in reader.GetSize())
    if not 2 <= len(size) <= 5 or min(size) < 1:
        raise InputError(
            f"has the size {'x'.join(map(str, size))}; expected 2 to 5 axes, "
            "each of at least 1 voxel.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    ndim = 2 if len(size) == 2 else 3
    affine = affine_from_itk(reader.GetSpacing(), reader.GetOrigin(), reader.GetDirection())
    said = read_text_geometry(path)
    affine = sound_affine(said.in_mm(affine), ndim, path)
    x, y, z = (*size, 1)[:3]
    components = int(reader.GetNumberOfComponents())
    return _File(
        geometry=Geometry((z, y, x), affine, ndim, said.missing),
        dtype=_dtype(reader, path),
        components=components,
        volumes=int(np.prod(size[3:], dtype=object)),
        part=part,
        range_axis=_range_axis(size, components, path),
        warnings=(*said.warnings, *shear_warnings(affine)),
    )


def _dtype(reader: Any, path: Path) -> np.dtype[Any]:
    name = str(_itk().GetPixelIDValueAsString(reader.GetPixelIDValue()))
    code = DTYPES.get(name.removeprefix("vector of "))
    if code is None:
        raise InputError(
            f"stores voxels of a type that cannot be read ({name}).",
            remedy="Save it with an integer type, for instance uint8 or int16.",
            path=path,
        )
    return np.dtype(code)


def _range_axis(size: tuple[int, ...], components: int, path: Path) -> int:
    """Which axis of the file holds the numbers of a voxel, the fastest being 0; -1 for none."""
    stored = file_sizes(path)
    if path.suffix.lower() in (".mha", ".mhd"):
        return 0 if components > 1 else -1
    if len(stored) == len(size) and stored == size and components == 1:
        return -1
    axis = range_axis(path)
    if axis >= 0 and (*stored[:axis], *stored[axis + 1 :]) == size and stored[axis] == components:
        return axis
    raise InputError(
        f"has axes of the lengths {'x'.join(map(str, stored))} and kinds that make no grid with "
        "numbers.",
        remedy="Save it with the axes of space, and one for the numbers of a voxel.",
        path=path,
    )


def _voxels(file: _File, path: Path) -> NDArray[Any]:
    """All voxels, flat, the numbers of a voxel beside one another."""
    stored = read_stored(file.part, file.dtype, file.voxels * file.channels, path)
    if file.range_axis <= 0:
        return stored
    sizes = file_sizes(path)
    numbers = stored.reshape(sizes[::-1])
    return np.moveaxis(numbers, len(sizes) - 1 - file.range_axis, -1).reshape(-1)


@functools.cache
def _itk() -> Any:
    """SimpleITK, imported when it is needed: it takes a quarter of a second."""
    import SimpleITK

    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    return SimpleITK


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """ITK's errors as ours; its own text of many lines stays the cause."""
    try:
        yield
    except RuntimeError as error:
        kind = image_suffix(path.name)
        raise InputError(
            f"is damaged, or not a {kind} image.", remedy=FETCH_AGAIN, path=path
        ) from error
