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

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, kernel
from softlab_cli.kernels.planes import Planes, fill, plane_size

__all__ = ["BlendTable", "fill_number", "paint_blends"]


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
                e, t = fill_number(
                    np.int64(row[Unsigned(x)]), there + x, stop - x, mass_of, blends, planes
                )
                entropy += e
                ties += t
                x = stop
    return entropy, ties


@bare_inlined
def fill_number(
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
