"""SVLS with any larger kernel: weights are summed along the axes, one after the other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.softblock import SoftSums
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.kernels.svls_wide import find_denominators, soften_class
from softlab_cli.kernels.wide_sums import Sums, Taps
from softlab_cli.methods.scratch import ENTROPY, MASS, PaddedBlock
from softlab_cli.methods.svls.gaussian import Weights, neighbour_sum
from softlab_cli.methods.svls.stencil import Stencil

__all__ = ["WideKernel", "WideStencil"]


class WideKernel:
    """A kernel wider than 3 voxels, and the scratch memory of one thread to sum with it.

    Parameters
    ----------
    block
        Voxels of the largest block.
    weights
        The Gaussian.
    """

    def __init__(self, block: Shape, weights: Weights) -> None:
        z, y, x = (w.astype(np.float32) for w in weights)
        total = np.array([neighbour_sum(weights)], np.float32)
        self.taps = Taps(z, y, x, total, MASS, ENTROPY)
        self.sums = _new_sums(block, weights)
        self.sums.denominators.fill(2 * total[0])
        self._ignored_before = False

    def find_denominators(self, block: PaddedBlock, ignore_index: int) -> None:
        """Sum the weights of each voxel's valid neighbours and its own; once for each block."""
        if self._ignored_before:
            self.sums.denominators.fill(2 * self.taps.total[0])
        self._ignored_before = block.ignored_box is not None
        if block.ignored_box is not None:
            find_denominators(
                block.padded, block.inner, block.shape[2], ignore_index,
                block.ignored_box, self.taps, self.sums,
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
