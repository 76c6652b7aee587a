"""Lines of a slice as SVG paths that are short: fewer points, whole numbers, steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

__all__ = ["FINENESS", "path_of", "thinned"]

FINENESS = 10
"""Steps of a path in a pixel; the template scales paths by its inverse."""


def path_of(lines: Iterable[NDArray[np.float32]], tolerance: float) -> str:
    """What SVG calls d, in steps of a tenth of a pixel.

    Parameters
    ----------
    lines
        (n, 2) arrays of x and y in pixels; closed where the first point is the last.
    tolerance
        How far, in pixels, the path may leave the line.
    """
    return "".join(_one(line, tolerance) for line in lines if len(line) > 1)


def _one(line: NDArray[np.float32], tolerance: float) -> str:
    steps = np.rint(thinned(line, tolerance) * FINENESS).astype(int)
    closed = len(steps) > 2 and bool((steps[0] == steps[-1]).all())
    moves = np.diff(steps, axis=0)
    moves = moves[(moves != 0).any(axis=1)]
    if closed:
        moves = moves[:-1]  # z draws the last one
    if not len(moves):
        return ""
    x, y = steps[0]
    pairs = " ".join(f"{dx} {dy}" for dx, dy in moves).replace(" -", "-")
    return f"M{x} {y}l{pairs}{'z' if closed else ''}"


def thinned(line: NDArray[np.float32], tolerance: float) -> NDArray[np.float64]:
    """A line with fewer points, by Douglas and Peucker (Cartographica 10, 1973).

    Parameters
    ----------
    line
        (n, 2) points.
    tolerance
        No point that is left out lies further from the line.
    """
    points = np.asarray(line, np.float64)
    kept = np.zeros(len(points), bool)
    kept[[0, -1]] = True
    waiting = [(0, len(points) - 1)]
    while waiting:
        first, last = waiting.pop()
        if last - first < 2:
            continue
        away = _distances(points[first + 1 : last], points[first], points[last])
        furthest = int(away.argmax())
        if away[furthest] > tolerance:
            middle = first + 1 + furthest
            kept[middle] = True
            waiting += [(first, middle), (middle, last)]
    return points[kept]


def _distances(
    points: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Distance of points from the straight line between two others, or from the one they are."""
    along, from_a = b - a, points - a
    length = float(np.hypot(*along))
    if length == 0:
        return np.asarray(np.hypot(from_a[:, 0], from_a[:, 1]))
    share = np.clip(from_a @ along / length**2, 0, 1)
    rest = from_a - share[:, None] * along
    return np.asarray(np.hypot(rest[:, 0], rest[:, 1]))
