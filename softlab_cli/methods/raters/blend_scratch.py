"""Scratch memory for blocks of a fused label map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.fusion.fused import FusedMap
from softlab_cli.methods.scratch import PaddedBlock, Scratch

__all__ = ["BlendBlock", "BlendScratch"]


@dataclass(frozen=True)
class BlendBlock(PaddedBlock):
    """A padded block of a fused label map.

    Parameters
    ----------
    numbers
        Numbers that occur in `padded`, ascending; `classes` are those of the
        numbers and of the blends among them.
    entry_classes, entry_numbers, entry_parts
        Which number has how many parts of which class, sorted by class.
    """

    numbers: NDArray[np.int64]
    entry_classes: NDArray[np.int64]
    entry_numbers: NDArray[np.int64]
    entry_parts: NDArray[np.int32]

    @property
    def is_uniform(self) -> bool:
        """Whether one number fills the block and its halo."""
        return len(self.numbers) == 1


class BlendScratch(Scratch):
    """Scratch memory for blocks of a fused label map.

    Parameters
    ----------
    fused
        The fused label map.
    block, halo
        As for `Scratch`.
    """

    def __init__(self, fused: FusedMap, block: Shape, halo: Shape) -> None:
        blends = fused.blends
        super().__init__(blends.class_count, blends.ignore_index, block, halo)
        self._shares, self._total = blends.shares, blends.total
        self._lengths = blends.shares.lengths
        self._padded = np.zeros(len(self._padded), fused.indices.dtype)
        self.plane_of = np.zeros(len(blends), np.int64)
        self._slot_of = np.full(len(blends), -1, np.int64)
        most = min(len(blends), len(self._padded))
        self._classes = np.zeros(most, np.int64)
        self._boxes = np.zeros((most, 4), np.int64)

    def load(self, class_indices: NDArray[Any], region: Region) -> BlendBlock:
        """As `Scratch.load`; `class_indices` are numbers of the fused label map."""
        block = super().load(class_indices, region)
        order = np.argsort(self._classes[: self._count])
        numbers, boxes = self._classes[order], self._boxes[order]
        ignored = boxes[numbers == self.ignore_index]
        classes, which, parts = self._entries_of(numbers)
        found, starts = np.unique(classes, return_index=True)
        # Rows of boxes: first z, last z, first y, last y.
        around = boxes[which]
        first = np.minimum.reduceat(around, starts) if len(found) else around
        last = np.maximum.reduceat(around, starts) if len(found) else around
        return BlendBlock(
            region, block.padded, block.inner,
            found, np.where([True, False, True, False], first, last),
            ignored[0] if len(ignored) else None,
            numbers, classes, numbers[which], parts,
        )  # fmt: skip

    def claim(self, classes: NDArray[np.int64], boxes: NDArray[np.int64], shape: Shape) -> None:
        """As `Scratch.claim`; also for classes that occur in blends only."""
        self.plane_of.fill(len(self._written))
        super().claim(classes, boxes, shape)

    def _entries_of(
        self, numbers: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.intp], NDArray[np.int32]]:
        """Classes, places among the numbers, and parts; sorted by class."""
        pure = np.flatnonzero(numbers < self.class_count)
        blends = np.flatnonzero(numbers > self.class_count)
        rows = numbers[blends] - self.class_count - 1
        lengths = self._lengths[rows]
        entries = np.repeat(self._shares.starts[rows], lengths) + _ramps(lengths)
        classes = np.concatenate([numbers[pure], self._shares.classes[entries]])
        which = np.concatenate([pure, np.repeat(blends, lengths)])
        parts = np.full(len(classes), self._total, np.int32)
        parts[len(pure) :] = self._shares.parts[entries]
        order = np.argsort(classes, kind="stable")
        return classes[order], which[order], parts[order]


def _ramps(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, .. for each length, one after another."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) - np.repeat(starts, lengths)
