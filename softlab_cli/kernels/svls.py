"""SVLS with a kernel 3 voxels wide: neighbours are counted, results looked up.

The 26 neighbours fall into seven groups of equal weight: those one step away
along X, Y or Z, along two axes at once (XY, XZ, YZ) and along all three. How many
neighbours of each group have a class is written as one whole number, the *code*:
each neighbour adds the unit of its group. The soft label of a class depends on
its code and on whether it is the class of the voxel itself, so a table has it.

For a kernel in the slice only, the step along Z is 0: the neighbours above and
below are the voxel itself, no other class is met, and their groups weigh nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.block import MIXED
from softlab_cli.kernels.compiling import Int, Unsigned, inlined, kernel
from softlab_cli.kernels.half import HALF, ONE, to_half
from softlab_cli.kernels.sizes import SEGMENT

__all__ = ["CODES", "Planes", "Tables", "code_sums", "soften_block"]

GROUPS = (
    # steps (z, y, x), unit in the code, and 1 + the number of such neighbours
    ((0, 0, 1), 1, 3),
    ((0, 1, 0), 3, 3),
    ((1, 0, 0), 9, 3),
    ((0, 1, 1), 27, 5),
    ((1, 0, 1), 135, 5),
    ((1, 1, 0), 675, 5),
    ((1, 1, 1), 3375, 9),
)

FULL = sum(unit * (radix - 1) for _, unit, radix in GROUPS)
"""Code of a class that all neighbours have."""

CODES = FULL + 1

_UNITS = {(0, 0, 0): 0} | {steps: unit for steps, unit, _ in GROUPS}
_ROWS = [(abs(dz), abs(dy)) for dz in (-1, 0, 1) for dy in (-1, 0, 1)]

# The nine rows of neighbours: unit of the middle one, and of the two beside it.
MIDDLE_UNITS = tuple(_UNITS[(dz, dy, 0)] for dz, dy in _ROWS)
SIDE_UNITS = tuple(_UNITS[(dz, dy, 1)] for dz, dy in _ROWS)

AROUND = 32
"""The 27 voxels of a neighbourhood, filled up so that loops over them are vectorised."""


class Tables(NamedTuple):
    """What the kernel looks up.

    Parameters
    ----------
    sums
        (2, CODES) float64 from `code_sums`.
    halves
        (2 * CODES,) uint16, `sums` over the sum of the whole kernel, as float16.
    mass, entropy
        (ONE + 1,) int64 from `softlab_cli.kernels.half`.
    """

    sums: NDArray[np.float64]
    halves: NDArray[np.uint16]
    mass: NDArray[np.int64]
    entropy: NDArray[np.int64]


class Planes(NamedTuple):
    """Where soft labels go.

    Parameters
    ----------
    values
        (planes, z, y, x) uint16, all 0.
    flat
        The same memory in one row.
    plane_of
        Class index to plane; several classes may share one that nobody reads.
    mass
        (planes,) int64, to which the soft labels' sums are added.
    """

    values: NDArray[np.uint16]
    flat: NDArray[np.uint16]
    plane_of: NDArray[np.int64]
    mass: NDArray[np.int64]


class _Segment(NamedTuple):
    """Scratch memory for `SEGMENT` voxels, and for the neighbourhood of one."""

    own: NDArray[Any]
    other: NDArray[Any]
    own_code: NDArray[np.uint16]
    other_code: NDArray[np.uint16]
    around: NDArray[Any]
    units: NDArray[np.int32]


def code_sums(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight that each code stands for.

    Parameters
    ----------
    weights
        (3, 3, 3) weights of the neighbours, the same on both sides of each axis;
        the centre is not used.

    Returns
    -------
    sums
        (2, CODES): of the neighbours, and of the neighbours and the centre, which
        weighs as much as all neighbours together.
    """
    codes = np.arange(CODES)
    sums = np.zeros(CODES)
    for (dz, dy, dx), unit, radix in GROUPS:
        sums += codes // unit % radix * weights[1 + dz, 1 + dy, 1 + dx]
    return np.stack([sums, sums + sums[FULL]])


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
    segment = _new_segment(labels)
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
                    _fill(index, there, count, planes)
                elif has_ignored:
                    e, t = _soften_with_ignored(
                        labels, here, there, count, plane_step, row_step,
                        ignore_index, segment, tables, planes,
                    )  # fmt: skip
                    entropy += e
                    ties += t
                else:
                    e, t = _soften_segment(
                        labels, here, there, count, plane_step, row_step,
                        segment, tables, planes,
                    )  # fmt: skip
                    entropy += e
                    ties += t
    return entropy, ties


@kernel
def _new_segment(labels: NDArray[Any]) -> _Segment:
    units = np.zeros(AROUND, np.int32)
    for row in range(9):
        units[3 * row] = units[3 * row + 2] = SIDE_UNITS[row]
        units[3 * row + 1] = MIDDLE_UNITS[row]
    return _Segment(
        np.empty(SEGMENT, labels.dtype), np.empty(SEGMENT, labels.dtype),
        np.empty(SEGMENT, np.uint16), np.empty(SEGMENT, np.uint16),
        np.zeros(AROUND, labels.dtype), units,
    )  # fmt: skip


@inlined
def _plane_size(planes: Planes) -> int:
    return int(planes.values.shape[1] * planes.values.shape[2] * planes.values.shape[3])


@inlined
def _fill(index: Int, there: int, count: int, planes: Planes) -> None:
    plane = planes.plane_of[Unsigned(index)]
    start = plane * _plane_size(planes) + there
    for x in range(count):
        planes.flat[Unsigned(start + x)] = ONE
    planes.mass[Unsigned(plane)] += count << 24


@inlined
def _soften_segment(
    labels: NDArray[Any], here: int, there: int, count: int, plane_step: int, row_step: int,
    segment: _Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    own, own_code = segment.own, segment.own_code
    other, other_code = segment.other, segment.other_code
    for x in range(SEGMENT):
        own[x] = labels[Unsigned(here + x)]
    _find_other(labels, here, plane_step, row_step, other)
    _count(labels, here, plane_step, row_step, own, own_code)
    _count(labels, here, plane_step, row_step, other, other_code)
    entropy = ties = x = 0
    while x < count:
        if own_code[Unsigned(x)] == FULL:
            stop = x + 1
            while stop < count and own_code[Unsigned(stop)] == FULL:
                stop += 1
            _fill(own[Unsigned(x)], there + x, stop - x, planes)
            x = stop
            continue
        first = int(own_code[Unsigned(x)])
        second = int(other_code[Unsigned(x)])
        value = tables.halves[Unsigned(CODES + first)]
        entropy += _put(own[Unsigned(x)], there + x, value, tables, planes)
        value = tables.halves[Unsigned(second)]
        entropy += _put(other[Unsigned(x)], there + x, value, tables, planes)
        ties += int(value == HALF)
        if first + second != FULL:
            _look_around(labels, here + x, plane_step, row_step, segment.around)
            e, t = _soften_rest(
                there + x, own[Unsigned(x)], other[Unsigned(x)], FULL - first - second, FULL,
                segment, tables, planes,
            )  # fmt: skip
            entropy += e
            ties += t
        x += 1
    return entropy, ties


@inlined
def _put(index: Int, there: int, value: Int, tables: Tables, planes: Planes) -> int:
    """Write one soft label, add to its class's mass, return its entropy."""
    plane = planes.plane_of[Unsigned(index)]
    planes.flat[Unsigned(plane * _plane_size(planes) + there)] = value
    planes.mass[Unsigned(plane)] += tables.mass[Unsigned(value)]
    return int(tables.entropy[Unsigned(value)])


@kernel
def _find_other(
    labels: NDArray[Any], here: int, plane_step: int, row_step: int, other: NDArray[Any]
) -> None:
    """For each voxel one class of its neighbourhood that is not its own, if there is one."""
    low = np.empty(SEGMENT, labels.dtype)
    high = np.empty(SEGMENT, labels.dtype)
    for x in range(SEGMENT):
        low[x] = labels[Unsigned(here + x)]
        high[x] = labels[Unsigned(here + x)]
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = here + dz * plane_step + dy * row_step
            for x in range(SEGMENT):
                left = labels[Unsigned(row + x - 1)]
                middle = labels[Unsigned(row + x)]
                right = labels[Unsigned(row + x + 1)]
                low[x] = min(low[x], min(left, min(middle, right)))
                high[x] = max(high[x], max(left, max(middle, right)))
    for x in range(SEGMENT):
        other[x] = high[x] if high[x] != labels[Unsigned(here + x)] else low[x]


@kernel
def _count(
    labels: NDArray[Any], here: int, plane_step: int, row_step: int,
    target: NDArray[Any], code: NDArray[np.uint16],
) -> None:  # fmt: skip
    """Code of each voxel's target class."""
    for x in range(SEGMENT):
        code[x] = 0
    row = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            start = here + dz * plane_step + dy * row_step
            middle_unit = np.uint16(MIDDLE_UNITS[row])
            side_unit = np.uint16(SIDE_UNITS[row])
            row += 1
            for x in range(SEGMENT):
                left = np.uint16(labels[Unsigned(start + x - 1)] == target[x])
                middle = np.uint16(labels[Unsigned(start + x)] == target[x])
                right = np.uint16(labels[Unsigned(start + x + 1)] == target[x])
                code[x] += np.uint16(middle_unit * middle + side_unit * np.uint16(left + right))


@kernel
def _look_around(
    labels: NDArray[Any], here: int, plane_step: int, row_step: int, around: NDArray[Any]
) -> None:
    n = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = here + dz * plane_step + dy * row_step
            around[Unsigned(n)] = labels[Unsigned(row - 1)]
            around[Unsigned(n + 1)] = labels[Unsigned(row)]
            around[Unsigned(n + 2)] = labels[Unsigned(row + 1)]
            n += 3


@inlined
def _take(index: Int, done: Int, segment: _Segment) -> int:
    """Code of a class among the voxels around; they become those of a class that is done."""
    code: Any = np.int32(0)  # as narrow as the units, so that more fit into a register
    for n in range(AROUND):
        same = segment.around[n] == index
        code += segment.units[n] if same else np.int32(0)
        segment.around[n] = done if same else segment.around[n]
    return int(code)


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
    segment: _Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of all classes around a voxel but two; together they have `remaining`."""
    entropy = ties = n = 0
    while remaining > 0:
        index = segment.around[Unsigned(n)]
        n += 1
        if index != own and index != other:
            code = _take(index, own, segment)
            value = _soft_label(0, code, valid, tables)
            entropy += _put(index, there, value, tables, planes)
            ties += int(value == HALF)
            remaining -= code
    return entropy, ties


@kernel
def _soften_with_ignored(
    labels: NDArray[Any], here: int, there: int, count: int, plane_step: int, row_step: int,
    ignore_index: int, segment: _Segment, tables: Tables, planes: Planes,
) -> tuple[int, int]:  # fmt: skip
    """As `_soften_segment`, for voxels that may be ignored or have ignored neighbours."""
    entropy = ties = 0
    for x in range(count):
        own = labels[Unsigned(here + x)]
        if own == ignore_index:
            continue
        _look_around(labels, here + x, plane_step, row_step, segment.around)
        code = _take(own, own, segment)
        valid = FULL - _take(ignore_index, own, segment)
        value = _soft_label(1, code, valid, tables)
        entropy += _put(own, there + x, value, tables, planes)
        e, t = _soften_rest(there + x, own, own, valid - code, valid, segment, tables, planes)
        entropy += e
        ties += t
    return entropy, ties
