"""What workspaces of SVLS have in common, whatever the width of the kernel."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.softblock import SoftSums
from softlab_cli.methods.grouping import GroupedWorkspace
from softlab_cli.methods.scratch import PaddedBlock, Scratch
from softlab_cli.methods.svls.gaussian import Weights

__all__ = ["Stencil"]

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
