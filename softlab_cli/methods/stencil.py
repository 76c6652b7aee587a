"""Soft labels of SVLS, block by block: scratch memory and the way through the kernels."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Region, Shape
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE, SEGMENT
from softlab_cli.kernels.svls import Planes, Tables, code_sums, soften_block
from softlab_cli.kernels.svls_wide import Sums, Taps, find_denominators, soften_class
from softlab_cli.methods.gaussian import Weights, neighbour_sum
from softlab_cli.methods.scratch import ENTROPY, MASS, NO_CLASSES, PaddedBlock, Scratch
from softlab_cli.softblock import SoftBlock, SoftSums

__all__ = ["NarrowStencil", "Stencil", "WideStencil"]

ONE_VOXEL = 1 << 24
"""Mass of a soft label of 1."""


class Stencil(ABC):
    """Workspace of SVLS.

    Parameters
    ----------
    class_count, ignore_index, block
        As for `Scratch`.
    weights
        The kernel.
    """

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        z, y, x = (len(w) // 2 for w in weights)
        self.scratch = Scratch(class_count, ignore_index, block, (z, y, x))

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        """Soft labels of a block, in groups of at most `MAX_CLASSES_AT_ONCE` classes."""
        block = self.scratch.load(class_indices, region)
        if block.is_uniform:
            yield self._uniform(block)
            return
        for start in range(0, len(block.classes), MAX_CLASSES_AT_ONCE):
            group = slice(start, start + MAX_CLASSES_AT_ONCE)
            self.scratch.claim(block.classes[group], block.boxes[group], block.shape)
            mass, entropy, ties = self._fill(block, group)
            kept = self.scratch.drop_empty(mass)
            classes = block.classes[group][kept]
            sums = SoftSums.zero(self.scratch.class_count)
            sums.mass[classes] = mass[kept]
            sums.entropy, sums.ties = entropy, ties
            yield self.scratch.soft_block(region, classes, sums)

    def _uniform(self, block: PaddedBlock) -> SoftBlock:
        sums = SoftSums.zero(self.scratch.class_count)
        sums.mass[block.classes] = block.voxels * ONE_VOXEL
        constants = {int(block.classes[0]): 1.0}
        return self.scratch.soft_block(block.region, NO_CLASSES, sums, constants)

    @abstractmethod
    def _fill(self, block: PaddedBlock, group: slice) -> tuple[NDArray[np.int64], int, int]:
        """Write a group's planes; returns each plane's mass, the entropy and the ties.

        The own class of a voxel never has less than 1/2, so its argmax never changes.
        """


class NarrowStencil(Stencil):
    """A kernel 3 voxels wide."""

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        super().__init__(class_count, ignore_index, block, weights)
        self._slicewise = len(weights[0]) == 1
        z = np.array([0, 1, 0]) if self._slicewise else weights[0]
        sums = code_sums(z[:, None, None] * weights[1][:, None] * weights[2])
        halves = (sums / sums[1, -1]).astype(np.float16).view(np.uint16)
        self._tables = Tables(sums, halves.reshape(-1), MASS, ENTROPY)

    def _fill(self, block: PaddedBlock, group: slice) -> tuple[NDArray[np.int64], int, int]:
        scratch = self.scratch
        mass = np.zeros(len(scratch.values), np.int64)
        entropy, ties = soften_block(
            block.padded, block.inner, block.shape[2], self._slicewise,
            scratch.ignore_index, block.ignored_box is not None, self._tables,
            Planes(scratch.values, scratch.flat_values, scratch.plane_of, mass),
        )  # fmt: skip
        count = len(block.classes[group])
        # The kernel meets all classes each time: what is summed over them counts once.
        return (mass[:count], entropy, ties) if group.start == 0 else (mass[:count], 0, 0)


class WideStencil(Stencil):
    """Any larger kernel."""

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        super().__init__(class_count, ignore_index, block, weights)
        z, y, x = (w.astype(np.float32) for w in weights)
        self._total = np.array([neighbour_sum(weights)], np.float32)
        self._taps = Taps(z, y, x, self._total, MASS, ENTROPY)
        self._sums = _new_sums(block, weights)
        self._sums.denominators.fill(2 * self._total[0])
        self._ignored_before = False

    def _fill(self, block: PaddedBlock, group: slice) -> tuple[NDArray[np.int64], int, int]:
        if group.start == 0:
            self._find_denominators(block)
        classes = block.classes[group]
        totals = np.zeros((len(classes), 3), np.int64)
        for i, index in enumerate(classes):
            totals[i] = soften_class(
                block.padded, block.inner, block.shape[2], self.scratch.ignore_index, index,
                block.boxes[group][i], self._taps, self._sums, self.scratch.values[i],
            )  # fmt: skip
        return totals[:, 0], int(totals[:, 1].sum()), int(totals[:, 2].sum())

    def _find_denominators(self, block: PaddedBlock) -> None:
        if self._ignored_before:
            self._sums.denominators.fill(2 * self._total[0])
        self._ignored_before = block.ignored_box is not None
        if block.ignored_box is not None:
            find_denominators(
                block.padded, block.inner, block.shape[2], self.scratch.ignore_index,
                block.ignored_box, self._taps, self._sums,
            )  # fmt: skip


def _new_sums(block: Shape, weights: Weights) -> Sums:
    height = block[1] + len(weights[1]) - 1
    slice_voxels = height * (-(-block[2] // SEGMENT) * SEGMENT + len(weights[2]) - 1)

    def zeros(*shape: int) -> NDArray[np.float32]:
        return np.zeros(shape, np.float32)

    return Sums(
        mask=zeros(slice_voxels),
        x_others=zeros(slice_voxels),
        x_all=zeros(slice_voxels),
        xy_others=zeros(len(weights[0]), slice_voxels),
        xy_all=zeros(len(weights[0]), slice_voxels),
        xyz=zeros(slice_voxels),
        denominators=zeros(*block),
    )
