"""SVLS, held against the paper's values and the oracle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.api import svls
from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.methods import SVLS
from tests import naive
from tests.blockwise import SPACING_MM, check_sums, geometry_of, half_steps, soften
from tests.strategies import IGNORED, Labels, blocks, label_maps, sigmas

three_sigmas = st.tuples(sigmas, sigmas, sigmas)


def oracle(labels: Labels, method: SVLS) -> NDArray[np.float16]:
    classes = list(range(labels.class_count))
    sigma: Any = method.sigma_voxels
    ignore = IGNORED if labels.class_count <= IGNORED else None
    facts = (method.kernel_size, sigma, method.slicewise, ignore)
    with np.errstate(invalid="ignore"):  # neighbourhoods without any valid voxel
        return naive.svls(labels.indices, classes, *facts).astype(np.float16)


# The paper's values


@pytest.mark.parametrize(
    ("sigma", "slicewise", "weights"),
    [
        (1.0, True, (0.155615, 0.094385, None)),
        (1.0, False, (0.061647, 0.037391, 0.022679)),
        (0.5, True, (0.220199, 0.029801, None)),
        (0.5, False, (0.128691, 0.017416, 0.002357)),
        (2.0, True, (0.132802, 0.117198, None)),
        (2.0, False, (0.043821, 0.038671, 0.034127)),
    ],
)
def test_the_oracle_has_the_papers_kernel(
    sigma: float, slicewise: bool, weights: tuple[float | None, ...]
) -> None:
    kernel = naive.svls_kernel(3, sigma, slicewise)
    found = (kernel[1, 1, 0], kernel[1, 0, 0], None if slicewise else kernel[0, 0, 0])
    assert found == pytest.approx(weights, abs=1e-6)
    assert kernel.sum() == pytest.approx(2)


def centred(slicewise: bool) -> NDArray[np.int64]:
    labels = np.zeros((1 if slicewise else 3, 3, 3), np.int64)
    labels[labels.shape[0] // 2, 1, 1] = 1
    return labels


EDGE = np.array([[[0, 0, 1, 1]]]).repeat(4, axis=1).repeat(4, axis=0)
CORNER = np.zeros((6, 6, 6), np.int64)
CORNER[:3, :3, :3] = 1
STAIRS = np.array([[[1, 1, 1, 1], [1, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]])

GOLDEN = [
    (centred(True), True, np.s_[0, 1], [0.077807, 0.5, 0.077807]),
    (centred(True), True, np.s_[0, 0], [0.047193, 0.077807, 0.047193]),
    (centred(False), False, np.s_[1, 1], [0.030823, 0.5, 0.030823]),
    (centred(False), False, np.s_[1, 0], [0.018695, 0.030823, 0.018695]),
    (centred(False), False, np.s_[0, 0], [0.011339, 0.018695, 0.011339]),
    (EDGE, True, np.s_[1, 1], [0, 0.172193, 0.827807, 1]),
    (EDGE, False, np.s_[1, 1], [0, 0.150962, 0.849038, 1]),
    (CORNER, True, np.s_[1, 2, 2:3], [0.702807]),
    (CORNER, False, np.s_[1, 2, 2:3], [0.739449]),
    (CORNER, False, np.s_[2, 2, 2:3], [0.659896]),
    (STAIRS, True, np.s_[0, 0], [1, 1, 0.952807, 0.875]),
    (STAIRS, True, np.s_[0, 1], [0.827807, 0.827807, 0.75, 0.25]),
]


@pytest.mark.parametrize(("labels", "slicewise", "where", "expected"), GOLDEN)
def test_golden_values(
    labels: NDArray[Any], slicewise: bool, where: Any, expected: list[float]
) -> None:
    exact = naive.svls(labels, [0, 1], slicewise=slicewise)[1]
    assert exact[where] == pytest.approx(expected, abs=1e-6)
    fast = svls(labels, slicewise=slicewise)[1]
    np.testing.assert_array_equal(fast, exact.astype(np.float16))


@pytest.mark.parametrize("kernel_size", [3, 5, 7])
def test_an_isolated_voxel_is_a_tie(kernel_size: int) -> None:
    indices = np.zeros((5, 6, 7), np.uint8)
    indices[2, 3, 4] = 1
    soft, sums, _ = soften(SVLS(kernel_size), indices, 2)
    assert (sums.ties, sums.argmax_changes) == (1, 0)
    check_sums(sums, soft, indices)


def test_a_tie_beside_a_class_that_weighs_next_to_nothing_is_a_tie() -> None:
    indices = np.full((3, 3, 3), 2, np.uint8)
    indices[1, 1] = 1, 0, 1
    soft, sums, _ = soften(SVLS(sigma_voxels=(0.2, 0.2, 1)), indices, 3)
    assert soft[:2, 1, 1, 1].tolist() == [0.5, 0.5]
    assert soft[2, 1, 1, 1] > 0
    check_sums(sums, soft, indices)


def test_ignored_voxels_elsewhere_change_no_tie() -> None:
    indices = np.zeros((3, 3, 9), np.uint8)
    indices[1, 1, 1] = 1
    indices[1, 1, 6] = IGNORED
    soft, sums, _ = soften(SVLS(), indices, 2)
    assert sums.ties == 1
    check_sums(sums, soft, indices)


# The oracle


@given(label_maps(), three_sigmas, st.booleans(), blocks())
def test_kernels_of_3_voxels_are_the_oracle_to_the_last_bit(
    labels: Labels, sigma: tuple[float, float, float], slicewise: bool, block: Shape
) -> None:
    method = SVLS(sigma_voxels=sigma, slicewise=slicewise)
    soft, sums, _ = soften(method, labels.indices, labels.class_count, block)
    np.testing.assert_array_equal(soft, oracle(labels, method))
    check_sums(sums, soft, labels.indices)


@given(label_maps(largest=14), st.sampled_from([5, 7]), three_sigmas, st.booleans(), blocks())
def test_wider_kernels_are_within_one_float16_of_the_oracle(
    labels: Labels,
    kernel_size: int,
    sigma: tuple[float, float, float],
    slicewise: bool,
    block: Shape,
) -> None:
    method = SVLS(kernel_size, sigma, slicewise=slicewise)
    soft, sums, _ = soften(method, labels.indices, labels.class_count, block)
    assert half_steps(soft, oracle(labels, method)) <= 1
    check_sums(sums, soft, labels.indices)


@given(label_maps(largest=30), st.sampled_from([3, 5, 9]), st.booleans(), blocks())
def test_nothing_depends_on_the_blocks(
    labels: Labels, kernel_size: int, slicewise: bool, block: Shape
) -> None:
    method = SVLS(kernel_size, slicewise=slicewise)
    whole, whole_sums, _ = soften(method, labels.indices, labels.class_count)
    soft, sums, _ = soften(method, labels.indices, labels.class_count, block)
    np.testing.assert_array_equal(soft, whole)
    check_sums(sums, whole, labels.indices)
    check_sums(whole_sums, whole, labels.indices)


@given(label_maps(), st.sampled_from([3, 5]))
def test_soft_labels_add_up_and_the_own_class_has_half(labels: Labels, kernel_size: int) -> None:
    soft, _, _ = soften(SVLS(kernel_size), labels.indices, labels.class_count)
    valid = labels.indices != IGNORED
    total = soft.astype(np.float64).sum(axis=0)
    assert np.abs(total[valid] - 1).max(initial=0) <= 2**-10
    assert not soft[:, ~valid].any()
    own = np.take_along_axis(soft, np.where(valid, labels.indices, 0)[None].astype(int), 0)[0]
    assert (own[valid] >= 0.5).all()


def test_wide_kernels_are_right_for_very_small_sigmas() -> None:
    indices = np.random.default_rng(0).integers(0, 4, (6, 7, 8)).astype(np.uint8)
    for sigma in (0.12, 0.2):
        method = SVLS(5, sigma)
        soft, _, _ = soften(method, indices, 4)
        assert half_steps(soft, oracle(Labels(indices, 4), method)) <= 1


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_one_workspace_serves_one_volume_after_another(kernel_size: int) -> None:
    method, shape = SVLS(kernel_size), (16, 16, 16)
    rng = np.random.default_rng(0)
    workspace = method.workspace(ClassTable.from_values(range(5)), geometry_of(shape), shape)
    region = (slice(0, 16),) * 3
    for ignored in (0.0, 0.3, 0.0, 0.01):
        indices = rng.integers(0, 5, shape).astype(np.uint8)
        indices[rng.random(shape) < ignored] = IGNORED
        (block,) = method.soften(indices, region, workspace)
        found = np.zeros((5, *shape), np.float16)
        found[list(block.class_indices)] = block.values
        assert half_steps(found, oracle(Labels(indices, 5), method)) <= kernel_size // 5


def test_a_part_of_the_volume_gives_what_the_whole_gives() -> None:
    indices = np.random.default_rng(1).integers(0, 3, (12, 14, 16)).astype(np.uint8)
    whole, _, _ = soften(SVLS(5), indices, 3)
    method, shape = SVLS(5), (6, 6, 6)
    workspace = method.workspace(ClassTable.from_values(range(3)), geometry_of(shape), shape)
    part = indices[1:11, 0:10, 4:16]
    (block,) = method.soften(part, (slice(2, 8), slice(0, 6), slice(2, 8)), workspace)
    np.testing.assert_array_equal(block.values, whole[:, 3:9, 0:6, 6:12])


# Classes


@pytest.mark.parametrize("kernel_size", [3, 5])
@pytest.mark.parametrize("class_count", [150, 300])
def test_many_classes_come_in_groups(kernel_size: int, class_count: int) -> None:
    kind: Any = np.uint8 if class_count <= 255 else np.uint16
    indices = np.random.default_rng(2).integers(0, class_count, (5, 6, 20)).astype(kind)
    if class_count <= 255:
        indices[0, :2] = IGNORED
    method = SVLS(kernel_size)
    soft, sums, found = soften(method, indices, class_count)
    assert len(found) == -(-class_count // 64)
    assert all(list(group.class_indices) == sorted(group.class_indices) for group in found)
    exact = oracle(Labels(indices, class_count), method)
    assert half_steps(soft, exact) <= kernel_size // 5
    check_sums(sums, soft, indices)


def test_a_block_of_one_class_has_no_values() -> None:
    indices = np.zeros((4, 4, 12), np.uint8)
    indices[:, :, 7:] = 2
    _, _, found = soften(SVLS(), indices, 3, block=(4, 4, 4))
    assert [group.constants for group in found] == [{0: 1.0}, {}, {2: 1.0}]
    assert [group.class_indices for group in found] == [(), (0, 2), ()]


def test_a_class_beyond_reach_is_left_out() -> None:
    indices = np.array([0, 0, 1, 2], np.uint8)[:, None, None].repeat(4, axis=1)
    method = SVLS(sigma_voxels=(0.1, 1, 1))  # neighbours along Z round to 0
    soft, sums, found = soften(method, indices, 3, block=(2, 4, 1))
    assert [group.class_indices for group in found] == [(0,), (1, 2)]
    np.testing.assert_array_equal(soft, naive.one_hot(indices, [0, 1, 2]))
    check_sums(sums, soft, indices)


def test_an_ignored_block_yields_nothing() -> None:
    indices = np.full((4, 4, 4), IGNORED, np.uint8)
    assert soften(SVLS(), indices, 2)[2] == []


# Sigma and slices


def test_sigma_in_millimetres_follows_the_spacing() -> None:
    indices = np.random.default_rng(3).integers(0, 3, (5, 6, 7)).astype(np.uint8)
    voxels = tuple(2.0 / step for step in SPACING_MM)
    in_mm, _, _ = soften(SVLS(sigma_mm=2.0), indices, 3)
    np.testing.assert_array_equal(in_mm, soften(SVLS(sigma_voxels=voxels), indices, 3)[0])
    per_axis = soften(SVLS(sigma_mm=SPACING_MM), indices, 3)[0]
    np.testing.assert_array_equal(per_axis, soften(SVLS(), indices, 3)[0])


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_pictures_have_no_neighbours_along_z(kernel_size: int) -> None:
    indices = np.random.default_rng(4).integers(0, 3, (1, 9, 9)).astype(np.uint8)
    picture, _, _ = soften(SVLS(kernel_size), indices, 3, ndim=2)
    flat, _, _ = soften(SVLS(kernel_size, slicewise=True), indices, 3)
    thin, _, _ = soften(SVLS(kernel_size), indices, 3)
    np.testing.assert_array_equal(picture, flat)
    assert (picture != thin).any()


def test_slices_do_not_know_of_each_other() -> None:
    indices = np.random.default_rng(5).integers(0, 5, (4, 8, 8)).astype(np.uint8)
    soft, _, _ = soften(SVLS(slicewise=True), indices, 5)
    for z in range(4):
        alone, _, _ = soften(SVLS(slicewise=True), indices[z : z + 1], 5)
        np.testing.assert_array_equal(soft[:, z : z + 1], alone)


# The method as an object


def test_parameters_are_ready_for_json() -> None:
    assert SVLS(sigma_mm=[3, 1, 1]).parameters() == {
        "kernel_size": 3,
        "sigma_voxels": None,
        "sigma_mm": [3.0, 1.0, 1.0],
        "slicewise": False,
    }
    assert SVLS().parameters()["sigma_voxels"] == 1.0
    assert SVLS(**SVLS(5, sigma_mm=2).parameters()) == SVLS(5, sigma_mm=2)


def test_the_halo_is_the_radius() -> None:
    assert SVLS(7).halo(SPACING_MM) == (3, 3, 3)
    assert SVLS(7, slicewise=True).halo(SPACING_MM) == (0, 3, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_size": 4}, "a kernel size of 4 has no meaning. Choose an odd number"),
        ({"kernel_size": 1}, "a kernel size of 1 has no meaning"),
        ({"sigma_voxels": 0}, "a sigma of 0 voxels has no meaning. Choose numbers above 0"),
        ({"sigma_mm": (1, -1, 1)}, "a sigma of (1, -1, 1) mm has no meaning"),
        ({"sigma_voxels": float("nan")}, "a sigma of nan voxels"),
        ({"sigma_voxels": (1, 2)}, "a sigma of 2 numbers has no meaning"),
        ({"sigma_voxels": 1, "sigma_mm": 1}, "sigma is given twice, as 1 voxels and 1 mm"),
    ],
)
def test_parameters_without_meaning_are_refused(arguments: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        SVLS(**arguments)
    assert message in str(caught.value)


def test_a_sigma_that_leaves_the_neighbours_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="neighbours weigh nothing"):
        SVLS(sigma_voxels=0.05).weights(geometry_of((1, 1, 1)))


def arrays_in(thing: Any) -> Iterator[NDArray[Any]]:
    if isinstance(thing, np.ndarray):
        yield thing
    elif isinstance(thing, tuple):
        for part in thing:
            yield from arrays_in(part)
    elif hasattr(thing, "__dict__"):
        yield from arrays_in(tuple(vars(thing).values()))


@pytest.mark.parametrize("method", [SVLS(), SVLS(7), SVLS(5, slicewise=True)])
@pytest.mark.parametrize("class_count", [1, 5, 117, 725])
@pytest.mark.parametrize("block", [(64, 64, 64), (1, 512, 512), (4, 5, 70)])
def test_a_workspace_is_not_larger_than_promised(
    method: SVLS, class_count: int, block: Shape
) -> None:
    classes = ClassTable.from_values(range(class_count))
    workspace = method.workspace(classes, geometry_of(block), block)
    owners = {id(a.base if a.base is not None else a): a for a in arrays_in(workspace)}
    occupied = sum((a.base if a.base is not None else a).nbytes for a in owners.values())
    promised = method.workspace_bytes(class_count, block)
    assert occupied <= promised <= 1.5 * occupied + 2**20
