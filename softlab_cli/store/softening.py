"""Soft labels on read, for stores that hold hard labels only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape, clip, grow, shift
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.store.arrays import ArrayReader, common, corner
from softlab_cli.store.layout import blocks_touching

__all__ = ["LocalSoftener", "soften_region"]


class LocalSoftener(Protocol):
    """Computes soft labels from hard ones.

    Whoever opens the store provides it, since the store knows no methods. It must
    be thread-safe, and picklable where the store is to be pickled.
    """

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """Neighbours that are needed on each side of a region, along (Z, Y, X)."""
        ...

    def soften(
        self,
        class_indices: NDArray[np.unsignedinteger[Any]],
        region: Region,
        geometry: Geometry,
        block: Shape,
    ) -> Iterator[SoftBlock]:
        """Soft labels of a region, in one or several groups of classes.

        Parameters
        ----------
        class_indices
            (Z, Y, X), a part of the volume that holds the region with its halo
            and ends only beyond the halo or where the volume does.
        region
            At most `block` voxels, counted from the corner of `class_indices`.
        geometry
            The grid of the whole volume.
        block
            Voxels of the store's blocks.

        Yields
        ------
        SoftBlock
            Its values are used before the next one is asked for.
        """
        ...


def soften_region(
    label: ArrayReader,
    softener: LocalSoftener,
    geometry: Geometry,
    region: Region,
    rows: Mapping[int, int],
    target: NDArray[np.float16],
) -> None:
    """Compute the soft labels of a region, one block of the grid at a time.

    Parameters
    ----------
    label
        The array of hard labels.
    softener
        What computes soft labels.
    geometry
        The grid of the whole volume.
    region
        A region inside the volume.
    rows
        Class index to row of `target`; classes that it lacks are skipped.
    target
        (rows, *region shape), 0 all over.
    """
    grid = label.layout.grid
    outer = clip(grow(region, softener.halo(geometry.spacing_mm)), grid.shape)
    indices = label.read(outer)
    for block in blocks_touching(grid, region):
        shared = common(block, region)
        view = target[(slice(None), *shift(shared, corner(region)))]
        part = shift(shared, corner(outer))
        for soft in softener.soften(indices, part, geometry, grid.block):
            _copy(soft, rows, view)


def _copy(soft: SoftBlock, rows: Mapping[int, int], target: NDArray[np.float16]) -> None:
    z, y, x = target.shape[1:]
    for i, class_index in enumerate(soft.class_indices):
        if class_index in rows:
            target[rows[class_index]] = soft.values[i, :z, :y, :x]
    for class_index, value in soft.constants.items():
        if class_index in rows:
            target[rows[class_index]] = value
