"""float16 as bit patterns: rounding to it, and what its values add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Real, Unsigned, bare_kernel, kernel

__all__ = ["HALF", "ONE", "entropy_units", "mass_units", "subtract_outside", "to_half"]

ONE = np.uint16(0x3C00)
"""1.0; patterns from 0 to this one are the numbers from 0 to 1, in order."""

HALF = np.uint16(0x3800)
"""0.5."""

MOST_IN_32_BITS = 128
"""Numbers up to 1 whose units are summed in 32 bits, of which a register holds twice as many."""

SMALLEST_NORMAL = 2.0**-14
SUBNORMAL_STEPS = 2.0**24

# float64 has 52 bits of mantissa and a bias of 1023, float16 has 10 and 15.
DROPPED_BITS = 52 - 10
ROUND_UP = (1 << (DROPPED_BITS - 1)) - 1
EXPONENT_SHIFT = (1023 - 15) << 10


@kernel
def to_half(number: Real) -> np.uint16:
    """Bit pattern of the float16 nearest to a float64 from 0 to 65504, ties to even."""
    # Subnormal numbers are whole steps of 2^-24, and rint rounds ties to even, as wanted.
    if number < SMALLEST_NORMAL:
        return np.uint16(np.rint(number * SUBNORMAL_STEPS))
    bits = np.float64(number).view(np.int64)
    # Just less than half a step is added, and a whole half where the last bit that stays is 1:
    # ties go to even. A carry out of the mantissa raises the exponent, which is right.
    odd = (bits >> DROPPED_BITS) & 1
    return np.uint16(((bits + ROUND_UP + odd) >> DROPPED_BITS) - EXPONENT_SHIFT)


@kernel
def subtract_outside(
    bits: NDArray[np.uint16], boxes: NDArray[np.int64],
    start: tuple[int, int, int], stop: tuple[int, int, int], sums: NDArray[np.int64],
) -> None:  # fmt: skip
    """Subtract what planes have outside a part of them, in units of `MASS_UNIT`.

    Parameters
    ----------
    bits
        (planes, Z, Y, X) float16 numbers from 0 to 1, by their bit patterns.
    boxes
        (planes, 4): first and last z, first and last y; beyond, a plane is 0.
    start, stop
        Corners of the part.
    sums
        (planes,); is subtracted from.
    """
    flat = bits.reshape(-1)
    _, depth, height, width = bits.shape
    for plane in range(len(boxes)):
        for z in range(boxes[plane, 0], boxes[plane, 1] + 1):
            inside = start[0] <= z < stop[0]
            for y in range(boxes[plane, 2], boxes[plane, 3] + 1):
                row = ((plane * depth + z) * height + y) * width
                # What is outside is mostly less than what is inside, and mostly empty.
                if inside and start[1] <= y < stop[1]:
                    sums[plane] -= _sum_units(flat, row, row + start[2])
                    sums[plane] -= _sum_units(flat, row + stop[2], row + width)
                else:
                    sums[plane] -= _sum_units(flat, row, row + width)


@bare_kernel
def _sum_units(flat: NDArray[np.uint16], start: int, stop: int) -> int:
    """Sum of float16 numbers from 0 to 1, in units of the smallest of them, 2^-24."""
    total = 0
    for first in range(start, stop, MOST_IN_32_BITS):
        part = np.uint32(0)
        for x in range(first, min(first + MOST_IN_32_BITS, stop)):
            # Shifts are vectorised; looking the units up in a table takes 1.7 times as long.
            number = np.uint32(flat[Unsigned(x)])
            exponent, mantissa = number >> np.uint32(10), number & np.uint32(1023)
            is_normal = np.uint32(exponent > np.uint32(0))
            part += (mantissa + (is_normal << np.uint32(10))) << (exponent - is_normal)
        total += int(np.int64(part))
    return total


def mass_units(unit: float) -> NDArray[np.int64]:
    """(ONE + 1,) int64: each float16 from 0 to 1, by its bit pattern, in whole units."""
    return np.rint(_numbers() / unit).astype(np.int64)


def entropy_units(unit: float) -> NDArray[np.int64]:
    """(ONE + 1,) int64: -p ln p of each float16 p from 0 to 1, rounded to whole units."""
    numbers = _numbers()
    logarithms = np.log(numbers, out=np.zeros_like(numbers), where=numbers > 0)
    return np.rint(-numbers * logarithms / unit).astype(np.int64)


def _numbers() -> NDArray[np.float64]:
    patterns = np.arange(int(ONE) + 1, dtype=np.uint16)
    return patterns.view(np.float16).astype(np.float64)
