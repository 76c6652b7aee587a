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

from softlab_cli.kernels.compiling import Unsigned, kernel
from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "MIXED",
    "clear_boxes",
    "copy_with_halo",
    "find_classes",
    "find_uniform_rows",
]

MIXED = -1
"""More than one class."""


@kernel
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
    for z in range(shape[0]):
        from_z = min(max(start[0] + z, 0), volume.shape[0] - 1)
        for y in range(shape[1]):
            from_y = min(max(start[1] + y, 0), volume.shape[1] - 1)
            source = volume[from_z, from_y]
            row = padded[z, y]
            # Three loops without a test in them: clamping each place takes 2.6 times as long.
            for x in range(first, stop):
                row[Unsigned(x)] = source[Unsigned(start[2] + x)]
            for x in range(first):
                row[Unsigned(x)] = row[Unsigned(first)]
            for x in range(stop, width):
                row[Unsigned(x)] = row[Unsigned(stop - 1)]


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
    count = 0
    for z in range(rows.shape[0]):
        for y in range(rows.shape[1]):
            line = padded[z, y]
            seen = MIXED
            for s in range(rows.shape[2]):
                start = s * SEGMENT
                first = int(line[Unsigned(start)])
                # Most segments are of one class; looking at one voxel of those saves a sixth of
                # the time.
                if _is_uniform(line, start, halo_x):
                    rows[z, y, s] = first
                    stop = start + 1
                else:
                    rows[z, y, s] = MIXED
                    stop = start + SEGMENT + 2 * halo_x
                for x in range(start, stop):
                    index = int(line[Unsigned(x)])
                    # Along a row a class is noted where it begins only: noting is all that
                    # costs here.
                    if index != seen:
                        seen = index
                        count = _note(index, z, y, count, slot_of, classes, boxes)
    return count


@kernel
def _is_uniform(line: NDArray[Any], start: int, halo_x: int) -> bool:
    first = line[Unsigned(start)]
    # All voxels are looked at: a loop that may end early is not vectorised, and takes 1.6
    # times as long. The halo has a loop of its own, so that the first has a fixed length.
    difference = first ^ first
    for x in range(SEGMENT):
        difference |= line[Unsigned(start + x)] ^ first
    for x in range(start + SEGMENT, start + SEGMENT + 2 * halo_x):
        difference |= line[Unsigned(x)] ^ first
    return bool(difference == 0)


@kernel
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
    for z in range(inner.shape[0]):
        for y in range(inner.shape[1]):
            for s in range(inner.shape[2]):
                index = rows[z + halo_z, y + halo_y, s]
                # No early end: there are few rows to compare, and mostly all of them agree.
                for i in range(2 * halo_z + 1):
                    for j in range(2 * halo_y + 1):
                        if rows[Unsigned(z + i), Unsigned(y + j), s] != index:
                            index = MIXED
                inner[z, y, s] = index


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
