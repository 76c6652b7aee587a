"""Views drawn with matplotlib: what one pair of axes shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.text import shown
from softlab_cli.report.pictures.case import ENTROPY, NOT_LABELLED
from softlab_cli.report.pictures.views import CaseViews, Line, Shade, SliceView

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Look",
    "as_drawn",
    "draw_areas",
    "draw_entropy",
    "draw_isolines",
    "draw_raters",
    "dress",
    "line_width",
    "shade_of",
]

Colour = NDArray[np.float64]

RATER_COLOURS = ("#ffffff", "#ffd92f", "#66e0ff", "#ff8cf0", "#a6ff8c", "#ffa466")
RATER_DASHES = ((0, ()), (0, (4, 1.5)), (0, (1, 1.2)), (0, (5, 1, 1, 1)))
"""Each rater has a colour and a dash, so that who does not see the colour sees the dash."""

HIGHEST_COLOUR = 0.85
"""Of the entropy's colour map: what is above is too light for outlines to be seen."""


@dataclass(frozen=True)
class Look:
    """How the lines of a case are drawn.

    Parameters
    ----------
    colours
        (C, 3) of each class.
    raters
        Their names, in the order of their colours.
    background
        The class that is no area; None where there is none.
    """

    colours: NDArray[np.float64]
    raters: tuple[str, ...]
    background: int | None

    @classmethod
    def of(cls, views: CaseViews, classes: ClassTable, colours: NDArray[np.float64]) -> Look:
        """The look of a case, with the colours of the classes."""
        return cls(colours, views.raters, classes.background_index)

    def rater_style(self, name: str) -> dict[str, Any]:
        """Colour and dash of a rater."""
        number = self.raters.index(name)
        return {
            "color": RATER_COLOURS[number % len(RATER_COLOURS)],
            "linestyle": RATER_DASHES[number % len(RATER_DASHES)],
            "linewidth": 1.4,
        }


def shade_of(view: SliceView, name: str) -> Shade | None:
    """A shade by its name, where the view has it."""
    return next((shade for shade in view.shades if shade.name == name), None)


def as_drawn(text: str) -> str:
    """A text from a file as matplotlib draws it: it takes ``$`` for formulas, hides ``_``."""
    text = shown(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def line_width(level: float) -> float:
    """Points of an isoline: the surer, the wider."""
    return 0.5 + 1.7 * level


def _extent(view: SliceView) -> tuple[float, float, float, float]:
    return 0, view.shape[1], view.shape[0], 0


def _show_image(axes: Axes, view: SliceView) -> None:
    axes.set_facecolor("black")
    if view.colour is not None:
        axes.imshow(view.colour, extent=_extent(view))
    elif view.image is not None:
        axes.imshow(view.image, cmap="gray", vmin=0, vmax=255, extent=_extent(view))


def draw_areas(axes: Axes, view: SliceView, look: Look, opacity: float = 0.5) -> None:
    """The image, and the hard label in colours over it; what is not labelled is light."""
    _show_image(axes, view)
    labels = view.labels
    if labels is None:
        return
    opacity = opacity if view.image is not None else max(opacity, 0.35)
    known = labels < len(look.colours)
    if look.background is not None:
        known &= labels != look.background
    layer = np.zeros((*labels.shape, 4))
    layer[known, :3] = look.colours[labels[known]]
    layer[known, 3] = opacity
    if ignored := shade_of(view, NOT_LABELLED):
        layer[ignored.opacity > 0] = (1, 1, 1, 0.6)
    axes.imshow(layer, interpolation="nearest", extent=_extent(view))


def draw_isolines(axes: Axes, view: SliceView, look: Look) -> None:
    """Isolines of the soft label; the outline of a class that has none."""
    soft = {line.class_index for line in view.lines if line.kind == "soft"}
    for line in view.lines:
        if line.kind == "soft":
            _draw_line(axes, line, look.colours[line.class_index], line_width(line.level))
        elif line.kind == "hard" and line.class_index not in soft:
            _draw_line(axes, line, look.colours[line.class_index], 1.4)


def draw_raters(axes: Axes, view: SliceView, look: Look) -> None:
    """The outlines of each rater, with a dark rim over light pixels."""
    from matplotlib.patheffects import withStroke

    for line in view.lines:
        if line.kind == "rater":
            style = look.rater_style(line.name)
            rim = [withStroke(linewidth=style["linewidth"] + 1.2, foreground="#000000b0")]
            for path in line.paths:
                axes.plot(path[:, 0], path[:, 1], path_effects=rim, **style)


def draw_entropy(axes: Axes, view: SliceView) -> Any:
    """The entropy in colours, with the outlines of the hard label; returns what has a scale."""
    from matplotlib.colors import LinearSegmentedColormap

    magma = _colour_map("magma")(np.linspace(0, HIGHEST_COLOUR, 256))
    colours = LinearSegmentedColormap.from_list("entropy", magma)
    shade = shade_of(view, ENTROPY)
    bits = np.zeros(view.shape) if shade is None else shade.opacity / 255 * shade.highest
    highest = 1.0 if shade is None else shade.highest
    drawn = axes.imshow(bits, cmap=colours, vmin=0, vmax=highest, extent=_extent(view))
    for line in view.lines:
        if line.kind == "hard":
            _draw_line(axes, line, np.ones(3), 0.7)
    return drawn


def _colour_map(name: str) -> Any:
    from matplotlib import colormaps

    return colormaps[name]


def _draw_line(axes: Axes, line: Line, colour: Colour, width: float) -> None:
    for path in line.paths:
        axes.plot(path[:, 0], path[:, 1], color=tuple(colour), linewidth=width)


LETTER_PLACES = ((0.5, 1, 0, -8), (1, 0.5, -9, 0), (0.5, 0, 0, 8), (0, 0.5, 9, 0))
"""Share of the panel's width and height, and points from there, at each edge."""


def dress(axes: Axes, view: SliceView, *, letters: bool = True, scale: bool = True) -> None:
    """Pixel shape, no ticks, letters for where the edges lie in the patient, a scale."""
    axes.set(xlim=(0, view.shape[1]), ylim=(view.shape[0], 0), xticks=[], yticks=[])
    axes.set_aspect(view.pixel_mm[0] / view.pixel_mm[1])
    style = _letters_style()
    for letter, (x, y, right, up) in zip(
        view.edges if letters else "", LETTER_PLACES, strict=False
    ):
        axes.annotate(
            letter, (x, y), (right, up), xycoords="axes fraction", textcoords="offset points",
            ha="center", va="center", **style,
        )  # fmt: skip
    if scale:
        _draw_scale(axes, view, style)


def _letters_style() -> Mapping[str, Any]:
    from matplotlib.patheffects import withStroke

    return {
        "color": "white",
        "fontsize": 9,
        "path_effects": [withStroke(linewidth=2, foreground="black")],
    }


def _draw_scale(axes: Axes, view: SliceView, style: Mapping[str, Any]) -> None:
    """A bar of a round length, at the bottom right."""
    height, width = view.shape
    pixel = view.pixel_mm[1]
    length = _round_length(width * pixel / 3)
    right, bottom = width * 0.96, height * 0.955
    axes.plot([right - length / pixel, right], [bottom, bottom], color="white", linewidth=2.5,
              path_effects=style["path_effects"], solid_capstyle="butt")  # fmt: skip
    axes.text(right - length / pixel / 2, bottom - height * 0.015, f"{length:g} mm", ha="center",
              va="bottom", **style)  # fmt: skip


def _round_length(most: float) -> float:
    """The longest of 1, 2 and 5 times a power of ten that is no longer."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(step * power for step in (1, 2, 5) if step * power <= most))
