"""What all losses share: checks, precision, masking, class weights, means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypedDict, Unpack, get_args

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from softlab_cli.core.errors import UsageError

__all__ = [
    "Activation",
    "Batch",
    "LossOptions",
    "PerClassLoss",
    "PerClassOptions",
    "Reduction",
    "SoftLoss",
    "check_choice",
    "prepare",
    "valid_voxels",
]

Activation = Literal["softmax", "sigmoid"] | None
Reduction = Literal["image", "batch"]
Absent = Literal["skip", "count"]
ClassWeights = Sequence[float] | NDArray[Any] | Tensor | None

ACTIVATIONS = ("softmax", "sigmoid", None)


class LossOptions(TypedDict, total=False):
    """Options of every loss; `SoftLoss` says what they mean."""

    activation: Activation
    class_weights: ClassWeights
    include_background: bool
    reduction: Reduction


class PerClassOptions(LossOptions, total=False):
    """Options of losses that are a mean over classes; see `PerClassLoss`."""

    absent: Absent


@dataclass
class Batch:
    """Logits and targets, checked, in full precision, and 0 outside the mask.

    Parameters
    ----------
    logits
        (B, C, N) for N voxels an image, float32 or float64; probabilities when
        `activation` is None.
    targets
        (B, C, N), the same type.
    mask
        (B, 1, N) bool, the valid voxels.
    activation
        What makes probabilities of the logits.
    """

    logits: Tensor
    targets: Tensor
    mask: Tensor
    activation: Activation

    @cached_property
    def probabilities(self) -> Tensor:
        """(B, C, N), 0 outside the mask."""
        if self.activation is None:
            return self.logits
        soft = self.logits.softmax(1) if self.activation == "softmax" else self.logits.sigmoid()
        return soft * self.mask

    @cached_property
    def valid(self) -> Tensor:
        """(B, 1) valid voxels of each image."""
        return self.mask.sum(2).to(self.logits.dtype)


def valid_voxels(targets: Tensor, activation: Activation = "softmax") -> Tensor:
    """The voxels that count when no mask is given.

    Parameters
    ----------
    targets
        (B, C, *spatial) soft labels.
    activation
        Of the loss.

    Returns
    -------
    mask
        (B, *spatial) bool: where the targets add up to more than 1/2; everywhere
        for classes that may overlap (sigmoid, or a single class).
    """
    if activation == "sigmoid" or targets.shape[1] == 1:
        return torch.ones_like(targets[:, 0], dtype=torch.bool)
    return targets.sum(1, dtype=torch.float32) > 0.5


def prepare(
    logits: Tensor, targets: Tensor, mask: Tensor | None = None, activation: Activation = "softmax"
) -> Batch:
    """Check what a loss is called with, and bring it into one form.

    Parameters
    ----------
    logits, targets, mask
        As all losses take them.
    activation
        Of the loss.

    Raises
    ------
    UsageError
        For shapes that do not fit, integer targets, and masks that are not bool.
    """
    _check(logits, targets, mask)
    if mask is None:
        mask = valid_voxels(targets, activation)
    dtype = torch.float64 if logits.dtype == torch.float64 else torch.float32
    flat = mask.flatten(1).unsqueeze(1)
    # Filled, not multiplied: an infinite logit outside the mask must not become NaN.
    return Batch(
        logits.to(dtype).flatten(2).masked_fill(~flat, 0),
        targets.to(dtype).flatten(2).masked_fill(~flat, 0),
        flat,
        activation,
    )


def _check(logits: Tensor, targets: Tensor, mask: Tensor | None) -> None:
    if not targets.is_floating_point():
        raise UsageError(
            f"targets of type {targets.dtype} and shape {tuple(targets.shape)} are no soft labels.",
            remedy="Class indices (B, *spatial) become them by torch.nn.functional.one_hot("
            f"targets, {logits.shape[1]}).movedim(-1, 1).float(), one-hot ones by .float().",
        )
    if logits.ndim < 3 or logits.shape != targets.shape:
        raise UsageError(
            f"logits have shape {tuple(logits.shape)} and targets {tuple(targets.shape)}.",
            remedy="Both must be (batch, classes, *spatial).",
        )
    if mask is None:
        return
    expected = (logits.shape[0], *logits.shape[2:])
    if mask.shape != expected:
        raise UsageError(
            f"the mask has shape {tuple(mask.shape)}, and logits of shape "
            f"{tuple(logits.shape)} need {expected}.",
            remedy="Give (batch, *spatial), without a class axis.",
        )
    if mask.dtype != torch.bool:
        raise UsageError(f"the mask is {mask.dtype}.", remedy="Make it bool: mask > 0.")


def check_choice(name: str, value: object, choices: Sequence[object]) -> None:
    """Refuse a value that is none of the choices.

    Raises
    ------
    UsageError
        With the valid ones.
    """
    if value not in choices:
        listed = ", ".join(map(repr, choices))
        raise UsageError(f"{name}={value!r} has no meaning.", remedy=f"There are: {listed}.")


class SoftLoss(nn.Module):
    """Base of all losses; see `softlab_cli.trainers.losses` for how they are called.

    Parameters
    ----------
    activation
        What makes probabilities of the logits: ``softmax``, ``sigmoid`` for classes
        that may overlap, or None when they are probabilities already.
    class_weights
        One weight for each class, relative to each other; None for equal ones.
    include_background
        Whether the first class counts. Its probability takes part in the softmax
        either way.
    reduction
        ``image``: the loss of each image, then their mean over the images that have
        valid voxels. ``batch``: of all voxels of the batch together.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        *,
        activation: Activation = "softmax",
        class_weights: ClassWeights = None,
        include_background: bool = True,
        reduction: Reduction = "image",
    ) -> None:
        super().__init__()
        check_choice("activation", activation, ACTIVATIONS)
        check_choice("reduction", reduction, get_args(Reduction))
        self.activation = activation
        self.include_background = include_background
        self.reduction = reduction
        self.register_buffer("class_weights", _as_weights(class_weights), persistent=False)

    def forward(self, logits: Tensor, targets: Tensor, mask: Tensor | None = None) -> Tensor:
        """The loss, a scalar.

        Parameters
        ----------
        logits
            (B, C, *spatial).
        targets
            (B, C, *spatial) soft labels.
        mask
            (B, *spatial) bool, the valid voxels; None for `valid_voxels`.

        Raises
        ------
        UsageError
            For shapes and types that do not fit.
        """
        return self.of_batch(prepare(logits, targets, mask, self.activation))

    def of_batch(self, batch: Batch) -> Tensor:
        """The loss of what `prepare` made."""
        raise NotImplementedError

    def weights(self, batch: Batch) -> Tensor:
        """(C,) weights of the classes; 0 for a background that does not count."""
        count = batch.logits.shape[1]
        if self.class_weights is None:
            weights = batch.logits.new_ones(count)
        elif len(self.class_weights) == count:
            weights = self.class_weights.to(batch.logits, copy=True)
        else:
            raise UsageError(
                f"{len(self.class_weights)} class weights for {count} classes.",
                remedy="Give one for each class, the background included.",
            )
        if not self.include_background:
            if count == 1:
                raise UsageError("the only class is the background, which is not included.")
            weights[0] = 0
        return weights


def _as_weights(weights: ClassWeights) -> Tensor | None:
    if weights is None:
        return None
    found = torch.as_tensor(weights, dtype=torch.float32).detach().clone()
    if found.ndim != 1 or not bool((found >= 0).all()) or not 0 < float(found.sum()) < torch.inf:
        raise UsageError(
            f"class weights {found.tolist()} have no meaning.",
            remedy="Give one number of 0 or more for each class, not all 0.",
        )
    return found


class PerClassLoss(SoftLoss):
    """Base of losses that are a mean over classes of one number for each.

    Parameters
    ----------
    absent
        What becomes of a class that has no mass in the targets of the image (of the
        batch, with ``reduction="batch"``). ``skip``: it is left out of the mean.
        ``count``: it counts; its loss is then 1 as soon as anything is predicted, so
        it has next to no gradient unless `smooth` is given.
    class_weights
        As for `SoftLoss`; the mean over classes is divided by the sum of the weights
        that count.
    activation, include_background
        As for `SoftLoss`.
    reduction
        ``image``: the mean over the classes of each image, then the mean of those over
        the images that have a class that counts, each weighing the same however many
        classes it has. ``batch``: as for `SoftLoss`.

    Notes
    -----
    With ``reduction="image"`` and ``absent="skip"`` this is the mIoU^I of Wang et al.,
    Revisiting Evaluation Metrics for Semantic Segmentation, NeurIPS 2023; with
    ``"batch"`` it is mIoU^D over the batch. Their code (JDTLosses) differs in this:
    class weights are factors of each class's loss there, not divided by anything; and
    with all classes active, which is its default for soft labels, an image without a
    valid voxel counts with a loss of 0, and is left out here.
    """

    def __init__(self, *, absent: Absent = "skip", **options: Unpack[LossOptions]) -> None:
        super().__init__(**options)
        check_choice("absent", absent, get_args(Absent))
        self.absent = absent

    def of_batch(self, batch: Batch) -> Tensor:
        """Weighted mean over classes, then over images unless they are one batch."""
        losses = self.per_class(batch.probabilities, batch.targets)
        mass, valid = batch.targets.detach().sum(2), batch.valid
        if self.reduction == "batch":
            mass, valid = mass.sum(0, keepdim=True), valid.sum(0, keepdim=True)
        counted = (mass if self.absent == "skip" else valid) > 0
        weights = self.weights(batch) * counted
        totals = weights.sum(1)
        images = totals > 0
        means = (losses * weights).sum(1) / totals.where(images, 1)
        return means.sum() / images.sum().clamp(min=1)

    def per_class(self, probabilities: Tensor, targets: Tensor) -> Tensor:
        """The loss of each class.

        Parameters
        ----------
        probabilities, targets
            (B, C, N), 0 at voxels that are not valid.

        Returns
        -------
        losses
            (B, C), or (1, C) with ``reduction="batch"``.
        """
        raise NotImplementedError
