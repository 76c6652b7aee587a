"""Rounding to float16 and sums over float16, held against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT
from softlab_cli.kernels.half import ONE, entropy_units, mass_units, sum_units, to_half

EVERY_HALF = np.arange(0x7C00, dtype=np.uint16).view(np.float16)


def rounded(numbers: np.ndarray) -> np.ndarray:
    return np.array([to_half(float(n)) for n in numbers], np.uint16)


def expected(numbers: np.ndarray) -> np.ndarray:
    return numbers.astype(np.float16).view(np.uint16)


def test_every_float16_stays_itself() -> None:
    numbers = EVERY_HALF.astype(np.float64)
    np.testing.assert_array_equal(rounded(numbers), EVERY_HALF.view(np.uint16))


def test_midpoints_go_to_even_and_their_neighbours_to_the_nearest() -> None:
    numbers = EVERY_HALF.astype(np.float64)
    middles = (numbers[:-1] + numbers[1:]) / 2
    for probe in (middles, np.nextafter(middles, 0), np.nextafter(middles, 2**17)):
        np.testing.assert_array_equal(rounded(probe), expected(probe))


@given(st.floats(0, 65504))
def test_any_number_rounds_as_numpy_rounds_it(number: float) -> None:
    assert to_half(number) == expected(np.array([number]))[0]


@given(st.floats(0, 2.0**-13))
def test_subnormal_numbers_round_as_numpy_rounds_them(number: float) -> None:
    assert to_half(number) == expected(np.array([number]))[0]


def test_units_of_mass_are_exact() -> None:
    units = mass_units(MASS_UNIT)
    assert len(units) == ONE + 1
    numbers = EVERY_HALF[: len(units)].astype(np.float64)
    np.testing.assert_array_equal(units * MASS_UNIT, numbers)


def test_units_of_entropy_are_within_half_a_unit() -> None:
    units = entropy_units(ENTROPY_UNIT)
    assert units[0] == units[ONE] == 0
    numbers = EVERY_HALF[1 : len(units)].astype(np.float64)
    error = units[1:] * ENTROPY_UNIT + numbers * np.log(numbers)
    assert np.abs(error).max() <= ENTROPY_UNIT / 2


def test_sums_are_exact() -> None:
    every = np.arange(int(ONE) + 1, dtype=np.uint16).reshape(1, 1, -1)
    assert sum_units(every, (0, 0, 0), every.shape) == mass_units(2.0**-24).sum()
    # Rows of ones that no 32 bits hold, and a part of an array.
    ones = np.full((2, 3, 1000), ONE)
    assert sum_units(ones, (0, 0, 0), ones.shape) == 6000 << 24
    assert sum_units(ones, (1, 0, 10), (2, 2, 11)) == 2 << 24
