"""Soft labels of a fused label map, block by block: scratch memory and the way through."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.softblock import SoftSums
from softlab_cli.fusion.fused import FusedMap
from softlab_cli.kernels.blends import BlendTable, paint_blends
from softlab_cli.kernels.disputes import (
    ROW,
    Entries,
    Largest,
    Parts,
    Weighing,
    count_ties,
    find_wholes,
    soften_disputed,
)
from softlab_cli.kernels.neighbours import GROUPS
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.kernels.svls import soften_block
from softlab_cli.kernels.svls_wide import find_disputed_rows, soften_class
from softlab_cli.methods.grouping import GroupedWorkspace
from softlab_cli.methods.raters.blend_scratch import BlendBlock, BlendScratch
from softlab_cli.methods.scratch import ENTROPY, MASS
from softlab_cli.methods.svls.gaussian import Weights
from softlab_cli.methods.svls.narrow import narrow_tables, narrow_weights
from softlab_cli.methods.svls.wide import WideKernel

__all__ = ["BlendPainter", "Blender", "NarrowBlender", "WideBlender"]


def _blend_table(fused: FusedMap) -> BlendTable:
    """What the kernels look up."""
    shares = fused.blends.shares
    halves = (shares.parts / fused.blends.total).astype(np.float16).view(np.uint16)
    _, tied = replace(shares, parts=halves.astype(np.int64)).largest()
    entropy = np.bincount(shares.rows, ENTROPY[halves], len(shares))
    return BlendTable(
        fused.blends.class_count, shares.starts, shares.classes, halves,
        entropy.astype(np.int64), tied.astype(np.int64),
    )  # fmt: skip


def _largest_region(fused: FusedMap, block: Shape) -> Shape:
    """Voxels of the largest part that is met, in whole segments.

    A picture may be far smaller than a block, and to clear memory for all of one takes
    longer than to soften it.
    """
    z, y, x = map(min, fused.indices.shape, block)
    return z, y, -(-x // SEGMENT) * SEGMENT


class Blender(GroupedWorkspace[BlendBlock]):
    """Workspace of the methods that write fused label maps.

    Parameters
    ----------
    fused
        The fused label map.
    block
        Voxels of the largest block.
    halo
        Neighbours on each side of it.
    """

    scratch: BlendScratch

    def __init__(self, fused: FusedMap, block: Shape, halo: Shape) -> None:
        super().__init__(BlendScratch(fused, block, halo))
        self._shares, self._total = fused.blends.shares, fused.blends.total
        self._table = _blend_table(fused)

    def _load(self, class_indices: NDArray[Any], region: Region) -> BlendBlock:
        return self.scratch.load(class_indices, region)

    def _uniform(self, block: BlendBlock) -> tuple[SoftSums, dict[int, float]]:
        sums = SoftSums.zero(self.scratch.class_count)
        number = int(block.numbers[0])
        shares = self._shares_of(number)
        halves = np.array(list(shares.values())).view(np.uint16)
        sums.mass[list(shares)] = block.voxels * MASS[halves]
        sums.entropy = int(block.voxels * ENTROPY[halves].sum())
        sums.ties = block.voxels * int(np.count_nonzero(halves == halves.max(initial=0)) > 1)
        return sums, {index: float(value) for index, value in shares.items() if value}

    def _shares_of(self, number: int) -> dict[int, np.float16]:
        if number < self.scratch.class_count:
            return {number: np.float16(1)}
        if number == self.scratch.ignore_index:
            return {}
        row = number - self.scratch.class_count - 1
        entries = slice(self._shares.starts[row], self._shares.starts[row + 1])
        halves = (self._shares.parts[entries] / self._total).astype(np.float16)
        return dict(zip(self._shares.classes[entries].tolist(), halves, strict=True))


class BlendPainter(Blender):
    """The shares as they are."""

    def __init__(self, fused: FusedMap, block: Shape) -> None:
        super().__init__(fused, block, (0, 0, 0))

    def _fill(self, block: BlendBlock, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        planes, sums = self._planes(), SoftSums.zero(self.scratch.class_count)
        entropy, ties = paint_blends(block.padded, block.shape[2], MASS, self._table, planes)
        if group.start == 0:
            # The kernel meets all classes each time: what is summed over them counts once.
            sums.entropy, sums.ties = entropy, ties
        return planes.mass[: len(block.classes[group])], sums


class SmoothBlender(Blender):
    """What SVLS of any width needs.

    Parameters
    ----------
    fused, block
        As for `Blender`.
    weights
        The kernel.
    """

    def __init__(self, fused: FusedMap, block: Shape, weights: Weights) -> None:
        z, y, x = (len(w) // 2 for w in weights)
        super().__init__(fused, block, (z, y, x))
        met = _largest_region(fused, block)
        self._largest = Largest(
            np.zeros(met, np.uint16), np.zeros(met, bool), np.zeros(met, np.uint16), fused.hard
        )
        self._disputed = np.zeros((*met[:2], met[2] // SEGMENT), np.uint64)

    def _disputed_of(self, block: BlendBlock) -> NDArray[np.uint64]:
        z, y, segments = block.inner.shape
        return self._disputed[:z, :y, :segments]

    def _entries(self, block: BlendBlock, group: slice) -> Entries:
        """Which numbers of the block have parts of the group's classes."""
        classes = block.classes[group]
        starts = np.searchsorted(block.entry_classes, [*classes, classes[-1] + 1])
        mine = slice(starts[0], starts[-1])
        return Entries(
            (starts - starts[0]).astype(np.int64),
            block.entry_numbers[mine],
            block.entry_parts[mine],
        )


class NarrowBlender(SmoothBlender):
    """SVLS with a kernel 3 voxels wide; parameters as `SmoothBlender`."""

    def __init__(self, fused: FusedMap, block: Shape, weights: Weights) -> None:
        super().__init__(fused, block, weights)
        self._slicewise = len(weights[0]) == 1
        neighbours = narrow_weights(weights)
        self._tables = narrow_tables(neighbours)
        by_group = np.array([neighbours[1 + dz, 1 + dy, 1 + dx] for (dz, dy, dx), _, _ in GROUPS])
        self._weighing = Weighing(by_group, self._tables.sums[-1:], self._total)
        self._parts = self._new_parts(_largest_region(fused, block))

    def _new_parts(self, met: Shape) -> Parts:
        z, y, segments = met[0] + 2, met[1] + 2, met[2] // SEGMENT
        return Parts(
            part_of=np.zeros(len(self.scratch.plane_of), np.int32),
            rows=np.zeros(3 * y * segments * ROW, np.int32),
            known=np.zeros((z, y, segments), np.uint8),
            around=np.zeros(4 * ROW, np.int32),
            sums=np.zeros(SEGMENT),
            wholes=np.zeros(met),
        )

    def _fill(self, block: BlendBlock, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        planes, sums = self._planes(), SoftSums.zero(self.scratch.class_count)
        disputed = self._disputed_of(block)
        entropy, ties = soften_block(
            block.padded, block.inner, block.shape[2], self._slicewise,
            self.scratch.ignore_index, self._tables, planes, self._table, disputed,
        )  # fmt: skip
        if group.start == 0:
            # The kernel meets all classes each time: what is summed over them counts once.
            sums.entropy, sums.ties = entropy, ties
            if block.ignored_box is not None:
                find_wholes(
                    block.padded, disputed, self._slicewise, self.scratch.ignore_index,
                    block.ignored_box, self._weighing, self._parts,
                )  # fmt: skip
        sums.entropy += soften_disputed(
            block.padded, disputed, self._slicewise, block.ignored_box is not None,
            block.classes[group], block.boxes[group], self._entries(block, group),
            self._weighing, self._parts, self._largest, self._tables, planes,
        )  # fmt: skip
        if group.stop >= len(block.classes):
            ties, sums.argmax_changes = count_ties(disputed, self._largest)
            sums.ties += ties
        return planes.mass[: len(block.classes[group])], sums


class WideBlender(SmoothBlender):
    """SVLS with any larger kernel; parameters as `SmoothBlender`."""

    def __init__(self, fused: FusedMap, block: Shape, weights: Weights) -> None:
        super().__init__(fused, block, weights)
        self._kernel = WideKernel(block, weights)
        self._shares_now = np.zeros(len(fused.blends), np.float32)

    def _fill(self, block: BlendBlock, group: slice) -> tuple[NDArray[np.int64], SoftSums]:
        disputed = self._disputed_of(block)
        if group.start == 0:
            find_disputed_rows(block.inner, self.scratch.ignore_index, disputed)
            self._kernel.find_denominators(block, self.scratch.ignore_index)
        sums = SoftSums.zero(self.scratch.class_count)
        entries = self._entries(block, group)
        classes, boxes = block.classes[group], block.boxes[group]
        mass = np.zeros(len(classes), np.int64)
        for i, index in enumerate(classes):
            mine = slice(entries.starts[i], entries.starts[i + 1])
            self._shares_now[entries.numbers[mine]] = entries.parts[mine] / self._total
            mass[i], entropy, _ = soften_class(
                block.padded, block.inner, block.shape[2], self.scratch.ignore_index,
                index, self._shares_now, boxes[i], self._kernel.taps, self._kernel.sums,
                self._largest, self.scratch.values[i],
            )  # fmt: skip
            sums.entropy += entropy
            self._shares_now[entries.numbers[mine]] = 0
        if group.stop >= len(block.classes):
            sums.ties, sums.argmax_changes = count_ties(disputed, self._largest)
        return mass, sums
