"""Soft labels of the blocks of a case: what was learned, blended with one-hot or SVLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import SoftBlock, SoftSums
from softlab_cli.core.volume import Geometry
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE
from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.softener import InWorkspace
from softlab_cli.methods.vls.maps import PlaneMaps

__all__ = ["LearnedMaps", "blending_bytes"]


def blending_bytes(class_count: int, block: Shape) -> int:
    """What blending a block takes beside the workspace of its base."""
    planes = min(class_count, MAX_CLASSES_AT_ONCE)
    return (2 * planes + 12 * class_count + 64) * prod(block)


@dataclass(frozen=True)
class LearnedMaps(InWorkspace):
    """The learned soft labels of one case, to be blended block by block.

    Parameters
    ----------
    maps
        Where they are.
    smoothing
        Their share.
    base
        What the rest is.
    """

    maps: PlaneMaps
    smoothing: float
    base: LocalMethod

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread, as for a local method."""
        base = self.base.workspace(classes, geometry, block)
        return _Blender(self, base, len(classes), classes.ignore_index, block)


class _Blender:
    """Workspace of one thread: Y = (1 - alpha) base + alpha y_s."""

    def __init__(
        self, learned: LearnedMaps, base: Any, class_count: int, ignore_index: int, block: Shape
    ) -> None:
        self._learned = learned
        self._base = base
        self._class_count = class_count
        self._ignore_index = ignore_index
        planes = min(class_count, MAX_CLASSES_AT_ONCE)
        self._values = np.zeros((planes, *block), np.float16)

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        """Soft labels of a block, in groups of at most `MAX_CLASSES_AT_ONCE` classes."""
        labels = class_indices[region]
        valid = labels != self._ignore_index
        if not valid.any():
            return
        parts = [
            self._learned.maps.read(region).swapaxes(0, 1),
            self._base_of(class_indices, region),
        ]
        wholes = [self._whole(part) for part in parts]
        shares = (self._learned.smoothing, 1 - self._learned.smoothing)
        tally = _Tally(labels)
        z, y, x = region_shape(region)
        sums, found = SoftSums.zero(self._class_count), list[int]()
        for index in range(self._class_count):
            soft = np.zeros(labels.shape)
            for part, whole, share in zip(parts, wholes, shares, strict=True):
                soft += share * (part[index] / whole)
            soft[~valid] = 0
            halves = np.minimum(soft, 1.0).astype(np.float16)
            if not halves.any():
                continue
            plane = self._values[len(found)]
            plane[:] = 0  # what lies beyond the region must be 0
            plane[:z, :y, :x] = halves
            tally.add(index, halves, sums)
            found.append(index)
            if len(found) == len(self._values):
                yield self._soft_block(region, found, sums)
                sums, found = SoftSums.zero(self._class_count), []
        tally.close(sums)
        yield self._soft_block(region, found, sums)

    def _soft_block(self, region: Region, found: list[int], sums: SoftSums) -> SoftBlock:
        return SoftBlock(region, tuple(found), self._values[: len(found)], {}, sums)

    def _base_of(self, class_indices: NDArray[Any], region: Region) -> NDArray[np.float16]:
        """(C, z, y, x) soft labels of the base."""
        z, y, x = shape = region_shape(region)
        soft = np.zeros((self._class_count, *shape), np.float16)
        for block in self._base.soften(class_indices, region):
            for plane, index in enumerate(block.class_indices):
                soft[index] = block.values[plane, :z, :y, :x]
            for index, value in block.constants.items():
                soft[index] = value
        return soft

    @staticmethod
    def _whole(soft: NDArray[np.float16]) -> NDArray[np.float64]:
        """What the classes of each voxel sum to; their rounding is divided out."""
        total: NDArray[np.float64] = soft.sum(axis=0, dtype=np.float64)
        total[total == 0] = 1
        return total


class _Tally:
    """Sums over the classes of a block, and which class is the largest at each voxel."""

    def __init__(self, labels: NDArray[Any]) -> None:
        self._labels = labels
        self._largest = np.zeros(labels.shape, np.float16)
        self._hard = np.zeros(labels.shape, np.float16)
        self._shared = np.zeros(labels.shape, np.bool_)

    def add(self, index: int, halves: NDArray[np.float16], sums: SoftSums) -> None:
        """Count a class."""
        from softlab_cli.methods.scratch import ENTROPY, MASS

        bits = halves.view(np.uint16)
        sums.mass[index] = int(MASS[bits].sum())
        sums.entropy += int(ENTROPY[bits].sum())
        self._shared = np.where(
            halves > self._largest, False, self._shared | (halves == self._largest)
        )
        self._largest = np.maximum(self._largest, halves)
        self._hard = np.where(self._labels == index, halves, self._hard)

    def close(self, sums: SoftSums) -> None:
        """Count the voxels whose largest soft label is shared, or not the label's."""
        sums.ties = int(np.count_nonzero(self._shared & (self._largest > 0)))
        sums.argmax_changes = int(np.count_nonzero(self._largest > self._hard))
