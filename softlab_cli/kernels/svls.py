"""SVLS with a kernel 3 voxels wide: neighbours are counted, results looked up.

The soft label of a class depends on its code (see `softlab_cli.kernels.neighbours`)
and on whether it is the class of the voxel itself, so a table has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.blends import BlendTable, fill_number
from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, bare_kernel, kernel
from softlab_cli.kernels.half import HALF, to_half
from softlab_cli.kernels.neighbours import (
    CODES,
    FULL,
    Segment,
    Steps,
    load,
    look_around,
    new_segment,
    take,
)
from softlab_cli.kernels.planes import Planes, Tables, fill, put
from softlab_cli.kernels.sizes import SEGMENT

__all__ = ["soften_block"]


@kernel
def soften_block(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, slicewise: bool,
    ignore_index: int, tables: Tables, planes: Planes,
    blends: BlendTable | None, disputed: NDArray[np.uint64] | None,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of a block, but for the disputed voxels of a fused one.

    Parameters
    ----------
    padded
        (z, y, x) class indices, or numbers of a fused label map, with a halo of 1 (along
        Z none if `slicewise`).
    inner
        (z, y, segments) from `find_uniform_rows`.
    width
        Voxels of the block along X.
    slicewise
        Whether neighbours in the same slice are the only ones.
    ignore_index
        Mark of voxels that are not labelled; above all classes, below all blends.
    tables
        What to look up.
    planes
        Where the soft labels go.
    blends
        What numbers above `ignore_index` stand for; None where there are none.
    disputed
        (z, y, segments); is given a bit for each disputed voxel of the segment. None
        where there are no blends.

    Returns
    -------
    entropy, ties
        Sums over these voxels, of all classes.
    """
    # Numba counts references around each step that branches. Here, where arrays are made,
    # it must; the loops do without, in 0.85 of the time.
    plane_step = 0 if slicewise else padded.shape[1] * padded.shape[2]
    steps = plane_step, padded.shape[2]
    labels = padded.reshape(-1)
    return _soften_rows(
        labels, padded.shape[1], steps, inner, width, ignore_index,
        new_segment(labels), tables, planes, blends, disputed,
    )  # fmt: skip


@bare_kernel
def _soften_rows(
    labels: NDArray[Any], height: int, steps: Steps, inner: NDArray[np.int32], width: int,
    ignore_index: int, segment: Segment, tables: Tables, planes: Planes,
    blends: BlendTable | None, disputed: NDArray[np.uint64] | None,
) -> tuple[int, int]:  # fmt: skip
    plane_step, row_step = steps
    corner = plane_step + row_step + 1
    entropy = ties = 0
    for z in range(inner.shape[0]):
        for y in range(inner.shape[1]):
            line = (z * height + y) * row_step + corner
            for s in range(inner.shape[2]):
                there = (z * planes.values.shape[2] + y) * planes.values.shape[3] + s * SEGMENT
                count = min(SEGMENT, width - s * SEGMENT)
                bits = np.uint64(0)
                # Most segments have one class around; counting in these as well takes 1.4 times
                # as long.
                if inner[z, y, s] != MIXED:
                    e, t = _fill(
                        np.int64(inner[z, y, s]), there, count, ignore_index, tables, planes, blends
                    )
                else:
                    e, t, bits = _soften_segment(
                        labels, line + s * SEGMENT, there, count, steps, ignore_index,
                        segment, tables, planes, blends,
                    )  # fmt: skip
                if disputed is not None:
                    disputed[z, y, s] = bits
                entropy += e
                ties += t
    return entropy, ties


@bare_inlined
def _fill(
    number: Int, there: int, count: int, ignore_index: int,
    tables: Tables, planes: Planes, blends: BlendTable | None,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of voxels whose neighbourhood one number fills; their entropy and ties."""
    if blends is not None:
        return fill_number(number, there, count, tables.mass, blends, planes)
    if number != ignore_index:
        fill(number, there, count, planes)
    return 0, 0


@bare_inlined
def _soften_segment(
    labels: NDArray[Any], here: int, there: int, count: int, steps: Steps,
    ignore_index: int, segment: Segment, tables: Tables, planes: Planes,
    blends: BlendTable | None,
) -> tuple[int, int, np.uint64]:  # fmt: skip
    """Entropy, ties and the disputed voxels of one segment."""
    own, own_code = segment.own, segment.own_code
    other, other_code = segment.other, segment.other_code
    load(labels, here, steps, segment)
    entropy = ties = x = 0
    disputed = np.uint64(0)
    while x < count:
        number, second = np.int64(own[Unsigned(x)]), np.int64(other[Unsigned(x)])
        e = t = 0
        stop = x + 1
        if own_code[Unsigned(x)] == FULL:
            # Inside mixed segments, too, classes come in runs; written voxel by voxel, they
            # make all of it take 1.1 times as long.
            while stop < count and own_code[Unsigned(stop)] == FULL:
                stop += 1
            e, t = _fill(number, there + x, stop - x, ignore_index, tables, planes, blends)
        # `other` is the largest number around, so it tells of blends and ignored voxels.
        elif number == ignore_index:
            pass
        elif max(number, second) > ignore_index:
            disputed |= np.uint64(1) << np.uint64(x)
        elif second == ignore_index:
            e, t = _soften_beside_ignored(
                labels, here + x, there + x, steps, ignore_index, segment, tables, planes,
            )  # fmt: skip
        else:
            code = np.int64(own_code[Unsigned(x)])
            second_code = np.int64(other_code[Unsigned(x)])
            # Nearly all voxels at borders end here. Looking around each of them takes 1.15
            # times as long, and counting class by class, as beside ignored voxels, 2.5 times.
            e, t = _put_two(number, second, code, second_code, there + x, tables, planes)
            if code + second_code != FULL:
                entropy += e
                ties += t
                look_around(labels, here + x, steps, segment.around)
                e, t = _soften_rest(
                    there + x, number, second, FULL - code - second_code, FULL,
                    segment, tables, planes,
                )  # fmt: skip
        entropy += e
        ties += t
        x = stop
    return entropy, ties, disputed


@bare_inlined
def _put_two(
    first: Int, second: Int, code: Int, second_code: Int, there: int,
    tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of a voxel's own class and of the only other one around."""
    value = tables.halves[Unsigned(CODES + code)]
    entropy = put(first, there, value, tables, planes)
    value = tables.halves[Unsigned(second_code)]
    entropy += put(second, there, value, tables, planes)
    return entropy, int(value == HALF)


@bare_inlined
def _soft_label(is_own: int, code: int, valid: int, tables: Tables) -> np.uint16:
    """Soft label of a class: of its code, relative to the code of all valid neighbours.

    Where all neighbours are valid, the table holds the very same quotient; so an
    ignored voxel changes nothing beyond its own neighbourhood.
    """
    if valid == FULL:
        return np.uint16(tables.halves[Unsigned(is_own * CODES + code)])
    return to_half(tables.sums[is_own, code] / tables.sums[1, valid])


@bare_kernel
def _soften_rest(
    there: int, own: Int, other: Int, remaining: Int, valid: int,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel but two; together they have `remaining`."""
    entropy = ties = n = 0
    # Codes add up, so it is known when the last class has been met: mostly after a few voxels.
    while remaining > 0:
        index = segment.around[Unsigned(n)]
        n += 1
        if index != own and index != other:
            code = take(index, own, segment)
            value = _soft_label(0, code, valid, tables)
            entropy += put(index, there, value, tables, planes)
            ties += int(value == HALF)
            remaining -= code
    return entropy, ties


@bare_kernel
def _soften_beside_ignored(
    labels: NDArray[Any], here: int, there: int, steps: Steps, ignore_index: int,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel with ignored neighbours."""
    own = labels[Unsigned(here)]
    look_around(labels, here, steps, segment.around)
    code = take(own, own, segment)
    valid = FULL - take(ignore_index, own, segment)
    value = _soft_label(1, code, valid, tables)
    entropy = put(own, there, value, tables, planes)
    e, t = _soften_rest(there, own, own, valid - code, valid, segment, tables, planes)
    return entropy + e, t
