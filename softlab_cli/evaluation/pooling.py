"""Calibration of a run, pooled over cases: figures with intervals, and their differences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.entries import named, of_interval, plain
from softlab_cli.evaluation.figures import Key
from softlab_cli.evaluation.metrics.calibration import Reliability, reliability
from softlab_cli.evaluation.metrics.tallies import ALL, Counts
from softlab_cli.evaluation.metrics.temperature import CrossFit, Tempering, cross_fitted, tempering
from softlab_cli.evaluation.request import EvaluationRequest
from softlab_cli.evaluation.results import Kept
from softlab_cli.evaluation.settings import Settings
from softlab_cli.evaluation.soft_figures import soft_figures
from softlab_cli.evaluation.statistics import Resampling
from softlab_cli.evaluation.sums import Sums, adaptive_sums, edges_of, figures_of, sums_of

__all__ = ["CROSS_FITTED", "Pool"]

CROSS_FITTED = "nll_cross_fitted"
"""The NLL after temperatures that were found on other patients."""

WITHOUT_INTERVAL = ("votes", "clipped_votes")


@dataclass(frozen=True)
class Pool:
    """The counts of a run, added up over cases, and what draws of cases need.

    Parameters
    ----------
    run
        The run.
    counts
        Of all cases.
    bins
        Region to the reliability over all cases.
    sums
        Region to what each case adds, with a first axis of all cases; nothing of a case
        without counts is all 0.
    there
        (cases,) whether a case has counts.
    tempers
        Case to what temperatures are found from.
    groups
        Case to patient.
    """

    run: str
    counts: Counts
    bins: Mapping[str, Reliability]
    sums: Mapping[str, Sums]
    there: NDArray[np.bool_]
    tempers: Mapping[str, Tempering]
    groups: Mapping[str, str]

    @classmethod
    def of(
        cls, run: str, kept: Sequence[Kept], case_ids: Sequence[str], request: EvaluationRequest
    ) -> Pool | None:
        """Read the counts of a run, one case after the other; None where there are none.

        Twice: what bins of equal count are is known once all have been added.
        """
        mine = {one.case_id: one for one in kept if one.run == run and one.has_counts}
        if not mine:
            return None
        settings = request.settings
        regions = (ALL, *settings.regions)
        pooled: Counts | None = None
        found: dict[str, dict[str, Sums]] = {region: {} for region in regions}
        bins: dict[str, Reliability] = {}
        tempers: dict[str, Tempering] = {}
        for case_id, counts in _read(mine):
            pooled = counts if pooled is None else pooled + counts
            for region in regions:
                tallies = counts.within(region)
                found[region][case_id] = sums_of(
                    tallies, settings.bins, temperatures=settings.temperatures,
                    ordered=settings.ordered,
                )  # fmt: skip
                part = reliability(tallies, settings.bins)
                bins[region] = bins[region] + part if region in bins else part
            if settings.temperatures:
                tempers[case_id] = tempering(counts.within())
        assert pooled is not None
        edges = {region: edges_of(pooled.within(region), settings.bins) for region in regions}
        for case_id, counts in _read(mine):
            for region in regions:
                more = adaptive_sums(counts.within(region), edges[region])
                found[region][case_id] = {**found[region][case_id], **more}
        sums = {region: _side_by_side(of_case, case_ids) for region, of_case in found.items()}
        there = np.array([case_id in mine for case_id in case_ids])
        groups = {c: request.groups.get(c, c) for c in case_ids}
        return cls(run, pooled, bins, sums, there, tempers, groups)

    def figures(
        self, classes: ClassTable, draw: Resampling, settings: Settings
    ) -> list[dict[str, Any]]:
        """Pooled figures with intervals over cases."""
        ours = Settings(
            settings.tolerances_mm, settings.bins, settings.regions,
            temperatures=settings.temperatures, ordered=settings.ordered,
        )  # fmt: skip
        rows = soft_figures(self.counts, classes.names, classes.background_index, (), ALL, ours)
        drawn = self.drawn(classes, draw, settings.ordered, self.there)
        found = []
        for row in rows:
            key = (row.class_name, row.region, row.metric)
            low, high = math.nan, math.nan
            if key in drawn and math.isfinite(row.value):
                low, high = draw.bounds(drawn[key][1:], self.there)
            found.append(
                named(self.run, key)
                | {"value": plain(row.value), "low": plain(low), "high": plain(high)}
                | {"left_out": row.left_out}
            )
        return found + self._after(drawn, draw)

    def _after(
        self, drawn: Mapping[Key, NDArray[np.float64]], draw: Resampling
    ) -> list[dict[str, Any]]:
        """The cross-fitted NLL, a figure of all cases together that no case has alone."""
        key = (ALL, ALL, CROSS_FITTED)
        if key not in drawn or not math.isfinite(drawn[key][0]):
            return []
        low, high = draw.bounds(drawn[key][1:], self.there)
        of_all = {"value": plain(drawn[key][0]), "low": plain(low), "high": plain(high)}
        return [named(self.run, key) | of_all | {"left_out": ""}]

    def drawn(
        self, classes: ClassTable, draw: Resampling, ordered: bool, used: NDArray[np.bool_]
    ) -> dict[Key, NDArray[np.float64]]:
        """Each figure of all cases, and then of each draw of them.

        Parameters
        ----------
        classes
            The class table.
        draw
            What draws cases.
        ordered
            Whether there is a ranked probability score.
        used
            (cases,) which of them count.
        """
        found: dict[Key, NDArray[np.float64]] = {}
        for region, sums in self.sums.items():
            parts = [
                figures_of(
                    added, classes.names, foreground=classes.background_index == 0, ordered=ordered
                )
                for added in draw.added(sums, used)
            ]
            for title, _, metric in parts[0]:
                joined = np.concatenate([part[title, "", metric] for part in parts])
                found[title, region, metric] = joined
        if self._cross_fit is not None:
            found[ALL, ALL, CROSS_FITTED] = self._drawn_after(self._cross_fit, draw, used)
        return found

    def differences(
        self, baseline: Pool, classes: ClassTable, draw: Resampling, ordered: bool
    ) -> Iterator[dict[str, Any]]:
        """Run minus baseline, over the cases that both have, each draw the same for both."""
        used = self.there & baseline.there
        if not used.any():
            return
        ours = self.drawn(classes, draw, ordered, used)
        theirs = baseline.drawn(classes, draw, ordered, used)
        for key in (key for key in ours if key in theirs):
            found = draw.difference_of_drawn(ours[key] - theirs[key], used)
            if math.isfinite(found.value):
                yield named(self.run, key) | of_interval(found)

    @cached_property
    def _cross_fit(self) -> CrossFit | None:
        """Temperatures that were fitted on other patients; None where there is one of them."""
        if len({self.groups[case] for case in self.tempers}) < 2:
            return None
        return cross_fitted(self.tempers, self.groups)

    def _drawn_after(
        self, found: CrossFit, draw: Resampling, used: NDArray[np.bool_]
    ) -> NDArray[np.float64]:
        """The NLL after those temperatures, which stay what they are: of all cases, then draws."""
        votes = np.array([self.tempers[c].votes if c in self.tempers else 0 for c in self.groups])
        nll = np.array([found.nll.get(case, 0.0) for case in self.groups])
        sums = {"nll": np.where(votes > 0, nll, 0.0) * votes, "votes": votes.astype(np.float64)}
        parts = []
        for added in draw.added(sums, used):
            with np.errstate(invalid="ignore"):  # a draw without a vote
                parts.append(added["nll"] / added["votes"])
        return np.concatenate(parts)

    def crossed(self) -> list[dict[str, Any]]:
        """The temperatures of other patients, and the NLL after them; nothing of one patient."""
        found = self._cross_fit
        if found is None:
            return []
        temperatures = sorted({t for t in found.temperature.values() if t == t})
        return [{"run": self.run, "nll": plain(found.pooled_nll), "temperatures": temperatures}]


def _read(kept: Mapping[str, Kept]) -> Iterator[tuple[str, Counts]]:
    for case_id, one in kept.items():
        counts = one.counts()
        if counts is not None:
            yield case_id, counts


def _side_by_side(of_case: Mapping[str, Sums], case_ids: Sequence[str]) -> Sums:
    """Arrays with a first axis of all cases."""
    example = next(iter(of_case.values()))
    found = {name: np.zeros((len(case_ids), *part.shape)) for name, part in example.items()}
    for place, case_id in enumerate(case_ids):
        for name, part in of_case.get(case_id, {}).items():
            found[name][place] = part
    return found
