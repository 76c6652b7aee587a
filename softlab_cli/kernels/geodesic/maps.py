"""From geodesic distances to maps in [0, 1], and from the maps of all classes to soft labels.

Maps are float32 while they are made, float16 (as uint16) while they wait. The
exponential is our own: it vectorises, and it has the same bits on every machine,
which that of the system's library has not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, inlined, kernel
from softlab_cli.kernels.half import to_half

__all__ = [
    "add_halves",
    "add_kept",
    "add_map",
    "count_ties",
    "read_halves",
    "soften_class",
    "store_halves",
    "sum_rows",
]

LOG2_E = np.float32(1.4426950408889634)
LOWEST_POWER = np.float32(-126)
"""Below this power of two float32 numbers have fewer bits; our maps end here."""

EXPONENT_BIAS = np.int32(127)
MANTISSA_BITS = np.int32(23)

# 2^f for f from 0 to 1, fitted on Chebyshev nodes; relative error below 4e-7.
C0 = np.float32(1)
C1 = np.float32(0.693146929)
C2 = np.float32(0.240230502)
C3 = np.float32(0.0554804263)
C4 = np.float32(0.00968458045)
C5 = np.float32(0.00123878215)
C6 = np.float32(0.00021877505)

HALF_TO_FLOAT = np.float32(2.0**112)
"""What float16's smaller exponent bias is worth."""


@inlined
def _decay(number: np.float32) -> np.float32:
    """e^-number, for numbers from 0 on: a power of two times 2^f."""
    # The system's exponential is called number by number, and takes 4 times as long.
    power = max(-number * LOG2_E, LOWEST_POWER)
    whole = np.floor(power)
    f = power - whole
    part = C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    bits = np.int32((np.int32(whole) + EXPONENT_BIAS) << MANTISSA_BITS)
    return np.float32(part * bits.view(np.float32))


@inlined
def _from_half(bits: np.uint16) -> np.float32:
    """The number whose float16 bit pattern, from 0 to 1, this is."""
    # Moved to where float32 has exponent and mantissa, then scaled by the difference of the
    # biases: subnormal numbers come out right as well, and no table is looked up.
    wide = np.uint32(np.uint32(bits) << np.uint32(13))
    return np.float32(wide.view(np.float32) * HALF_TO_FLOAT)


@kernel
def sum_rows(
    distance: NDArray[np.float32], first: int, stop: int,
    sums: NDArray[np.float64], farthest: NDArray[np.float32],
) -> None:  # fmt: skip
    """Sum and maximum of some rows of distances, each for itself.

    Parameters
    ----------
    distance
        (rows, X).
    first, stop
        The rows to do.
    sums, farthest
        (rows,) are written.
    """
    for r in range(first, stop):
        row = distance[r]
        # A sum for each row, which the caller adds in order: the mean, and so each bit of the
        # map, depends neither on threads nor on how the rows are shared out among them.
        total, largest = 0.0, row[0]
        for x in range(len(row)):
            total += np.float64(row[Unsigned(x)])
            largest = max(largest, row[Unsigned(x)])
        sums[r], farthest[r] = total, largest


@kernel
def add_map(
    distance: NDArray[np.float32], start: tuple[int, int, int], shape: tuple[int, int, int],
    mean: np.float32, farthest: np.float32, total: NDArray[np.float32],
) -> None:  # fmt: skip
    """Add the map g of a block: e^(-D / mean), stretched to 1 at D = 0 and 0 at the farthest.

    Parameters
    ----------
    distance
        (Z, Y, X) of the volume.
    start, shape
        Corner and size of the block.
    mean, farthest
        Of the whole volume's distances; a farthest of 0 makes g = 1.
    total
        (voxels of the block,) is added to.
    """
    # What is the same for all voxels is reckoned before the loops; one product is left.
    least = _decay(farthest / mean) if farthest > 0 else np.float32(0)
    stretch = np.float32(1) / (np.float32(1) - least)
    divisor = mean if farthest > 0 else np.float32(1)
    i = 0
    for z in range(start[0], start[0] + shape[0]):
        for y in range(start[1], start[1] + shape[1]):
            row = distance[z, y]
            for x in range(shape[2]):
                decayed = _decay(row[Unsigned(start[2] + x)] / divisor)
                total[Unsigned(i + x)] += (decayed - least) * stretch
            i += shape[2]


@kernel
def store_halves(
    total: NDArray[np.float32], count: int, first: int, stop: int, halves: NDArray[np.uint16]
) -> None:
    """Round the mean of `count` maps to float16.

    Parameters
    ----------
    total
        (voxels,) sum of the maps.
    count
        How many they are.
    first, stop
        The voxels to do.
    halves
        (voxels,) is written; from 0 to 1.
    """
    for i in range(first, stop):
        # Rounding may carry a sum of maps just beyond 0 or 1, and the tables of what a soft label
        # adds end at 1.
        mean = np.float64(total[Unsigned(i)]) / count
        halves[Unsigned(i)] = to_half(min(max(mean, 0.0), 1.0))


@kernel
def add_halves(halves: NDArray[np.uint16], total: NDArray[np.float64]) -> None:
    """Add a map to the sum over classes, which is exact: steps of 2^-24 fit into float64.

    Parameters
    ----------
    halves
        (n,) the map.
    total
        (n,) is added to.
    """
    for i in range(len(halves)):
        total[Unsigned(i)] += np.float64(_from_half(halves[Unsigned(i)]))


@kernel
def read_halves(halves: NDArray[np.uint16], weights: NDArray[np.float32]) -> None:
    """Turn a map into numbers; both are (n,)."""
    for i in range(len(halves)):
        weights[Unsigned(i)] = _from_half(halves[Unsigned(i)])


@inlined
def _soft_label(weight: Real, whole: Real, is_own: bool, smoothing: Real) -> float:
    """(1 - alpha) [y = c] + alpha g / whole; one-hot where no class has any weight."""
    own = 1.0 if is_own else 0.0
    share = np.float64(weight) / whole if whole > 0 else own
    return float((1 - smoothing) * own + smoothing * share)


@kernel
def add_kept(
    labels: NDArray[Any], index: int, weights: NDArray[np.float32], wholes: NDArray[np.float64],
    smoothing: float, min_mass: float, kept: NDArray[np.float64],
) -> None:  # fmt: skip
    """Add the soft labels of a class that are not dropped; parameters as `soften_class`.

    Parameters
    ----------
    kept
        (n,) is added to.
    """
    own = labels.dtype.type(index)
    i = 0
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            for x in range(labels.shape[2]):
                is_own = labels[z, y, x] == own
                soft = _soft_label(weights[i], wholes[i], is_own, smoothing)
                kept[i] += soft if soft >= min_mass else 0.0
                i += 1


@kernel
def soften_class(
    labels: NDArray[Any], index: int, ignore_index: int,
    weights: NDArray[np.float32], wholes: NDArray[np.float64], kept: NDArray[np.float64],
    smoothing: float, min_mass: float, mass_of: NDArray[np.int64], entropy_of: NDArray[np.int64],
    values: NDArray[np.uint16], largest: NDArray[np.uint16], shared: NDArray[np.bool_],
    hard: NDArray[np.uint16],
) -> tuple[int, int]:  # fmt: skip
    """Soft labels of one class in one block.

    Parameters
    ----------
    labels
        (z, y, x) class indices of the block, n voxels.
    index, ignore_index
        The class, and the mark of voxels that are not labelled; they get 0.
    weights
        (n,) the class's map g.
    wholes
        (n,) what g is divided by; 0 where no class has any weight.
    kept
        (n,) what is left of 1 when soft labels below `min_mass` are dropped.
    smoothing
        alpha.
    min_mass
        Soft labels below are dropped.
    mass_of, entropy_of
        What each float16 adds to the mass and to the entropy, by its bit pattern.
    values
        (z, y, x) or larger; float16 as uint16, is written.
    largest, shared, hard
        (n,) largest soft label of the classes so far, whether several have it, and
        the soft label of the hard label's class; are brought up to date.

    Returns
    -------
    mass, entropy
        Sums over the block.
    """
    own, ignored = labels.dtype.type(index), labels.dtype.type(ignore_index)
    mass = entropy = i = 0
    for z in range(labels.shape[0]):
        for y in range(labels.shape[1]):
            line, row = labels[z, y], values[z, y]
            stop = i + len(line)
            _soften_row(
                line, own, ignored, weights[i:stop], wholes[i:stop], kept[i:stop],
                smoothing, min_mass, row,
            )  # fmt: skip
            # Three loops over a row, which the cache holds: the first two are vectorised, and
            # looking up tables, which is not, would keep them from it.
            _compare_row(line, own, row, largest[i:stop], shared[i:stop], hard[i:stop])
            for x in range(len(line)):
                mass += mass_of[Unsigned(row[Unsigned(x)])]
                entropy += entropy_of[Unsigned(row[Unsigned(x)])]
            i = stop
    return mass, entropy


@inlined
def _soften_row(
    line: NDArray[Any], own: Int, ignored: Int, weights: NDArray[np.float32],
    wholes: NDArray[np.float64], kept: NDArray[np.float64], smoothing: float, min_mass: float,
    row: NDArray[np.uint16],
) -> None:  # fmt: skip
    for x in range(len(line)):
        label = line[Unsigned(x)]
        soft = _soft_label(weights[Unsigned(x)], wholes[Unsigned(x)], label == own, smoothing)
        is_kept = soft >= min_mass and label != ignored
        row[Unsigned(x)] = to_half(soft / kept[Unsigned(x)] if is_kept else 0.0)


@inlined
def _compare_row(
    line: NDArray[Any], own: Int, row: NDArray[np.uint16],
    largest: NDArray[np.uint16], shared: NDArray[np.bool_], hard: NDArray[np.uint16],
) -> None:  # fmt: skip
    for x in range(len(line)):
        value, most = row[Unsigned(x)], largest[Unsigned(x)]
        # No branches, as in the loop above: & and | of both comparisons, max, and a choice
        # between two values at hand are all vector instructions.
        shared[Unsigned(x)] = (value == most) | (shared[Unsigned(x)] & (value < most))
        largest[Unsigned(x)] = max(value, most)
        hard[Unsigned(x)] = value if line[Unsigned(x)] == own else hard[Unsigned(x)]


@kernel
def count_ties(
    largest: NDArray[np.uint16], shared: NDArray[np.bool_], hard: NDArray[np.uint16]
) -> tuple[int, int]:
    """Voxels whose largest soft label is shared, and those where another class has it.

    Parameters
    ----------
    largest, shared, hard
        (n,) from `soften_class`, after all classes.
    """
    ties = changes = 0
    for i in range(len(largest)):
        ties += int(shared[i] and largest[i] > 0)
        changes += int(largest[i] > hard[i])
    return ties, changes
