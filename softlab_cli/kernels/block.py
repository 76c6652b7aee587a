"""What every local method does with a block first: copy it, see what is in it.

A *padded* block is a copy of the block with its halo. Along X it is cut into
segments of `SEGMENT` voxels, which the kernels treat at once; the last segment
may reach past the block and then repeats the last voxel. ``rows[z, y, s]`` says
what segment s of row (z, y) holds, halo included: a class index, or `MIXED`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, bare_inlined, bare_kernel, kernel
from softlab_cli.kernels.segments import copy, equal, first_bit, load
from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "MIXED",
    "clear_boxes",
    "copy_with_halo",
    "find_classes",
    "find_uniform_rows",
    "is_uniform",
]

MIXED = -1
"""More than one class."""


@bare_kernel
def copy_with_halo(
    volume: NDArray[Any], start: tuple[int, int, int], shape: tuple[int, int, int],
    width: int, padded: NDArray[Any],
) -> None:  # fmt: skip
    """Copy a region; where it reaches outside the volume, repeat the edge.

    Parameters
    ----------
    volume
        (Z, Y, X) class indices.
    start, shape
        Corner and size of the region with its halo.
    width
        Voxels of a padded row, at least ``shape[2]``; the last voxel is repeated.
    padded
        (z, y, x) where the copy goes, from its corner on.
    """
    first = max(-start[2], 0)
    stop = min(shape[2], volume.shape[2] - start[2])
    has_rows = volume.strides[2] == volume.itemsize and volume.itemsize == padded.itemsize
    for z in range(shape[0]):
        from_z = min(max(start[0] + z, 0), volume.shape[0] - 1)
        for y in range(shape[1]):
            from_y = min(max(start[1] + y, 0), volume.shape[1] - 1)
            source = volume[from_z, from_y]
            row = padded[z, y]
            if has_rows:  # voxel by voxel takes twice as long
                copy(row, first, source, start[2] + first, stop - first)
            else:
                for x in range(first, stop):
                    row[Unsigned(x)] = source[Unsigned(start[2] + x)]
            for x in range(first):
                row[Unsigned(x)] = row[Unsigned(first)]
            for x in range(stop, width):
                row[Unsigned(x)] = row[Unsigned(stop - 1)]


@bare_kernel
def is_uniform(region: NDArray[Any]) -> bool:
    """Whether one class fills a region.

    Most that are not are known by their first rows; one that is needs no copy.

    Parameters
    ----------
    region
        (Z, Y, X) class indices, at least one.
    """
    first = int(region[0, 0, 0])
    width = region.shape[2]
    has_segments = region.strides[2] == region.itemsize and width >= SEGMENT
    for z in range(region.shape[0]):
        for y in range(region.shape[1]):
            row, x = region[z, y], 0
            while has_segments and x < width:
                if ~equal(load(row, min(x, width - SEGMENT)), first):
                    return False
                x += SEGMENT
            while x < width:
                if row[Unsigned(x)] != first:
                    return False
                x += 1
    return True


@kernel
def find_classes(
    padded: NDArray[Any], halo_x: int, rows: NDArray[np.int32],
    slot_of: NDArray[np.int64], classes: NDArray[np.int64], boxes: NDArray[np.int64],
) -> int:  # fmt: skip
    """Find the classes of a padded block.

    Parameters
    ----------
    padded
        (z, y, x) class indices.
    halo_x
        Halo along X.
    rows
        (z, y, segments); is written.
    slot_of
        Class index to place in `classes`, or -1; all -1 before the call.
    classes
        Is given the classes, in the order in which they are met.
    boxes
        (slots, 4); is given the first and last z, and the first and last y of each.

    Returns
    -------
    count
        Number of classes.
    """
    return _find_classes(padded.reshape(-1), padded.shape[2], halo_x, rows, slot_of, classes, boxes)


@bare_kernel
def _find_classes(
    labels: NDArray[Any], width: int, halo_x: int, rows: NDArray[np.int32],
    slot_of: NDArray[np.int64], classes: NDArray[np.int64], boxes: NDArray[np.int64],
) -> int:  # fmt: skip
    count = 0
    for z in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            line = (z * rows.shape[1] + y) * width
            for s in range(rows.shape[2]):
                start = line + s * SEGMENT
                stop = start + SEGMENT
                seen = int(labels[Unsigned(start)])
                count = _note(seen, z, y, count, slot_of, classes, boxes)
                here = load(labels, start)
                others = ~equal(here, seen)
                is_mixed = others != 0
                # Each class is noted once a segment, however often it comes back: noting is all
                # that costs here.
                while others:
                    index = int(labels[Unsigned(start + first_bit(others))])
                    others &= ~equal(here, index)
                    count = _note(index, z, y, count, slot_of, classes, boxes)
                for x in range(stop, stop + 2 * halo_x):
                    index = int(labels[Unsigned(x)])
                    if index != seen:
                        is_mixed = True
                        count = _note(index, z, y, count, slot_of, classes, boxes)
                rows[z, y, s] = MIXED if is_mixed else seen
    return count


@bare_inlined
def _note(
    index: int, z: int, y: int, count: int,
    slot_of: NDArray[np.int64], classes: NDArray[np.int64], boxes: NDArray[np.int64],
) -> int:  # fmt: skip
    slot = slot_of[Unsigned(index)]
    if slot < 0:
        slot_of[Unsigned(index)] = count
        classes[count] = index
        boxes[count, 0], boxes[count, 1], boxes[count, 2], boxes[count, 3] = z, z, y, y
        return count + 1
    # Blocks are read with z rising, so the last z is always the greatest.
    boxes[slot, 1] = z
    boxes[slot, 2] = min(boxes[slot, 2], y)
    boxes[slot, 3] = max(boxes[slot, 3], y)
    return count


@kernel
def find_uniform_rows(
    rows: NDArray[np.int32], halo_z: int, halo_y: int, inner: NDArray[np.int32]
) -> None:
    """Say which segments of a block see one class only.

    Parameters
    ----------
    rows
        (z, y, segments) of the padded block.
    halo_z, halo_y
        Halo along Z and Y.
    inner
        (z, y, segments) of the block; is given the class that fills a segment
        with all its neighbours, or `MIXED`.
    """
    depth, height, segments = inner.shape
    flat, found = rows.reshape(-1), inner.reshape(-1)
    for z in range(depth):
        here = z * height * segments
        middle = ((z + halo_z) * rows.shape[1] + halo_y) * segments
        for x in range(height * segments):
            found[Unsigned(here + x)] = flat[Unsigned(middle + x)]
        for i in range(2 * halo_z + 1):
            for j in range(2 * halo_y + 1):
                row = ((z + i) * rows.shape[1] + j) * segments
                # A slice at a time, which is vectorised; row by row takes 7 times as long.
                for x in range(height * segments):
                    same = flat[Unsigned(row + x)] == flat[Unsigned(middle + x)]
                    found[Unsigned(here + x)] = found[Unsigned(here + x)] if same else MIXED


@kernel
def clear_boxes(values: NDArray[np.uint16], boxes: NDArray[np.int64], count: int) -> None:
    """Set what was written back to 0.

    Parameters
    ----------
    values
        (planes, z, y, x).
    boxes
        (planes, 4); first and last z, first and last y that were written.
    count
        Planes that were written, from the first on.
    """
    for plane in range(count):
        # A class touches a small part of most blocks; clearing whole planes would write them all.
        for z in range(boxes[plane, 0], boxes[plane, 1] + 1):
            values[plane, z, boxes[plane, 2] : boxes[plane, 3] + 1] = 0
