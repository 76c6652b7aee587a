"""The CUDA engine on a device, real or emulated, against the definition of the distance.

By hand, on a machine with a GPU::

    python -m pytest tests/device_geodesic_cuda.py

`test_geodesic_cuda.py` runs these tests everywhere, with the kernels compiled for the
processor. Most blocks have edges of 2 to 4 voxels, so that tiny volumes have several,
cut at the far faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from softlab_cli.core.errors import EngineError
from softlab_cli.core.memory import MIB
from softlab_cli.geodesic.base import Seeds, StepCost
from softlab_cli.geodesic.cuda import CudaEngine
from softlab_cli.kernels.geodesic import cuda_maps

from .naive_geodesic import fixpoint

UNIT = (1.0, 1.0, 1.0)


def volume(shape: tuple[int, ...], channels: int = 1, seed: int = 0) -> NDArray[np.float32]:
    """Noise with flat zones, where many paths are equally short."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(scale=3, size=(channels, *shape))
    return np.where(noise > 0, noise, 0).astype(np.float32)


def check(
    engine: CudaEngine,
    image: NDArray[np.float32],
    seeds: Sequence[Seeds],
    spacing_mm: tuple[float, float, float] = UNIT,
    cost: StepCost | None = None,
) -> None:
    """All classes equal the definition, bit for bit."""
    cost = cost or StepCost()
    found = [d.copy() for d in engine.distances(image, seeds, spacing_mm, cost)]
    assert len(found) == len(seeds)
    for places, distance in zip(seeds, found, strict=True):
        assert distance.dtype == np.float32
        np.testing.assert_array_equal(distance, fixpoint(image, places, spacing_mm, cost))


def test_golden_values() -> None:
    image = np.array([0, 1, 2, 4, 4, 8], np.float32).reshape(1, 1, 1, 6)
    seeds = [np.array([0, 1]), np.array([4, 5])]
    one, two = (d.copy() for d in CudaEngine(side=2).distances(image, seeds, UNIT, StepCost()))
    np.testing.assert_allclose(one.ravel(), [0, 0, 1.00001, 3.00002, 3.00003, 7.00004], atol=1e-6)
    np.testing.assert_allclose(two.ravel(), [4.00004, 3.00003, 2.00002, 1e-5, 0, 0], atol=1e-6)


@pytest.mark.parametrize("side", [2, 3, 4])
def test_blocks_of_any_size_give_the_defined_bits(side: int) -> None:
    check(CudaEngine(side=side), volume((4, 5, 7)), [np.array([9]), np.array([0, 139])])


def test_whole_blocks_and_cut_ones_of_the_size_that_is_used() -> None:
    shape = (18, 35, 17)
    places = np.random.default_rng(1).choice(18 * 35 * 17, 9, replace=False)
    check(CudaEngine(), volume(shape), [places, np.array([0])], (2.0, 0.9, 1.3))


@pytest.mark.parametrize("metric", ["geodistk", "fastgeodis"])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_metrics_and_anisotropic_spacing(metric, weight) -> None:
    cost = StepCost(metric, weight)
    check(CudaEngine(side=3), volume((3, 4, 5)), [np.array([7, 50])], (2.5, 0.7, 1.1), cost)


@pytest.mark.parametrize("metric", ["geodistk", "fastgeodis"])
def test_several_channels(metric) -> None:
    cost = StepCost(metric, 0.6)
    check(CudaEngine(side=3), volume((3, 4, 4), channels=3), [np.array([0])], (1.0, 2.0, 0.5), cost)


def test_a_picture_and_a_line() -> None:
    check(CudaEngine(side=4), volume((1, 6, 9)), [np.array([20])])
    check(CudaEngine(side=2), volume((1, 1, 9)), [np.array([8])])


def test_a_winding_path_enters_blocks_again() -> None:
    image = np.full((1, 1, 7, 8), 50, np.float32)
    image[0, 0, ::2] = 0
    image[0, 0, [1, 5], -1] = image[0, 0, 3, 0] = 0
    check(CudaEngine(side=3), image, [np.array([0])])


def test_a_late_path_crosses_the_edge_of_two_blocks() -> None:
    """The blocks beside the crossing have seeds there, so that nothing in them falls.

    The path comes from the block that is emulated last and leads to the first.
    """
    image = np.full((1, 1, 6, 9), 50, np.float32)
    image[0, 0, 3, 3:] = image[0, 0, 2, 2] = 0
    check(CudaEngine(side=3), image, [np.array([3 * 9 + 8, 3 * 9 + 2, 2 * 9 + 3])])


def test_classes_without_seeds_are_never_reached() -> None:
    nowhere = np.zeros(0, np.int64)
    check(CudaEngine(side=3), volume((3, 3, 4)), [nowhere, np.array([5]), nowhere])
    assert list(CudaEngine(side=3).distances(volume((2, 2, 2)), [], UNIT, StepCost())) == []


@pytest.mark.parametrize("group", [1, 2, 3])
def test_groups_that_fit_the_device(group, monkeypatch) -> None:
    groups: list[int] = []
    compute = cuda_maps.DeviceMaps.compute
    monkeypatch.setattr(
        cuda_maps.DeviceMaps,
        "compute",
        lambda maps, seeds: (groups.append(len(seeds)), compute(maps, seeds)),
    )
    image = volume((3, 3, 4))
    seeds = [np.array([n]) for n in (0, 17, 35)]
    fixed = image.nbytes + 8 * len(seeds) + MIB
    each = cuda_maps.bytes_per_class((3, 3, 4), 3)
    check(CudaEngine(side=3, device_bytes=fixed + group * each + each - 1), image, seeds)
    assert groups == {1: [1, 1, 1], 2: [2, 1], 3: [3]}[group]


def test_a_volume_too_large_for_the_device_is_refused() -> None:
    engine = CudaEngine(device_bytes=1000)
    with pytest.raises(EngineError, match=r"1000 B to give.*3 x 3 x 4 voxels.*engine 'numba'"):
        next(engine.distances(volume((3, 3, 4)), [np.array([0])], UNIT, StepCost()))
