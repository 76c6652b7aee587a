"""Colours of classes: those that files give them, and others for the rest."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable

__all__ = ["class_colours", "line_colours", "palette"]

APART = 0.6
"""Distance of two colours, of red, green and blue from 0 to 1, from which both are told apart."""

SPARE = [
    np.array(colour)
    for colour in [
        (0.9, 0.6, 0.0), (0.35, 0.7, 0.9), (0.95, 0.9, 0.25), (0.8, 0.45, 0.75), (0.0, 0.75, 0.5),
    ]
]  # fmt: skip
"""Colours that are told apart without full colour vision as well (Okabe and Ito, 2008)."""


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


def line_colours(classes: ClassTable, shown: Sequence[int]) -> dict[int, NDArray[np.float64]]:
    """The colours of a few classes that are shown together.

    Each class keeps its colour, but where the palette gave it one that cannot be told apart
    from that of a class before it.

    Parameters
    ----------
    classes
        The class table.
    shown
        Class indices, the most important first.
    """
    own = class_colours(classes)
    found: dict[int, NDArray[np.float64]] = {}
    for place, index in enumerate(shown):
        taken = list(found.values())
        if not classes.classes[index].colour and _nearest(own[index], taken) < APART:
            others = [*taken, *own[list(shown[place + 1 :])]]
            found[index] = max(SPARE, key=lambda colour: _nearest(colour, others))
        else:
            found[index] = own[index]
    return found


def _nearest(colour: NDArray[np.float64], others: Sequence[NDArray[np.float64]]) -> float:
    """Distance to the nearest of other colours; 3 is more than there is."""
    return min((float(np.linalg.norm(colour - other)) for other in others), default=3.0)
