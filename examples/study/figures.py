"""What ``softlab evaluate`` and ``softlab tune`` found, read from their summaries."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from arms import OF_FIRST_RATER, ONE_RATER, SEVERAL_RATERS

ALL_ARMS = (*SEVERAL_RATERS, *OF_FIRST_RATER, *ONE_RATER)
COLLAPSED = 0.1
"""Below this mean Dice of a class, a network has not learned it; its figures mean nothing."""

Key = tuple[str, str, str, str]
"""Run, class, region and metric."""


@dataclass(frozen=True)
class Judged:
    """The summary of all arms of one stage and seed."""

    seed: int
    summary: Mapping[str, Any]

    @cached_property
    def pooled(self) -> Mapping[Key, Mapping[str, Any]]:
        """Over all voxels of all cases."""
        return by_key(self.summary["pooled"])

    @cached_property
    def means(self) -> Mapping[Key, Mapping[str, Any]]:
        """Over cases."""
        return by_key(self.summary["means"])

    @cached_property
    def differences(self) -> Mapping[Key, Mapping[str, Any]]:
        """Means over cases of run minus baseline, with intervals."""
        return by_key(self.summary["differences"])

    @cached_property
    def pooled_differences(self) -> Mapping[Key, Mapping[str, Any]]:
        """The same of figures over all voxels of all cases."""
        return by_key(self.summary["pooled_differences"])

    @cached_property
    def cross_fitted(self) -> Mapping[str, float]:
        """NLL after a temperature that was found on other patients."""
        return {entry["run"]: entry["nll"] for entry in self.summary["cross_fitted"]}

    @property
    def runs(self) -> list[str]:
        """Names of the arms."""
        return list(self.summary["runs"])

    def collapsed(self, run: str) -> list[str]:
        """Classes that a run has hardly found."""
        return [
            name
            for (r, name, region, metric), entry in self.means.items()
            if (r, region, metric) == (run, "all", "dice")
            and name != "mean"
            and (entry["value"] or 0) < COLLAPSED
        ]


def by_key(entries: Iterable[Mapping[str, Any]]) -> dict[Key, Mapping[str, Any]]:
    return {(e["run"], e["class"], e["region"], e["metric"]): e for e in entries}


def judged(results: Path, stage: str) -> list[Judged]:
    """Of all seeds that there are."""
    paths = sorted((results / stage).glob("seed*/summary.json"))
    return [
        Judged(int(path.parent.name.removeprefix("seed")), json.loads(path.read_text()))
        for path in paths
    ]


def arms_of(found: Sequence[Judged]) -> list[str]:
    """All arms, in the order of the study; the one that others are compared with is the first."""
    there = dict.fromkeys(run for one in found for run in one.runs)
    known = [arm for arm in ALL_ARMS if arm in there]
    return known + [arm for arm in there if arm not in known]


Column = tuple[str, Callable[[Judged, str], float | None]]


def pooled(metric: str, region: str = "all") -> Callable[[Judged, str], float | None]:
    """A figure over all voxels of a region."""
    return lambda one, run: one.pooled[run, "all", region, metric]["value"]


def of_cases(metric: str) -> Callable[[Judged, str], float | None]:
    """A mean over cases and foreground classes."""
    return lambda one, run: one.means[run, "mean", "all", metric]["value"]


COLUMNS: Sequence[Column] = (
    ("Brier", pooled("brier")),
    ("NLL", pooled("nll")),
    ("best T", pooled("temperature")),
    ("NLL after T", lambda one, run: one.cross_fitted.get(run)),
    ("confidence - accuracy", pooled("overconfidence")),
    ("ECE all", pooled("ece")),
    ("ECE union", pooled("ece", "union")),
    ("ECE band", pooled("ece", "band")),
    ("ECE ref > 0 (biased)", pooled("ece", "foreground")),
    ("Dice", of_cases("dice")),
    ("surface Dice 1 mm", of_cases("surface_dice_1mm")),
)
