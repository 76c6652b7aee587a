"""SVLS, LS and several raters beside mobarakol/SVLS."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional
from numpy.typing import NDArray

import softlab_cli
from softlab_cli.trainers.losses import SoftCrossEntropy
from tests.conftest import REAL, blobs

from .checkout import Checkout
from .figures import Row, close, same_halves

SIGMAS = (0.5, 1.0, 2.0)
SMOOTHINGS = (0.1, 0.2, 0.3)
CLASSES = 5


class Caught:
    """Stands in for log-probabilities, and keeps the soft labels they are multiplied by."""

    soft: torch.Tensor

    def __rmul__(self, negative: torch.Tensor) -> torch.Tensor:
        self.soft = -negative
        return negative


def compare(checkout: Checkout) -> Iterator[Row]:
    """All comparisons with the repository."""
    losses = checkout.load("svls")
    volumes = [blobs((14, 30, 28), CLASSES, seed) for seed in range(3)]
    random = "3 volumes of 14 x 30 x 28 voxels, 5 classes"
    everything = [*volumes, *real_labels()]
    has_ct = len(everything) > len(volumes)
    both = random + "; the CT's label map, 30 x 101 x 122, 42 classes" * has_ct
    yield same_halves(
        "`svls`, 3D, sigma .5, 1, 2", both,
        (
            (softlab_cli.svls(y, sigma_voxels=s, labels=count(y)), spatial(losses, y, s))
            for y in everything for s in SIGMAS
        ),
    )  # fmt: skip
    yield same_halves(
        "`ls`, alpha .1, .2, .3", "the same",
        (
            (softlab_cli.label_smoothing(y, smoothing=a, labels=count(y)), uniform(losses, y, a))
            for y in everything for a in SMOOTHINGS
        ),
    )  # fmt: skip
    raters = [blobs((14, 30, 28), CLASSES, seed) for seed in range(4)]
    yield same_halves(
        "`msvls`, sigma .5, 1, 2: mean of their labels", "4 raters, 14 x 30 x 28 voxels",
        (
            (
                softlab_cli.msvls(raters, sigma_voxels=sigma, labels=range(CLASSES)),
                np.mean([spatial(losses, y, sigma) for y in raters], axis=0),
            )
            for sigma in SIGMAS
        ),
    )  # fmt: skip
    yield same_halves(
        "`fuse`: mean of their labels without smoothing", "the same 4 raters",
        [(
            softlab_cli.fuse(raters, labels=range(CLASSES)),
            np.mean([uniform(losses, y, 0.0) for y in raters], axis=0),
        )],
    )  # fmt: skip
    yield from compare_pictures(checkout, [slice_ for y in volumes for slice_ in y[::5]])
    yield cross_entropy(losses, volumes)


def compare_pictures(checkout: Checkout, pictures: list[NDArray[np.uint8]]) -> Iterator[Row]:
    """Their 2D code, which is in a notebook."""
    notebook = json.loads((checkout.path / "SVLS_2D.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    flat = ModuleType("svls_2d")
    exec(next(cell for cell in cells if "class CELossWithSVLS_2D" in cell), flat.__dict__)
    yield same_halves(
        "`svls`, 2D, sigma .5, 1, 2", f"{len(pictures)} pictures of 30 x 28 pixels, 5 classes",
        (
            (
                softlab_cli.svls(y, sigma_voxels=sigma, labels=range(CLASSES)),
                caught(flat, flat.CELossWithSVLS_2D(CLASSES, sigma), y),
            )
            for y in pictures for sigma in SIGMAS
        ),
    )  # fmt: skip


def cross_entropy(losses: ModuleType, volumes: list[NDArray[np.uint8]]) -> Row:
    """Their loss of hard labels, and ours of the float16 soft labels."""
    pairs = []
    for seed, y in enumerate(volumes):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(1, CLASSES, *y.shape, generator=generator)
        soft = torch.from_numpy(softlab_cli.svls(y, labels=range(CLASSES)))[None]
        with on_cpu():
            other = losses.CELossWithSVLS(CLASSES)(logits, torch.from_numpy(y)[None].long())
        pairs.append((SoftCrossEntropy()(logits, soft), other))
    return close("`SoftCrossEntropy` of the stored labels", "the 3 volumes", pairs, 1e-4)


def count(y: NDArray[np.uint8]) -> range:
    """Its classes."""
    return range(int(y.max()) + 1)


def spatial(losses: ModuleType, y: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """(C, Z, Y, X), their SVLS."""
    with on_cpu():
        return caught(losses, losses.CELossWithSVLS(len(count(y)), sigma), y)


def uniform(losses: ModuleType, y: NDArray[np.uint8], smoothing: float) -> NDArray[np.float32]:
    """(C, Z, Y, X), their LS."""
    with on_cpu():
        return caught(losses, losses.CELossWithLS(len(count(y)), smoothing), y)


def caught(module: ModuleType, loss: Any, y: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The soft labels that a loss makes of hard ones, on its way to a number."""
    found = Caught()
    functional = torch.nn.functional
    stand_in = SimpleNamespace(
        pad=functional.pad, one_hot=functional.one_hot, log_softmax=lambda *_, **__: found
    )
    with patch.object(module, "F", stand_in):
        loss(None, torch.from_numpy(y)[None].long())
    soft: NDArray[np.float32] = found.soft[0].numpy()
    return soft


def on_cpu() -> Any:
    """Their code asks for a GPU; here nothing moves."""
    return patch.object(torch.Tensor, "cuda", lambda tensor, *_, **__: tensor)


def real_labels() -> Iterator[NDArray[np.uint8]]:
    """The CT's label map, numbered from 0 on without gaps, where `make data` was run."""
    from SimpleITK import GetArrayFromImage, ReadImage

    path = REAL / "labels" / "s01.nii.gz"
    if path.exists():
        values = GetArrayFromImage(ReadImage(str(path)))
        yield np.unique(values, return_inverse=True)[1].reshape(values.shape).astype(np.uint8)
