"""Regions that calibration is judged in, against distances of every pair of voxels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.regions import (
    Reach,
    band,
    challenge_box,
    dilated_union,
    foreground,
    region_codes,
)

SPACING = (3.0, 0.7, 0.7)


def near(seeds: np.ndarray, reach: Reach, spacing_mm: tuple[float, ...]) -> np.ndarray:
    every = np.argwhere(np.ones(seeds.shape))
    gaps = np.abs(every[:, None] - np.argwhere(seeds))
    if reach.mm is None:
        found = gaps.sum(axis=2) <= reach.voxels
    else:
        found = ((gaps * spacing_mm) ** 2).sum(axis=2) <= reach.mm**2 + 1e-9
    return found.any(axis=1).reshape(seeds.shape)


def borders(labels: np.ndarray, ignored: int) -> np.ndarray:
    marks = np.zeros(labels.shape, bool)
    for axis in range(3):
        one, two = np.moveaxis(labels, axis, 0)[:-1], np.moveaxis(labels, axis, 0)[1:]
        both = (one != two) & (one != ignored) & (two != ignored)
        np.moveaxis(marks, axis, 0)[:-1] |= both
        np.moveaxis(marks, axis, 0)[1:] |= both
    return marks


REACHES = [Reach(mm=0.0), Reach(mm=1.4), Reach(mm=3.0), Reach(voxels=0), Reach(voxels=2)]


@given(st.integers(0, 2**32 - 1), st.sampled_from(REACHES), st.sampled_from([SPACING, (1, 1, 1)]))
@settings(max_examples=40)
def test_regions_have_the_voxels_that_are_near_enough(
    seed: int, reach: Reach, spacing_mm: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(seed)
    labels = (rng.random((2, 4, 5, 6)) < 0.1).astype(np.uint8) * 2
    labels[rng.random(labels.shape) < 0.1] = 255
    seeds = ((labels > 0) & (labels != 255)).any(axis=0)
    np.testing.assert_array_equal(foreground(labels, ignore_index=255), seeds)
    found = dilated_union(labels, reach, spacing_mm, ignore_index=255)
    np.testing.assert_array_equal(found, near(seeds, reach, spacing_mm))
    marks = borders(labels[0], 255) | borders(labels[1], 255)
    found = band(labels, reach, spacing_mm, ignore_index=255)
    if reach.voxels == 0:
        assert not found.any()
    elif reach.voxels is None:
        np.testing.assert_array_equal(found, near(marks, reach, spacing_mm))
    else:
        expected = near(marks, Reach(voxels=reach.voxels - 1), spacing_mm)
        np.testing.assert_array_equal(found, expected)


def test_the_volume_ends_without_a_border() -> None:
    assert not band(np.ones((3, 3, 3), np.uint8), Reach(voxels=3)).any()


def test_codes_have_a_bit_for_each_region() -> None:
    one, two = np.array([[[True, False, True]]]), np.array([[[False, False, True]]])
    names, codes = region_codes({"one": one, "two": two})
    assert names == ("one", "two")
    assert codes.tolist() == [[[1, 0, 3]]]
    with pytest.raises(UsageError, match="none"):
        region_codes({})


def test_the_challenge_box_is_cut_off_at_the_volume() -> None:
    labels = np.zeros((40, 50, 60), np.uint8)
    labels[5, 25, 30] = 1
    box = np.argwhere(challenge_box(labels))
    assert box.min(axis=0).tolist() == [0, 5, 10]
    assert box.max(axis=0).tolist() == [24, 44, 49]
    assert not challenge_box(labels * 0).any()


@pytest.mark.parametrize("given", [{}, {"mm": 1.0, "voxels": 1}, {"mm": -1.0}, {"mm": np.nan}])
def test_what_is_no_distance_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="no distance"):
        Reach(**given)
