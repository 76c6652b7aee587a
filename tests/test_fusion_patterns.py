"""Patterns: nothing of the raters is lost, whatever the number of combinations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError, GeometryError, UsageError
from softlab_cli.fusion import patterns as module
from softlab_cli.fusion.patterns import UNLABELLED, PatternBuilder, find_patterns
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED


@given(rater_sets())
def test_the_raters_can_be_had_back(raters: Raters) -> None:
    patterns = raters.patterns
    for j, indices in enumerate(raters.indices):
        found = patterns.rater(j, np.dtype(np.uint8), IGNORED)
        np.testing.assert_array_equal(found, indices)


@given(rater_sets())
def test_patterns_are_distinct_and_counted(raters: Raters) -> None:
    patterns = raters.patterns
    voxels = np.bincount(patterns.indices.reshape(-1), minlength=len(patterns.counts))
    np.testing.assert_array_equal(patterns.counts, voxels)
    assert len(np.unique(patterns.labels, axis=0)) == len(patterns.labels)
    # Beyond those of one class throughout, only what occurs has a pattern.
    assert (patterns.counts[raters.class_count + 1 :] > 0).all()


@given(rater_sets())
def test_disputed_are_voxels_with_two_classes(raters: Raters) -> None:
    labels = raters.signed
    lowest = np.where(labels < 0, 99, labels).min(axis=0)
    disputed = raters.patterns.disputed[raters.patterns.indices]
    np.testing.assert_array_equal(disputed, labels.max(axis=0) > lowest)


def test_where_all_agree_the_pattern_is_the_class() -> None:
    rater = np.array([[[0, 2, IGNORED, 1]]], np.uint8)
    patterns = find_patterns([rater, rater, rater], 3, IGNORED)
    assert patterns.indices.tolist() == [[[0, 2, 3, 1]]]
    assert patterns.labels.tolist() == [[0] * 3, [1] * 3, [2] * 3, [UNLABELLED] * 3]


def noise(raters: int, classes: int, voxels: int, dtype: type) -> NDArray[np.unsignedinteger]:
    return np.random.default_rng(3).integers(0, classes, (raters, 1, 1, voxels)).astype(dtype)


@pytest.mark.parametrize(
    ("classes", "dtype", "ignore_index", "expected"),
    [(254, np.uint8, 255, np.uint16), (300, np.uint16, 65535, np.uint32)],
)
def test_the_type_grows_with_the_number_of_patterns(
    classes: int, dtype: type, ignore_index: int, expected: type
) -> None:
    raters = noise(3, classes, 70_000, dtype)[:, :, :, : 70_000 if classes == 300 else 5000]
    patterns = find_patterns(raters, classes, ignore_index)
    assert patterns.indices.dtype == expected
    for j, rater in enumerate(raters):
        np.testing.assert_array_equal(patterns.rater(j, np.dtype(dtype), ignore_index), rater)


def test_raters_are_taken_one_by_one_and_not_kept() -> None:
    raters = edited(np.zeros((3, 4, 70), np.uint8), 3, [0.1, 0.2, 0.3])
    builder = PatternBuilder(3, IGNORED)
    for indices in raters.indices:
        passing = indices.copy()
        builder.add(passing)
        passing[:] = 77
    np.testing.assert_array_equal(builder.build().indices, raters.patterns.indices)


def test_raters_are_not_changed() -> None:
    raters = edited(np.zeros((3, 4, 70), np.uint8), 3, [0.1, 0.2])
    before = raters.indices.copy()
    find_patterns(raters.indices, 3, IGNORED)
    np.testing.assert_array_equal(raters.indices, before)


def test_a_small_table_of_combinations_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    raters = Raters(noise(4, 9, 3000, np.uint8), 9)
    expected = raters.patterns
    monkeypatch.setattr(module, "FIRST_TABLE", 4)
    np.testing.assert_array_equal(raters.patterns.indices, expected.indices)
    np.testing.assert_array_equal(raters.patterns.labels, expected.labels)


def test_raters_of_different_shapes_are_refused() -> None:
    builder = PatternBuilder(2, IGNORED)
    builder.add(np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(GeometryError, match=r"rater 2 has the shape \(2, 3, 5\)"):
        builder.add(np.zeros((2, 3, 5), np.uint8))


def test_no_rater_is_refused() -> None:
    with pytest.raises(UsageError, match="without raters"):
        PatternBuilder(2, IGNORED).build()


@pytest.mark.parametrize("index", [3, 4, 254])
def test_an_index_that_is_no_class_is_refused(index: int) -> None:
    builder = PatternBuilder(3, IGNORED)
    builder.add(np.array([[[0, 2, IGNORED]]], np.uint8))
    with pytest.raises(ClassError, match=f"class index {index} of rater 2"):
        builder.add(np.array([[[0, index, IGNORED]]], np.uint8))
