"""Colours of classes: those that files give them, and others for the rest."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable

__all__ = ["class_colours", "palette"]


def palette(count: int) -> NDArray[np.float64]:
    """(count, 3) colours that neighbours in the table do not share; the first is for background."""
    hues = (np.arange(count) * 0.618034 + 0.33) % 1.0
    rows = np.arange(count)
    colours = [
        colorsys.hsv_to_rgb(h, 0.55 + 0.4 * (i % 2), 1.0 - 0.25 * (i % 3 == 2))
        for i, h in zip(rows, hues, strict=True)
    ]
    return np.array(colours)


def class_colours(classes: ClassTable) -> NDArray[np.float64]:
    """(C, 3) red, green and blue of each class, 0 to 1: its own, or that of the palette."""
    colours = palette(len(classes))
    for entry in classes.classes:
        if entry.colour:
            colours[entry.index] = [part / 255 for part in bytes.fromhex(entry.colour)]
    return colours
