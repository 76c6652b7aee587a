"""Counting predicted probabilities, and how often what they predict is so.

Probabilities come as *cells*: whole numbers that grow with the probability. Of
float16 the cell is the bit pattern; `softlab_cli.evaluation.metrics.cells` has those of
float32. All that is added up is a whole number, so that no sum depends on the order.

All arrays are of n voxels in one row. Each voxel has a *slot* (the combination of
regions that it lies in) and a *weight* (the raters that labelled it; 0 for none).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel

__all__ = [
    "FIXED",
    "compare",
    "count_alike",
    "count_halves",
    "count_singles",
    "count_soft_targets",
    "count_targets",
    "find_cells",
    "rank",
    "survey_halves",
    "survey_singles",
]

FIXED = 2.0**32
"""What is no whole number by itself is rounded to whole steps of one by this before it is added."""

ONE = np.uint16(0x3C00)
LAST_CLASS = 0xFFFF
LANES = 1024
"""Voxels that are looked at class after class while they are in the nearest cache."""


@kernel
def survey_halves(
    patterns: NDArray[np.uint16], top: NDArray[np.uint16], sums: NDArray[Any]
) -> bool:
    """Most probable class of each voxel, and the sum of its probabilities.

    Parameters
    ----------
    patterns
        (C, n) float16 as bit patterns.
    top
        (n,); is given the class, the lowest of several.
    sums
        (n,) uint32 or uint64; is given the sum in units of 2^-24.

    Returns
    -------
    bad
        Whether a pattern is no number from 0 to 1; then the rest means nothing.
    """
    best = np.zeros(LANES, np.uint32)
    most = np.uint32(0)
    for start in range(0, patterns.shape[1], LANES):
        width = min(LANES, patterns.shape[1] - start)
        best[:] = 0
        total = sums[start : start + width]
        total[:] = 0
        for c in range(patterns.shape[0]):
            row = patterns[c, start : start + width]
            # Probability and class are one number, whose largest is found without a branch.
            # Lower classes are larger in it, so that of equal ones the first is found.
            place = np.uint32(LAST_CLASS - c)
            for x in range(width):
                both = np.uint32(np.uint32(row[Unsigned(x)]) << np.uint32(16)) | place
                best[Unsigned(x)] = max(best[Unsigned(x)], np.uint32(both))
            for x in range(width):
                wide = np.uint32(row[Unsigned(x)])
                exponent, mantissa = wide >> np.uint32(10), wide & np.uint32(1023)
                is_normal = np.uint32(exponent > np.uint32(0))
                # Of a pattern above ONE the shift is too wide, but then `bad` is returned.
                shift = (exponent - is_normal) & np.uint32(31)
                total[Unsigned(x)] += (mantissa + (is_normal << np.uint32(10))) << shift
        for x in range(width):
            top[start + x] = np.uint16(LAST_CLASS - (best[x] & np.uint32(LAST_CLASS)))
            most = max(most, best[x] >> np.uint32(16))
    return bool(most > np.uint32(ONE))


@kernel
def survey_singles(
    values: NDArray[np.float32], top: NDArray[np.uint16], sums: NDArray[np.float64]
) -> bool:
    """As `survey_halves`, of (C, n) float32; `sums` are given in ones."""
    odd = np.uint8(0)
    best = np.zeros(LANES, np.float32)
    for start in range(0, values.shape[1], LANES):
        width = min(LANES, values.shape[1] - start)
        best[:] = np.float32(0.0)
        first, total = top[start : start + width], sums[start : start + width]
        first[:] = 0
        total[:] = 0.0
        for c in range(values.shape[0]):
            row = values[c, start : start + width]
            index = np.uint16(c)
            for x in range(width):
                number = row[Unsigned(x)]
                # NaN is neither, so it is odd.
                inside = (number >= np.float32(0.0)) & (number <= np.float32(1.0))
                odd |= np.uint8(not inside)
                larger = number > best[Unsigned(x)]
                first[Unsigned(x)] = index if larger else first[Unsigned(x)]
                best[Unsigned(x)] = number if larger else best[Unsigned(x)]
                total[Unsigned(x)] += np.float64(number)
    return bool(odd)


@kernel
def find_cells(
    values: NDArray[np.float32], mantissa_bits: int,
    skipped: NDArray[np.int64], edges: NDArray[np.float64], cells: NDArray[np.uint32],
) -> None:  # fmt: skip
    """Cell of each float32 from 0 to 1: the first whose upper end is not below it.

    Parameters
    ----------
    values
        (n,) numbers.
    mantissa_bits
        The ends are the numbers with so many bits of mantissa, and 5 of exponent.
    skipped, edges
        Of each such number: ends that were put in below it, and the one that was put in
        between it and the number before (infinity where none was).
    cells
        (n,); is given the cells.
    """
    dropped = np.int64(23 - mantissa_bits)
    up = np.int64((1 << dropped) - 1)
    offset = np.int64(112 << mantissa_bits)
    for x in range(len(values)):
        number = values[x]
        if number < np.float32(2.0**-14):
            # Below the smallest normal number all steps are equal.
            step = np.int64(np.ceil(np.float64(number) * np.float64(1 << (14 + mantissa_bits))))
        else:
            step = ((np.int64(np.float32(number).view(np.int32)) + up) >> dropped) - offset
        above = np.int64(np.float64(number) > edges[step])
        cells[x] = np.uint32(step + skipped[step] + above)


@kernel
def count_halves(
    cells: NDArray[np.uint16], slots: NDArray[np.uint8], weight: NDArray[np.uint8],
    first: int, last: int, count: NDArray[np.int64], scratch: NDArray[np.uint32],
) -> None:  # fmt: skip
    """Add the voxels of each slot, class and cell, for classes from `first` up to `last`.

    Parameters
    ----------
    cells
        (C, n) cells.
    slots, weight
        (n,).
    count
        (slots, C, cells); slots that occur.
    scratch
        (2, slots, cells).
    """
    size = scratch.shape[2]
    offsets = np.empty(len(slots), np.int32)
    for x in range(len(slots)):
        offsets[x] = slots[x] * size
    # Neighbours are often equal, and each addition to a counter waits for the one before: two
    # sets of counters in turn, narrow ones so that they stay in the cache. With the wide ones
    # of `count` in place of them it takes 2 to 3 times as long.
    even, odd = scratch[0].reshape(-1), scratch[1].reshape(-1)
    for c in range(first, last):
        row = cells[c]
        even[:] = 0
        odd[:] = 0
        for pair in range(len(slots) // 2):
            here, next_one = Unsigned(2 * pair), Unsigned(2 * pair + 1)
            even[Unsigned(offsets[here] + row[here])] += np.uint32(weight[here])
            odd[Unsigned(offsets[next_one] + row[next_one])] += np.uint32(weight[next_one])
        if len(slots) % 2:
            end = Unsigned(len(slots) - 1)
            even[Unsigned(offsets[end] + row[end])] += np.uint32(weight[end])
        for slot in range(count.shape[0]):
            line = count[slot, c]
            for i in range(size):
                line[Unsigned(i)] += np.int64(even[Unsigned(slot * size + i)])
                line[Unsigned(i)] += np.int64(odd[Unsigned(slot * size + i)])


@kernel
def count_alike(
    cells: NDArray[np.uint16], weight: int, first: int, last: int, count: NDArray[np.int64],
    scratch: NDArray[np.uint32],
) -> None:  # fmt: skip
    """As `count_halves`, of voxels that all have one slot and one weight: 0.7 times as long.

    Parameters
    ----------
    weight
        Of each voxel.
    count
        (C, cells) of their slot.
    scratch
        (2, 1, cells).
    """
    even, odd = scratch[0, 0], scratch[1, 0]
    for c in range(first, last):
        row = cells[c]
        even[:] = 0
        odd[:] = 0
        for pair in range(len(row) // 2):
            even[Unsigned(row[Unsigned(2 * pair)])] += np.uint32(1)
            odd[Unsigned(row[Unsigned(2 * pair + 1)])] += np.uint32(1)
        if len(row) % 2:
            even[Unsigned(row[Unsigned(len(row) - 1)])] += np.uint32(1)
        line = count[c]
        for i in range(len(line)):
            line[Unsigned(i)] += weight * (np.int64(even[Unsigned(i)]) + np.int64(odd[Unsigned(i)]))


@kernel
def count_singles(
    cells: NDArray[np.uint32], values: NDArray[np.float32], upper: NDArray[np.int64],
    slots: NDArray[np.uint8], weight: NDArray[np.uint8], first: int, last: int,
    count: NDArray[np.int64], residual: NDArray[np.int64], squares: NDArray[np.int64],
) -> None:  # fmt: skip
    """As `count_halves`, with what the probabilities of a cell lack to its upper end.

    Parameters
    ----------
    values
        (C, n) the probabilities.
    upper
        (cells,) upper end of each cell, in steps of `FIXED`.
    residual
        (slots, C, cells), the steps that are lacking.
    squares
        (slots, C), squares of the probabilities in steps of `FIXED`.
    """
    for c in range(first, last):
        for x in range(len(slots)):
            cell = cells[c, x]
            if cell == 0:
                continue
            slot, times = slots[x], np.int64(weight[x])
            number = np.float64(values[c, x])
            count[slot, c, cell] += times
            residual[slot, c, cell] += times * (upper[cell] - np.int64(np.rint(number * FIXED)))
            squares[slot, c] += times * np.int64(np.rint(number * number * FIXED))


@kernel
def count_targets(
    cells: NDArray[Any], top: NDArray[np.uint16], slots: NDArray[np.uint8],
    references: NDArray[Any], ignore_index: int,
    positive: NDArray[np.int64], predicted: NDArray[np.int64],
    top_count: NDArray[np.int64], top_correct: NDArray[np.int64],
) -> bool:  # fmt: skip
    """Add what the raters say, each label a vote.

    Parameters
    ----------
    cells, top, slots
        As above.
    references
        (R, n) class indices.
    ignore_index
        Of voxels that a rater did not label; -1 for none.
    positive
        (slots, C, cells), votes for the class where its probability is in the cell.
    predicted
        (slots, C), votes where the class is the most probable one.
    top_count, top_correct
        (slots, R, cells), voxels by the cell of the most probable class, and those where
        the rater agrees.

    Returns
    -------
    unknown
        Whether a class index is none of the C; then nothing more was added.
    """
    for r in range(references.shape[0]):
        for x in range(references.shape[1]):
            label = np.int64(references[r, x])
            if label == ignore_index:
                continue
            if label < 0 or label >= cells.shape[0]:
                return True
            slot, best = slots[x], np.int64(top[x])
            cell = cells[best, x]
            positive[slot, label, cells[label, x]] += 1
            predicted[slot, best] += 1
            top_count[slot, r, cell] += 1
            top_correct[slot, r, cell] += np.int64(label == best)
    return False


@kernel
def count_soft_targets(
    cells: NDArray[Any], top: NDArray[np.uint16], slots: NDArray[np.uint8],
    weight: NDArray[np.uint8], target: NDArray[np.float64], unit: float,
    positive: NDArray[np.int64], predicted: NDArray[np.int64],
    top_count: NDArray[np.int64], top_correct: NDArray[np.int64],
) -> None:  # fmt: skip
    """As `count_targets`, where each voxel has a soft label: (C, n), a vote has `unit` parts."""
    for x in range(target.shape[1]):
        if weight[x] == 0:
            continue
        slot, best = slots[x], np.int64(top[x])
        for c in range(target.shape[0]):
            positive[slot, c, cells[c, x]] += np.int64(np.rint(target[c, x] * unit))
        predicted[slot, best] += 1
        top_count[slot, 0, cells[best, x]] += 1
        top_correct[slot, 0, cells[best, x]] += np.int64(np.rint(target[best, x] * unit))


@kernel
def compare(
    values: NDArray[np.float32], target: NDArray[np.float64],
    slots: NDArray[np.uint8], weight: NDArray[np.uint8],
    spread: NDArray[np.int64], absolute: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add how far the targets are from hard labels, and the probabilities from the targets.

    Parameters
    ----------
    values
        (C, n) probabilities p.
    target
        (C, n) votes k of n raters (`weight`); soft labels are parts of one vote.
    spread
        (slots, C, weights), k (n - k) by n, in steps of `FIXED`.
    absolute
        (slots, C), ``|n p - k|`` in steps of `FIXED`.
    """
    for c in range(values.shape[0]):
        for x in range(values.shape[1]):
            slot, raters = slots[x], np.float64(weight[x])
            votes = target[c, x] if raters > 0.0 else 0.0
            gap = abs(raters * np.float64(values[c, x]) - votes)
            spread[slot, c, weight[x]] += np.int64(np.rint(votes * (raters - votes) * FIXED))
            absolute[slot, c] += np.int64(np.rint(gap * FIXED))


@kernel
def rank(
    values: NDArray[np.float32], target: NDArray[np.float64],
    slots: NDArray[np.uint8], weight: NDArray[np.uint8], ranked: NDArray[np.int64],
) -> None:  # fmt: skip
    """Add the squared differences of the distributions over the classes in their order.

    Parameters
    ----------
    values, target
        As for `compare`.
    ranked
        (slots,), n times the sum over classes of the squares, in steps of `FIXED`.
    """
    for start in range(0, values.shape[1], LANES):
        width = min(LANES, values.shape[1] - start)
        ahead, total = np.zeros(width), np.zeros(width)
        for c in range(values.shape[0] - 1):
            for i in range(width):
                x = start + i
                votes = max(np.float64(weight[x]), 1.0)
                ahead[i] += np.float64(values[c, x]) - target[c, x] / votes
                total[i] += ahead[i] * ahead[i]
        for i in range(width):
            times = np.float64(weight[start + i])
            ranked[slots[start + i]] += np.int64(np.rint(times * total[i] * FIXED))
