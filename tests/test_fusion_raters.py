"""Agreement of raters: figures against plain definitions, outliers against judgement."""

from __future__ import annotations

import json
import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given

from softlab_cli.fusion.agreement import dice, dice_of_pairs, fleiss_kappa, mean_dice
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.fusion.raters import RaterStatistics, find_outliers, rater_statistics
from softlab_cli.fusion.shares import count_votes
from softlab_cli.fusion.staple import run_staple
from tests import naive_raters
from tests.conftest import blobs
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED


def statistics_of(raters: Raters) -> RaterStatistics:
    return rater_statistics(raters.patterns, raters.names, background_index=0)


@pytest.fixture(scope="module")
def lesions() -> Raters:
    """Four raters of four classes, the last of whom is the worst; some voxels ignored."""
    raters = edited(blobs((6, 20, 20), 4), 4, [0.02, 0.05, 0.1, 0.2])
    raters.indices[1, :2] = IGNORED
    raters.indices[:, 5, 5] = IGNORED
    return raters


@given(rater_sets(most=4))
def test_dice_is_twice_the_common_voxels_over_all(raters: Raters) -> None:
    labels, patterns = raters.signed, raters.patterns
    last = len(labels) - 1
    found = dice(patterns.labels[:, 0], patterns.labels[:, last], patterns.counts, 6)
    expected = [naive_raters.dice(labels[0], labels[last], c) for c in range(6)]
    np.testing.assert_allclose(found, expected)


@given(rater_sets(most=4))
def test_the_dice_of_each_two_raters_is_that_of_the_two(raters: Raters) -> None:
    labels, counts = raters.patterns.labels, raters.patterns.counts
    found = dice_of_pairs(labels, counts, 6)
    pairs = list(combinations(labels.T, 2))
    assert found.shape == (len(pairs), 6)
    for row, (one, other) in zip(found, pairs, strict=True):
        np.testing.assert_array_equal(row, dice(one, other, counts, 6))


def test_mean_dice_leaves_out_background_and_absent_classes() -> None:
    assert mean_dice(np.array([0.9, 0.5, np.nan, 0.1]), 0) == pytest.approx(0.3)
    assert mean_dice(np.array([0.9, 0.5, np.nan, 0.1]), None) == pytest.approx(0.5)
    assert mean_dice(np.array([0.9, np.nan]), 0) == 0.9
    assert mean_dice(np.array([np.nan, np.nan]), 0) == 1


@given(rater_sets(most=6))
def test_fleiss_kappa_is_agreement_beyond_chance(raters: Raters) -> None:
    patterns, count = raters.patterns, len(raters.indices)
    votes = count_votes(patterns.labels)
    found, overall = fleiss_kappa(votes, patterns.counts, count, raters.class_count)
    complete = (raters.signed >= 0).all(axis=0).any()
    if count == 1 or not complete:
        assert np.isnan(found).all()
        assert math.isnan(overall)
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        expected, expected_overall = naive_raters.fleiss(raters.signed, raters.class_count)
    np.testing.assert_allclose(found, np.where(np.isfinite(expected), expected, np.nan), atol=1e-9)
    if not math.isnan(overall):
        assert overall == pytest.approx(expected_overall, abs=1e-9)


def test_fleiss_kappa_of_the_papers_example() -> None:
    """Fleiss 1971, table 1: 30 patients, 6 raters, 5 diagnoses."""
    table = """
    0 0 0 6 0; 0 3 0 0 3; 0 1 4 0 1; 0 0 0 0 6; 0 3 0 3 0; 2 0 4 0 0; 0 0 4 0 2; 2 0 3 1 0;
    2 0 0 4 0; 0 0 0 0 6; 1 0 0 5 0; 1 1 0 4 0; 0 3 3 0 0; 1 0 0 5 0; 0 2 0 3 1; 0 0 5 0 1;
    3 0 0 1 2; 5 1 0 0 0; 0 2 0 4 0; 1 0 2 0 3; 0 0 0 0 6; 0 1 0 5 0; 0 2 0 1 3; 2 0 0 4 0;
    1 0 0 4 1; 0 5 0 1 0; 4 0 0 0 2; 0 2 0 4 0; 1 0 5 0 0; 0 0 0 0 6
    """
    rows = [[int(n) for n in row.split()] for row in table.split(";")]
    chosen = np.array([np.repeat(range(5), row) for row in rows], np.uint8)
    patterns = find_patterns(chosen.T.reshape(6, 1, 1, 30), 5, IGNORED)
    found, overall = fleiss_kappa(count_votes(patterns.labels), patterns.counts, 6, 5)
    assert overall == pytest.approx(0.430, abs=5e-4)
    assert found == pytest.approx([0.248, 0.248, 0.517, 0.470, 0.566], abs=5e-3)


def test_figures_are_those_of_the_voxels(lesions: Raters) -> None:
    found, labels = statistics_of(lesions), lesions.signed
    share = naive_raters.share(labels, 4)
    labelled, disputed = share.sum(axis=0) > 0, (share > 0).sum(axis=0) > 1
    foreground = share[1:].sum(axis=0) > 0
    assert found.labelled_voxels == labelled.sum()
    assert found.disputed_voxels == disputed.sum()
    assert found.disputed_share == pytest.approx(disputed.sum() / labelled.sum())
    expected = disputed.sum() / foreground.sum()
    assert found.disputed_share_foreground == pytest.approx(expected)
    terms = -share * np.log(np.where(share > 0, share, 1))
    assert found.mean_entropy == pytest.approx(terms.sum() / labelled.sum())
    assert found.majority_ties == naive_raters.majority(labels, 4)[1]


def test_pairs_and_means(lesions: Raters) -> None:
    found, labels = statistics_of(lesions), lesions.signed
    assert [pair.raters for pair in found.pairs][:2] == [("r0", "r1"), ("r0", "r2")]
    assert len(found.pairs) == 6
    means = np.zeros((4, 4))
    for pair in found.pairs:
        i, j = (int(name[1]) for name in pair.raters)
        expected = [naive_raters.dice(labels[i], labels[j], c) for c in range(4)]
        assert pair.dice == pytest.approx(expected)
        means[i, j] = means[j, i] = np.mean(expected[1:])
        assert pair.mean_dice == pytest.approx(means[i, j])
    assert found.mean_dice == pytest.approx(means.sum(axis=1) / 3)


def test_sensitivity_and_specificity_are_staples(lesions: Raters) -> None:
    staple = run_staple(lesions.patterns)
    found = rater_statistics(lesions.patterns, lesions.names, 0, staple)
    np.testing.assert_array_equal(found.sensitivity, staple.sensitivity)
    quick = statistics_of(lesions)
    np.testing.assert_allclose(quick.sensitivity, staple.sensitivity, atol=2e-3)
    np.testing.assert_allclose(quick.specificity, staple.specificity, atol=2e-3)


def test_statistics_survive_json(lesions: Raters) -> None:
    found = statistics_of(lesions)
    text = json.dumps(found.to_json(), allow_nan=False)
    assert RaterStatistics.from_json(json.loads(text)) == found
    later = {**json.loads(text), "added_later": 1}
    assert RaterStatistics.from_json(later) == found


@given(rater_sets(most=5))
def test_no_case_breaks_the_statistics(raters: Raters) -> None:
    json.dumps(statistics_of(raters).to_json(), allow_nan=False)


def test_one_rater_has_no_agreement() -> None:
    found = statistics_of(edited(blobs((4, 8, 8), 3), 3, [0.0]))
    assert found.mean_dice == [None]
    assert found.fleiss_kappa == [None] * 3
    assert (found.pairs, found.outliers, found.disputed_voxels) == ([], [], 0)


def pairwise(entries: dict[tuple[int, int], float], raters: int, default: float) -> np.ndarray:
    table = np.full((raters, raters), default)
    for (i, j), entry in entries.items():
        table[i, j] = table[j, i] = entry
    return table


@pytest.mark.parametrize("raters", [3, 4, 8])
def test_a_mis_oriented_rater_is_an_outlier(raters: int) -> None:
    bad = raters - 1
    table = pairwise({(j, bad): 0.08 for j in range(bad)}, raters, 0.75)
    assert list(find_outliers(table)) == [bad]
    assert find_outliers(table)[bad] == pytest.approx((0.08, 0.75))


def test_two_mis_oriented_raters_among_five_are_outliers() -> None:
    entries = {(j, bad): 0.08 for bad in (3, 4) for j in range(bad)}
    assert list(find_outliers(pairwise(entries, 5, 0.75))) == [3, 4]


def test_ordinary_spread_is_no_outlier() -> None:
    rng = np.random.default_rng(0)
    for raters in (3, 4, 6):
        for _ in range(50):
            table = rng.uniform(0.70, 0.85, (raters, raters))
            assert find_outliers((table + table.T) / 2) == {}


def test_of_two_raters_none_is_an_outlier() -> None:
    assert find_outliers(np.array([[1, 0.02], [0.02, 1]])) == {}


def test_two_camps_are_not_judged() -> None:
    table = pairwise({(0, 1): 0.8, (2, 3): 0.8}, 4, 0.1)
    assert find_outliers(table) == {}


def test_a_flipped_rater_is_named_in_a_warning() -> None:
    truth = blobs((8, 30, 30), 3)
    truth[:, 15:] = 0
    raters = edited(truth, 3, [0.02, 0.02, 0.02])
    raters.indices[2] = raters.indices[2, :, ::-1].copy()
    found = statistics_of(raters)
    assert found.outliers == ["r2"]
    assert "rater r2 has a mean Dice of 0.0" in found.warnings[0]
    assert "orientation" in found.warnings[0]
    assert statistics_of(edited(truth, 3, [0.02, 0.05, 0.1])).warnings == []
