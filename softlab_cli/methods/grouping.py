"""Soft labels of a block, group by group of its classes: what SVLS of any label map shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.softblock import SoftBlock, SoftSums
from softlab_cli.kernels.planes import Planes
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE
from softlab_cli.methods.scratch import NO_CLASSES, PaddedBlock, Scratch

__all__ = ["GroupedWorkspace"]

Block = TypeVar("Block", bound=PaddedBlock)


class GroupedWorkspace(ABC, Generic[Block]):
    """Workspace of one thread that writes at most `MAX_CLASSES_AT_ONCE` classes at a time.

    Parameters
    ----------
    scratch
        The padded block and the planes.
    """

    def __init__(self, scratch: Scratch) -> None:
        self.scratch = scratch

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        """Soft labels of a block; see `softlab_cli.methods.base.Softener.soften`."""
        block = self._load(class_indices, region)
        if block.is_uniform:
            sums, constants = self._uniform(block)
            yield self.scratch.soft_block(region, NO_CLASSES, sums, constants)
            return
        for start in range(0, len(block.classes), MAX_CLASSES_AT_ONCE):
            group = slice(start, start + MAX_CLASSES_AT_ONCE)
            self.scratch.claim(block.classes[group], block.boxes[group], block.shape)
            mass, sums = self._fill(block, group)
            kept = self.scratch.drop_empty(mass)
            classes = block.classes[group][kept]
            sums.mass[classes] = mass[kept]
            yield self.scratch.soft_block(region, classes, sums)

    def _planes(self) -> Planes:
        """Where the kernels write; all masses are 0."""
        scratch = self.scratch
        mass = np.zeros(len(scratch.values), np.int64)
        return Planes(scratch.values, scratch.flat_values, scratch.plane_of, mass)

    @abstractmethod
    def _load(self, class_indices: NDArray[Any], region: Region) -> Block:
        """Copy a block with its halo and see what is in it."""

    @abstractmethod
    def _uniform(self, block: Block) -> tuple[SoftSums, dict[int, float]]:
        """Sums of a block that is the same all over, and its classes' soft labels."""

    @abstractmethod
    def _fill(self, block: Block, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        """Write a group's planes; returns each plane's mass, and the other sums."""
