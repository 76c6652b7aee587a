"""mSVLS, held against the mean of the raters' SVLS."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError
from softlab_cli.core.softblock import SoftSums
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.methods.raters.base import FusedLabels
from softlab_cli.methods.raters.blending import _blend_table
from softlab_cli.methods.raters.msvls import MSVLS
from softlab_cli.methods.svls.svls import SVLS
from tests import naive, naive_raters
from tests.blockwise import SPACING_MM, check_sums, geometry_of, half_steps, soften
from tests.conftest import blobs
from tests.raters_support import Raters, edited, rater_sets
from tests.strategies import IGNORED, blocks, sigmas

UINT8 = np.dtype(np.uint8)


def fuse(method: MSVLS, raters: Raters) -> FusedLabels:
    return method.fuse(raters.patterns, raters.names, 0)


def run(
    method: MSVLS, raters: Raters, block: Shape = (64, 64, 64), ndim: int = 3
) -> tuple[NDArray[np.float16], SoftSums]:
    labels = fuse(method, raters)
    found = soften(labels, labels.fused.indices, raters.class_count, block, ndim)  # type: ignore[arg-type]
    return found[0], found[1]


def oracle(raters: Raters, method: MSVLS) -> NDArray[np.float64]:
    """SVLS of the raters' shares; without ignored voxels, the mean of the raters' SVLS."""
    kernel = naive.svls_kernel(method.kernel_size, method.svls.sigma_voxels, method.slicewise)
    return naive_raters.smooth(naive_raters.share(raters.signed, raters.class_count), kernel)


# The paper's values, and the paper's way


def test_two_raters_whose_edges_lie_one_voxel_apart() -> None:
    one = np.tile(np.array([0, 0, 1, 1, 1, 1], np.uint8), (1, 5, 1))
    other = np.tile(np.array([0, 0, 0, 1, 1, 1], np.uint8), (1, 5, 1))
    soft, sums = run(MSVLS(), Raters(np.stack([one, other]), 2), ndim=2)
    golden = [0, 0.086097, 0.5, 0.913903, 1, 1]
    np.testing.assert_allclose(soft[1, 0, 2], golden, atol=3e-4)
    assert sums.ties == 5


@pytest.mark.parametrize("count", range(1, 13))
def test_it_is_the_mean_of_the_raters_svls(count: int) -> None:
    raters = edited(blobs((6, 9, 70), 4), 4, [0.1] * count, seed=count)
    kernel = naive.svls_kernel(3, 1.0, False)
    paper = naive_raters.mean_of_svls(raters.signed, 4, kernel)
    assert np.abs(oracle(raters, MSVLS()) - paper).max() < 1e-12
    soft, _ = run(MSVLS(), raters)
    assert half_steps(soft, paper.astype(np.float16)) <= 1
    # Both are correctly rounded but for values that lie between two float16 numbers.
    assert (soft != paper.astype(np.float16)).mean() < 1e-3


def test_before_rounding_it_is_the_mean_to_1e_6() -> None:
    """Half a float16 step is 1.2e-4 near 1/2; small values show what is before rounding."""
    raters = edited(np.zeros((5, 9, 9), np.uint8), 2, [0.0] * 12)
    raters.indices[3, 2, 4, 4] = 1
    kernel = naive.svls_kernel(3, 0.3, False)
    paper = naive_raters.mean_of_svls(raters.signed, 2, kernel)
    soft, _ = run(MSVLS(sigma_voxels=0.3), raters)
    small = (paper > 0) & (paper < 1e-3)
    assert small.sum() == 20
    assert np.abs(soft.astype(float) - paper)[small].max() < 1e-6


# Against the oracle, for all kinds of raters


@given(rater_sets(), blocks(), st.booleans(), st.tuples(sigmas, sigmas, sigmas))
def test_it_is_svls_of_the_shares(
    raters: Raters, block: Shape, slicewise: bool, sigma: tuple[float, float, float]
) -> None:
    method = MSVLS(sigma_voxels=sigma, slicewise=slicewise)
    soft, sums = run(method, raters, block)
    assert half_steps(soft, oracle(raters, method).astype(np.float16)) <= 1
    hard = fuse(method, raters).fused.hard_label(UINT8, IGNORED)
    check_sums(sums, soft, hard)


@given(rater_sets(largest=9, most=5), blocks(), st.booleans(), st.sampled_from([5, 7]))
@settings(max_examples=40)
def test_wider_kernels(raters: Raters, block: Shape, slicewise: bool, size: int) -> None:
    method = MSVLS(kernel_size=size, sigma_voxels=1.4, slicewise=slicewise)
    soft, sums = run(method, raters, block)
    assert half_steps(soft, oracle(raters, method).astype(np.float16)) <= 1
    check_sums(sums, soft, fuse(method, raters).fused.hard_label(UINT8, IGNORED))


@pytest.mark.parametrize("size", [3, 5])
def test_regions_where_raters_disagree_throughout(size: int) -> None:
    indices = np.zeros((3, 12, 20, 140), np.uint8)
    indices[1:, :, 10:] = 1
    indices[2, :, :, 70:] = 2
    raters = Raters(indices, 3)
    method = MSVLS(kernel_size=size)
    for block in [(12, 20, 140), (4, 20, 64), (4, 4, 64)]:
        soft, sums = run(method, raters, block)
        assert half_steps(soft, oracle(raters, method).astype(np.float16)) <= 1
        check_sums(sums, soft, fuse(method, raters).fused.hard_label(UINT8, IGNORED))
    assert sums.ties > 12 * 6 * 60


@given(rater_sets())
def test_soft_labels_make_a_whole(raters: Raters) -> None:
    soft, _ = run(MSVLS(), raters)
    labelled = (raters.indices != IGNORED).any(axis=0)
    total = soft.astype(float).sum(axis=0)
    np.testing.assert_allclose(total[labelled], 1, atol=2**-10)
    assert not total[~labelled].any()


def test_more_classes_than_are_in_memory_at_once() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 150, (6, 6, 6)).astype(np.uint8)
    truth = truth.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)
    raters = edited(truth, 150, [0.1, 0.2, 0.3])
    raters.indices[:, :2, :3] = IGNORED
    soft, sums = run(MSVLS(), raters)
    assert half_steps(soft, oracle(raters, MSVLS()).astype(np.float16)) <= 1
    check_sums(sums, soft, fuse(MSVLS(), raters).fused.hard_label(UINT8, IGNORED))
    wide = MSVLS(kernel_size=5)
    soft, sums = run(wide, raters)
    assert half_steps(soft, oracle(raters, wide).astype(np.float16)) <= 1
    check_sums(sums, soft, fuse(wide, raters).fused.hard_label(UINT8, IGNORED))


@pytest.mark.parametrize("size", [3, 5])
def test_classes_that_occur_in_blends_only(size: int) -> None:
    rng = np.random.default_rng(1)
    raters = Raters(rng.integers(0, 150, (3, 8, 8, 16)).astype(np.uint8), 150)
    method = MSVLS(kernel_size=size)
    soft, sums = run(method, raters, (4, 8, 8))
    assert half_steps(soft, oracle(raters, method).astype(np.float16)) <= 1
    check_sums(sums, soft, fuse(method, raters).fused.hard_label(UINT8, IGNORED))


# What must not change a bit


@given(rater_sets(most=1), blocks(), st.booleans(), st.sampled_from([3, 5]))
def test_one_rater_is_svls(raters: Raters, block: Shape, slicewise: bool, size: int) -> None:
    soft, sums = run(MSVLS(kernel_size=size, slicewise=slicewise), raters, block)
    method = SVLS(kernel_size=size, slicewise=slicewise)
    expected = soften(method, raters.indices[0], raters.class_count, block)
    np.testing.assert_array_equal(soft, expected[0])
    np.testing.assert_array_equal(sums.mass, expected[1].mass)
    assert (sums.entropy, sums.ties) == (expected[1].entropy, expected[1].ties)


@pytest.mark.parametrize("count", [2, 3, 7])
def test_raters_who_agree_are_svls(count: int) -> None:
    raters = edited(blobs((9, 20, 70), 5), 5, [0.0] * count)
    soft, _ = run(MSVLS(), raters)
    np.testing.assert_array_equal(soft, soften(SVLS(), raters.indices[0], 5)[0])


def test_far_from_disagreement_it_is_svls() -> None:
    raters = edited(blobs((9, 20, 90), 5), 5, [0.0] * 3)
    raters.indices[1, 4, 10, 40] = (raters.indices[0, 4, 10, 40] + 1) % 5
    soft, _ = run(MSVLS(), raters)
    expected, _, _ = soften(SVLS(), raters.indices[0], 5)
    differ = np.argwhere((soft != expected).any(axis=0))
    assert len(differ)
    assert (np.abs(differ - [4, 10, 40]) <= 1).all()


@given(rater_sets(), st.randoms(use_true_random=False), st.sampled_from([3, 5]))
def test_the_order_of_raters_does_not_matter(
    raters: Raters, random: st.RandomType, size: int
) -> None:
    order = list(range(len(raters.indices)))
    random.shuffle(order)
    shuffled = Raters(raters.indices[order], raters.class_count)
    method = MSVLS(kernel_size=size)
    one, sums = run(method, raters, (5, 7, 70))
    other, other_sums = run(method, shuffled, (5, 7, 70))
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(sums.mass, other_sums.mass)


@given(rater_sets(), blocks(), blocks(), st.sampled_from([3, 5]))
def test_blocks_do_not_matter(raters: Raters, block: Shape, other: Shape, size: int) -> None:
    method = MSVLS(kernel_size=size)
    one, sums = run(method, raters, block)
    two, other_sums = run(method, raters, other)
    np.testing.assert_array_equal(one, two)
    assert sums.entropy == other_sums.entropy
    assert (sums.ties, sums.argmax_changes) == (other_sums.ties, other_sums.argmax_changes)


def test_a_rater_twice_counts_twice() -> None:
    raters = edited(blobs((6, 12, 70), 3), 3, [0.1, 0.2])
    twice = Raters(raters.indices[[0, 0, 1]], 3)
    weighted = MSVLS(rater_weights={"r0": 2, "r1": 1})
    one, _ = run(MSVLS(), twice)
    other, _ = run(weighted, raters)
    assert half_steps(one, other) <= 1


# Ignored voxels


def test_a_voxel_that_one_rater_ignored_is_the_others() -> None:
    raters = edited(blobs((6, 12, 20), 3), 3, [0.0, 0.0])
    raters.indices[1, 2:4] = IGNORED
    soft, _ = run(MSVLS(), raters)
    np.testing.assert_array_equal(soft, soften(SVLS(), raters.indices[0], 3)[0])


def test_raters_who_ignored_the_same_voxels_are_the_mean_of_their_svls() -> None:
    raters = edited(blobs((6, 12, 20), 3), 3, [0.1, 0.1, 0.2])
    raters.indices[:, np.random.default_rng(0).random((6, 12, 20)) < 0.3] = IGNORED
    kernel = naive.svls_kernel(3, 1.0, False)
    paper = naive_raters.mean_of_svls(raters.signed, 3, kernel)
    soft, _ = run(MSVLS(), raters)
    assert half_steps(soft, paper.astype(np.float16)) <= 1


def test_all_ignored() -> None:
    raters = Raters(np.full((3, 4, 5, 6), IGNORED, np.uint8), 2)
    soft, sums = run(MSVLS(), raters)
    assert not soft.any()
    assert not sums.mass.any()
    assert (sums.ties, sums.entropy) == (0, 0)


# Parameters


def test_sigma_in_millimetres() -> None:
    raters = edited(blobs((6, 12, 20), 3), 3, [0.1, 0.2])
    voxels = tuple(1.2 / step for step in SPACING_MM)
    one, _ = run(MSVLS(sigma_mm=1.2), raters)
    other, _ = run(MSVLS(sigma_voxels=voxels), raters)
    np.testing.assert_array_equal(one, other)


def test_a_picture_is_smoothed_in_its_plane() -> None:
    raters = edited(blobs((1, 20, 30), 3), 3, [0.1, 0.2])
    one, _ = run(MSVLS(), raters, ndim=2)
    other, _ = run(MSVLS(slicewise=True), raters)
    np.testing.assert_array_equal(one, other)


def test_parameters_are_those_of_svls_and_the_weights() -> None:
    method = MSVLS(sigma_mm=(1, 2, 3), rater_weights={"a": 1.0})
    assert method.parameters() == {
        **SVLS(sigma_mm=(1, 2, 3)).parameters(),
        "rater_weights": {"a": 1.0},
    }
    assert MSVLS().parameters()["rater_weights"] is None


def test_a_method_travels_to_a_worker() -> None:
    method = pickle.loads(pickle.dumps(MSVLS(sigma_voxels=2.0)))
    raters = edited(blobs((4, 8, 8), 3), 3, [0.1, 0.2])
    np.testing.assert_array_equal(run(method, raters)[0], run(MSVLS(sigma_voxels=2.0), raters)[0])


@pytest.mark.parametrize(
    "parameters", [{"kernel_size": 4}, {"sigma_voxels": 0.0}, {"sigma_voxels": 1, "sigma_mm": 1}]
)
def test_parameters_without_meaning_are_refused_at_once(parameters: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        MSVLS(**parameters)


def test_a_rater_without_a_weight_is_named() -> None:
    raters = edited(blobs((4, 8, 8), 3), 3, [0.1, 0.2])
    with pytest.raises(UsageError, match="rater r1 has no weight"):
        run(MSVLS(rater_weights={"r0": 1.0}), raters)


def test_weights_and_ties_are_told() -> None:
    raters = edited(blobs((4, 8, 8), 3), 3, [0.1, 0.2])
    facts = fuse(MSVLS(rater_weights={"r0": 3, "r1": 1, "other": 9}), raters).facts
    assert facts["rater_weights"] == {"r0": 0.75, "r1": 0.25}
    assert fuse(MSVLS(), raters).facts["ties"] == naive_raters.majority(raters.signed, 3)[1]


# Memory


@pytest.mark.parametrize("method", [MSVLS(), MSVLS(kernel_size=5), MSVLS(slicewise=True)])
def test_the_bound_of_a_workspace_holds(method: MSVLS) -> None:
    raters = edited(blobs((40, 40, 70), 9), 9, [0.5] * 4)
    labels = fuse(method, raters)
    block = (16, 16, 64)
    workspace = labels.workspace(None, geometry_of((40, 40, 70)), block)  # type: ignore[arg-type]
    for region in [(slice(0, 16), slice(0, 16), slice(0, 64))]:
        list(labels.soften(labels.fused.indices, region, workspace))
    assert _held(workspace) <= method.workspace_bytes(9, block)


def _held(thing: Any, seen: set[int] | None = None) -> int:
    """Bytes of all arrays that something holds, each counted once."""
    seen = set() if seen is None else seen
    if isinstance(thing, np.ndarray):
        base = thing if thing.base is None else thing.base
        if id(base) in seen:
            return 0
        seen.add(id(base))
        return int(base.nbytes)
    if isinstance(thing, tuple):
        return sum(_held(part, seen) for part in thing)
    return sum(_held(part, seen) for part in getattr(thing, "__dict__", {}).values())


def test_many_patterns_take_wider_numbers() -> None:
    rng = np.random.default_rng(0)
    raters = Raters(rng.integers(0, 30, (5, 4, 40, 40)).astype(np.uint8), 30)
    labels = fuse(MSVLS(), raters)
    assert labels.fused.indices.dtype == np.uint16
    soft, _ = run(MSVLS(), raters, (4, 8, 64))
    assert half_steps(soft, oracle(raters, MSVLS()).astype(np.float16)) <= 1
    assert len(_blend_table(labels.fused).halves) == len(labels.fused.blends.shares.classes)


def test_the_volume_may_be_read_only() -> None:
    raters = edited(blobs((4, 8, 8), 3), 3, [0.1, 0.2])
    raters.indices.flags.writeable = False
    patterns = find_patterns(raters.indices, 3, IGNORED)
    assert patterns.rater_count == 2
