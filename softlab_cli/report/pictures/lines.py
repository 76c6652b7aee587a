"""Outlines and isolines as paths, in pixels of the slice that is shown."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.extras import require

__all__ = ["isoline", "outline", "simplified"]

TOLERANCE_PIXELS = 0.1
"""How far a simplified path may lie from the true one: nobody sees less."""

Path = NDArray[np.float32]


def outline(inside: NDArray[np.bool_]) -> tuple[Path, ...]:
    """Paths around the pixels of a class; see `isoline`."""
    return isoline(inside.astype(np.float32), 0.5)


def isoline(values: NDArray[np.floating], level: float) -> tuple[Path, ...]:
    """Paths along which values between pixel centres are at a level.

    Parameters
    ----------
    values
        (rows, columns).
    level
        The level, above 0.

    Returns
    -------
    paths
        (n, 2) float32 arrays of x and y, each closed, also along the edges of the slice.

    Raises
    ------
    PackageError
        Without contourpy, which comes with matplotlib.
    """
    if not (values > level).any():
        return ()
    with require("contourpy", extra="plot", problem="outlines need matplotlib."):
        from contourpy import LineType, contour_generator
    rows, columns = values.shape
    # A rim of zeros closes what leaves the slice; centres lie half a pixel inside.
    padded = np.pad(values.astype(np.float32), 1)
    found: Any = contour_generator(z=padded, line_type=LineType.Separate).lines(level)
    paths = [np.clip(path - 0.5, 0, (columns, rows)).astype(np.float32) for path in found]
    return tuple(short for path in paths if len(short := simplified(path)) > 2)


def simplified(path: Path, tolerance: float = TOLERANCE_PIXELS) -> Path:
    """A path without the points that it can do without (Douglas and Peucker, 1973).

    Parameters
    ----------
    path
        (n, 2) points.
    tolerance
        How far a point that is left out may lie from the path that stays.
    """
    keep = np.zeros(len(path), bool)
    keep[[0, -1]] = True
    pending = [(0, len(path) - 1)]
    while pending:
        first, last = pending.pop()
        if last - first < 2:
            continue
        away = _distances(path[first + 1 : last], path[first], path[last])
        furthest = int(np.argmax(away))
        if away[furthest] > tolerance:
            middle = first + 1 + furthest
            keep[middle] = True
            pending += [(first, middle), (middle, last)]
    return path[keep]


def _distances(points: Path, start: Path, end: Path) -> NDArray[np.float64]:
    """Distance of points from a line piece, or from a point where both of its ends meet."""
    along = (end - start).astype(np.float64)
    length = float(along @ along)
    offsets = points.astype(np.float64) - start
    share = np.clip(offsets @ along / length, 0, 1) if length else np.zeros(len(points))
    away: NDArray[np.float64] = np.linalg.norm(offsets - share[:, None] * along, axis=1)
    return away
