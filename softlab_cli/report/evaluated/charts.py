"""Reliability diagrams, and histograms of confidence."""

from __future__ import annotations

import math
from collections.abc import Mapping

from softlab_cli.evaluation.metrics.calibration import Reliability
from softlab_cli.evaluation.metrics.regions import BIASED
from softlab_cli.report.page.charts import Chart, Place, line_chart
from softlab_cli.report.page.tables import as_text

__all__ = ["reliability_charts"]

MOST_RUNS = 8
"""Runs that look different in a chart."""


def reliability_charts(diagrams: Mapping[tuple[str, str], Reliability]) -> list[Chart]:
    """For each region the reliability of all runs, and how their votes share among the bins.

    Parameters
    ----------
    diagrams
        Run and region to the reliability of the most probable class.
    """
    charts = []
    for region in dict.fromkeys(region for _, region in diagrams):
        of_run = {run: one for (run, name), one in diagrams.items() if name == region}
        shown = dict(list(of_run.items())[:MOST_RUNS])
        charts += [_reliability(region, shown), _confidences(region, shown)]
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


def _confidences(region: str, of_run: Mapping[str, Reliability]) -> Chart:
    """Share of the votes in each bin, as steps on a logarithmic axis: most lie in the last."""
    series = {}
    for run, one in of_run.items():
        count = one.bin_count
        series[run] = [
            Place(x, float(share), f"bin {bin_number + 1} of {count}")
            for bin_number, share in enumerate(one.share())
            if share > 0
            for x in (bin_number / count, (bin_number + 1) / count)
        ]
    told = "; ".join(
        f"{run}: {as_text(100 * float(one.share()[-1]))} % of the votes lie in the last bin"
        for run, one in of_run.items()
        if one.votes
    )
    return line_chart(
        f"Histogram of confidence, region {region}", series, "confidence", "share of the votes",
        told=f"Histogram of confidence in region {region}. {told}.", log_y=True,
    )  # fmt: skip
