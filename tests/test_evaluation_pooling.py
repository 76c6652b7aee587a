"""Intervals of pooled figures: what draws of cases add up to, against pooling them anew."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.gathering import Gatherer
from softlab_cli.evaluation.metrics.tallies import ALL, Counts, merge
from softlab_cli.evaluation.metrics.temperature import cross_fitted
from softlab_cli.evaluation.pooling import CROSS_FITTED, Pool
from softlab_cli.evaluation.settings import Settings
from softlab_cli.evaluation.soft_figures import of_tallies
from softlab_cli.evaluation.statistics import Resampling
from softlab_cli.evaluation.sums import adaptive_sums, edges_of, figures_of, sums_of
from tests.soft_support import shares

CLASSES = ("background", "liver", "tumour", "absent")
SETTINGS = Settings(bins=6, ordered=True)
EQUAL_COUNT = ("ace", "tace")


def counts_of(case: int, kind: str) -> Counts:
    predicted = shares(3, case, (4, 5, 6)) ** (1 + case)
    predicted = np.concatenate([predicted / predicted.sum(axis=0), np.zeros((1, 4, 5, 6))])
    gatherer = Gatherer(
        4, raters=2 if kind == "raters" else 1, soft=kind == "soft", temperatures=True,
        ordered=True, cells=Cells.ranges((6,)) if kind == "single" else Cells.half(),
    )  # fmt: skip
    rng = np.random.default_rng(case)
    if kind == "soft":
        reference = np.concatenate([shares(3, case + 7, (4, 5, 6)), np.zeros((1, 4, 5, 6))])
    else:
        reference = rng.integers(0, 3, (gatherer.raters, 4, 5, 6)).astype(np.uint8)
    gatherer.add(predicted.astype(np.float32 if kind == "single" else np.float16), reference)
    return gatherer.counts()


def added(cases: list[Counts], times: list[int]) -> dict[tuple[str, str, str], float]:
    """Figures of sums, of cases as often as `times` says."""
    edges = edges_of(merge(cases).within(), SETTINGS.bins)
    parts = [
        {**sums_of(c.within(), SETTINGS.bins, temperatures=True, ordered=True),
         **adaptive_sums(c.within(), edges)}
        for c in cases
    ]  # fmt: skip
    total = {name: sum(n * p[name] for n, p in zip(times, parts, strict=True))[None]
             for name in parts[0]}  # fmt: skip
    found = figures_of(total, CLASSES, foreground=True, ordered=True)
    return {key: float(value[0]) for key, value in found.items()}


def pooled(cases: list[Counts], times: list[int]) -> dict[tuple[str, str, str], float]:
    """The same of the counts themselves."""
    every = [c for c, n in zip(cases, times, strict=True) for _ in range(n)]
    rows = of_tallies(merge(every).within(), ALL, CLASSES, 0, "pooled", SETTINGS)
    return {(row.class_name, "", row.metric): row.value for row in rows}


@pytest.mark.parametrize("kind", ["half", "single", "raters", "soft"])
def test_figures_of_sums_are_those_of_counts(kind) -> None:
    cases = [counts_of(case, kind) for case in range(3)]
    expected, found = pooled(cases, [1, 1, 1]), added(cases, [1, 1, 1])
    without = {key for key in expected if key[2] in ("votes", "clipped_votes")}
    assert found.keys() == expected.keys() - without
    for key, value in found.items():
        # Temperatures are looked for with fewer steps; of cells the entropy has the means.
        tolerance = 1e-5 if key[2] in ("temperature", "entropy") else 1e-9
        assert value == pytest.approx(expected[key], abs=tolerance, nan_ok=True), key


def test_a_draw_is_what_its_cases_are() -> None:
    """But for bins of equal count, which stay those of all cases."""
    cases = [counts_of(case, "half") for case in range(3)]
    expected, found = pooled(cases, [2, 0, 1]), added(cases, [2, 0, 1])
    for key, value in found.items():
        tolerance = 0.1 if key[2] in EQUAL_COUNT else 1e-5
        assert value == pytest.approx(expected[key], abs=tolerance, nan_ok=True), key


def test_sums_come_for_all_cases_and_then_for_each_draw() -> None:
    rng = np.random.default_rng(0)
    sums = {"a": rng.random((5, 3, 2)), "b": rng.random(5)}
    draw = Resampling(["p", "p", "q", "r", "s"], draws=600)
    used = np.array([True, True, True, False, True])
    parts = list(draw.added(sums, used))
    assert len(parts) > 1
    joined = np.concatenate([part["a"] for part in parts])
    weights = np.concatenate([np.ones((1, 5)), draw.weights]) * used
    np.testing.assert_allclose(joined, np.einsum("dc,cij->dij", weights, sums["a"]))
    assert (draw.weights[:, 0] == draw.weights[:, 1]).all()


def test_a_difference_of_a_run_to_itself_is_none() -> None:
    draw = Resampling(range(8))
    found = draw.difference_of_drawn(np.zeros(2001), np.ones(8, bool))
    assert (found.value, found.low, found.high) == (0, 0, 0)
    assert not found.differs


# ---- the pool of a run -----------------------------------------------------

NAMES = ("c0", "c1", "c2", "c3")
TABLE = ClassTable.from_values(range(4), dict(enumerate(CLASSES)))
DRAW = Resampling(NAMES, draws=100)


def pool_of(run: str, cases: dict[str, Counts], groups: dict[str, str] | None = None) -> Pool:
    """The pool of a run that has results of some of the cases, and none of a label map."""
    kept: list[Any] = [
        SimpleNamespace(run=run, case_id=name, has_counts=True, counts=lambda found=found: found)
        for name, found in cases.items()
    ]
    kept += [SimpleNamespace(run=run, case_id="c3", has_counts=False, counts=lambda: None)]
    kept += [SimpleNamespace(run="else", case_id="c3", has_counts=True, counts=lambda: 1 / 0)]
    request: Any = SimpleNamespace(settings=SETTINGS, groups=groups or {})
    found = Pool.of(run, kept, NAMES, request)
    assert found is not None
    return found


def by_key(entries: Any) -> dict[tuple[str, str], dict[str, Any]]:
    return {(e["class"], e["metric"]): e for e in entries if e["region"] == ALL}


def test_pooled_figures_are_those_of_all_cases_with_what_draws_make_of_them() -> None:
    cases = [counts_of(case, "half") for case in range(3)]
    pool = pool_of("a", dict(zip(NAMES, cases, strict=False)))
    assert pool.there.tolist() == [True, True, True, False]
    assert sum(pool.bins[ALL].count) == 3 * 4 * 5 * 6
    found = by_key(pool.figures(TABLE, DRAW, SETTINGS))
    drawn = pool.drawn(TABLE, DRAW, True, pool.there)
    for (title, _, metric), value in pooled(cases, [1, 1, 1]).items():
        entry = found[title, metric]
        if not np.isfinite(value):
            assert entry["value"] is None
            continue
        assert entry["value"] == pytest.approx(value), (title, metric)
        if metric in ("votes", "clipped_votes"):
            assert entry["low"] is None
            continue
        every = drawn[title, ALL, metric]
        assert every[0] == pytest.approx(value, abs=1e-5)  # bins of equal count as well
        ends = np.quantile(every[1:][np.isfinite(every[1:])], [0.025, 0.975])
        assert (entry["low"], entry["high"]) == pytest.approx(tuple(ends))


def test_a_difference_is_over_the_cases_that_both_runs_have() -> None:
    cases = [counts_of(case, "half") for case in range(3)]
    ours = pool_of("a", {"c0": cases[0], "c1": cases[1], "c2": cases[2]})
    theirs = pool_of("b", {"c1": cases[2], "c2": cases[0]})
    found = by_key(ours.differences(theirs, TABLE, DRAW, True))
    mine, other = pooled(cases, [0, 1, 1]), pooled(cases, [1, 0, 1])
    for metric in ("nll", "brier", "ece", "sharpness"):
        expected = mine[ALL, "", metric] - other[ALL, "", metric]
        assert abs(expected) > 1e-4
        assert found[ALL, metric]["value"] == pytest.approx(expected)
        assert found[ALL, metric]["cases"] == 2
    alone = pool_of("b", {"c1": cases[1]})
    assert not list(pool_of("a", {"c0": cases[0]}).differences(alone, TABLE, DRAW, True))


def test_temperatures_of_other_patients_need_two_of_them() -> None:
    cases = dict(zip(NAMES, (counts_of(case, "half") for case in range(3)), strict=False))
    assert pool_of("a", cases, dict.fromkeys(NAMES, "p")).crossed() == []
    (entry,) = pool_of("a", cases, {"c0": "p", "c1": "p"}).crossed()
    assert entry["run"] == "a"
    assert len(entry["temperatures"]) == 2
    assert entry["nll"] > 0


def test_the_nll_after_them_has_an_interval_and_differences() -> None:
    cases = dict(zip(NAMES, (counts_of(case, "half") for case in range(3)), strict=False))
    pool = pool_of("a", cases)
    fit = cross_fitted(pool.tempers)
    found = by_key(pool.figures(TABLE, DRAW, SETTINGS))[ALL, CROSS_FITTED]
    assert found["value"] == pytest.approx(pool.crossed()[0]["nll"])
    votes = np.array([pool.tempers[name].votes for name in NAMES[:3]])
    weights = DRAW.weights[:, :3] * votes
    with np.errstate(invalid="ignore"):  # a draw of the case without counts alone
        drawn = weights @ [fit.nll[name] for name in NAMES[:3]] / weights.sum(axis=1)
    ends = np.quantile(drawn[np.isfinite(drawn)], [0.025, 0.975])
    assert (found["low"], found["high"]) == pytest.approx(tuple(ends))
    assert found["low"] < found["value"] < found["high"]
    other = pool_of("b", {"c1": cases["c2"], "c2": cases["c0"]})
    (between,) = (
        e for e in pool.differences(other, TABLE, DRAW, True) if e["metric"] == CROSS_FITTED
    )
    ours = [fit.nll[name] * pool.tempers[name].votes for name in ("c1", "c2")]
    mean = sum(ours) / sum(pool.tempers[name].votes for name in ("c1", "c2"))
    assert between["value"] == pytest.approx(mean - other.crossed()[0]["nll"])
    assert between["cases"] == 2
    alone = pool_of("a", cases, dict.fromkeys(NAMES, "p"))
    assert (ALL, CROSS_FITTED) not in by_key(alone.figures(TABLE, DRAW, SETTINGS))


def empty() -> Counts:
    return Gatherer(4, raters=1, temperatures=True, ordered=True, cells=Cells.half()).counts()


def test_one_patient_with_counts_is_one_patient() -> None:
    cases = {"c0": counts_of(0, "half"), "c1": counts_of(1, "half")}
    assert pool_of("a", cases, {"c0": "p", "c1": "p", "c2": "q"}).crossed() == []


def test_temperatures_are_those_of_other_patients() -> None:
    cases = dict(zip(NAMES, (counts_of(case, "half") for case in range(3)), strict=False))
    pool = pool_of("a", cases, {"c0": "p", "c1": "p"})
    expected = cross_fitted(pool.tempers, {"c0": "p", "c1": "p", "c2": "c2"}).pooled_nll
    assert expected != pytest.approx(cross_fitted(pool.tempers).pooled_nll)
    assert pool.crossed()[0]["nll"] == pytest.approx(expected)


def test_a_case_without_votes_adds_nothing_to_the_nll_after_temperatures() -> None:
    voted = {"c0": counts_of(0, "half"), "c1": counts_of(1, "half")}
    pool = pool_of("a", {**voted, "c2": empty()})
    found = by_key(pool.figures(TABLE, DRAW, SETTINGS))[ALL, CROSS_FITTED]
    assert found["value"] == pytest.approx(pool.crossed()[0]["nll"])
    none = pool_of("a", {"c0": empty(), "c1": empty()})
    assert (ALL, CROSS_FITTED) not in by_key(none.figures(TABLE, DRAW, SETTINGS))


def test_intervals_are_of_draws_alone(monkeypatch) -> None:
    lengths: set[int] = set()

    def bounds(draw: Resampling, values: np.ndarray, used: np.ndarray) -> tuple[float, float]:
        lengths.add(len(values))
        return 0.0, 0.0

    monkeypatch.setattr(Resampling, "bounds", bounds)
    cases = {"c0": counts_of(0, "half"), "c1": counts_of(1, "half")}
    pool_of("a", cases).figures(TABLE, DRAW, SETTINGS)
    assert lengths == {100}
