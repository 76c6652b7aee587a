"""All cases together: means with intervals, pooled calibration, differences between runs."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import natural_order
from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.figures import Figures, Key, values_of
from softlab_cli.evaluation.metrics.calibration import Reliability, reliability
from softlab_cli.evaluation.metrics.scores import brier, nll
from softlab_cli.evaluation.metrics.tallies import ALL, Counts
from softlab_cli.evaluation.metrics.temperature import Tempering, cross_fitted, tempering
from softlab_cli.evaluation.oddities import one_sided, warnings_of
from softlab_cli.evaluation.request import EvaluationRequest
from softlab_cli.evaluation.results import Kept
from softlab_cli.evaluation.rows import MEAN
from softlab_cli.evaluation.settings import Settings
from softlab_cli.evaluation.soft_figures import soft_figures
from softlab_cli.evaluation.statistics import Difference, Interval, Resampling, holm

__all__ = ["Summary", "summarise"]

HIGHER = {"dice", "iou", "surface_dice", "soft_dice", "semimetric_dice", "consensus_dice",
          "dissensus_dice", "thresholded_dice"}  # fmt: skip
LOWER = {"ece", "ece_over_raters", "mce", "sce", "ace", "tace", "brier", "nll", "rps", "ged",
         "crps_empirical", "crps_gaussian", "hausdorff", "hausdorff_95", "assd"}  # fmt: skip
"""Metrics, without their units, of which more, or less, is better; no other is called so."""

SURE = 0.05
"""A difference is called one where its corrected p is below, and its interval leaves 0 out."""


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
    """

    content: Mapping[str, Any]
    diagrams: Mapping[tuple[str, str], Reliability] = field(default_factory=dict)


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
    for run in runs:
        found = _Pool.of(run, kept, case_ids, request)
        if found.counts is not None:
            pooled += found.figures(run, classes, draw, request.settings)
            crossed += found.crossed(run)
            diagrams |= {(run, region): one for region, one in found.pooled_bins().items()}
    baseline = request.baseline if request.baseline in values else None
    content = {
        "cases": case_ids,
        "patients": len(set(groups)),
        "grouped": bool(request.groups),
        "runs": runs,
        "classes": classes.to_json(),
        "settings": request.settings.to_json(),
        "baseline": baseline,
        "means": [entry for run in runs for entry in _means(run, values[run], draw)],
        "pooled": pooled,
        "cross_fitted": crossed,
        "differences": _differences(values, baseline, draw) if baseline else [],
        "soft_references": any(one.options["shares"] for one in kept),
        "one_sided": [side for run in runs for side in one_sided(run, values[run], classes.names)],
        "warnings": warnings_of(kept, several=len(request.runs) > 1),
        "failed": [{"case": case, "reason": reason} for case, reason in failed.items()],
        "missing": list(missing),
    }
    return Summary(content, diagrams)


def _means(run: str, values: Mapping[Key, Figures], draw: Resampling) -> list[dict[str, Any]]:
    return [
        _named(run, key)
        | _of_interval(draw.mean(figures.values))
        | {"left_out": dict(figures.left_out)}
        for key, figures in values.items()
    ]


def _named(run: str, key: Key) -> dict[str, Any]:
    class_name, region, metric = key
    return {"run": run, "class": class_name, "region": region, "metric": metric}


def _of_interval(found: Interval | Difference) -> dict[str, Any]:
    return {
        "value": plain(found.value), "low": plain(found.low), "high": plain(found.high),
        "cases": found.cases,
    }  # fmt: skip


def plain(value: float) -> float | None:
    """A number as JSON has it; None for one that is none."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True)
class _Pool:
    """The counts of a run, added up over cases, and what intervals and halves need of each.

    Parameters
    ----------
    counts
        Of all cases; None where all are label maps.
    bins
        Region to case to its reliability.
    scores
        Region to case to (Brier, NLL) sums over votes, and the votes.
    tempers
        Case to what temperatures are found from.
    case_ids, groups
        All cases, and whom they belong to.
    """

    counts: Counts | None
    bins: Mapping[str, Mapping[str, Reliability]]
    scores: Mapping[str, Mapping[str, tuple[float, float, float]]]
    tempers: Mapping[str, Tempering]
    case_ids: Sequence[str]
    groups: Mapping[str, str]

    @classmethod
    def of(
        cls, run: str, kept: Sequence[Kept], case_ids: Sequence[str], request: EvaluationRequest
    ) -> _Pool:
        """Read the counts of a run, one case after the other."""
        regions = (ALL, *request.settings.regions)
        pooled: Counts | None = None
        bins: dict[str, dict[str, Reliability]] = {region: {} for region in regions}
        scores: dict[str, dict[str, tuple[float, float, float]]] = {r: {} for r in regions}
        tempers: dict[str, Tempering] = {}
        for one in (one for one in kept if one.run == run):
            counts = one.counts()
            if counts is None:
                continue
            pooled = counts if pooled is None else pooled + counts
            for region in regions:
                tallies = counts.within(region)
                votes = tallies.votes
                bins[region][one.case_id] = reliability(tallies, request.settings.bins)
                sums = (brier(tallies) * votes, nll(tallies) * votes) if votes else (0.0, 0.0)
                scores[region][one.case_id] = (*sums, float(votes))
            if request.settings.temperatures:
                tempers[one.case_id] = tempering(counts.within())
        groups = {c: request.groups.get(c, c) for c in case_ids}
        return cls(pooled, bins, scores, tempers, case_ids, groups)

    def pooled_bins(self) -> dict[str, Reliability]:
        """Region to the reliability over all cases."""
        found = {}
        for region, of_case in self.bins.items():
            parts = list(of_case.values())
            found[region] = sum(parts[1:], parts[0])
        return found

    def figures(
        self, run: str, classes: ClassTable, draw: Resampling, settings: Settings
    ) -> list[dict[str, Any]]:
        """Pooled figures; with intervals, where those follow from sums over cases."""
        assert self.counts is not None
        ours = Settings(
            settings.tolerances_mm, settings.bins, settings.regions,
            temperatures=settings.temperatures, ordered=settings.ordered,
        )  # fmt: skip
        rows = soft_figures(self.counts, classes.names, classes.background_index, (), ALL, ours)
        found = []
        for row in rows:
            key = (row.class_name, row.region, row.metric)
            interval = self._interval(row.region, row.metric, draw) if key[0] == ALL else None
            bounds = (math.nan, math.nan) if interval is None else (interval.low, interval.high)
            found.append(
                _named(run, key)
                | {"value": plain(row.value), "low": plain(bounds[0]), "high": plain(bounds[1])}
                | {"left_out": row.left_out}
            )
        return found

    def _interval(self, region: str, metric: str, draw: Resampling) -> Interval | None:
        if metric in ("ece", "overconfidence"):
            return draw.pooled(self._gaps(region), _ece if metric == "ece" else _signed)
        if metric in ("brier", "nll"):
            nothing = (0.0, 0.0, 0.0)
            sums = np.array([self.scores[region].get(c, nothing) for c in self.case_ids])
            column = 0 if metric == "brier" else 1
            return draw.pooled(sums[:, [column, 2]], _ratio)
        return None

    def _gaps(self, region: str) -> NDArray[np.float64]:
        """(cases, 2, bins) confidence minus accuracy summed over votes, and votes."""
        count = next(iter(self.bins[region].values())).bin_count
        found = np.zeros((len(self.case_ids), 2, count))
        for place, case_id in enumerate(self.case_ids):
            if (one := self.bins[region].get(case_id)) is not None:
                found[place] = [float(gap) for gap in one.gaps()], one.count
        return found

    def crossed(self, run: str) -> list[dict[str, Any]]:
        """The NLL after temperatures that were fitted on other cases; nothing of one patient."""
        if len({self.groups[c] for c in self.tempers}) < 2:
            return []
        found = cross_fitted(self.tempers, self.groups)
        return [
            {
                "run": run, "nll": plain(found.pooled_nll),
                "temperatures": sorted({t for t in found.temperature.values() if t == t}),
            }
        ]  # fmt: skip


def _ece(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    return _divided(np.abs(gaps[:, 0]).sum(axis=-1), gaps[:, 1].sum(axis=-1))


def _signed(gaps: NDArray[np.float64]) -> NDArray[np.float64]:
    return _divided(gaps[:, 0].sum(axis=-1), gaps[:, 1].sum(axis=-1))


def _ratio(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    return _divided(sums[:, 0], sums[:, 1])


def _divided(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full(len(a), np.nan)
    np.divide(a, b, out=found, where=b > 0)
    return found


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
                entries.append(_named(run, key) | _of_interval(found) | tests | verdict)
    return entries


def _verdict(metric: str, found: Difference) -> str:
    """What may be said; nothing is better whose interval holds 0, or that may be chance."""
    if not (found.differs and found.p_holm < SURE):
        return "no difference shown"
    name = re.sub(r"(_[0-9.]+)?_?mm[23]?$", "", metric)
    sign = 1 if name in HIGHER else -1 if name in LOWER else 0
    if not sign:
        return "higher" if found.value > 0 else "lower"
    return "better" if found.value * sign > 0 else "worse"
