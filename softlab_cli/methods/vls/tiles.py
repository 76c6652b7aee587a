"""Where a network is laid over a volume: whole numbers, and how much each voxel counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape

__all__ = ["Tile", "Tiling", "starts_of", "tile_weights"]

OVERLAP = 4
"""Neighbouring tiles share one in so many voxels, at the least."""

SIGMA = 8
"""A tile's side is so many standard deviations of its weights."""

LEAST_WEIGHT = 1e-3
"""Of the middle's; a corner that no other tile reaches counts as well."""


@dataclass(frozen=True)
class Tile:
    """One place of the network.

    Parameters
    ----------
    number
        Counted from 0, in the order of `Tiling.rows`.
    start
        First voxel along (Z, Y, X), which may lie before the volume.
    """

    number: int
    start: Shape


@dataclass(frozen=True)
class Tiling:
    """How tiles are laid over a volume.

    Parameters
    ----------
    shape
        Voxels of the volume along (Z, Y, X).
    tile
        Voxels of a tile.
    """

    shape: Shape
    tile: Shape

    @cached_property
    def starts(self) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
        """Where tiles start along each axis."""
        z, y, x = (starts_of(n, t) for n, t in zip(self.shape, self.tile, strict=True))
        return z, y, x

    def __len__(self) -> int:
        return prod(map(len, self.starts))

    def rows(self) -> Iterator[tuple[int, int, list[Tile]]]:
        """The tiles that start in one slice, with that slice and where the next ones start.

        What lies before the next start is complete with this row.
        """
        first, ys, xs = self.starts
        ends = [*first[1:], self.shape[0]]
        number = 0
        for z, end in zip(first, ends, strict=True):
            row = [Tile(number + i, (z, y, x)) for i, (y, x) in enumerate(product(ys, xs))]
            number += len(row)
            yield max(z, 0), end, row

    def inside(self, tile: Tile) -> tuple[Region, Region]:
        """The part of a tile that the volume holds: counted in the volume, and in the tile."""
        first = [max(a, 0) for a in tile.start]
        last = [min(a + t, n) for a, t, n in zip(tile.start, self.tile, self.shape, strict=True)]
        z, y, x = (slice(a, b) for a, b in zip(first, last, strict=True))
        k, j, i = (slice(a - s, b - s) for a, b, s in zip(first, last, tile.start, strict=True))
        return (z, y, x), (k, j, i)


def starts_of(length: int, side: int) -> list[int]:
    """Where tiles start along an axis: evenly, with an overlap; one in the middle of a short axis.

    Parameters
    ----------
    length
        Voxels of the volume.
    side
        Voxels of a tile.
    """
    if length <= side:
        return [-((side - length) // 2)]
    most = max(1, side - side // OVERLAP)
    count = 1 + -(-(length - side) // most)
    return [(i * (length - side)) // (count - 1) for i in range(count)]


def tile_weights(tile: Shape) -> NDArray[np.float32]:
    """(z, y, x) float32: a Gaussian, 1 in the middle."""
    axes = []
    for side in tile:
        place = (np.arange(side) - (side - 1) / 2) / (side / SIGMA)
        axes.append(np.exp(-0.5 * place**2))
    weights = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    found: NDArray[np.float32] = np.maximum(weights / weights.max(), LEAST_WEIGHT)
    return found.astype(np.float32)
