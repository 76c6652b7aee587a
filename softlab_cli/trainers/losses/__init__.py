"""Losses for soft labels: logits and soft targets in, a scalar out.

All are called ``loss(logits, targets, mask=None)``:

- logits (B, C, *spatial), any number of spatial axes, any floating type;
- targets (B, C, *spatial), soft labels as a store has them (float16 is fine);
- mask (B, *spatial) bool, the valid voxels. Without one, a voxel is valid when its
  targets add up to more than 1/2: a store keeps zero vectors where nothing is
  labelled. Classes that may overlap (``activation="sigmoid"``, or a single class)
  have zero vectors of their own, so there every voxel is valid.

A voxel outside the mask changes neither loss nor gradient, whatever its values.
Everything is computed in float32 (float64 for float64 logits), under autocast too: no
loss uses an operation that autocast would narrow.

Which loss for soft labels: cross-entropy, the metric and semimetric losses
(`JaccardMetricLoss`, `DiceSemimetricLoss`), `SquaredDiceLoss` and
`LovaszSoftmaxLoss` are smallest where the prediction is the target. `SoftDiceLoss`,
`SoftJaccardLoss` and `TverskyLoss` are not: they pull every voxel to 0 or 1. They
are here to be compared with.
"""

from __future__ import annotations

from softlab_cli.core.extras import require

with require("torch", extra="torch", problem="softlab's losses need torch."):
    from softlab_cli.trainers.losses.combined import CombinedLoss, DeepSupervision
    from softlab_cli.trainers.losses.common import SoftLoss, valid_voxels
    from softlab_cli.trainers.losses.cross_entropy import SoftCrossEntropy
    from softlab_cli.trainers.losses.lovasz import LovaszSoftmaxLoss
    from softlab_cli.trainers.losses.marginals import CrossEntropyWithMarginals, step_schedule
    from softlab_cli.trainers.losses.overlap import (
        DiceSemimetricLoss,
        JaccardMetricLoss,
        SoftDiceLoss,
        SoftJaccardLoss,
        SquaredDiceLoss,
        TverskyLoss,
    )

__all__ = [
    "CombinedLoss",
    "CrossEntropyWithMarginals",
    "DeepSupervision",
    "DiceSemimetricLoss",
    "JaccardMetricLoss",
    "LovaszSoftmaxLoss",
    "SoftCrossEntropy",
    "SoftDiceLoss",
    "SoftJaccardLoss",
    "SoftLoss",
    "SquaredDiceLoss",
    "TverskyLoss",
    "step_schedule",
    "valid_voxels",
]
