"""Soft labels of SVLS, block by block: scratch memory and the way through the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.softblock import SoftSums
from softlab_cli.kernels.svls import soften_block
from softlab_cli.kernels.svls_wide import soften_class
from softlab_cli.methods.grouping import GroupedWorkspace
from softlab_cli.methods.scratch import PaddedBlock, Scratch
from softlab_cli.methods.svls.gaussian import Weights
from softlab_cli.methods.svls.shifts import WideKernel, narrow_tables, narrow_weights

__all__ = ["NarrowStencil", "Stencil", "WideStencil"]

ONE_VOXEL = 1 << 24
"""Mass of a soft label of 1."""


class Stencil(GroupedWorkspace[PaddedBlock]):
    """Workspace of SVLS.

    The own class of a voxel never has less than 1/2, so its argmax never changes.

    Parameters
    ----------
    class_count, ignore_index, block
        As for `Scratch`.
    weights
        The kernel.
    """

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        z, y, x = (len(w) // 2 for w in weights)
        super().__init__(Scratch(class_count, ignore_index, block, (z, y, x)))

    def _load(self, class_indices: NDArray[Any], region: Region) -> PaddedBlock:
        return self.scratch.load(class_indices, region)

    def _uniform(self, block: PaddedBlock) -> tuple[SoftSums, dict[int, float]]:
        sums = SoftSums.zero(self.scratch.class_count)
        sums.mass[block.classes] = block.voxels * ONE_VOXEL
        return sums, {int(block.classes[0]): 1.0}


class NarrowStencil(Stencil):
    """A kernel 3 voxels wide."""

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        super().__init__(class_count, ignore_index, block, weights)
        self._slicewise = len(weights[0]) == 1
        self._tables = narrow_tables(narrow_weights(weights))

    def _fill(self, block: PaddedBlock, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        planes, sums = self._planes(), SoftSums.zero(self.scratch.class_count)
        entropy, ties = soften_block(
            block.padded, block.inner, block.shape[2], self._slicewise,
            self.scratch.ignore_index, self._tables, planes, None, None,
        )  # fmt: skip
        if group.start == 0:
            # The kernel meets all classes each time: what is summed over them counts once.
            sums.entropy, sums.ties = entropy, ties
        return planes.mass[: len(block.classes[group])], sums


class WideStencil(Stencil):
    """Any larger kernel."""

    def __init__(self, class_count: int, ignore_index: int, block: Shape, weights: Weights) -> None:
        super().__init__(class_count, ignore_index, block, weights)
        self._kernel = WideKernel(block, weights)

    def _fill(self, block: PaddedBlock, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        scratch, kernel = self.scratch, self._kernel
        if group.start == 0:
            kernel.find_denominators(block, scratch.ignore_index)
        sums = SoftSums.zero(scratch.class_count)
        classes = block.classes[group]
        mass = np.zeros(len(classes), np.int64)
        for i, index in enumerate(classes):
            mass[i], entropy, ties = soften_class(
                block.padded, block.inner, block.shape[2], scratch.ignore_index, index, None,
                block.boxes[group][i], kernel.taps, kernel.sums, None, scratch.values[i],
            )  # fmt: skip
            sums.entropy += entropy
            sums.ties += ties
        return mass, sums
