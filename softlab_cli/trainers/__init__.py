"""For trainers: what PyTorch needs to learn from soft labels.

The names are imported when they are first used; PyTorch is an extra.

>>> import softlab_cli.trainers
>>> "DiceSemimetricLoss" in dir(softlab_cli.trainers)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from softlab_cli.trainers.dataset import SoftLabelDataset
    from softlab_cli.trainers.losses import (
        CombinedLoss,
        CrossEntropyWithMarginals,
        DeepSupervision,
        DiceSemimetricLoss,
        JaccardMetricLoss,
        LovaszSoftmaxLoss,
        SoftCrossEntropy,
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
    "SoftLabelDataset",
    "SquaredDiceLoss",
    "TverskyLoss",
]

_HOMES = dict.fromkeys(__all__, "softlab_cli.trainers.losses")
_HOMES["SoftLabelDataset"] = "softlab_cli.trainers.dataset"


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softlab_cli.trainers' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
