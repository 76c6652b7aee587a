"""SVLS with kernels wider than 3 voxels: one class after the other.

See `softlab_cli.kernels.wide_sums` for how its neighbours are summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Real, Unsigned, kernel
from softlab_cli.kernels.half import HALF, ONE, to_half
from softlab_cli.kernels.wide_sums import Sums, Taps, sum_along_x, sum_along_y, sum_along_z

__all__ = ["find_denominators", "soften_class"]


@kernel
def soften_class(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, ignore_index: int,
    index: Int, box: NDArray[np.int64], taps: Taps, sums: Sums, values: NDArray[np.uint16],
) -> tuple[int, int, int]:  # fmt: skip
    """Soft labels of one class of a block.

    Parameters
    ----------
    padded
        (z, y, x) class indices of the block with its halo.
    inner
        (z, y, segments) from `find_uniform_rows`.
    width
        Voxels of the block along X.
    ignore_index
        Mark of voxels that are not labelled; they get 0.
    index
        The class.
    box
        First and last z, first and last y of the class in `padded`.
    taps, sums
        The kernel and the scratch memory.
    values
        (z, y, x) float16 as uint16, all 0.

    Returns
    -------
    mass, entropy, ties
        Sums over the block. A soft label of another class than the voxel's own
        is a tie when it is 1/2, since the own one is never less.
    """
    radius_z, radius_y, radius_x = len(taps.z) // 2, len(taps.y) // 2, len(taps.x) // 2
    mass = entropy = ties = 0
    ready = box[0]
    for z in range(max(0, box[0] - 2 * radius_z), min(inner.shape[0], box[1] + 1)):
        ready = _sum_around(padded, inner, z, ready, index, box, taps, sums)
        for y in range(max(0, box[2] - 2 * radius_y), min(inner.shape[1], box[3] + 1)):
            labels = padded[z + radius_z, y + radius_y, radius_x:]
            row = values[z, y]
            if _is_mixed(inner[z, y]):
                _divide(labels, width, ignore_index, index, sums.denominators[z, y],
                        sums.xyz[y * padded.shape[2] :], taps.total[0], row)  # fmt: skip
                m, e, t = _add_up(labels, width, index, taps, row)
                mass += m
                entropy += e
                ties += t
            elif labels[0] == index:
                row[:width] = ONE
                mass += width << 24
    return mass, entropy, ties


@kernel
def find_denominators(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, ignore_index: int,
    box: NDArray[np.int64], taps: Taps, sums: Sums,
) -> None:  # fmt: skip
    """Take the ignored voxels' weights off the denominators; parameters as above."""
    radius_z, radius_y = len(taps.z) // 2, len(taps.y) // 2
    ready = box[0]
    for z in range(max(0, box[0] - 2 * radius_z), min(inner.shape[0], box[1] + 1)):
        ready = _sum_around(padded, inner, z, ready, ignore_index, box, taps, sums)
        for y in range(max(0, box[2] - 2 * radius_y), min(inner.shape[1], box[3] + 1)):
            row = sums.denominators[z, y]
            for x in range(width):
                row[Unsigned(x)] -= sums.xyz[Unsigned(y * padded.shape[2] + x)]


@kernel
def _is_mixed(segments: NDArray[np.int32]) -> bool:
    mixed = False
    for segment in segments:
        mixed |= segment == MIXED or segment != segments[0]
    return mixed


@kernel
def _sum_around(
    padded: NDArray[Any], inner: NDArray[np.int32], z: int, ready: int,
    index: Int, box: NDArray[np.int64], taps: Taps, sums: Sums,
) -> int:  # fmt: skip
    """Sums along all axes for slice z of the block; returns the next slice to sum in."""
    size, rows, step = len(taps.z), inner.shape[1], padded.shape[2]
    while ready <= min(box[1], z + size - 1):
        _mark(padded[ready].reshape(-1), step, index, box, sums.mask)
        sum_along_x(step, box, taps.x, sums)
        sum_along_y(rows, step, box, taps.y, sums, ready % size)
        ready += 1
    sum_along_z(z, rows, step, box, taps, sums)
    return ready


@kernel
def _mark(
    labels: NDArray[Any], step: int, index: Int, box: NDArray[np.int64], mask: NDArray[np.float32]
) -> None:
    """Write 1 where the class is, 0 elsewhere."""
    target = labels.dtype.type(index)
    for i in range(box[2] * step, (box[3] + 1) * step):
        mask[Unsigned(i)] = np.float32(labels[Unsigned(i)] == target)


@kernel
def _divide(
    labels: NDArray[Any], width: int, ignore_index: int, index: Int,
    denominators: NDArray[np.float32], xyz: NDArray[np.float32], centre: Real,
    row: NDArray[np.uint16],
) -> None:  # fmt: skip
    target = labels.dtype.type(index)
    ignored = labels.dtype.type(ignore_index)
    for x in range(width):
        own = centre if labels[Unsigned(x)] == target else np.float32(0)
        share = (xyz[Unsigned(x)] + own) / denominators[Unsigned(x)]
        valid = labels[Unsigned(x)] != ignored
        row[Unsigned(x)] = to_half(np.float64(share)) if valid else np.uint16(0)


@kernel
def _add_up(
    labels: NDArray[Any], width: int, index: Int, taps: Taps, row: NDArray[np.uint16]
) -> tuple[int, int, int]:
    mass = entropy = ties = 0
    for x in range(width):
        value = row[Unsigned(x)]
        if value != 0:
            mass += taps.mass[Unsigned(value)]
            entropy += taps.entropy[Unsigned(value)]
            ties += int(value == HALF and labels[Unsigned(x)] != index)
    return mass, entropy, ties
