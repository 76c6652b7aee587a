"""Charts of a page as geometry: what the template ``parts.html`` draws as inline SVG.

Series differ in colour, and also in marker, dash or place, and numbers are written where there
is room, so that no chart needs colours to be read. Every chart has a sentence for those who
cannot see it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from softlab_cli.report.page.scales import Scale, Tick
from softlab_cli.report.page.tables import as_text

__all__ = [
    "Bar", "Cell", "Chart", "Curve", "Matrix", "Place", "Point", "bar_chart", "histogram",
    "line_chart", "matrix", "scatter",
]  # fmt: skip

WIDTH, HEIGHT = 460.0, 290.0
LEFT, TOP, RIGHT, BOTTOM = 62.0, 12.0, 14.0, 46.0
LETTER = 7.0
"""Width of a digit beside an axis."""
BAR_STEP = 22.0
LABEL_WIDTH = 150.0
MOST_TOLD = 12
"""Bars whose numbers the sentence for those who cannot see a chart tells."""

SERIES = 8
"""Series that look different; further ones begin again."""


class Place(NamedTuple):
    """A point of a series: where it is, and what it is called."""

    x: float
    y: float
    name: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar; `text` is the number that is written at its end, `name` its label."""

    x: float
    y: float
    width: float
    height: float
    text: str = ""
    name: str = ""


@dataclass(frozen=True)
class Point:
    """A marker of a series; `text` says what it is."""

    x: float
    y: float
    series: int
    text: str


@dataclass(frozen=True)
class Curve:
    """A line; `path` is what SVG calls d. Series -1 is a line for comparison."""

    path: str
    series: int


@dataclass(frozen=True)
class Chart:
    """A chart with two axes.

    Parameters
    ----------
    title
        Its heading.
    told
        Its content in a sentence or two.
    width, height
        Of the whole drawing.
    left, top, right, bottom
        Edges of the part that the axes surround.
    x_title, y_title
        What the axes are, with units.
    x_ticks, y_ticks
        Numbers beside them.
    bars, points, curves
        What is drawn.
    series
        Names of the series, for the legend; empty with one.
    name
        A name from a file that follows the heading.
    """

    title: str
    told: str
    width: float
    height: float
    left: float
    top: float
    right: float
    bottom: float
    x_title: str
    y_title: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    bars: tuple[Bar, ...] = ()
    points: tuple[Point, ...] = ()
    curves: tuple[Curve, ...] = ()
    series: tuple[str, ...] = ()
    name: str = ""


@dataclass(frozen=True)
class Cell:
    """A cell of a matrix: its text, and how strongly it is shaded, 0 to 1."""

    text: str
    strength: float


@dataclass(frozen=True)
class Matrix:
    """A matrix of numbers; rows and columns have names."""

    title: str
    told: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: tuple[tuple[Cell, ...], ...]


def bar_chart(
    title: str, values: Mapping[str, float], x_title: str, *, low: float | None = 0.0
) -> Chart:
    """A horizontal bar with its number for each name.

    Parameters
    ----------
    title, x_title
        What it shows, and of what unit.
    values
        Name to number.
    low
        Where bars begin; None for a little below the least number.
    """
    height = TOP + BAR_STEP * max(1, len(values)) + BOTTOM
    right, bottom = WIDTH - 60, height - BOTTOM
    scale = Scale.around([*values.values()], LABEL_WIDTH, right, low=low)
    bars = tuple(
        Bar(
            LABEL_WIDTH, TOP + BAR_STEP * i + 4, round(scale.at(v) - LABEL_WIDTH, 2),
            BAR_STEP - 8, as_text(float(v)), name,
        )
        for i, (name, v) in enumerate(values.items())
    )  # fmt: skip
    return Chart(
        title, _told(title, x_title, values), WIDTH, height, LABEL_WIDTH, TOP, right, bottom,
        x_title, "", scale.ticks(5), (), bars=bars,
    )  # fmt: skip


def _told(title: str, unit: str, values: Mapping[str, float]) -> str:
    listed = ", ".join(f"{n} {as_text(float(v))}" for n, v in list(values.items())[:MOST_TOLD])
    more = f" and {len(values) - MOST_TOLD} more" if len(values) > MOST_TOLD else ""
    return f"{title}, {unit}: {listed}{more}."


def histogram(
    title: str, values: Sequence[float], x_title: str, *, things: str = "cases", bins: int = 20,
    low: float | None = None, high: float | None = None, name: str = "",
) -> Chart:  # fmt: skip
    """How many of some numbers lie where.

    Parameters
    ----------
    title, x_title
        What it shows, and of what unit.
    values
        The numbers.
    things
        What is counted.
    bins
        How many bars at most.
    low, high
        Ends of the axis, by default those of the numbers.
    name
        A name from a file that the heading ends with.
    """
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    known = [float(v) for v in values if math.isfinite(v)]
    x = Scale.around(known, LEFT, right, low=low, high=high)
    counts, edges = np.histogram(known, min(bins, max(5, len(known))), (x.low, x.high))
    y = Scale(0, max(1, int(counts.max())), bottom, TOP)
    bars = tuple(
        Bar(
            x.at(a) + 0.5, y.at(n), round(x.at(b) - x.at(a) - 1, 2), round(bottom - y.at(n), 2),
            f"{as_text(float(a))} to {as_text(float(b))}: {n} {things}",
        )
        for n, a, b in zip(counts, edges[:-1], edges[1:], strict=True)
        if n
    )  # fmt: skip
    middle = f"; median {as_text(float(np.median(known)))}" if known else ""
    told = f"{title} {name}".rstrip() + (
        f": {len(known)} {things} from {as_text(x.low)} to {as_text(x.high)}{middle}."
    )
    whole = tuple(tick for tick in y.ticks(5) if "." not in tick.label)
    return Chart(
        title, told, WIDTH, HEIGHT, LEFT, TOP, right, bottom, x_title, things, x.ticks(), whole,
        bars=bars, name=name,
    )  # fmt: skip


def scatter(
    title: str, series: Mapping[str, Sequence[Place]], x_title: str, y_title: str, *,
    log_x: bool = False, log_y: bool = False, told: str = "", level: float | None = None,
) -> Chart:  # fmt: skip
    """Points of one series or several.

    Parameters
    ----------
    title, x_title, y_title
        What it shows, and of what units.
    series
        Name to its points.
    log_x, log_y
        Whether axes are logarithmic.
    told
        The content in a sentence; by default how many points there are.
    level
        A number of the second axis at which a line for comparison runs.
    """
    return _plot(title, series, x_title, y_title, log_x, log_y, told, level=level, joined=False)


def line_chart(
    title: str, series: Mapping[str, Sequence[Place]], x_title: str, y_title: str, *,
    log_x: bool = False, log_y: bool = False, told: str = "", diagonal: bool = False,
    unit: bool = False,
) -> Chart:  # fmt: skip
    """Points of one series or several, joined by lines in the given order.

    Parameters
    ----------
    title, series, x_title, y_title, log_x, log_y, told
        As for `scatter`.
    diagonal
        Whether a line for comparison runs from corner to corner, as in reliability diagrams.
    unit
        Whether both axes run from 0 to 1.
    """
    return _plot(
        title, series, x_title, y_title, log_x, log_y, told, diagonal=diagonal, unit=unit,
        joined=True,
    )  # fmt: skip


def _plot(
    title: str, series: Mapping[str, Sequence[Place]], x_title: str, y_title: str, log_x: bool,
    log_y: bool, told: str, *, joined: bool, diagonal: bool = False, unit: bool = False,
    level: float | None = None,
) -> Chart:  # fmt: skip
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    every = [place for places in series.values() for place in places]
    ends = {"low": 0.0, "high": 1.0} if unit else {}
    levels = [] if level is None else [level]
    y = Scale.around([*(p.y for p in every), *levels], bottom, TOP, log=log_y, **ends)
    left = max(LEFT, 28 + LETTER * max(len(tick.label) for tick in y.ticks()))
    x = Scale.around([p.x for p in every], left, right, log=log_x, **ends)
    drawn = [
        (i, p) for i, places in enumerate(series.values()) for p in places if _is_drawn(p, x, y)
    ]
    points = tuple(
        Point(x.at(p.x), y.at(p.y), i % SERIES, f"{p.name} ({as_text(p.x)}, {as_text(p.y)})")
        for i, p in drawn
    )
    curves = [Curve(f"M{left} {bottom}L{right} {TOP}", -1)] if diagonal else []
    curves += [Curve(f"M{left} {y.at(v)}H{right}", -1) for v in levels]
    if joined:
        curves += [
            Curve(_joined([(x.at(p.x), y.at(p.y)) for j, p in drawn if j == i]), i % SERIES)
            for i in range(len(series))
        ]
    return Chart(
        title, told or f"{title}: {len(points)} points.", WIDTH, HEIGHT, left, TOP, right, bottom,
        x_title, y_title, x.ticks(), y.ticks(), points=points, curves=tuple(curves),
        series=tuple(series) if len(series) > 1 else (),
    )  # fmt: skip


def _is_drawn(place: Place, x: Scale, y: Scale) -> bool:
    return all(
        math.isfinite(v) and (v > 0 or not scale.log) for v, scale in ((place.x, x), (place.y, y))
    )


def _joined(places: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in places) if places else ""


def matrix(
    title: str, rows: Sequence[str], columns: Sequence[str],
    values: Sequence[Sequence[float | None]], *, low: float = 0.0, high: float = 1.0,
    digits: int = 3, told: str = "",
) -> Matrix:  # fmt: skip
    """Numbers of rows and columns, each written and shaded.

    Parameters
    ----------
    title
        What it shows.
    rows, columns
        Their names.
    values
        A list for each row; None is an empty cell.
    low, high
        Numbers without shade and with all of it.
    digits
        Significant digits.
    told
        The content in a sentence.
    """
    cells = tuple(
        tuple(
            Cell(as_text(v, digits), 0.0)
            if v is None
            else Cell(as_text(float(v), digits), _strength(v, low, high))
            for v in line
        )
        for line in values
    )
    told = told or f"{title}: {len(rows)} rows, {len(columns)} columns."
    return Matrix(title, told, tuple(rows), tuple(columns), cells)


def _strength(value: float, low: float, high: float) -> float:
    if not high > low or not math.isfinite(value):
        return 0.0
    return round(min(max((value - low) / (high - low), 0.0), 1.0), 2)
