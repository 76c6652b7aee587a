"""Intervals of pooled figures: what draws of cases add up to, against pooling them anew."""

from __future__ import annotations

import numpy as np
import pytest

from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.gathering import Gatherer
from softlab_cli.evaluation.metrics.tallies import ALL, Counts, merge
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
