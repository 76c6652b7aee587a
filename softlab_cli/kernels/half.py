"""float16 as bit patterns: rounding to it, and what its values add up to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Real, Unsigned, kernel

__all__ = ["HALF", "ONE", "entropy_units", "mass_units", "sum_units", "to_half"]

ONE = np.uint16(0x3C00)
"""1.0; patterns from 0 to this one are the numbers from 0 to 1, in order."""

HALF = np.uint16(0x3800)
"""0.5."""

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
def sum_units(
    bits: NDArray[np.uint16], start: tuple[int, int, int], stop: tuple[int, int, int]
) -> np.int64:
    """Sum of float16 numbers from 0 to 1, in units of the smallest of them, 2^-24.

    Parameters
    ----------
    bits
        (Z, Y, X) bit patterns.
    start, stop
        Corners of the part to sum.
    """
    total = np.int64(0)
    # Of the whole block and not of a view of its part, whose rows the compiler cannot know to lie
    # side by side: that takes 4 times as long.
    for z in range(start[0], stop[0]):
        for y in range(start[1], stop[1]):
            row = bits[z, y]
            for x in range(start[2], stop[2]):
                # Shifts are vectorised; looking the units up in a table takes 1.7 times as long.
                number = np.uint32(row[Unsigned(x)])
                exponent, mantissa = number >> np.uint32(10), number & np.uint32(1023)
                is_normal = np.uint32(exponent > np.uint32(0))
                units = (mantissa + (is_normal << np.uint32(10))) << (exponent - is_normal)
                total += np.int64(units)
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
