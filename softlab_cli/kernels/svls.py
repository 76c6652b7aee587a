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
    EVERYONE,
    FULL,
    Segment,
    Steps,
    code_at,
    code_of,
    look_around,
    look_at,
    new_segment,
    who_has,
)
from softlab_cli.kernels.planes import Planes, Tables, fill, plane_size, put
from softlab_cli.kernels.segments import first_bit
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
    sorts = look_at(labels, here, steps, ignore_index, segment)
    inside = ~np.uint64(0) >> np.uint64(SEGMENT - count)
    own, other = segment.own, segment.other
    entropy = ties = 0
    bits = sorts.alone & inside
    while bits:
        # Inside mixed segments, too, classes come in runs. Adding the lowest bit carries through
        # its run: what is left of both is all that is behind it.
        x = first_bit(bits)
        behind = bits + (np.uint64(1) << np.uint64(x))
        stop = first_bit(behind)  # all of them where there is none
        e, t = _fill(
            np.int64(own[Unsigned(x)]), there + x, stop - x, ignore_index, tables, planes, blends
        )
        entropy += e
        ties += t
        bits &= behind
    bits = sorts.two & inside
    while bits:
        # Nearly all voxels at borders end here.
        x = first_bit(bits)
        bits &= bits - np.uint64(1)
        code = code_at(segment.own_low, segment.own_high, x)
        e, t = _put_two(own[Unsigned(x)], other[Unsigned(x)], code, there + x, tables, planes)
        entropy += e
        ties += t
    bits = sorts.more & inside
    while bits:
        x = first_bit(bits)
        bits &= bits - np.uint64(1)
        e, t = _soften_several(labels, here + x, there + x, x, steps, segment, tables, planes)
        entropy += e
        ties += t
    bits = sorts.beside_ignored & inside
    while bits:
        x = first_bit(bits)
        bits &= bits - np.uint64(1)
        e, t = _soften_beside_ignored(
            labels, here + x, there + x, x, steps, ignore_index, segment, tables, planes
        )
        entropy += e
        ties += t
    return entropy, ties, sorts.disputed & inside


@bare_inlined
def _put_two(
    first: Int, second: Int, code: int, there: int, tables: Tables, planes: Planes
) -> tuple[int, int]:
    """Soft labels of a voxel's own class and of the only other one around."""
    size, row = plane_size(planes), 4 * code
    values = tables.pairs[Unsigned(row)]
    value, second_value = np.uint16(values), np.uint16(values >> np.uint32(16))
    plane, second_plane = planes.plane_of[Unsigned(first)], planes.plane_of[Unsigned(second)]
    planes.flat[Unsigned(plane * size + there)] = value
    planes.flat[Unsigned(second_plane * size + there)] = second_value
    planes.mass[Unsigned(plane)] += np.int64(tables.pairs[Unsigned(row + 2)])
    planes.mass[Unsigned(second_plane)] += np.int64(tables.pairs[Unsigned(row + 3)])
    return int(np.int64(tables.pairs[Unsigned(row + 1)])), int(second_value == HALF)


@bare_inlined
def _soft_label(is_own: int, code: int, valid: int, tables: Tables) -> np.uint16:
    """Soft label of a class: of its code, relative to the code of all valid neighbours.

    Where all neighbours are valid, the table holds the very same quotient; so an
    ignored voxel changes nothing beyond its own neighbourhood.
    """
    if valid == FULL:
        # What the other of two classes has, where the first has the rest of the code.
        if is_own:
            return np.uint16(tables.pairs[Unsigned(4 * code)])
        return np.uint16(tables.pairs[Unsigned(4 * (FULL - code))] >> np.uint32(16))
    centre = tables.sums[FULL]
    weight = tables.sums[Unsigned(code)]
    if is_own:
        weight += centre
    return to_half(weight / (tables.sums[Unsigned(valid)] + centre))


@bare_kernel
def _soften_several(
    labels: NDArray[Any], here: int, there: int, x: int, steps: Steps,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel, three or more."""
    own, other = segment.own[Unsigned(x)], segment.other[Unsigned(x)]
    look_around(labels, here, steps, segment.around)
    code = code_at(segment.own_low, segment.own_high, x)
    entropy = put(own, there, _soft_label(1, code, FULL, tables), tables, planes)
    second = code_at(segment.other_low, segment.other_high, x)
    value = _soft_label(0, second, FULL, tables)
    entropy += put(other, there, value, tables, planes)
    left = EVERYONE & ~(who_has(own, segment) | who_has(other, segment))
    e, t = _soften_rest(there, left, FULL, segment, tables, planes)
    return entropy + e, t + int(value == HALF)


@bare_inlined
def _soften_rest(
    there: int, left: np.uint64, valid: int, segment: Segment, tables: Tables, planes: Planes
) -> tuple[int, int]:
    """Soft labels of the classes of some voxels around one, none of them its own."""
    entropy = ties = 0
    while left:
        index = segment.around[Unsigned(first_bit(left))]
        found = who_has(index, segment)
        left &= ~found
        value = _soft_label(0, code_of(found), valid, tables)
        entropy += put(index, there, value, tables, planes)
        ties += int(value == HALF)
    return entropy, ties


@bare_kernel
def _soften_beside_ignored(
    labels: NDArray[Any], here: int, there: int, x: int, steps: Steps, ignore_index: int,
    segment: Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel with ignored neighbours."""
    own = segment.own[Unsigned(x)]
    look_around(labels, here, steps, segment.around)
    code = code_at(segment.own_low, segment.own_high, x)
    ignored = who_has(ignore_index, segment)
    valid = FULL - code_of(ignored)
    entropy = put(own, there, _soft_label(1, code, valid, tables), tables, planes)
    left = EVERYONE & ~(who_has(own, segment) | ignored)
    e, t = _soften_rest(there, left, valid, segment, tables, planes)
    return entropy + e, t
