"""STAPLE, held against SimpleITK and against a dense estimation over voxels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.fusion import staple as module
from softlab_cli.fusion.fused import fuse_patterns
from softlab_cli.fusion.options import StapleOptions
from softlab_cli.fusion.patterns import RaterPatterns, find_patterns
from softlab_cli.fusion.shares import FINEST
from softlab_cli.fusion.staple import Staple, run_staple
from tests import naive_raters
from tests.conftest import blobs
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED

LOOSE = StapleOptions(tolerance=1e-4)


def table(found: Staple, class_count: int) -> NDArray[np.float64]:
    """(patterns, C) posterior."""
    dense = np.zeros((len(found.posterior), class_count))
    dense[found.posterior.rows, found.posterior.classes] = found.posterior.parts / FINEST
    return dense


def volume(patterns: RaterPatterns, found: Staple) -> NDArray[np.float64]:
    """(C, Z, Y, X) posterior."""
    return np.moveaxis(table(found, patterns.class_count)[patterns.indices], -1, 0)


def binary(errors: list[float], seed: int = 0) -> Raters:
    return edited((blobs((8, 24, 24), 2, seed)), 2, errors, seed)


@pytest.mark.parametrize(
    "errors",
    [[0.02, 0.05, 0.1], [0.3, 0.05, 0.1, 0.2], [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35]],
)
def test_it_is_simpleitks_on_binary_labels(errors: list[float]) -> None:
    raters = binary(errors, seed=len(errors))
    peer = sitk.STAPLEImageFilter()
    peer.SetForegroundValue(1.0)
    expected = peer.Execute([sitk.GetImageFromArray(rater) for rater in raters.indices])
    found = run_staple(raters.patterns)
    posterior = volume(raters.patterns, found)[1]
    np.testing.assert_allclose(posterior, sitk.GetArrayFromImage(expected), atol=1e-4)
    np.testing.assert_allclose(found.sensitivity[:, 1], peer.GetSensitivity(), atol=1e-4)
    np.testing.assert_allclose(found.specificity[:, 1], peer.GetSpecificity(), atol=1e-4)
    assert found.converged


@given(rater_sets(largest=6, most=5))
@settings(max_examples=25)
def test_it_is_a_dense_estimation_over_voxels(raters: Raters) -> None:
    found = run_staple(raters.patterns, StapleOptions(max_iterations=4))
    pairs = naive_raters.confusable(raters.signed, raters.class_count)
    facts = (raters.class_count, found.iterations, pairs)
    expected, _ = naive_raters.staple(raters.signed, *facts)
    np.testing.assert_allclose(volume(raters.patterns, found), expected, atol=1e-6)


@pytest.mark.parametrize("ignore", [0.0, 0.2])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_it_converges_to_where_unrestricted_estimation_does(classes: int, ignore: float) -> None:
    raters = edited(blobs((6, 20, 20), classes), classes, [0.05, 0.1, 0.2, 0.4])
    raters.indices[np.random.default_rng(0).random(raters.indices.shape) < ignore] = IGNORED
    found = run_staple(raters.patterns)
    expected, confusion = naive_raters.staple(raters.signed, classes, found.iterations)
    np.testing.assert_allclose(volume(raters.patterns, found), expected, atol=1e-6)
    diagonal = confusion[:, range(classes), range(classes)]
    np.testing.assert_allclose(found.sensitivity, diagonal, atol=1e-9)


def test_classes_that_are_never_confused_end_at_0_anyway() -> None:
    raters = edited(blobs((6, 20, 20), 5), 5, [0.0] * 3)
    rng = np.random.default_rng(1)
    for rater in raters.indices:
        for low in (0, 2):  # confuses 0 with 1 and 2 with 3, and no others
            wrong = (rater // 2 == low // 2) & (rater < 4) & (rng.random(rater.shape) < 0.1)
            rater[wrong] ^= 1
    found = run_staple(raters.patterns)
    expected, confusion = naive_raters.staple(raters.signed, 5, found.iterations)
    np.testing.assert_allclose(volume(raters.patterns, found), expected, atol=1e-6)
    np.testing.assert_allclose(found.sensitivity, confusion[:, range(5), range(5)], atol=1e-6)


def test_specificity_is_of_all_other_truths_together() -> None:
    raters = edited(blobs((6, 20, 20), 4), 4, [0.1, 0.2, 0.3])
    found = run_staple(raters.patterns)
    posterior, confusion = naive_raters.staple(raters.signed, 4, found.iterations)
    mass = posterior.sum(axis=(1, 2, 3))
    for c in range(4):
        others = [t for t in range(4) if t != c]
        expected = 1 - confusion[:, c, others] @ mass[others] / mass[others].sum()
        np.testing.assert_allclose(found.specificity[:, c], expected, atol=1e-6)


@given(rater_sets(largest=6, most=6))
@settings(max_examples=25)
def test_posteriors_make_a_whole(raters: Raters) -> None:
    patterns = raters.patterns
    totals = run_staple(patterns, LOOSE).posterior.totals
    labelled = (patterns.labels >= 0).any(axis=1)
    np.testing.assert_array_equal(totals, np.where(labelled, FINEST, 0))


def test_beyond_2_to_the_24_voxels_nothing_saturates() -> None:
    """ITK counts in float32, where 2^24 + 1 is 2^24 (SimpleITK issue 2670)."""
    assert np.float32(2**24) + np.float32(1) == np.float32(2**24)
    small = binary([0.05, 0.1, 0.2]).patterns
    # The same case with every voxel there 2^18 + 1 times: 1.2e9 voxels.
    large = replace(small, counts=small.counts * (2**18 + 1))
    assert large.counts.max() > 2**24 < large.counts.sum()
    one, other = run_staple(small), run_staple(large)
    np.testing.assert_allclose(table(one, 2), table(other, 2), atol=2 / FINEST)
    np.testing.assert_allclose(one.sensitivity, other.sensitivity, rtol=1e-12)


def test_a_single_voxel_counts_among_2_to_the_26() -> None:
    labels = np.array([[0, 0, 0], [1, 1, 1], [-1, -1, -1], [1, 0, 0]], np.int32)
    counts = np.array([2**26, 2**26, 0, 1])
    patterns = RaterPatterns(np.zeros((1, 1, 1), np.uint8), labels, counts, 2)
    found = run_staple(patterns)
    # Rater 0 is wrong once: float32 could not tell its specificity from 1.
    assert found.specificity[0, 1] == pytest.approx(1 - 1 / (2**26 + 1), rel=1e-12)
    assert np.float32(found.specificity[0, 1]) == 1


def test_restricted_to_disagreement_the_rest_is_certain() -> None:
    raters = edited(blobs((6, 16, 16), 3), 3, [0.1, 0.2, 0.3])
    patterns = raters.patterns
    found = run_staple(patterns, StapleOptions(restrict="disagreement"))
    posterior = volume(patterns, found)
    disputed = patterns.disputed[patterns.indices]
    agreed = raters.indices[0][~disputed]
    np.testing.assert_array_equal(posterior[:, ~disputed], np.eye(3)[agreed].T)
    only = raters.signed[:, disputed][:, None, None, :]
    expected, _ = naive_raters.staple(only, 3, found.iterations)
    np.testing.assert_allclose(posterior[:, disputed], expected[:, 0, 0], atol=1e-6)


def test_without_disagreement_there_is_nothing_to_estimate() -> None:
    raters = edited(blobs((4, 8, 8), 3), 3, [0.0, 0.0])
    found = run_staple(raters.patterns, StapleOptions(restrict="disagreement"))
    assert (found.iterations, found.converged) == (0, True)
    fused = fuse_patterns(raters.patterns, found.posterior)
    np.testing.assert_array_equal(fused.indices, raters.indices[0])


def test_one_rater_is_right() -> None:
    raters = edited(blobs((4, 8, 8), 3), 3, [0.0])
    fused = fuse_patterns(raters.patterns, run_staple(raters.patterns).posterior)
    np.testing.assert_array_equal(fused.indices, raters.indices[0])


def test_ties_are_counted_and_go_to_the_lowest() -> None:
    labels = np.array([[0, 0], [1, 1], [-1, -1], [0, 1], [1, 0]], np.int32)
    counts = np.array([50, 50, 0, 7, 7])
    patterns = RaterPatterns(np.zeros((1, 1, 1), np.uint8), labels, counts, 2)
    found = run_staple(patterns)
    assert found.ties == 14
    winners, _ = found.posterior.largest()
    assert winners.tolist() == [0, 1, -1, 0, 0]


def test_the_number_of_steps_is_capped_and_told() -> None:
    found = run_staple(binary([0.2, 0.3, 0.4]).patterns, StapleOptions(max_iterations=2))
    assert (found.iterations, found.converged) == (2, False)
    assert found.change > found.tolerance
    assert found.to_json()["converged"] is False


def test_a_tighter_tolerance_takes_more_steps() -> None:
    patterns = binary([0.2, 0.3, 0.4]).patterns
    loose, tight = (run_staple(patterns, StapleOptions(tolerance=t)) for t in (1e-2, 1e-9))
    assert loose.iterations < tight.iterations
    assert tight.change <= 1e-9


@pytest.mark.parametrize("kept", [0, 2**26])
def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    patterns = edited(blobs((6, 16, 16), 4), 4, [0.1, 0.2, 0.3]).patterns
    expected = run_staple(patterns)
    monkeypatch.setattr(module, "PATTERNS_AT_ONCE", 3)
    monkeypatch.setattr(module, "CANDIDATE_BYTES", kept)
    found = run_staple(patterns)
    np.testing.assert_array_equal(found.posterior.parts, expected.posterior.parts)


def test_a_prior_can_be_given() -> None:
    patterns = binary([0.2, 0.3, 0.4]).patterns
    low, high = (run_staple(patterns, prior=np.array([1 - p, p])) for p in (0.1, 0.9))
    mass = [(table(s, 2)[:, 1] * patterns.counts).sum() for s in (low, high)]
    assert mass[0] < mass[1]


@pytest.mark.parametrize(
    ("prior", "message"),
    [
        (np.array([0.5, 0.4]), "sum 0.9"),
        (np.array([0.5, 0.3, 0.2]), r"shape \(3,\)"),
        (np.array([1.5, -0.5]), "prior of STAPLE"),
        (np.array([1.0, 0.0]), "0 for class 1"),
    ],
)
def test_priors_without_meaning_are_refused(prior: NDArray[np.float64], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        run_staple(binary([0.2, 0.3]).patterns, prior=prior)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restrict": "foreground"}, "restricted to 'foreground'"),
        ({"tolerance": 0.0}, "tolerance of 0"),
        ({"max_iterations": 0}, "0 iterations"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        StapleOptions(**options)  # type: ignore[arg-type]


def test_likelihoods_too_small_for_float64_are_no_trouble() -> None:
    # 140 raters, half of whom say 1 and half 0: each truth has (1e-5)^70 at first.
    columns = np.zeros((140, 1, 1, 3), np.uint8)
    columns[:70, 0, 0, 0] = 1
    columns[:, 0, 0, 1] = 1
    patterns = find_patterns(columns, 2, IGNORED)
    posterior = volume(patterns, run_staple(patterns))
    assert np.isfinite(posterior).all()
    np.testing.assert_allclose(posterior.sum(axis=0), 1)
