"""Cross-entropy with soft targets."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from softlab_cli.trainers.losses.common import Batch, LossOptions, SoftLoss

__all__ = ["SoftCrossEntropy", "cross_entropy_terms"]


class SoftCrossEntropy(SoftLoss):
    """Cross-entropy of the prediction x under the soft label y.

    L = - sum_voxels sum_c w_c y_c log x_c / sum_voxels sum_c w_c y_c

    This is KL(y || x) plus the entropy of y, so for equal weights it is smallest
    exactly at x = y; with weights, at x_c proportional to w_c y_c. Equation 1 of
    Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021, with their soft
    labels in place of hard ones. For one-hot targets it is
    ``torch.nn.functional.cross_entropy``, weighted or not.

    Where the soft labels of a voxel do not add up to 1 (a store made by ``geols
    --parity repository``), it is the authors' loss, a mean over voxels, divided by the
    voxels' mean mass. A published learning rate does not carry over there: gradients
    are smaller by that factor.

    With ``activation="sigmoid"`` each class is a question of its own:
    L = - mean over voxels and classes (weighted by w) of
    y log x + (1 - y) log (1 - x), smallest at x = y whatever the weights.

    Parameters
    ----------
    activation, class_weights, include_background
        As for `SoftLoss`.
    reduction
        As for `SoftLoss`; by default all voxels of the batch weigh the same.
    """

    def __init__(self, **options: Unpack[LossOptions]) -> None:
        options.setdefault("reduction", "batch")
        super().__init__(**options)

    def of_batch(self, batch: Batch) -> Tensor:
        """Weighted mean over voxels, and over images with ``reduction="image"``."""
        weights = self.weights(batch)
        terms, mass = cross_entropy_terms(batch)
        terms, mass = (terms * weights).sum(1), (mass * weights).sum(1)
        if self.reduction == "batch":
            terms, mass = terms.sum(0, keepdim=True), mass.sum(0, keepdim=True)
        counted = mass > 0
        # Where there is no mass the terms are 0 as well.
        return (terms / mass.where(counted, 1)).sum() / counted.sum().clamp(min=1)


def cross_entropy_terms(batch: Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each class of each image, and what it is a share of.

    Returns
    -------
    terms
        (B, C), sum over voxels of - y log x.
    mass
        (B, C), sum over voxels of y, or the number of valid voxels for sigmoid.
    """
    logits, targets = batch.logits, batch.targets
    if batch.activation == "sigmoid":
        terms = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (terms * batch.mask).sum(2), batch.valid.expand(targets.shape[:2])
    if batch.activation == "softmax":
        logs = logits.log_softmax(1)
    else:
        # A probability of 0 gets the logarithm of the smallest normal number.
        logs = logits.clamp(min=torch.finfo(logits.dtype).tiny).log()
    return -(targets * logs).sum(2), targets.sum(2)
