"""One figure of one case, as it stands in ``cases.csv``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from softlab_cli.evaluation.metrics.overlap import finite_mean
from softlab_cli.evaluation.metrics.tallies import ALL

__all__ = ["MEAN", "Row", "mean_of_classes", "mean_of_raters"]

MEAN = "mean"
"""In place of a class or a rater: the mean over them."""


class Row(NamedTuple):
    """A figure.

    Parameters
    ----------
    rater
        Whom the prediction is judged by: a rater, ``mean`` over raters, or ``pooled``.
    class_name
        The class, ``mean`` over the classes but background, or ``all`` for what has no class.
    region
        Where; see `softlab_cli.evaluation.metrics.regions`.
    metric, value
        What, and how much.
    left_out
        Why means over classes and cases leave it out: ``absent`` (nobody has the class),
        ``infinite`` or ``undefined``; empty where they do not.
    """

    rater: str
    class_name: str
    region: str
    metric: str
    value: float
    left_out: str = ""

    @classmethod
    def of(
        cls, rater: str, class_name: str, metric: str, value: float, *,
        region: str = ALL, absent: bool = False,
    ) -> Row:  # fmt: skip
        """A row that says itself whether it is left out of means."""
        reason = "undefined" if math.isnan(value) else "infinite" if math.isinf(value) else ""
        reason = "absent" if absent else reason
        return cls(rater, class_name, region, metric, float(value), reason)


def _mean(rows: Sequence[Row]) -> tuple[float, str]:
    value = finite_mean(math.nan if row.left_out else row.value for row in rows).value
    reasons = {row.left_out for row in rows}
    absent = "absent" if reasons == {"absent"} else "undefined"
    return value, absent if math.isnan(value) else ""


def mean_of_classes(rows: Iterable[Row]) -> Iterator[Row]:
    """The mean over classes of each rater, region and metric; classes left out are not in it."""
    for (rater, region, metric), group in _grouped(rows, lambda r: (r.rater, r.region, r.metric)):
        value, reason = _mean(group)
        yield Row(rater, MEAN, region, metric, value, reason)


def mean_of_raters(rows: Iterable[Row]) -> Iterator[Row]:
    """The mean over raters of each class, region and metric."""
    keys = _grouped(rows, lambda r: (r.class_name, r.region, r.metric))
    for (class_name, region, metric), group in keys:
        value, reason = _mean(group)
        if reason == "absent":  # what it is by convention, for whoever looks at the case
            value = finite_mean(row.value for row in group).value
        yield Row(MEAN, class_name, region, metric, value, reason)


def _grouped(rows: Iterable[Row], key: Any) -> Iterator[tuple[Any, list[Row]]]:
    """Rows by key, in the order in which keys occur first."""
    found = list(rows)
    place = {k: i for i, k in enumerate(dict.fromkeys(map(key, found)))}
    for k, group in groupby(sorted(found, key=lambda row: place[key(row)]), key):
        yield k, list(group)
