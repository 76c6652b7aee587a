"""The 26 neighbours of each voxel of a segment, class by class, as one whole number.

They fall into seven groups of equal weight: those one step away along X, Y or Z,
along two axes at once (XY, XZ, YZ) and along all three. How many neighbours of each
group have a class is written as one whole number, the *code*: each neighbour adds
the unit of its group.

For a kernel in the slice only, the step along Z is 0: the neighbours above and
below are the voxel itself, no other class is met, and their groups weigh nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, bare_kernel, kernel
from softlab_cli.kernels.segments import (
    Numbers,
    above,
    add_where,
    added,
    equal,
    greater,
    lesser,
    load,
    none,
    other_than,
    store,
)
from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "CODES",
    "EVERYONE",
    "FULL",
    "GROUPS",
    "MIDDLE_UNITS",
    "SIDE_UNITS",
    "Segment",
    "Steps",
    "code_at",
    "code_of",
    "code_sums",
    "look_around",
    "look_at",
    "new_segment",
    "who_has",
]

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

HIGH_UNIT = 135
"""From this unit on, groups make the high part of a code; each part fits into eight bits."""

# The nine rows of neighbours: unit of the middle one, and of the two beside it.
MIDDLE_UNITS = tuple(_UNITS[(dz, dy, 0)] for dz, dy in _ROWS)
SIDE_UNITS = tuple(_UNITS[(dz, dy, 1)] for dz, dy in _ROWS)

MOST_LOW, MOST_HIGH = FULL % HIGH_UNIT, FULL // HIGH_UNIT

AROUND = 27
"""Voxels of a neighbourhood; those of one plane are one word of `PLANE` bits."""

PLANE = 9


def _plane_codes() -> NDArray[np.uint16]:
    units = [unit for row in zip(SIDE_UNITS, MIDDLE_UNITS, SIDE_UNITS, strict=True) for unit in row]
    words = np.arange(1 << PLANE)[:, None] >> np.arange(PLANE) & 1
    return np.stack([words @ units[:PLANE], words @ units[PLANE : 2 * PLANE]]).astype(np.uint16)


PLANE_CODES = _plane_codes()
"""(2, 2 ** PLANE): code of the neighbours that a word of bits names, above or below a voxel, and
in its plane."""

EVERYONE = np.uint64((1 << AROUND) - 1 - (1 << AROUND // 2))
"""A bit for each voxel of a neighbourhood but its own."""

Steps = tuple[int, int]
"""Voxels from one plane, and from one row, of a padded block to the next."""


class Segment(NamedTuple):
    """Scratch memory for `SEGMENT` voxels, and for the neighbourhood of one.

    Parameters
    ----------
    own, other
        (SEGMENT,) the class of each voxel, and another one around.
    own_low, own_high, other_low, other_high
        (SEGMENT,) uint8, their codes in two parts; see `code_at`.
    around
        (SEGMENT,) the neighbourhood of one voxel, and 0 beyond it.
    """

    own: NDArray[Any]
    other: NDArray[Any]
    own_low: NDArray[np.uint8]
    own_high: NDArray[np.uint8]
    other_low: NDArray[np.uint8]
    other_high: NDArray[np.uint8]
    around: NDArray[Any]


class Sorts(NamedTuple):
    """A bit for each voxel of a segment: what there is to do for it.

    Parameters
    ----------
    alone
        All around have its class.
    two
        It has one other class around.
    more
        It has several, all of them labelled.
    beside_ignored
        It has ignored voxels around, and is none.
    disputed
        It has blends around, or is one.
    """

    alone: np.uint64
    two: np.uint64
    more: np.uint64
    beside_ignored: np.uint64
    disputed: np.uint64


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
        (CODES,); the centre weighs as much as all neighbours together.
    """
    codes = np.arange(CODES)
    sums = np.zeros(CODES)
    for (dz, dy, dx), unit, radix in GROUPS:
        sums += codes // unit % radix * weights[1 + dz, 1 + dy, 1 + dx]
    return sums


@kernel
def new_segment(labels: NDArray[Any]) -> Segment:
    """Scratch memory for segments of a padded block."""
    return Segment(
        np.empty(SEGMENT, labels.dtype), np.empty(SEGMENT, labels.dtype),
        np.empty(SEGMENT, np.uint8), np.empty(SEGMENT, np.uint8),
        np.empty(SEGMENT, np.uint8), np.empty(SEGMENT, np.uint8),
        np.zeros(SEGMENT, labels.dtype),
    )  # fmt: skip


@bare_inlined
def look_at(
    labels: NDArray[Any], here: int, steps: Steps, ignore_index: int, segment: Segment
) -> Sorts:
    """Read a segment: each voxel's class, another one around, and the codes of both."""
    # Two classes a voxel: where only two meet, which is nearly everywhere along a border, their
    # codes are all there is to know, and are found without a branch for a segment at once.
    own = load(labels, here)
    least, most = _ends(labels, here, steps)
    other = other_than(own, most, least)
    low, high = _count(labels, here, steps, own)
    alone = equal(low, MOST_LOW) & equal(high, MOST_HIGH)
    store(segment.own, 0, own)
    store(segment.own_low, 0, low)
    store(segment.own_high, 0, high)
    other_low, other_high = _count(labels, here, steps, other)
    store(segment.other, 0, other)
    store(segment.other_low, 0, other_low)
    store(segment.other_high, 0, other_high)
    both = equal(added(low, other_low), MOST_LOW) & equal(added(high, other_high), MOST_HIGH)
    # The greatest number around tells of ignored voxels and of blends.
    disputed = above(most, ignore_index)
    beside = equal(most, ignore_index)
    left = ~(alone | equal(own, ignore_index))
    plain = left & ~(disputed | beside)
    return Sorts(alone, plain & both, plain & ~both, left & beside, left & disputed)


@bare_inlined
def _ends(labels: NDArray[Any], here: int, steps: Steps) -> tuple[Numbers, Numbers]:
    """Least and greatest class around each voxel."""
    least = most = load(labels, here)
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = here + dz * steps[0] + dy * steps[1]
            for dx in range(-1, 2):
                label = load(labels, row + dx)
                least, most = lesser(least, label), greater(most, label)
    return least, most


@bare_inlined
def _count(
    labels: NDArray[Any], here: int, steps: Steps, target: Numbers
) -> tuple[Numbers, Numbers]:
    """Codes of each voxel's target class, in two parts."""
    # Each part of a code fits into the eight bits of a label: as one number of 16, it would take
    # twice the registers, and labels would have to be widened for every comparison.
    low, high = _beside(none(), labels, here, target, 1), none()
    for dy in range(-1, 2, 2):
        row = here + dy * steps[1]
        low = add_where(low, labels, row, target, 3)
        low = _beside(low, labels, row, target, 27)
    for dz in range(-1, 2, 2):
        plane = here + dz * steps[0]
        low = add_where(low, labels, plane, target, 9)
        high = _beside(high, labels, plane, target, 1)
        for dy in range(-1, 2, 2):
            row = plane + dy * steps[1]
            high = add_where(high, labels, row, target, 5)
            high = _beside(high, labels, row, target, 25)
    return low, high


@bare_inlined
def _beside(
    counts: Numbers, labels: NDArray[Any], place: int, target: Numbers, unit: int
) -> Numbers:
    """Counts, with the neighbours left and right of a row."""
    left = add_where(counts, labels, place - 1, target, unit)
    return add_where(left, labels, place + 1, target, unit)


@bare_inlined
def code_at(low: NDArray[np.uint8], high: NDArray[np.uint8], x: int) -> int:
    """A voxel's code from its two parts."""
    return int(np.int64(low[Unsigned(x)]) + HIGH_UNIT * np.int64(high[Unsigned(x)]))


@bare_kernel
def look_around(labels: NDArray[Any], here: int, steps: Steps, around: NDArray[Any]) -> None:
    """Read the 27 voxels of one neighbourhood."""
    n = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = here + dz * steps[0] + dy * steps[1]
            around[Unsigned(n)] = labels[Unsigned(row - 1)]
            around[Unsigned(n + 1)] = labels[Unsigned(row)]
            around[Unsigned(n + 2)] = labels[Unsigned(row + 1)]
            n += 3


@bare_inlined
def who_has(index: Int, segment: Segment) -> Any:
    """A bit for each voxel of the neighbourhood: whether it has a class."""
    return equal(load(segment.around, 0), index) & EVERYONE


@bare_inlined
def code_of(bits: np.uint64) -> int:
    """Code of some voxels of a neighbourhood."""
    mask = np.uint64((1 << PLANE) - 1)
    first = PLANE_CODES[0, Unsigned(bits & mask)]
    second = PLANE_CODES[1, Unsigned(bits >> np.uint64(PLANE) & mask)]
    third = PLANE_CODES[0, Unsigned(bits >> np.uint64(2 * PLANE))]
    return int(np.int64(first) + np.int64(second) + np.int64(third))
