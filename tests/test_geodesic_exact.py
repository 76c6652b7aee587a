"""The exact engine against Dijkstra in float64 and the fixpoint in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.geodesic.base import Metric, StepCost
from softlab_cli.geodesic.exact import ExactEngine

from .naive_geodesic import dijkstra, fixpoint, map_of

UNIT = (1.0, 1.0, 1.0)
COSTS = [
    StepCost("geodistk", 1.0),
    StepCost("geodistk", 0.0),
    StepCost("geodistk", 0.4),
    StepCost("fastgeodis", 1.0),
    StepCost("fastgeodis", 0.5),
]


@dataclass(frozen=True)
class Problem:
    """A volume with seeds of some classes."""

    image: NDArray[np.float32]
    seeds: list[NDArray[np.int64]]
    spacing_mm: tuple[float, float, float]
    cost: StepCost


@st.composite
def problems(draw: st.DrawFn, largest: int = 40, most_voxels: int = 6000) -> Problem:
    """Noise, plateaus or ramps; rows of 1 to 3 vectors, blocks of 1 to 3 rows."""
    sides = st.sampled_from([1, 2, 3, 5, 15, 16, 17, 18, 31, 33, largest])
    shape = draw(st.tuples(sides, sides, sides).filter(lambda s: np.prod(s) <= most_voxels))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.normal(0, 100, (draw(st.integers(1, 3)), *shape))
    kind = draw(st.sampled_from(["noise", "plateaus", "constant", "smooth"]))
    if kind == "plateaus":
        image = np.floor(image / 150) * 150
    elif kind == "constant":
        image[:] = 7
    elif kind == "smooth":
        image = np.cumsum(image, axis=-1) / 10
    voxels = int(np.prod(shape))
    counts = draw(st.lists(st.integers(0, min(voxels, 5)), min_size=1, max_size=4))
    metrics: list[Metric] = ["geodistk", "fastgeodis"]
    cost = StepCost(draw(st.sampled_from(metrics)), draw(st.sampled_from([0.0, 0.3, 0.75, 1.0])))
    spacing = st.sampled_from([0.3, 1.0, 1.25, 5.0])
    return Problem(
        image.astype(np.float32),
        [rng.choice(voxels, n, replace=False) for n in counts],
        draw(st.tuples(spacing, spacing, spacing)),
        cost,
    )


def solve(problem: Problem, threads: int = 1) -> list[NDArray[np.float32]]:
    return [distance.copy() for distance in _stream(problem, threads)]


def noise(shape: tuple[int, ...], cost: StepCost = COSTS[0], classes: int = 3) -> Problem:
    rng = np.random.default_rng(5)
    image = rng.normal(0, 50, (1, *shape)).astype(np.float32)
    seeds = [rng.choice(image.size, 2, replace=False) for _ in range(classes)]
    return Problem(image, seeds, (2.0, 0.7, 1.1), cost)


@given(problems())
def test_it_is_the_float32_fixpoint(problem: Problem) -> None:
    for found, seeds in zip(solve(problem), problem.seeds, strict=True):
        expected = fixpoint(problem.image, seeds, problem.spacing_mm, problem.cost)
        np.testing.assert_array_equal(found, expected)


@settings(max_examples=25)
@given(problems(largest=18, most_voxels=900))
def test_it_is_as_near_to_dijkstra_as_promised(problem: Problem) -> None:
    for found, seeds in zip(solve(problem), problem.seeds, strict=True):
        exact = dijkstra(problem.image, seeds, problem.spacing_mm, problem.cost)
        if not len(seeds):
            assert np.isinf(found).all()
            continue
        assert np.abs(found - exact).mean() <= 1e-5 * exact.mean()
        assert np.abs(map_of(found) - map_of(exact)).max() <= 1e-5


def test_golden_distances() -> None:
    image = np.array([0, 1, 2, 4, 4, 8], np.float32).reshape(1, 1, 1, 6)
    first, second = solve(Problem(image, [np.array([0, 1]), np.array([4, 5])], UNIT, StepCost()))
    np.testing.assert_allclose(first.ravel(), [0, 0, 1.00001, 3.00002, 3.00003, 7.00004], rtol=1e-6)
    np.testing.assert_allclose(
        second.ravel(), [4.00004, 3.00003, 2.00002, 0.00001, 0, 0], rtol=1e-6
    )


@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_one_channel_takes_differences_whose_squares_float32_does_not_hold(cost: StepCost) -> None:
    problem = noise((5, 6, 20), cost)
    problem.image[0, 2:4, 2:4, 5:9] = 1e30  # what some tools write outside of what was scanned
    for found, seeds in zip(solve(problem), problem.seeds, strict=True):
        with np.errstate(over="ignore"):
            expected = fixpoint(problem.image, seeds, problem.spacing_mm, problem.cost)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cost", COSTS, ids=str)
@pytest.mark.parametrize("shape", [(35, 20, 33), (1, 1, 70), (1, 40, 17), (50, 1, 1)], ids=str)
def test_threads_do_not_matter(shape: tuple[int, ...], cost: StepCost) -> None:
    problem = noise(shape, cost, classes=5)
    one = solve(problem)
    for threads in (2, 3, 8):
        for a, b in zip(one, solve(problem, threads), strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("band", [0.01, 0.3, 7.0, 1e6])
def test_the_order_of_work_does_not_matter(band: float, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = noise((35, 20, 33))
    expected = solve(problem)
    monkeypatch.setattr("softlab_cli.geodesic.exact.BAND", band)
    np.testing.assert_array_equal(solve(problem), expected)


@pytest.mark.parametrize("axes", list(permutations(range(3))))
@pytest.mark.parametrize("cost", COSTS, ids=str)
def test_permuted_and_flipped_axes(axes: tuple[int, ...], cost: StepCost) -> None:
    problem = noise((13, 18, 21), cost)
    expected = solve(problem)

    def turned(volume: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(volume.transpose(axes)[::-1, :, ::-1])

    seeds = []
    for places in problem.seeds:
        marks = np.zeros(problem.image.shape[1:], bool)
        marks.flat[places] = True
        seeds.append(np.flatnonzero(turned(marks)))
    z, y, x = (problem.spacing_mm[a] for a in axes)
    other = Problem(turned(problem.image[0])[None], seeds, (z, y, x), cost)
    for a, b in zip(expected, solve(other), strict=True):
        np.testing.assert_array_equal(turned(a), b)


def test_classes_do_not_influence_each_other() -> None:
    problem = noise((9, 20, 33), classes=4)
    together = solve(problem, threads=2)
    for places, expected in zip(problem.seeds, together, strict=True):
        alone = Problem(problem.image, [places], problem.spacing_mm, problem.cost)
        np.testing.assert_array_equal(solve(alone)[0], expected)


@pytest.mark.parametrize("factor", [0.1, 3.7, 1e3])
def test_the_map_does_not_depend_on_the_scale_of_intensity(factor: float) -> None:
    problem = noise((9, 20, 33))
    scaled = Problem(
        problem.image * np.float32(factor), problem.seeds, problem.spacing_mm, problem.cost
    )
    for a, b in zip(solve(problem), solve(scaled), strict=True):
        assert np.abs(map_of(a) - map_of(b)).max() <= 1e-4


def test_results_come_as_they_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = noise((4, 5, 6), classes=40)
    asked: list[int] = []

    class Watched(list[Any]):
        def __iter__(self) -> Any:
            for i, places in enumerate(problem.seeds):
                asked.append(i)
                yield places

    stream = ExactEngine().distances(
        problem.image, Watched(problem.seeds), problem.spacing_mm, problem.cost, threads=3
    )
    next(stream)
    assert len(asked) <= 4
    stream.close()  # type: ignore[attr-defined]


def test_held_bytes_covers_what_is_allocated() -> None:
    shape = (40, 50, 60)
    problem = noise(shape, classes=6)
    peak = _traced_peak(lambda: [d.sum() for d in _stream(problem, threads=2)])
    held = ExactEngine().held_bytes(shape, channels=1, threads=2)
    assert peak <= held + 2**17  # threads and what else the interpreter makes
    assert held <= 2 * peak


def _stream(problem: Problem, threads: int) -> Any:
    return ExactEngine().distances(
        problem.image, problem.seeds, problem.spacing_mm, problem.cost, threads=threads
    )


def _traced_peak(function: Callable[[], Any]) -> int:
    import tracemalloc

    function()
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
