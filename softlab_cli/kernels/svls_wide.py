"""SVLS with kernels wider than 3 voxels: one class after the other.

See `softlab_cli.kernels.wide_sums` for how its neighbours are summed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_kernel, kernel
from softlab_cli.kernels.disputes import Largest
from softlab_cli.kernels.half import HALF, ONE, to_half
from softlab_cli.kernels.wide_sums import Sums, Taps, sum_around

__all__ = ["find_denominators", "find_disputed_rows", "soften_class"]


@kernel
def soften_class(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, ignore_index: int,
    index: Int, shares: NDArray[np.float32] | None, box: NDArray[np.int64],
    taps: Taps, sums: Sums, largest: Largest | None, values: NDArray[np.uint16],
) -> tuple[int, int, int]:  # fmt: skip
    """Soft labels of one class of a block, which may be that of a fused label map.

    Parameters
    ----------
    padded
        (z, y, x) class indices, or numbers of a fused label map, with the halo.
    inner
        (z, y, segments) from `find_uniform_rows`.
    width
        Voxels of the block along X.
    ignore_index
        Mark of voxels that are not labelled; they get 0. Numbers above are blends.
    index
        The class.
    shares
        (numbers,) what each number has of the class; None where there are no blends.
    box
        First and last z, first and last y of the class in `padded`.
    taps, sums
        The kernel and the scratch memory.
    largest
        Is carried on from class to class; None where there are no blends.
    values
        (z, y, x) float16 as uint16, all 0.

    Returns
    -------
    mass, entropy, ties
        Sums over the block. A soft label of another class than the voxel's own
        is a tie when it is 1/2, since the own one is never less; where there are
        blends, `largest` tells.
    """
    radius_z, radius_y, radius_x = len(taps.z) // 2, len(taps.y) // 2, len(taps.x) // 2
    mass = entropy = ties = 0
    # Only where the class is within reach: the rest of the plane is 0 already. Slices come in
    # order, so that those summed along X and Y serve all slices around them.
    ready = box[0]
    for z in range(max(0, box[0] - 2 * radius_z), min(inner.shape[0], box[1] + 1)):
        ready = sum_around(padded, inner.shape[1], z, ready, index, shares, box, taps, sums)
        for y in range(max(0, box[2] - 2 * radius_y), min(inner.shape[1], box[3] + 1)):
            labels = padded[z + radius_z, y + radius_y, radius_x:]
            row = values[z, y]
            if _is_mixed(inner[z, y], ignore_index):
                _divide(
                    labels, width, ignore_index, index, shares, sums.denominators[z, y],
                    sums.xyz[y * padded.shape[2] :], taps.total[0], row,
                )  # fmt: skip
                m, e, t = _add_up(labels, z, y, width, index, taps, largest, row)
                mass += m
                entropy += e
                ties += t
            # A row of one class throughout has no other around: all is 1, without summing.
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
        ready = sum_around(padded, inner.shape[1], z, ready, ignore_index, None, box, taps, sums)
        for y in range(max(0, box[2] - 2 * radius_y), min(inner.shape[1], box[3] + 1)):
            row = sums.denominators[z, y]
            for x in range(width):
                row[Unsigned(x)] -= sums.xyz[Unsigned(y * padded.shape[2] + x)]


@kernel
def find_disputed_rows(
    inner: NDArray[np.int32], ignore_index: int, disputed: NDArray[np.uint64]
) -> None:
    """Say which rows of a fused block `soften_class` computes.

    Parameters
    ----------
    inner, ignore_index
        As for `soften_class`.
    disputed
        (z, y, segments); all bits of such rows are set, those of others are not.
    """
    for z in range(inner.shape[0]):
        for y in range(inner.shape[1]):
            mixed = _is_mixed(inner[z, y], ignore_index)
            disputed[z, y] = ~np.uint64(0) if mixed else np.uint64(0)


@bare_kernel
def _is_mixed(segments: NDArray[np.int32], ignore_index: int) -> bool:
    """Whether a row is not of one class throughout."""
    # Numbers above are blends, which are not one class even where nothing else is near.
    mixed = segments[0] > ignore_index
    for segment in segments:
        mixed |= segment == MIXED or segment != segments[0]
    return bool(mixed)


@bare_kernel
def _divide(
    labels: NDArray[Any], width: int, ignore_index: int, index: Int,
    shares: NDArray[np.float32] | None, denominators: NDArray[np.float32],
    xyz: NDArray[np.float32], centre: Real, row: NDArray[np.uint16],
) -> None:  # fmt: skip
    target = labels.dtype.type(index)
    ignored = labels.dtype.type(ignore_index)
    for x in range(width):
        label = labels[Unsigned(x)]
        if shares is None:
            own = centre if label == target else np.float32(0)
        else:
            own = centre * shares[Unsigned(label)]
        share = (xyz[Unsigned(x)] + own) / denominators[Unsigned(x)]
        row[Unsigned(x)] = to_half(np.float64(share)) if label != ignored else np.uint16(0)


@bare_kernel
def _add_up(
    labels: NDArray[Any], z: int, y: int, width: int, index: Int, taps: Taps,
    largest: Largest | None, row: NDArray[np.uint16],
) -> tuple[int, int, int]:  # fmt: skip
    """Mass, entropy and ties of a row; where there are blends, `largest` is brought up to date."""
    if largest is not None:
        best, shared, hard = largest.value[z, y], largest.shared[z, y], largest.hard[z, y]
    mass = entropy = ties = 0
    for x in range(width):
        value = row[Unsigned(x)]
        # Many voxels in reach of a class hold nothing of it, and two tables are looked up for
        # each that does.
        if value == 0:
            continue
        mass += taps.mass[Unsigned(value)]
        entropy += taps.entropy[Unsigned(value)]
        if largest is None:
            ties += int(value == HALF and labels[Unsigned(x)] != index)
        else:
            if value >= best[x]:
                shared[x] = value == best[x]
                best[x] = value
            if largest.hard_of[Unsigned(labels[Unsigned(x)])] == index:
                hard[x] = value
    return mass, entropy, ties
