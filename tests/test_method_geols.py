"""GeoLS, held against METHODS 5's values, the oracle, and what must never matter."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.morphology import skeletonize

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, StoreError, UsageError
from softlab_cli.geodesic.base import StepCost
from softlab_cli.geodesic.seeds import SeedOptions, class_boxes, every_class_seeds
from softlab_cli.methods import OneHot
from softlab_cli.methods.geols.geols import GeoLS
from softlab_cli.methods.geols.maps import GeodesicMaps
from tests import naive_geols
from tests.blockwise import check_sums, half_steps, soften
from tests.conftest import blobs
from tests.geols_support import BLOCK, Case, SlowEngine, cases, prepare, run
from tests.strategies import IGNORED, blocks

GOLDEN = Case(
    np.array([1, 1, 0, 0, 2, 2], np.uint8).reshape(1, 1, 6),
    np.array([0, 1, 2, 4, 4, 8], np.float32).reshape(1, 1, 1, 6),
    3,
)
GOLDEN_D = {
    1: [0, 0, 1.00001, 3.00002, 3.00003, 7.00004],
    2: [4.00004, 3.00003, 2.00002, 0.00001, 0, 0],
}
GOLDEN_G = {
    1: [1, 1, 0.633175, 0.238542, 0.238541, 0],
    2: [0, 0.070769, 0.208609, 0.999993, 1, 1],
}
GOLDEN_G0 = [0.5, 0.464615, 0.579108, 0.380732, 0.380729, 0.5]
PARITY_SUMS = [1.05, 1.053538, 1.042089, 1.061927, 1.061927, 1.05]

HALF_A_STEP = 2.0**-12
"""Rounding to float16 below 1."""

methods = st.builds(
    GeoLS,
    smoothing=st.sampled_from([0.05, 0.1, 0.5, 1.0]),
    seeds=st.sampled_from(["skeleton", "erosion", "random", "region"]),
    metric=st.sampled_from(["geodistk", "fastgeodis"]),
    intensity_weight=st.sampled_from([0.0, 0.5, 1.0]),
    channel_mode=st.sampled_from(["mean", "vector"]),
    random_voxels=st.just(2),
)


def read_map(maps: GeodesicMaps, class_index: int, case: Case) -> NDArray[np.float16]:
    """The map g of a class, from its blocks."""
    found = np.empty(case.indices.shape, np.float16)
    for region in maps.scratch.grid.regions():
        piece = np.empty(found[region].size, np.uint16)
        maps.scratch.read(maps.numbers[class_index], region, piece)
        found[region] = piece.view(np.float16).reshape(found[region].shape)
    return found


def naive_seeds(method: GeoLS, case: Case) -> dict[int, NDArray[np.bool_]]:
    """The seeds that the method uses; their own tests say that they are right."""
    found = {}
    for seeds in every_class_seeds(
        case.indices, class_boxes(case.indices), method.seed_options,
        label_values=range(256), case_id=case.case_id, spacing_mm=case.spacing_mm,
    ):  # fmt: skip
        mask = np.zeros(case.indices.shape, bool)
        mask.reshape(-1)[seeds.places] = True
        found[seeds.class_index] = mask
    return {c: mask for c, mask in found.items() if c not in (0, IGNORED) and mask.any()}


def naive_soften(method: GeoLS, case: Case, **options: Any) -> NDArray[np.float64]:
    maps = naive_geols.maps(
        case.image, naive_seeds(method, case), case.spacing_mm, metric=method.metric,
        weight=method.intensity_weight, channel_mode=method.channel_mode,
    )  # fmt: skip
    return naive_geols.soften(
        case.indices, case.class_count, maps, smoothing=method.smoothing,
        normalise=method.sums_to_one, min_mass=method.min_mass, **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def brain() -> Case:
    """A volume of several blocks with anisotropic voxels, two channels and ignored voxels."""
    indices = blobs((5, 12, 13), 5, seed=1)
    indices[3, :5] = IGNORED
    rng = np.random.default_rng(0)
    image = indices[None] * 10.0 + rng.normal(size=(2, *indices.shape))
    return Case(indices, image.astype(np.float32), 6, (2.0, 0.7, 0.8))


# --- the paper's formula ---------------------------------------------------------------


def test_the_oracle_and_the_slow_engine_have_the_golden_distances() -> None:
    for c, expected in GOLDEN_D.items():
        seeds = GOLDEN.indices == c
        found = naive_geols.distance(GOLDEN.image, seeds, (1, 1, 1), "geodistk", 1.0)
        np.testing.assert_allclose(found.ravel(), expected, rtol=0, atol=1e-9)
        places = [np.flatnonzero(seeds)]
        fast = next(SlowEngine().distances(GOLDEN.image, places, (1.0, 1.0, 1.0), StepCost()))
        np.testing.assert_allclose(fast.ravel(), expected, rtol=1e-6)


def test_golden_maps(tmp_path: Path) -> None:
    with prepare(GeoLS(seeds="region"), GOLDEN, tmp_path) as maps:
        for c, expected in GOLDEN_G.items():
            found = read_map(maps, c, GOLDEN).ravel()
            np.testing.assert_allclose(found, expected, rtol=0, atol=HALF_A_STEP)
            assert found.max() == 1
            assert found.min() == 0
        both = sum(np.array(g) for g in GOLDEN_G.values())
        np.testing.assert_allclose(1 - both / 2, GOLDEN_G0, atol=1e-6)


def test_golden_soft_labels() -> None:
    soft, sums = run(GeoLS(seeds="region"), GOLDEN)
    np.testing.assert_allclose(soft[:, 0, 0, 2], [0.940757, 0.044562, 0.014682], atol=HALF_A_STEP)
    np.testing.assert_allclose(soft[:, 0, 0, 0], [0.033333, 0.966667, 0], atol=HALF_A_STEP)
    check_sums(sums, soft, GOLDEN.indices)


def test_golden_sums_of_the_repository() -> None:
    soft, _ = run(GeoLS(seeds="region", parity="repository"), GOLDEN)
    total = soft[:, 0, 0].astype(float).sum(axis=0)
    np.testing.assert_allclose(total, PARITY_SUMS, atol=3 * HALF_A_STEP)


@settings(max_examples=30)
@given(cases(), methods)
def test_soft_labels_are_the_oracles(case: Case, method: GeoLS) -> None:
    soft, sums = run(method, case)
    expected = naive_soften(method, case)
    # Maps are rounded to float16, and so is the result.
    np.testing.assert_allclose(soft, expected, rtol=0, atol=3 * HALF_A_STEP)
    check_sums(sums, soft, case.indices)
    total = soft.astype(float).sum(axis=0)
    np.testing.assert_allclose(total[case.indices != IGNORED], 1, rtol=0, atol=2**-10)
    assert not total[case.indices == IGNORED].any()


@settings(max_examples=20)
@given(cases(), methods)
def test_parity_leaves_the_sum_as_it_is(case: Case, method: GeoLS) -> None:
    method = replace(method, parity="repository", metric="geodistk")
    soft, sums = run(method, case)
    np.testing.assert_allclose(soft, naive_soften(method, case), rtol=0, atol=3 * HALF_A_STEP)
    check_sums(sums, soft, case.indices)


@settings(max_examples=20)
@given(cases(), methods, st.sampled_from([0.01, 0.05, 0.3]))
def test_min_mass_drops_what_is_below_and_renormalises(
    case: Case, method: GeoLS, min_mass: float
) -> None:
    method = replace(method, smoothing=0.5)
    whole = naive_soften(method, case)
    method = replace(method, min_mass=min_mass)
    soft, sums = run(method, case)
    check_sums(sums, soft, case.indices)
    # Where a soft label lies within rounding of the limit, either may be right.
    clear = (abs(whole - min_mass) > 4 * HALF_A_STEP).all(axis=0)
    expected = naive_soften(method, case)
    np.testing.assert_allclose(soft[:, clear], expected[:, clear], rtol=0, atol=6 * HALF_A_STEP)
    assert not ((soft > 0) & (soft < min_mass - 4 * HALF_A_STEP)).any()
    total = soft.astype(float).sum(axis=0)[case.indices != IGNORED]
    np.testing.assert_allclose(total, 1, rtol=0, atol=2**-10)


def test_channels_are_averaged_or_seen_together(brain: Case) -> None:
    mean, vector = (
        run(GeoLS(smoothing=0.5, channel_mode=mode), brain)[0] for mode in ("mean", "vector")
    )
    assert np.abs(mean.astype(float) - vector).max() > 8 * HALF_A_STEP
    twice = replace(brain, image=np.concatenate([brain.image[:1]] * 2))
    once = replace(brain, image=brain.image[:1])
    np.testing.assert_array_equal(*(run(GeoLS(), case)[0] for case in (once, twice)))


def test_intensities_may_be_scaled(brain: Case) -> None:
    """With lambda 1 the mean takes the scale out, but for the 1e-5 that a step costs at least."""
    scaled = replace(brain, image=brain.image * 1000)
    one, other = (run(GeoLS(), case)[0].astype(float) for case in (brain, scaled))
    np.testing.assert_allclose(one, other, rtol=0, atol=2 * HALF_A_STEP)


# --- what must not matter --------------------------------------------------------------


@settings(max_examples=15)
@given(cases(), methods, blocks(), st.integers(1, 4))
def test_blocks_threads_and_scratch_do_not_matter(
    case: Case, method: GeoLS, block: Shape, threads: int
) -> None:
    soft, sums = run(method, case)
    for options in ({"max_memory": 0}, {"max_memory": None}):
        other, other_sums = run(method, case, block, threads=threads, **options)
        np.testing.assert_array_equal(soft, other)
        np.testing.assert_array_equal(sums.mass, other_sums.mass)
        assert replace(sums, mass=0) == replace(other_sums, mass=0)  # type: ignore[arg-type]


def test_the_order_of_classes_does_not_matter(brain: Case) -> None:
    soft, _ = run(GeoLS(seeds="region"), brain)
    order = np.array([0, 4, 3, 2, 5, 1])
    table = np.full(256, IGNORED, np.uint8)
    table[order] = np.arange(6)
    shuffled = replace(brain, indices=table[brain.indices])
    other, _ = run(GeoLS(seeds="region"), shuffled)
    np.testing.assert_array_equal(soft[order], other)


@given(cases(), blocks())
@settings(max_examples=20)
def test_without_smoothing_it_is_one_hot(case: Case, block: Shape) -> None:
    soft, sums = run(GeoLS(smoothing=0), case, block)
    other, other_sums, _ = soften(OneHot(), case.indices, case.class_count, block)
    np.testing.assert_array_equal(soft, other)
    np.testing.assert_array_equal(sums.mass, other_sums.mass)
    assert sums.entropy == 0


def test_more_classes_than_are_in_memory_at_once() -> None:
    indices = np.random.default_rng(0).integers(0, 70, (4, 5, 10)).astype(np.uint8)
    image = np.random.default_rng(1).random((1, *indices.shape)).astype(np.float32)
    case = Case(indices, image, 150)
    soft, sums = run(GeoLS(smoothing=0.5), case)
    check_sums(sums, soft, indices)
    expected = naive_soften(GeoLS(smoothing=0.5), case)
    np.testing.assert_allclose(soft, expected, rtol=0, atol=3 * HALF_A_STEP)


@pytest.mark.parametrize("seeds", ["skeleton", "erosion", "region"])
def test_a_picture_is_a_volume_of_one_slice(seeds: str) -> None:
    indices = blobs((12, 17), 4)[None]
    image = np.random.default_rng(0).random((1, *indices.shape)).astype(np.float32)
    case = Case(indices, image, 4)
    method = GeoLS(smoothing=0.5, seeds=seeds)
    soft, sums = run(method, case, (1, 512, 512))
    np.testing.assert_allclose(soft, naive_soften(method, case), rtol=0, atol=3 * HALF_A_STEP)
    check_sums(sums, soft, indices)


@pytest.mark.parametrize("name", ["numba", "parity"])
def test_the_engines_give_the_golden_soft_labels(name: str) -> None:
    """In a row of six voxels four raster iterations are more than enough."""
    parity = "repository" if name == "parity" else None
    method = GeoLS(seeds="region", engine=name, parity=parity)  # type: ignore[arg-type]
    soft, _ = run(method, GOLDEN, engine=None)
    np.testing.assert_array_equal(soft, run(method, GOLDEN)[0])


def test_the_engine_of_the_processor_is_the_slow_one(brain: Case) -> None:
    for mode in ("mean", "vector"):
        method = GeoLS(smoothing=0.5, engine="numba", channel_mode=mode)  # type: ignore[arg-type]
        one, two = (run(method, brain, engine=None, threads=n)[0] for n in (1, 3))
        np.testing.assert_array_equal(one, two)
        assert half_steps(one, run(method, brain)[0]) <= 2


# --- odd cases -------------------------------------------------------------------------


def test_without_foreground_all_is_background(tmp_path: Path) -> None:
    case = replace(GOLDEN, indices=np.array([0, 0, IGNORED, 0, 0, 0], np.uint8).reshape(1, 1, 6))
    soft, _ = run(GeoLS(smoothing=0.3), case)
    assert soft[0].ravel().tolist() == [1, 1, 0, 1, 1, 1]
    assert not soft[1:].any()
    with prepare(GeoLS(), case, tmp_path) as maps:
        assert maps.facts["classes_without_voxels"] == ["label_1", "label_2"]
        assert maps.warnings == ()


def test_an_ignored_case_has_no_soft_labels() -> None:
    case = replace(GOLDEN, indices=np.full((1, 1, 6), IGNORED, np.uint8))
    soft, sums = run(GeoLS(), case)
    assert not soft.any()
    assert (sums.entropy, sums.ties) == (0, 0)


def test_distances_pass_through_ignored_voxels() -> None:
    case = replace(GOLDEN, indices=np.array([1, IGNORED, 0, 0, 0, 0], np.uint8).reshape(1, 1, 6))
    soft, _ = run(GeoLS(smoothing=0.5), case)
    assert not soft[:, 0, 0, 1].any()
    assert soft[1, 0, 0, 2:5].all()


def no_background(case: Case) -> ClassTable:
    return ClassTable.from_values(range(1, case.class_count + 1))


def test_without_a_background_class_the_foreground_is_normalised(tmp_path: Path) -> None:
    indices = np.array([0, 0, 1], np.uint8).reshape(1, 1, 3)
    case = Case(indices, np.array([0, 5, 5], np.float32).reshape(1, 1, 1, 3), 2)
    method, classes = GeoLS(smoothing=0.5, seeds="region"), no_background(case)
    with method.make_maps(
        case.indices, case.image, classes, case.geometry, case_id="a",
        scratch_folder=tmp_path, engine=SlowEngine(), grid=Grid(case.indices.shape, BLOCK, BLOCK),
    ) as maps:  # fmt: skip
        assert maps.written == (0, 1)
        soft, _, _ = soften(maps, case.indices, 2)  # type: ignore[arg-type]
    seeds = {c: case.indices == c for c in (0, 1)}
    found = naive_geols.maps(case.image, seeds, (1, 1, 1))
    expected = naive_geols.soften(case.indices, 2, found, smoothing=0.5, background=None)
    np.testing.assert_allclose(soft, expected, rtol=0, atol=2 * HALF_A_STEP)


def test_where_no_class_has_weight_a_voxel_keeps_its_label(tmp_path: Path) -> None:
    indices = np.zeros((1, 1, 4), np.uint8)
    image = np.zeros((1, 1, 1, 4), np.float32)
    case = Case(indices, image, 1)
    method = GeoLS(smoothing=1, seeds="random", random_voxels=1)
    with method.make_maps(
        indices, image, no_background(case), case.geometry, case_id="a",
        scratch_folder=tmp_path, engine=SlowEngine(), grid=Grid(case.indices.shape, BLOCK, BLOCK),
    ) as maps:  # fmt: skip
        assert (read_map(maps, 0, case) == 0).any()
        soft, _, _ = soften(maps, indices, 1)  # type: ignore[arg-type]
    assert (soft == 1).all()


def test_a_constant_image_is_said_to_give_no_support(tmp_path: Path, brain: Case) -> None:
    image = brain.image.copy()
    image[1] = 7
    case = replace(brain, image=image)
    with prepare(GeoLS(), case, tmp_path) as maps:
        assert any("channel 1 is constant" in warning for warning in maps.warnings)
    with prepare(GeoLS(channel_mode="vector"), case, tmp_path) as maps:
        assert not any("constant" in warning for warning in maps.warnings)
    with prepare(GeoLS(intensity_weight=0), case, tmp_path) as maps:
        assert not any("constant" in warning for warning in maps.warnings)
    flat = replace(brain, image=np.zeros_like(brain.image))
    soft, _ = run(GeoLS(), flat)
    # All steps cost the same share of a millimetre: the image's weight makes no difference.
    np.testing.assert_array_equal(soft, run(GeoLS(intensity_weight=0), flat)[0])


def test_a_class_that_is_near_everything_is_named(tmp_path: Path, brain: Case) -> None:
    flat = replace(brain, image=np.zeros_like(brain.image))
    method = GeoLS(metric="fastgeodis", intensity_weight=1.0)
    with prepare(method, flat, tmp_path) as maps:
        assert (read_map(maps, 1, flat) == 1).all()
        assert maps.facts["classes_at_distance_0"] == ["label_1", "label_2", "label_3"]
        assert "from label_1, label_2, label_3:" in maps.warnings[-1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_intensities_that_are_not_finite_are_counted(
    tmp_path: Path, brain: Case, bad: float
) -> None:
    image = brain.image.copy()
    image[1, 2, 5, 6] = image[1, 4, 0, 0] = bad
    message = r"2 intensities are NaN or infinite as float32; .* \(z 2, y 5, x 6\) in channel 1"
    with pytest.raises(InputError, match=message):
        prepare(GeoLS(), replace(brain, image=image), tmp_path)


def test_distances_that_overflow_are_refused_and_nothing_stays(tmp_path: Path) -> None:
    image = np.array([1e15, -1e15] * 3, np.float32).reshape(1, 1, 1, 6)
    far = replace(GOLDEN, image=image, spacing_mm=(1.0, 1.0, 1e24))
    with (
        np.errstate(over="ignore", invalid="ignore"),
        pytest.raises(InputError, match=r"class label_1 are not finite.* Rescale"),
    ):
        prepare(GeoLS(), far, tmp_path, max_memory=0)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extreme", [2e15, -3e38])
def test_intensities_too_large_for_distances_are_refused(
    tmp_path: Path, brain: Case, extreme: float
) -> None:
    image = brain.image.copy()
    image[0, 2, 5, 6] = extreme
    with pytest.raises(InputError, match=r"intensities reach from .* Rescale .*; clip fill"):
        prepare(GeoLS(), replace(brain, image=image), tmp_path)


def test_an_image_of_another_shape_is_refused(tmp_path: Path, brain: Case) -> None:
    with pytest.raises(InputError, match="the shape"):
        prepare(GeoLS(), replace(brain, image=brain.image[..., 1:]), tmp_path)


def test_a_component_without_a_skeleton_is_said(tmp_path: Path) -> None:
    indices = np.zeros((6, 6, 12), np.uint8)
    indices[1:5, 1:5, 1:5] = indices[1:3, 1:3, 8:10] = 1
    case = Case(indices, np.ones((1, *indices.shape), np.float32), 2)
    with prepare(GeoLS(), case, tmp_path) as maps:
        assert maps.facts["seed_voxels"] == {"label_1": 2}
        assert maps.facts["components_without_seeds"] == {"label_1": 2}
        assert "leaves nothing of 2 components of label_1:" in maps.warnings[-1]
        json.dumps(maps.facts, allow_nan=False)


def cube_of_two(indices: NDArray[np.uint8]) -> None:
    indices[1:3, 1:3, 9:11] = 2


def organ_of_91(indices: NDArray[np.uint8]) -> None:
    """A box of 4 x 4 x 6 voxels without five of its corners."""
    indices[1:5, 1:5, 6:12] = 2
    for corner in [(1, 1, 6), (1, 1, 11), (1, 4, 6), (1, 4, 11), (4, 1, 6)]:
        indices[corner] = 0
    assert (indices == 2).sum() == 91


@pytest.mark.parametrize("draw", [cube_of_two, organ_of_91])
@pytest.mark.parametrize("alone", [False, True])
def test_parity_has_no_map_of_a_class_without_a_skeleton(
    tmp_path: Path, draw: Any, alone: bool
) -> None:
    """The authors: no seed, a map of 0, and no part in the background's mean."""
    indices = np.zeros((6, 7, 13), np.uint8)
    draw(indices)
    if not alone:
        indices[1:6, 1:6, 1:4] = 1
    image = np.random.default_rng(0).random((2, *indices.shape)).astype(np.float32)
    case = Case(indices, image, 3)
    masks = {c: skeletonize(indices == c, method="lee") > 0 for c in (1, 2)}
    assert not masks[2].any(), "the case is not what it should be"
    seeds = {c: mask for c, mask in masks.items() if mask.any()}
    found = naive_geols.maps(image, seeds, case.spacing_mm)
    expected = naive_geols.soften(indices, 3, found, smoothing=0.5, normalise=False)

    method = GeoLS(smoothing=0.5, parity="repository")
    soft, sums = run(method, case)
    np.testing.assert_allclose(soft, expected, rtol=0, atol=3 * HALF_A_STEP)
    assert (soft[2] == 0.5 * (indices == 2)).all()
    check_sums(sums, soft, indices)
    with prepare(method, case, tmp_path) as maps:
        assert maps.facts["seed_voxels"]["label_2"] == 0
        assert maps.facts["components_without_seeds"] == {"label_2": 1}
        assert "leaves nothing of 1 component of label_2: no seed is added" in maps.warnings[0]
        assert maps.warnings[1] == "no seed is left of label_2: the map is 0 everywhere"
    # Without parity, the class has a seed.
    with prepare(GeoLS(), case, tmp_path) as maps:
        assert maps.facts["seed_voxels"]["label_2"] == 1
        assert read_map(maps, 2, case).max() == 1


# --- scratch and memory ----------------------------------------------------------------


def test_the_scratch_is_a_file_when_memory_is_short(tmp_path: Path, brain: Case) -> None:
    method, left_over = GeoLS(), tmp_path / "geols.maps"
    left_over.write_bytes(bytes(10**6))
    least = method.case_bytes(brain.indices.shape, 2, 6, 1, engine=SlowEngine())
    size = 2 * brain.indices.size * 3  # foreground classes that occur
    with prepare(method, brain, tmp_path, max_memory=least + size - 1) as maps:
        assert maps.facts["scratch_bytes"] == left_over.stat().st_size == size
    assert not list(tmp_path.iterdir())
    with prepare(method, brain, tmp_path, max_memory=least + size):
        assert not list(tmp_path.iterdir())


def test_a_scratch_that_cannot_be_written_is_said(tmp_path: Path, brain: Case) -> None:
    with pytest.raises(StoreError, match=r"cannot be written .*max-memory") as error:
        prepare(GeoLS(), brain, tmp_path / "missing", max_memory=0)
    assert error.value.path == tmp_path / "missing" / "geols.maps"


def test_a_shortened_scratch_is_noticed(tmp_path: Path, brain: Case) -> None:
    with prepare(GeoLS(), brain, tmp_path, max_memory=0) as maps:
        (tmp_path / "geols.maps").write_bytes(b"1234")
        with pytest.raises(StoreError, match="shorter"):
            soften(maps, brain.indices, 6)  # type: ignore[arg-type]


def test_memory_does_not_grow_with_the_number_of_classes() -> None:
    method, shape = GeoLS(), (512, 512, 512)
    few, many = (method.case_bytes(shape, 1, n, 2, engine=SlowEngine()) for n in (5, 500))
    assert few == many
    assert method.scratch_bytes(shape, 500) == 1000 * 2**27
    block = Grid.for_volume(shape).block
    assert method.workspace_bytes(64, block) == method.workspace_bytes(500, block)


# --- parameters ------------------------------------------------------------------------


def test_parameters_do_not_name_the_engine_among_those_with_the_same_bits() -> None:
    recipes = [GeoLS(engine=name).parameters() for name in ("auto", "numba", "cuda")]
    assert recipes[0] == recipes[1] == recipes[2]
    assert recipes[0]["distances"] == "converged"
    other = GeoLS(engine="fastgeodis", metric="fastgeodis").parameters()
    same_metric = GeoLS(metric="fastgeodis").parameters()
    assert {k for k in other if other[k] != same_metric[k]} == {"distances"}
    parity = GeoLS(parity="repository")
    assert parity.parameters()["distances"] == "repository, bare seeds"
    assert (parity.sums_to_one, GeoLS().sums_to_one) == (False, True)
    json.dumps(parity.parameters(), allow_nan=False)


def test_parameters_name_what_the_seeds_depend_on() -> None:
    random = GeoLS(seeds="random", random_voxels=5, random_seed=3).parameters()
    assert (random["random_voxels"], random["random_seed"]) == (5, 3)
    assert "random_seed" not in GeoLS(random_seed=3).parameters()
    assert GeoLS(seeds="erosion", erosion_voxels=2).seed_options == SeedOptions("erosion", 2)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"smoothing": 1.1}, "smoothing of 1.1 .* 0 to 1"),
        ({"smoothing": float("nan")}, "smoothing of nan"),
        ({"intensity_weight": -1}, "an intensity weight of -1"),
        ({"min_mass": 0.95}, "min mass of 0.95 .* 0 to 0.9"),
        ({"seeds": "middle"}, "skeleton, erosion, random, region"),
        ({"metric": "euclidean"}, "geodistk, fastgeodis"),
        ({"channel_mode": "max"}, "mean, vector"),
        ({"parity": "paper"}, "repository"),
        ({"engine": "fastgeodis"}, "does not compute the metric geodistk"),
        ({"parity": "repository", "engine": "cuda"}, "does not know engine cuda"),
        ({"parity": "repository", "metric": "fastgeodis"}, "does not know the metric"),
        ({"parity": "repository", "min_mass": 0.1}, "does not know a min mass"),
        ({"engine": "parity"}, "for --parity repository"),
    ],
)
def test_options_without_meaning_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        GeoLS(**options)


def test_a_method_travels_to_a_worker() -> None:
    method = GeoLS(0.2, "random", random_seed=5)
    assert pickle.loads(pickle.dumps(method)) == method
