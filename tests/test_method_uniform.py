"""Label smoothing, held against the paper's values and the oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.api import label_smoothing
from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError
from softlab_cli.methods import OneHot, UniformSmoothing
from tests import naive
from tests.blockwise import check_sums, soften
from tests.strategies import IGNORED, Labels, blocks, label_maps

amounts = st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.77, 1.0])


def test_the_papers_values() -> None:
    soft = label_smoothing(np.array([[2]]), smoothing=0.1, labels=range(4))
    expected = np.array([0.025, 0.025, 0.925, 0.025], np.float16)
    np.testing.assert_array_equal(soft[:, 0, 0], expected)


@given(label_maps(), amounts, blocks())
def test_label_smoothing_is_the_oracles(labels: Labels, smoothing: float, block: Shape) -> None:
    method = UniformSmoothing(smoothing)
    soft, sums, _ = soften(method, labels.indices, labels.class_count, block)
    classes = list(range(labels.class_count))
    exact = naive.label_smoothing(labels.indices, classes, smoothing, IGNORED)
    np.testing.assert_array_equal(soft, exact.astype(np.float16))
    check_sums(sums, soft, labels.indices)


@given(label_maps(), blocks())
def test_without_smoothing_it_is_one_hot(labels: Labels, block: Shape) -> None:
    soft, sums, found = soften(UniformSmoothing(0), labels.indices, labels.class_count, block)
    other, other_sums, others = soften(OneHot(), labels.indices, labels.class_count, block)
    np.testing.assert_array_equal(soft, other)
    np.testing.assert_array_equal(sums.mass, other_sums.mass)
    assert [b.class_indices for b in found] == [b.class_indices for b in others]
    assert [b.constants for b in found] == [b.constants for b in others]


@pytest.mark.parametrize("ignored", [0.0, 0.2])
@pytest.mark.parametrize("class_count", [2, 64, 65, 200])
def test_classes_that_do_not_occur_get_their_share(class_count: int, ignored: float) -> None:
    rng = np.random.default_rng(0)
    indices = rng.integers(0, 2, (5, 6, 7)).astype(np.uint8)
    indices[rng.random(indices.shape) < ignored] = IGNORED
    soft, sums, found = soften(UniformSmoothing(0.3), indices, class_count)
    exact = naive.label_smoothing(indices, list(range(class_count)), 0.3, IGNORED)
    np.testing.assert_array_equal(soft, exact.astype(np.float16))
    check_sums(sums, soft, indices)
    # Where all voxels are valid, classes that do not occur need no memory.
    assert sum(len(b.class_indices) for b in found) == (class_count if ignored else 2)


def test_a_block_of_one_class_has_no_values() -> None:
    _, _, found = soften(UniformSmoothing(0.5), np.full((4, 4, 4), 1, np.uint8), 2)
    assert [(b.class_indices, b.constants) for b in found] == [((), {0: 0.25, 1: 0.75})]


def test_an_ignored_block_yields_nothing() -> None:
    assert soften(UniformSmoothing(), np.full((4, 4, 4), IGNORED, np.uint8), 2)[2] == []


def test_full_smoothing_ties_everywhere() -> None:
    indices = np.zeros((2, 3, 4), np.uint8)
    indices[0, 0, 0] = IGNORED
    assert soften(UniformSmoothing(1), indices, 2)[1].ties == 23
    assert soften(UniformSmoothing(1), indices, 1)[1].ties == 0


@pytest.mark.parametrize("smoothing", [-0.1, 1.01, float("nan")])
def test_amounts_without_meaning_are_refused(smoothing: float) -> None:
    with pytest.raises(UsageError, match="Choose a number from 0"):
        UniformSmoothing(smoothing)


def test_parameters_are_ready_for_json() -> None:
    assert UniformSmoothing(1).parameters() == {"smoothing": 1.0}
