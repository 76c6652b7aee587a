"""Fusion of raters by each rule, with and without smoothing."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError
from softlab_cli.core.softblock import SoftSums
from softlab_cli.fusion.majority import dice_weights
from softlab_cli.fusion.options import StapleOptions
from softlab_cli.fusion.shares import FINEST
from softlab_cli.fusion.staple import run_staple
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.raters.base import FusedLabels
from softlab_cli.methods.raters.fuse import FUSION_RULES, Fuse
from softlab_cli.methods.raters.msvls import MSVLS
from softlab_cli.methods.svls.svls import SVLS
from tests import naive, naive_raters
from tests.blockwise import check_sums, half_steps, soften
from tests.conftest import blobs
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED, blocks

UINT8 = np.dtype(np.uint8)
CENTRE = naive.svls_kernel(3, 1.0, False)

rules = st.sampled_from(FUSION_RULES)


def fuse(method: Fuse, raters: Raters) -> FusedLabels:
    return method.fuse(raters.patterns, raters.names, 0)


def run(
    method: Fuse, raters: Raters, block: Shape = (64, 64, 64)
) -> tuple[NDArray[np.float16], SoftSums]:
    labels = fuse(method, raters)
    found = soften(labels, labels.fused.indices, raters.class_count, block)  # type: ignore[arg-type]
    return found[0], found[1]


def hard_label(method: Fuse, raters: Raters) -> NDArray[Any]:
    return fuse(method, raters).fused.hard_label(UINT8, IGNORED)


def posterior(raters: Raters) -> NDArray[np.float64]:
    found, patterns = run_staple(raters.patterns).posterior, raters.patterns
    table = np.zeros((len(found), raters.class_count))
    table[found.rows, found.classes] = found.parts / FINEST
    return np.moveaxis(table[patterns.indices], -1, 0)


@pytest.fixture(scope="module")
def raters() -> Raters:
    found = edited(blobs((6, 20, 70), 4), 4, [0.05, 0.1, 0.2, 0.4])
    found.indices[2, 3] = IGNORED
    found.indices[:, 5, 5:9] = IGNORED
    return found


def test_mean_is_the_share_of_raters(raters: Raters) -> None:
    soft, _ = run(Fuse("mean"), raters)
    expected = naive_raters.share(raters.signed, 4).astype(np.float16)
    np.testing.assert_array_equal(soft, expected)


def test_smoothed_mean_is_msvls(raters: Raters) -> None:
    one, sums = run(Fuse("mean", smooth=True), raters)
    labels = MSVLS().fuse(raters.patterns, raters.names, 0)
    other, other_sums, _ = soften(labels, labels.fused.indices, 4)  # type: ignore[arg-type]
    np.testing.assert_array_equal(one, other)
    assert sums.entropy == other_sums.entropy


def test_majority_is_one_hot_of_the_hard_label(raters: Raters) -> None:
    method = Fuse("majority")
    hard = hard_label(method, raters)
    soft, sums = run(method, raters)
    np.testing.assert_array_equal(soft, soften(OneHot(), hard, 4)[0])
    assert sums.ties == 0
    assert fuse(method, raters).facts["ties"] == naive_raters.majority(raters.signed, 4)[1]


@pytest.mark.parametrize("svls", [SVLS(), SVLS(kernel_size=5), SVLS(slicewise=True)])
def test_smoothed_majority_is_svls_of_the_hard_label(raters: Raters, svls: SVLS) -> None:
    method = Fuse("majority", smooth=True, svls=svls)
    soft, _ = run(method, raters)
    np.testing.assert_array_equal(soft, soften(svls, hard_label(method, raters), 4)[0])


def test_dice_weighted_is_the_weighted_mean(raters: Raters) -> None:
    method = Fuse("dice-weighted")
    weights = dice_weights(raters.patterns, 0)
    expected = naive_raters.share(raters.signed, 4, np.array(weights))
    soft, _ = run(method, raters)
    assert half_steps(soft, expected.astype(np.float16)) <= 1
    told = fuse(method, raters).facts["rater_weights"]
    assert list(told.values()) == pytest.approx(weights)
    smooth, _ = run(Fuse("dice-weighted", smooth=True), raters)
    expected = naive_raters.smooth(expected, CENTRE)
    assert half_steps(smooth, expected.astype(np.float16)) <= 1


def test_a_rater_with_nothing_of_the_majority_vanishes_and_is_said() -> None:
    indices = np.full((3, 1, 2, 9), IGNORED, np.uint8)
    indices[:2] = 0
    indices[0, ..., :4] = indices[1, ..., :5] = 1
    indices[2, :, 0] = 0
    indices[2, :, 0, 6:8] = 1  # where no other rater has foreground
    indices[:2, ..., 8] = IGNORED
    raters, two = Raters(indices, 2), Raters(indices[:2], 2)
    found = fuse(Fuse("dice-weighted"), raters)
    assert found.facts["rater_weights"]["r2"] == 0
    (warning,) = found.warnings
    assert warning.startswith("rater r2 has a Dice of 0 with the majority, so its weight is 0")
    np.testing.assert_array_equal(
        run(Fuse("dice-weighted"), raters)[0], run(Fuse("dice-weighted"), two)[0]
    )
    assert not run(Fuse("dice-weighted"), raters)[0][:, 0, 0, 8].any()
    assert fuse(Fuse("dice-weighted"), two).warnings == ()


def test_staple_is_its_posterior(raters: Raters) -> None:
    soft, sums = run(Fuse("staple"), raters)
    expected = posterior(raters)
    np.testing.assert_array_equal(soft, expected.astype(np.float16))
    check_sums(sums, soft, hard_label(Fuse("staple"), raters))
    smooth, _ = run(Fuse("staple", smooth=True), raters)
    smoothed = naive_raters.smooth(expected, CENTRE).astype(np.float16)
    assert half_steps(smooth, smoothed) <= 1


def test_the_hard_label_of_staple_is_its_most_probable_class(raters: Raters) -> None:
    expected = posterior(raters)
    labelled = (raters.indices != IGNORED).any(axis=0)
    hard = hard_label(Fuse("staple"), raters)
    np.testing.assert_array_equal(hard[labelled], expected.argmax(axis=0)[labelled])
    assert (hard[~labelled] == IGNORED).all()


def test_staple_says_how_it_went(raters: Raters) -> None:
    options = StapleOptions(restrict="disagreement", max_iterations=3)
    facts = fuse(Fuse("staple", staple=options), raters).facts
    assert facts["staple"]["iterations"] == 3
    assert facts["staple"]["converged"] is False
    json.dumps(facts, allow_nan=False)


@given(rater_sets(largest=8, most=5), rules, blocks(), st.booleans(), st.sampled_from([3, 5]))
def test_sums_are_those_of_the_values(
    raters: Raters, rule: str, block: Shape, smooth: bool, size: int
) -> None:
    method = Fuse(rule, smooth, SVLS(kernel_size=size), staple=StapleOptions(tolerance=1e-3))
    soft, sums = run(method, raters, block)
    check_sums(sums, soft, hard_label(method, raters))
    labelled = (raters.indices != IGNORED).any(axis=0)
    total = soft.astype(float).sum(axis=0)
    np.testing.assert_allclose(total[labelled], 1, atol=2**-10)
    assert not total[~labelled].any()


@pytest.mark.parametrize("smooth", [False, True])
def test_more_classes_than_are_in_memory_at_once(smooth: bool) -> None:
    truth = np.random.default_rng(0).integers(0, 150, (6, 6, 12)).astype(np.uint8)
    many = edited(truth, 150, [0.1, 0.2, 0.3])
    soft, sums = run(Fuse("mean", smooth), many)
    check_sums(sums, soft, hard_label(Fuse("mean", smooth), many))


@given(rater_sets(largest=8, most=5), rules, blocks(), blocks(), st.booleans())
def test_blocks_do_not_matter(
    raters: Raters, rule: str, block: Shape, other: Shape, smooth: bool
) -> None:
    method = Fuse(rule, smooth, staple=StapleOptions(tolerance=1e-3))
    one, sums = run(method, raters, block)
    two, other_sums = run(method, raters, other)
    np.testing.assert_array_equal(one, two)
    assert (sums.entropy, sums.ties) == (other_sums.entropy, other_sums.ties)


@pytest.mark.parametrize("rule", FUSION_RULES)
def test_raters_who_agree_are_one_hot(rule: str) -> None:
    same = edited(blobs((4, 9, 20), 3), 3, [0.0] * 3)
    soft, _ = run(Fuse(rule), same)
    np.testing.assert_array_equal(soft, soften(OneHot(), same.indices[0], 3)[0])


def test_parameters_name_all_that_matters() -> None:
    assert Fuse().parameters() == {"method": "mean", "smooth": False, "rater_weights": None}
    smooth = Fuse("majority", smooth=True, svls=SVLS(kernel_size=5)).parameters()
    assert smooth == {"method": "majority", "smooth": True, **SVLS(kernel_size=5).parameters()}
    staple = Fuse("staple", staple=StapleOptions(max_iterations=7)).parameters()
    assert staple["max_iterations"] == 7
    json.dumps([Fuse(rule).parameters() for rule in FUSION_RULES])


def test_a_method_travels_to_a_worker() -> None:
    method = Fuse("staple", smooth=True, svls=SVLS(sigma_mm=2.0))
    assert pickle.loads(pickle.dumps(method)) == method


def test_without_smoothing_there_is_no_halo() -> None:
    assert Fuse().halo((1, 1, 1)) == (0, 0, 0)
    assert Fuse(smooth=True, svls=SVLS(kernel_size=5)).halo((1, 1, 1)) == (2, 2, 2)


def test_an_unknown_rule_is_answered_with_those_there_are() -> None:
    with pytest.raises(UsageError, match="mean, majority, staple, dice-weighted"):
        Fuse("median")


def test_weights_are_for_the_mean_only() -> None:
    with pytest.raises(UsageError, match="staple takes no rater weights"):
        Fuse("staple", rater_weights={"a": 1})
