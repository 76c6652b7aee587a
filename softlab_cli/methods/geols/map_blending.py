"""Soft labels of the blocks of a case from the maps of all its classes."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.softblock import SoftBlock, SoftSums
from softlab_cli.kernels.geodesic.maps import (
    add_halves,
    add_kept,
    count_ties,
    read_halves,
    soften_class,
)
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE, read_only
from softlab_cli.methods.geols.map_set import MapSet
from softlab_cli.methods.scratch import ENTROPY, MASS

__all__ = ["MapBlender"]


class MapBlender:
    """Workspace of one thread; its memory does not grow with the number of maps.

    Parameters
    ----------
    maps
        The maps of the case.
    class_count
        Classes of the table.
    ignore_index
        Mark of ignored voxels.
    block
        Voxels of the largest block.
    """

    def __init__(self, maps: MapSet, class_count: int, ignore_index: int, block: Shape) -> None:
        voxels = prod(block)
        self._maps = maps
        self._class_count = class_count
        self._ignore_index = ignore_index
        planes = min(class_count, MAX_CLASSES_AT_ONCE)
        self._values = np.zeros((planes, *block), np.uint16)
        self._halves = np.empty(voxels, np.uint16)
        self._weights = np.empty(voxels, np.float32)
        self._total = np.empty(voxels)
        self._wholes = np.empty(voxels)
        self._kept = np.empty(voxels)
        self._largest = np.empty(voxels, np.uint16)
        self._hard = np.empty(voxels, np.uint16)
        self._shared = np.empty(voxels, np.bool_)

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        """Soft labels of a block, in groups of at most `MAX_CLASSES_AT_ONCE` classes."""
        labels = read_only(np.ascontiguousarray(class_indices[region]))
        if (labels == self._ignore_index).all():
            return
        self._begin(labels, region)
        sums, found = SoftSums.zero(self._class_count), list[int]()
        for index in self._maps.written:
            mass, entropy = self._soften_class(labels, region, index, self._values[len(found)])
            sums.entropy += entropy
            if not mass:
                continue  # the plane is all 0, and the next class takes it
            sums.mass[index] = mass
            found.append(index)
            if len(found) == len(self._values):
                yield self._soft_block(region, found, sums)
                sums, found = SoftSums.zero(self._class_count), []
        voxels = labels.size
        sums.ties, sums.argmax_changes = count_ties(
            self._largest[:voxels], self._shared[:voxels], self._hard[:voxels]
        )
        yield self._soft_block(region, found, sums)

    def _soft_block(self, region: Region, found: list[int], sums: SoftSums) -> SoftBlock:
        values = self._values[: len(found)].view(np.float16)
        return SoftBlock(region, tuple(found), values, {}, sums)

    def _begin(self, labels: NDArray[Any], region: Region) -> None:
        """Sum the maps of the block, and see what they are to be divided by."""
        maps, voxels = self._maps, labels.size
        if labels.shape != self._values.shape[1:]:
            self._values.fill(0)  # what lies beyond the region must be 0
        for marks in (self._largest, self._hard, self._shared):
            marks.fill(0)
        total = self._total[:voxels]
        total.fill(0)
        for number in maps.numbers.values():
            maps.scratch.read(number, region, self._halves[:voxels])
            add_halves(self._halves[:voxels], total)
        self._wholes[:voxels] = self._whole(total)
        self._kept.fill(1)
        if maps.blend.min_mass:
            self._find_kept(labels, region)

    def _whole(self, total: NDArray[np.float64]) -> NDArray[np.float64] | float:
        """Sum of g over all classes, which normalises them; 1 leaves them as they are."""
        if not self._maps.blend.normalise:
            return 1.0
        if self._maps.blend.background_index is None:
            return total
        return total + self._background(total)

    def _background(self, total: NDArray[np.float64]) -> NDArray[np.float64]:
        """g_0 = 1 - mean of g over the foreground classes that have a map."""
        return 1 - total / max(len(self._maps.numbers), 1)

    def _load_weights(self, index: int, region: Region, voxels: int) -> NDArray[np.float32]:
        """The map g of a class; 0 where it has none."""
        weights, halves = self._weights[:voxels], self._halves[:voxels]
        if index == self._maps.blend.background_index:
            weights[:] = self._background(self._total[:voxels])
        elif index in self._maps.numbers:
            self._maps.scratch.read(self._maps.numbers[index], region, halves)
            read_halves(halves, weights)
        else:
            weights.fill(0)
        return weights

    def _find_kept(self, labels: NDArray[Any], region: Region) -> None:
        blend, voxels = self._maps.blend, labels.size
        kept = self._kept[:voxels]
        kept.fill(0)
        for index in self._maps.written:
            weights = self._load_weights(index, region, voxels)
            add_kept(
                labels, index, weights, self._wholes[:voxels],
                blend.smoothing, blend.min_mass, kept,
            )  # fmt: skip

    def _soften_class(
        self, labels: NDArray[Any], region: Region, index: int, plane: NDArray[np.uint16]
    ) -> tuple[int, int]:
        blend, voxels = self._maps.blend, labels.size
        weights = self._load_weights(index, region, voxels)
        mass, entropy = soften_class(
            labels, index, self._ignore_index,
            weights, self._wholes[:voxels], self._kept[:voxels],
            blend.smoothing, blend.min_mass, MASS, ENTROPY,
            plane, self._largest[:voxels], self._shared[:voxels], self._hard[:voxels],
        )  # fmt: skip
        return int(mass), int(entropy)
