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
from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "CODES",
    "FULL",
    "GROUPS",
    "MIDDLE_UNITS",
    "SIDE_UNITS",
    "Segment",
    "Steps",
    "code_sums",
    "load",
    "look_around",
    "new_segment",
    "take",
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

# The nine rows of neighbours: unit of the middle one, and of the two beside it.
MIDDLE_UNITS = tuple(_UNITS[(dz, dy, 0)] for dz, dy in _ROWS)
SIDE_UNITS = tuple(_UNITS[(dz, dy, 1)] for dz, dy in _ROWS)

AROUND = 32
"""The 27 voxels of a neighbourhood, filled up so that loops over them are vectorised."""


Steps = tuple[int, int]
"""Voxels from one plane, and from one row, of a padded block to the next."""


class Segment(NamedTuple):
    """Scratch memory for `SEGMENT` voxels, and for the neighbourhood of one."""

    own: NDArray[Any]
    other: NDArray[Any]
    lowest: NDArray[Any]
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
def new_segment(labels: NDArray[Any]) -> Segment:
    """Scratch memory for segments of a padded block."""
    units = np.zeros(AROUND, np.int32)
    for row in range(9):
        units[3 * row] = units[3 * row + 2] = SIDE_UNITS[row]
        units[3 * row + 1] = MIDDLE_UNITS[row]
    return Segment(
        np.empty(SEGMENT, labels.dtype), np.empty(SEGMENT, labels.dtype),
        np.empty(SEGMENT, labels.dtype),
        np.empty(SEGMENT, np.uint16), np.empty(SEGMENT, np.uint16),
        np.zeros(AROUND, labels.dtype), units,
    )  # fmt: skip


@bare_inlined
def load(labels: NDArray[Any], here: int, steps: Steps, segment: Segment) -> None:
    """Read a segment: each voxel's class, another one around, and the codes of both."""
    # Two classes a voxel: where only two meet, which is nearly everywhere along a border, their
    # codes are all there is to know, and are found without a branch for a segment at once.
    for x in range(SEGMENT):
        segment.own[x] = labels[Unsigned(here + x)]
    _find_other(labels, here, steps, segment.lowest, segment.other)
    _count(labels, here, steps, segment.own, segment.own_code)
    _count(labels, here, steps, segment.other, segment.other_code)


@bare_kernel
def _find_other(
    labels: NDArray[Any], here: int, steps: Steps, low: NDArray[Any], high: NDArray[Any]
) -> None:
    """For each voxel one class of its neighbourhood that is not its own, if there is one.

    It is the highest around, or the lowest where that is the voxel's own; it replaces `high`.
    """
    for x in range(SEGMENT):
        low[x] = labels[Unsigned(here + x)]
        high[x] = labels[Unsigned(here + x)]
    # A row is read three times, one voxel apart, and nothing is carried from voxel to voxel:
    # that is vectorised, and what was read is in the cache.
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            row = here + dz * steps[0] + dy * steps[1]
            for x in range(SEGMENT):
                left = labels[Unsigned(row + x - 1)]
                middle = labels[Unsigned(row + x)]
                right = labels[Unsigned(row + x + 1)]
                low[x] = min(low[x], min(left, min(middle, right)))
                high[x] = max(high[x], max(left, max(middle, right)))
    for x in range(SEGMENT):
        high[x] = high[x] if high[x] != labels[Unsigned(here + x)] else low[x]


@bare_kernel
def _count(
    labels: NDArray[Any], here: int, steps: Steps,
    target: NDArray[Any], code: NDArray[np.uint16],
) -> None:  # fmt: skip
    """Code of each voxel's target class."""
    for x in range(SEGMENT):
        code[x] = 0
    row = 0
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            start = here + dz * steps[0] + dy * steps[1]
            # Codes have 16 bits, all that they need: with 64, all of SVLS takes 1.4 times as
            # long. Each comparison is a factor of 0 or 1, as a branch would not be vectorised.
            middle_unit = np.uint16(MIDDLE_UNITS[row])
            side_unit = np.uint16(SIDE_UNITS[row])
            row += 1
            for x in range(SEGMENT):
                left = np.uint16(labels[Unsigned(start + x - 1)] == target[x])
                middle = np.uint16(labels[Unsigned(start + x)] == target[x])
                right = np.uint16(labels[Unsigned(start + x + 1)] == target[x])
                code[x] += np.uint16(middle_unit * middle + side_unit * np.uint16(left + right))


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
def take(index: Int, done: Int, segment: Segment) -> int:
    """Code of a class among the voxels around; they become those of a class that is done."""
    code: Any = np.int32(0)  # as narrow as the units, so that more fit into a register
    # What is counted takes on a class that is done, so whoever walks over the voxels meets each
    # class once and needs no list of them. There is no branch: both values are at hand.
    for n in range(AROUND):
        same = segment.around[n] == index
        code += segment.units[n] if same else np.int32(0)
        segment.around[n] = done if same else segment.around[n]
    return int(code)
