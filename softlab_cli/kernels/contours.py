"""Which voxel centres lie inside a polygon, and which on its outline."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import kernel

__all__ = ["fill_polygon", "mark_outline"]


def fill_polygon(
    points: NDArray[np.float64], shape: tuple[int, int], inside: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Fill one closed polygon by the even-odd rule.

    A pixel is inside when a ray from its centre towards lower x crosses the
    outline an odd number of times. Centres exactly on the outline belong to it at
    its low x and low y sides and not at its high sides, so polygons that share an
    edge share no pixel. An edge that is walked twice (the channel of a keyhole)
    has no effect.

    Parameters
    ----------
    points
        (corners, 2) x and y in pixels, counted from the centre of the first one.
    shape
        Rows and columns.
    inside
        Result of other polygons to combine with (even-odd); changed in place.

    Returns
    -------
    (rows, columns) uint8, 1 inside and 0 outside.
    """
    crossings = np.zeros(shape, np.uint8)
    _mark_crossings(np.ascontiguousarray(points, np.float64), crossings)
    inside = np.zeros(shape, np.uint8) if inside is None else inside
    _toggle_between(crossings, inside)
    return inside


def mark_outline(points: NDArray[np.float64], tolerance: float, touched: NDArray[np.uint8]) -> None:
    """Mark the pixels whose centres lie on the outline of one closed polygon.

    Parameters
    ----------
    points
        As for `fill_polygon`.
    tolerance
        How far from an edge a centre may lie, in pixels along the axis that the edge
        runs across.
    touched
        (rows, columns); set to 1 there, in place.
    """
    _mark_touched(np.ascontiguousarray(points, np.float64), tolerance, touched)


@kernel
def _mark_touched(points: NDArray[Any], tolerance: float, touched: NDArray[Any]) -> None:
    """Walk each edge along its longer axis; on each line of pixels one centre is nearest."""
    rows, columns = touched.shape
    for i in range(points.shape[0]):
        x0, y0 = points[i - 1, 0], points[i - 1, 1]
        x1, y1 = points[i, 0], points[i, 1]
        steep = abs(y1 - y0) >= abs(x1 - x0)
        if steep:
            along0, across0, along1, across1 = y0, x0, y1, x1
        else:
            along0, across0, along1, across1 = x0, y0, x1, y1
        low, high = min(along0, along1), max(along0, along1)
        first = max(int(np.ceil(low - tolerance)), 0)
        stop = min(int(np.floor(high + tolerance)) + 1, rows if steep else columns)
        for line in range(first, stop):
            share = 0.0
            if along1 != along0:
                share = min(max((line - along0) / (along1 - along0), 0.0), 1.0)
            across = across0 + share * (across1 - across0)
            nearest = int(np.floor(across + 0.5))
            if abs(across - nearest) > tolerance or nearest < 0:
                continue
            if steep and nearest < columns:
                touched[line, nearest] = 1
            elif not steep and nearest < rows:
                touched[nearest, line] = 1


@kernel
def _mark_crossings(points: NDArray[Any], crossings: NDArray[Any]) -> None:
    """Flip the first pixel at or right of each place where the outline crosses a row."""
    rows, columns = crossings.shape
    for i in range(points.shape[0]):
        x0, y0 = points[i - 1, 0], points[i - 1, 1]
        x1, y1 = points[i, 0], points[i, 1]
        # Low end first, so that an edge gives the same crossings in both directions.
        if y0 > y1:
            x0, y0, x1, y1 = x1, y1, x0, y0
        first = max(int(np.ceil(y0)), 0)
        stop = min(int(np.ceil(y1)), rows)
        for row in range(first, stop):
            x = x0 + (row - y0) * ((x1 - x0) / (y1 - y0))
            column = max(int(np.ceil(x)), 0)
            if column < columns:
                crossings[row, column] ^= 1


@kernel
def _toggle_between(crossings: NDArray[Any], inside: NDArray[Any]) -> None:
    """Flip the pixels between odd and even crossings."""
    rows, columns = crossings.shape
    for row in range(rows):
        odd = 0
        for column in range(columns):
            odd ^= crossings[row, column]
            inside[row, column] ^= odd
