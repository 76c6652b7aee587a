"""How slices of a volume are cut and turned for the eye: the radiologists' view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.volume import Geometry

__all__ = ["PICTURE", "PLANES", "Plane", "View"]

Plane = Literal["axial", "coronal", "sagittal"]

PICTURE = "picture"
"""The one plane of a 2D picture."""

PLANES: dict[Plane, tuple[str, str, str]] = {
    "axial": ("S", "P", "L"),
    "coronal": ("A", "I", "L"),
    "sagittal": ("R", "I", "P"),
}
"""Where the slice axis, the rows (downwards) and the columns (to the right of the
picture) point in the patient: the radiologists' view, the patient's right on the left."""

OPPOSITE = dict(zip("RASLPI", "LPIRAS", strict=True))


@dataclass(frozen=True)
class View:
    """How slices of a volume are cut and turned for the eye.

    Parameters
    ----------
    axis
        Array axis (0 to 2) across which the slices lie.
    transpose
        Whether the two other axes change places.
    flip_rows, flip_columns
        Whether rows or columns are then reversed.
    edges
        Letters at the top, right, bottom and left; empty for a 2D picture.
    pixel_mm
        Height and width of a pixel.
    """

    axis: int
    transpose: bool
    flip_rows: bool
    flip_columns: bool
    edges: str
    pixel_mm: tuple[float, float]

    @classmethod
    def of(cls, geometry: Geometry, plane: Plane) -> View:
        """The view of a plane in a volume; a 2D picture is shown as it lies."""
        spacing = geometry.spacing_mm
        if geometry.ndim == 2:
            return cls(0, False, False, False, "", (spacing[1], spacing[2]))
        letters = geometry.orientation[::-1]  # of the array axes (z, y, x)
        normal, down, right = PLANES[plane]
        axis, rows, columns = (_axis_of(letter, letters) for letter in (normal, down, right))
        return cls(
            axis,
            transpose=rows > columns,
            flip_rows=letters[rows] != down,
            flip_columns=letters[columns] != right,
            edges=OPPOSITE[down] + right + down + OPPOSITE[right],
            pixel_mm=(spacing[rows], spacing[columns]),
        )

    @property
    def aspect(self) -> float:
        """Height of a pixel over its width."""
        return self.pixel_mm[0] / self.pixel_mm[1]

    @property
    def axes(self) -> tuple[int, int]:
        """Array axes of the rows and of the columns, as they are shown."""
        first, second = (axis for axis in range(3) if axis != self.axis)
        return (second, first) if self.transpose else (first, second)

    def slice_of(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The slice as it is shown, of a volume (z, y, x) that is one slice thick."""
        return self.turn(np.squeeze(volume, self.axis))

    def turn(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """A slice as it is shown."""
        if self.transpose:
            pixels = pixels.T
        return pixels[:: -1 if self.flip_rows else 1, :: -1 if self.flip_columns else 1]

    def region(self, shape: Sequence[int], index: int) -> Region:
        """Where a slice lies in the volume."""
        z, y, x = (
            slice(index, index + 1) if axis == self.axis else slice(0, n)
            for axis, n in enumerate(shape)
        )
        return z, y, x

    def seen_at(self, shape: Sequence[int], place: Sequence[int]) -> tuple[int, int]:
        """Row and column at which a voxel (z, y, x) is shown in the whole slice."""
        rows, columns = self.axes
        row = shape[rows] - 1 - place[rows] if self.flip_rows else place[rows]
        column = shape[columns] - 1 - place[columns] if self.flip_columns else place[columns]
        return row, column

    def cut(self, shape: Sequence[int], index: int, rows: slice, columns: slice) -> Region:
        """Where rows and columns of a slice, as it is shown, lie in the volume."""
        axes = self.axes
        spans = {self.axis: slice(index, index + 1)}
        spans[axes[0]] = _flipped(rows, shape[axes[0]]) if self.flip_rows else rows
        spans[axes[1]] = _flipped(columns, shape[axes[1]]) if self.flip_columns else columns
        return spans[0], spans[1], spans[2]


def _flipped(span: slice, size: int) -> slice:
    return slice(size - span.stop, size - span.start)


def _axis_of(letter: str, letters: str) -> int:
    return next(i for i, found in enumerate(letters) if found in (letter, OPPOSITE[letter]))
