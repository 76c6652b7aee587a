"""The codes of a 3 voxel wide kernel, held against sums over all neighbours."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.kernels.neighbours import CODES, GROUPS, MIDDLE_UNITS, SIDE_UNITS, code_sums

STEPS = np.array([0.5, 0.0, 0.5])
WEIGHTS = np.exp(-(STEPS[:, None, None] * 3 + STEPS[:, None] * 2 + STEPS))


def test_the_groups_are_all_26_neighbours() -> None:
    assert sum(radix - 1 for _, _, radix in GROUPS) == 26
    assert np.prod([radix for _, _, radix in GROUPS]) == CODES
    assert sum(MIDDLE_UNITS) + 2 * sum(SIDE_UNITS) == CODES - 1


@given(st.integers(0, 2**26 - 1))
def test_a_code_stands_for_the_weights_of_its_neighbours(bits: int) -> None:
    places = [p for p in np.ndindex(3, 3, 3) if p != (1, 1, 1)]
    chosen = [p for i, p in enumerate(places) if bits >> i & 1]
    units = [(MIDDLE_UNITS if x == 1 else SIDE_UNITS)[3 * z + y] for z, y, x in chosen]
    sums = code_sums(WEIGHTS)
    np.testing.assert_allclose(sums[sum(units)], sum(WEIGHTS[p] for p in chosen))
