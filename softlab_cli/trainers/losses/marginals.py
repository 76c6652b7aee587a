"""Cross-entropy with a penalty on the proportions of the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Unpack, get_args

import torch
from torch import Tensor

from softlab_cli.core.errors import UsageError
from softlab_cli.trainers.losses.common import Batch, LossOptions, SoftLoss, check_choice, prepare
from softlab_cli.trainers.losses.cross_entropy import SoftCrossEntropy

__all__ = [
    "CrossEntropyWithMarginals",
    "predicted_marginals",
    "step_schedule",
    "target_marginals",
]

Penalty = Literal["l1", "kl"]
Proportions = Literal["hard", "soft"]
Schedule = Callable[[int], float]


class CrossEntropyWithMarginals(SoftLoss):
    """Cross-entropy that also matches the classes' shares of the image.

    L = CE + weight * mean over images of R(p, p^), with p^ the mean of
    softmax(temperature * logits) over the valid voxels of an image and p the
    proportions it should have:

    ``l1``: R = mean over classes of |p^_c - p_c|
    ``kl``: R = KL(p || p^) = sum over classes of p_c log(p_c / p^_c)

    Liu, Dolz, Galdran, Kobbi and Ben Ayed, The Hidden Label-Marginal Biases of
    Segmentation Losses, 2021, section 3. They use temperature 10 for their 2D data,
    otherwise 1, and weight 1 (0.1 by default in their code).

    The penalty is smallest where the proportions agree, so the whole is smallest at
    x = y if p are the proportions of y itself (``proportions="soft"``) and the
    temperature is 1; otherwise it is a compromise, on purpose. Hard proportions are
    the default, because smoothing inflates rare classes: a share of 0.001 becomes
    0.0259 by uniform smoothing of 0.1 over four classes.

    With ``activation="sigmoid"`` p^ is the mean of sigmoid(temperature * logits), and
    KL is the sum over classes of that between (p, 1 - p) and (p^, 1 - p^).

    Parameters
    ----------
    penalty
        ``l1`` or ``kl``.
    weight
        Of the penalty.
    temperature
        Factor of the logits in p^; 1 where ``activation=None``.
    schedule
        Epoch to a factor of the weight; tell the epoch with `set_epoch`.
    proportions
        What p is where the call does not give it: the shares of the targets'
        largest classes (``hard``) or of their mass (``soft``), in the patch.
    activation, class_weights, include_background, reduction
        As for `SoftCrossEntropy`; of these only the activation matters to the
        penalty, which is always by image and over all classes.
    """

    def __init__(
        self,
        penalty: Penalty = "l1",
        *,
        weight: float = 1.0,
        temperature: float = 1.0,
        schedule: Schedule | None = None,
        proportions: Proportions = "hard",
        **options: Unpack[LossOptions],
    ) -> None:
        super().__init__(**options)
        check_choice("penalty", penalty, get_args(Penalty))
        check_choice("proportions", proportions, get_args(Proportions))
        if self.activation is None and temperature != 1:
            raise UsageError(
                f"temperature={temperature} needs logits, and activation=None gives none.",
                remedy="Choose an activation, or temperature 1.",
            )
        self.cross_entropy = SoftCrossEntropy(**options)
        self.penalty = penalty
        self.weight, self.temperature = weight, temperature
        self.schedule, self.proportions = schedule, proportions
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Tell the epoch, for the schedule; the first one is 0."""
        self.epoch = epoch

    @property
    def current_weight(self) -> float:
        """The weight of the penalty in this epoch."""
        return self.weight * (self.schedule(self.epoch) if self.schedule else 1.0)

    def forward(
        self,
        logits: Tensor,
        targets: Tensor,
        mask: Tensor | None = None,
        proportions: Tensor | None = None,
    ) -> Tensor:
        """The loss, a scalar.

        Parameters
        ----------
        logits, targets, mask
            As for all losses.
        proportions
            (B, C) the proportions that each image should have, such as
            `softlab_cli.report.marginals.label_marginals` has them; None for those of the
            targets.
        """
        return self.of_batch(prepare(logits, targets, mask, self.activation), proportions)

    def of_batch(self, batch: Batch, proportions: Tensor | None = None) -> Tensor:
        """Cross-entropy and penalty of what `prepare` made."""
        entropy = self.cross_entropy.of_batch(batch)
        return entropy + self.current_weight * self._penalty(batch, proportions)

    def _penalty(self, batch: Batch, proportions: Tensor | None) -> Tensor:
        found = predicted_marginals(batch, self.temperature)
        if proportions is None:
            wanted = target_marginals(batch, self.proportions)
        else:
            wanted = _checked(proportions, found)
        if self.penalty == "l1":
            distances = (found - wanted).abs().mean(1)
        else:
            distances = _divergence(wanted, found).sum(1)
            if batch.activation == "sigmoid":
                distances = distances + _divergence(1 - wanted, 1 - found).sum(1)
        counted = batch.valid[:, 0] > 0
        return (distances * counted).sum() / counted.sum().clamp(min=1)


def predicted_marginals(batch: Batch, temperature: float = 1.0) -> Tensor:
    """(B, C), mean probability of each class over the valid voxels of each image."""
    if temperature == 1:
        soft = batch.probabilities
    else:
        scaled = Batch(batch.logits * temperature, batch.targets, batch.mask, batch.activation)
        soft = scaled.probabilities
    return soft.sum(2) / batch.valid.clamp(min=1)


def target_marginals(batch: Batch, kind: Proportions) -> Tensor:
    """(B, C), share of each class in the valid voxels of each image.

    Parameters
    ----------
    batch
        From `prepare`.
    kind
        ``soft``: of the mass. ``hard``: of the voxels where the class is the largest
        one (the first among equals); where classes may overlap, above 1/2.
    """
    targets = batch.targets
    if kind == "soft":
        amounts = targets.sum(2)
    elif batch.activation == "sigmoid" or targets.shape[1] == 1:
        amounts = (targets > 0.5).sum(2).to(targets.dtype)
    else:
        # Counted in integers: in float32 a count stops growing at 2^24.
        counts = torch.zeros(targets.shape[:2], dtype=torch.int64, device=targets.device)
        counts.scatter_add_(1, targets.argmax(1), batch.mask[:, 0].long())
        amounts = counts.to(targets.dtype)
    return amounts / batch.valid.clamp(min=1)


def step_schedule(every: int, factor: float, most: float = 100.0) -> Schedule:
    """A schedule that multiplies by a factor at regular epochs, up to a limit.

    Parameters
    ----------
    every
        Epochs between two steps.
    factor
        Of each step.
    most
        The largest value of the factor. Liu et al.'s code limits the weight itself
        (``max_alpha``, 100): for a weight w, that is ``most=100 / w``.
    """
    return lambda epoch: min(factor ** (epoch // every), most)


def _checked(proportions: Tensor, like: Tensor) -> Tensor:
    if proportions.shape != like.shape:
        raise UsageError(
            f"proportions have shape {tuple(proportions.shape)}, and the batch needs "
            f"{tuple(like.shape)}.",
            remedy="Give (batch, classes).",
        )
    return proportions.to(like)


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """Terms p log(p / q) of a KL divergence; 0 where p is 0."""
    tiny = torch.finfo(q.dtype).tiny
    return torch.xlogy(p, p) - p * q.clamp(min=tiny).log()
