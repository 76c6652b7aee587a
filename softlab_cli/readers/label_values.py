"""Label values from stored numbers, piece by piece, in the smallest integer type."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.readers.replacing import Replacing

__all__ = [
    "BUFFER_BYTES",
    "NAN_REMEDY",
    "PIECE_VOXELS",
    "ROUNDING_TOLERANCE",
    "collect_labels",
    "held_bytes_per_voxel",
    "pieces_of",
    "read_bytes_per_voxel",
]

ROUNDING_TOLERANCE = 1e-3
"""Stored numbers this close to an integer are that integer."""

PIECE_VOXELS = 1 << 18
"""Numbers looked at together: they stay in the processor's cache."""

BUFFER_BYTES = PIECE_VOXELS * 40
"""One piece as stored, scaled, rounded and compared."""

INTEGER_TYPES = tuple(
    np.dtype(t) for t in ("u1", "i1", "u2", "i2", "u4", "i4", "i8", "u8")
)  # fmt: skip

LARGEST_EXACT = 2.0**53

NAN_REMEDY = (
    "Read NaN as background with --map nan=0, or leave such voxels out with --ignore-label nan; "
    "or give a label map of whole numbers, not an image or a probability map."
)
"""What helps a label map whose only fault is NaN."""


def held_bytes_per_voxel(dtype: np.dtype[Any]) -> int:
    """Bytes that a label of 0..65535 occupies at most, when stored as `dtype`."""
    return min(dtype.itemsize, 2)


def read_bytes_per_voxel(dtype: np.dtype[Any]) -> int:
    """The same while the labels are collected: types are widened on the way."""
    return 1 if dtype.itemsize == 1 else 3


def pieces_of(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Flat pieces of a contiguous array, without a copy."""
    flat = array.reshape(-1)
    return (flat[i : i + PIECE_VOXELS] for i in range(0, flat.size, PIECE_VOXELS))


def collect_labels(
    pieces: Iterable[NDArray[Any]],
    shape: tuple[int, int, int],
    path: Path | None,
    hint: str = "",
    tolerance: float = ROUNDING_TOLERANCE,
    replacing: Replacing | None = None,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Label values of a whole volume from its pieces.

    Parameters
    ----------
    pieces
        Flat arrays of integers or floats; together they are the volume in file
        order. A piece may be overwritten once the next is asked for.
    shape
        Voxels along (Z, Y, X).
    path
        The file, for messages.
    hint
        What else may be the cause when values are not integers.
    tolerance
        How far from an integer a number may lie, below 0.5.
    replacing
        What numbers become; by default they stay what they are.

    Returns
    -------
    values
        (Z, Y, X), the smallest integer type that holds all values.
    warnings
        By how much floats were rounded, if they were.

    Raises
    ------
    InputError
        When numbers lie further than `tolerance` from an integer, or are NaN and no
        label value replaces it.
    """
    rounding = _Rounding(shape, tolerance)
    labels = _Labels(int(np.prod(shape, dtype=object)))
    for piece in pieces:
        labels.append(_whole(piece, rounding, replacing or Replacing(), path))
    rounding.check(path, hint)
    return labels.values.reshape(shape), rounding.warnings()


def _whole(
    piece: NDArray[Any], rounding: _Rounding, replacing: Replacing, path: Path | None
) -> NDArray[Any]:
    """A piece as whole numbers, some of them replaced."""
    if piece.dtype.kind != "f":
        return replacing.apply(piece, path)
    if replacing.nan is None or not (missing := np.isnan(piece)).any():
        return replacing.apply(rounding.apply(piece), path)
    numbers = rounding.apply(np.where(missing, piece.dtype.type(0), piece))
    whole = replacing.apply(numbers, path).astype(np.int64)
    whole[missing] = replacing.nan
    return whole


class _Labels:
    """Integers that are appended to; the type widens when it must."""

    def __init__(self, count: int) -> None:
        self.values: NDArray[Any] = np.empty(count, np.uint8)
        self._filled = 0
        self._least = 0
        self._largest = 0

    def append(self, piece: NDArray[Any]) -> None:
        if piece.dtype != np.uint8:
            self._make_room(int(piece.min()), int(piece.max()))
        self.values[self._filled : self._filled + piece.size] = piece
        self._filled += piece.size

    def _make_room(self, least: int, largest: int) -> None:
        self._least, self._largest = min(self._least, least), max(self._largest, largest)
        dtype = next(
            t
            for t in INTEGER_TYPES
            if np.iinfo(t).min <= self._least and self._largest <= np.iinfo(t).max
        )
        if dtype == self.values.dtype:
            return
        wider = np.empty(self.values.size, dtype)
        wider[: self._filled] = self.values[: self._filled]
        self.values = wider


@dataclass
class _Rounding:
    """Rounds floats to integers and keeps account of what is none."""

    shape: tuple[int, int, int]
    tolerance: float = ROUNDING_TOLERANCE
    done: int = 0
    largest: float = 0.0
    refused: int = 0
    missing: int = 0
    first_value: float = 0.0
    first_index: int = -1

    def apply(self, piece: NDArray[Any]) -> NDArray[Any]:
        """The rounded piece; numbers that are refused become 0."""
        with np.errstate(invalid="ignore"):
            rounded: NDArray[Any] = np.rint(piece)
            distance = np.abs(piece - rounded)
            sound = (distance <= self.tolerance) & (np.abs(rounded) < LARGEST_EXACT)
        if not sound.all():
            bad = np.flatnonzero(~sound)
            if not self.refused:
                self.first_value = float(piece[bad[0]])
                self.first_index = self.done + int(bad[0])
            self.refused += bad.size
            self.missing += int(np.isnan(piece[bad]).sum())
            rounded[bad] = distance[bad] = 0
        self.largest = max(self.largest, float(distance.max()))
        self.done += piece.size
        return rounded

    def check(self, path: Path | None, hint: str) -> None:
        if not self.refused:
            return
        z, y, x = (int(i) for i in np.unravel_index(self.first_index, self.shape))
        voxels = "1 voxel" if self.refused == 1 else f"{self.refused} voxels"
        if self.missing == self.refused:
            hint = NAN_REMEDY
        raise InputError(
            f"holds {voxels} whose value is not within {self.tolerance:.3g} of an integer; "
            f"the first is {self.first_value:.9g} at voxel (x={x}, y={y}, z={z}).",
            remedy=hint
            or "Give a label map of whole numbers, not an image or a probability map "
            "(softlab import takes those).",
            path=path,
        )

    def warnings(self) -> tuple[str, ...]:
        if not self.largest:
            return ()
        return (f"label values are stored as fractions; rounded by up to {self.largest:.2g}.",)
