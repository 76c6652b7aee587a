"""The engine fastgeodis: the package's distances are those of our formula, converged."""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlab_cli.core.errors import EngineError, UsageError
from softlab_cli.geodesic.base import StepCost
from softlab_cli.geodesic.fastgeodis import FastGeodisEngine

from .naive_geodesic import dijkstra

UNIT = (1.0, 1.0, 1.0)


def distances(image: Any, seeds: Any, spacing_mm: Any, weight: float, **options: Any) -> Any:
    engine = FastGeodisEngine(**options)
    cost = StepCost("fastgeodis", weight)
    return [d.copy() for d in engine.distances(image, seeds, spacing_mm, cost)]


@settings(max_examples=15)
@given(
    shape=st.tuples(st.integers(1, 5), st.integers(2, 5), st.integers(2, 5)),
    channels=st.integers(1, 3),
    spacing_mm=st.tuples(*[st.floats(0.3, 5)] * 3),
    weight=st.sampled_from([0.0, 0.25, 0.5, 1.0]),
    seed=st.integers(0, 99),
)
def test_converged_it_is_our_formula(shape, channels, spacing_mm, weight, seed) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((channels, *shape), np.float32)
    seeds = [rng.choice(math.prod(shape), count, replace=False) for count in (1, 2)]
    found = distances(image, seeds, spacing_mm, weight, iterations=30)
    for places, distance in zip(seeds, found, strict=True):
        exact = dijkstra(image, places, spacing_mm, StepCost("fastgeodis", weight))
        assert distance.dtype == np.float32
        assert distance.shape == shape
        np.testing.assert_allclose(distance, exact, rtol=1e-5, atol=1e-5)


def test_iterations_are_those_asked_for() -> None:
    image = np.full((1, 1, 15, 15), 9, np.float32)
    image[0, 0, ::2] = 0
    image[0, 0, [1, 5, 9, 13], -1] = image[0, 0, [3, 7, 11], 0] = 0
    exact = dijkstra(image, np.array([0]), UNIT, StepCost("fastgeodis", 0.9))
    one, default, many = (
        abs(distances(image, [np.array([0])], UNIT, 0.9, **options)[0] - exact).max()
        for options in ({"iterations": 1}, {}, {"iterations": 40})
    )
    assert many < 1e-4 < default < one
    assert FastGeodisEngine().iterations == 4


def test_a_class_without_seeds_is_never_reached() -> None:
    image = np.zeros((1, 2, 3, 4), np.float32)
    none, some = distances(image, [np.zeros(0, np.int64), np.array([0])], UNIT, 0.5)
    assert np.isposinf(none).all()
    assert np.isfinite(some).all()


def test_a_map_stays_while_the_next_is_not_asked_for() -> None:
    image = np.random.default_rng(0).random((1, 2, 3, 4), np.float32)
    cost = StepCost("fastgeodis", 0.5)
    maps = FastGeodisEngine().distances(image, [np.array([0]), np.array([5])], UNIT, cost)
    first = next(maps)
    assert first.ravel()[0] == 0
    assert (first.ravel()[1:] > 0).all()


def test_threads_of_torch_are_put_back() -> None:
    import torch

    before = torch.get_num_threads()
    image = np.zeros((1, 2, 3, 4), np.float32)
    maps = FastGeodisEngine().distances(
        image, [np.array([0])], UNIT, StepCost("fastgeodis"), threads=before + 1
    )
    next(maps)
    assert torch.get_num_threads() == before


def test_another_metric_is_refused_with_the_engines_that_have_it() -> None:
    image = np.zeros((1, 2, 3, 4), np.float32)
    with pytest.raises(UsageError, match=r"'geodistk'.*engine 'numba' or 'cuda'"):
        next(FastGeodisEngine().distances(image, [np.array([0])], UNIT, StepCost("geodistk")))


@pytest.mark.parametrize("missing", ["torch", "FastGeodis"])
def test_a_package_that_does_not_import_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(builtins, "__import__", failing(missing))
    with pytest.raises(EngineError, match=r"undefined symbol.*--no-build-isolation"):
        FastGeodisEngine().check()


def failing(missing: str, imports: Callable[..., Any] = builtins.__import__) -> Callable[..., Any]:
    """An import that fails for one package as an extension of another ABI does."""

    def fail(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == missing:
            raise ImportError(f"{name}: undefined symbol")
        return imports(name, *args, **kwargs)

    return fail


def test_a_device_that_does_not_work_is_refused() -> None:
    image = np.zeros((1, 2, 3, 4), np.float32)
    with pytest.raises(EngineError, match=r"'abacus'.*device 'cpu', or another engine"):
        distances(image, [np.array([0])], UNIT, 0.5, device="abacus")


def test_without_a_cuda_kernel_the_cpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (found,) = distances(np.ones((1, 1, 1, 3), np.float32), [np.array([0])], UNIT, 0.5)
    np.testing.assert_allclose(found.ravel(), [0, 0.5, 1])


def test_check_passes_where_it_is_installed() -> None:
    FastGeodisEngine().check()


def test_held_bytes_grow_with_volume_and_channels() -> None:
    held = FastGeodisEngine().held_bytes
    assert held((64, 64, 64), 2, 1) - held((64, 64, 64), 1, 1) == 2 * 4 * 64**3
    assert held((64, 64, 64), 1, 1) - held((0, 0, 0), 1, 1) == 12 * 4 * 64**3
