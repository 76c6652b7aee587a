"""Losses by name, and random logits and soft targets, for the tests of the losses."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softlab_cli.trainers.losses import (
    CombinedLoss,
    CrossEntropyWithMarginals,
    DiceSemimetricLoss,
    JaccardMetricLoss,
    LovaszSoftmaxLoss,
    SoftCrossEntropy,
    SoftDiceLoss,
    SoftJaccardLoss,
    SoftLoss,
    SquaredDiceLoss,
    TverskyLoss,
)

torch.set_num_threads(1)  # the tensors are tiny: threads would wait for each other

LossClass = Callable[..., SoftLoss]

PROMISING: dict[str, LossClass] = {
    "ce": SoftCrossEntropy,
    "ce + l1": partial(CrossEntropyWithMarginals, proportions="soft"),
    "ce + kl": partial(CrossEntropyWithMarginals, "kl", proportions="soft"),
    "jml1": JaccardMetricLoss,
    "jml2": partial(JaccardMetricLoss, 2),
    "dml1": DiceSemimetricLoss,
    "dml2": partial(DiceSemimetricLoss, 2),
    "squared dice": SquaredDiceLoss,
    "lovasz": LovaszSoftmaxLoss,
    "combined": CombinedLoss,
}
"""Losses that are smallest where the prediction is the target."""

CLASSIC: dict[str, LossClass] = {
    "soft dice": SoftDiceLoss,
    "soft jaccard": SoftJaccardLoss,
    "tversky": TverskyLoss,
}
"""Losses that are not."""

LOSSES = PROMISING | CLASSIC

OVERLAP = {
    name: LOSSES[name]
    for name in ("jml1", "jml2", "dml1", "dml2", "squared dice", "lovasz", *CLASSIC)
}
"""Losses that are means over classes."""


def random_case(
    batch: int = 2,
    classes: int = 3,
    spatial: tuple[int, ...] = (5, 4),
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor]:
    """Logits and soft targets that add up to 1, some voxels hard."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"generator": generator, "dtype": dtype}
    logits = 2 * torch.randn(batch, classes, *spatial, **options)
    targets = (2 * torch.randn(batch, classes, *spatial, **options)).softmax(1)
    hard = torch.rand(batch, 1, *spatial, **options) < 0.4
    return logits, torch.where(hard, one_hot(targets.argmax(1), classes).to(dtype), targets)


def one_hot(indices: Tensor, classes: int) -> Tensor:
    """(B, *spatial) to (B, C, *spatial)."""
    return torch.nn.functional.one_hot(indices, classes).movedim(-1, 1)
