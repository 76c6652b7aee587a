"""Copies with a halo, classes and uniform rows, held against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.kernels.block import (
    MIXED,
    clear_boxes,
    copy_with_halo,
    find_classes,
    find_uniform_rows,
    is_uniform,
)
from softlab_cli.kernels.sizes import SEGMENT
from tests.strategies import Labels, label_maps

HALO = (1, 2, 3)


@given(label_maps(), st.data())
def test_a_copy_repeats_the_edge(labels: Labels, data: st.DataObject) -> None:
    volume = labels.indices
    start = [data.draw(st.integers(0, n - 1)) for n in volume.shape]
    size = [data.draw(st.integers(1, n - a)) for a, n in zip(start, volume.shape, strict=True)]
    padded = np.full((32, 32, 40), 99, np.uint8)
    corner: Any = tuple(a - h for a, h in zip(start, HALO, strict=True))
    shape: Any = tuple(n + 2 * h for n, h in zip(size, HALO, strict=True))
    copy_with_halo(volume, corner, shape, 40, padded)
    whole = np.pad(volume, [(h, h) for h in HALO], mode="edge")
    z, y, x = (slice(a, a + n) for a, n in zip(start, shape, strict=True))
    np.testing.assert_array_equal(padded[: shape[0], : shape[1], : shape[2]], whole[z, y, x])
    last = padded[: shape[0], : shape[1], shape[2] - 1 :]
    assert (last == last[..., :1]).all()
    assert (padded[shape[0] :] == 99).all()


@given(label_maps(), st.integers(1, 150), st.sampled_from([np.uint8, np.uint16]), st.data())
def test_a_region_is_uniform_when_it_has_one_class(
    labels: Labels, width: int, dtype: type[np.unsignedinteger[Any]], data: st.DataObject
) -> None:
    shape = (*labels.indices.shape[:2], width)
    volume = np.full(shape, 7, dtype)
    assert is_uniform(volume)
    place = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
    volume[place] = 7 + 256 % np.iinfo(dtype).max  # whose lower half is the same
    assert is_uniform(volume) == (volume.size == 1)
    start = [data.draw(st.integers(0, n - 1)) for n in shape]
    region = volume[tuple(slice(a, data.draw(st.integers(a + 1, n)))
                          for a, n in zip(start, shape, strict=True))]  # fmt: skip
    for part in (region, np.asfortranarray(region)):
        assert is_uniform(part) == (len(np.unique(part)) == 1)


def test_what_lies_between_the_voxels_of_a_region_is_no_matter() -> None:
    volume = np.tile(np.array([3, 4], np.uint8), (2, 2, SEGMENT))
    assert is_uniform(volume[:, :, ::2])
    assert not is_uniform(volume)


def examine(padded: np.ndarray, halo_x: int) -> tuple[np.ndarray, dict[int, list[int]]]:
    segments = (padded.shape[2] - 2 * halo_x) // SEGMENT
    rows = np.empty((*padded.shape[:2], segments), np.int32)
    slot_of, classes = np.full(256, -1, np.int64), np.zeros(256, np.int64)
    boxes = np.zeros((256, 4), np.int64)
    count = find_classes(padded, halo_x, rows, slot_of, classes, boxes)
    found = {int(classes[i]): boxes[i].tolist() for i in range(count)}
    assert len(found) == count
    assert all(slot_of[classes[i]] == i for i in range(count))
    return rows, found


@given(label_maps(largest=9), st.integers(1, 2), st.integers(0, 3))
def test_classes_are_found_with_their_boxes(labels: Labels, segments: int, halo_x: int) -> None:
    width = segments * SEGMENT + 2 * halo_x
    padded = np.ascontiguousarray(np.resize(labels.indices, (*labels.indices.shape[:2], width)))
    rows, found = examine(padded, halo_x)
    for index in np.unique(padded):
        z, y, _ = np.nonzero(padded == index)
        assert found.pop(int(index)) == [z.min(), z.max(), y.min(), y.max()]
    assert not found
    for (z, y, s), row in np.ndenumerate(rows):
        seen = np.unique(padded[z, y, s * SEGMENT : (s + 1) * SEGMENT + 2 * halo_x])
        assert row == (seen[0] if len(seen) == 1 else MIXED)


@pytest.mark.parametrize("halo", [(0, 0), (1, 1), (0, 2), (3, 1)])
def test_a_row_is_uniform_when_all_rows_around_it_are(halo: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    rows = np.where(rng.random((20, 14, 2)) < 0.01, MIXED, 5).astype(np.int32)
    rows[9:, 7:, 1] = 4
    inner = np.empty((20 - 2 * halo[0], 14 - 2 * halo[1], 2), np.int32)
    find_uniform_rows(rows, *halo, inner)
    for (z, y, s), index in np.ndenumerate(inner):
        around = np.unique(rows[z : z + 2 * halo[0] + 1, y : y + 2 * halo[1] + 1, s])
        assert index == (around[0] if len(around) == 1 else MIXED)
    assert (inner == 5).any()
    assert (inner == 4).any()


def test_only_what_was_written_is_cleared() -> None:
    values = np.ones((3, 4, 5, 6), np.uint16)
    boxes = np.array([[1, 2, 0, 4], [0, 0, 3, 3], [0, 3, 0, 4]])
    clear_boxes(values, boxes, 2)
    expected = np.ones_like(values)
    expected[0, 1:3] = 0
    expected[1, 0, 3] = 0
    np.testing.assert_array_equal(values, expected)
