"""SVLS of a fused label map with kernels wider than 3 voxels; see `kernels.svls_wide`.

The sums are those of SVLS, but of each voxel's share of the class instead of 1 or 0:
where there are no blends, they are the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Real, Unsigned, kernel
from softlab_cli.kernels.disputes import Largest
from softlab_cli.kernels.half import ONE, to_half
from softlab_cli.kernels.wide_sums import Sums, Taps, sum_along_x, sum_along_y, sum_along_z

__all__ = ["find_disputed_rows", "soften_shares"]


@kernel
def find_disputed_rows(
    inner: NDArray[np.int32], ignore_index: int, disputed: NDArray[np.uint64]
) -> None:
    """Say which rows have to be computed: all that are not of one class throughout.

    Parameters
    ----------
    inner
        (z, y, segments) from `softlab_cli.kernels.block.find_uniform_rows`.
    ignore_index
        The number of voxels that nobody labelled; those above are blends.
    disputed
        (z, y, segments); all bits of such rows are set, those of others are not.
    """
    for z in range(inner.shape[0]):
        for y in range(inner.shape[1]):
            first = inner[z, y, 0]
            whole = first != MIXED and first <= ignore_index
            for segment in inner[z, y]:
                whole &= segment == first
            disputed[z, y] = np.uint64(0) if whole else ~np.uint64(0)


@kernel
def soften_shares(
    padded: NDArray[Any], disputed: NDArray[np.uint64], width: int, ignore_index: int,
    index: int, shares: NDArray[np.float32], box: NDArray[np.int64], taps: Taps, sums: Sums,
    largest: Largest, values: NDArray[np.uint16],
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of one class of a fused block.

    Parameters
    ----------
    padded
        (z, y, x) numbers of the block with its halo.
    disputed
        From `find_disputed_rows`.
    width
        Voxels of the block along X.
    ignore_index
        The number of voxels that nobody labelled; they get 0.
    index
        The class.
    shares
        (numbers,) float32, what each number has of the class.
    box
        First and last z, first and last y of the class in `padded`.
    taps, sums
        The kernel and the scratch memory.
    largest
        Is carried on from class to class.
    values
        (z, y, x) float16 as uint16, all 0.

    Returns
    -------
    mass, entropy
        Sums over the block.
    """
    radius_z, radius_y, radius_x = len(taps.z) // 2, len(taps.y) // 2, len(taps.x) // 2
    mass = entropy = 0
    ready = box[0]
    for z in range(max(0, box[0] - 2 * radius_z), min(disputed.shape[0], box[1] + 1)):
        ready = _sum_around(padded, disputed.shape[1], z, ready, shares, box, taps, sums)
        for y in range(max(0, box[2] - 2 * radius_y), min(disputed.shape[1], box[3] + 1)):
            numbers = padded[z + radius_z, y + radius_y, radius_x:]
            if disputed[z, y, 0]:
                _divide(
                    numbers, width, ignore_index, shares, sums.denominators[z, y],
                    sums.xyz[y * padded.shape[2] :], taps.total[0], values[z, y],
                )  # fmt: skip
                m, e = _add_up(numbers, z, y, width, index, taps, largest, values[z, y])
                mass += m
                entropy += e
            elif numbers[0] == index:
                values[z, y, :width] = ONE
                mass += width << 24
    return mass, entropy


@kernel
def _sum_around(
    padded: NDArray[Any], rows: int, z: int, ready: int,
    shares: NDArray[np.float32], box: NDArray[np.int64], taps: Taps, sums: Sums,
) -> int:  # fmt: skip
    """Sums along all axes for slice z of the block; returns the next slice to sum in."""
    size, step = len(taps.z), padded.shape[2]
    while ready <= min(box[1], z + size - 1):
        _look_up(padded[ready].reshape(-1), step, shares, box, sums.mask)
        sum_along_x(step, box, taps.x, sums)
        sum_along_y(rows, step, box, taps.y, sums, ready % size)
        ready += 1
    sum_along_z(z, rows, step, box, taps, sums)
    return ready


@kernel
def _look_up(
    numbers: NDArray[Any], step: int, shares: NDArray[np.float32], box: NDArray[np.int64],
    mask: NDArray[np.float32],
) -> None:  # fmt: skip
    """Write what each voxel has of the class."""
    for i in range(box[2] * step, (box[3] + 1) * step):
        mask[Unsigned(i)] = shares[Unsigned(numbers[Unsigned(i)])]


@kernel
def _divide(
    numbers: NDArray[Any], width: int, ignore_index: int, shares: NDArray[np.float32],
    denominators: NDArray[np.float32], xyz: NDArray[np.float32], centre: Real,
    row: NDArray[np.uint16],
) -> None:  # fmt: skip
    for x in range(width):
        number = numbers[Unsigned(x)]
        share = (xyz[Unsigned(x)] + centre * shares[Unsigned(number)]) / denominators[Unsigned(x)]
        value = to_half(np.float64(share))
        row[Unsigned(x)] = value if number != ignore_index else np.uint16(0)


@kernel
def _add_up(
    numbers: NDArray[Any], z: int, y: int, width: int, index: int, taps: Taps,
    largest: Largest, row: NDArray[np.uint16],
) -> tuple[int, int]:  # fmt: skip
    best, shared, hard = largest.value[z, y], largest.shared[z, y], largest.hard[z, y]
    mass = entropy = 0
    for x in range(width):
        value = row[Unsigned(x)]
        if value == 0:
            continue
        mass += taps.mass[Unsigned(value)]
        entropy += taps.entropy[Unsigned(value)]
        if value >= best[x]:
            shared[x] = value == best[x]
            best[x] = value
        if largest.hard_of[Unsigned(numbers[Unsigned(x)])] == index:
            hard[x] = value
    return mass, entropy
