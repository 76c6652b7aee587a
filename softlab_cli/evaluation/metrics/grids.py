"""What the metrics ask of the arrays that they compare."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, UsageError
from softlab_cli.kernels.sizes import read_only

__all__ = ["check_spacing", "ignore_together", "on_one_grid"]

Indices = NDArray[Any]
"""(Z, Y, X) class indices of type uint8 or uint16; a picture without Z."""


def on_one_grid(
    reference: Indices, prediction: Indices, classes: Sequence[int]
) -> tuple[Indices, Indices]:
    """Both as kernels take them: contiguous, with an index to spare that is no class.

    Raises
    ------
    GeometryError
        The arrays have different shapes, or another number of axes than 2 or 3.
    UsageError
        They are not uint8 or uint16, or a class has no place in these.
    """
    if reference.shape != prediction.shape or reference.ndim not in (2, 3):
        raise GeometryError(
            f"the reference of shape {reference.shape} and the prediction of shape "
            f"{prediction.shape} are not on one grid.",
            remedy="Give both as (Z, Y, X), or as (Y, X) of pictures.",
        )
    if classes and not 0 <= min(classes) <= max(classes) < np.iinfo(np.uint16).max:
        raise UsageError(
            f"classes reach from {min(classes)} to {max(classes)}.",
            remedy=f"Class indices are from 0 to {np.iinfo(np.uint16).max - 1}.",
        )
    return _indices(reference, classes), _indices(prediction, classes)


def _indices(values: Indices, classes: Sequence[int]) -> Indices:
    if values.dtype == np.bool_:
        values = values.view(np.uint8)
    if values.dtype not in (np.uint8, np.uint16):
        raise UsageError(
            f"class indices are of type {values.dtype}.", remedy="Give them as uint8 or uint16."
        )
    if max(classes, default=0) >= np.iinfo(values.dtype).max:
        values = values.astype(np.uint16)
    return read_only(np.ascontiguousarray(values))


def ignore_together(reference: Indices, other: Indices, ignore_index: int | None) -> Indices:
    """The other map, with the ignore index where the reference has it; a copy where it has."""
    if ignore_index is None:
        return other
    ignored = reference == ignore_index
    if not ignored.any():
        return other
    return read_only(np.where(ignored, np.array(ignore_index, reference.dtype), other))


def check_spacing(spacing_mm: Sequence[float], axes: int) -> None:
    """Refuse a spacing that has no meaning.

    Raises
    ------
    UsageError
        It has not one finite number above 0 for each axis.
    """
    if len(spacing_mm) != axes or not all(math.isfinite(s) and s > 0 for s in spacing_mm):
        raise UsageError(
            f"spacing_mm is {tuple(map(float, spacing_mm))}: it needs {axes} finite numbers "
            "above 0.",
            remedy="Give the voxel's size along each axis of the array.",
        )
