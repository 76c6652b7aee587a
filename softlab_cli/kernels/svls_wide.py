"""SVLS with kernels wider than 3 voxels: one class after the other, axis by axis.

The sum over a class's neighbours, each times its Gaussian weight, is taken along
X, then Y, then Z, for a whole slice at once. The centre weighs 1 in a Gaussian and
must be left out; where it is much heavier than all neighbours, taking it away
afterwards would leave rounding errors only. So each step makes two sums: *all*,
and *others* without the voxel itself. Terms are added in one fixed order, and
those that are left out are 0: the result does not depend on the blocks.

Slices are handled as one long row each, as they lie in memory, so that loops are
long. Voxels between the end of one row of the block and the start of the next
hold sums over both rows, which nobody reads.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Real, Unsigned, kernel
from softlab_cli.kernels.half import HALF, ONE, to_half

__all__ = ["Sums", "Taps", "find_denominators", "soften_class"]


UNWEIGHTED = np.float32(1)


class Taps(NamedTuple):
    """The kernel.

    Parameters
    ----------
    z, y, x
        (2 radius + 1,) float32, Gaussian along each axis, 1 in the middle.
    total
        (1,) float32, sum of the weights of all neighbours.
    mass, entropy
        (ONE + 1,) int64 from `softlab_cli.kernels.half`.
    """

    z: NDArray[np.float32]
    y: NDArray[np.float32]
    x: NDArray[np.float32]
    total: NDArray[np.float32]
    mass: NDArray[np.int64]
    entropy: NDArray[np.int64]


class Sums(NamedTuple):
    """Scratch memory, float32; P is the number of voxels in a padded slice.

    Parameters
    ----------
    mask, x_others, x_all
        (P,), the class in one slice, and its sums along X.
    xy_others, xy_all
        (2 radius + 1, P), sums along X and Y of the slices that are needed at once.
    xyz
        (P,), sums along all axes, without the centre.
    denominators
        (z, y, x), sum of the weights of all valid voxels, the centre included.
    """

    mask: NDArray[np.float32]
    x_others: NDArray[np.float32]
    x_all: NDArray[np.float32]
    xy_others: NDArray[np.float32]
    xy_all: NDArray[np.float32]
    xyz: NDArray[np.float32]
    denominators: NDArray[np.float32]


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
    size, step = len(taps.z), padded.shape[2]
    radius_y = len(taps.y) // 2
    while ready <= min(box[1], z + size - 1):
        slot = ready % size
        _sum_along_x(padded[ready].reshape(-1), step, index, box, taps.x, sums)
        _sum_along_y(
            inner.shape[1], step, box, taps.y, sums, sums.xy_others[slot], sums.xy_all[slot]
        )
        ready += 1
    start = max(0, box[2] - 2 * radius_y) * step
    stop = min(inner.shape[1], box[3] + 1) * step
    sums.xyz[start:stop] = 0
    for k in range(size):
        if box[0] <= z + k <= box[1]:
            slot = (z + k) % size
            if k == size // 2:
                _add(sums.xy_others[slot], start, stop - start, UNWEIGHTED, sums.xyz, start)
            else:
                _add(sums.xy_all[slot], start, stop - start, taps.z[k], sums.xyz, start)
    return ready


@kernel
def _sum_along_x(
    labels: NDArray[Any], step: int, index: Int, box: NDArray[np.int64],
    taps: NDArray[np.float32], sums: Sums,
) -> None:  # fmt: skip
    target = labels.dtype.type(index)
    start, stop = box[2] * step, (box[3] + 1) * step
    for i in range(start, stop):
        sums.mask[Unsigned(i)] = np.float32(labels[Unsigned(i)] == target)
    count = stop - start - (len(taps) - 1)
    sums.x_others[start:stop] = 0
    for k in range(len(taps)):
        if k != len(taps) // 2:
            _add(sums.mask, start + k, count, taps[k], sums.x_others, start)
    sums.x_all[start:stop] = sums.x_others[start:stop]
    _add(sums.mask, start + len(taps) // 2, count, UNWEIGHTED, sums.x_all, start)


@kernel
def _sum_along_y(
    rows: int, step: int, box: NDArray[np.int64], taps: NDArray[np.float32], sums: Sums,
    others: NDArray[np.float32], every: NDArray[np.float32],
) -> None:  # fmt: skip
    begin = max(0, box[2] - len(taps) + 1) * step
    end = min(rows, box[3] + 1) * step
    every[begin:end] = 0
    for k in range(len(taps)):
        if k != len(taps) // 2:
            _add_rows(rows, step, box, k, sums.x_all, taps[k], every)
    others[begin:end] = every[begin:end]
    _add_rows(rows, step, box, len(taps) // 2, sums.x_all, UNWEIGHTED, every)
    _add_rows(rows, step, box, len(taps) // 2, sums.x_others, UNWEIGHTED, others)


@kernel
def _add_rows(
    rows: int, step: int, box: NDArray[np.int64], k: int,
    source: NDArray[np.float32], weight: Real, target: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add the rows of the class to those that lie k rows further up."""
    first = max(0, box[2] - k)
    stop = min(rows, box[3] + 1 - k)
    _add(source, (first + k) * step, (stop - first) * step, weight, target, first * step)


@kernel
def _add(
    source: NDArray[np.float32], start: int, count: int, weight: Real,
    target: NDArray[np.float32], to: int,
) -> None:  # fmt: skip
    for i in range(count):
        target[Unsigned(to + i)] += weight * source[Unsigned(start + i)]


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
