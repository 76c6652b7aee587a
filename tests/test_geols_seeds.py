"""Seeds of GeoLS: the same voxels as in the whole volume, and one at least for each class."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import skeletonize

from softlab_cli.core.errors import UsageError
from softlab_cli.geodesic.seeds import (
    SEED_STRATEGIES,
    ClassSeeds,
    SeedOptions,
    class_boxes,
    every_class_seeds,
)
from tests.conftest import blobs
from tests.strategies import Labels, label_maps

TOUCHING = np.ones((3, 3, 3), bool)

strategies = st.sampled_from(SEED_STRATEGIES)


def seeds_of(
    indices: NDArray[Any],
    options: SeedOptions | str = "skeleton",
    *,
    case_id: str = "case",
    spacing_mm: tuple[float, float, float] = (1, 1, 1),
    threads: int = 1,
    values: Any = range(256),
) -> list[ClassSeeds]:
    options = SeedOptions(options) if isinstance(options, str) else options
    return every_class_seeds(
        indices, class_boxes(indices), options,
        label_values=values, case_id=case_id, spacing_mm=spacing_mm, threads=threads,
    )  # fmt: skip


def mask_of(seeds: ClassSeeds, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    mask.reshape(-1)[seeds.places] = True
    return mask


def cube(side: int, shape: tuple[int, int, int] = (9, 9, 9)) -> NDArray[np.uint8]:
    indices = np.zeros(shape, np.uint8)
    z, y, x = ((n - min(side, n)) // 2 for n in shape)
    indices[z : z + side, y : y + side, x : x + side] = 1
    return indices


@given(label_maps(12, 5))
def test_boxes_hold_each_class_tightly(labels: Labels) -> None:
    found = class_boxes(labels.indices)
    assert [box.class_index for box in found] == np.unique(labels.indices).tolist()
    for box in found:
        mask = labels.indices == box.class_index
        assert box.region == ndimage.find_objects(mask.astype(int))[0]
        assert box.voxels == mask.sum()


@given(label_maps(12, 4))
def test_the_skeleton_is_that_of_the_whole_volume(labels: Labels) -> None:
    for seeds in seeds_of(labels.indices):
        mask = labels.indices == seeds.class_index
        whole = skeletonize(mask, method="lee") > 0
        found = mask_of(seeds, mask.shape)
        assert not (whole & ~found).any()
        numbers, count = ndimage.label(mask, TOUCHING)
        emptied = set(range(1, count + 1)) - set(numbers[whole].tolist())
        assert sorted(numbers[found & ~whole].tolist()) == sorted(emptied)
        assert seeds.emptied == len(emptied)


@given(label_maps(12, 4), st.sampled_from(["skeleton", "erosion"]))
def test_bare_seeds_are_what_the_strategy_leaves_of_the_whole_volume(
    labels: Labels, strategy: str
) -> None:
    bare = seeds_of(labels.indices, SeedOptions(strategy, bare=True))
    kept = seeds_of(labels.indices, strategy)
    for one, other in zip(bare, kept, strict=True):
        mask = labels.indices == one.class_index
        if strategy == "skeleton":
            whole = skeletonize(mask, method="lee") > 0
        else:
            whole = ndimage.binary_erosion(mask, border_value=1)
        np.testing.assert_array_equal(mask_of(one, mask.shape), whole)
        assert one.emptied == other.emptied == len(other.places) - len(one.places)


@given(label_maps(12, 4), strategies, st.integers(1, 3))
def test_every_class_has_seeds_among_its_own_voxels(
    labels: Labels, strategy: str, amount: int
) -> None:
    options = SeedOptions(strategy, erosion_voxels=amount, random_voxels=amount)
    for seeds in seeds_of(labels.indices, options):
        assert len(seeds.places) > 0
        assert (np.diff(seeds.places) > 0).all()
        assert (labels.indices.reshape(-1)[seeds.places] == seeds.class_index).all()


@pytest.mark.parametrize("strategy", SEED_STRATEGIES)
def test_threads_do_not_matter(strategy: str) -> None:
    indices = blobs((20, 24, 22), 6, seed=3)
    one, many = (seeds_of(indices, strategy, threads=n) for n in (1, 5))
    assert [s.class_index for s in many] == [s.class_index for s in one]
    for a, b in zip(one, many, strict=True):
        np.testing.assert_array_equal(a.places, b.places)


@pytest.mark.parametrize("side", [2, 4, 8])
def test_an_even_cube_has_a_seed_at_its_centre(side: int) -> None:
    indices = cube(side, (12, 12, 12))
    assert not skeletonize(indices == 1, method="lee").any(), "the fallback is not needed"
    seeds = seeds_of(indices)[1]
    assert (seeds.emptied, len(seeds.places)) == (1, 1)
    place = np.array(np.unravel_index(seeds.places[0], indices.shape))
    assert (abs(place - 5.5) == 0.5).all()


def test_each_component_has_its_own_fallback() -> None:
    indices = np.zeros((8, 8, 20), np.uint8)
    indices[1:3, 1:3, 1:3] = indices[3:7, 2:6, 8:12] = 1
    indices[4, 4, 14:19] = 1
    seeds = seeds_of(indices)[1]
    numbers, _ = ndimage.label(indices, TOUCHING)
    assert seeds.emptied == 2
    assert set(numbers.reshape(-1)[seeds.places].tolist()) == {1, 2, 3}


def test_depth_is_in_millimetres() -> None:
    """A plate 6 slices high: in voxels its middle is deepest, in mm the depth is across."""
    indices = np.zeros((10, 10, 12), np.uint8)
    indices[2:8, 2:8, 2:10] = 1
    options = SeedOptions("erosion", erosion_voxels=9)
    near, far = (
        seeds_of(indices, options, spacing_mm=spacing)[1].places[0]
        for spacing in ((1.0, 1.0, 1.0), (9.0, 9.0, 1.0))
    )
    assert np.unravel_index(near, indices.shape) == (4, 4, 4)
    # All of the six slices are 9 mm or more deep: X alone tells, in the first of them.
    assert np.unravel_index(far, indices.shape) == (2, 2, 5)


@pytest.mark.parametrize("side", [2, 4, 5, 8])
@pytest.mark.parametrize("strategy", SEED_STRATEGIES)
def test_a_single_slice_is_a_picture(side: int, strategy: str) -> None:
    indices = cube(side, (1, 9, 9))
    seeds = seeds_of(indices, SeedOptions(strategy, erosion_voxels=9))[1]
    assert len(seeds.places) > 0
    assert seeds.emptied == (strategy == "erosion")
    if seeds.emptied:
        _, y, x = np.unravel_index(seeds.places[0], indices.shape)
        centre = np.argwhere(indices[0]).mean(axis=0)
        assert (abs(np.array([y, x]) - centre) <= 0.5).all()


def test_erosion_takes_a_layer_but_not_from_the_volumes_face() -> None:
    indices = np.zeros((7, 9, 9), np.uint8)
    indices[:5, 2:7, 2:7] = 1
    once = mask_of(seeds_of(indices, SeedOptions("erosion"))[1], indices.shape)
    expected = np.zeros(indices.shape, bool)
    expected[:4, 3:6, 3:6] = True
    np.testing.assert_array_equal(once, expected)
    twice = mask_of(seeds_of(indices, SeedOptions("erosion", 2))[1], indices.shape)
    assert np.argwhere(twice).tolist() == [[z, 4, 4] for z in range(3)]


def test_erosion_keeps_the_deepest_voxel_of_what_vanishes() -> None:
    seeds = seeds_of(cube(3), SeedOptions("erosion", erosion_voxels=5))[1]
    assert (seeds.emptied, seeds.places.tolist()) == (1, [4 * 81 + 4 * 9 + 4])


def test_random_seeds_depend_on_seed_case_and_label_value_only() -> None:
    indices = blobs((12, 12, 12), 4)
    options = SeedOptions("random", random_voxels=7)
    first = seeds_of(indices, options)
    assert [len(s.places) for s in first] == [7] * 4
    # Another class order: class 1 is called 3, its label value stays.
    swapped = np.array([0, 3, 2, 1], np.uint8)[indices]
    values = [0, 3, 2, 1]
    second = {values[s.class_index]: s for s in seeds_of(swapped, options, values=values)}
    for seeds in first:
        np.testing.assert_array_equal(seeds.places, second[seeds.class_index].places)
    for other in (
        seeds_of(indices, options, case_id="another"),
        seeds_of(indices, SeedOptions("random", random_voxels=7, random_seed=1)),
    ):
        assert not np.array_equal(other[1].places, first[1].places)


def test_random_seeds_of_classes_with_one_shape_differ() -> None:
    indices = np.zeros((5, 5, 12), np.uint8)
    indices[:, :, 1:6], indices[:, :, 6:11] = 1, 2
    _, one, other = seeds_of(indices, SeedOptions("random", random_voxels=20))
    assert not np.array_equal(one.places + 5, other.places)


def test_random_seeds_are_all_voxels_of_a_small_class() -> None:
    indices = cube(2)
    seeds = seeds_of(indices, SeedOptions("random", random_voxels=100))[1]
    np.testing.assert_array_equal(seeds.places, np.flatnonzero(indices))


def test_region_is_the_whole_class() -> None:
    indices = blobs((9, 10, 11), 3)
    for seeds in seeds_of(indices, "region"):
        np.testing.assert_array_equal(seeds.places, np.flatnonzero(indices == seeds.class_index))


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"strategy": "middle"}, "skeleton, erosion, random, region"),
        ({"erosion_voxels": 0}, "erosion_voxels 0 .* from 1 on"),
        ({"random_voxels": 1.5}, "random_voxels 1.5"),
        ({"random_seed": -1}, "random_seed -1 .* from 0 on"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        SeedOptions(**options)
