"""SVLS with a kernel 3 voxels wide: neighbours are counted, results looked up.

The soft label of a class depends on its code (see `softlab_cli.kernels.neighbours`)
and on whether it is the class of the voxel itself, so a table has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Unsigned, inlined, kernel
from softlab_cli.kernels.half import HALF, to_half
from softlab_cli.kernels.neighbours import (
    CODES,
    FULL,
    Segment,
    load,
    look_around,
    new_segment,
    take,
)
from softlab_cli.kernels.planes import Planes, Tables, fill, put
from softlab_cli.kernels.sizes import SEGMENT

__all__ = ["put_two", "soften_block", "soften_with_ignored"]


@kernel
def soften_block(
    padded: NDArray[Any], inner: NDArray[np.int32], width: int, slicewise: bool,
    ignore_index: int, has_ignored: bool, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of a block.

    Parameters
    ----------
    padded
        (z, y, x) class indices with a halo of 1 (along Z none if `slicewise`).
    inner
        (z, y, segments) from `find_uniform_rows`.
    width
        Voxels of the block along X.
    slicewise
        Whether neighbours in the same slice are the only ones.
    ignore_index
        Mark of voxels that are not labelled.
    has_ignored
        Whether the padded block has any of those.
    tables
        What to look up.
    planes
        Where the soft labels go.

    Returns
    -------
    entropy, ties
        Sums over the block, of all its classes.
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
                here = line + s * SEGMENT
                there = (z * planes.values.shape[2] + y) * planes.values.shape[3] + s * SEGMENT
                count = min(SEGMENT, width - s * SEGMENT)
                index = inner[z, y, s]
                if index == ignore_index:
                    continue
                if index != MIXED:
                    fill(index, there, count, planes)
                    continue
                if has_ignored:
                    e, t = soften_with_ignored(
                        labels, here, there, count, plane_step, row_step,
                        ignore_index, segment, tables, planes,
                    )  # fmt: skip
                else:
                    e, t = _soften_segment(
                        labels, here, there, count, plane_step, row_step,
                        segment, tables, planes,
                    )  # fmt: skip
                entropy += e
                ties += t
    return entropy, ties


@inlined
def _soften_segment(
    labels: NDArray[Any], here: int, there: int, count: int, plane_step: int, row_step: int,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    own, own_code = segment.own, segment.own_code
    other, other_code = segment.other, segment.other_code
    load(labels, here, plane_step, row_step, segment)
    entropy = ties = x = 0
    while x < count:
        if own_code[Unsigned(x)] == FULL:
            stop = x + 1
            while stop < count and own_code[Unsigned(stop)] == FULL:
                stop += 1
            fill(own[Unsigned(x)], there + x, stop - x, planes)
            x = stop
            continue
        first = int(own_code[Unsigned(x)])
        second = int(other_code[Unsigned(x)])
        e, t = put_two(
            own[Unsigned(x)], other[Unsigned(x)], first, second, there + x, tables, planes
        )
        entropy += e
        ties += t
        if first + second != FULL:
            look_around(labels, here + x, plane_step, row_step, segment.around)
            e, t = _soften_rest(
                there + x, own[Unsigned(x)], other[Unsigned(x)], FULL - first - second, FULL,
                segment, tables, planes,
            )  # fmt: skip
            entropy += e
            ties += t
        x += 1
    return entropy, ties


@inlined
def put_two(
    first: Int, second: Int, code: Int, second_code: Int, there: int,
    tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of a voxel's own class and of the only other one around."""
    value = tables.halves[Unsigned(CODES + code)]
    entropy = put(first, there, value, tables, planes)
    value = tables.halves[Unsigned(second_code)]
    entropy += put(second, there, value, tables, planes)
    return entropy, int(value == HALF)


@inlined
def _soft_label(is_own: int, code: int, valid: int, tables: Tables) -> np.uint16:
    """Soft label of a class: of its code, relative to the code of all valid neighbours.

    Where all neighbours are valid, the table holds the very same quotient; so an
    ignored voxel changes nothing beyond its own neighbourhood.
    """
    if valid == FULL:
        return np.uint16(tables.halves[Unsigned(is_own * CODES + code)])
    return to_half(tables.sums[is_own, code] / tables.sums[1, valid])


@kernel
def _soften_rest(
    there: int, own: Int, other: Int, remaining: int, valid: int,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel but two; together they have `remaining`."""
    entropy = ties = n = 0
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


@kernel
def soften_with_ignored(
    labels: NDArray[Any], here: int, there: int, count: int, plane_step: int, row_step: int,
    ignore_index: int, segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """As `_soften_segment`, for voxels that may be ignored or have ignored neighbours."""
    entropy = ties = 0
    for x in range(count):
        own = labels[Unsigned(here + x)]
        if own == ignore_index:
            continue
        look_around(labels, here + x, plane_step, row_step, segment.around)
        code = take(own, own, segment)
        valid = FULL - take(ignore_index, own, segment)
        value = _soft_label(1, code, valid, tables)
        entropy += put(own, there + x, value, tables, planes)
        e, t = _soften_rest(there + x, own, own, valid - code, valid, segment, tables, planes)
        entropy += e
        ties += t
    return entropy, ties
