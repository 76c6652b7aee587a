"""The picture of ``softlab tune``: error against the amount of smoothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softlab_cli.core.extras import require
from softlab_cli.core.text import shown
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.store.files import system_errors
from softlab_cli.tuning.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_tuning"]

AMOUNTS = {
    "sigma_voxels": "sigma (voxels)",
    "sigma_mm": "sigma (mm)",
    "smoothing": "smoothing (alpha)",
}
"""Parameters that say how much is smoothed, and what is written below their axis."""

ROWS = {"others": "n-1 raters", "one": "one rater"}
INCHES = (4.2, 3.4)
DASHES = ("--", ":", "-.")

Entry = Mapping[str, Any]


def draw_tuning(summary: Summary, out: Path) -> None:
    """Draw the figure that the best was chosen by: a row for n-1 raters, and for one.

    A column for each kind of amount; a line for each method with otherwise the same
    parameters; settings without an amount are lines from side to side.

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
    with require("matplotlib", extra="plot", problem="tune.png needs matplotlib."):
        from matplotlib.figure import Figure
    content = summary.content
    alone = content["one_rater_only"]
    tried = [t for t in content["tried"] if t["of"] == "one" or not alone]
    amounts = [a for a in AMOUNTS if any(a in t["parameters"] for t in tried)] or [""]
    rows = ["one"] if alone else list(ROWS)
    figure = Figure(
        figsize=(INCHES[0] * len(amounts) + 0.5, INCHES[1] * len(rows) + 0.3), layout="constrained"
    )
    axes = figure.subplots(len(rows), len(amounts), squeeze=False, sharey="row")
    values = _moved(content) if alone else _figures(content)
    for row, of in enumerate(rows):
        mine = [t for t in tried if t["of"] == of]
        for column, amount in enumerate(amounts):
            axis = axes[row, column]
            _draw(axis, mine, amount, values)
            axis.set(xlabel=AMOUNTS.get(amount, ""), title=ROWS[of])
        axes[row, 0].set_ylabel("moved, of the foreground" if alone else content["metric"])
    partial = out.with_name(f".{out.name}.{os.getpid()}.png")
    with system_errors(out, "written"):
        figure.savefig(partial, dpi=120)
        os.replace(partial, out)


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
            colour, style = f"C{(len(lines) + number) % 10}", DASHES[number % len(DASHES)]
            axis.axhline(entry["value"], color=colour, linewidth=1, linestyle=style,
                         label=shown(one["setting"]))  # fmt: skip
    if amount and lines:
        axis.set_xscale("log")
        ticks = sorted({point[0] for points in lines.values() for point in points})
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
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
