"""What GeoLS can be told, and what of it makes sense together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from softlab_cli.core.errors import UsageError
from softlab_cli.geodesic.base import Engine, Metric, StepCost
from softlab_cli.geodesic.seeds import SeedOptions
from softlab_cli.methods.checks import check_choice, check_share

__all__ = ["CHANNEL_MODES", "METRICS", "PARITIES", "GeoLSParameters"]

METRICS: tuple[str, ...] = get_args(Metric)
"""What a step may cost, by the name on the command line."""

CHANNEL_MODES = ("mean", "vector")
"""What several channels become: the mean of their maps, or one distance over all."""

PARITIES = ("repository",)
"""Whose numbers can be reproduced."""

PARITY_ENGINE = "parity"
"""Engine that computes distances as the authors' repository does."""

SWEEPS = 4
"""Of the engine fastgeodis, unless another number is given."""


@dataclass(frozen=True)
class GeoLSParameters:
    """Parameters of `softlab_cli.methods.geols.geols.GeoLS`.

    Parameters
    ----------
    smoothing
        The paper's alpha, 0 (one-hot) to 1.
    seeds
        One of `softlab_cli.geodesic.seeds.SEED_STRATEGIES`.
    metric
        One of `METRICS`; see `softlab_cli.geodesic.base.StepCost`.
    intensity_weight
        lambda, how much of a step's cost the intensities are, 0 to 1.
    engine
        Name of an engine, or ``auto``.
    parity
        ``repository``: the authors' own numbers, that is, four raster iterations
        that have not converged; no normalisation over classes, so that soft labels do
        not add up to 1; and the bare skeleton: where it leaves nothing of a class,
        the class has g = 0 and does not count in the mean of g_0. They blend in
        float32: see docs/FIDELITY.md for what rounding the maps first is worth.
    channel_mode
        One of `CHANNEL_MODES`; the paper's is ``mean``.
    min_mass
        Soft labels below are dropped and the others of the voxel divided by what is
        left; at most 1 - `smoothing`, so that a voxel's own class stays.
    iterations
        Sweeps of the engine ``fastgeodis``, the only one that may stop before it has
        converged.
    erosion_voxels, random_voxels, random_seed
        As for `softlab_cli.geodesic.seeds.SeedOptions`.

    Raises
    ------
    UsageError
        For values without meaning, or that contradict each other.
    """

    smoothing: float = 0.1
    seeds: str = "skeleton"
    metric: Metric = "geodistk"
    intensity_weight: float = 1.0
    engine: str = "auto"
    parity: Literal["repository"] | None = None
    channel_mode: Literal["mean", "vector"] = "mean"
    min_mass: float = 0.0
    iterations: int = SWEEPS
    erosion_voxels: int = 1
    random_voxels: int = 10
    random_seed: int = 0

    def __post_init__(self) -> None:
        check_share("a smoothing", self.smoothing, 1)
        check_share("an intensity weight", self.intensity_weight, 1)
        check_share("a min mass", self.min_mass, 1 - self.smoothing)
        check_choice("metric", self.metric, METRICS)
        check_choice("channel mode", self.channel_mode, CHANNEL_MODES)
        check_choice("parity", self.parity or PARITIES[0], PARITIES)
        _ = self.seed_options
        self._check_together()

    def _check_together(self) -> None:
        if self.engine == "fastgeodis" and self.metric != "fastgeodis":
            raise UsageError(
                f"engine fastgeodis does not compute the metric {self.metric}.",
                remedy="Choose the metric fastgeodis, or another engine.",
            )
        if self.iterations < 1:
            raise UsageError(
                f"{self.iterations} iterations have no meaning.", remedy="Choose 1 or more."
            )
        if self.engine != "fastgeodis" and self.iterations != SWEEPS:
            raise UsageError(
                f"engine {self.engine} takes no iterations.", remedy="Only fastgeodis does."
            )
        if self.engine == PARITY_ENGINE and not self.parity:
            raise UsageError(
                "engine parity is for --parity repository.", remedy="Choose another engine."
            )
        if not self.parity:
            return
        wrong = {
            f"engine {self.engine}": self.engine not in ("auto", PARITY_ENGINE),
            f"the metric {self.metric}": self.metric != "geodistk",
            f"a min mass of {self.min_mass:g}": self.min_mass > 0,
        }
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(
                    f"the authors' repository does not know {what}.",
                    remedy="Leave it out, or leave --parity out.",
                )

    @property
    def sums_to_one(self) -> bool:
        """Whether the soft labels of a voxel add up to 1."""
        return self.parity is None

    @property
    def seed_options(self) -> SeedOptions:
        """How seeds are chosen."""
        return SeedOptions(
            self.seeds, self.erosion_voxels, self.random_voxels, self.random_seed,
            bare=self.parity is not None,
        )  # fmt: skip

    @property
    def cost(self) -> StepCost:
        """What a step costs."""
        return StepCost(self.metric, float(self.intensity_weight))

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, ready for JSON.

        Engines that converge give the same bits and so the same ``distances``. Those of
        the authors name their seeds: stores of before seeds were bare do not go on.
        """
        distances = f"{self.parity}, bare seeds" if self.parity else "converged"
        if self.engine == "fastgeodis":
            distances = f"fastgeodis, {self.iterations} iterations"
        return {
            "smoothing": float(self.smoothing),
            **self.seed_options.parameters(),
            "metric": self.metric,
            "intensity_weight": float(self.intensity_weight),
            "distances": distances,
            "parity": self.parity,
            "channel_mode": self.channel_mode,
            "min_mass": float(self.min_mass),
        }

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """The method that has these `parameters`, with an engine that gives its distances."""
        given = dict(parameters)
        package, _, sweeps = given.pop("distances").partition(", ")
        if package == "fastgeodis":
            given |= {"engine": package, "iterations": int(sweeps.split()[0])}
        return cls(**given)

    def make_engine(self) -> Engine:
        """The engine, ready to work.

        Raises
        ------
        UsageError
            For a name that no engine has.
        EngineError
            When the engine cannot work here.
        """
        from softlab_cli.geodesic import resolve_engine

        if self.engine == "fastgeodis":
            return resolve_engine(self.engine, self.iterations)
        return resolve_engine(PARITY_ENGINE if self.parity else self.engine)
