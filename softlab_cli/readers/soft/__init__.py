"""Reading soft labels: one volume for each class, one at a time.

NIfTI files and nnU-Net's ``.npz`` are inflated as far as the volume that is asked for.
Other files are read whole by their decoders, and stay in memory as float32.
"""

from __future__ import annotations

from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import NIFTI_SUFFIXES, PICTURE_SUFFIXES, image_suffix
from softlab_cli.core.folders import is_probabilities
from softlab_cli.readers import nifti, probe, read_image
from softlab_cli.readers.base import check_one_value
from softlab_cli.readers.soft.base import SoftFile, turned
from softlab_cli.readers.soft.npz import in_agreement, open_probabilities

__all__ = ["SoftFile", "in_agreement", "open_soft_file", "turned"]


def open_soft_file(path: Path) -> SoftFile:
    """Open a file with soft labels.

    Parameters
    ----------
    path
        An image of any kind whose volumes, or parts of a vector, are classes; or nnU-Net's
        ``.npz`` beside its segmentation.

    Raises
    ------
    InputError
        When it cannot be read, or holds colours.
    """
    if is_probabilities(path):
        return open_probabilities(path)
    suffix = image_suffix(path.name)
    if suffix in NIFTI_SUFFIXES:
        return _open_nifti(path)
    seen = probe(path)
    if suffix in PICTURE_SUFFIXES:
        check_one_value(seen.channels, seen.channels, path)
    held = prod(seen.geometry.shape) * seen.channels * (4 + 2 * seen.dtype.itemsize)
    step = 1.0 if seen.dtype.kind in "iu" else 0.0
    return SoftFile(
        path, seen.geometry, seen.dtype, seen.channels, _Whole(path).read, step, held, seen.warnings
    )


def _open_nifti(path: Path) -> SoftFile:
    volumes = nifti.Volumes(path)
    header = volumes.header
    return SoftFile(
        path,
        header.geometry,
        header.dtype.newbyteorder("="),
        header.channels,
        volumes.read,
        step=abs(header.slope) if header.dtype.kind in "iu" else 0.0,
        warnings=header.warnings,
    )


class _Whole:
    """An image that its decoder reads whole, once the first volume is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._volumes: NDArray[np.float32] | None = None

    def read(self, index: int) -> NDArray[np.float32]:
        if self._volumes is None:
            self._volumes = read_image(self._path).intensities
        values: NDArray[np.float32] = self._volumes[index].copy()
        return values
