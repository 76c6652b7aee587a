"""Lovász-softmax, for hard and soft targets."""

from __future__ import annotations

import torch
from torch import Tensor

from softlab_cli.trainers.losses.common import PerClassLoss

__all__ = ["LovaszSoftmaxLoss", "lovasz_jaccard"]


class LovaszSoftmaxLoss(PerClassLoss):
    """Lovász extension of the Jaccard loss, applied to the errors of the prediction.

    Errors m_i = |y_i - x_i|, largest first; L = sum_i m_i (J_i - J_{i-1}), where J_i is
    the Jaccard loss when the first i voxels are wrong. Berman, Rannen Triki and
    Blaschko, The Lovász-Softmax Loss, CVPR 2018, equations 8 and 9.

    The paper has hard y. For soft ones the voxels' masses take the place of their
    counts: J = 1 - (Y - Y_wrong) / (Y + N_wrong - Y_wrong), with Y the class's mass,
    Y_wrong that of the wrong voxels and N_wrong their number. This is an extension of
    ours. J grows with every further voxel, so L is 0 exactly at x = y and larger
    elsewhere; for hard y it is the paper's.

    Sorting makes it slower than the other losses. By default classes that are absent
    from the targets are left out, as the paper does ("present"); one that counts has
    its largest error as its loss.

    Parameters
    ----------
    absent, activation, class_weights, include_background, reduction
        As for `PerClassLoss`.
    """

    def per_class(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        """The extension for each class of each image, or of the batch."""
        if self.reduction == "batch":
            probabilities = probabilities.transpose(0, 1).flatten(1).unsqueeze(0)
            targets = targets.transpose(0, 1).flatten(1).unsqueeze(0)
        return lovasz_jaccard((targets - probabilities).abs(), targets)


def lovasz_jaccard(errors: Tensor, targets: Tensor) -> Tensor:
    """Lovász extension of the Jaccard loss at a vector of errors.

    Parameters
    ----------
    errors
        (..., N), 0 or more.
    targets
        (..., N), hard or soft, in [0, 1].

    Returns
    -------
    Tensor
        (...).
    """
    ordered, order = errors.sort(dim=-1, descending=True)
    mass = targets.gather(-1, order)
    total = mass.sum(-1, keepdim=True)
    wrong = mass.cumsum(-1)
    number = torch.arange(1, mass.shape[-1] + 1, dtype=mass.dtype, device=mass.device)
    jaccard = 1 - (total - wrong) / (total + number - wrong)
    steps = torch.cat([jaccard[..., :1], jaccard.diff(dim=-1)], dim=-1)
    return (ordered * steps).sum(-1)
