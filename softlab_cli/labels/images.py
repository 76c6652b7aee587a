"""Images of cases, on the grid that the case's label map was put on."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from softlab_cli.cases import Case
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Geometry, Image, check_same_grid, with_spacing
from softlab_cli.labels.read import series_for
from softlab_cli.labels.stores import open_labels
from softlab_cli.readers import is_dicom, probe, read_image
from softlab_cli.readers.options import ReadingOptions

__all__ = ["ImageProbe", "check_images", "probe_images", "read_images"]


@dataclass(frozen=True)
class ImageProbe:
    """What the headers say of a case's images.

    Parameters
    ----------
    channels
        Channels of all images together.
    bytes_held
        What `read_images` returns occupies.
    bytes_on_read
        Upper bound of what is occupied meanwhile, the result included.
    """

    channels: int
    bytes_held: int
    bytes_on_read: int


def check_images(case: Case) -> None:
    """Raise `InputError` for a case without images."""
    if not case.images:
        raise InputError(
            "has no image, and this method follows the image.",
            remedy="Name the folder of the images with --images.",
            path=case.label_maps[0],
        )


def probe_images(case: Case, geometry: Geometry) -> ImageProbe:
    """What the headers of a case's images say.

    Parameters
    ----------
    case
        The case.
    geometry
        The grid that they all lie on.

    Raises
    ------
    InputError
        When there is no image, or one cannot be read.
    """
    check_images(case)
    voxels, channels, largest = prod(geometry.shape), 0, 0
    for path in case.images:
        count, itemsize = 1, 4
        if not is_dicom(path):
            seen = probe(path)
            count, itemsize = seen.channels, seen.dtype.itemsize
        channels += count
        # The voxels as the file has them, and as float32.
        largest = max(largest, count * voxels * (itemsize + 4))
    held = 4 * channels * voxels
    joined = 2 * held if len(case.images) > 1 else 0
    return ImageProbe(channels, held, max(joined, held + largest))


def read_images(case: Case, geometry: Geometry, options: ReadingOptions) -> Image:
    """All channels of a case's images.

    Parameters
    ----------
    case
        The case.
    geometry
        The grid of its label map.
    options
        Which series is meant, where there are several.

    Returns
    -------
    Image
        (channels, Z, Y, X) float32, files in the order of `Case.images`.

    Raises
    ------
    InputError
        When there is no image, or one cannot be read.
    GeometryError
        When an image lies on another grid.
    """
    check_images(case)
    read = []
    for path in case.images:
        image = _read(case, path, options)
        names = ("label map", path.name)
        check_same_grid(geometry, image.geometry, names=names, path=path)
        read.append(image)
    warnings = tuple(warning for image in read for warning in image.warnings)
    if len(read) == 1:
        return Image(read[0].intensities, geometry, warnings)
    channels = np.concatenate([image.intensities for image in read])
    return Image(channels, geometry, warnings)


def _read(case: Case, path: Path, options: ReadingOptions) -> Image:
    if not is_dicom(path):
        return with_spacing(read_image(path), options.spacing_mm)
    from softlab_cli.readers.dicom.series.read import read_series

    series = series_for(open_labels(case.label_maps[0]), [path], options)
    return read_series(series or path, options.series)
