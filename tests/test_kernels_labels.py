"""Counting, renaming and boxing label values, held against numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.kernels.labels import count_values, find_box, map_values
from tests.strategies import Labels, label_maps


@st.composite
def runs(draw: st.DrawFn) -> np.ndarray:
    """Values in runs of all lengths, from shorter to longer than what is compared at once."""
    lengths = draw(st.lists(st.integers(1, 200), max_size=20))
    kind = draw(st.sampled_from([np.uint8, np.uint16, np.uint32]))
    values = [draw(st.integers(0, 9)) for _ in lengths]
    return np.repeat(np.array(values, kind), np.array(lengths, int))


@given(runs())
def test_values_are_counted(values: np.ndarray) -> None:
    values.flags.writeable = False
    counts = np.zeros(10, np.int64)
    count_values(values, counts)
    np.testing.assert_array_equal(counts, np.bincount(values, minlength=10))


@given(runs(), st.sampled_from([np.uint8, np.uint16]))
def test_values_are_replaced(values: np.ndarray, kind: type) -> None:
    values.flags.writeable = False
    table: np.ndarray = np.arange(10, 110, 10).astype(kind)
    out: np.ndarray = np.empty(len(values), kind)
    map_values(values, table, out)
    np.testing.assert_array_equal(out, table[values])


@given(label_maps(classes=3), st.integers(1, 80))
def test_the_box_holds_all_wanted_voxels(labels: Labels, width: int) -> None:
    indices = np.repeat(labels.indices, width, axis=2)
    wanted = (indices != 0) & (indices != 255)
    box = np.array([[n, -1] for n in indices.shape])
    find_box(indices, 0, 255, box)
    places = np.nonzero(wanted)
    if len(places[0]) == 0:
        assert (box[:, 1] == -1).all()
    else:
        assert box.tolist() == [[p.min(), p.max()] for p in places]


@pytest.mark.parametrize("x", [0, 1, 63, 64, 127, 128, 129])
def test_a_single_voxel_is_boxed_wherever_it_is(x: int) -> None:
    indices = np.zeros((3, 4, 130), np.uint8)
    indices[1, 2, x] = 1
    box = np.array([[n, -1] for n in indices.shape])
    find_box(indices, 0, 255, box)
    assert box.tolist() == [[1, 1], [2, 2], [x, x]]
