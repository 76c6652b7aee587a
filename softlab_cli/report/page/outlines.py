"""Lines of a slice as SVG paths that are short: fewer points, whole numbers, steps."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from softlab_cli.report.pictures.lines import TOLERANCE_PIXELS, simplified

__all__ = ["FINENESS", "path_of"]

FINENESS = 10
"""Steps of a path in a pixel; the template scales paths by its inverse."""


def path_of(lines: Iterable[NDArray[np.float32]], tolerance: float) -> str:
    """What SVG calls d, in steps of a tenth of a pixel.

    Parameters
    ----------
    lines
        (n, 2) arrays of x and y in pixels; closed where the first point is the last.
    tolerance
        How far, in pixels, the path may leave the line, besides the rounding.
    """
    return "".join(_one(line, tolerance) for line in lines if len(line) > 1)


def _one(line: NDArray[np.float32], tolerance: float) -> str:
    if tolerance > TOLERANCE_PIXELS:  # which lines of views have already
        line = simplified(line, tolerance)
    steps = np.rint(line * FINENESS).astype(int)
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
