"""Which intensities are black and which are white."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError

__all__ = ["AUTO", "PRESETS", "Window", "parse_window", "window_around"]

AUTO = "auto"

PRESETS = {"bone": (400.0, 1800.0), "lung": (-600.0, 1500.0), "soft": (40.0, 400.0)}
"""Level and width in Hounsfield units: what CT consoles offer for bone, lung, soft tissue."""

FENCE = 1.5
"""Quartile distances beyond the quartiles up to which intensities count (Tukey, 1977): air in
a bowel is no reason to make an abdomen grey."""

EXTREMES = (1.0, 99.0)
"""Percentiles beyond which none count."""

BEYOND = 0.15
"""Share of the range that is added on both sides, for what lies around."""

FEW = 50
"""Pixels from which no range of intensities is taken."""


@dataclass(frozen=True)
class Window:
    """Intensities that are black and white.

    Parameters
    ----------
    low, high
        Black up to the one, white from the other on.
    origin
        How they were chosen.
    """

    low: float
    high: float
    origin: str

    def __str__(self) -> str:
        return f"{self.origin}: black {self.low:.4g}, white {self.high:.4g}"

    def apply(self, intensities: NDArray[np.floating]) -> NDArray[np.uint8]:
        """Intensities of any shape as uint8; what is no number is black."""
        scaled = (np.nan_to_num(intensities, nan=self.low) - self.low) / (self.high - self.low)
        pixels: NDArray[np.uint8] = (np.clip(scaled, 0, 1) * 255).round().astype(np.uint8)
        return pixels


def parse_window(text: str) -> Window | None:
    """The window that ``--window`` names.

    Parameters
    ----------
    text
        ``auto``, a name of `PRESETS`, or ``LEVEL,WIDTH``.

    Returns
    -------
    Window or None
        None for ``auto``, which depends on the image.

    Raises
    ------
    UsageError
        For anything else.
    """
    if text == AUTO:
        return None
    if text in PRESETS:
        return _of_level(*PRESETS[text], f"{text} (CT)")
    try:
        level, width = map(float, text.split(","))
    except ValueError:
        level, width = 0.0, 0.0
    if not (0 < width < math.inf and math.isfinite(level)):
        raise UsageError(
            f"{text!r} is no window.",
            remedy=f"Give {AUTO}, {', '.join(PRESETS)}, or LEVEL,WIDTH with a width above 0.",
        )
    return _of_level(level, width, "given")


def _of_level(level: float, width: float, origin: str) -> Window:
    return Window(level - width / 2, level + width / 2, origin)


def window_around(intensities: NDArray[np.floating], inside: NDArray[np.bool_]) -> Window:
    """A window that shows some classes, whatever the intensities mean.

    Nothing is guessed about the kind of image: a liver in a CT gets the window of soft
    tissue because its intensities lie there.

    Parameters
    ----------
    intensities
        Of all that is shown.
    inside
        Those of them that are of these classes, or beside; where they are few, all count.
    """
    known = np.isfinite(intensities)
    found, origin = intensities[known & inside], "auto, from what is outlined"
    if len(found) < FEW:
        found, origin = intensities[known], "auto, from what is shown"
    if not len(found):
        return Window(0.0, 1.0, "auto, no intensity is a number")
    low, first, third, high = map(float, np.percentile(found, [EXTREMES[0], 25, 75, EXTREMES[1]]))
    low = max(low, first - FENCE * (third - first))
    high = min(high, third + FENCE * (third - first))
    beyond = BEYOND * (high - low)
    least, most = float(intensities[known].min()), float(intensities[known].max())
    low, high = max(low - beyond, least), min(high + beyond, most)
    return Window(low, high if high > low else low + 1.0, origin)
