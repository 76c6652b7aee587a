"""Distances between two sets of grid points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from softlab_cli.kernels.nearest import Cells

__all__ = ["PointSet", "nearest_distances"]

CELL_POINTS = 3
"""Where n points on a surface ask, cells of (n / 3)^(1/6) points along each axis balance the
work on boxes with that on points; (n / 3)^(1/3) where they lie on a contour."""

MOST_CELLS = 2**20


@dataclass(frozen=True)
class PointSet:
    """Points of a grid, each once, in the order of the volume.

    Parameters
    ----------
    rows, columns
        (n,) int32, ``z * row_length + y`` and x.
    row_length
        Rows in a plane.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    row_length: int

    def __len__(self) -> int:
        return len(self.rows)

    def pick(self, chosen: NDArray[np.int64]) -> PointSet:
        """Some of the points."""
        return PointSet(self.rows[chosen], self.columns[chosen], self.row_length)

    def coordinates(self) -> NDArray[np.int32]:
        """(3, n) z, y and x."""
        z, y = np.divmod(self.rows, np.int32(self.row_length))
        return np.stack([z, y, self.columns])


def nearest_distances(
    points: PointSet, others: PointSet, spacing_mm: Sequence[float]
) -> NDArray[np.float64]:
    """The distance from each point to the nearest of the others, exact, in mm.

    Parameters
    ----------
    points, others
        On one grid.
    spacing_mm
        Of the grid, along Z, Y and X; along Y and X of a picture.

    Returns
    -------
    numpy.ndarray
        (n,) float64, in the order of `points`; infinite where there are no others.
    """
    from softlab_cli.kernels.nearest import find_nearest, mark_alone

    if not len(others):
        return np.full(len(points), np.inf)
    alone = np.empty(len(points), np.bool_)
    mark_alone(points.rows, points.columns, others.rows, others.columns, alone)
    distances = np.zeros(len(points))
    chosen = np.flatnonzero(alone)
    if not len(chosen):
        return distances
    asking, answering = _cells(points.pick(chosen)), _cells(others)
    squares = np.empty(len(chosen))
    spacing = np.array([1.0, *spacing_mm][-3:], np.float64)
    find_nearest(asking, answering, 0, len(asking.starts) - 1, spacing, squares)
    distances[chosen] = np.sqrt(squares)
    return distances


def _cells(points: PointSet) -> Cells:
    """The points, sorted into cells."""
    from softlab_cli.kernels.nearest import Cells, fill_cells

    places = points.coordinates()
    lowest = places.min(axis=1)
    extent = places.max(axis=1) - lowest + 1
    side = _side(len(points), extent)
    _, along_y, along_x = -(-extent // side)
    z, y, x = (places - lowest[:, None]) // side
    cell_of = (z.astype(np.int64) * along_y + y) * along_x + x
    numbers = int(math.prod(-(-extent.astype(np.int64) // side)))
    room = min(numbers, len(points))
    cells = Cells(
        np.empty(room + 1, np.int64),
        np.empty((6, room)),
        np.empty((3, len(points))),
        np.empty(len(points), np.int64),
    )
    occupied = fill_cells(places, cell_of, np.zeros(numbers + 1, np.int64), cells)
    boxes = np.ascontiguousarray(cells.boxes[:, :occupied])
    return Cells(cells.starts[: occupied + 1], boxes, cells.points, cells.order)


def _side(count: int, extent: NDArray[np.int32]) -> int:
    """Points along each axis of a cell."""
    power = 1 / 3 if int(extent.min()) == 1 else 1 / 6
    side = max(2, round(math.pow(count / CELL_POINTS, power)))
    while math.prod(-(-int(n) // side) for n in extent) > max(MOST_CELLS, count):
        side *= 2
    return side
