"""Cross-entropy with label marginals beside by-liu/SegLossBias."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from softlab_cli.trainers.losses import CrossEntropyWithMarginals, SoftCrossEntropy, step_schedule

from .checkout import Checkout
from .figures import Row, close

PACKAGES = ("seglossbias", "seglossbias.modeling", "seglossbias.utils")
STUBS = ("segmentation_models_pytorch", "turtle")
NNUNET = ("nnunet.training.loss_functions.focal_loss", "nnunet.utilities.nd_softmax")
LIMIT = 1e-12
"""Theirs adds 1e-10 to sums of voxels."""

CLASSES, IGNORED = 4, 255
PICTURE, VOLUME = (24, 20), (10, 12, 14)
CASES = "3 batches of 2 {}, 4 classes, float64"


def compare(checkout: Checkout) -> Iterator[Row]:
    """All comparisons with the repository."""
    flat = checkout.load("seglossbias.modeling.compound_losses", stubs=STUBS, packages=PACKAGES)
    solid = checkout.load("losses_nnunet.ce_bias", stubs=NNUNET)
    pictures = CASES.format("pictures of 24 x 20 pixels")
    same = "the same pictures"
    volumes = CASES.format("volumes of 10 x 12 x 14 voxels")
    for penalty in ("l1", "kl"):
        yield close(
            f"CE + {penalty.upper()}, temperature 1 and 10", pictures if penalty == "l1" else same,
            (pair(flat, penalty, PICTURE, seed, t) for seed in range(3) for t in (1.0, 10.0)),
            LIMIT,
        )  # fmt: skip
        yield close(
            "- with an ignore label, class weights, weight .1", same,
            (pair(flat, penalty, PICTURE, seed, 1.0, hard=True) for seed in range(3)), LIMIT,
        )  # fmt: skip
        yield close(
            "- their nnU-Net's, 3D", volumes,
            (pair(solid, penalty, VOLUME, seed, 1.0) for seed in range(3)), LIMIT,
        )  # fmt: skip
    yield close(
        "KL alone, one class that a voxel has or not (their CE is float32 there)", same,
        (binary(flat, seed) for seed in range(3)), LIMIT,
    )  # fmt: skip
    yield close(
        "weight by epoch, `step_schedule(every, factor, most=100 / weight)`",
        "weight .1, times 10 every 5 of 40 epochs", schedules(flat), 1e-12,
    )  # fmt: skip


def pair(
    module: ModuleType, penalty: Any, shape: tuple[int, ...], seed: int, temperature: float,
    *, hard: bool = False,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Our loss and theirs; the hard case has ignored voxels and weights."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, CLASSES, *shape, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, CLASSES, (2, *shape), generator=generator)
    weights = torch.tensor([0.5, 1.0, 2.0, 1.5], dtype=torch.float64) if hard else None
    mask = torch.ones(labels.shape, dtype=torch.bool)
    if hard:
        mask = torch.rand(labels.shape, generator=generator) < 0.8
    amount = 0.1 if hard else 1.0
    theirs = {"l1": module.CrossEntropyWithL1, "kl": module.CrossEntropyWithKL}[penalty](
        "multiclass", alpha=amount, temp=temperature, ignore_index=IGNORED, weight=weights
    )
    ours = CrossEntropyWithMarginals(
        penalty, weight=amount, temperature=temperature, class_weights=weights
    )
    targets = torch.nn.functional.one_hot(labels, CLASSES).movedim(-1, 1).double()
    with in_float64():
        found = theirs(logits, labels.masked_fill(~mask, IGNORED))
    # The 2D losses return the sum and its parts.
    return ours(logits, targets, mask), found[0] if isinstance(found, tuple) else found


def binary(module: ModuleType, seed: int) -> tuple[Tensor, Tensor]:
    """One class that a voxel belongs to or not: the penalties."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(2, 1, *PICTURE, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, 2, (2, *PICTURE), generator=generator)
    ours = CrossEntropyWithMarginals("kl", activation="sigmoid")
    with in_float64():
        *_, theirs = module.CrossEntropyWithKL("binary")(logits, labels)
    targets = labels[:, None].double()
    entropy = SoftCrossEntropy(activation="sigmoid")(logits, targets)
    return ours(logits, targets) - entropy, theirs


@contextmanager
def in_float64() -> Iterator[None]:
    """Theirs counts labels in torch's default type, whatever the logits have."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def schedules(module: ModuleType) -> Iterator[tuple[float, float]]:
    """Weight of the penalty in each epoch; theirs is brought forward when an epoch ends."""
    weight, every, factor = 0.1, 5, 10.0
    theirs = module.CrossEntropyWithL1("multiclass", alpha=weight, factor=factor, step_size=every)
    ours = CrossEntropyWithMarginals(
        weight=weight, schedule=step_schedule(every, factor, most=100 / weight)
    )
    for epoch in range(40):
        ours.set_epoch(epoch)
        yield ours.current_weight, theirs.alpha
        theirs.adjust_alpha(epoch)
