"""Weighted sums over wide neighbourhoods, axis by axis.

The sum over a class's neighbours, each times its Gaussian weight, is taken along
X, then Y, then Z, for a whole slice at once. The centre weighs 1 in a Gaussian and
must be left out; where it is much heavier than all neighbours, taking it away
afterwards would leave rounding errors only. So each step makes two sums: *all*,
and *others* without the voxel itself. Terms are added in one fixed order, and
those that are left out are 0: the result does not depend on the blocks.

Slices are handled as one long row each, as they lie in memory, so that loops are
long. Voxels between the end of one row of the block and the start of the next
hold sums over both rows, which nobody reads.

Each function takes the rows of the block, the voxels from one padded row to the
next, and the box of the class: first and last z, first and last y in the padded block.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_kernel, kernel

__all__ = ["Sums", "Taps", "sum_around"]

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
def sum_around(
    padded: NDArray[Any], rows: int, z: int, ready: int, index: Int,
    shares: NDArray[np.float32] | None, box: NDArray[np.int64], taps: Taps, sums: Sums,
) -> int:  # fmt: skip
    """Sums along all axes for slice z of the block; returns the next slice to sum in.

    Parameters
    ----------
    padded
        (z, y, x) class indices, or numbers of a fused label map, with the halo.
    rows
        Rows of the block.
    z, ready
        The slice, and the first of `padded` whose sums along X and Y are not there.
    index
        The class.
    shares
        (numbers,) what each number has of the class; None where it is 1 or 0.
    box
        First and last z, first and last y of the class in `padded`.
    taps, sums
        The kernel and the scratch memory.
    """
    size, step = len(taps.z), padded.shape[2]
    while ready <= min(box[1], z + size - 1):
        # Classes are compared once for a slice and not again in each sum; and each slice is
        # summed along X and Y once, and kept in a ring for as long as a sum along Z needs it:
        # summed anew for each, they take 2.2 times as long with 5 taps.
        _mark(padded[ready].reshape(-1), step, index, shares, box, sums.mask)
        _sum_along_x(step, box, taps.x, sums)
        _sum_along_y(rows, step, box, taps.y, sums, ready % size)
        ready += 1
    _sum_along_z(z, rows, step, box, taps, sums)
    return ready


@bare_kernel
def _mark(
    labels: NDArray[Any], step: int, index: Int, shares: NDArray[np.float32] | None,
    box: NDArray[np.int64], mask: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write what each voxel has of the class."""
    target = labels.dtype.type(index)
    for i in range(box[2] * step, (box[3] + 1) * step):
        label = labels[Unsigned(i)]
        # Numba drops the other branch when it compiles, as None is a type of its own: SVLS keeps
        # a loop without look-ups, and mSVLS has no kernel of its own to keep equal with it.
        if shares is None:
            mask[Unsigned(i)] = np.float32(label == target)
        else:
            mask[Unsigned(i)] = shares[Unsigned(label)]


@kernel
def _sum_along_x(
    step: int, box: NDArray[np.int64], taps: NDArray[np.float32], sums: Sums
) -> None:  # fmt: skip
    """Sums along X of what the mask holds of a slice."""
    start, stop = box[2] * step, (box[3] + 1) * step
    count = stop - start - (len(taps) - 1)
    sums.x_others[start:stop] = 0
    # Tap by tap over the whole slice, and not all taps of one voxel: a long loop with one
    # weight and no test is vectorised (row by row, all takes 1.15 times as long), and terms
    # are added in one order everywhere.
    for k in range(len(taps)):
        if k != len(taps) // 2:
            _add(sums.mask, start + k, count, taps[k], sums.x_others, start)
    sums.x_all[start:stop] = sums.x_others[start:stop]
    _add(sums.mask, start + len(taps) // 2, count, UNWEIGHTED, sums.x_all, start)


@kernel
def _sum_along_y(
    rows: int, step: int, box: NDArray[np.int64], taps: NDArray[np.float32], sums: Sums, slot: int
) -> None:
    """Sums along X and Y of a slice, kept in a slot, of those along X."""
    others, every = sums.xy_others[slot], sums.xy_all[slot]
    begin = max(0, box[2] - len(taps) + 1) * step
    end = min(rows, box[3] + 1) * step
    every[begin:end] = 0
    for k in range(len(taps)):
        if k != len(taps) // 2:
            _add_rows(rows, step, box, k, sums.x_all, taps[k], every)
    # Up to here both sums are the same, so they are copied. The voxel itself is left out only
    # if it is the middle along all axes: hence *others* of X in the middle row, *all* elsewhere.
    others[begin:end] = every[begin:end]
    _add_rows(rows, step, box, len(taps) // 2, sums.x_all, UNWEIGHTED, every)
    _add_rows(rows, step, box, len(taps) // 2, sums.x_others, UNWEIGHTED, others)


@kernel
def _sum_along_z(
    z: int, rows: int, step: int, box: NDArray[np.int64], taps: Taps, sums: Sums
) -> None:
    """Sums along all axes for slice z of the block, of the slices around it."""
    start = max(0, box[2] - len(taps.y) + 1) * step
    stop = min(rows, box[3] + 1) * step
    size = len(taps.z)
    sums.xyz[start:stop] = 0
    for k in range(size):
        # Slices without the class would add 0; they are not summed, and the ring has others.
        if box[0] <= z + k <= box[1]:
            slot = (z + k) % size
            if k == size // 2:
                _add(sums.xy_others[slot], start, stop - start, UNWEIGHTED, sums.xyz, start)
            else:
                _add(sums.xy_all[slot], start, stop - start, taps.z[k], sums.xyz, start)


@bare_kernel
def _add_rows(
    rows: int, step: int, box: NDArray[np.int64], k: int,
    source: NDArray[np.float32], weight: Real, target: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add the rows of the class to those that lie k rows further up."""
    first = max(0, box[2] - k)
    stop = min(rows, box[3] + 1 - k)
    _add(source, (first + k) * step, (stop - first) * step, weight, target, first * step)


@bare_kernel
def _add(
    source: NDArray[np.float32], start: int, count: int, weight: Real,
    target: NDArray[np.float32], to: int,
) -> None:  # fmt: skip
    for i in range(count):
        target[Unsigned(to + i)] += weight * source[Unsigned(start + i)]
