"""PNG and TIFF files: what both have in common once their pixels are decoded.

One number for each pixel is wanted for a label map. Grey stored as colours (red, green
and blue all the same) and grey with alpha are that number, too; the alpha is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import ASSUMED, NO_POSITION, NO_SPACING, Geometry, Image, LabelMap
from softlab_cli.readers import png, tiff
from softlab_cli.readers.base import FileProbe, check_one_value, check_promise, file_size
from softlab_cli.readers.geometry import affine_from_itk, sound_affine
from softlab_cli.readers.label_values import (
    BUFFER_BYTES,
    collect_labels,
    held_bytes_per_voxel,
    pieces_of,
    read_bytes_per_voxel,
)
from softlab_cli.readers.picture import Picture
from softlab_cli.readers.replacing import Replacing

__all__ = ["probe", "read_image", "read_label_map"]

OPENERS: dict[str, Callable[..., Picture]] = {
    ".png": png.open_png,
    ".tif": tiff.open_tiff,
    ".tiff": tiff.open_tiff,
}

MOST_COMPRESSION = 1 << 15
"""No compression that PNG and TIFF know packs more tightly (zstd's runs come close)."""

COUNTING: dict[int, int] = {2: 1, 4: 3}
"""Numbers for each pixel, and how many of them count when the last one is alpha."""

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)


@dataclass(frozen=True)
class _File:
    """A picture whose header is believed, and its grid."""

    picture: Picture
    geometry: Geometry
    warnings: tuple[str, ...]


def probe(path: Path) -> FileProbe:
    """What the header says; see `FileProbe`."""
    file = _opened(path, as_labels=True)
    picture = file.picture
    dtype, voxels = picture.dtype, int(np.prod(file.geometry.shape))
    # The decoded pixels, and beside them either the decoder's buffer or the labels.
    stored = dtype.itemsize * picture.channels
    return FileProbe(
        path=path,
        geometry=file.geometry,
        dtype=dtype,
        channels=picture.channels,
        bytes_held=voxels * held_bytes_per_voxel(dtype),
        bytes_on_read=voxels * (stored + max(stored, read_bytes_per_voxel(dtype))) + BUFFER_BYTES,
        warnings=file.warnings,
    )


def read_label_map(path: Path, replacing: Replacing | None = None) -> LabelMap:
    """A label map with one integer for each voxel.

    Parameters
    ----------
    path
        A PNG or TIFF file. Indices into a palette are its label values, and numbers of
        1, 2 or 4 bits are those numbers.
    replacing
        What numbers of the file become.

    Raises
    ------
    InputError
        When the file is damaged, has several values for each voxel, or values
        that are not integers.
    """
    file = _opened(path, as_labels=True)
    picture = file.picture
    check_one_value(picture.volumes, 1, path)
    values = _one_number(picture.decode()[0], path)
    rounded: tuple[str, ...] = ()
    if picture.dtype != np.uint8 or (replacing and replacing.concerns(picture.dtype)):
        shape = file.geometry.shape
        values, rounded = collect_labels(pieces_of(values), shape, path, replacing=replacing)
    metadata = {"format": image_suffix(path.name), "stored_dtype": picture.dtype.name}
    return LabelMap(values, file.geometry, (*file.warnings, *rounded), metadata)


def _one_number(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """(Z, Y, X) the one number of each pixel (Z, Y, X, numbers), contiguous."""
    numbers = int(pixels.shape[-1])
    first = pixels[..., 0]
    colours = COUNTING.get(numbers, numbers)
    if any(not np.array_equal(first, pixels[..., i]) for i in range(1, colours)):
        check_one_value(numbers, numbers, path)
    return np.ascontiguousarray(first)


def read_image(path: Path) -> Image:
    """An image; colours and further volumes are channels, the alpha of grey is left out.

    Parameters
    ----------
    path
        A PNG or TIFF file.

    Raises
    ------
    InputError
        When the file is damaged or stores complex numbers.
    """
    file = _opened(path, as_labels=False)
    stored = file.picture.decode()
    if stored.shape[-1] == 2:
        stored = stored[..., :1]
    channels = np.moveaxis(stored, -1, 1).reshape(-1, *file.geometry.shape)
    with np.errstate(over="ignore"):  # as in the NIfTI reader
        intensities = channels.astype(np.float32, order="C")
    return Image(intensities, file.geometry, file.warnings)


def _opened(path: Path, *, as_labels: bool) -> _File:
    """The file with its header read, once it is known that it can be as long as that says."""
    size = file_size(path)
    picture = OPENERS[image_suffix(path.name)](path, as_labels=as_labels)
    if picture.dtype.kind not in "uif":
        raise InputError(
            f"stores voxels of a type that cannot be read ({picture.dtype.name}).",
            remedy="Save it with an integer type, for instance uint8 or int16.",
            path=path,
        )
    numbers = int(np.prod(picture.shape, dtype=object)) * picture.channels
    check_promise(numbers * picture.dtype.itemsize, size * MOST_COMPRESSION, path)
    spacing = picture.spacing_mm
    affine = affine_from_itk(spacing[::-1], (0.0, 0.0, 0.0), IDENTITY)
    ndim = 2 if picture.is_flat else 3
    geometry = Geometry(
        picture.shape, sound_affine(affine, ndim, path), ndim, missing=_missing(picture)
    )
    return _File(picture, geometry, (*picture.warnings, *_unsaid(picture)))


def _missing(picture: Picture) -> str:
    return f"{NO_SPACING}, {NO_POSITION}" if _unsaid(picture) else NO_POSITION


def _unsaid(picture: Picture) -> tuple[str, ...]:
    if picture.spacing_mm[1:] == (1.0, 1.0) and not picture.says_z:
        return (f"the file does not say how large its pixels are; {ASSUMED}",)
    if not picture.is_flat and not picture.says_z:
        return (f"a TIFF file does not say how far apart its pages are; {ASSUMED}",)
    return ()
