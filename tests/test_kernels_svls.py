"""The codes of a 3 voxel wide kernel, held against sums over all neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.kernels.half import ONE
from softlab_cli.kernels.neighbours import (
    CODES,
    GROUPS,
    MIDDLE_UNITS,
    SIDE_UNITS,
    code_at,
    code_of,
    code_sums,
    look_around,
    look_at,
    new_segment,
    who_has,
)
from softlab_cli.methods.svls.narrow import narrow_tables
from tests.compiled import compiled_with_arrays

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


@compiled_with_arrays
def look(labels, start, steps, ignore_index):
    segment = new_segment(labels)
    sorts = look_at(labels, start, steps, ignore_index, segment)
    look_around(labels, start + 5, steps, segment.around)
    around = code_of(who_has(segment.own[5], segment))
    return segment, sorts, around


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("classes", [1, 2, 3, 9])
@pytest.mark.parametrize("ignore_index", [255, 2, 1])
def test_a_segment_is_looked_at_as_voxel_by_voxel(
    kind: Any, classes: int, ignore_index: int
) -> None:
    rng = np.random.default_rng(classes)
    labels = np.repeat(rng.integers(0, classes, (3, 3, 11)), 6, axis=2).astype(kind)
    labels[rng.random(labels.shape) < 0.03] = 0
    start, steps = 3 * 66 + 66 + 1, (3 * 66, 66)
    segment, sorts, around = look(labels.reshape(-1), start, steps, ignore_index)
    for x in range(64):
        near = labels[:, :, x : x + 3]
        own = near[1, 1, 1]
        others = set(near.flat) - {own}
        expected = near.max() if own < near.max() else near.min()
        assert (segment.own[x], segment.other[x]) == (own, expected)
        code = code_at(segment.own_low, segment.own_high, x)
        assert code == code_by_hand(near == own)
        other_code = code_at(segment.other_low, segment.other_high, x)
        assert other_code == code_by_hand(near == expected)
        if x == 5:
            assert around == code
        found = [name for name, word in sorts._asdict().items() if int(word) >> x & 1]
        assert found == kind_by_hand(own, others, ignore_index)


def code_by_hand(same: np.ndarray) -> int:
    units = np.array([[m, s] for m, s in zip(MIDDLE_UNITS, SIDE_UNITS, strict=True)])
    same = same.reshape(9, 3)
    return int((same[:, 1] * units[:, 0] + (same[:, 0] * 1 + same[:, 2]) * units[:, 1]).sum())


def kind_by_hand(own: int, others: set[int], ignore_index: int) -> list[str]:
    if not others:
        return ["alone"]
    if own == ignore_index:
        return []
    if max(own, *others) > ignore_index:
        return ["disputed"]
    if ignore_index in others:
        return ["beside_ignored"]
    return ["two" if len(others) == 1 else "more"]


def test_both_soft_labels_of_a_pair_are_in_the_table() -> None:
    weights = WEIGHTS.copy()
    weights[1, 1, 1] = weights.sum() - weights[1, 1, 1]
    tables = narrow_tables(weights)
    pairs = tables.pairs.reshape(-1, 4).astype(np.int64)
    own, other = pairs[:, 0] & 0xFFFF, pairs[:, 0] >> 16
    np.testing.assert_array_equal(pairs[:, 1], tables.entropy[own] + tables.entropy[other])
    np.testing.assert_array_equal(pairs[:, 2:], tables.mass[np.stack([own, other], 1)])
    both = own.astype(np.uint16).view(np.float16) + other.astype(np.uint16).view(np.float16)
    np.testing.assert_allclose(both.astype(float), 1, atol=1e-3)
    assert own[-1] == ONE
    assert other[-1] == 0
