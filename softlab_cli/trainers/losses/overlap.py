"""Losses that stand for the Dice score and the Jaccard index.

With x the prediction and y the target of one class, all voxels in one vector, and
L1 norms |.|, each is a share *error / (whole + smooth)*: 1 - (overlap + smooth) /
(whole + smooth) with overlap = whole - error, which loses no digits near 0. The whole
is the union for Jaccard and the sum of both sizes for Dice.

For hard x and y all of one name are the same: 1 - Jaccard or 1 - Dice.
"""

from __future__ import annotations

from typing import Literal, Unpack

from torch import Tensor

from softlab_cli.core.errors import UsageError
from softlab_cli.trainers.losses.common import PerClassLoss, PerClassOptions, check_choice

__all__ = [
    "DiceSemimetricLoss",
    "JaccardMetricLoss",
    "OverlapLoss",
    "SoftDiceLoss",
    "SoftJaccardLoss",
    "SquaredDiceLoss",
    "TverskyLoss",
]


class OverlapOptions(PerClassOptions, total=False):
    """Options of every loss here; see `OverlapLoss`."""

    smooth: float


class OverlapLoss(PerClassLoss):
    """Base of losses that are an error as a share of a whole.

    Parameters
    ----------
    smooth
        Voxels added to the whole. It keeps the loss of small and absent classes
        from jumping, and biases it a little towards 0.
    absent, activation, class_weights, include_background, reduction
        As for `PerClassLoss`.
    """

    def __init__(self, *, smooth: float = 0.0, **options: Unpack[PerClassOptions]) -> None:
        super().__init__(**options)
        if not 0 <= smooth < float("inf"):
            raise UsageError(f"smooth={smooth} has no meaning.", remedy="Give 0 or more voxels.")
        self.smooth = smooth

    def per_class(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        """Error over whole; 0 where both are 0."""
        error, whole = self.error_and_whole(probabilities, targets)
        whole = whole + self.smooth
        return error / whole.where(whole > 0, 1)

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Error and whole of each class, from (B, C, N)."""
        raise NotImplementedError

    def sums(self, *terms: Tensor) -> tuple[Tensor, ...]:
        """Each (B, C, N) summed to (B, C), or to (1, C) with ``reduction="batch"``."""
        found = (term.sum(2) for term in terms)
        return tuple(f.sum(0, keepdim=True) if self.reduction == "batch" else f for f in found)


class DistanceLoss(OverlapLoss):
    """A loss whose error is |x - y|, of a whole that has two variants.

    Parameters
    ----------
    variant
        1 goes by |x + y|, 2 by <x, y>.
    smooth, absent, activation, class_weights, include_background, reduction
        As for `OverlapLoss`.
    """

    def __init__(self, variant: Literal[1, 2] = 1, **options: Unpack[OverlapOptions]) -> None:
        super().__init__(**options)
        check_choice("variant", variant, (1, 2))
        self.variant = variant

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x - y|, and the whole."""
        distance, other = self.sums((x - y).abs(), x + y if self.variant == 1 else x * y)
        return distance, self.whole(distance, other)

    def whole(self, distance: Tensor, other: Tensor) -> Tensor:
        """The whole, from |x - y| and from |x + y| or <x, y>."""
        raise NotImplementedError


class JaccardMetricLoss(DistanceLoss):
    """Jaccard metric loss: 1 - Jaccard for soft labels, smallest (0) exactly at x = y.

    variant 1: 1 - (|x + y| - |x - y|) / (|x + y| + |x - y|)
    variant 2: 1 - <x, y> / (<x, y> + |x - y|)

    Wang, Ning and Blaschko, Jaccard Metric Losses: Optimizing the Jaccard Index with
    Soft Labels, NeurIPS 2023 (JML1 and JML2). For hard x and y both are 1 - Jaccard.

    Parameters
    ----------
    variant
        1 or 2; the authors' code (JDTLosses) has the first, with the same `smooth`.
    smooth, absent, activation, class_weights, include_background, reduction
        As for `OverlapLoss`.
    """

    def whole(self, distance: Tensor, other: Tensor) -> Tensor:
        """(|x + y| + |x - y|) / 2, or <x, y> + |x - y|: the union."""
        return (other + distance) / 2 if self.variant == 1 else other + distance


class DiceSemimetricLoss(DistanceLoss):
    """Dice semimetric loss: 1 - Dice for soft labels, smallest (0) exactly at x = y.

    variant 1: 1 - (|x + y| - |x - y|) / |x + y|
    variant 2: 1 - 2 <x, y> / (2 <x, y> + |x - y|)

    Wang, Popordanoska, Bertels, Lemmens and Blaschko, Dice Semimetric Losses:
    Optimizing the Dice Score with Soft Labels, MICCAI 2023 (DML1 and DML2). For hard
    y the first is `SoftDiceLoss`; for hard x and y both are 1 - Dice.

    Parameters
    ----------
    variant
        1 or 2; the authors' code (JDTLosses) has the first.
    smooth
        As for `OverlapLoss`: voxels added to |x + y|. The authors' code adds its own
        to half of that, so `smooth` here is twice theirs.
    absent, activation, class_weights, include_background, reduction
        As for `OverlapLoss`.
    """

    def whole(self, distance: Tensor, other: Tensor) -> Tensor:
        """|x + y|, or 2 <x, y> + |x - y|."""
        return other if self.variant == 1 else 2 * other + distance


class SoftJaccardLoss(OverlapLoss):
    """Classic soft Jaccard: 1 - <x, y> / (|x| + |y| - <x, y>).

    Rahman and Wang, Optimizing Intersection-over-Union in Deep Neural Networks for
    Image Segmentation, ISVC 2016. For soft y it is *not* smallest at x = y but where
    each x is 0 or 1; use `JaccardMetricLoss`. Here for comparison, as in Eelbode et
    al., Optimization for Medical Image Segmentation, IEEE TMI 2020.
    """

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x| + |y| - 2 <x, y> of |x| + |y| - <x, y>."""
        total, product = self.sums(x + y, x * y)
        return total - 2 * product, total - product


class SoftDiceLoss(OverlapLoss):
    """Classic soft Dice: 1 - 2 <x, y> / (|x| + |y|).

    Drozdzal et al., The Importance of Skip Connections in Biomedical Image
    Segmentation, 2016; the form that nnU-Net uses. For soft y it is *not* smallest at
    x = y: with one voxel of y = 1/2 the smallest value is at x = 1. Use
    `DiceSemimetricLoss`. Here for comparison.
    """

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x| + |y| - 2 <x, y> of |x| + |y|."""
        total, product = self.sums(x + y, x * y)
        return total - 2 * product, total


class SquaredDiceLoss(OverlapLoss):
    """Dice with squared norms: 1 - 2 <x, y> / (|x|_2^2 + |y|_2^2).

    Milletari, Navab and Ahmadi, V-Net, 3DV 2016, section 3. It equals
    |x - y|_2^2 / (|x|_2^2 + |y|_2^2), so it is smallest (0) exactly at x = y, with a
    gradient that vanishes there; for hard x and y it is 1 - Dice.
    """

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """|x - y|^2 of |x|^2 + |y|^2."""
        error, whole = self.sums((x - y).square(), x.square() + y.square())
        return error, whole


class TverskyLoss(OverlapLoss):
    """Tversky: 1 - TP / (TP + alpha FP + beta FN).

    TP = <x, y>, FP = <x, 1 - y>, FN = <1 - x, y>. Salehi, Erdogmus and Gholipour,
    Tversky Loss Function for Image Segmentation Using 3D Fully Convolutional Deep
    Networks, MLMI 2017, equation 3. Alpha = beta = 1/2 is `SoftDiceLoss`, both 1 is
    `SoftJaccardLoss`; like them it is *not* smallest at x = y for soft y.

    Parameters
    ----------
    alpha
        Weight of false positives.
    beta
        Weight of false negatives.
    smooth, absent, activation, class_weights, include_background, reduction
        As for `OverlapLoss`.
    """

    def __init__(
        self, alpha: float = 0.3, beta: float = 0.7, **options: Unpack[OverlapOptions]
    ) -> None:
        super().__init__(**options)
        if min(alpha, beta) < 0 or alpha + beta == 0:
            raise UsageError(
                f"alpha={alpha} and beta={beta} have no meaning.",
                remedy="Give numbers of 0 or more, not both 0.",
            )
        self.alpha, self.beta = alpha, beta

    def error_and_whole(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted false voxels, and those with the true ones."""
        predicted, wanted, true = self.sums(x, y, x * y)
        error = self.alpha * (predicted - true) + self.beta * (wanted - true)
        return error, true + error
