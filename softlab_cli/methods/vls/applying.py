"""The learned soft labels of a whole case: tile by tile, slab by slab."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.methods.vls.batches import NOT_LABELLED, crop
from softlab_cli.methods.vls.drawing import draw, drawn_noise
from softlab_cli.methods.vls.maps import PlaneMaps
from softlab_cli.methods.vls.model import Model
from softlab_cli.methods.vls.pytorch import same_bits
from softlab_cli.methods.vls.regridding import neighbours, resample_linear
from softlab_cli.methods.vls.tiles import Tile, Tiling, tile_weights
from softlab_cli.methods.vls.training import weights_path
from softlab_cli.methods.vls.weights import load_network

__all__ = ["Applying", "check_weights", "write_maps"]

TILES_AT_ONCE = {2: 8, 3: 1}
"""Tiles that go through a network together, by dimensions."""


def check_weights(model: Model, device: str) -> None:
    """Raise `StoreError` unless the weights of all folds are there and those of the model.

    Otherwise the cases of some folds would fail one by one, and what is said of the others
    would be of some networks only.
    """
    for fold, checksum in enumerate(model.weights):
        load_network(weights_path(model.folder, fold), checksum, model.recipe, device)


@dataclass(frozen=True)
class Applying:
    """How a model is applied.

    Parameters
    ----------
    model
        The model.
    folds
        The folds whose networks are asked; the mean of their answers is taken.
    samples, temperature, seed
        As for `softlab_cli.methods.vls.parameters.VLSParameters`.
    content
        Checksum of the image, which the draws depend on.
    device
        ``cpu`` or ``cuda``.
    """

    model: Model
    folds: tuple[int, ...]
    samples: int
    temperature: float
    seed: int
    content: str
    device: str

    def slabs(
        self, image: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> Iterator[NDArray[np.float32]]:
        """(z, C, Y, X) y_s of the slices of a case, one slab after another, from the top.

        Parameters
        ----------
        image
            (channels, Z, Y, X) normalised.
        labels
            (Z, Y, X) class indices, `NOT_LABELLED` where there is none.
        """
        recipe = self.model.recipe
        z, y, x = labels.shape
        tiling = Tiling((z, y, x), recipe.block)
        weights = tile_weights(recipe.block)
        depth, size = recipe.block[0], (recipe.class_count, *labels.shape[1:])
        slab = np.zeros((depth, *size), np.float32)
        total = np.zeros((depth, 1, *labels.shape[1:]), np.float32)
        for first, end, row in tiling.rows():
            for tile, soft in self._tiles(tiling, row, image, labels):
                (planes, *across), inside = tiling.inside(tile)
                there = slice(planes.start - first, planes.stop - first), slice(None), *across
                part = soft[(slice(None), *inside)].swapaxes(0, 1)
                weight = weights[inside][:, None]
                slab[there] += weight * part
                total[there] += weight
            done = end - first
            yield self._tempered(slab[:done] / total[:done])
            for kept in (slab, total):
                kept[: depth - done] = kept[done:].copy()
                kept[max(depth - done, 0) :] = 0

    def _tiles(
        self, tiling: Tiling, row: list[Tile], image: NDArray[np.float32], labels: NDArray[np.int64]
    ) -> Iterator[tuple[Tile, NDArray[np.float32]]]:
        """Each tile with its (C, z, y, x) probabilities."""
        recipe, together = self.model.recipe, TILES_AT_ONCE[self.model.recipe.dims]
        for begin in range(0, len(row), together):
            group = row[begin : begin + together]
            images = np.stack([crop(image, t.start, tiling.tile, 0) for t in group])
            cut = np.stack([crop(labels, t.start, tiling.tile, NOT_LABELLED) for t in group])
            soft = self._mean(
                images.reshape(*images.shape[:2], *recipe.patch),
                cut.reshape(len(group), *recipe.patch),
                [self._noise(tile) for tile in group],
            )
            yield from zip(group, soft.reshape(*soft.shape[:2], *tiling.tile), strict=True)

    def _noise(self, tile: Tile) -> NDArray[np.float32]:
        latent = self.model.recipe.latent
        return drawn_noise(self.samples, latent, self.seed, self.content, tile.number)

    def _mean(
        self, images: NDArray[np.float32], labels: NDArray[np.int64], noises: list[Any]
    ) -> NDArray[np.float32]:
        total: NDArray[np.float32] | None = None
        for fold in self.folds:
            network = load_network(
                weights_path(self.model.folder, fold), self.model.weights[fold],
                self.model.recipe, self.device,
            )  # fmt: skip
            one = draw(network, images, labels, noises, self.device)
            total = one if total is None else total + one
        assert total is not None
        return total / np.float32(len(self.folds))

    def _tempered(self, soft: NDArray[Any]) -> NDArray[np.float32]:
        if self.temperature != 1:
            soft = soft ** np.float32(1 / self.temperature)
        whole: NDArray[np.float32] = soft / soft.sum(axis=1, keepdims=True)
        return whole


def write_maps(
    applying: Applying,
    image: NDArray[np.float32],
    labels: NDArray[np.int64],
    shape: Shape,
    path: Path | None,
) -> PlaneMaps:
    """The learned soft labels of a case, on its own grid.

    Parameters
    ----------
    applying
        How the model is applied.
    image, labels
        As for `Applying.slabs`, on the model's spacing.
    shape
        Voxels of the case's own grid.
    path
        A file for them; None keeps them in memory.

    Raises
    ------
    StoreError
        When the disk is full, or the model is damaged.
    """
    maps = PlaneMaps(applying.model.recipe.class_count, shape[1:], path)
    try:
        with same_bits(applying.device):
            slabs = applying.slabs(image, labels)
            if labels.shape != shape:
                slabs = _resampled(slabs, labels.shape[0], shape)
            for slab in slabs:
                maps.append(slab.astype(np.float16))
    except BaseException:
        maps.close()
        raise
    return maps


def _resampled(
    slabs: Iterator[NDArray[np.float32]], depth: int, shape: Shape
) -> Iterator[NDArray[np.float32]]:
    """Slices of the case's own grid, from those of the model's; two of these are held."""
    low, high, share = neighbours(depth, shape[0])
    planes = (plane for slab in slabs for plane in slab)
    held = {0: resample_linear(next(planes), shape[1:])}
    last = 0
    for below, above, weight in zip(low.tolist(), high.tolist(), share, strict=True):
        while last < above:
            last += 1
            held[last] = resample_linear(next(planes), shape[1:])
            held.pop(last - 2, None)
        mixed = held[below] + weight * (held[above] - held[below])
        yield (mixed / mixed.sum(axis=0, keepdims=True))[None]
