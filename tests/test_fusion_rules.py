"""Votes, shares and blends, held against dense arithmetic."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.fusion.fused import FusedMap, fuse_patterns
from softlab_cli.fusion.majority import (
    dice_weights,
    majority_votes,
    mean_votes,
    normalise_weights,
)
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.fusion.shares import FINEST, Shares, to_parts
from tests import naive_raters
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED

UINT8 = np.dtype(np.uint8)


def dense(shares: Shares, class_count: int) -> NDArray[np.float64]:
    """(rows, C) shares that add up to 1."""
    found = np.zeros((len(shares), class_count))
    found[shares.rows, shares.classes] = shares.parts / shares.totals[shares.rows]
    return found


def expand(fused: FusedMap) -> NDArray[np.float64]:
    """(C, Z, Y, X) shares of a fused label map."""
    class_count = fused.blends.class_count
    table = np.zeros((len(fused.blends), class_count))
    table[:class_count] = np.eye(class_count)
    table[class_count + 1 :] = dense(fused.blends.shares, class_count)
    return np.moveaxis(table[fused.indices], -1, 0)


@given(rater_sets())
def test_mean_is_the_share_of_raters(raters: Raters) -> None:
    patterns = raters.patterns
    fused = fuse_patterns(patterns, mean_votes(patterns))
    expected = naive_raters.share(raters.signed, raters.class_count)
    np.testing.assert_allclose(expand(fused), expected, atol=1e-12)


@given(rater_sets())
def test_majority_takes_the_lowest_of_equals(raters: Raters) -> None:
    shares, ties = majority_votes(raters.patterns)
    fused = fuse_patterns(raters.patterns, shares)
    expected, expected_ties = naive_raters.majority(raters.signed, raters.class_count)
    found = fused.hard_label(UINT8, IGNORED).astype(int)
    np.testing.assert_array_equal(np.where(found == IGNORED, -1, found), expected)
    assert ties == expected_ties
    assert len(fused.blends.shares) == 0


@given(rater_sets())
def test_the_hard_label_of_the_mean_is_the_majority(raters: Raters) -> None:
    fused = fuse_patterns(raters.patterns, mean_votes(raters.patterns))
    expected, ties = naive_raters.majority(raters.signed, raters.class_count)
    found = fused.hard_label(UINT8, IGNORED).astype(int)
    np.testing.assert_array_equal(np.where(found == IGNORED, -1, found), expected)
    assert fused.ties == ties


@given(rater_sets(), st.randoms(use_true_random=False))
def test_the_order_of_raters_does_not_matter(raters: Raters, random: st.RandomType) -> None:
    order = list(range(len(raters.indices)))
    random.shuffle(order)
    weights = [1 + j / 7 for j in range(len(order))]
    shuffled = Raters(raters.indices[order], raters.class_count)
    for w in (None, weights):
        one = fuse_patterns(raters.patterns, mean_votes(raters.patterns, w))
        other = fuse_patterns(
            shuffled.patterns, mean_votes(shuffled.patterns, w and [w[j] for j in order])
        )
        np.testing.assert_array_equal(one.indices, other.indices)
        np.testing.assert_array_equal(one.blends.shares.parts, other.blends.shares.parts)
        np.testing.assert_array_equal(one.hard, other.hard)


def test_blends_with_the_same_shares_are_one() -> None:
    one, two = np.array([[[0, 1, 0, 1, 0]]], np.uint8), np.array([[[1, 0, 0, 1, 1]]], np.uint8)
    fused = fuse_patterns(
        find_patterns([one, two], 2, IGNORED), mean_votes(find_patterns([one, two], 2, IGNORED))
    )
    assert fused.indices.tolist() == [[[3, 3, 0, 1, 3]]]
    assert fused.ties == 3
    assert fused.hard_label(UINT8, IGNORED).tolist() == [[[0, 0, 0, 1, 0]]]


def test_a_rater_that_ignored_a_voxel_has_no_share_in_it() -> None:
    raters = [np.array([[[c]]], np.uint8) for c in (2, 2, 1, IGNORED)]
    patterns = find_patterns(raters, 3, IGNORED)
    found = expand(fuse_patterns(patterns, mean_votes(patterns)))
    np.testing.assert_allclose(found.ravel(), [0, 1 / 3, 2 / 3], atol=1e-12)


@pytest.mark.parametrize("count", range(1, 13))
def test_shares_of_up_to_twelve_raters_are_exact(count: int) -> None:
    rng = np.random.default_rng(count)
    indices = rng.integers(0, 4, (count, 2, 5, 40)).astype(np.uint8)
    indices[rng.random(indices.shape) < 0.1] = IGNORED
    raters = Raters(indices, 4)
    fused = fuse_patterns(raters.patterns, mean_votes(raters.patterns))
    expected = naive_raters.share(raters.signed, 4)
    np.testing.assert_allclose(expand(fused), expected, rtol=0, atol=1e-15)


@given(rater_sets(most=5))
def test_weights_weigh(raters: Raters) -> None:
    weights = np.linspace(0.5, 2, len(raters.indices))
    shares = mean_votes(raters.patterns, weights.tolist())
    found = expand(fuse_patterns(raters.patterns, shares))
    expected = naive_raters.share(raters.signed, raters.class_count, weights)
    np.testing.assert_allclose(found, expected, atol=4 / FINEST)


def test_a_weight_of_0_silences_a_rater() -> None:
    raters = edited(np.zeros((3, 4, 5), np.uint8), 3, [0.5, 0.5])
    shares = mean_votes(raters.patterns, [1, 0])
    fused = fuse_patterns(raters.patterns, shares)
    np.testing.assert_array_equal(fused.indices, raters.indices[0])


def test_dice_weights_are_dice_with_the_majority() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, (4, 10, 10)).astype(np.uint8)
    raters = edited(truth, 4, [0.0, 0.1, 0.3, 0.6])
    majority, _ = naive_raters.majority(raters.signed, 4)
    scores = [
        np.mean([naive_raters.dice(rater, majority, c) for c in (1, 2, 3)])
        for rater in raters.signed
    ]
    expected = np.array(scores) / sum(scores)
    found = dice_weights(raters.patterns, background_index=0)
    np.testing.assert_allclose(found, expected)
    assert found[0] > found[1] > found[2] > found[3]


def test_dice_weights_are_equal_where_nothing_is_common() -> None:
    # A majority of background, and foreground that is in no majority.
    raters = [np.array([[r]], np.uint8) for r in ([1, 0, 0], [0, 1, 0], [0, 0, 1])]
    found = dice_weights(find_patterns(raters, 2, IGNORED), background_index=0)
    assert found == (1 / 3, 1 / 3, 1 / 3)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0], "1 rater weights for 2 raters"),
        ([1.0, -1.0], "cannot be used"),
        ([0.0, 0.0], "cannot be used"),
        ([float("nan"), 1.0], "cannot be used"),
        ([float("inf"), 1.0], "cannot be used"),
    ],
)
def test_weights_without_meaning_are_refused(weights: list[float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        normalise_weights(weights, 2)


@given(st.lists(st.floats(0.001, 1), min_size=1, max_size=9), st.integers(1, FINEST))
def test_parts_make_a_whole(fractions: list[float], total: int) -> None:
    values = np.array(fractions) / sum(fractions)
    starts = np.array([0, len(values)])
    shares = to_parts(starts, np.arange(len(values)), values, total)
    assert shares.totals.tolist() == [total]
    assert (shares.parts > 0).all()
    kept = np.zeros(len(values))
    kept[shares.classes] = shares.parts / total
    assert np.abs(kept - values).max() <= (len(values) + 1) / 2 / total


def test_empty_rows_stay_empty() -> None:
    shares = Shares(np.array([0, 0, 2, 2]), np.array([1, 4]), np.array([3, 3]))
    winners, tied = shares.largest()
    assert winners.tolist() == [-1, 1, -1]
    assert tied.tolist() == [False, True, False]
    assert shares.totals.tolist() == [0, 6, 0]
    assert shares.with_total(4).parts.tolist() == [2, 2]
