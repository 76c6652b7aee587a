"""Which part of a slice is shown."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError

__all__ = ["AUTO", "NONE", "parse_zoom", "zoomed"]

AUTO, NONE = "auto", "none"

Cut = tuple[slice, slice]

GAP_PIXELS, GAP_MM = 4, 6.0
"""What lies no further from the rest than the larger of these belongs to it."""

MARGIN = 0.3
"""Share of what is shown that is left free around it, on each side."""

LEAST_PIXELS = 28
"""Rows and columns that are always shown, counted in the shorter side of a pixel: fewer are
no picture."""

SLIMMEST = 0.6
"""Shorter over longer side of a cut in millimetres, at least."""


def parse_zoom(text: str) -> float | None:
    """The factor that ``--zoom`` names: None for ``auto``, 1 for ``none``.

    Raises
    ------
    UsageError
        For what is no factor of 1 or more.
    """
    if text == AUTO:
        return None
    try:
        factor = 1.0 if text == NONE else float(text)
    except ValueError:
        factor = 0.0
    if not 1 <= factor < math.inf:
        raise UsageError(
            f"{text!r} is no zoom.", remedy=f"Give {AUTO}, {NONE}, or a factor from 1 on."
        )
    return factor


def zoomed(
    foreground: NDArray[np.bool_],
    place: tuple[int, int],
    pixel_mm: tuple[float, float],
    factor: float | None,
) -> Cut:
    """Rows and columns of a slice that are shown.

    Parameters
    ----------
    foreground
        (rows, columns) what matters.
    place
        Row and column that it is shown for.
    pixel_mm
        Height and width of a pixel.
    factor
        How many times larger than the whole slice; None cuts to the foreground at and
        around the place.
    """
    shape = foreground.shape
    if factor is not None:
        sizes = [max(1, round(n / factor)) for n in shape]
        spans = [(p - n // 2, p - n // 2 + n) for p, n in zip(place, sizes, strict=True)]
        return _inside(spans, shape)
    if not foreground.any():
        return slice(0, shape[0]), slice(0, shape[1])
    box = _grown(foreground, _nearest(foreground, place, pixel_mm), pixel_mm)
    return _inside(_with_margin(box, pixel_mm), shape)


def _nearest(
    foreground: NDArray[np.bool_], place: tuple[int, int], pixel_mm: tuple[float, float]
) -> tuple[int, int]:
    """The pixel of the foreground that lies nearest to the place."""
    rows, columns = np.nonzero(foreground)
    away = ((rows - place[0]) * pixel_mm[0]) ** 2 + ((columns - place[1]) * pixel_mm[1]) ** 2
    nearest = int(np.argmin(away))
    return int(rows[nearest]), int(columns[nearest])


Box = list[tuple[int, int]]


def _grown(
    foreground: NDArray[np.bool_], seed: tuple[int, int], pixel_mm: tuple[float, float]
) -> Box:
    """First and last row and column of the foreground around a pixel, with what lies close."""
    gaps = [max(GAP_PIXELS, math.ceil(GAP_MM / mm)) for mm in pixel_mm]
    box: Box = [(p, p + 1) for p in seed]
    while True:
        spans = _inside([(a - g, b + g) for (a, b), g in zip(box, gaps, strict=True)],
                        foreground.shape)  # fmt: skip
        part = foreground[spans]
        found = [np.flatnonzero(part.any(axis=1 - axis)) for axis in (0, 1)]
        wider = [
            (span.start + int(where[0]), span.start + int(where[-1]) + 1)
            for span, where in zip(spans, found, strict=True)
        ]
        if wider == box:
            return box
        box = wider


def _with_margin(box: Box, pixel_mm: tuple[float, float]) -> Box:
    sizes = [(b - a) * (1 + 2 * MARGIN) for a, b in box]
    longest = max(size * mm for size, mm in zip(sizes, pixel_mm, strict=True))
    shortest = max(LEAST_PIXELS * min(pixel_mm), SLIMMEST * longest)
    least = [shortest / mm for mm in pixel_mm]
    spans = []
    for (a, b), size, needed in zip(box, sizes, least, strict=True):
        length = math.ceil(max(size, needed))
        first = (a + b - length) // 2
        spans.append((first, first + length))
    return spans


def _inside(spans: Sequence[tuple[int, int]], shape: Sequence[int]) -> Cut:
    """The spans, moved inside the slice where they fit into it, else cut."""
    cuts = []
    for (a, b), n in zip(spans, shape, strict=True):
        length = min(b - a, n)
        first = min(max(a, 0), n - length)
        cuts.append(slice(first, first + length))
    return cuts[0], cuts[1]
