"""The pictures of docs/STUDY.md: each arm and seed of a stage as a dot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from figures import COLUMNS, Judged, arms_of

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

SHOWN = ("NLL after T", "Brier", "ECE band", "Dice")
ROW_INCHES = 0.3
DOTS_PER_INCH = 75


def draw(seeds: Sequence[Judged], path: Path) -> None:
    """A panel for each figure.

    Parameters
    ----------
    seeds
        What was judged of a stage.
    path
        The PNG.
    """
    arms = arms_of(seeds)
    size = (11, ROW_INCHES * (len(arms) + 3))
    figure, axes = plt.subplots(1, len(SHOWN), layout="constrained", figsize=size)
    for panel, name in zip(axes, SHOWN, strict=True):
        draw_panel(panel, arms, seeds, name)
    for panel in axes[1:]:
        panel.tick_params(labelleft=False)
    figure.savefig(path, dpi=DOTS_PER_INCH, metadata={"Software": None})
    plt.close(figure)


def draw_panel(panel: Axes, arms: Sequence[str], seeds: Sequence[Judged], name: str) -> None:
    """A dot for each seed; the line is where the first arm has its mean."""
    of = dict(COLUMNS)[name]
    for place, arm in enumerate(arms):
        values = [of(one, arm) for one in seeds if arm in one.runs]
        panel.plot(values, [place] * len(values), "o", color="C0", markersize=4, alpha=0.7)
        if place == 0 and values:
            panel.axvline(sum(values) / len(values), color="grey", linewidth=0.8)
    panel.set_yticks(range(len(arms)), arms)
    panel.set_ylim(len(arms) - 0.5, -0.5)
    panel.set_title(name, fontsize=10)
    panel.locator_params(axis="x", nbins=4)
    panel.tick_params(labelsize=8)
