"""Scratch memory that every local method needs: the padded block and the planes of values."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape, clip, grow, region_shape
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.kernels.block import (
    clear_boxes,
    copy_with_halo,
    find_classes,
    find_uniform_rows,
    is_uniform,
)
from softlab_cli.kernels.half import entropy_units, mass_units
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE, SEGMENT, read_only

__all__ = ["ENTROPY", "MASS", "NO_CLASSES", "PaddedBlock", "Scratch"]

MASS = mass_units(MASS_UNIT)
"""What each float16 adds to a class's mass, by its bit pattern."""

ENTROPY = entropy_units(ENTROPY_UNIT)
"""What each float16 adds to the entropy, by its bit pattern."""

NO_CLASSES = np.zeros(0, np.int64)


@dataclass(frozen=True)
class PaddedBlock:
    """A block with its halo, and what is in it.

    Parameters
    ----------
    region
        The block.
    padded
        (z, y, x) class indices with the halo; not made when they are all alike.
    inner
        (z, y, segments) class that fills a segment and its neighbourhood, or `MIXED`;
        not made then either.
    classes
        Classes that occur in `padded`, ascending; ignored voxels are no class.
    boxes
        (classes, 4): first and last z, first and last y in `padded`.
    ignored_box
        (4,): the same of the ignored voxels, or None when there are none.
    """

    region: Region
    padded: NDArray[Any]
    inner: NDArray[np.int32]
    classes: NDArray[np.int64]
    boxes: NDArray[np.int64]
    ignored_box: NDArray[np.int64] | None

    @property
    def shape(self) -> Shape:
        """Voxels of the block, without halo."""
        return region_shape(self.region)

    @property
    def voxels(self) -> int:
        """Number of voxels of the block, without halo."""
        z, y, x = self.shape
        return z * y * x

    @property
    def is_uniform(self) -> bool:
        """Whether one class fills the block and its halo."""
        return len(self.classes) == 1 and self.ignored_box is None


class Scratch:
    """Scratch memory of one thread.

    Parameters
    ----------
    class_count
        Classes of the table.
    ignore_index
        Mark of ignored voxels, 255 or 65535; tells the type of class indices.
    block
        Voxels of the largest block.
    halo
        Neighbours on each side of it.
    """

    def __init__(self, class_count: int, ignore_index: int, block: Shape, halo: Shape) -> None:
        self.class_count = class_count
        self.ignore_index = ignore_index
        self.halo = halo
        planes = min(class_count, MAX_CLASSES_AT_ONCE)
        # One plane more, for the classes that are not in the group; nobody reads it.
        self._values = np.zeros((planes + 1, *block), np.uint16)
        self.flat_values = self._values.reshape(-1)
        self.plane_of = np.full(ignore_index + 1, planes, np.int64)
        self._written = np.zeros((planes, 4), np.int64)
        self._planes_in_use = 0
        z, y, x = self._padded_shape(block)
        self._padded = np.zeros(z * y * x, np.uint8 if ignore_index == 255 else np.uint16)
        self._rows = np.empty(z * y * -(-block[2] // SEGMENT), np.int32)
        self._inner = np.empty_like(self._rows)
        self._slot_of = np.full(ignore_index + 1, -1, np.int64)
        self._classes = np.zeros(class_count + 1, np.int64)
        self._boxes = np.zeros((class_count + 1, 4), np.int64)
        self._count = 0

    @property
    def values(self) -> NDArray[np.uint16]:
        """(planes, *block shape) float16 as uint16."""
        return self._values

    def _padded_shape(self, shape: Shape) -> Shape:
        segments = -(-shape[2] // SEGMENT)
        return (
            shape[0] + 2 * self.halo[0],
            shape[1] + 2 * self.halo[1],
            segments * SEGMENT + 2 * self.halo[2],
        )

    def load(self, class_indices: NDArray[Any], region: Region) -> PaddedBlock:
        """Copy a block with its halo and see what is in it.

        Parameters
        ----------
        class_indices
            As for `LocalMethod.soften`.
        region
            The block.
        """
        padded, rows, inner = self._views(region_shape(region))
        self._slot_of[self._classes[: self._count]] = -1
        volume = read_only(class_indices)
        around = volume[clip(grow(region, self.halo), volume.shape)]
        if is_uniform(around):
            self._count, self._classes[0] = 1, around[0, 0, 0]
            self._boxes[0] = 0, padded.shape[0] - 1, 0, padded.shape[1] - 1
        else:
            width = region[2].stop - region[2].start + 2 * self.halo[2]
            z, y, x = (s.start - h for s, h in zip(region, self.halo, strict=True))
            copy_with_halo(volume, (z, y, x), (*padded.shape[:2], width), padded.shape[2], padded)
            self._count = find_classes(
                padded, self.halo[2], rows, self._slot_of, self._classes, self._boxes
            )
            find_uniform_rows(rows, self.halo[0], self.halo[1], inner)
        order = np.argsort(self._classes[: self._count])
        classes, boxes = self._classes[order], self._boxes[order]
        if classes[-1] == self.ignore_index:
            return PaddedBlock(region, padded, inner, classes[:-1], boxes[:-1], boxes[-1])
        return PaddedBlock(region, padded, inner, classes, boxes, None)

    def _views(self, shape: Shape) -> tuple[NDArray[Any], NDArray[np.int32], NDArray[np.int32]]:
        padded_shape = self._padded_shape(shape)
        segments = -(-shape[2] // SEGMENT)
        rows_shape = (*padded_shape[:2], segments)
        inner_shape = (*shape[:2], segments)
        return (
            self._padded[: math.prod(padded_shape)].reshape(padded_shape),
            self._rows[: math.prod(rows_shape)].reshape(rows_shape),
            self._inner[: math.prod(inner_shape)].reshape(inner_shape),
        )

    def claim(self, classes: NDArray[np.int64], boxes: NDArray[np.int64], shape: Shape) -> None:
        """Give each class a plane that is 0 all over, from the first plane on.

        Parameters
        ----------
        classes
            At most `MAX_CLASSES_AT_ONCE`.
        boxes
            (classes, 4): where each occurs in the padded block. Whatever is written
            must lie within the halo's reach of that.
        shape
            Voxels of the block.
        """
        clear_boxes(self._values, self._written, self._planes_in_use)
        self.plane_of[self._classes[: self._count]] = len(self._written)
        self.plane_of[classes] = np.arange(len(classes))
        count = self._planes_in_use = len(classes)
        reach = [2 * self.halo[0], 0, 2 * self.halo[1], 0]
        last = [shape[0] - 1, shape[0] - 1, shape[1] - 1, shape[1] - 1]
        self._written[:count] = np.clip(boxes - reach, 0, last)

    def drop_empty(self, mass: NDArray[np.int64]) -> NDArray[np.intp]:
        """Move the planes that hold anything to the front; returns which those are.

        A class that lies in the halo only may leave nothing in the block, when its
        voxels are too far away or beside ignored ones only.
        """
        kept = np.flatnonzero(mass)
        for target, source in enumerate(kept):
            if target != source:
                self._values[target] = self._values[source]
                self._written[target] = self._written[source]
        return kept

    def soft_block(
        self,
        region: Region,
        classes: NDArray[np.int64],
        sums: SoftSums,
        constants: dict[int, float] | None = None,
    ) -> SoftBlock:
        """A `SoftBlock` of the first planes, one for each class."""
        count = len(classes)
        values, boxes = self._values[:count].view(np.float16), self._written[:count]
        return SoftBlock(region, tuple(classes.tolist()), values, constants or {}, sums, boxes)
