"""mSVLS: the mean of the raters' SVLS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from softlab_cli.core.blocks import Shape
from softlab_cli.fusion.fused import fuse_patterns
from softlab_cli.fusion.majority import mean_votes
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.methods.raters.base import FusedLabels, RaterMethod, blender_bytes
from softlab_cli.methods.raters.weights import check_weights, weights_of
from softlab_cli.methods.svls.svls import SVLS, Sigma

__all__ = ["MSVLS"]


@dataclass(frozen=True)
class MSVLS(RaterMethod):
    """Mean of the raters' spatially varying label smoothing.

    SVLS is linear, so the mean of the raters' SVLS is SVLS of their shares; that is
    how it is computed, in one pass. Where all raters agree it is SVLS to the bit.
    A rater that ignored a voxel has no share in it, and the others' shares make up
    the whole; a voxel that all ignored gets nothing and counts for no neighbour.

    Equation 4 of Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021.
    Weights and ignored voxels are additions.

    Parameters
    ----------
    kernel_size, sigma_voxels, sigma_mm, slicewise
        As for `softlab_cli.methods.svls.svls.SVLS`.
    rater_weights
        Name of each rater to its weight; equal if not given. They are taken relative
        to the sum over the raters that a case has, in steps of 2^-24.

    Attributes
    ----------
    svls
        SVLS of one rater, with these parameters.

    Raises
    ------
    UsageError
        As `softlab_cli.methods.svls.svls.SVLS`, and for weights that cannot be used.
    """

    kernel_size: int = 3
    sigma_voxels: Sigma | None = None
    sigma_mm: Sigma | None = None
    slicewise: bool = False
    rater_weights: Mapping[str, float] | None = None
    svls: SVLS = field(init=False, repr=False, compare=False)

    name: ClassVar[str] = "msvls"

    def __post_init__(self) -> None:
        svls = SVLS(self.kernel_size, self.sigma_voxels, self.sigma_mm, self.slicewise)
        object.__setattr__(self, "svls", svls)
        check_weights(self.rater_weights)

    def parameters(self) -> dict[str, Any]:
        """Those of SVLS, and the weights."""
        weights = self.rater_weights and dict(self.rater_weights)
        return {**self.svls.parameters(), "rater_weights": weights}

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """The kernel's radius; none along Z when `slicewise`."""
        return self.svls.halo(spacing_mm)

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""
        return blender_bytes(self.svls, class_count, block)

    def fuse(
        self, patterns: RaterPatterns, raters: Sequence[str], background_index: int | None
    ) -> FusedLabels:
        """Fuse the raters of one case; see `softlab_cli.methods.raters.base.RaterMethod`."""
        weights = weights_of(self.rater_weights, raters)
        fused = fuse_patterns(patterns, mean_votes(patterns, weights))
        facts: dict[str, Any] = {"ties": fused.ties}
        if weights is not None:
            facts["rater_weights"] = dict(zip(raters, weights, strict=True))
        return FusedLabels(fused, self.svls, facts)
