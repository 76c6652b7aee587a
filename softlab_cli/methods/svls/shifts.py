"""The Gaussian of SVLS as its kernels want it: looked up if narrow, summed if wide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.kernels.neighbours import code_sums
from softlab_cli.kernels.planes import Tables
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.kernels.svls_wide import find_denominators
from softlab_cli.kernels.wide_sums import Sums, Taps
from softlab_cli.methods.scratch import ENTROPY, MASS, PaddedBlock
from softlab_cli.methods.svls.gaussian import Weights, neighbour_sum

__all__ = ["WideKernel", "narrow_tables", "narrow_weights"]


def narrow_weights(weights: Weights) -> NDArray[np.float64]:
    """(3, 3, 3) weights of a kernel 3 voxels wide; 0 above and below a flat one."""
    z = np.array([0, 1, 0]) if len(weights[0]) == 1 else weights[0]
    return z[:, None, None] * weights[1][:, None] * weights[2]


def narrow_tables(weights: NDArray[np.float64]) -> Tables:
    """What is looked up for the weights of `narrow_weights`."""
    sums = code_sums(weights)
    halves = (sums / sums[1, -1]).astype(np.float16).view(np.uint16)
    return Tables(sums, halves.reshape(-1), MASS, ENTROPY)


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
