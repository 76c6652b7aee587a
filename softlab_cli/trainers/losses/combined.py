"""Losses made of losses: a sum of two, and one over several scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from softlab_cli.core.errors import UsageError
from softlab_cli.trainers.losses.common import Activation, Batch, SoftLoss, valid_voxels
from softlab_cli.trainers.losses.cross_entropy import SoftCrossEntropy
from softlab_cli.trainers.losses.overlap import DiceSemimetricLoss

__all__ = ["CombinedLoss", "DeepSupervision", "pool_targets"]

Masks = Tensor | Sequence[Tensor] | None
Pair = tuple[Tensor, Tensor | None]


class CombinedLoss(SoftLoss):
    """A weighted sum of a cross-entropy and an overlap loss.

    L = ce_weight * CE + overlap_weight * overlap. By default `SoftCrossEntropy` and
    `DiceSemimetricLoss`; both are smallest at x = y, so their sum is. The logits are
    turned into probabilities once.

    Parameters
    ----------
    ce_weight, overlap_weight
        Weights of the two.
    cross_entropy
        Another loss in place of the first, such as `CrossEntropyWithMarginals`.
    overlap
        Another loss in place of the second.
    activation
        Of both. Losses that are given must have the same.
    """

    def __init__(
        self,
        ce_weight: float = 1.0,
        overlap_weight: float = 1.0,
        *,
        cross_entropy: SoftLoss | None = None,
        overlap: SoftLoss | None = None,
        activation: Activation = "softmax",
    ) -> None:
        super().__init__(activation=activation)
        self.ce_weight, self.overlap_weight = ce_weight, overlap_weight
        self.cross_entropy = cross_entropy or SoftCrossEntropy(activation=activation)
        self.overlap = overlap or DiceSemimetricLoss(activation=activation)
        for part in (self.cross_entropy, self.overlap):
            if part.activation != activation:
                raise UsageError(
                    f"a {type(part).__name__} with activation={part.activation!r} is combined "
                    f"with activation={activation!r}.",
                    remedy="Give the same activation to all three.",
                )

    def of_batch(self, batch: Batch) -> Tensor:
        """The weighted sum; a loss of weight 0 is not computed."""
        total = batch.logits.new_zeros(())
        if self.ce_weight:
            total = total + self.ce_weight * self.cross_entropy.of_batch(batch)
        if self.overlap_weight:
            total = total + self.overlap_weight * self.overlap.of_batch(batch)
        return total


class DeepSupervision(nn.Module):
    """A loss at several scales: sum_i weights_i * loss(logits_i, targets_i).

    A soft target is brought to a coarser scale by the mean over the area of each
    coarse voxel, weighted with the mask, so that the masses of the classes stay what
    they are. A coarse voxel is valid when at least half of its area is. Where sizes do
    not divide, areas overlap by up to a voxel (adaptive pooling).

    Parameters
    ----------
    loss
        What is computed at each scale.
    weights
        One for each scale, in the order of the logits; scales of weight 0 are left
        out. None: halved from scale to scale, and 1 together.
    """

    def __init__(self, loss: SoftLoss, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.loss = loss
        self.weights = None if weights is None else tuple(map(float, weights))

    def forward(
        self,
        logits: Sequence[Tensor],
        targets: Tensor | Sequence[Tensor],
        mask: Masks = None,
    ) -> Tensor:
        """The loss, a scalar.

        Parameters
        ----------
        logits
            (B, C, *spatial) at each scale, any order.
        targets
            (B, C, *spatial) at full resolution, or one for each scale.
        mask
            (B, *spatial) at full resolution, or one for each scale where targets are
            so; None for `valid_voxels`.

        Raises
        ------
        UsageError
            When numbers of scales differ, or as the loss does.
        """
        weights = self._weights(len(logits))
        kept = [i for i, weight in enumerate(weights) if weight]
        if isinstance(targets, Tensor):
            pairs = self._pooled(targets, mask, [logits[i].shape[2:] for i in kept])
        else:
            pairs = _listed(targets, mask, len(logits), kept)
        total = torch.zeros((), device=logits[0].device)
        for i, (target, valid_at) in zip(kept, pairs, strict=True):
            total = total + weights[i] * self.loss(logits[i], target, valid_at)
        return total

    def _pooled(self, targets: Tensor, mask: Masks, shapes: Sequence[Sequence[int]]) -> list[Pair]:
        """One target and its mask at the scales of these shapes."""
        if mask is None:
            mask = valid_voxels(targets, self.loss.activation)
        if not isinstance(mask, Tensor):
            raise UsageError(f"{len(mask)} masks come with one target.", remedy="Give one mask.")
        return [pool_targets(targets, mask, shape) for shape in shapes]

    def _weights(self, count: int) -> Sequence[float]:
        if self.weights is None:
            return [2.0**-i / (2 - 2.0 ** (1 - count)) for i in range(count)]
        if len(self.weights) != count:
            raise UsageError(f"{len(self.weights)} weights for logits of {count} scales.")
        return self.weights


def _listed(targets: Sequence[Tensor], mask: Masks, count: int, kept: Sequence[int]) -> list[Pair]:
    """The kept ones of targets and masks that are given for every scale."""
    given = [mask] if isinstance(mask, Tensor) else mask
    masks = [None] * len(targets) if given is None else given
    if not count == len(targets) == len(masks):
        raise UsageError(
            f"there are logits at {count} scales, {len(targets)} targets and {len(masks)} masks.",
            remedy="Give one of each at every scale, or one target at full resolution.",
        )
    return [(targets[i], masks[i]) for i in kept]


def pool_targets(targets: Tensor, mask: Tensor, shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Soft targets and their mask on a coarser grid.

    Parameters
    ----------
    targets
        (B, C, *spatial) soft labels.
    mask
        (B, *spatial) bool.
    shape
        Of the coarser grid, one to three axes.

    Returns
    -------
    targets
        (B, C, *shape) float32: the mean over the valid voxels of each area, 0 where
        there are none. Unchanged where the shape is.
    mask
        (B, *shape) bool: where at least half of the area is valid.

    Raises
    ------
    UsageError
        When numbers of axes differ.
    """
    full, size = tuple(targets.shape[2:]), tuple(shape)
    if size == full:
        return targets, mask
    if len(size) != len(full) or mask.shape != (len(targets), *full):
        raise UsageError(
            f"a target of shape {tuple(targets.shape)} with a mask of shape {tuple(mask.shape)} "
            f"has no scale of shape {size}.",
            remedy="Target and mask must be (batch, classes, *spatial) and (batch, *spatial).",
        )
    valid = mask.unsqueeze(1)
    share = interpolate(valid.float(), size, mode="area")
    mass = interpolate(targets.float().masked_fill(~valid, 0), size, mode="area")
    return mass / share.where(share > 0, 1), share[:, 0] >= 0.5
