"""Overlap, raters, volumes and what others make of them: golden values, oracles, edge cases."""

from __future__ import annotations

import math
from itertools import product
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, InputError, UsageError
from softlab_cli.evaluation.metrics.overlap import (
    Confusion,
    Overlap,
    class_mean,
    confusion,
    finite_mean,
)
from softlab_cli.evaluation.metrics.published_overlap import (
    curvas2024_overlap,
    curvas2025_overlap,
    monai_overlap,
    qubiq_overlap,
    svls_overlap,
)
from softlab_cli.evaluation.metrics.raters import (
    THRESHOLDS,
    energy_distances,
    rater_agreement,
    raters_against_others,
    threshold_counts,
)
from softlab_cli.evaluation.metrics.surface import surface_distances
from softlab_cli.evaluation.metrics.volumes import (
    crps_empirical,
    crps_gaussian,
    crps_saturating,
    soft_volume_mm3,
)

from .test_evaluation_surface import CASES, SPACINGS, TOLERANCES, golden, pair


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    total = one.sum() + other.sum()
    return float(2 * (one & other).sum() / total) if total else 1.0


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    union = (one | other).sum()
    return float((one & other).sum() / union) if union else 1.0


@pytest.mark.parametrize("case", CASES)
def test_golden_values_of_overlap(case: str) -> None:
    reference, prediction, c = pair(case)
    found = confusion(reference, prediction, 3).overlap(c)
    figures = {
        "dsc": found.dice, "iou": found.iou, "rvd": found.relative_volume_difference,
    }  # fmt: skip
    if case.endswith("both_empty"):
        assert figures == {"dsc": 1.0, "iou": 1.0, "rvd": 0.0}
        assert found.is_absent
        return
    for name, value in figures.items():
        expected = golden(f"{case}/sp1/{name}")
        if math.isnan(expected):  # a reference without the class
            assert value == math.inf
        else:
            assert value == pytest.approx(expected, abs=1e-12), name


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 9), min_size=2, max_size=3),
    seed=st.integers(0, 2**32),
    threads=st.integers(1, 4),
    ignore=st.sampled_from([None, 255, 3]),
    share=st.sampled_from([0.0, 0.05, 1.0]),
)
def test_pairs_like_numpy(
    shape: list[int], seed: int, threads: int, ignore: int | None, share: float
) -> None:
    rng = np.random.default_rng(seed)
    maps = np.where(rng.random((2, *shape)) < share, rng.integers(0, 6, (2, *shape)), 2)
    maps = maps.astype(np.uint8)
    maps[0][rng.random(shape) < 0.2] = 255
    found = confusion(*maps, 4, ignore_index=ignore, threads=threads)
    kept = maps[0] != (-1 if ignore is None else ignore)
    for a, b in product(range(5), repeat=2):
        first, second = (m >= 4 if c == 4 else m == c for m, c in zip(maps, (a, b), strict=True))
        assert found.counts[a, b] == (first & second & kept).sum()
    assert found.voxels == kept.sum()


def test_runs_of_labels_and_their_ends_are_counted() -> None:
    reference = np.repeat(np.array([0, 1, 0, 2], np.uint8), [200, 70, 3, 127])[None]
    prediction = np.repeat(np.array([0, 1, 2], np.uint8), [210, 63, 127])[None]
    found = confusion(reference, prediction, 3)
    assert found.counts[:3, :3].tolist() == [[200, 3, 0], [10, 60, 0], [0, 0, 127]]


def test_blocks_and_cases_are_added_up_beyond_32_bits() -> None:
    rng = np.random.default_rng(0)
    maps = rng.integers(0, 3, (2, 7, 8, 9)).astype(np.uint8)
    parts = [confusion(*(m[part] for m in maps), 3) for part in (slice(0, 3), slice(3, 7))]
    assert ((parts[0] + parts[1]).counts == confusion(*maps, 3).counts).all()
    large = Confusion(np.full((2, 2), 2**33, np.int64))
    assert (large + large).overlap(0) == Overlap(0, 2**35, 2**35, 2**34)
    assert (large + large).overlap(0).dice == 0.5
    assert Overlap(2, 10, 4, 3) + Overlap(2, 5, 6, 1) == Overlap(2, 15, 10, 4)


def test_volumes_in_mm3() -> None:
    found = Overlap(1, 100, 130, 90)
    assert found.reference_volume_mm3(1.5) == 150
    assert found.prediction_volume_mm3(1.5) == 195
    assert found.volume_difference_mm3(1.5) == 45
    assert found.relative_volume_difference == pytest.approx(0.3)


def test_absent_classes_are_left_out_of_means_and_counted() -> None:
    overlaps = [Overlap(1, 10, 10, 5), Overlap(2, 0, 0, 0), Overlap(3, 0, 4, 0)]
    found = class_mean(overlaps, lambda o: o.dice)
    assert (found.value, found.count, found.left_out) == (0.25, 2, 1)
    rest = finite_mean([1.0, math.inf, math.nan])
    assert (rest.value, rest.count, rest.left_out) == (1.0, 1, 2)
    assert math.isnan(finite_mean([]).value)


def test_all_voxels_ignored() -> None:
    nothing = np.full((2, 3, 4), 255, np.uint8)
    found = confusion(nothing, np.ones_like(nothing), 2, ignore_index=255)
    assert found.voxels == 0
    assert found.overlap(1).is_absent


def test_what_has_no_meaning_is_refused() -> None:
    a = np.zeros((2, 3, 4), np.uint8)
    with pytest.raises(GeometryError, match="are not on one grid"):
        confusion(a, a[:1], 2)
    with pytest.raises(UsageError, match="5000 classes"):
        confusion(a, a, 5000)
    with pytest.raises(UsageError, match="no raters"):
        rater_agreement([], a, 2)
    with pytest.raises(UsageError, match="no others"):
        raters_against_others([a], [1])
    with pytest.raises(UsageError, match="ascending"):
        threshold_counts(a, a, 2, thresholds=[0.5, 0.5])
    with pytest.raises(InputError, match="1 of 24 predicted values are NaN"):
        threshold_counts(np.where(np.arange(24) == 3, np.nan, 0.5).reshape(2, 3, 4), a, 2)
    with pytest.raises(UsageError, match="one finite number"):
        crps_gaussian([], 1.0)


# ---- raters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def maps() -> NDArray[np.uint8]:
    """Three raters and a prediction; class 3 in one rater only, class 4 nowhere."""
    rng = np.random.default_rng(5)
    base = rng.integers(0, 3, (6, 7, 8))
    every = np.stack([np.where(rng.random(base.shape) < 0.25, rng.integers(0, 3, base.shape), base)
                      for _ in range(4)])  # fmt: skip
    every[1, 2, 3, 4] = 3
    return every.astype(np.uint8)


def agreement_by_definition(
    raters: NDArray[Any], prediction: NDArray[Any], c: int
) -> tuple[float, float]:
    said, predicted = raters == c, prediction == c
    agreed = said.all(axis=0) | ~said.any(axis=0)
    consensus = dice(said.all(axis=0) & agreed, predicted & agreed)
    return consensus, float(np.mean([dice(one & ~agreed, predicted & ~agreed) for one in said]))


def test_consensus_and_dissensus(maps: NDArray[np.uint8]) -> None:
    found = rater_agreement(list(maps[:3]), maps[3], 5)
    for c in range(5):
        consensus, dissensus = agreement_by_definition(maps[:3], maps[3], c)
        assert found.consensus_dice(c) == pytest.approx(consensus), c
        assert found.dissensus_dice(c) == pytest.approx(dissensus), c
    halves = [rater_agreement(list(maps[:3, part]), maps[3, part], 5)
              for part in (slice(0, 2), slice(2, 6))]  # fmt: skip
    assert (halves[0] + halves[1]).dissensus_dice(1) == found.dissensus_dice(1)


def test_what_one_rater_ignores_counts_nowhere(maps: NDArray[np.uint8]) -> None:
    marked = maps.copy()
    marked[2, :3] = 255
    found = rater_agreement(list(marked[:3]), maps[3], 5, ignore_index=255)
    rest = rater_agreement(list(maps[:3, 3:]), maps[3, 3:], 5)
    for one, other in zip(vars(found).values(), vars(rest).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_energy_distance(maps: NDArray[np.uint8]) -> None:
    samples, raters = list(maps[2:]), list(maps[:2])
    found = energy_distances(samples, raters, [0, 1, 2, 4])
    for place, c in enumerate([0, 1, 2, 4]):

        def mean(one: Any, other: Any, c: int = c) -> float:
            return float(np.mean([1 - iou(a == c, b == c) for a in one for b in other]))

        expected = 2 * mean(samples, raters) - mean(samples, samples) - mean(raters, raters)
        assert found[place] == pytest.approx(expected), c
    assert found[3] == 0
    assert energy_distances(raters, raters, [1])[0] == pytest.approx(0, abs=1e-15)
    empty, full = np.zeros((2, 2), np.uint8), np.ones((2, 2), np.uint8)
    assert energy_distances([empty], [full], [1])[0] == 2


def test_the_human_line(maps: NDArray[np.uint8]) -> None:
    found = raters_against_others(list(maps[:3]), [1, 3, 4])
    for r in range(3):
        others = [dice(maps[r] == 1, maps[o] == 1) for o in range(3) if o != r]
        assert found[r, 0] == pytest.approx(np.mean(others))
    # Class 3 is in rater 1 only: the others do not have it, and are right not to.
    assert found[:, 1].tolist() == [0.0, 0.0, 0.0]
    assert np.isnan(found[:, 2]).all()
    marked = maps.copy()
    marked[0, :2], marked[1, 2:3] = 255, 255
    pairwise = raters_against_others(list(marked[:2]), [1], ignore_index=255)
    assert pairwise[0, 0] == pytest.approx(dice(maps[0, 3:] == 1, maps[1, 3:] == 1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_thresholded_dice(dtype: Any) -> None:
    rng = np.random.default_rng(6)
    raters = rng.random((5, 4, 6, 7)) < 0.4
    soft = (rng.integers(0, 11, raters.shape[1:]) / 10).astype(dtype)
    votes = raters.sum(axis=0)
    found = threshold_counts(soft, votes, 5)
    # .8 as float16 is below .8, as float32 above it; a share of 4 in 5 is neither.
    every = [dice(votes / 5 > t, soft.astype(np.float64) > t) for t in np.linspace(0.1, 0.8, 6)]
    assert found.dice == pytest.approx(np.mean(every))
    assert [found.dice_at(i) for i in range(6)] == pytest.approx(every)
    halves = [threshold_counts(soft[p], votes[p], 5) for p in (slice(0, 1), slice(1, 4))]
    assert (halves[0] + halves[1]).dice == found.dice
    counted = rng.random(soft.shape) < 0.5
    kept = threshold_counts(soft[counted][None], votes[counted][None], 5)
    assert (threshold_counts(soft, votes, 5, counted=counted).levels == kept.levels).all()
    assert threshold_counts(soft * 0, votes * 0, 5).dice == 1.0
    assert len(THRESHOLDS) == 6


# ---- volumes ---------------------------------------------------------------------------------

RATERS = (100.0, 104.0, 110.0)


@pytest.mark.parametrize(
    ("predicted", "empirical", "gaussian"),
    [(130, 23.1, 23.0), (200, 93.1, 93.0), (500, 393.1, 393.0)],
)
def test_crps_tells_far_volumes_apart(predicted: float, empirical: float, gaussian: float) -> None:
    assert crps_empirical(RATERS, predicted) == pytest.approx(empirical, abs=0.05)
    assert crps_gaussian(RATERS, predicted) == pytest.approx(gaussian, abs=0.05)
    assert crps_saturating(RATERS, predicted) == pytest.approx(10.04, abs=0.005)


def test_crps_where_raters_agree_is_the_difference() -> None:
    assert crps_empirical([50.0] * 3, 70) == 20
    assert crps_gaussian([50.0] * 3, 70) == 20
    assert crps_empirical([50.0], 30) == 20
    assert crps_saturating([50.0] * 3, 70) == 0  # its fault


@pytest.mark.parametrize("predicted", [20.0, 100.0, 105.5, 111.0, 190.0])
@pytest.mark.parametrize("volumes", [RATERS, (30.0, 170.0), (80.0, 80.0, 80.0, 120.0)])
def test_crps_is_the_integral_that_it_says(volumes: tuple[float, ...], predicted: float) -> None:
    mean, deviation = float(np.mean(volumes)), float(np.std(volumes))
    normal = NormalDist(mean, deviation)
    width = 0.1
    # Middles of steps, and no jump inside of a step.
    x = np.arange(-300, 500, width) + width / 2
    step = (x >= predicted) * 1.0
    shares = np.mean([x >= v for v in volumes], axis=0)
    cdf = np.array([normal.cdf(value) for value in x.tolist()])
    nodes = np.linspace(normal.inv_cdf(0.01), normal.inv_cdf(0.99), 100)
    linear = np.interp(x, nodes, [normal.cdf(n) for n in nodes.tolist()], left=0, right=1)
    inside = np.abs(x - mean) <= 3 * deviation

    def integral(squares: NDArray[Any], within: float = 1e-3) -> Any:
        return pytest.approx(float(squares.sum()) * width, abs=within)

    assert crps_empirical(volumes, predicted) == integral((shares - step) ** 2)
    assert crps_gaussian(volumes, predicted) == integral((cdf - step) ** 2)
    cut = ((linear - step) ** 2)[inside]
    assert crps_saturating(volumes, predicted) == integral(cut, 2 * width)


def test_volumes_of_float16_are_summed_exactly() -> None:
    soft = np.full(2**20 + 3, 0.01, np.float16)
    assert soft_volume_mm3(soft, 2.0) == len(soft) * float(np.float16(0.01)) * 2.0
    assert soft_volume_mm3(np.zeros((0, 3), np.float32), 1.0) == 0


# ---- what others make of it ------------------------------------------------------------------

MONAI_NAMES = {
    "dice": "dsc", "iou": "iou", "hausdorff_mm": "hd", "hausdorff_95_mm": "hd95",
    "assd_mm": "assd", **{f"surface_dice_{t:g}mm": f"sdsc{t:g}" for t in TOLERANCES},
}  # fmt: skip


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("case", CASES)
def test_golden_values_of_monai(case: str, spacing: str) -> None:
    reference, prediction, c = pair(case)
    masks = (reference == c, prediction == c)
    found = monai_overlap(*masks, SPACINGS[spacing], tolerances_mm=TOLERANCES)
    for ours, theirs in MONAI_NAMES.items():
        expected = golden(f"{case}/{spacing}/{theirs}/monai")
        # It interpolates percentiles in float32.
        assert found[ours] == pytest.approx(expected, abs=2e-5, nan_ok=True), ours


def test_parity_with_svls_is_one_sided() -> None:
    reference, prediction, c = pair("real_roll2/class1")
    overlap = confusion(reference, prediction, 3).overlap(c)
    (surfaces,) = surface_distances(reference, prediction, SPACINGS["sp3"], [c])
    found = svls_overlap(overlap, surfaces)
    assert found["surface_dice_2mm"] == pytest.approx(0.8640007, abs=1e-6)
    assert found["dice"] == overlap.dice


CURVAS_2024_SAYS = 0.4192063808441162
"""DiceMetric of MONAI 1.6.1, as CURVAS 2024 calls it, on the arrays of the test below."""


def test_parity_with_curvas_2024_averages_rows() -> None:
    """DiceMetric takes (Z, Y, X) for cases, channels and one axis, and drops a first channel."""
    rng = np.random.default_rng(7)
    raters = rng.random((3, 4, 6, 7)) < 0.6
    raters[:, 1] = False
    prediction = rng.random((4, 6, 7)) < 0.5
    found = curvas2024_overlap(list(raters), prediction, RATERS, 500)
    assert found["consensus_dice"] == pytest.approx(CURVAS_2024_SAYS, abs=1e-6)
    assert found["crps_mm3"] == pytest.approx(10.04, abs=0.005)
    assert curvas2024_overlap(list(raters & False), prediction, RATERS, 1)["consensus_dice"] == 0


def test_parity_with_curvas_2025_and_qubiq() -> None:
    rng = np.random.default_rng(8)
    raters = rng.random((5, 3, 4, 5)) < 0.3
    soft = rng.random((3, 4, 5))
    share = raters.mean(axis=0)
    every = []
    for t in np.linspace(0.1, 0.8, 6):
        one, other = soft > t, share > t
        total = one.sum() + other.sum()
        every.append(2 * (one & other).sum() / (total + 1e-6) if total else 1.0)
    found = curvas2025_overlap(list(raters), soft, RATERS, 500)
    assert found["thresholded_dice"] == pytest.approx(np.mean(every), abs=1e-12)
    assert found["crps_mm3"] == crps_saturating(RATERS, 500)
    tenths = [dice(soft > i / 10, share > i / 10) for i in range(1, 10)]
    assert qubiq_overlap(list(raters), soft)["thresholded_dice"] == pytest.approx(np.mean(tenths))
