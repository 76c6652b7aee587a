"""The pictures of ``softlab tune``: error against the amount of smoothing, and the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import numpy as np

from softlab_cli.core.extras import require
from softlab_cli.core.text import shown
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.store.files import written_whole
from softlab_cli.tuning.summary import Summary
from softlab_cli.tuning.views import SideBySide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_settings", "draw_tuning", "tuning_figure"]

AMOUNTS = {
    "sigma_voxels": "sigma (voxels)",
    "sigma_mm": "sigma (mm)",
    "smoothing": "smoothing (alpha)",
}
"""Parameters that say how much is smoothed, and what is written below their axis."""

ROWS = {"others": "n-1 raters", "one": "one rater"}
INCHES = (4.2, 3.4)
SIDE, ACROSS = 2.2, 5
"""Inches of a slice, and slices in a row."""

FLAT_COLOURS = 5
"""The first colour of settings without an amount, the same in all panels."""

DASHES = ("--", ":", "-.")

Entry = Mapping[str, Any]


def draw_tuning(summary: Summary, out: Path) -> None:
    """Draw the figure that the best was chosen by: a row for n-1 raters, and for one.

    A panel for each kind of amount that there is; a line for each method with otherwise the
    same parameters; settings without an amount are lines from side to side.

    Parameters
    ----------
    summary
        What `softlab_cli.tuning.run.tune` returned.
    out
        The picture.

    Raises
    ------
    PackageError
        Without matplotlib.
    StoreError
        When the picture cannot be written.
    """
    _save(tuning_figure(summary.content), out)


def tuning_figure(content: Entry) -> Figure:
    """What `draw_tuning` draws, of ``summary.json``.

    Raises
    ------
    PackageError
        Without matplotlib.
    """
    with require("matplotlib", extra="plot", problem="tune.png needs matplotlib."):
        from matplotlib.figure import Figure
    alone = content["one_rater_only"]
    rows = ["one"] if alone else list(ROWS)
    tried = {of: [t for t in content["tried"] if t["of"] == of] for of in rows}
    panels = {of: _amounts(mine) for of, mine in tried.items()}
    columns = max(map(len, panels.values()))
    figure = Figure(
        figsize=(INCHES[0] * columns + 0.5, INCHES[1] * len(rows) + 0.3), layout="constrained"
    )
    axes = figure.subplots(len(rows), columns, squeeze=False, sharey="row")
    values = _moved(content) if alone else _figures(content)
    for row, of in zip(axes, rows, strict=True):
        for axis, amount in zip(row, panels[of], strict=False):
            _draw(axis, tried[of], amount, values)
            axis.set(xlabel=AMOUNTS.get(amount, ""), title=ROWS[of])
        for axis in row[len(panels[of]) :]:
            axis.set_axis_off()
        row[0].set_ylabel("moved, of the foreground" if alone else content["metric"])
    return figure


def _amounts(tried: Sequence[Entry]) -> list[str]:
    """Amounts that any of these settings has; without any, one panel of flat lines."""
    return [a for a in AMOUNTS if any(a in t["parameters"] for t in tried)] or [""]


def draw_settings(shown_: SideBySide, out: Path) -> None:
    """Draw what each setting does to a slice: what it takes from the voxels' own classes.

    Parameters
    ----------
    shown_
        The slice.
    out
        The picture.

    Raises
    ------
    PackageError
        Without matplotlib.
    StoreError
        When the picture cannot be written.
    """
    with require("matplotlib", extra="plot", problem="settings.png needs matplotlib."):
        from matplotlib.figure import Figure
    count = len(shown_.moved)
    columns = min(ACROSS, count)
    rows = -(-count // columns)
    figure = Figure(figsize=(SIDE * columns + 0.8, SIDE * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    aspect = shown_.pixel_mm[0] / shown_.pixel_mm[1]
    image = None
    for axis in axes.flat:
        axis.set_axis_off()
    for axis, (name, moved) in zip(axes.flat, shown_.moved.items(), strict=False):
        image = axis.imshow(moved, vmin=0, vmax=0.5, cmap="magma", aspect=aspect,
                            interpolation="nearest")  # fmt: skip
        for index in np.unique(shown_.labels)[1:]:
            axis.contour(shown_.labels == index, [0.5], colors="white", linewidths=0.5)
        axis.set_title("\n".join(wrap(shown(name), 28)), fontsize=7)
    if image is not None:
        figure.colorbar(image, ax=axes, shrink=0.6, label="taken from the own class")
    figure.suptitle(f"{shown(shown_.case_id)}, slice {shown_.z}", fontsize=9)
    _save(figure, out)


def _save(figure: Figure, out: Path) -> None:
    with written_whole(out) as partial:
        figure.savefig(partial, dpi=120, format="png")


def _figures(content: Entry) -> dict[tuple[str, str], Entry]:
    return {
        (e["of"], e["setting"]): e
        for e in content["figures"]
        if e["class"] == ALL and e["metric"] == content["metric"] and e["value"] is not None
    }


def _moved(content: Entry) -> dict[tuple[str, str], Entry]:
    found = {(e["of"], e["setting"]): e["moved_of_foreground"] for e in content["moved"]}
    return {key: e for key, e in found.items() if e["value"] is not None}


def _draw(
    axis: Axes, tried: Sequence[Entry], amount: str, values: Mapping[tuple[str, str], Entry]
) -> None:
    lines = _lines(tried, amount, values)
    for number, (name, points) in enumerate(lines.items()):
        at, found = zip(*sorted(points, key=lambda point: point[0]), strict=True)
        middle = [e["value"] for e in found]
        # Without an interval (one patient) there is a point and no bar.
        bars = [[e["value"] - _or(e["low"], e["value"]) for e in found],
                [_or(e["high"], e["value"]) - e["value"] for e in found]]  # fmt: skip
        shift = 1 + 0.012 * (number - len(lines) / 2)  # bars side by side, on a logarithmic axis
        axis.errorbar([a * shift for a in at], middle, yerr=bars, marker="o", markersize=3,
                      linewidth=1, capsize=2, label=shown(name))  # fmt: skip
    flat = [t for t in tried if not any(a in t["parameters"] for a in AMOUNTS)]
    for number, one in enumerate(flat):
        entry = values.get((one["of"], one["setting"]))
        if entry is not None:
            colour = f"C{(FLAT_COLOURS + number) % 10}"
            axis.axhline(entry["value"], color=colour, linewidth=1, label=shown(one["setting"]),
                         linestyle=DASHES[number % len(DASHES)])  # fmt: skip
    if amount and lines:
        axis.set_xscale("log")
        ticks = sorted({point[0] for points in lines.values() for point in points})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        if len(ticks) == 1:  # the little that bars are apart would else be the whole width
            axis.set_xlim(ticks[0] / 2, ticks[0] * 2)
    if not amount:
        axis.set_xticks([])
    if axis.has_data():
        axis.legend(fontsize=6)


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _lines(
    tried: Sequence[Entry], amount: str, values: Mapping[tuple[str, str], Entry]
) -> dict[str, list[tuple[float, Entry]]]:
    """Settings that differ in the amount only, by what they have in common."""
    found: dict[str, list[tuple[float, Entry]]] = {}
    for one in tried:
        entry = values.get((one["of"], one["setting"]))
        if entry is not None and one["parameters"].get(amount):
            rest = " ".join(_said(one["method"], one["parameters"], amount))
            found.setdefault(rest, []).append((one["parameters"][amount], entry))
    return found


def _said(method: str, parameters: Mapping[str, Any], amount: str) -> Iterator[str]:
    yield method
    for name, value in parameters.items():
        if name != amount:
            yield name.replace("_", " ") if value is True else f"{name.replace('_', ' ')} {value}"
