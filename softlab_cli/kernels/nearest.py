"""Exact distance from each of many points of a grid to the nearest of many others.

Points are sorted into *cells*, cubes of the grid, and each cell knows the smallest box around
its points. For a cell of the points that ask, most cells of the points that may answer are
ruled out by the boxes alone; for a point, most of the rest are. So it costs as good as nothing
where the points lie close to each other, and little more where they do not, unlike a distance
transform, which works on all of the volume around both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel

__all__ = ["Cells", "fill_cells", "find_nearest", "mark_alone"]


class Cells(NamedTuple):
    """Points, cell by cell.

    Parameters
    ----------
    starts
        (cells + 1,) int64, where the points of each cell begin; no cell is empty.
    boxes
        (6, cells) float64: least z, y, x, then greatest z, y, x of its points.
    points
        (3, n) float64, z, y and x of each point: whole numbers.
    order
        (n,) int64, which point it is.
    """

    starts: NDArray[np.int64]
    boxes: NDArray[np.float64]
    points: NDArray[np.float64]
    order: NDArray[np.int64]


@kernel
def mark_alone(
    rows: NDArray[np.int32], columns: NDArray[np.int32],
    other_rows: NDArray[np.int32], other_columns: NDArray[np.int32],
    alone: NDArray[np.bool_],
) -> None:  # fmt: skip
    """Tell which of some points are not among the others; both are in ascending order.

    Parameters
    ----------
    rows, columns
        (n,) places of the points.
    other_rows, other_columns
        (m,) those of the others.
    alone
        (n,) is written.
    """
    j = 0
    for i in range(len(rows)):
        row, column = rows[i], columns[i]
        while j < len(other_rows) and (
            other_rows[j] < row or (other_rows[j] == row and other_columns[j] < column)
        ):
            j += 1
        alone[i] = not (j < len(other_rows) and other_rows[j] == row and other_columns[j] == column)


@kernel
def fill_cells(
    points: NDArray[np.int32], cell_of: NDArray[np.int64], starts: NDArray[np.int64], cells: Cells
) -> int:
    """Sort points into cells, those of a cell in the order in which they came.

    Parameters
    ----------
    points
        (3, n) z, y and x.
    cell_of
        (n,) number of each point's cell.
    starts
        (numbers + 1,) zeros; is changed.
    cells
        Is written; with room for a cell a point.

    Returns
    -------
    int
        How many cells have points.
    """
    for i in range(len(cell_of)):
        starts[cell_of[i] + 1] += 1
    occupied = 0
    for number in range(len(starts) - 1):
        if starts[number + 1] > 0:
            cells.starts[occupied] = starts[number]
            occupied += 1
        starts[number + 1] += starts[number]
    cells.starts[occupied] = len(cell_of)
    for i in range(len(cell_of)):
        place = starts[cell_of[i]]
        starts[cell_of[i]] += 1
        cells.order[place] = i
        for axis in range(3):
            cells.points[axis, place] = points[axis, i]
    for cell in range(occupied):
        for axis in range(3):
            inside = cells.points[axis, cells.starts[cell] : cells.starts[cell + 1]]
            cells.boxes[axis, cell] = inside.min()
            cells.boxes[3 + axis, cell] = inside.max()
    return occupied


@kernel
def find_nearest(
    asking: Cells, answering: Cells, first_cell: int, last_cell: int,
    spacing_mm: NDArray[np.float64], squares: NDArray[np.float64],
) -> None:  # fmt: skip
    """The squared distance of points to the nearest of others.

    Parameters
    ----------
    asking, answering
        The points, and the others.
    first_cell, last_cell
        Of the cells that ask those from the first to before the last.
    spacing_mm
        (3,) of the grid, along Z, Y and X.
    squares
        (n,) is written for each point of these cells, by the number that it has in `order`.
    """
    count = len(answering.starts) - 1
    least = np.empty(count, np.float64)
    near, near_least = np.empty(count, np.int64), np.empty(count, np.float64)
    point = np.empty(6, np.float64)
    for cell in range(first_cell, last_cell):
        limit = np.inf
        for other in range(count):
            least[other], most = _between_boxes(asking.boxes, cell, answering.boxes, other,
                                                spacing_mm)  # fmt: skip
            limit = min(limit, most)
        found = 0
        for other in range(count):
            if least[other] <= limit:
                near[found] = other
                found += 1
        for i in range(asking.starts[cell], asking.starts[cell + 1]):
            for axis in range(3):
                point[axis] = asking.points[axis, i]
            squares[asking.order[i]] = _nearest(
                point, answering, near[:found], near_least, spacing_mm
            )


@inlined
def _between_boxes(
    boxes: NDArray[np.float64], cell: int, others: NDArray[np.float64], other: int,
    spacing_mm: NDArray[np.float64],
) -> tuple[float, float]:  # fmt: skip
    """Squares of the least distance of points in two boxes, and of the greatest."""
    least, most = 0.0, 0.0
    for axis in range(3):
        low, high = boxes[axis, cell], boxes[3 + axis, cell]
        other_low, other_high = others[axis, other], others[3 + axis, other]
        gap = max(other_low - high, low - other_high, 0.0) * spacing_mm[axis]
        reach = max(high - other_low, other_high - low) * spacing_mm[axis]
        least += gap * gap
        most += reach * reach
    return least, most


@inlined
def _nearest(
    point: NDArray[np.float64], answering: Cells, near: NDArray[np.int64],
    least: NDArray[np.float64], spacing_mm: NDArray[np.float64],
) -> float:  # fmt: skip
    """The least squared distance to points of some cells; the most likely cell comes first."""
    first = 0
    for k in range(len(near)):
        total = 0.0
        for axis in range(3):
            low, high = answering.boxes[axis, near[k]], answering.boxes[3 + axis, near[k]]
            gap = max(low - point[axis], point[axis] - high, 0.0) * spacing_mm[axis]
            total += gap * gap
        least[k] = total
        if total < least[first]:
            first = k
    best = _nearest_in(point, answering, near[first], spacing_mm)
    for k in range(len(near)):
        if least[k] < best and k != first:
            best = min(best, _nearest_in(point, answering, near[k], spacing_mm))
    return best


@inlined
def _nearest_in(
    point: NDArray[np.float64], answering: Cells, cell: int, spacing_mm: NDArray[np.float64]
) -> float:
    z, y, x = answering.points
    best = np.inf
    for i in range(answering.starts[cell], answering.starts[cell + 1]):
        dz = (point[0] - z[Unsigned(i)]) * spacing_mm[0]
        dy = (point[1] - y[Unsigned(i)]) * spacing_mm[1]
        dx = (point[2] - x[Unsigned(i)]) * spacing_mm[2]
        best = min(best, dz * dz + dy * dy + dx * dx)
    return best
