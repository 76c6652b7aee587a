"""Figures of calibration: golden values, a naive oracle, and what must hold of any counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.evaluation.metrics import calibration, scores, soundness
from softlab_cli.evaluation.metrics.cells import Cells, exact_sums
from softlab_cli.evaluation.metrics.gathering import Gatherer
from softlab_cli.evaluation.metrics.keeping import load_counts, save_counts
from softlab_cli.evaluation.metrics.published import PUBLISHED, svls
from softlab_cli.evaluation.metrics.regions import Reach, band, foreground, region_codes
from softlab_cli.evaluation.metrics.soundness import find_faults, most_probable, renormalised
from softlab_cli.evaluation.metrics.tallies import Counts, Tallies, merge
from softlab_cli.evaluation.metrics.temperature import (
    HIGHEST,
    LOWEST,
    Tempering,
    cross_fitted,
    tempering,
)
from tests import naive_calibration as naive

HERE = Path(__file__).parent
GOLDEN: dict[str, float] = json.loads((HERE / "golden_calibration.json").read_text())
ARRAYS = np.load(HERE / "golden_calibration.npz")
RANGES = Cells.ranges()


def softmax(logits: np.ndarray) -> np.ndarray:
    numbers = np.exp(logits.astype(np.float64) - logits.max(axis=0))
    return numbers / numbers.sum(axis=0)


def gathered(p: np.ndarray, labels: np.ndarray, codes: Any = None, **options: Any) -> Counts:
    gatherer = Gatherer(len(p), **options)
    gatherer.add(p, labels, codes)
    return gatherer.counts()


def golden_case(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "toy":
        return ARRAYS["toy_probabilities"].astype(np.float32), ARRAYS["toy_labels"]
    p, labels = softmax(ARRAYS["real_logits"]).astype(np.float32), ARRAYS["real_labels"]
    return (p, labels) if name == "real" else (p[:, 4:], labels[4:])


def golden_figures(name: str) -> dict[str, float]:
    p, labels = golden_case(name)
    regions = {"ref_foreground": foreground(labels), "band2": band(labels, Reach(voxels=2))}
    names, codes = region_codes(regions)
    counts = gathered(p, labels, codes, regions=names, cells=RANGES)
    found = {}
    for region in ("all", *names):
        part = counts.within(region)
        for bins in (10, 15):
            found[f"ece{bins}/{region}"] = calibration.ece(part, bins)
            found[f"mce{bins}/{region}"] = calibration.mce(part, bins)
            if region != "band2":
                found[f"ece{bins}/{region}/repository"] = calibration.ece(part, bins)
        found[f"nll/{region}"] = scores.nll(part)
        found[f"brier_sum/{region}"] = scores.brier(part)
        found[f"brier_classmean/{region}"] = scores.brier_by_class(part).mean()
    part = counts.within()
    found["tace10/standard_fg_weighted"] = calibration.tace(part, 10).mean
    found["tace10/repository"] = svls(counts)["tace"]
    found["ace10/all_classes_binmean"] = calibration.ace(part, 10).mean
    found["sce10/all_classes"] = calibration.sce(part, 10).mean
    found["sce10/fg"] = calibration.sce(part, 10, foreground=True).mean
    if name != "real_ignore_first4slices":
        rolled = np.roll(labels, 1, 2 if name == "toy" else 0)
        part = gathered(p, np.stack([labels, rolled]), raters=2, cells=RANGES).within()
        found["ece10/multirater_mean"] = calibration.ece_over_raters(part, 10)
        found["softdice_ratermean_fg"] = scores.soft_dice(part).mean
        found["softdice_l1_ratermean_fg"] = scores.semimetric_dice(part).mean
    return {f"{name}/{key}": value for key, value in found.items()}


@pytest.mark.parametrize("name", ["toy", "real", "real_ignore_first4slices"])
def test_golden_values_hold(name: str) -> None:
    found = golden_figures(name)
    assert set(found) == {key for key in GOLDEN if key.startswith(f"{name}/")}
    for key, value in found.items():
        assert value == pytest.approx(GOLDEN[key], abs=1e-7), key


def test_what_is_ignored_is_as_if_it_were_not_there() -> None:
    p, labels = golden_case("real")
    labels = labels.copy()
    labels[:4] = 255
    counts = gathered(p, labels, ignore_index=255, cells=RANGES)
    assert counts.ignored == labels[:4].size
    part = counts.within()
    assert calibration.ece(part, 10) == pytest.approx(
        GOLDEN["real_ignore_first4slices/ece10/all"], abs=1e-7
    )
    marks = band(labels, Reach(voxels=2), ignore_index=255)
    np.testing.assert_array_equal(marks[4:], band(labels[4:], Reach(voxels=2)))


def test_the_toy_of_the_methods_comes_out() -> None:
    """METHODS section 9, from its own recipe."""
    t, v = np.array([0] * 8 + [1] * 7 + [2] * 5, np.uint8), np.arange(20)
    logits = 2.0 * (t == np.arange(3)[:, None]) + np.stack([0.1 * v, -0.05 * v, 0.3 * (v % 3)])
    p = softmax(logits).astype(np.float32).reshape(3, 1, 4, 5)
    labels = t.reshape(1, 4, 5)
    names, codes = region_codes({"foreground": foreground(labels)})
    found = svls(gathered(p, labels, codes, regions=names, cells=RANGES))
    assert found["ece"] == pytest.approx(0.372918, abs=1e-6)
    assert found["ece_all"] == pytest.approx(0.293664, abs=1e-6)
    assert found["tace"] == pytest.approx(0.0189573, abs=1e-7)


# ---- against the formulas ----------------------------------------------------------------------


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, bool]:
    """(C, 1, 1, n) probabilities, (R, 1, 1, n) labels with ignored ones, and whether float32."""
    seed = draw(st.integers(0, 2**32 - 1))
    class_count, raters = draw(st.integers(2, 5)), draw(st.integers(1, 3))
    n, heat = draw(st.integers(1, 60)), draw(st.sampled_from([0.5, 3.0, 30.0]))
    rng = np.random.default_rng(seed)
    p = softmax(heat * rng.normal(size=(class_count, 1, 1, n)))
    labels = rng.integers(0, class_count, (raters, 1, 1, n)).astype(np.uint8)
    labels[rng.random(labels.shape) < 0.1] = 9
    single = draw(st.booleans())
    return p.astype(np.float32 if single else np.float16), labels, single


@given(cases())
@settings(max_examples=40)
def test_every_figure_is_that_of_its_formula(case: tuple[np.ndarray, np.ndarray, bool]) -> None:
    p, labels, single = case
    cells = Cells.ranges() if single else Cells.half()
    part = gathered(
        p, labels, raters=len(labels), cells=cells, ignore_index=9, ordered=True, temperatures=True
    ).within()
    q = p.astype(np.float64).reshape(len(p), -1)
    votes = (labels.reshape(len(labels), 1, -1) == np.arange(len(p))[:, None]).sum(axis=0)
    n = votes.sum(axis=0)
    assert part.votes == n.sum()
    if not part.votes:
        assert math.isnan(calibration.ece(part))
        assert math.isnan(scores.brier(part))
        return
    close = {"abs": 3e-7 if single else 1e-9}
    pairs = naive.top_gaps(q, votes, 10)
    assert calibration.ece(part, 10) == pytest.approx(naive.expected(pairs), **close)
    assert calibration.mce(part, 10) == pytest.approx(max(abs(g) for _, g in pairs), **close)
    signed = sum(m * g for m, g in pairs) / n.sum()
    assert calibration.overconfidence(part) == pytest.approx(signed, **close)
    by_class = [naive.expected(naive.gaps(q[c], votes[c], n, 15)) for c in range(len(q))]
    found = calibration.sce(part).by_class
    np.testing.assert_allclose(found[~part.absent], np.array(by_class)[~part.absent], atol=3e-7)
    assert scores.brier(part) == pytest.approx(naive.brier(q, votes), **close)
    assert scores.nll(part) == pytest.approx(naive.nll(q, votes), **close)
    assert scores.rps(part) == pytest.approx(naive.rps(q, votes), **close)
    assert scores.entropy(part) == pytest.approx(naive.entropy(q, n), abs=2e-6)
    assert scores.sharpness(part) == pytest.approx((q**2 * n).sum() / n.sum(), **close)
    np.testing.assert_allclose(
        scores.soft_dice(part).by_class[~part.absent],
        np.array(naive.soft_dice(q, votes))[~part.absent], atol=3e-7,
    )  # fmt: skip
    np.testing.assert_allclose(
        scores.semimetric_dice(part).by_class[~part.absent],
        np.array(naive.semimetric(q, votes))[~part.absent], atol=3e-7,
    )  # fmt: skip
    parts = scores.brier_parts(part)
    total = parts.reliability - parts.resolution + parts.uncertainty
    assert scores.brier(part) == pytest.approx(total + parts.within_bins - parts.disagreement)
    found_nll = tempering(part).nll(2.0)
    assert found_nll == pytest.approx(naive.tempered(q, votes, 2.0), abs=1e-3 if single else 1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("threshold", [-1.0, 1e-3])
def test_bins_of_equal_count_do_not_depend_on_the_order_of_equal_numbers(
    dtype: Any, threshold: float
) -> None:
    rng = np.random.default_rng(3)
    p = softmax(4 * rng.normal(size=(4, 1, 10, 20))).astype(np.float16).astype(dtype)
    labels = rng.integers(0, 4, (1, 10, 20)).astype(np.uint8)
    cells = Cells.half() if dtype is np.float16 else Cells.ranges()
    part = gathered(p, labels, cells=cells).within()
    found = calibration.equal_counts(part, 7, threshold)
    for c in range(4):
        values = p[c].astype(np.float64).ravel()
        above = values > threshold
        true = (labels == c).ravel()
        expected = naive.expected(naive.equal_count(values[above], true[above], 7))
        assert found[c].expected() == pytest.approx(expected, abs=1e-9)
        size = above.sum() // 7
        assert found[c].count == (*[size] * 6, above.sum() - 6 * size)


def test_soft_references_are_shares_of_one_vote() -> None:
    rng = np.random.default_rng(5)
    p = softmax(rng.normal(size=(3, 2, 4, 5))).astype(np.float16)
    labels = rng.integers(0, 3, (4, 2, 4, 5)).astype(np.uint8)
    soft = (labels[:, None] == np.arange(3)[:, None, None, None]).mean(axis=0).astype(np.float16)
    by_votes = gathered(p, labels, raters=4, ordered=True, temperatures=True).within()
    by_soft = gathered(p, soft, soft=True, ordered=True, temperatures=True).within()
    for figure in (
        calibration.ece, calibration.mce, calibration.overconfidence, scores.brier, scores.nll,
        scores.rps, scores.entropy, scores.sharpness,
    ):  # fmt: skip
        assert figure(by_soft) == pytest.approx(figure(by_votes), abs=1e-9), figure.__name__
    for means in (calibration.sce, scores.soft_dice, scores.semimetric_dice):
        assert means(by_soft).mean == pytest.approx(means(by_votes).mean, abs=1e-9)
    assert tempering(by_soft).nll(1.5) == pytest.approx(tempering(by_votes).nll(1.5), abs=1e-6)
    single = gathered(p.astype(np.float32), soft, soft=True, cells=RANGES).within()
    assert scores.brier(single) == pytest.approx(scores.brier(by_soft), abs=1e-8)
    assert scores.nll(single) == pytest.approx(scores.nll(by_soft), abs=1e-8)


def test_dice_losses_have_their_golden_values() -> None:
    """METHODS section 8, x = (.9, .2), y = (.7, .1); float16 has these to three digits."""
    x = np.array([[0.1, 0.8], [0.9, 0.2]], np.float32).reshape(2, 1, 1, 2)
    y = np.array([[0.3, 0.9], [0.7, 0.1]], np.float32).reshape(2, 1, 1, 2)
    part = gathered(x, y, soft=True, cells=RANGES).within()
    assert 1 - scores.semimetric_dice(part).mean == pytest.approx(0.157895, abs=1e-6)
    assert 1 - scores.soft_dice(part).mean == pytest.approx(0.315789, abs=1e-6)


# ---- what must hold ----------------------------------------------------------------------------


def test_a_predictor_that_is_calibrated_by_construction_has_no_error() -> None:
    """The raters' mean, pooled over them; against one of them on reference > 0 it is biased."""
    rng = np.random.default_rng(1)
    labels = (rng.random((4, 6, 8, 10)) < rng.random((6, 8, 10))).astype(np.uint8)
    mean = labels.mean(axis=0)
    p = np.stack([1 - mean, mean]).astype(np.float16)
    pooled = gathered(p, labels, raters=4).within()
    assert calibration.ece(pooled) == 0.0
    assert calibration.mce(pooled) == 0.0
    assert calibration.sce(pooled).mean == 0.0
    assert calibration.overconfidence(pooled) == 0.0
    assert scores.brier(pooled) == 0.0
    assert scores.brier_parts(pooled).reliability == 0.0
    assert scores.semimetric_dice(pooled).mean == 1.0
    assert calibration.ece_over_raters(pooled) > 0
    assert tempering(gathered(p, labels, raters=4, temperatures=True).within()).best() == (
        pytest.approx(1.0, abs=1e-4)
    )
    outcomes = []
    for rater in labels:
        names, codes = region_codes({"foreground": foreground(rater)})
        outcomes.append(gathered(p, rater, codes, regions=names))
    # Each of them equally often the outcome: no error over all voxels, and one where they are.
    assert calibration.ece(merge(outcomes).within()) == 0.0
    assert calibration.ece(merge(outcomes).within("foreground")) > 0.05


def same(one: Tallies, other: Tallies) -> None:
    for name in ("count", "positive", "top_count", "top_correct", "predicted"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.spread.tolist() == other.spread.tolist()
    assert one.absolute.tolist() == other.absolute.tolist()
    assert one.ranked == other.ranked
    assert one.tempered is not None
    assert other.tempered is not None
    assert one.tempered.tolist() == other.tempered.tolist()
    if one.single is not None and other.single is not None:
        np.testing.assert_array_equal(one.single.residual, other.single.residual)
        assert one.single.squares.tolist() == other.single.squares.tolist()
        assert one.single.surprise == other.single.surprise


@pytest.mark.parametrize("raters", [1, 3])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_nothing_depends_on_blocks_threads_or_the_order_of_merging(
    dtype: Any, raters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(2)
    p = softmax(5 * rng.normal(size=(5, 6, 7, 9))).astype(dtype)
    labels = rng.integers(0, 5, (raters, 6, 7, 9)).astype(np.uint8)
    labels[-1, 2] = 255
    names, codes = region_codes({"a": rng.random((6, 7, 9)) < 0.4, "b": labels[0] > 2})
    options: dict[str, Any] = {
        "raters": raters, "regions": names, "ignore_index": 255, "ordered": raters > 1,
        "temperatures": True,
        "cells": Cells.half() if dtype is np.float16 else Cells.ranges(),
    }  # fmt: skip
    whole = gathered(p, labels, codes, **options)
    monkeypatch.setattr("softlab_cli.evaluation.metrics.gathering.TOGETHER", 100)
    monkeypatch.setattr("softlab_cli.evaluation.metrics.gathering.VOXELS_IN_PLACE", 20)
    gatherer = Gatherer(5, threads=3, **options)
    for z in (4, 0, 2):
        gatherer.add(p[:, z : z + 2], labels[:, z : z + 2], codes[z : z + 2])
    parts = [gathered(p[:, z : z + 1], labels[:, z : z + 1], codes[z : z + 1], **options)
             for z in range(6)]  # fmt: skip
    for other in (gatherer.counts(), merge(parts), merge(reversed(parts)),
                  reduce(lambda a, b: b + a, parts)):  # fmt: skip
        assert (other.voxels, other.ignored) == (whole.voxels, whole.ignored)
        for region in ("all", *names):
            same(whole.within(region), other.within(region))


@pytest.mark.parametrize("voxels", [1, 2, 40, 41])
@pytest.mark.parametrize("raters", [1, 3])
@pytest.mark.parametrize("code", [0, 2])
def test_voxels_that_are_all_alike_are_counted_as_beside_others(
    voxels: int, raters: int, code: int
) -> None:
    rng = np.random.default_rng(voxels)
    p = softmax(rng.normal(0, 2, (4, 1, 1, voxels + 1))).astype(np.float16)
    labels = rng.integers(0, 4, (raters, 1, 1, voxels + 1)).astype(np.uint8)
    codes = np.full((1, 1, voxels + 1), code, np.uint8)
    codes[..., -1] = 1
    options: dict[str, Any] = {"regions": ("one", "other"), "raters": raters, "temperatures": True}
    beside = gathered(p, labels, codes, **options)
    apart = Gatherer(4, **options)
    for part in (slice(voxels), slice(voxels, None)):
        apart.add(p[..., part], labels[..., part], codes[..., part])
    for region in ("all", "one", "other"):
        same(beside.within(region), apart.counts().within(region))


@pytest.mark.parametrize("voxels", [2**24 + 1, 2**33 + 5])
def test_counts_are_right_beyond_what_float32_and_int32_hold(voxels: int) -> None:
    """A bin with as many voxels: a share of p = .025 is so, p is .05."""
    p = np.full((2, 1, 1, 2), 0.05, np.float16)
    p[0] = np.float16(1) - p[1]
    labels = np.array([[[0, 1]]], np.uint8)
    part = gathered(p, labels).within()
    true = voxels // 40
    times = np.array([voxels - true, true])
    part = replace(
        part,
        count=part.count // 2 * voxels,
        positive=part.positive * times[:, np.newaxis],
        top_count=part.top_count // 2 * voxels,
        top_correct=part.top_correct * times[0],
    )
    part = part + part
    assert part.votes == 2 * voxels
    chance = Fraction(float(np.float16(0.05)))
    confidence = Fraction(float(p[0, 0, 0, 0]))
    gap = abs(confidence - Fraction(voxels - true, voxels))
    assert calibration.ece(part) == pytest.approx(float(gap), rel=1e-15)
    by_class = calibration.class_reliability(part)[1]
    assert by_class.votes == 2 * voxels
    expected = float(abs(chance - Fraction(true, voxels)))
    assert by_class.expected() == pytest.approx(expected, rel=1e-15)
    rest = Fraction(voxels - true)
    parts = [rest * (1 - confidence) ** 2 + true * confidence**2,
                rest * chance**2 + true * (1 - chance) ** 2]  # fmt: skip
    assert scores.brier(part) == float(sum(parts) / voxels)
    assert scores.nll(part) == pytest.approx(
        -(float(rest) * math.log(confidence) + true * math.log(chance)) / voxels, abs=1e-12
    )


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=5), st.integers(1, 2))
def test_sums_have_no_limit(counts: list[int], power: int) -> None:
    factors = [2**32 - 3, 1, 0, 2**32, 65536][: len(counts)]
    found = exact_sums(np.array([counts]), np.array(factors), power)
    assert found == [sum(n * f**power for n, f in zip(counts, factors, strict=True))]


@pytest.mark.parametrize("bits", [10, 14])
def test_cells_of_float32_are_found_and_cut_at_the_ends_of_bins(bits: int) -> None:
    cells = Cells.ranges((10, 15), bits)
    rng = np.random.default_rng(0)
    numbers = np.concatenate([rng.random(2000), rng.random(2000) ** 12, cells.upper, [0, 1]])
    values = numbers.astype(np.float32)
    expected = np.searchsorted(cells.upper, values.astype(np.float64))
    np.testing.assert_array_equal(cells.find(values), expected)
    found = cells.bins(15)[cells.find(values)]
    np.testing.assert_array_equal(found, naive.bin_of(values.astype(np.float64), 15))


def test_float16_needs_no_ranges() -> None:
    every = np.arange(0x3C01, dtype=np.uint16).view(np.float16)
    np.testing.assert_array_equal(Cells.half().upper, every)
    for bins in (7, 10, 16):
        np.testing.assert_array_equal(
            Cells.half().bins(bins), naive.bin_of(every.astype(np.float64), bins)
        )
    lower = Cells.half().bins(10, closed="lower")
    assert (lower[-1], lower[0x3800], lower[0]) == (10, 5, 0)


# ---- temperature -------------------------------------------------------------------------------


def at_temperature(temperature: float, seed: int, classes: int = 4) -> tuple[Any, Any]:
    """A predictor that would be calibrated at that temperature."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.normal(size=(classes, 20, 20, 20))
    truth = softmax(logits)
    labels = (truth.cumsum(axis=0) < rng.random((20, 20, 20))).sum(axis=0).astype(np.uint8)
    return softmax(logits * temperature).astype(np.float16), np.minimum(labels, classes - 1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_best_temperature_is_found(temperature: float) -> None:
    p, labels = at_temperature(temperature, 7)
    part = gathered(p, labels, temperatures=True).within()
    found = tempering(part)
    q = p.astype(np.float64).reshape(4, -1)
    votes = (labels.reshape(1, -1) == np.arange(4)[:, None]).astype(int)
    best = found.best()
    assert best == pytest.approx(temperature, rel=0.06)
    assert found.error < 1e-6
    for probe in (best, 0.3, 6.0):
        assert found.nll(probe) == pytest.approx(naive.tempered(q, votes, probe), abs=1e-6)
    least = min(naive.tempered(q, votes, best * step) for step in (0.999, 1.0, 1.001))
    assert naive.tempered(q, votes, best) == least


def test_the_worst_predictor_for_temperatures_stays_within_what_is_said() -> None:
    p = np.full((117, 1, 1, 2), 0.1 / 116, np.float16)
    p[0] = 0.9
    labels = np.array([[[0, 5]]], np.uint8)
    found = tempering(gathered(p, labels, temperatures=True).within())
    votes = (labels.reshape(1, -1) == np.arange(117)[:, None]).astype(int)
    q = p.astype(np.float64).reshape(117, -1)
    probes = np.geomspace(LOWEST, HIGHEST, 60)
    assert max(abs(found.nll(t) - naive.tempered(q, votes, t)) for t in probes) < 2e-4


def test_temperatures_are_judged_on_other_cases_than_they_were_fitted_on() -> None:
    kinds = {"a": 0.5, "b": 2.0, "c": 0.5, "d": 2.0}
    parts = {
        name: tempering(gathered(*at_temperature(t, i), temperatures=True).within())
        for i, (name, t) in enumerate(kinds.items())
    }
    found = cross_fitted(dict(reversed(parts.items())))
    assert found.temperature["a"] == found.temperature["c"] == (parts["b"] + parts["d"]).best()
    assert found.nll["b"] == parts["b"].nll((parts["a"] + parts["c"]).best())
    mean = math.fsum(found.nll.values()) / 4
    assert found.pooled_nll == pytest.approx(mean)
    assert cross_fitted(parts) == found
    grouped = cross_fitted(parts, {"a": "p", "b": "p", "c": "q", "d": "q"})
    assert grouped.temperature["a"] == grouped.temperature["b"] == (parts["c"] + parts["d"]).best()
    with pytest.raises(UsageError, match="cannot be fitted on others"):
        cross_fitted({"a": parts["a"]})


def test_what_was_not_gathered_is_refused_by_name() -> None:
    part = gathered(*at_temperature(1.0, 0)).within()
    with pytest.raises(UsageError, match="temperatures were not gathered"):
        tempering(part)
    with pytest.raises(UsageError, match="ranked probability scores were not gathered"):
        scores.rps(part)
    with pytest.raises(UsageError, match="'band' is no region"):
        gathered(*at_temperature(1.0, 0)).within("band")


# ---- edges -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        (np.nan, "1 voxels with NaN"),
        (np.inf, "1 voxels with infinite"),
        (-0.5, "1 voxels with negative"),
        (1.5, "1 voxels with probabilities above 1"),
    ],
)
def test_what_is_no_probability_is_refused_by_name(dtype: Any, value: float, words: str) -> None:
    p = np.full((2, 1, 2, 3), 0.5, dtype)
    p[1, 0, 1, 2] = value
    with pytest.raises(InputError, match=words):
        gathered(p, np.zeros((1, 2, 3), np.uint8), cells=Cells.ranges() if dtype is np.float32
                 else None)  # fmt: skip
    assert find_faults(p).unusable == 1


def test_soft_references_are_looked_at() -> None:
    p = np.full((2, 1, 1, 2), 0.5, np.float16)
    for value in (np.nan, -0.25, 1.5):
        soft = p.copy()
        soft[1, 0, 0, 1] = value
        with pytest.raises(InputError, match="reference has 1 values"):
            gathered(p, soft, soft=True)


def test_minus_zero_is_zero() -> None:
    p = np.array([[1.0, 0.5], [-0.0, 0.5]], np.float16).reshape(2, 1, 1, 2)
    labels = np.array([[[0, 1]]], np.uint8)
    assert scores.brier(gathered(p, labels).within()) == 0.25


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("zero", [0.0, -0.0])
def test_the_most_probable_class_is_the_first_of_several(dtype: Any, zero: float) -> None:
    values = np.random.default_rng(0).integers(0, 4, (5, 3, 4, 6)).astype(dtype) / 16
    values[values == 0] = zero
    top, highest = most_probable(values)
    np.testing.assert_array_equal(top, np.abs(values).argmax(axis=0))
    np.testing.assert_array_equal(highest, values.max(axis=0))
    assert (np.sort(values, axis=0)[-2] == highest).any()


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_sums_that_are_not_1_are_counted_and_made_so_on_request(dtype: Any) -> None:
    p = np.full((2, 1, 2, 3), 0.5, dtype)
    p[1, 0, 0, :2] = 0.25
    cells = Cells.half() if dtype is np.float16 else Cells.ranges()
    faults = gathered(p, np.zeros((1, 2, 3), np.uint8), cells=cells).faults
    assert (faults.wrong_sum, faults.largest_gap, faults.unusable) == (2, 0.25, 0)
    assert faults == find_faults(p)
    assert "2 voxels with a sum that is not 1 (off by 0.25 at most)" in str(faults)
    again = renormalised(p)
    assert find_faults(again).wrong_sum == 0
    assert again[0, 0, 0, 0] == np.float32(2 / 3)
    with pytest.raises(InputError, match="cannot be divided"):
        renormalised(np.zeros((2, 1, 1, 1)))


def test_a_class_index_that_the_prediction_does_not_have_is_refused() -> None:
    p = np.full((2, 1, 1, 1), 0.5, np.float16)
    with pytest.raises(InputError, match="class index 2, and the prediction has 2 classes"):
        gathered(p, np.full((1, 1, 1), 2, np.uint8))


def test_nothing_labelled_gives_no_figure() -> None:
    p = np.full((2, 1, 2, 2), 0.5, np.float16)
    counts = gathered(p, np.full((1, 2, 2), 255, np.uint8), ignore_index=255, temperatures=True)
    part = counts.within()
    assert (counts.voxels, counts.ignored, part.votes) == (0, 4, 0)
    for figure in (calibration.ece, calibration.mce, calibration.ece_over_raters, scores.brier,
                   scores.nll, scores.entropy, scores.sharpness, scores.confidence):  # fmt: skip
        assert math.isnan(figure(part)), figure.__name__
    assert math.isnan(tempering(part).best())
    assert math.isnan(scores.brier_parts(part).uncertainty)
    for means in (calibration.sce, calibration.ace, calibration.tace, scores.soft_dice):
        assert math.isnan(means(part).mean)
    for name in PUBLISHED:
        assert all(math.isnan(value) for value in PUBLISHED[name](counts).values())


def test_an_empty_region_is_no_number_and_no_error() -> None:
    p, labels = golden_case("real")
    names, codes = region_codes({"nowhere": np.zeros(labels.shape, bool)})
    counts = gathered(p, labels, codes, regions=names, cells=RANGES)
    assert counts.within("nowhere").votes == 0
    assert math.isnan(calibration.ece(counts.within("nowhere")))


def test_absent_classes_are_left_out_of_means_and_counted() -> None:
    p, labels = golden_case("real")
    more = np.concatenate([p, np.zeros((2, *labels.shape), np.float32)])
    found = calibration.sce(gathered(more, labels, cells=RANGES).within(), 10)
    assert found.absent == 2
    assert np.isnan(found.by_class[3:]).all()
    assert found.mean == pytest.approx(GOLDEN["real/sce10/all_classes"], abs=1e-7)


def test_two_dimensions_are_enough() -> None:
    p, labels = golden_case("real")
    flat = gathered(p[:, 3], labels[3], cells=RANGES).within()
    deep = gathered(p[:, 3:4], labels[3:4], cells=RANGES).within()
    assert scores.brier(flat) == scores.brier(deep)


def test_cases_of_different_numbers_of_raters_are_pooled() -> None:
    p, labels = at_temperature(1.0, 4)
    two = gathered(p, np.stack([labels, labels[::-1]]), raters=2)
    one = gathered(p, labels)
    part = merge([one, two]).within()
    assert part.rater_count == 2
    assert part.votes == 3 * labels.size
    assert part.top_count.sum(axis=1).tolist() == [2 * labels.size, labels.size]


def test_cases_that_were_counted_differently_are_not_pooled() -> None:
    p, labels = at_temperature(1.0, 4)
    one = gathered(p, labels)
    for other in (
        gathered(p, labels, cells=Cells.ranges()),
        gathered(p, labels, temperatures=True),
        gathered(p, labels, regions=("band",)),
    ):
        with pytest.raises(UsageError, match="pooled"):
            one + other
    with pytest.raises(UsageError, match="no case to pool"):
        merge([])


@pytest.mark.parametrize(
    "options",
    [
        {"class_count": 1},
        {"raters": 0},
        {"raters": 2, "soft": True},
        {"regions": tuple("abcdef")},
        {"regions": ("all",)},
    ],
)
def test_what_cannot_be_counted_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="cannot be"):
        Gatherer(**({"class_count": 3} | options))


def test_shapes_and_types_that_do_not_fit_are_refused() -> None:
    gatherer = Gatherer(2)
    p, labels = np.full((2, 1, 1, 3), 0.5, np.float16), np.zeros((1, 1, 3), np.uint8)
    with pytest.raises(UsageError, match="float32 cannot be counted"):
        gatherer.add(p.astype(np.float32), labels)
    with pytest.raises(UsageError, match="do not fit 2 classes"):
        gatherer.add(p, labels[:, :, :2])
    with pytest.raises(UsageError, match="must be unsigned"):
        gatherer.add(p, labels.astype(np.int64))
    with pytest.raises(UsageError, match="bits for more than 0 regions"):
        gatherer.add(p, labels, np.ones((1, 1, 3), np.uint8))
    with pytest.raises(UsageError, match="20 bins were not asked for"):
        Cells.ranges((10,)).bins(20)
    with pytest.raises(UsageError, match="too near"):
        Cells.ranges((997, 1000))


def test_tempering_adds_up() -> None:
    one = Tempering(2, (1, 2), -3)
    assert one + one == Tempering(4, (2, 4), -6)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_counts_come_back_from_their_file(dtype: Any, tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    p = softmax(rng.normal(size=(3, 4, 5, 6))).astype(dtype)
    labels = rng.integers(0, 3, (3, 4, 5, 6)).astype(np.uint8)
    names, codes = region_codes({"a": rng.random((4, 5, 6)) < 0.5})
    cells = Cells.half() if dtype is np.float16 else Cells.ranges()
    counts = gathered(
        p, labels, codes, raters=3, regions=names, cells=cells, temperatures=True, ordered=True
    )
    path = tmp_path / "case.npz"
    with path.open("wb") as file:
        save_counts(file, counts)
    assert path.stat().st_size < 60_000
    again = load_counts(path)
    assert (again.voxels, again.faults) == (counts.voxels, counts.faults)
    for region in ("all", "a"):
        same(counts.within(region), again.within(region))
    same((counts + again).within(), (counts + counts).within())
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="cannot be read"):
        load_counts(path)


def test_sums_of_a_row_have_no_limit_either() -> None:
    assert exact_sums(np.full((1, 8), 1 << 37), np.full(8, 1 << 24)) == [1 << 64]
    assert exact_sums(np.zeros((2, 0), np.int64), np.zeros(0, np.int64)) == [0, 0]


@pytest.mark.parametrize("bits", [0, 40])
def test_sums_in_bins_are_exact_however_many(bits: int) -> None:
    count = np.array([3, 1, 5, 2, 7, 1]) << bits
    steps = np.array([0, 1 << 10, 1 << 20, 1 << 23, 1 << 24, 1 << 24])
    edges = (0, 2, 2, 6)  # one of them is empty
    expected = [
        sum(int(n) * int(s) for n, s in zip(count[a:b], steps[a:b], strict=True))
        for a, b in pairwise(edges)
    ]
    assert calibration._in_bins(count, np.array(edges), steps) == expected


def test_ranks_inside_of_cells_have_no_limit() -> None:
    many = 1 << 40
    found = calibration._between(
        np.array([many, many]), np.array([0, many, 2 * many]), [0, 3 * many // 2, 2 * many],
        [0, 1, 1], 1,
    )  # fmt: skip
    assert found == (Fraction(3 * many // 2), Fraction(many // 2))


def test_sums_of_many_classes_have_room() -> None:
    ones = np.ones((300, 3), np.float16)
    assert soundness.survey(ones, 1.0)[2].largest_gap == 299.0
    strided = np.ascontiguousarray(ones[:4].T).T.reshape(4, 1, 1, 3)
    assert most_probable(strided)[0].tolist() == [[[0, 0, 0]]]
