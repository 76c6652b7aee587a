"""What a trained fold is worth, on groups that it has not seen: figures, no judgement."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from softlab_cli.methods.vls.batches import NOT_LABELLED, Sampler
from softlab_cli.methods.vls.drawing import draw, drawn_noise
from softlab_cli.methods.vls.loss import divergences, encoded_labels
from softlab_cli.methods.vls.network import Network
from softlab_cli.methods.vls.pytorch import arithmetic, torch
from softlab_cli.methods.vls.soundness import Figures

__all__ = ["measure"]

BAND_VOXELS = 6
"""How far from an edge a label is still in question."""

MOST_PATCHES = {2: 128, 3: 16}
PATCHES_OF_CASE = 16
"""Patches that are looked at: at most, by dimensions, and of one case."""

Tensor = torch.Tensor


class _Sums(NamedTuple):
    """Sums over the voxels of some patches."""

    entropy: float  # -log of what the image alone gives the label, in the band
    counts: Tensor  # (C,) voxels of each class in the band
    both: Tensor  # (C,) voxels where label and image agree on the class
    sizes: Tensor  # (C,) voxels of the class by label and by image, together
    labelled: Tensor  # (C,) voxels of the class by label
    edge_entropy: float
    edge_voxels: int


def measure(network: Network, sampler: Sampler, samples: int, device: str) -> Figures:
    """The figures of a fold.

    Parameters
    ----------
    network
        Its networks, on `device`.
    sampler
        Draws the patches; they should be unchanged, and centred on the foreground.
    samples
        Draws of z for each patch.
    device
        ``cpu`` or ``cuda``.
    """
    recipe = network.recipe
    sums, spread = list[_Sums](), list[Tensor]()
    patches = min(MOST_PATCHES[recipe.dims], PATCHES_OF_CASE * len(sampler.cases))
    for step in range(-(-patches // sampler.size)):
        image, labels = (torch.from_numpy(np.ascontiguousarray(a)) for a in sampler.batch(step))
        noises = [
            drawn_noise(samples, recipe.latent, "measure", sampler.seed, step, i)
            for i in range(len(image))
        ]
        soft = torch.from_numpy(draw(network, image.numpy(), labels.numpy(), noises, device))
        with torch.inference_mode(), arithmetic(device):
            features = network.features(image.to(device))
            plain = None if features is None else network.of_image(features).float().cpu()
            if recipe.has_latent:
                one_hot = encoded_labels(labels, recipe.class_count).to(device)
                spread.append(divergences(network.encode(image.to(device), one_hot)).cpu())
        sums.append(_sums(plain, soft, labels))
    return _figures(sums, spread, has_plain=recipe.has_image_head)


def _sums(plain: Tensor | None, soft: Tensor, labels: Tensor) -> _Sums:
    count = soft.shape[1]
    valid = labels != NOT_LABELLED
    edge = edges(labels)
    near = within(edge, BAND_VOXELS) & valid
    own = torch.bincount(labels[near], minlength=count)
    nats = -(soft * soft.clamp(min=1e-12).log()).sum(1)
    zero = torch.zeros(count, dtype=torch.int64)
    edge_sums = float(nats[edge].double().sum()), int(edge.sum())
    if plain is None:
        return _Sums(0.0, own, zero, zero, zero, *edge_sums)
    loss = torch.nn.functional.cross_entropy(
        plain, labels, ignore_index=NOT_LABELLED, reduction="none"
    )
    guess, label = plain.argmax(1)[valid], labels[valid]
    labelled = torch.bincount(label, minlength=count)
    both = torch.bincount(label[guess == label], minlength=count)
    sizes = labelled + torch.bincount(guess, minlength=count)
    return _Sums(float(loss[near].double().sum()), own, both, sizes, labelled, *edge_sums)


def _figures(sums: list[_Sums], spread: list[Tensor], *, has_plain: bool) -> Figures:
    counts = torch.stack([s.counts for s in sums]).sum(0).double()
    near = float(counts.sum())
    shares = counts[counts > 0] / max(near, 1)
    unknown = -float((shares * shares.log()).sum())
    both, sizes, labelled = (
        torch.stack([getattr(s, name) for s in sums]).sum(0)
        for name in ("both", "sizes", "labelled")
    )
    dice = {
        index: float(2 * both[index] / sizes[index])
        for index in range(len(counts))
        if labelled[index] > 0
    }
    edge_voxels = sum(s.edge_voxels for s in sums)
    skill = None
    if has_plain and unknown > 0:
        skill = 1 - sum(s.entropy for s in sums) / near / unknown
    return Figures(
        skill=skill,
        dice=dice if has_plain else {},
        divergence=tuple(torch.cat(spread).mean(0).tolist()) if spread else (),
        edge_entropy=sum(s.edge_entropy for s in sums) / edge_voxels if edge_voxels else None,
    )


def edges(labels: Tensor) -> Tensor:
    """Voxels with a neighbour, face to face, of another class; (n, *patch) bool."""
    found = torch.zeros_like(labels, dtype=torch.bool)
    for axis in range(1, labels.ndim):
        length = labels.shape[axis]
        one, other = labels.narrow(axis, 0, length - 1), labels.narrow(axis, 1, length - 1)
        differ = (one != other) & (one != NOT_LABELLED) & (other != NOT_LABELLED)
        found.narrow(axis, 0, length - 1).logical_or_(differ)
        found.narrow(axis, 1, length - 1).logical_or_(differ)
    return found


def within(marks: Tensor, radius: int) -> Tensor:
    """Voxels at most so many voxels from a mark; (n, *patch) bool."""
    found = marks.clone()
    reach = range(-radius, radius + 1)
    for step in product(reach, repeat=marks.ndim - 1):
        if 0 < sum(s * s for s in step) <= radius * radius:
            target, source = _shifted(marks.shape[1:], step)
            found[(slice(None), *target)] |= marks[(slice(None), *source)]
    return found


def _shifted(shape: torch.Size, step: tuple[int, ...]) -> tuple[list[slice], list[slice]]:
    target = [slice(max(s, 0), max(n + min(s, 0), 0)) for n, s in zip(shape, step, strict=True)]
    source = [slice(max(-s, 0), max(n - max(s, 0), 0)) for n, s in zip(shape, step, strict=True)]
    return target, source
