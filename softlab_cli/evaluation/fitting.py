"""What a calibration is fitted to, and what it is worth: votes that add up over cases.

One pass counts the votes by class and probability, of each half of the cases apart, so that
a process holds no more than two cases' counts. A temperature, and the NLL after it, follow
from those. What isotonic maps make of a voxel depends on all its classes together, so that the
NLL after them takes a second pass. All that is added up is a whole number: a calibration is the
same for any workers, threads and blocks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.evaluation.calibration_file import METHODS, Fitted
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.measure import SoftPrediction
from softlab_cli.evaluation.metrics.cells import CLIP
from softlab_cli.evaluation.metrics.isotonic import isotonic
from softlab_cli.evaluation.metrics.regions import BIASED, Reach
from softlab_cli.evaluation.metrics.scores import nll
from softlab_cli.evaluation.metrics.tallies import Tallies
from softlab_cli.evaluation.metrics.temperature import HIGHEST, LOWEST, tempering
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings, parse_regions
from softlab_cli.kernels.forecasts import FIXED

__all__ = ["Likelihood", "Pool", "Votes", "likelihood", "oddities", "settings_for"]


def settings_for(method: str, region: str) -> Settings:
    """What is counted for a calibration.

    Raises
    ------
    UsageError
        For an unknown method or region.
    """
    if method not in METHODS:
        raise UsageError(f"method {method!r} is not known.", remedy=f"Give {' or '.join(METHODS)}.")
    regions: dict[str, Reach | None] = parse_regions([region])
    if len(regions) > 1:
        raise UsageError(f"--region {region!r} is more than one.", remedy="Give one.")
    return Settings(regions=regions, temperatures=method == "temperature")


@dataclass(frozen=True, eq=False)
class Votes:
    """What one case, or several, say: votes by class and probability.

    Parameters
    ----------
    tallies
        Of the voxels that count.
    fingerprints
        Of the files.
    warnings
        What is odd.
    """

    tallies: Tallies
    fingerprints: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Likelihood:
    """-ln q of the voters' classes in steps of 2^-32, and votes; added with ``+``."""

    surprise: int = 0
    votes: int = 0

    def __add__(self, other: Likelihood) -> Likelihood:
        """Of two sets of voxels."""
        return Likelihood(self.surprise + other.surprise, self.votes + other.votes)

    @property
    def mean(self) -> float:
        """The NLL in nats; NaN without votes."""
        return self.surprise / FIXED / self.votes if self.votes else math.nan


@dataclass
class Pool:
    """Votes of each half of the cases.

    Parameters
    ----------
    method
        ``temperature`` or ``isotonic``.
    classes
        The class table.
    half_of
        Case to its half; empty where there are none.
    """

    method: str
    classes: ClassTable
    half_of: Mapping[str, int]
    tallies: dict[int, Tallies] = field(default_factory=dict)
    case_ids: set[str] = field(default_factory=set)
    fingerprints: set[str] = field(default_factory=set)

    def add(self, case_id: str, votes: Votes) -> None:
        """Add a case."""
        half = self.half_of.get(case_id, 0)
        known = self.tallies.get(half)
        self.tallies[half] = votes.tallies if known is None else known + votes.tallies
        self.case_ids.add(case_id)
        self.fingerprints |= votes.fingerprints

    @property
    def whole(self) -> Tallies:
        """Of both halves."""
        first, *rest = self.tallies.values()
        return first + rest[0] if rest else first

    def fit(self, tallies: Tallies) -> Calibration:
        """The calibration of some votes.

        Raises
        ------
        InputError
            When there are none.
        """
        if not tallies.votes:
            raise InputError(
                "no voxel that counts is labelled, so that nothing can be fitted.",
                remedy="Check --region and --ignore-label.",
            )
        if self.method == "temperature":
            best = tempering(tallies).best()
            return Calibration(self.method, self.classes, temperature=best)
        return Calibration(self.method, self.classes, maps=isotonic(tallies))

    def fit_others(self) -> dict[int, Calibration]:
        """For each half what is fitted on the other; empty where a half has no votes."""
        if len(self.tallies) < 2 or not all(t.votes for t in self.tallies.values()):
            return {}
        return {half: self.fit(self.tallies[1 - half]) for half in self.tallies}

    def tempered(
        self, fitted: Calibration, others: Mapping[int, Calibration]
    ) -> tuple[float, float | None]:
        """The NLL after a temperature, and after those of the other halves."""
        after = tempering(self.whole).nll(_temperature(fitted))
        if not others:
            return after, None
        parts = [
            tempering(self.tallies[half]).nll(_temperature(other)) * self.tallies[half].votes
            for half, other in sorted(others.items())
        ]
        return after, math.fsum(parts) / self.whole.votes

    def finish(
        self, fitted: Calibration, region: str, groups: Mapping[str, str], after: float,
        crossed: float | None,
    ) -> Calibration:  # fmt: skip
        """The calibration with what it was fitted on."""
        patients = {groups.get(case_id, case_id) for case_id in self.case_ids}
        facts = Fitted(
            len(self.case_ids), len(patients), self.whole.votes, region, nll(self.whole), after,
            crossed, frozenset(self.fingerprints),
        )  # fmt: skip
        return replace(fitted, fitted=facts)


def _temperature(calibration: Calibration) -> float:
    assert calibration.temperature is not None
    return calibration.temperature


def oddities(pool: Pool, calibration: Calibration, region: str) -> list[str]:
    """What the user should know of a calibration, one sentence each."""
    found = []
    name = region.partition("=")[0]
    if name in BIASED:
        found.append(f"the region is {BIASED[name]}; what is fitted there is, too")
    if calibration.temperature in (LOWEST, HIGHEST):
        found.append(
            f"the temperature is {calibration.temperature:g}, the end of what is searched: the "
            "best one may lie outside"
        )
    votes = pool.whole.class_votes.tolist()
    if pool.method == "isotonic" and (
        never := [c.name for c, n in zip(pool.classes.classes, votes, strict=True) if not n]
    ):
        found.append(
            f"no rater saw {', '.join(map(repr, never))}, so that nothing is known of "
            f"{'its' if len(never) == 1 else 'their'} probabilities, which stay as they are before "
            "they are divided by the sum"
        )
    return found


def likelihood(
    scene: Scene, soft: SoftPrediction, calibrations: Sequence[Calibration], settings: Settings
) -> list[Likelihood]:
    """What the votes of a case are worth after each of some calibrations.

    Parameters
    ----------
    scene
        The references.
    soft
        The prediction, as it is before.
    calibrations
        What is applied to it.
    settings
        Its region says which voxels count.
    """
    names, codes = scene.codes(settings)
    found = [Likelihood()] * len(calibrations)
    for region in Grid.for_volume(soft.shape, soft.ndim).regions():
        values, nothing = soft.read(region), soft.unlabelled(region)
        counted = np.asarray(codes[region] == 1 if names else np.ones(values.shape[1:], np.bool_))
        if nothing is not None:
            values[:, nothing] = 0
            counted &= ~nothing
        labels = scene.raters[(slice(None), *region)]
        for place, calibration in enumerate(calibrations):
            calibrated = calibration.apply(values)
            for label in labels:
                found[place] += _surprise(
                    calibrated, label, counted & (label != scene.ignore_index)
                )
    return found


def _surprise(
    values: NDArray[np.float32], labels: NDArray[Any], counted: NDArray[np.bool_]
) -> Likelihood:
    said = labels[counted].astype(np.intp)[np.newaxis]
    chance = np.take_along_axis(values[:, counted], said, axis=0).astype(np.float64)
    steps = np.rint(-np.log(np.maximum(chance, CLIP)) * FIXED).astype(np.int64)
    return Likelihood(int(steps.sum()), steps.size)
