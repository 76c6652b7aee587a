"""All cases together: figures of each setting with intervals, the best one, what may be said."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.statistics import Interval, Resampling
from softlab_cli.tuning.command import command_of
from softlab_cli.tuning.grid import PLAIN, Of, Setting
from softlab_cli.tuning.measure import Moved
from softlab_cli.tuning.request import TuneRequest
from softlab_cli.tuning.results import Kept
from softlab_cli.tuning.votes import FIGURES

__all__ = ["Summary", "summarise"]

SUMS_ONLY = 3
"""Columns of `Votes.weighed` that are no bins."""

FEWEST_PATIENTS = 4
"""Of fewer, no half can choose for the other."""

Entry = dict[str, Any]


@dataclass(frozen=True)
class Summary:
    """What all cases say.

    Parameters
    ----------
    content
        All of it, ready for JSON: ``figures``, ``differences``, ``best``, ``held_out``,
        ``recommended``; with one rater ``moved``; and what is not in them.
    """

    content: Mapping[str, Any]


def summarise(
    request: TuneRequest, classes: ClassTable, kept: Sequence[Kept], failed: Mapping[str, str]
) -> Summary:
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
    """
    kept = sorted(kept, key=lambda one: natural_order(one.case_id))
    groups = [request.groups.get(one.case_id, one.case_id) for one in kept]
    alone = bool(kept[0].moved)
    settings = [s for s in request.settings if s.of == "one" or not alone]
    model = next(iter(request.model.values()), None)
    content: Entry = {
        "cases": [one.case_id for one in kept],
        "patients": len(set(groups)),
        "raters": sorted({len(one.raters) for one in kept}),
        "one_rater_only": alone,
        "models": {rater: str(folder) for rater, folder in request.model.items()},
        "classes": classes.to_json(),
        "metric": request.metric, "regions": request.regions, "bins": request.bins,
        "clip": request.clip,
        "tried": [
            {"of": s.of, "setting": s.name, **s.to_json(),
             "command": command_of(s, request.run, alone=alone, model=model)}
            for s in settings
        ],
        "nothing_counts": [one.case_id for one in kept if not one.voxels],
        "failed": [{"case": case, "reason": reason} for case, reason in failed.items()],
    }  # fmt: skip
    if alone:
        return Summary(content | {"moved": _moved(kept, settings, Resampling(groups))})
    return Summary(content | _Table.of(kept, settings, groups, request.metric).found(classes))


@dataclass(frozen=True)
class _Table:
    """What each setting's soft labels are worth in each case.

    Parameters
    ----------
    counts
        (cases, C + 1, 3 + 2 bins) of each setting; see `Votes.weighed`.
    groups
        Whom each case belongs to.
    draw
        Draws of them.
    metric
        What the best is chosen by.
    """

    counts: Mapping[Setting, NDArray[np.float64]]
    groups: Sequence[str]
    draw: Resampling
    metric: str

    @classmethod
    def of(
        cls, kept: Sequence[Kept], settings: Sequence[Setting], groups: Sequence[str], metric: str
    ) -> _Table:
        """What cases have kept."""
        counts = {s: np.stack([one.votes[s].weighed() for one in kept]) for s in settings}
        return cls(counts, groups, Resampling(groups), metric)

    def found(self, classes: ClassTable) -> Entry:
        """All that is said of it."""
        best = {of: self.best(of) for of in PLAIN}
        held = [entry for of in reversed(PLAIN) for entry in self.held_out(of)]
        differences = [entry for of in PLAIN for entry in self.differences(of, best[of])]
        found: dict[Of, Entry] = {}
        for of, setting in best.items():
            if setting is not None:
                found[of] = self._described(of, setting, differences)
        return {
            "figures": self.figures(classes), "differences": differences, "best": found,
            "held_out": held, "recommended": {of: entry["take"] for of, entry in found.items()},
        }  # fmt: skip

    def of_kind(self, of: Of) -> list[Setting]:
        """The settings of soft labels of one rater, or of all but one."""
        return [setting for setting in self.counts if setting.of == of]

    def figures(self, classes: ClassTable) -> list[Entry]:
        """Every figure of every setting, of all classes together and of each against the rest."""
        names = [ALL, *classes.names]
        return [
            {"of": s.of, "setting": s.name, "class": name, "metric": metric}
            | plain(self.interval(s, metric, row))
            for s in self.counts
            for row, name in enumerate(names)
            for metric in FIGURES
        ]

    def interval(self, setting: Setting, metric: str, row: int = 0) -> Interval:
        """One figure, pooled over cases."""
        counts = _needed(self.counts[setting][:, row], metric)
        return self._pooled(counts, FIGURES[metric])

    def difference(self, setting: Setting, other: Setting, metric: str) -> Interval:
        """Setting minus other, each pooled over cases; both on the same draws of them."""
        pair = [_needed(self.counts[one][:, 0], metric) for one in (setting, other)]
        figure = FIGURES[metric]
        counts = np.stack(pair, axis=1)
        return self._pooled(counts, lambda c: figure(c[:, 0]) - figure(c[:, 1]))

    def _pooled(
        self,
        counts: NDArray[np.float64],
        figure: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    ) -> Interval:
        """A figure of counts that are pooled over cases; nothing of a case is all 0."""
        there: NDArray[np.bool_] = np.any(counts.reshape(len(counts), -1) != 0, axis=1)
        added = self.draw.added({"counts": counts}, there)
        drawn = np.concatenate([figure(sums["counts"]) for sums in added])
        low, high = self.draw.bounds(drawn[1:], there)
        return Interval(float(drawn[0]), low, high, int(there.sum()))

    def best(self, of: Of) -> Setting | None:
        """The setting of the least figure; the first of several, None where nothing counts."""
        values = {s: self.interval(s, self.metric).value for s in self.of_kind(of)}
        there = {s: value for s, value in values.items() if math.isfinite(value)}
        return min(there, key=lambda s: there[s]) if there else None

    def differences(self, of: Of, best: Setting | None) -> list[Entry]:
        """Every setting minus the plain one, and minus the best."""
        found = []
        for to, other in (("plain", PLAIN[of]), ("best", best)):
            for setting in self.of_kind(of) if other is not None else ():
                for metric in FIGURES if setting != other else ():
                    assert other is not None
                    between = self.difference(setting, other, metric)
                    found.append(
                        {"of": of, "setting": setting.name, "to": to, "than": other.name,
                         "metric": metric, "verdict": verdict(between)} | plain(between)
                    )  # fmt: skip
        return found

    def _described(self, of: Of, best: Setting, differences: Sequence[Entry]) -> Entry:
        mine = [d for d in differences if d["of"] == of and d["metric"] == self.metric]
        gain = [d for d in mine if d["to"] == "plain" and d["setting"] == best.name]
        better = bool(gain) and gain[0]["verdict"] == "better"
        rivals = [d["setting"] for d in mine if d["to"] == "best" and d["verdict"] == "no better"]
        return {
            "setting": best.name, **plain(self.interval(best, self.metric)),
            "plain": PLAIN[of].name, "gain": gain[0] if gain else None,
            "no_better_than": rivals, "take": (best if better else PLAIN[of]).name,
        }  # fmt: skip

    def held_out(self, of: Of) -> list[Entry]:
        """What half of the patients choose, judged by the other half; both ways.

        The best of many settings looks better than it is on the cases that chose it.
        """
        patients = sorted(set(self.groups), key=natural_order)
        if len(patients) < FEWEST_PATIENTS:
            return []
        halves = [self._of_patients(patients[first::2]) for first in (0, 1)]
        found = []
        for chooser, judge in (halves, halves[::-1]):
            chosen = chooser.best(of)
            if chosen is None:
                continue
            gain = judge.difference(chosen, PLAIN[of], self.metric)
            found.append(
                {"of": of, "setting": chosen.name, "metric": self.metric,
                 "patients_choosing": len(set(chooser.groups)),
                 "patients_judging": len(set(judge.groups)),
                 **plain(judge.interval(chosen, self.metric)),
                 "gain": {"than": PLAIN[of].name, "verdict": verdict(gain), **plain(gain)}}
            )  # fmt: skip
        return found

    def _of_patients(self, patients: Sequence[str]) -> _Table:
        mine = np.array([group in set(patients) for group in self.groups])
        groups = [group for group, there in zip(self.groups, mine, strict=True) if there]
        counts = {s: one[mine] for s, one in self.counts.items()}
        return _Table(counts, groups, Resampling(groups), self.metric)


def _needed(counts: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """The columns that a figure is made of."""
    return counts if metric == "ece" else counts[:, :SUMS_ONLY]


def verdict(between: Interval) -> str:
    """What may be said of a difference; less is better, and 0 in the interval is nothing."""
    if between.high < 0:
        return "better"
    return "worse" if between.low > 0 else "no better"


def plain(found: Interval) -> Entry:
    """An interval ready for JSON, None where a number is not defined."""
    numbers = {"value": found.value, "low": found.low, "high": found.high}
    return {k: v if math.isfinite(v) else None for k, v in numbers.items()} | {"cases": found.cases}


def _moved(kept: Sequence[Kept], settings: Sequence[Setting], draw: Resampling) -> list[Entry]:
    """What each setting does to the label maps, mean over cases; sums of voxels as they are."""
    found = []
    for setting in settings:
        cases = [one.moved[setting] for one in kept]
        shares = {
            "moved_of_foreground": [_share(one.mass, one.foreground) for one in cases],
            "touched_of_foreground": [_share(one.touched, one.foreground) for one in cases],
            "touched": [_share(one.touched, one.voxels) for one in cases],
            "entropy": [_share(one.entropy, one.voxels) for one in cases],
        }
        entry: Entry = {"of": setting.of, "setting": setting.name}
        entry |= {name: plain(draw.mean(values)) for name, values in shares.items()}
        counted = [f.name for f in fields(Moved) if f.name not in ("mass", "entropy")]
        entry |= {name: sum(getattr(one, name) for one in cases) for name in counted
                  if name not in shares}  # fmt: skip
        found.append(entry)
    return found


def _share(part: float, whole: float) -> float:
    return part / whole if whole else math.nan
