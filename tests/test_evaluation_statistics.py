"""Intervals over cases and patients, paired differences, corrections."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wilcoxon

from softlab_cli.evaluation.statistics import Difference, Resampling, holm


def resampling(cases: int, patients: int | None = None) -> Resampling:
    return Resampling([f"p{i % (patients or cases)}" for i in range(cases)], draws=4000)


def test_an_interval_is_as_wide_as_the_standard_error_says() -> None:
    values = np.random.default_rng(0).normal(3, 2, 200)
    found = resampling(200).mean(values)
    error = 1.96 * values.std() / np.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=0.04)
    assert found.high == pytest.approx(values.mean() + error, abs=0.04)


def test_cases_of_one_patient_count_as_one_where_they_are_the_same() -> None:
    values = np.tile(np.random.default_rng(0).normal(0, 1, 20), 10)
    of_patients, of_cases = (resampling(200, n).mean(values) for n in (20, 200))
    width = of_patients.high - of_patients.low
    assert width == pytest.approx((of_cases.high - of_cases.low) * np.sqrt(10), rel=0.15)


def test_what_is_not_finite_is_left_out_and_counted() -> None:
    found = resampling(4).mean([1, np.nan, 3, np.inf])
    assert (found.value, found.cases) == (2, 2)
    nothing = resampling(2).mean([np.nan, np.nan])
    assert nothing.cases == 0
    assert np.isnan(nothing.value)


def test_one_patient_has_no_interval() -> None:
    found = resampling(5, 1).mean([1, 2, 3, 4, 5])
    assert found.value == 3
    assert np.isnan([found.low, found.high]).all()


def test_pooled_figures_weigh_cases_by_what_they_hold() -> None:
    counts = {"right": np.array([1.0, 90, 0]), "all": np.array([10.0, 100, 0])}
    draw, used = resampling(3), np.array([True, True, False])
    parts = list(draw.added(counts, used))
    with np.errstate(invalid="ignore"):  # draws of the empty case alone
        drawn = np.concatenate([part["right"] / part["all"] for part in parts])
    found = draw.difference_of_drawn(drawn, used)
    assert found.value == pytest.approx(91 / 110)
    assert found.cases == 2
    assert (found.low, found.high) == pytest.approx((0.1, 0.9))


def test_a_difference_is_paired_and_tested_as_scipy_does() -> None:
    rng = np.random.default_rng(1)
    baseline = rng.normal(0, 5, 30)
    run = baseline + rng.normal(0.5, 0.5, 30)
    found = resampling(30).difference(run, baseline)
    assert found.differs
    assert found.value == pytest.approx(np.mean(run - baseline))
    assert 0 < found.low < found.value < found.high
    assert found.p == pytest.approx(wilcoxon(run, baseline).pvalue)
    assert not resampling(30).difference(baseline, baseline).differs
    assert resampling(30).difference(baseline, baseline).p == 1


def test_the_test_is_over_patients() -> None:
    differences = np.random.default_rng(1).normal(0.5, 1, 10)
    of_patients = Resampling(np.repeat(range(10), 3).tolist())
    found = of_patients.difference(np.repeat(differences, 3), np.zeros(30))
    assert found.p == pytest.approx(wilcoxon(differences).pvalue)


def test_the_same_numbers_come_out_again() -> None:
    values = np.random.default_rng(2).random(17)
    assert resampling(17).mean(values) == resampling(17).mean(values)


def test_holm_multiplies_by_the_tests_that_are_left_and_never_falls() -> None:
    family = {
        name: Difference(1, 0, 2, 9, p)
        for name, p in [("a", 0.04), ("b", 0.01), ("c", 0.03), ("d", float("nan"))]
    }
    found = holm(family)
    assert [found[n].p_holm for n in "bca"] == pytest.approx([0.03, 0.06, 0.06])
    assert np.isnan(found["d"].p_holm)
    large = holm({name: Difference(1, 0, 2, 9, 0.6) for name in "ab"})
    assert [d.p_holm for d in large.values()] == [1, 1]
