"""All cases together: means with intervals, pooled calibration, differences between runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.entries import named, of_interval, plain
from softlab_cli.evaluation.figures import Figures, Key, values_of
from softlab_cli.evaluation.metrics.calibration import Reliability
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.oddities import one_sided, warnings_of
from softlab_cli.evaluation.pooling import CROSS_FITTED, Pool
from softlab_cli.evaluation.request import EvaluationRequest
from softlab_cli.evaluation.results import Kept
from softlab_cli.evaluation.rows import MEAN
from softlab_cli.evaluation.statistics import Difference, Resampling, holm

__all__ = ["Summary", "summarise"]

HIGHER = {"dice", "iou", "surface_dice", "soft_dice", "semimetric_dice", "consensus_dice",
          "dissensus_dice", "thresholded_dice"}  # fmt: skip
LOWER = {"ece", "ece_over_raters", "mce", "sce", "ace", "tace", "brier", "nll", CROSS_FITTED,
         "rps", "ged", "crps_empirical", "crps_gaussian", "hausdorff", "hausdorff_95",
         "assd"}  # fmt: skip
"""Metrics, without their units, of which more, or less, is better; no other is called so."""

SURE = 0.05
"""A difference is called one where its corrected p is below, and its interval leaves 0 out."""

NOTHING = "no difference shown"
FEWEST_PATIENTS = 6
"""Of fewer no pooled difference is called one; Wilcoxon's test cannot show any, either."""


@dataclass(frozen=True)
class Summary:
    """What all cases say.

    Parameters
    ----------
    content
        All of it, ready for JSON: ``means``, ``pooled``, ``cross_fitted``, ``differences``,
        and what is not in them.
    diagrams
        Run and region to the reliability of the most probable class, pooled.
    kept
        The results of cases that it is of.
    """

    content: Mapping[str, Any]
    diagrams: Mapping[tuple[str, str], Reliability] = field(default_factory=dict)
    kept: Sequence[Kept] = ()


def summarise(
    request: EvaluationRequest, classes: ClassTable, kept: Sequence[Kept],
    failed: Mapping[str, str], missing: Sequence[str],
) -> Summary:  # fmt: skip
    """Sum up the results of cases.

    Parameters
    ----------
    request
        What was asked for.
    classes
        The class table.
    kept
        The results.
    failed
        Cases without results, and why.
    missing
        Those of them that lack a prediction or a reference.
    """
    case_ids = sorted({one.case_id for one in kept}, key=natural_order)
    groups = [request.groups.get(case_id, case_id) for case_id in case_ids]
    draw = Resampling(groups)
    runs = [run for run in request.runs if any(one.run == run for one in kept)]
    values = {run: values_of(run, kept, case_ids) for run in runs}
    pooled: list[dict[str, Any]] = []
    crossed: list[dict[str, Any]] = []
    diagrams: dict[tuple[str, str], Reliability] = {}
    pools: dict[str, Pool] = {}
    for run in runs:
        found = Pool.of(run, kept, case_ids, request)
        if found is not None:
            pools[run] = found
            pooled += found.figures(classes, draw, request.settings)
            crossed += found.crossed()
            diagrams |= {(run, region): one for region, one in found.bins.items()}
    baseline = request.baseline if request.baseline in values else None
    content = {
        "cases": case_ids,
        "patients": len(set(groups)),
        "grouped": bool(request.groups),
        "runs": runs,
        "classes": classes.to_json(),
        "settings": request.settings.to_json(),
        "baseline": baseline,
        "calibrations": {
            run: {"description": one.describe(), "digest": one.digest, "method": one.method}
            for run, one in request.calibrations.items()
        },
        "means": [entry for run in runs for entry in _means(run, values[run], draw)],
        "pooled": pooled,
        "cross_fitted": crossed,
        "differences": _differences(values, baseline, draw) if baseline else [],
        "pooled_differences": [
            entry | {"verdict": _pooled_verdict(entry, len(set(groups)))}
            for run, pool in pools.items()
            if baseline in pools and run != baseline
            for entry in pool.differences(pools[baseline], classes, draw, request.settings.ordered)
        ],
        "soft_references": any(one.options["shares"] for one in kept),
        "one_sided": [side for run in runs for side in one_sided(run, values[run], classes.names)],
        "warnings": warnings_of(kept, several=len(request.runs) > 1),
        "failed": [{"case": case, "reason": reason} for case, reason in failed.items()],
        "missing": list(missing),
    }
    return Summary(content, diagrams, tuple(kept))


def _means(run: str, values: Mapping[Key, Figures], draw: Resampling) -> list[dict[str, Any]]:
    return [
        named(run, key)
        | of_interval(draw.mean(figures.values))
        | {"left_out": dict(figures.left_out)}
        for key, figures in values.items()
    ]


def _differences(
    values: Mapping[str, Mapping[Key, Figures]], baseline: str, draw: Resampling
) -> list[dict[str, Any]]:
    """Run minus baseline, paired by case, with Holm's correction over classes."""
    entries = []
    base = values[baseline]
    for run in (run for run in values if run != baseline):
        families: dict[tuple[str, str, bool], dict[Key, Difference]] = {}
        for key, figures in values[run].items():
            if key not in base or key[2] == "votes":
                continue
            found = draw.difference(figures.values, base[key].values)
            whole = key[0] in (MEAN, ALL)
            families.setdefault((key[1], key[2], whole), {})[key] = found
        for family in families.values():
            for key, found in holm(family).items():
                tests = {"p": plain(found.p), "p_holm": plain(found.p_holm)}
                verdict = {"verdict": _verdict(key[2], found)}
                entries.append(named(run, key) | of_interval(found) | tests | verdict)
    return entries


def _verdict(metric: str, found: Difference) -> str:
    """What may be said; nothing is better whose interval holds 0, or that may be chance."""
    return _of_sign(metric, found.value) if found.differs and found.p_holm < SURE else NOTHING


def _pooled_verdict(entry: Mapping[str, Any], patients: int) -> str:
    """The same of a pooled difference, which has an interval and no test of its own."""
    low, high = entry["low"], entry["high"]
    shown = low is not None and (low > 0 or high < 0) and patients >= FEWEST_PATIENTS
    return _of_sign(entry["metric"], entry["value"]) if shown else NOTHING


def _of_sign(metric: str, value: float) -> str:
    name = re.sub(r"(_[0-9.]+)?_?mm[23]?$", "", metric)
    sign = 1 if name in HIGHER else -1 if name in LOWER else 0
    if not sign:
        return "higher" if value > 0 else "lower"
    return "better" if value * sign > 0 else "worse"
