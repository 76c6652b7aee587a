"""Metric losses and weights by Dice beside zifuwanggg/JDTLosses."""

from __future__ import annotations

from collections.abc import Iterator
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

import softlab_cli
from softlab_cli.trainers.losses import DiceSemimetricLoss, JaccardMetricLoss
from tests.conftest import blobs

from .checkout import Checkout
from .figures import Row, close, same_halves

LIMIT = 1e-14
SIZE = (12, 10)
SMOOTH = 0.5
CLASS_WEIGHTS = (0.5, 1.0, 2.0, 1.5, 3.0)
CASES = "3 batches of {}, 12 x 10 voxels, float64"

LOSSES = {
    "JML (`JaccardMetricLoss`, the same smooth)": (JaccardMetricLoss, 1.0, 1.0),
    "DML (`DiceSemimetricLoss`, twice their smooth)": (DiceSemimetricLoss, 0.5, 2.0),
}
"""Ours, their alpha and beta, and how often their smooth is in ours."""


def compare(checkout: Checkout) -> Iterator[Row]:
    """All comparisons with the repository."""
    code = checkout.load("losses.jdt_loss")
    cases, same = CASES.format("3 images with 2, 5 and 3 of 5 classes"), "the same"
    for name, (ours, share, factor) in LOSSES.items():
        for reduction, metric in (("image", "mIoU^I"), ("batch", "mIoU^D")):
            yield close(
                f"{name}, {metric}", cases,
                (
                    pair(code, ours, share, factor, seed, reduction, smooth=s, mode=mode)
                    for seed in range(3) for s in (0.0, SMOOTH) for mode in ("PRESENT", "ALL")
                    if s or mode == "PRESENT"  # theirs is 0 / 0 where nothing is
                ),
                LIMIT,
            )  # fmt: skip
        yield close(
            "- with a mask", same,
            (pair(code, ours, share, factor, seed, "image", masked=True) for seed in range(3)),
            LIMIT,
        )  # fmt: skip
        yield close(
            "- with class weights, theirs divided by their mean", same,
            (pair(code, ours, share, factor, seed, "batch", weighted=True) for seed in range(3)),
            LIMIT,
        )  # fmt: skip
        yield close(
            "- with an image that is ignored wholly, theirs times 4 / 3", same,
            (pair(code, ours, share, factor, seed, "image", empty=True) for seed in range(3)),
            LIMIT,
        )  # fmt: skip
    yield weights(checkout)


def pair(
    code: ModuleType, loss: Any, share: float, factor: float, seed: int, reduction: str,
    *, smooth: float = SMOOTH, mode: str = "ALL", masked: bool = False, weighted: bool = False,
    empty: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Our loss and theirs, for images that have different classes."""
    logits, targets = batch(seed)
    generator = torch.Generator().manual_seed(seed)
    mask = torch.rand((3, *SIZE), generator=generator) < (0.7 if masked else 2)
    theirs = code.JDTLoss(
        mIoUD=float(reduction == "batch"), mIoUI=float(reduction == "image"),
        alpha=share, beta=share, smooth=smooth, threshold=0.0,
        class_weights=list(CLASS_WEIGHTS) if weighted else None, active_classes_mode_soft=mode,
    )  # fmt: skip
    ours = loss(
        smooth=factor * smooth, reduction=reduction,
        absent="count" if mode == "ALL" else "skip",
        class_weights=CLASS_WEIGHTS if weighted else None,
    )  # fmt: skip
    if empty:
        logits, targets, mask = (torch.cat([t, t[:1]]) for t in (logits, targets, mask))
        mask[3] = False
    theirs_share = 1.0
    if weighted:
        theirs_share = len(CLASS_WEIGHTS) / sum(CLASS_WEIGHTS)
    elif empty:
        theirs_share = 4 / 3
    return ours(logits, targets, mask), theirs(logits, targets, mask) * theirs_share


def batch(seed: int) -> tuple[Tensor, Tensor]:
    """Logits, and soft targets of 2, 5 and 3 of 5 classes."""
    generator = torch.Generator().manual_seed(seed)
    options: dict[str, Any] = {"generator": generator, "dtype": torch.float64}
    logits = 2 * torch.randn(3, 5, *SIZE, **options)
    targets = 2 * torch.randn(3, 5, *SIZE, **options)
    for image, classes in enumerate((2, 5, 3)):
        targets[image, classes:] = -torch.inf
    return logits, targets.softmax(1)


def weights(checkout: Checkout) -> Row:
    """Raters weighted by their Dice with the majority; the function is inside another one."""
    module = checkout.load("datas.prepare.prepare_qubiq", stubs=["cv2", "sitk"])
    code = next(c for c in module.prepare_qubiq.__code__.co_consts if isinstance(c, CodeType))
    score = FunctionType(code, {"np": np})
    pairs = []
    for seed in range(3):
        raters = [blobs((1, 40, 50), 2, seed)] * 3
        rng = np.random.default_rng(seed)
        raters = [r ^ (rng.random(r.shape) < 0.1 * (i + 1)) for i, r in enumerate(raters)]
        floats = [r.astype(float) for r in raters]
        majority = (sum(floats) >= 2).astype(float)
        dice = [float(score(r, majority)) for r in floats]
        foreground = sum(d * r for d, r in zip(dice, floats, strict=True)) / sum(dice)
        found = softlab_cli.fuse(raters, method="dice-weighted", labels=range(2))
        pairs.append((found, np.stack([1 - foreground, foreground])))
    return same_halves("`fuse --method dice-weighted`", "3 x 3 raters, 40 x 50 pixels", pairs)
