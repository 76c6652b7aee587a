"""Fusion of several raters into one soft label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError
from softlab_cli.fusion.fused import fuse_patterns
from softlab_cli.fusion.majority import (
    dice_weights,
    majority_votes,
    mean_votes,
    vanished_warnings,
)
from softlab_cli.fusion.options import StapleOptions
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.fusion.shares import Shares
from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.raters.base import FusedLabels, RaterMethod, blender_bytes
from softlab_cli.methods.raters.weights import check_weights, weights_of
from softlab_cli.methods.svls.svls import SVLS

__all__ = ["FUSION_RULES", "Fuse"]

FUSION_RULES = ("mean", "majority", "staple", "dice-weighted")
"""How raters are fused, by the name on the command line."""


@dataclass(frozen=True)
class Fuse(RaterMethod):
    """Fusion of raters, with or without SVLS of the result.

    - ``mean``: share of the raters that chose the class (mOH).
    - ``majority``: one-hot label of the class that most raters chose; among equals
      the one of the lowest label value.
    - ``dice-weighted``: as ``mean``, each rater weighted by its Dice with the majority;
      one with a Dice of 0 vanishes, and the case says so.
    - ``staple``: posterior of STAPLE, in steps of 2^-24.

    SVLS is a linear filter: it is applied to whatever the shares are, a posterior
    included. A rater that ignored a voxel has no share in it; where all did, the
    voxel is ignored.

    Parameters
    ----------
    method
        One of `FUSION_RULES`.
    smooth
        Whether SVLS follows.
    svls
        Its parameters.
    rater_weights
        Name of each rater to its weight, for ``mean``; equal if not given.
    staple
        How ``staple`` is run.

    Raises
    ------
    UsageError
        For an unknown rule, for weights that cannot be used, and for weights and
        parameters of SVLS that the rule has no use for.
    """

    method: str = "mean"
    smooth: bool = False
    svls: SVLS = field(default_factory=SVLS)
    rater_weights: Mapping[str, float] | None = None
    staple: StapleOptions = field(default_factory=StapleOptions)

    name: ClassVar[str] = "fuse"

    def __post_init__(self) -> None:
        if self.method not in FUSION_RULES:
            raise UsageError(
                f"there is no fusion by {self.method!r}.",
                remedy=f"Choose one of {', '.join(FUSION_RULES)}.",
            )
        if self.rater_weights is not None and self.method != "mean":
            raise UsageError(
                f"fusion by {self.method} takes no rater weights.", remedy="Choose mean."
            )
        check_weights(self.rater_weights)

    def parameters(self) -> dict[str, Any]:
        """The rule and its parameters; those of SVLS when it follows."""
        found: dict[str, Any] = {"method": self.method, "smooth": bool(self.smooth)}
        if self.smooth:
            found |= self.svls.parameters()
        if self.method == "mean":
            found["rater_weights"] = self.rater_weights and dict(self.rater_weights)
        if self.method == "staple":
            found |= self.staple.parameters()
        return found

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Fuse:
        """The method that has these `parameters`."""
        of_svls = {f.name for f in fields(SVLS)}
        of_staple = {f.name for f in fields(StapleOptions)}
        return cls(
            parameters["method"],
            parameters["smooth"],
            SVLS(**{k: v for k, v in parameters.items() if k in of_svls}),
            parameters.get("rater_weights"),
            StapleOptions(**{k: v for k, v in parameters.items() if k in of_staple}),
        )

    def on_read(self) -> LocalMethod | None:
        """What makes the same soft labels from the fused hard labels; None where nothing can.

        Only a majority can be told from its hard labels.
        """
        if self.method != "majority":
            return None
        return self.svls if self.smooth else OneHot()

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """That of SVLS, or none."""
        return self.svls.halo(spacing_mm) if self.smooth else (0, 0, 0)

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies, for up to `BLENDS_FORESEEN` blends."""
        return blender_bytes(self.svls if self.smooth else None, class_count, block)

    def fuse(
        self, patterns: RaterPatterns, raters: Sequence[str], background_index: int | None
    ) -> FusedLabels:
        """Fuse the raters of one case."""
        shares, facts = self._shares(patterns, raters, background_index)
        fused = fuse_patterns(patterns, shares)
        facts = {"ties": fused.ties, **facts}
        warnings = staple_warnings(facts.get("staple"))
        if self.method == "dice-weighted":
            warnings += vanished_warnings(facts["rater_weights"])
        return FusedLabels(fused, self.svls if self.smooth else None, facts, warnings)

    def _shares(
        self, patterns: RaterPatterns, raters: Sequence[str], background_index: int | None
    ) -> tuple[Shares, dict[str, Any]]:
        if self.method == "majority":
            shares, ties = majority_votes(patterns)
            return shares, {"ties": ties}
        if self.method == "staple":
            from softlab_cli.fusion.staple import run_staple

            found = run_staple(patterns, self.staple)
            return found.posterior, {"ties": found.ties, "staple": found.to_json()}
        weights = weights_of(self.rater_weights, raters)
        if self.method == "dice-weighted":
            weights = dice_weights(patterns, background_index)
        facts = (
            {} if weights is None else {"rater_weights": dict(zip(raters, weights, strict=True))}
        )
        return mean_votes(patterns, weights), facts


def staple_warnings(staple: Mapping[str, Any] | None) -> tuple[str, ...]:
    """What to say of an estimation (`softlab_cli.fusion.staple.Staple.to_json`) cut short."""
    if staple is None or staple["converged"]:
        return ()
    return (
        f"STAPLE stopped at step {staple['iterations']} before it converged (a parameter still "
        f"changed by {staple['change']:.1g}). Raise --staple-iterations.",
    )
