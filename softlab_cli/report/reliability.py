"""Reliability diagrams of an evaluation, with histograms of confidence below."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softlab_cli.core.extras import require
from softlab_cli.core.text import shown
from softlab_cli.evaluation.metrics.calibration import Reliability
from softlab_cli.evaluation.metrics.regions import BIASED
from softlab_cli.store.files import written_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_reliability"]

MOST_RUNS = 8
SIDE_INCHES = 3.2
GREY = "0.6"


def draw_reliability(diagrams: Mapping[tuple[str, str], Reliability], out: Path) -> None:
    """Draw confidence against accuracy: a row for each run, a column for each region.

    Parameters
    ----------
    diagrams
        Run and region to its reliability; one at least. The first eight runs are drawn.
    out
        The picture.

    Raises
    ------
    PackageError
        Without matplotlib.
    StoreError
        When the picture cannot be written.
    """
    with require("matplotlib", extra="plot", problem="reliability.png needs matplotlib."):
        from matplotlib.figure import Figure
    runs = list(dict.fromkeys(run for run, _ in diagrams))[:MOST_RUNS]
    regions = list(dict.fromkeys(region for _, region in diagrams))
    ratios = [3, 1] * len(runs)
    size = (SIDE_INCHES * len(regions) + 0.6, SIDE_INCHES * 1.5 * len(runs) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(
        2 * len(runs), len(regions), squeeze=False, sharex=True,
        gridspec_kw={"height_ratios": ratios},
    )  # fmt: skip
    for row, run in enumerate(runs):
        for column, region in enumerate(regions):
            upper, lower = axes[2 * row, column], axes[2 * row + 1, column]
            _draw(upper, lower, diagrams[run, region])
            biased = " (biased)" if region in BIASED else ""
            upper.set_title(f"{shown(run)}: {shown(region)}{biased}", fontsize=9)
            if column == 0:
                upper.set_ylabel("accuracy")
                lower.set_ylabel("share of votes")
            lower.set_xlabel("confidence")
    with written_whole(out) as partial:
        figure.savefig(partial, dpi=120, format="png")


def _draw(upper: Axes, lower: Axes, found: Reliability) -> None:
    edges = np.linspace(0, 1, found.bin_count + 1)
    middles, width = (edges[1:] + edges[:-1]) / 2, 1 / found.bin_count
    confidence, accuracy = found.mean_confidence(), found.mean_accuracy()
    upper.plot([0, 1], [0, 1], color=GREY, linewidth=1, linestyle="--")
    upper.bar(middles, np.nan_to_num(accuracy), width, color="tab:blue", alpha=0.35,
              edgecolor="tab:blue", linewidth=0.5)  # fmt: skip
    upper.plot(confidence, accuracy, "o", color="tab:blue", markersize=3)
    text = f"ECE {found.expected():.4f}\nMCE {found.largest():.4f}\nsign {found.signed():+.4f}"
    upper.text(0.04, 0.96, text, transform=upper.transAxes, va="top", fontsize=8)
    upper.set(xlim=(0, 1), ylim=(0, 1))
    lower.bar(middles, np.nan_to_num(found.share()), width, color=GREY, edgecolor="0.4",
              linewidth=0.5)  # fmt: skip
    # Most voxels are sure background, beside which the others would not be seen.
    least = min((share for share in found.share() if share > 0), default=0.1)
    bottom = 10 ** (math.ceil(math.log10(least)) - 1)
    lower.set(xlim=(0, 1), yscale="log", ylim=(bottom, 1))
    lower.tick_params(axis="y", which="minor", labelleft=False)
