"""Reliability diagrams, and histograms of confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from softlab_cli.evaluation.metrics.calibration import Reliability
from softlab_cli.evaluation.metrics.regions import BIASED
from softlab_cli.report.page.charts import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Bar,
    Chart,
    Place,
    line_chart,
)
from softlab_cli.report.page.scales import Scale
from softlab_cli.report.page.tables import as_text

__all__ = ["reliability_charts"]

MOST_RUNS = 8
"""Runs that look different in a chart."""


def reliability_charts(diagrams: Mapping[tuple[str, str], Reliability]) -> list[Chart]:
    """For each region the reliability of all runs, and for each run what its votes are like.

    Parameters
    ----------
    diagrams
        Run and region to the reliability of the most probable class.
    """
    charts = []
    for region in dict.fromkeys(region for _, region in diagrams):
        of_run = {run: one for (run, name), one in diagrams.items() if name == region}
        shown = dict(list(of_run.items())[:MOST_RUNS])
        charts.append(_reliability(region, shown))
        named = len(shown) > 1
        charts += [_confidence(region, run if named else "", one) for run, one in shown.items()]
    return charts


def _reliability(region: str, of_run: Mapping[str, Reliability]) -> Chart:
    series = {
        run: [
            Place(float(p), float(share), f"{as_text(float(votes))} votes")
            for p, share, votes in zip(
                one.mean_confidence(), one.mean_accuracy(), one.count, strict=True
            )
            if not math.isnan(p)
        ]
        for run, one in of_run.items()
    }
    told = "; ".join(
        f"{run}: ECE {as_text(one.expected())}, confidence minus accuracy {as_text(one.signed())}"
        for run, one in of_run.items()
    )
    biased = f" ({BIASED[region]})" if region in BIASED else ""
    return line_chart(
        f"Reliability, region {region}{biased}", series, "confidence", "share that is right",
        told=f"Reliability diagram of region {region}. {told}.", diagonal=True, unit=True,
    )  # fmt: skip


def _confidence(region: str, run: str, one: Reliability) -> Chart:
    """Share of the votes in each bin, on a logarithmic axis: most lie in the last."""
    count = one.bin_count
    shares = {i: float(share) for i, share in enumerate(one.share()) if share > 0}
    least = 10.0 ** math.floor(math.log10(min(shares.values(), default=0.1)) - 1e-9)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    x, y = Scale(0, 1, LEFT, right), Scale(least, 1, bottom, TOP, log=True)
    bars = tuple(
        Bar(
            x.at(i / count) + 0.5, y.at(share), round(x.at((i + 1) / count) - x.at(i / count), 2),
            round(bottom - y.at(share), 2),
            f"{as_text(i / count, 3)} to {as_text((i + 1) / count, 3)}: {as_text(share)}",
        )
        for i, share in shares.items()
    )  # fmt: skip
    told = "no votes"
    if shares:
        last = as_text(100 * shares.get(count - 1, 0.0))
        told = f"{one.votes} votes, {last} % of them in the last of {count} bins"
    title = f"Histogram of confidence, region {region}{',' if run else ''}"
    return Chart(
        title, f"{title} {run}".rstrip() + f": {told}.", WIDTH, HEIGHT, LEFT, TOP, right, bottom,
        "confidence", "share of the votes", x.ticks(), y.ticks(), bars=bars, name=run,
    )  # fmt: skip
