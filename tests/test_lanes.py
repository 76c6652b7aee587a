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
    lanes.store(out, 11 * LANES, lanes.rising(a, 0, y))
    lanes.store(out, 12 * LANES, lanes.falling(a, 0, y))
    out[13 * LANES] = lanes.lane(x, 5)
    return lanes.fallen(x, y), lanes.least_bits(x, y)


def reckoned(a, b):
    """The same by numpy."""
    infinite = np.float32(np.inf)
    rising, falling = a.copy(), a.copy()
    for x in range(1, LANES):
        t = rising[x - 1] + b[x]
        rising[x] = t if t < a[x] else a[x]
    for x in reversed(range(LANES - 1)):
        t = falling[x + 1] + b[x + 1]
        falling[x] = t if t < a[x] else a[x]
    return [
        a + b, a - b, a * b, a / b, abs(a - b), np.sqrt(a),
        np.where(a < b, a, b), np.where(a < b, a, infinite),
        np.append(infinite, a[:-1]), np.append(a[1:], infinite), np.full(LANES, a[3]),
        rising, falling,
    ]  # fmt: skip


@given(ROWS, ROWS)
def test_each_lane_is_what_one_number_gives(a, b) -> None:
    out = np.zeros(14 * LANES, np.float32)
    fallen, least = reckon(a, b, out)
    with np.errstate(all="ignore"):
        expected = reckoned(a, b)
    for row, found in zip(expected, out.reshape(-1, LANES), strict=False):
        np.testing.assert_array_equal(found, row.astype(np.float32))
    np.testing.assert_array_equal(out[13 * LANES], a[5])
    below = a < b
    assert fallen == sum(1 << x for x in np.flatnonzero(below))
    smallest = a[below].min(initial=np.inf)
    assert least == np.float32(smallest).view(np.int32)


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
