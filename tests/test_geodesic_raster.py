"""The parity engine against GeodisTK's rules, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softlab_cli.core.errors import UsageError
from softlab_cli.geodesic.base import StepCost
from softlab_cli.geodesic.raster import FORWARD_STEPS, RasterEngine
from softlab_cli.kernels.sizes import CLASS_LANES

from .naive_geodesic import raster_scan


@settings(max_examples=15)
@given(
    st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)),
    st.integers(1, 3),
    st.sampled_from([0.0, 0.3, 1.0]),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
def test_it_is_geodistk_bit_for_bit(
    shape: tuple[int, int, int], channels: int, weight: float, iterations: int, random: int
) -> None:
    rng = np.random.default_rng(random)
    image = rng.normal(0, [0.5, 50][random % 2], (channels, *shape)).astype(np.float32)
    spacing = tuple(rng.choice([0.3, 1.0, 2.7], 3))
    voxels = int(np.prod(shape))
    seeds = [rng.choice(voxels, min(voxels, 2), replace=False) for _ in range(2)]
    cost = StepCost("geodistk", weight)
    found = RasterEngine(iterations).distances(image, seeds, spacing, cost)
    for places, distance in zip(seeds, found, strict=True):
        expected = raster_scan(image, places, spacing, weight, iterations)
        np.testing.assert_array_equal(distance, expected)


@pytest.mark.parametrize("count", [1, CLASS_LANES, CLASS_LANES + 1, 2 * CLASS_LANES + 3])
def test_grouping_of_classes_does_not_matter(count: int) -> None:
    rng = np.random.default_rng(2)
    image = rng.normal(0, 9, (1, 5, 6, 7)).astype(np.float32)
    seeds = [rng.choice(210, 2, replace=False) for _ in range(count)]
    engine = RasterEngine()
    together = [d.copy() for d in engine.distances(image, seeds, (1, 1, 2), StepCost())]
    assert len(together) == count
    for places, expected in zip(seeds, together, strict=True):
        (alone,) = engine.distances(image, [places], (1, 1, 2), StepCost())
        np.testing.assert_array_equal(alone, expected)


def test_golden_distances() -> None:
    image = np.array([0, 1, 2, 4, 4, 8], np.float32).reshape(1, 1, 1, 6)
    seeds = [np.array([0, 1]), np.array([4, 5])]
    first, second = RasterEngine().distances(image, seeds, (1, 1, 1), StepCost())
    np.testing.assert_allclose(first.ravel(), [0, 0, 1.00001, 3.00002, 3.00003, 7.00004], rtol=1e-6)
    np.testing.assert_allclose(
        second.ravel(), [4.00004, 3.00003, 2.00002, 0.00001, 0, 0], rtol=1e-6
    )


def test_a_class_without_seeds_is_unreachable() -> None:
    image = np.zeros((1, 3, 3, 3), np.float32)
    (found,) = RasterEngine().distances(image, [np.array([], np.int64)], (1, 1, 1), StepCost())
    assert np.isinf(found).all()


def test_forward_steps_are_one_of_each_opposite_pair() -> None:
    opposite = {(-z, -y, -x) for z, y, x in FORWARD_STEPS}
    assert len(opposite | set(FORWARD_STEPS)) == 26


def test_another_metric_is_refused() -> None:
    stream = RasterEngine().distances(
        np.zeros((1, 2, 2, 2), np.float32), [], (1, 1, 1), StepCost("fastgeodis")
    )
    with pytest.raises(UsageError, match="geodistk only"):
        next(stream)


def test_held_bytes_covers_what_is_allocated() -> None:
    import tracemalloc

    rng = np.random.default_rng(2)
    shape = (20, 30, 40)
    image = rng.normal(0, 9, (1, *shape)).astype(np.float32)
    seeds = [rng.choice(image.size, 2, replace=False) for _ in range(18)]
    engine = RasterEngine()
    tracemalloc.start()
    for distance in engine.distances(image, seeds, (1, 1, 2), StepCost()):
        del distance
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak <= engine.held_bytes(shape, 1, 1) + 2**20
    assert engine.held_bytes(shape, 1, 1) <= 1.5 * peak
