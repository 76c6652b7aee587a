"""Segments as one value, against numpy number by number."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlab_cli.kernels import segments
from softlab_cli.kernels.sizes import SEGMENT
from tests.compiled import compiled

KINDS = st.sampled_from([np.uint8, np.uint16])


@compiled
def reckon(a, b, number, out, counts):
    x, y = segments.load(a, 0), segments.load(b, 1)
    segments.store(out, 0, segments.lesser(x, y))
    segments.store(out, 1 * SEGMENT, segments.greater(x, y))
    segments.store(out, 2 * SEGMENT, segments.other_than(x, y, segments.load(b, 0)))
    segments.store(out, 3 * SEGMENT, segments.added(x, y))
    once = segments.add_where(segments.none(), b, 1, x, 27)
    segments.store(counts, 0, segments.add_where(once, b, 0, x, 200))
    return segments.equal(x, number), segments.above(x, number)


def bits_of(found: np.ndarray) -> int:
    return sum(1 << int(place) for place in np.flatnonzero(found))


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), KINDS, st.sampled_from([2, 5, 250]))
def test_each_place_is_what_one_number_gives(seed: int, kind: Any, most: int) -> None:
    rng = np.random.default_rng(seed)
    a = rng.integers(0, most, SEGMENT).astype(kind)
    b = rng.integers(0, most, SEGMENT + 1).astype(kind)
    number = int(a[seed % SEGMENT])
    out, counts = np.zeros(4 * SEGMENT, kind), np.zeros(SEGMENT, np.uint8)
    equal, above = reckon(a, b, number, out, counts)
    y = b[1:]
    expected = [np.minimum(a, y), np.maximum(a, y), np.where(a == y, b[:-1], y), a + y]
    np.testing.assert_array_equal(out, np.concatenate(expected))
    units = np.where(y == a, 27, 0) + np.where(b[:-1] == a, 200, 0)
    np.testing.assert_array_equal(counts, units)
    assert (equal, above) == (bits_of(a == number), bits_of(a > number))


@compiled
def of_word(word):
    return segments.bit_count(word), segments.first_bit(word), segments.last_bit(word)


@pytest.mark.parametrize("word", [0, 1, 2, 3, 1 << 63, 2**64 - 1, 0x8000_0001])
def test_bits_are_counted_and_the_ends_are_found(word: int) -> None:
    first = (word & -word).bit_length() - 1 if word else SEGMENT
    assert of_word(np.uint64(word)) == (bin(word).count("1"), first, word.bit_length() - 1)


@compiled
def copied(target, source, count):
    segments.copy(target[1], 2, source[2], 3, count)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_part_of_a_row_is_copied(kind: Any) -> None:
    source = np.arange(90).astype(kind).reshape(3, 30)
    target, expected = np.zeros((2, 20), kind), np.zeros((2, 20), kind)
    copied(target, source, 7)
    expected[1, 2:9] = source[2, 3:10]
    np.testing.assert_array_equal(target, expected)
