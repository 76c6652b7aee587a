"""Patches of a step: a pure function of seed, fold and step, so that a run can go on anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.methods.vls.cases import TrainingCase
from softlab_cli.methods.vls.folds import seed_of

__all__ = ["NOT_LABELLED", "Batch", "Sampler", "crop"]

NOT_LABELLED = -1
"""Class of voxels that are not labelled, or lie outside the volume."""

CENTRED_SHARE = 3
"""One in so many patches is centred on a voxel of the foreground."""

GAIN, OFFSET, NOISE = 0.15, 0.15, 0.1
"""How far intensities are stretched and moved at most, and how noisy they become."""


class Batch(NamedTuple):
    """Patches of a step.

    Parameters
    ----------
    images
        (n, channels, *patch) float32.
    labels
        (n, *patch) int64 class indices; `NOT_LABELLED` where nothing is to be learned.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True)
class Sampler:
    """Draws patches.

    Every case comes as often as any other: cases are drawn without putting back.

    Parameters
    ----------
    cases
        The cases.
    patch
        Voxels along (Z, Y, X); one slice where patches are slices.
    dims
        2 leaves Z out of what is drawn.
    size
        Patches of a step.
    seed, fold
        Decide what is drawn.
    ignore_index
        Mark of voxels that are not labelled.
    changed
        Whether patches are turned over, and intensities changed.
    centred_share
        One in so many patches is centred on the foreground.
    """

    cases: Sequence[TrainingCase]
    patch: Shape
    dims: int
    size: int
    seed: int
    fold: int
    ignore_index: int
    changed: bool = True
    centred_share: int = CENTRED_SHARE

    def batch(self, step: int) -> Batch:
        """The patches of a step."""
        drawn = [self._draw(step * self.size + i) for i in range(self.size)]
        images, labels = zip(*drawn, strict=True)
        return Batch(np.stack(images), np.stack(labels))

    def _draw(self, number: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        rng = np.random.default_rng(seed_of(self.seed, self.fold, "patch", number))
        case = self._case(number)
        image, labels = case.arrays()
        start = self._start(rng, number, case, labels.shape)
        patch = crop(image, start, self.patch, 0).astype(np.float32)
        cut = crop(labels, start, self.patch, self.ignore_index).astype(np.int64)
        cut[cut == self.ignore_index] = NOT_LABELLED
        patch = patch.reshape(len(patch), *self.patch[-self.dims :])
        cut = cut.reshape(self.patch[-self.dims :])
        return self._change(rng, patch, cut) if self.changed else (patch, cut)

    def _case(self, number: int) -> TrainingCase:
        turn, place = divmod(number, len(self.cases))
        rng = np.random.default_rng(seed_of(self.seed, self.fold, "order", turn))
        return self.cases[int(rng.permutation(len(self.cases))[place])]

    def _start(
        self, rng: np.random.Generator, number: int, case: TrainingCase, shape: tuple[int, ...]
    ) -> tuple[int, ...]:
        if number % self.centred_share == 0 and (points := case.points()):
            places = points[int(rng.choice(sorted(points)))]
            middle = np.unravel_index(int(rng.choice(places)), shape)
            wanted = [int(m) - side // 2 for m, side in zip(middle, self.patch, strict=True)]
        else:
            wanted = [
                int(rng.integers(min(0, n - side), max(0, n - side) + 1))
                for n, side in zip(shape, self.patch, strict=True)
            ]
        return tuple(
            min(max(start, min(0, n - side)), max(0, n - side))
            for start, n, side in zip(wanted, shape, self.patch, strict=True)
        )

    def _change(
        self, rng: np.random.Generator, image: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        turned = tuple(axis for axis in range(self.dims) if rng.random() < 0.5)
        labels = np.flip(labels, turned)
        image = np.flip(image, tuple(axis + 1 for axis in turned))
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(0, NOISE))
        gain = np.float32(rng.uniform(1 - GAIN, 1 + GAIN))
        offset = np.float32(rng.uniform(-OFFSET, OFFSET))
        return image * gain + offset + noise, labels


def crop(
    array: NDArray[Any], start: Sequence[int], shape: Sequence[int], fill: float
) -> NDArray[Any]:
    """A part of an array's last axes, which may reach beyond it.

    Parameters
    ----------
    array
        (..., *axes).
    start
        First voxel along each of the axes.
    shape
        Voxels along each of them.
    fill
        What is outside.
    """
    ends = [a + n for a, n in zip(start, shape, strict=True)]
    size = array.shape[array.ndim - len(shape) :]
    inside: list[Any] = [
        slice(max(a, 0), min(b, n)) for a, b, n in zip(start, ends, size, strict=True)
    ]
    part: NDArray[Any] = array[..., *inside]
    if part.shape[array.ndim - len(shape) :] == tuple(shape):
        return np.array(part)
    whole = np.full((*array.shape[: array.ndim - len(shape)], *shape), fill, array.dtype)
    target: list[Any] = [slice(s.start - a, s.stop - a) for s, a in zip(inside, start, strict=True)]
    whole[..., *target] = part
    return whole
