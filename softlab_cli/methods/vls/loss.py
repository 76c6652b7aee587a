"""What is made small: the bound on the evidence, for each voxel."""

from __future__ import annotations

from typing import NamedTuple

from softlab_cli.methods.vls.batches import NOT_LABELLED
from softlab_cli.methods.vls.network import Latent, Network
from softlab_cli.methods.vls.pytorch import torch
from softlab_cli.methods.vls.recipe import Recipe

__all__ = ["Terms", "divergences", "encoded_labels", "fold_loss", "kl_share"]

RISING_SHARE = 0.3
"""Share of the steps in which the divergence's weight rises from 0."""

Tensor = torch.Tensor


class Terms(NamedTuple):
    """The loss of a step, and its parts for each valid voxel.

    Parameters
    ----------
    loss
        What is made small.
    cross_entropy
        Of the labels.
    divergence
        KL(q || N(0, I)), unweighted.
    """

    loss: Tensor
    cross_entropy: Tensor
    divergence: Tensor


def kl_share(step: int, steps: int) -> float:
    """beta_t: from 0 to 1 over the first `RISING_SHARE` of the steps."""
    return min(1.0, step / max(1.0, RISING_SHARE * steps))


def encoded_labels(labels: Tensor, class_count: int) -> Tensor:
    """(n, C, *patch) one-hot - 1/2 of (n, *patch) labels; 0 where there is no label."""
    valid = labels != NOT_LABELLED
    return (_one_hot(labels, class_count).float() - 0.5) * valid[:, None]


def _one_hot(labels: Tensor, class_count: int) -> Tensor:
    """(n, C, *patch) bool."""
    classes = torch.arange(class_count, device=labels.device)
    return labels[:, None] == classes.reshape(-1, *[1] * (labels.ndim - 1))


def divergences(latent: Latent) -> Tensor:
    """(n, latent) KL(q || N(0, I)) of each dimension, in nats."""
    mean, log_variance = latent
    return 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)


def fold_loss(
    network: Network, recipe: Recipe, image: Tensor, labels: Tensor, noise: Tensor, step: int
) -> Terms:
    """Loss of a batch: [sum CE + w/2 sum (x^ - x)^2 + beta_t KL] / valid voxels.

    The head that sees the image alone learns beside it, from features that it does not
    change: what it reaches tells whether the image is of use.

    Parameters
    ----------
    network
        The networks.
    recipe
        Their recipe.
    image, labels
        (n, channels, *patch) and (n, *patch).
    noise
        (n, latent), standard normal.
    step
        Counted from 0.
    """
    features = network.features(image)
    valid = (labels != NOT_LABELLED).sum().clamp(min=1)
    if not recipe.has_latent:
        assert features is not None
        entropy = _cross_entropy(network.of_image(features), labels) / valid
        return Terms(entropy, entropy, torch.zeros_like(entropy))
    latent = network.encode(image, encoded_labels(labels, recipe.class_count))
    z = latent.mean + (latent.log_variance / 2).exp() * noise
    logits, again = network.decode(network.shared(features), z)
    entropy = _cross_entropy(logits, labels)
    divergence = divergences(latent).sum()
    loss = entropy + kl_share(step, recipe.steps) * recipe.kl_weight * divergence
    if again is not None:
        apart = (again.float() - image) ** 2 * (labels != NOT_LABELLED)[:, None]
        loss = loss + recipe.image_weight / 2 * apart.sum()
    loss = loss / valid
    if features is not None:
        loss = loss + _cross_entropy(network.of_image(features.detach()), labels) / valid
    return Terms(loss, entropy / valid, divergence / valid)


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Sum over valid voxels, in nats."""
    # torch's own picks the label's entry, which on CUDA differs from run to run.
    of_label = _one_hot(labels, logits.shape[1])
    return -torch.where(of_label, logits.float().log_softmax(1), 0.0).sum()
