"""Soft labels of a fused label map, whose voxels hold classes or blends of classes.

Numbers in the map are class indices, then the mark of unlabelled voxels, then the
blends. There are three kinds of voxels:

- one number fills the neighbourhood: the soft label is that number's shares;
- no blend is near: it comes from the table of SVLS, so that mSVLS is SVLS to the
  bit where raters agree;
- the others are *disputed*. Smoothing is linear, so for each class the parts of all
  neighbours are added, group by group, in whole numbers; only then weights come in.

What a voxel is depends on its neighbourhood alone, and sums are taken in one order:
the result depends neither on blocks nor on the order of raters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Unsigned, inlined, kernel
from softlab_cli.kernels.neighbours import FULL, Segment, load, new_segment
from softlab_cli.kernels.planes import Planes, Tables, fill, plane_size
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.kernels.svls import put_two, soften_with_ignored

__all__ = ["BlendTable", "paint_blends", "soften_agreed"]


class BlendTable(NamedTuple):
    """What the numbers of a fused label map stand for.

    Parameters
    ----------
    class_count
        Number of classes; the mark of unlabelled voxels is the same number.
    starts
        (blends + 1,) int64, where the entries of each blend begin.
    classes, halves
        (entries,) int64 class indices, and their share as float16.
    entropy, tied
        (blends,) int64, of the shares as float16: their entropy, and 1 where the
        largest is shared.
    """

    class_count: int
    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    halves: NDArray[np.uint16]
    entropy: NDArray[np.int64]
    tied: NDArray[np.int64]


@kernel
def paint_blends(
    padded: NDArray[Any], width: int, mass_of: NDArray[np.int64], blends: BlendTable, planes: Planes
) -> tuple[int, int]:
    """Write the shares of a fused block as they are.

    Parameters
    ----------
    padded
        (z, y, x) numbers of the block; no halo.
    width
        Voxels of the block along X.
    mass_of
        What each float16 adds to a class's mass, as in `Tables`.
    blends
        What to look up.
    planes
        Where the soft labels go.

    Returns
    -------
    entropy, ties
        Sums over the block, of all its classes: entropy, and voxels whose largest
        soft label is shared.
    """
    entropy = ties = 0
    for z in range(padded.shape[0]):
        for y in range(padded.shape[1]):
            row = padded[z, y]
            there = (z * planes.values.shape[2] + y) * planes.values.shape[3]
            x = 0
            while x < width:
                stop = x + 1
                while stop < width and row[Unsigned(stop)] == row[Unsigned(x)]:
                    stop += 1
                e, t = _fill_number(
                    np.int64(row[Unsigned(x)]), there + x, stop - x, mass_of, blends, planes
                )
                entropy += e
                ties += t
                x = stop
    return entropy, ties


@kernel
def soften_agreed(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, slicewise: bool,
    tables: Tables, blends: BlendTable, planes: Planes, disputed: NDArray[np.uint64],
) -> tuple[int, int]:  # fmt: skip
    """SVLS of all voxels of a fused block but the disputed ones.

    Parameters
    ----------
    padded
        (z, y, x) numbers with a halo of 1 (along Z none if `slicewise`).
    inner
        (z, y, segments) from `softlab_cli.kernels.block.find_uniform_rows`.
    width
        Voxels of the block along X.
    slicewise
        Whether neighbours in the same slice are the only ones.
    tables, blends
        What to look up.
    planes
        Where the soft labels go.
    disputed
        (z, y, segments); is given a bit for each disputed voxel of the segment.

    Returns
    -------
    entropy, ties
        Sums over these voxels, of all classes.
    """
    labels = padded.reshape(-1)
    row_step = padded.shape[2]
    plane_step = 0 if slicewise else padded.shape[1] * row_step
    corner = plane_step + row_step + 1
    segment = new_segment(labels)
    entropy = ties = 0
    for z in range(inner.shape[0]):
        for y in range(inner.shape[1]):
            line = (z * padded.shape[1] + y) * row_step + corner
            for s in range(inner.shape[2]):
                there = (z * planes.values.shape[2] + y) * planes.values.shape[3] + s * SEGMENT
                count = min(SEGMENT, width - s * SEGMENT)
                disputed[z, y, s] = 0
                if inner[z, y, s] != MIXED:
                    e, t = _fill_number(
                        np.int64(inner[z, y, s]), there, count, tables.mass, blends, planes
                    )
                else:
                    e, t, disputed[z, y, s] = _soften_segment(
                        labels, line + s * SEGMENT, there, count, plane_step, row_step,
                        segment, tables, blends, planes,
                    )  # fmt: skip
                entropy += e
                ties += t
    return entropy, ties


@inlined
def _fill_number(
    number: Int, there: int, count: int, mass_of: NDArray[np.int64],
    blends: BlendTable, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Write the shares of one number to some voxels of a row; return entropy and ties."""
    if number < blends.class_count:
        fill(number, there, count, planes)
        return 0, 0
    if number == blends.class_count:
        return 0, 0
    blend = number - blends.class_count - 1
    size = plane_size(planes)
    for entry in range(blends.starts[blend], blends.starts[blend + 1]):
        plane = planes.plane_of[Unsigned(blends.classes[entry])]
        value = blends.halves[entry]
        for x in range(count):
            planes.flat[Unsigned(plane * size + there + x)] = value
        planes.mass[Unsigned(plane)] += count * mass_of[Unsigned(value)]
    return count * blends.entropy[blend], count * blends.tied[blend]


@inlined
def _soften_segment(
    labels: NDArray[Any], here: int, there: int, count: int, plane_step: int, row_step: int,
    segment: Segment, tables: Tables, blends: BlendTable, planes: Planes,
) -> tuple[int, int, np.uint64]:  # fmt: skip
    """Entropy, ties and the disputed voxels of one segment."""
    own, own_code = segment.own, segment.own_code
    other, other_code = segment.other, segment.other_code
    load(labels, here, plane_step, row_step, segment)
    entropy = ties = x = 0
    disputed = np.uint64(0)
    while x < count:
        number, second = np.int64(own[Unsigned(x)]), np.int64(other[Unsigned(x)])
        if own_code[Unsigned(x)] == FULL:
            stop = x + 1
            while stop < count and own_code[Unsigned(stop)] == FULL:
                stop += 1
            e, t = _fill_number(number, there + x, stop - x, tables.mass, blends, planes)
            x = stop
        else:
            e = t = 0
            # Blends have the largest numbers, and `other` is the largest around.
            if number == blends.class_count:
                pass
            elif max(number, second) > blends.class_count:
                disputed |= np.uint64(1) << np.uint64(x)
            else:
                code = np.int64(own_code[Unsigned(x)])
                second_code = np.int64(other_code[Unsigned(x)])
                if code + second_code == FULL and second != blends.class_count:
                    e, t = put_two(number, second, code, second_code, there + x, tables, planes)
                else:
                    e, t = soften_with_ignored(
                        labels, here + x, there + x, 1, plane_step, row_step,
                        blends.class_count, segment, tables, planes,
                    )  # fmt: skip
            x += 1
        entropy += e
        ties += t
    return entropy, ties, disputed
