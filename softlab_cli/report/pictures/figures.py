"""Pictures of cases: rows of panels with a legend beside them, and contact sheets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.colours import class_colours, line_colours
from softlab_cli.report.pictures.case import ENTROPY, NOT_LABELLED
from softlab_cli.report.pictures.panels import (
    Look,
    as_drawn,
    draw_areas,
    draw_entropy,
    draw_isolines,
    draw_raters,
    dress,
    line_width,
    shade_of,
)
from softlab_cli.report.pictures.planes import PICTURE
from softlab_cli.report.pictures.views import CaseViews, SliceView

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DPI", "Cell", "draw_cell", "draw_figure", "draw_key"]

DPI = 110

PANEL_INCHES = 4.0
GAP_INCHES = 0.12
LEFT_INCHES, TOP_INCHES, BOTTOM_INCHES = 0.4, 0.75, 0.15
SCALE_INCHES = 0.85
"""Beside the entropy, for its scale."""

LEGEND_INCHES = 2.9
LEGEND_LINE_INCHES = 0.195

LEAST_NAMES, MOST_NAMES = 6, 18
"""Classes in the legend beside those with lines: as many as there is room for beside the
panels; more would not be read."""


def draw_figure(views: CaseViews, classes: ClassTable, heading: str) -> Figure:
    """A case: a row for each plane, with the hard label, the soft label and its entropy.

    Parameters
    ----------
    views
        What is shown.
    classes
        The class table.
    heading
        Title of the picture.
    """
    from matplotlib.figure import Figure

    look = _look(views, classes)
    columns = 3 if any(shade_of(view, ENTROPY) for view in views.views) else 2
    tall = [_height(view) for view in views.views]
    legend = _legend(views, classes, look, int(sum(tall) / LEGEND_LINE_INCHES))
    beside = LEFT_INCHES + columns * (PANEL_INCHES + GAP_INCHES) + SCALE_INCHES * (columns - 2)
    below = TOP_INCHES + sum(tall) + GAP_INCHES * (len(tall) - 1) + BOTTOM_INCHES
    width = beside + LEGEND_INCHES
    height = max(below, TOP_INCHES + LEGEND_LINE_INCHES * len(legend))
    figure = Figure(figsize=(width, height))
    top = height - TOP_INCHES
    for row, (view, inches) in enumerate(zip(views.views, tall, strict=True)):
        lefts = [LEFT_INCHES + i * (PANEL_INCHES + GAP_INCHES) for i in range(columns)]
        boxes = [
            (left / width, (top - inches) / height, PANEL_INCHES / width, inches / height)
            for left in lefts
        ]
        _draw_row(figure, [figure.add_axes(box) for box in boxes], view, look, titled=row == 0)
        top -= inches + GAP_INCHES
    _draw_legend(figure, legend, (beside / width, 1 - (TOP_INCHES - 0.3) / height))
    figure.suptitle(as_drawn(heading), y=1 - 0.1 / height, va="top")
    return figure


def _look(views: CaseViews, classes: ClassTable) -> Look:
    colours = class_colours(classes)
    for index, colour in line_colours(classes, views.classes).items():
        colours[index] = colour
    return Look.of(views, classes, colours)


def _height(view: SliceView) -> float:
    """Inches of a row: as its panels need."""
    rows, columns = view.shape
    tall = rows * view.pixel_mm[0] / (columns * view.pixel_mm[1])
    return PANEL_INCHES * min(max(tall, 0.25), 1.5)


def _draw_row(
    figure: Figure, panels: Sequence[Axes], view: SliceView, look: Look, *, titled: bool
) -> None:
    first, second, *third = panels
    draw_areas(first, view, look)
    draw_raters(first, view, look)
    draw_areas(second, view, look, opacity=0.0)
    draw_isolines(second, view, look)
    for axes in third:
        _draw_scale(figure, axes, draw_entropy(axes, view))
    for axes, title in zip(panels, _titles(view, look) if titled else (), strict=False):
        axes.set_title(title, fontsize=11)
    for axes in panels:
        dress(axes, view, scale=axes is first)
    if view.plane != PICTURE:
        first.set_ylabel(f"{view.plane} {view.index} of {view.slices}", fontsize=9)


def _titles(view: SliceView, look: Look) -> tuple[str, str, str]:
    hard = "hard label and raters" if look.raters else "hard label"
    over = " over the image" if view.image is not None else ""
    lines = "isolines of the soft label"
    if not any(line.kind == "soft" for line in view.lines):
        lines = "outlines, for want of isolines" if shade_of(view, ENTROPY) else "outlines"
    return hard + over, lines, "entropy of the soft label (bits)"


def _draw_scale(figure: Figure, axes: Axes, drawn: Any) -> None:
    """The scale of the entropy, at its right."""
    box = axes.get_position()
    unit = 1 / figure.get_figwidth()
    beside = figure.add_axes((box.x1 + 0.08 * unit, box.y0, 0.14 * unit, box.height))
    figure.colorbar(drawn, cax=beside)
    beside.tick_params(labelsize=8)


class Entry(NamedTuple):
    """A line of the legend; a title has no handle that can be seen."""

    handle: Any
    is_title: bool = False


def _draw_legend(figure: Figure, entries: Sequence[Entry], corner: tuple[float, float]) -> None:
    drawn = figure.legend(
        handles=[entry.handle for entry in entries], loc="upper left", bbox_to_anchor=corner,
        frameon=False, fontsize=9, borderaxespad=0, handlelength=2.2, labelspacing=0.35,
    )  # fmt: skip
    for text, entry in zip(drawn.get_texts(), entries, strict=True):
        if entry.is_title:
            text.set_fontweight("bold")
            text.set_x(text.get_position()[0] - 27)  # where the handles are


def _legend(views: CaseViews, classes: ClassTable, look: Look, room: int) -> list[Entry]:
    """A colour and a name for each class in the slices, and what the lines are.

    `room` is the number of lines that the panels leave room for.
    """
    levels = _levels(views)
    entries = [_title("isolines of" if levels else "outlines of")]
    entries += [Entry(_patch(classes, look, index)) for index in views.classes]
    lines = list(_lines(views, look, levels))
    others = [index for index in _present(views, classes) if index not in views.classes]
    most = min(max(room - len(entries) - len(lines) - 3, LEAST_NAMES), MOST_NAMES)
    if others:
        entries += _named("other classes", (_patch(classes, look, i) for i in others[:most]))
    if len(others) > most:
        entries.append(Entry(_words(f"and {len(others) - most} more")))
    return entries + lines


def _lines(views: CaseViews, look: Look, levels: Sequence[float]) -> Iterator[Entry]:
    """What the legend says of all but classes."""
    if levels:
        strokes = (_stroke(f"{level:g}", color="0.4", linewidth=line_width(level))
                   for level in levels)  # fmt: skip
        yield from _named("soft label along a line", strokes)
    if look.raters:
        yield from _named("raters", (_rater(views, look, name) for name in look.raters))
    if any(shade_of(view, NOT_LABELLED) for view in views.views):
        yield from _named("", [_area((0.85, 0.85, 0.85), NOT_LABELLED)])
    if views.window:
        yield from _named("image", map(_words, views.window.split(": ")))


def _named(title: str, handles: Iterable[Any]) -> Iterator[Entry]:
    yield Entry(_words(""))
    if title:
        yield _title(title)
    yield from map(Entry, handles)


def _title(text: str) -> Entry:
    return Entry(_words(text), is_title=True)


def _rater(views: CaseViews, look: Look, name: str) -> Any:
    drawn = any(line.kind == "rater" and line.name == name for v in views.views for line in v.lines)
    label = as_drawn(name if drawn else f"{name}: nothing here")
    return _stroke(label, on_dark=True, **look.rater_style(name))


def _levels(views: CaseViews) -> list[float]:
    """Soft labels along which lines are drawn."""
    return sorted(
        {line.level for view in views.views for line in view.lines if line.kind == "soft"}
    )


def _present(views: CaseViews, classes: ClassTable) -> list[int]:
    """Classes that are in the slices, without background."""
    found = {int(i) for view in views.views if view.labels is not None
             for i in np.unique(view.labels)}  # fmt: skip
    return sorted(found & set(range(len(classes))) - {classes.background_index})


def _words(text: str) -> Any:
    from matplotlib.patches import Patch

    # A label that is empty would be left out.
    return Patch(color="none", label=as_drawn(text) or " ")


def _patch(classes: ClassTable, look: Look, index: int) -> Any:
    return _area(tuple(look.colours[index]), as_drawn(classes.names[index]))


def _area(colour: Any, label: str) -> Any:
    from matplotlib.patches import Patch

    return Patch(facecolor=colour, edgecolor="0.3", linewidth=0.5, label=label)


def _stroke(label: str, *, on_dark: bool = False, **style: Any) -> Any:
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    rim = [withStroke(linewidth=style["linewidth"] + 2.5, foreground="0.15")] if on_dark else []
    return Line2D([], [], label=label, path_effects=rim or None, **style)


# ---- contact sheets -------------------------------------------------------

CELL_INCHES = (2.35, 2.65)


@dataclass(frozen=True)
class Cell:
    """One case of a contact sheet.

    Parameters
    ----------
    pixels
        (rows, columns, 3) uint8.
    classes
        Class indices that have lines.
    raters
        Names of the raters that have lines.
    """

    pixels: NDArray[np.uint8]
    classes: tuple[int, ...]
    raters: tuple[str, ...]


def draw_cell(
    views: CaseViews, number: int, classes: ClassTable, raters: Sequence[str], below: str
) -> Cell:
    """One view of a case as a contact sheet has it.

    Parameters
    ----------
    views
        What is shown of the case.
    number
        Which of its views.
    classes
        The class table.
    raters
        Raters of the cases before it, whose colours are taken.
    below
        A second line under the name.
    """
    from matplotlib.figure import Figure

    look = Look.of(views, classes, class_colours(classes))
    look = replace(look, raters=tuple(dict.fromkeys([*raters, *look.raters])))
    view = views.views[number]
    figure = Figure(figsize=CELL_INCHES, dpi=DPI)
    axes = figure.add_axes((0.02, 0.02, 0.96, 0.80))
    draw_areas(axes, view, look, opacity=0.15)
    draw_isolines(axes, view, look)
    draw_raters(axes, view, look)
    dress(axes, view, letters=False)
    plane = "" if view.plane == PICTURE else f"{view.plane} {view.index}"
    figure.text(0.02, 0.985, as_drawn(_short(views.case_id)), va="top", fontsize=9, weight="bold")
    second = ", ".join(filter(None, (plane, below)))
    figure.text(0.02, 0.895, as_drawn(second), va="top", fontsize=7.5)
    return Cell(_pixels(figure), views.classes, look.raters)


def _short(text: str, most: int = 30) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def draw_key(
    cells: Sequence[Cell], classes: ClassTable, heading: str, width: int
) -> NDArray[np.uint8]:
    """What colours and lines of a contact sheet mean: (rows, width, 3) uint8, to lie above it."""
    from matplotlib.figure import Figure

    shown_classes = sorted({index for cell in cells for index in cell.classes})
    raters = tuple(dict.fromkeys(name for cell in cells for name in cell.raters))
    look = Look(class_colours(classes), raters, classes.background_index)
    handles = [_patch(classes, look, index) for index in shown_classes[:MOST_NAMES]]
    if len(shown_classes) > MOST_NAMES:
        handles.append(_words(f"and {len(shown_classes) - MOST_NAMES} more"))
    handles += [_stroke(as_drawn(n), on_dark=True, **look.rater_style(n)) for n in raters]
    columns = max(1, width // (2 * DPI))
    rows = -(-len(handles) // columns)
    inches = (width / DPI, 0.45 + 0.2 * rows)
    figure = Figure(figsize=inches, dpi=DPI)
    figure.text(0.01, 1 - 0.08 / inches[1], as_drawn(heading), va="top", fontsize=11)
    figure.legend(
        handles=handles, loc="lower left", ncols=columns, frameon=False, fontsize=8,
        borderaxespad=0.2,
    )  # fmt: skip
    return _pixels(figure)[:, :width]


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
