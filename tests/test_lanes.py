"""Rows as one value, against numpy number by number."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.kernels import lanes
from softlab_cli.kernels.sizes import LANES
from tests.compiled import compiled

NUMBERS = st.one_of(
    st.floats(0, 1e6, width=32), st.sampled_from([0.0, 1.0, 1e-40, float("inf"), float("nan")])
)
ROWS = st.lists(NUMBERS, min_size=LANES, max_size=LANES).map(lambda row: np.array(row, np.float32))


@compiled
def reckon(a, b, out):
    x, y = lanes.load(a, 0), lanes.load(b, 0)
    lanes.store(out, 0, x + y)
    lanes.store(out, 1 * LANES, x - y)
    lanes.store(out, 2 * LANES, x * y)
    lanes.store(out, 3 * LANES, x / y)
    lanes.store(out, 4 * LANES, abs(x - y))
    lanes.store(out, 5 * LANES, lanes.root(x))
    lanes.store(out, 6 * LANES, lanes.nearer(x, y))
    lanes.store(out, 7 * LANES, lanes.below_only(x, y))
    lanes.store(out, 8 * LANES, lanes.before(x))
    lanes.store(out, 9 * LANES, lanes.after(x))
    lanes.store(out, 10 * LANES, lanes.spread(a[3]))
    out[11 * LANES] = lanes.lane(x, 5)
    return lanes.fallen(x, y)


def reckoned(a, b):
    """The same by numpy."""
    infinite = np.float32(np.inf)
    return [
        a + b, a - b, a * b, a / b, abs(a - b), np.sqrt(a),
        np.where(a < b, a, b), np.where(a < b, a, infinite),
        np.append(infinite, a[:-1]), np.append(a[1:], infinite), np.full(LANES, a[3]),
    ]  # fmt: skip


@given(ROWS, ROWS)
def test_each_lane_is_what_one_number_gives(a, b) -> None:
    out = np.zeros(12 * LANES, np.float32)
    fallen = reckon(a, b, out)
    with np.errstate(all="ignore"):
        expected = reckoned(a, b)
    for row, found in zip(expected, out.reshape(-1, LANES), strict=False):
        np.testing.assert_array_equal(found, row.astype(np.float32))
    np.testing.assert_array_equal(out[11 * LANES], a[5])
    assert fallen == sum(1 << x for x in np.flatnonzero(a < b))


@compiled
def offered(keys, new, old, end):
    return lanes.offer_keys(
        keys, 1,
        (lanes.load(new, 0), lanes.load(new, LANES), lanes.load(new, 2 * LANES)),
        (lanes.load(old, 0), lanes.load(old, LANES), lanes.load(old, 2 * LANES)),
        end,
    )  # fmt: skip


THREE = st.lists(ROWS, min_size=3, max_size=3).map(np.stack)
KEYS = st.sampled_from([0.0, 1e-40, 0.5, 1.0, 1e5, float("inf")])


@given(THREE, THREE, st.lists(KEYS, min_size=5, max_size=5), KEYS)
def test_keys_become_the_least_number_that_is_new(new, old, known, end) -> None:
    keys = np.array(known, np.float32).view(np.int32)
    bits = offered(keys, new, old, np.float32(end).view(np.int32))
    leasts = np.where(new < old, new, np.float32(np.inf)).min(1)
    expected = np.array(known, np.float32)
    expected[1:4] = np.minimum(expected[1:4], leasts)
    np.testing.assert_array_equal(keys.view(np.float32), expected)
    before = np.array(known, np.float32)[1:4]
    assert bits == sum(1 << i for i in range(3) if leasts[i] < before[i] and leasts[i] < end)


@compiled
def below(keys, place, end):
    lanes.ask_for(keys, place)
    return lanes.smaller(keys, place, end)


@pytest.mark.parametrize("end", [-(2**31), 0, 7, 2**31 - 1])
def test_bits_say_which_keys_are_smaller(end) -> None:
    keys = np.random.default_rng(3).integers(-20, 20, LANES + 5, np.int32)
    keys[9] = 2**31 - 1
    expected = sum(1 << x for x in range(LANES) if keys[5 + x] < end)
    assert below(keys, 5, np.int32(end)) == expected


@compiled
def gathered(a, place, out):
    lanes.store(out, 0, lanes.gather(a, place))


@pytest.mark.parametrize("place", [0, LANES - 1, LANES * LANES])
def test_gather_takes_one_of_each_row(place) -> None:
    a, out = np.arange(2 * LANES * LANES, dtype=np.float32), np.zeros(LANES, np.float32)
    gathered(a, place, out)
    np.testing.assert_array_equal(out, a[place::LANES][:LANES])


@compiled
def second_row(a, out):
    lanes.store(out, 0, lanes.load(a, a.shape[1] + 1))


def test_arrays_are_read_as_if_they_were_flat() -> None:
    a, out = np.arange(60, dtype=np.float32).reshape(2, 30), np.zeros(LANES, np.float32)
    second_row(a, out)
    np.testing.assert_array_equal(out, a.ravel()[31 : 31 + LANES])
