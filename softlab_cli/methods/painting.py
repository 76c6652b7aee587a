"""Soft labels with two values (one-hot, LS), block by block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.softblock import SoftBlock, SoftSums
from softlab_cli.kernels.hard import paint_classes
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE
from softlab_cli.methods.scratch import ENTROPY, MASS, NO_CLASSES, PaddedBlock, Scratch

__all__ = ["Painter"]


class Painter:
    """Workspace of methods whose soft label depends on the voxel's own class only.

    Parameters
    ----------
    class_count, ignore_index, block
        As for `Scratch`.
    low, high
        Soft label of the classes that a voxel has not, and of the one that it has.
    """

    def __init__(
        self, class_count: int, ignore_index: int, block: Shape, low: float, high: float
    ) -> None:
        self.scratch = Scratch(class_count, ignore_index, block, (0, 0, 0))
        self._values = np.array([low, high], np.float16)
        self._low, self._high = (int(bits) for bits in self._values.view(np.uint16))
        self._step = MASS[self._high] - MASS[self._low]

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        """Soft labels of a block, in groups of at most `MAX_CLASSES_AT_ONCE` classes."""
        block = self.scratch.load(class_indices, region)
        if len(block.classes) == 0:
            return
        if block.is_uniform:
            yield self._uniform(block)
            return
        classes, boxes = self._what_to_write(block)
        sums = self._shared_sums(block)
        constants = self._constants(classes)
        for start in range(0, len(classes), MAX_CLASSES_AT_ONCE):
            group = slice(start, start + MAX_CLASSES_AT_ONCE)
            voxels = self._paint(block, classes[group], boxes[group])
            sums.mass[classes[group]] += voxels * self._step
            yield self.scratch.soft_block(region, classes[group], sums, constants)
            sums, constants = SoftSums.zero(self.scratch.class_count), {}

    def _uniform(self, block: PaddedBlock) -> SoftBlock:
        sums = self._shared_sums(block)
        sums.mass[block.classes] += block.voxels * self._step
        constants = self._constants(block.classes)
        constants[int(block.classes[0])] = float(self._values[1])
        return self.scratch.soft_block(block.region, NO_CLASSES, sums, constants)

    def _what_to_write(self, block: PaddedBlock) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Classes whose soft label is not the same all over the block, and their boxes."""
        if self._low == 0:
            return block.classes, block.boxes
        # Ignored voxels are 0 in every class, also in those that do not occur.
        every = np.arange(self.scratch.class_count)
        classes = block.classes if block.ignored_box is None else every
        box = [0, block.shape[0] - 1, 0, block.shape[1] - 1]
        return classes, np.tile(np.array(box, np.int64), (len(classes), 1))

    def _paint(
        self, block: PaddedBlock, classes: NDArray[np.int64], boxes: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        self.scratch.claim(classes, boxes, block.shape)
        voxels = np.zeros(len(classes), np.int64)
        paint_classes(
            block.padded, block.shape[2], classes, boxes, self.scratch.ignore_index,
            self._low, self._high, self.scratch.values, voxels,
        )  # fmt: skip
        return voxels

    def _constants(self, written: NDArray[np.int64]) -> dict[int, float]:
        """The classes that are not written, with their soft label unless it is 0."""
        if self._low == 0:
            return {}
        constants = dict.fromkeys(range(self.scratch.class_count), float(self._values[0]))
        for index in written.tolist():
            del constants[index]
        return constants

    def _shared_sums(self, block: PaddedBlock) -> SoftSums:
        """Sums as if no voxel had any class: what is left to add is each class's share."""
        valid = block.voxels
        if block.ignored_box is not None:
            labels = block.padded[:, :, : block.shape[2]]
            valid = int(np.count_nonzero(labels != self.scratch.ignore_index))
        count = self.scratch.class_count
        entropy = ENTROPY[self._high] + (count - 1) * ENTROPY[self._low]
        return SoftSums(
            mass=np.full(count, valid * MASS[self._low]),
            entropy=int(valid * entropy),
            ties=valid if self._low == self._high and count > 1 else 0,
        )
