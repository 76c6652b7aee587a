"""nnU-Net's loss with soft targets: cross-entropy and a Dice that is right for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from nnunetv2.utilities.ddp_allgather import AllGatherGrad
from torch import Tensor, nn

from softlab_cli.trainers.losses import CombinedLoss, DeepSupervision, DiceSemimetricLoss

__all__ = ["LabelRegions", "SoftTargetLoss", "combined_loss"]

SMOOTH = 1e-5
"""What nnU-Net adds to both sides of its Dice."""


class GatheredDice(DiceSemimetricLoss):
    """Dice of the whole batch where each process has a part of it."""

    def sums(self, *terms: Tensor) -> tuple[Tensor, ...]:
        """As the others' sums, over all processes."""
        return tuple(AllGatherGrad.apply(term).sum(0) for term in super().sums(*terms))


class LabelRegions(nn.Module):
    """Soft labels of regions, which are sets of labels and may overlap.

    Parameters
    ----------
    regions
        Label values of each region.
    labels
        Label value of each class.
    """

    def __init__(self, regions: Sequence[int | Sequence[int]], labels: Sequence[int]) -> None:
        super().__init__()
        sets = [{r} if isinstance(r, int) else set(r) for r in regions]
        self.members = [[i for i, label in enumerate(labels) if label in s] for s in sets]

    def forward(self, soft: Tensor) -> Tensor:
        """(B, regions, *spatial): the sum over each region's labels of (B, labels, *spatial)."""
        return torch.stack([soft[:, own].sum(1) for own in self.members], 1).clamp(0, 1)


def combined_loss(
    *, region_count: int = 0, ignore: bool = False, batch_dice: bool = False, gather: bool = False
) -> CombinedLoss:
    """Soft cross-entropy plus the Dice semimetric loss, as nnU-Net adds up its own.

    For one-hot targets it is nnU-Net's loss plus 1 (nnU-Net's Dice term is negative).

    Parameters
    ----------
    region_count
        Number of regions; 0 for classes that exclude each other.
    ignore
        Whether there is an ignore label.
    batch_dice
        Whether Dice is that of the batch, and not the mean of its images.
    gather
        Whether the batch is spread over processes.
    """
    activation: Any = "sigmoid" if region_count else "softmax"
    dice = (GatheredDice if batch_dice and gather else DiceSemimetricLoss)(
        smooth=SMOOTH,
        absent="count",
        activation=activation,
        include_background=bool(region_count),
        reduction="batch" if batch_dice else "image",
    )
    # Where voxels may be ignored nnU-Net adds up the regions' cross-entropies; else their mean.
    weight = region_count if region_count and ignore else 1
    return CombinedLoss(ce_weight=weight, overlap=dice, activation=activation)


class SoftTargetLoss(nn.Module):
    """A loss that nnU-Net calls with its own targets, and that takes the soft ones besides.

    nnU-Net's steps hand a loss nothing but the network's output and the hard target.
    The trainer therefore sets `soft` before each step; of the hard target only the
    ignored voxels matter.

    Parameters
    ----------
    loss
        From `combined_loss`.
    scale_weights
        Weights of the outputs of a network with deep supervision; None without.
    regions
        For data sets with regions.
    ignore_label
        For data sets that have one.

    Attributes
    ----------
    soft
        (B, labels, *spatial) soft labels of the next call; all 0 where nothing is known.
    """

    def __init__(
        self,
        loss: CombinedLoss,
        scale_weights: Sequence[float] | None = None,
        regions: LabelRegions | None = None,
        ignore_label: int | None = None,
    ) -> None:
        super().__init__()
        self.loss: nn.Module = loss
        if scale_weights is not None:
            self.loss = DeepSupervision(loss, scale_weights)
        self.regions = regions
        self.ignore_label = ignore_label
        self.soft: Tensor | None = None

    def forward(self, output: Any, target: Any) -> Tensor:
        """The loss of an output, or of outputs at several scales.

        Parameters
        ----------
        output
            (B, C, *spatial) logits, or a list of them from fine to coarse.
        target
            nnU-Net's hard target: (B, 1, *spatial), or (B, regions + 1, *spatial) bool
            with the ignored voxels last; or a list of these.
        """
        if self.soft is None:
            raise RuntimeError("the soft labels of this batch were not handed to the loss")
        soft, self.soft = self.soft, None
        fine = target[0] if isinstance(target, list | tuple) else target
        mask = self._mask(soft, fine)
        if self.regions is not None:
            soft = self.regions(soft)
        found: Tensor = self.loss(output, soft, mask)
        return found

    def _mask(self, soft: Tensor, target: Tensor) -> Tensor | None:
        if self.ignore_label is None:
            return None
        if self.regions is None:
            ignored = target[:, 0] == self.ignore_label
        else:
            ignored = target[:, -1].bool()
        return ~ignored & (soft.sum(1) > 0.5)
