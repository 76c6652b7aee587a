"""Rounding to float16 and sums over float16, held against numpy."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT
from softlab_cli.kernels.half import ONE, entropy_units, mass_units, subtract_outside, to_half

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


def test_what_lies_outside_is_subtracted_exactly() -> None:
    every = np.arange(int(ONE) + 1, dtype=np.uint16).reshape(1, 1, 1, -1)
    sums = np.array([mass_units(MASS_UNIT).sum()])
    subtract_outside(every, WHOLE, (0, 0, 5), (1, 1, 9), sums)
    assert sums == mass_units(MASS_UNIT)[5:9].sum()
    subtract_outside(every, WHOLE, (0, 0, 0), every.shape[1:], sums)
    assert sums == mass_units(MASS_UNIT)[5:9].sum()


WHOLE = np.array([[0, 0, 0, 0]])


def test_planes_are_looked_at_where_they_have_any() -> None:
    # Rows of ones that no 32 bits hold.
    ones = np.full((2, 2, 3, 1000), ONE)
    ones[1, 1] = ones[1, :, 0] = 0
    boxes = np.array([[0, 1, 0, 2], [0, 0, 1, 2]])
    sums = np.array([6000 << 24, 2000 << 24])
    subtract_outside(ones, boxes, (1, 0, 10), (2, 2, 11), sums)
    assert sums.tolist() == [2 << 24, 0]
