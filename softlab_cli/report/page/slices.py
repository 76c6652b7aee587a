"""Slices of a case as a page shows them: pictures and paths for SVG, and the legend beside.

Whatever lies over the image is a layer that can be switched off; the legend says what each is, by
colour, and by width and dash as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softlab_cli.core.caseid import natural_order
from softlab_cli.report.page.embedded import grey_picture, shade_picture
from softlab_cli.report.page.outlines import path_of
from softlab_cli.report.pictures.views import CaseViews, Line, Shade, SliceView
from softlab_cli.report.tables import counted

__all__ = ["DETAILS", "Detail", "DrawnCase", "DrawnLine", "DrawnSlice", "Layer", "draw_views"]

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Isolines; ``page.css`` has a width and a dash for each."""

RATER_COLOURS = ("#56b4e9", "#e69f00", "#f0e442", "#cc79a7", "#00c896", "#ff7043")
"""Light colours that stay apart without red or green (after Okabe and Ito); rater i has also
dash i of ``page.css``."""

BAR_LENGTHS_MM = (1, 2, 5, 10, 20, 50, 100, 200)
SMALL_PIXELS = 96
"""A picture with fewer pixels along its longer side is shown with its pixels visible."""


@dataclass(frozen=True)
class Detail:
    """How finely slices are drawn; the finest whose case fits into its share is taken.

    Parameters
    ----------
    pixels
        Along the longer side of a picture.
    quality
        Of the compressed picture, 0 to 100.
    tolerance
        How far lines may be off, in pixels of the slice.
    levels
        Opacities of a shade that are told apart.
    classes
        Classes whose lines are drawn, the most doubtful first; None for all.
    """

    pixels: int
    quality: int
    tolerance: float
    levels: int
    classes: int | None = None


DETAILS = (
    Detail(512, 75, 0.1, 32),
    Detail(384, 65, 0.1, 24),
    Detail(320, 50, 0.2, 16),
    Detail(256, 40, 0.3, 16),
    Detail(224, 30, 0.5, 12),
    Detail(192, 25, 0.7, 8, 4),
    Detail(160, 20, 1.0, 6, 2),
    Detail(128, 15, 1.0, 4, 1),
    Detail(96, 10, 1.5, 4, 0),
    Detail(64, 5, 1.5, 2, 0),
)
"""From fine to coarse."""


@dataclass(frozen=True)
class Layer:
    """A thing that can be switched off, and its entry in the legend.

    Parameters
    ----------
    key
        Its name in the page; the same for all cases, so that they are switched together.
    text
        What it is, in words of ours.
    name
        Name of the class or rater, from a file; may be empty.
    sample
        ``line``, ``levels``, ``area``, ``image`` or ``place``: what the legend shows of it.
    colour
        As in CSS; empty for none.
    look
        Class of ``page.css`` that has its width and dash.
    """

    key: str
    text: str
    name: str = ""
    sample: str = "line"
    colour: str = ""
    look: str = ""


@dataclass(frozen=True)
class DrawnLine:
    """A path: the layers that it belongs to, its look, colour, and what SVG calls d."""

    layer: str
    class_layer: str
    look: str
    colour: str
    path: str


@dataclass(frozen=True)
class DrawnSlice:
    """One slice, in millimetres: width and height, pixels to scale, pictures and paths.

    Parameters
    ----------
    view
        The slice.
    width, height
        In millimetres.
    image
        Address of the picture, or empty.
    shades
        Layer and address of each see-through picture.
    lines
        Outlines and isolines.
    bar_mm
        Length of the scale bar.
    coarse
        Whether pixels are shown as such, since there are few.
    """

    view: SliceView
    width: float
    height: float
    image: str
    shades: tuple[tuple[str, str], ...]
    lines: tuple[DrawnLine, ...]
    bar_mm: int
    coarse: bool

    @property
    def where(self) -> str:
        """Plane and slice, in a few words; slices count from 1 for people."""
        if self.view.plane == "picture":
            return "picture"
        return f"{self.view.plane}, slice {self.view.index + 1} of {self.view.slices}"


@dataclass(frozen=True)
class DrawnCase:
    """All slices of a case, the legend, and what could not be shown."""

    case_id: str
    slices: tuple[DrawnSlice, ...]
    layers: tuple[Layer, ...]
    levels: tuple[float, ...]
    window: str
    notes: tuple[str, ...]


def draw_views(
    views: CaseViews, names: Sequence[str], colours: Mapping[int, str], detail: Detail
) -> DrawnCase:
    """Turn the slices of a case into what the template ``slices.html`` shows.

    Parameters
    ----------
    views
        The slices.
    names
        Name of each class.
    colours
        Class index to its colour, as in CSS.
    detail
        How finely.
    """
    wanted = views.classes if detail.classes is None else views.classes[: detail.classes]
    every = [line for view in views.views for line in view.lines]
    kept = [line for line in every if detail.classes is None or line.class_index in wanted]
    raters = sorted({line.name for line in every if line.kind == "rater"}, key=natural_order)
    notes = views.notes
    if not notes and all(view.image is None for view in views.views):
        notes = ("no image belongs to this case: lines and shades lie on black",)
    shown = {line.class_index for line in kept}
    if left := {line.class_index for line in every} - shown:
        notes += (
            f"lines of {counted(len(shown), 'class', 'classes')} are shown and of {len(left)} left "
            "out, so that the page stays small",
        )
    drawn = tuple(_slice(view, kept, raters, colours, detail) for view in views.views)
    layers = _legend(views, kept, raters, names, colours)
    levels = tuple(level for level in LEVELS if any(_is_level(e, level) for e in kept))
    return DrawnCase(views.case_id, drawn, layers, levels, views.window, notes)


def _is_level(line: Line, level: float) -> bool:
    return line.kind == "soft" and abs(line.level - level) < 1e-3


def _slice(
    view: SliceView, kept: Sequence[Line], raters: Sequence[str], colours: Mapping[int, str],
    detail: Detail,
) -> DrawnSlice:  # fmt: skip
    (rows, columns), (tall, wide) = view.shape, view.pixel_mm
    image = "" if view.image is None else grey_picture(view.image, detail.pixels, detail.quality)
    shades = tuple(
        (f"shade-{i}", shade_picture(s.opacity, detail.pixels, detail.levels))
        for i, s in enumerate(view.shades)
        if s.opacity.any()
    )
    there = {id(line) for line in kept}
    lines = tuple(
        drawn
        for line in view.lines
        if id(line) in there and (drawn := _line(line, raters, colours, detail.tolerance)).path
    )
    width = columns * wide
    longest = [mm for mm in BAR_LENGTHS_MM if mm <= 0.35 * width]
    return DrawnSlice(
        view, round(width, 3), round(rows * tall, 3), image, shades, lines,
        longest[-1] if longest else 0, max(rows, columns) < SMALL_PIXELS,
    )  # fmt: skip


def _line(
    line: Line, raters: Sequence[str], colours: Mapping[int, str], tolerance: float
) -> DrawnLine:
    path = path_of(line.paths, tolerance)
    if line.kind == "rater":
        number = raters.index(line.name)
        colour = RATER_COLOURS[number % len(RATER_COLOURS)]
        look = f"rater dash-{number % len(RATER_COLOURS)}"
        return DrawnLine(f"rater-{number}", f"class-{line.class_index}", look, colour, path)
    look = f"soft level-{round(100 * line.level)}" if line.kind == "soft" else line.kind
    colour = colours.get(line.class_index, "#ffffff")
    return DrawnLine(line.kind, f"class-{line.class_index}", look, colour, path)


def _legend(
    views: CaseViews, kept: Sequence[Line], raters: Sequence[str], names: Sequence[str],
    colours: Mapping[int, str],
) -> tuple[Layer, ...]:  # fmt: skip
    """What is there to be switched off: pictures, kinds of lines, raters, then classes."""
    kinds = {line.kind for line in kept}
    layers = []
    if any(view.image is not None for view in views.views):
        layers.append(Layer("image", f"image, window {views.window}", sample="image"))
    if "hard" in kinds:
        layers.append(Layer("hard", "outline of the hard label", look="hard"))
    if "soft" in kinds:
        layers.append(Layer("soft", "isolines of the soft label", sample="levels"))
    if "reference" in kinds:
        layers.append(Layer("reference", "outline of the reference", look="reference"))
    layers += [
        Layer(f"shade-{i}", _shade_text(shade), sample="area")
        for i, shade in enumerate(_shades(views))
    ]
    if any(view.place is not None for view in views.views):
        layers.append(Layer("place", "place of most doubt", sample="place"))
    layers += [
        Layer(
            f"rater-{i}", "outline of", name, colour=RATER_COLOURS[i % len(RATER_COLOURS)],
            look=f"rater dash-{i % len(RATER_COLOURS)}",
        )
        for i, name in enumerate(raters)
    ]  # fmt: skip
    order = {c: i for i, c in enumerate(views.classes)}
    found = sorted({line.class_index for line in kept}, key=lambda c: (order.get(c, 1 << 20), c))
    layers += [
        Layer(f"class-{c}", "class", names[c], colour=colours.get(c, "#ffffff"), look="class")
        for c in found
    ]
    return tuple(layers)


def _shades(views: CaseViews) -> Sequence[Shade]:
    return max((view.shades for view in views.views), key=len, default=())


def _shade_text(shade: Shade) -> str:
    return f"{shade.name}, up to {shade.highest:.3g}"
