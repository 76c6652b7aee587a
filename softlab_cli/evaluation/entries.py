"""Figures as ``summary.json`` has them."""

from __future__ import annotations

import math
from typing import Any

from softlab_cli.evaluation.figures import Key
from softlab_cli.evaluation.statistics import Difference, Interval

__all__ = ["named", "of_interval", "plain"]


def named(run: str, key: Key) -> dict[str, Any]:
    """What a figure is of."""
    class_name, region, metric = key
    return {"run": run, "class": class_name, "region": region, "metric": metric}


def of_interval(found: Interval | Difference) -> dict[str, Any]:
    """A figure with its interval, and the cases that it is over."""
    return {
        "value": plain(found.value), "low": plain(found.low), "high": plain(found.high),
        "cases": found.cases,
    }  # fmt: skip


def plain(value: float) -> float | None:
    """A number as JSON has it; None for one that is none."""
    return float(value) if math.isfinite(value) else None
