"""SVLS with a kernel 3 voxels wide: sums of weights are looked up."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.softblock import SoftSums
from softlab_cli.kernels.neighbours import code_sums
from softlab_cli.kernels.planes import Tables
from softlab_cli.kernels.svls import soften_block
from softlab_cli.methods.scratch import ENTROPY, MASS, PaddedBlock
from softlab_cli.methods.svls.gaussian import Weights
from softlab_cli.methods.svls.stencil import Stencil

__all__ = ["NarrowStencil", "narrow_tables", "narrow_weights"]


def narrow_weights(weights: Weights) -> NDArray[np.float64]:
    """(3, 3, 3) weights of a kernel 3 voxels wide; 0 above and below a flat one."""
    z = np.array([0, 1, 0]) if len(weights[0]) == 1 else weights[0]
    return z[:, None, None] * weights[1][:, None] * weights[2]


def narrow_tables(weights: NDArray[np.float64]) -> Tables:
    """What is looked up for the weights of `narrow_weights`; not to be written to."""
    return _tables_of(weights.tobytes())


@lru_cache(maxsize=8)
def _tables_of(weights: bytes) -> Tables:
    # They take longer than a small case, and many small cases have the same weights.
    sums = code_sums(np.frombuffer(weights).reshape(3, 3, 3))
    own = (sums + sums[-1]) / (sums[-1] + sums[-1])
    other = sums[::-1] / (sums[-1] + sums[-1])
    halves = np.stack([own, other]).astype(np.float16).view(np.uint16)
    both = halves[0] | halves[1].astype(np.uint32) << 16
    pairs = np.stack([both, ENTROPY[halves].sum(axis=0), *MASS[halves]], axis=1)
    return Tables(sums, pairs.astype(np.uint32).reshape(-1), MASS, ENTROPY)


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
