"""Surface distances: golden values of DeepMind's code, a naive oracle, edge cases."""

from __future__ import annotations

import json
import math
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, UsageError
from softlab_cli.evaluation.metrics import distances as distances_module
from softlab_cli.evaluation.metrics.distances import PointSet, nearest_distances
from softlab_cli.evaluation.metrics.surface import (
    SurfaceDistances,
    pool_surfaces,
    surface_distances,
)
from softlab_cli.evaluation.metrics.surfel_areas import contour_lengths, surfel_areas

from . import naive_surfaces

HERE = Path(__file__).parent
GOLDEN: dict[str, Any] = json.loads((HERE / "golden_surfaces.json").read_text())
MAPS = np.load(HERE / "golden_surfaces.npz")
SPACINGS = {"sp1": (1.0, 1.0, 1.0), "sp3": (3.0, 0.7, 0.7)}
TOLERANCES = (1.0, 2.0, 5.0)

EDGES = [name.removeprefix("edge_") for name in MAPS.files if name.startswith("edge_")]
CASES = [f"{case}/class{c}" for case in ("real", "real_roll2") for c in (1, 2)]
CASES += [f"edge/{name}" for name in EDGES]


def pair(case: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8], int]:
    """Reference, prediction and class of a golden case."""
    kind, name = case.split("/")
    if kind == "edge":
        reference, prediction = MAPS[f"edge_{name}"]
        return reference, prediction, 1
    reference = MAPS["real_target"]
    prediction = MAPS["real_prediction"] if kind == "real" else np.roll(reference, 2, 1)
    return reference, prediction, int(name.removeprefix("class"))


def golden(key: str) -> float:
    return float(GOLDEN[key])


def same(value: float, expected: float) -> bool:
    return value == pytest.approx(expected, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("case", CASES)
def test_golden_values_of_deepmind(case: str, spacing: str) -> None:
    reference, prediction, c = pair(case)
    (found,) = surface_distances(
        reference, prediction, SPACINGS[spacing], [c], tolerances_mm=TOLERANCES
    )
    key = f"{case}/{spacing}/"
    figures = {
        "assd_pooled": found.assd_mm,
        **{f"sdsc{t:g}": found.surface_dice(t) for t in TOLERANCES},
    }
    # Where DeepMind's has infinity for no surface at all, or nan for one, ours says it otherwise.
    if found.is_finite:
        figures["asd_mean_of_two"] = found.mean_of_directions_mm
        for t in TOLERANCES:
            figures[f"overlap{t:g}_pred_within_gt"] = found.one_sided_surface_dice(t)
    if not case.endswith("both_empty"):
        figures |= {"hd": found.hausdorff_mm, "hd95": found.hausdorff_95_mm}
    else:
        figures = {"assd_pooled": found.assd_mm}
    for name, value in figures.items():
        assert same(value, golden(f"{key}{name}/deepmind")), (name, value)


def test_the_value_that_others_differ_in() -> None:
    reference, prediction, c = pair("real_roll2/class1")
    (found,) = surface_distances(reference, prediction, (3, 0.7, 0.7), [c])
    assert found.surface_dice(2) == pytest.approx(0.9275535, abs=1e-6)
    assert found.hausdorff_95_mm == pytest.approx(4.2579338, abs=1e-6)
    assert found.assd_mm == pytest.approx(0.611853, abs=1e-6)
    assert found.mean_of_directions_mm == pytest.approx(0.5955215, abs=1e-6)


@pytest.mark.parametrize("names", [("reference",), ("prediction",), ("reference", "prediction")])
def test_without_a_surface(names: tuple[str, ...]) -> None:
    masks = {
        "reference": np.zeros((3, 4, 5), np.uint8),
        "prediction": np.zeros((3, 4, 5), np.uint8),
    }
    for name in {"reference", "prediction"} - set(names):
        masks[name][1, 1, 1] = 1
    (found,) = surface_distances(masks["reference"], masks["prediction"], (1, 1, 1), [1])
    both = len(names) == 2
    assert found.surface_dice(2) == found.one_sided_surface_dice(2) == (1.0 if both else 0.0)
    for value in (found.hausdorff_mm, found.hausdorff_95_mm, found.assd_mm):
        assert math.isnan(value) if both else value == math.inf
    assert not found.is_finite
    assert found.left_out == 1


def test_one_voxel_against_another() -> None:
    """Eight corners each, sqrt(3)/8 of area; two voxels apart four of them are 1 or 2 mm away."""
    masks = np.zeros((2, 5, 5, 5), np.uint8)
    masks[0, 2, 2, 1] = masks[1, 2, 2, 3] = 1
    (apart,) = surface_distances(masks[0], masks[1], (1, 1, 1), [1], tolerances_mm=(1,))
    assert apart.reference.area == pytest.approx(math.sqrt(3))
    assert (apart.hausdorff_mm, apart.hausdorff_95_mm) == (2.0, 2.0)
    assert apart.assd_mm == pytest.approx(1.5)
    assert apart.surface_dice(1) == pytest.approx(0.5)
    (itself,) = surface_distances(masks[0], masks[0], (1, 1, 1), [1], tolerances_mm=(0,))
    assert (itself.surface_dice(0), itself.hausdorff_mm, itself.assd_mm) == (1.0, 0.0, 0.0)


def test_an_object_that_fills_the_volume_is_closed_at_its_border() -> None:
    """A box whose edges and corners marching cubes cuts off by half a voxel."""
    full = np.ones((3, 4, 5), np.uint8)
    (found,) = surface_distances(full, full, (1, 1, 1), [1])
    faces = 2 * (2 * 3 + 2 * 4 + 3 * 4)
    edges = 4 * (2 + 3 + 4) * math.sqrt(0.5)
    assert found.reference.area == pytest.approx(faces + edges + math.sqrt(3))


def test_classes_are_compared_by_themselves_and_in_order() -> None:
    rng = np.random.default_rng(1)
    maps = rng.integers(0, 4, (2, 6, 7, 8)).astype(np.uint8)
    together = surface_distances(*maps, (2, 1, 1), [3, 1])
    alone = [surface_distances(*maps, (2, 1, 1), [c])[0] for c in (3, 1)]
    masked = [surface_distances(*(maps == c), (2, 1, 1), [1])[0] for c in (3, 1)]
    assert together == alone
    assert [f.reference for f in together] == [f.reference for f in masked]


@pytest.mark.parametrize("ignore_index", [255, 9])
def test_ignored_voxels_have_no_class_on_either_side(ignore_index: int) -> None:
    rng = np.random.default_rng(2)
    maps = rng.integers(0, 3, (2, 6, 7, 8)).astype(np.uint8)
    ignored = rng.random((6, 7, 8)) < 0.3
    marked = np.where(ignored, ignore_index, maps[0]).astype(np.uint8)
    emptied = np.where(ignored, 0, maps).astype(np.uint8)
    options: dict[str, Any] = {"ignore_index": ignore_index}
    assert surface_distances(marked, maps[1], (1, 1, 1), [1, 2], **options) == surface_distances(
        *emptied, (1, 1, 1), [1, 2]
    )
    nothing = np.full_like(marked, ignore_index)
    (found,) = surface_distances(nothing, maps[1], (1, 1, 1), [1], **options)
    assert found.reference.area == found.prediction.area == 0


def test_a_class_that_is_the_mark_of_nothing_takes_a_wider_type() -> None:
    mask = np.zeros((3, 3, 3), np.uint8)
    mask[1, 1, 1] = 255
    (found,) = surface_distances(mask, mask.astype(np.uint16), (1, 1, 1), [255])
    assert found.reference.area == pytest.approx(math.sqrt(3))
    assert found.surface_dice(2) == 1.0


@st.composite
def label_pairs(draw: st.DrawFn) -> tuple[NDArray[np.uint8], NDArray[np.uint8], tuple[float, ...]]:
    shape = tuple(draw(st.lists(st.integers(1, 6), min_size=2, max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = draw(st.sampled_from([0.02, 0.3, 0.9]))
    maps = np.where(rng.random((2, *shape)) < share, rng.integers(1, 4, (2, *shape)), 0)
    sizes = st.sampled_from([0.5, 0.7, 1.0, 3.0])
    return (*maps.astype(np.uint8), tuple(draw(sizes) for _ in shape))  # type: ignore[return-value]


@settings(max_examples=60, deadline=None)
@given(case=label_pairs(), tolerance=st.sampled_from([0.0, 1.0, 2.5]), threads=st.integers(1, 3))
def test_like_the_naive_oracle(case: Any, tolerance: float, threads: int) -> None:
    reference, prediction, spacing = case
    areas = (surfel_areas if len(spacing) == 3 else contour_lengths)(spacing)
    found = surface_distances(
        reference, prediction, spacing, [1, 2], tolerances_mm=[tolerance], threads=threads
    )
    for one in found:
        masks = (reference == one.class_index, prediction == one.class_index)
        expected = naive_surfaces.figures(*masks, spacing, areas, tolerance)
        assert one.surface_dice(tolerance) == pytest.approx(expected["surface_dice"], abs=1e-12)
        for name in ("hausdorff_mm", "hausdorff_95_mm", "assd_mm"):
            assert getattr(one, name) == pytest.approx(expected[name], rel=1e-12, nan_ok=True), name


@pytest.fixture(scope="module")
def blobs() -> NDArray[np.uint8]:
    """Two maps whose class 1 lies far apart in parts, over several planes and cells."""
    rng = np.random.default_rng(3)
    maps = np.zeros((2, 20, 24, 70), np.uint8)
    maps[0, 3:9, 4:12, 2:9] = maps[1, 4:9, 4:11, 3:9] = 1
    maps[1, 14:18, 15:20, 60:66] = 1
    maps[:, 12:16, 2:9, 30:50] = 2
    noise = rng.random(maps.shape) < 0.01
    return np.where(noise, 3, maps).astype(np.uint8)


def test_the_same_bits_for_any_number_of_threads(blobs: NDArray[np.uint8]) -> None:
    every = [surface_distances(*blobs, (1.5, 0.9, 0.7), [1, 2, 3], threads=n) for n in (1, 2, 7)]
    assert every[0] == every[1] == every[2]


@pytest.mark.parametrize("cell_points", [0.001, 3, 10**6])
def test_distances_do_not_depend_on_cells(
    blobs: NDArray[np.uint8], cell_points: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distances_module, "CELL_POINTS", cell_points)
    sets = []
    for volume in blobs == 1:
        z, y, x = np.nonzero(volume)
        sets.append(PointSet((z * 24 + y).astype(np.int32), x.astype(np.int32), 24))
    spacing = (1.5, 0.9, 0.7)
    found = nearest_distances(*sets, spacing)
    places = [np.argwhere(volume) for volume in blobs == 1]
    np.testing.assert_array_equal(found, naive_surfaces.directed(*places, spacing))


def test_areas_follow_the_symmetries_of_the_cube() -> None:
    """Turned, mirrored and complemented codes have the same area, where spacings turn along."""
    spacing = (3.0, 0.7, 1.3)
    bits = {place: 7 - i for i, place in enumerate(product((0, 1), repeat=3))}
    for axes in permutations(range(3)):
        turned = surfel_areas([spacing[a] for a in axes])
        for code in range(256):
            other = sum(
                1 << bits[tuple(place[a] for a in axes)]  # type: ignore[index]
                for place, bit in bits.items()
                if code >> bit & 1
            )
            assert turned[other] == pytest.approx(surfel_areas(spacing)[code], abs=1e-12)
    areas = surfel_areas(spacing)
    np.testing.assert_allclose(areas, areas[::-1], atol=1e-12)


def test_areas_that_are_known() -> None:
    areas = surfel_areas((3.0, 0.7, 1.3))
    assert areas[0] == areas[255] == 0
    assert areas[0b00001111] == pytest.approx(0.7 * 1.3)
    assert areas[0b11000000] == pytest.approx(1.3 * math.hypot(3.0, 0.7) / 2)
    sides = (0.7 * 1.3, 3.0 * 1.3, 3.0 * 0.7)
    assert areas[0b00000001] == pytest.approx(math.hypot(*sides) / 8)
    assert areas[0b00011000] == pytest.approx(2 * areas[1])
    lengths = contour_lengths((3.0, 0.7))
    assert lengths[0b00110011] == pytest.approx(0.7)
    assert lengths[0b01010101] == pytest.approx(3.0)
    assert lengths[0b00010001] == pytest.approx(math.hypot(3.0, 0.7) / 2)
    assert lengths[0b10011001] == pytest.approx(math.hypot(3.0, 0.7))


def test_pictures_have_contours() -> None:
    picture = np.zeros((6, 7), np.uint8)
    picture[2:4, 2:5] = 1
    (found,) = surface_distances(picture, np.roll(picture, 1, 1), (2.0, 1.0), [1])
    assert found.reference.area == pytest.approx(2 * 2 + 2 * 2 + 2 * math.sqrt(5))
    assert found.hausdorff_mm == 1.0


def case_of(voxels: int, shift: int) -> SurfaceDistances:
    maps = np.zeros((2, 3, 3, 12), np.uint8)
    maps[0, 1, 1, 1 : 1 + voxels] = 1
    maps[1] = np.roll(maps[0], shift, -1) if shift >= 0 else 0
    return surface_distances(*maps, (1, 1, 1), [1])[0]


def test_cases_are_pooled_by_their_sums() -> None:
    cases = [case_of(1, 1), case_of(4, 2), case_of(2, -1), case_of(0, 0)]
    pooled = pool_surfaces(cases)
    kept = cases[:2]
    area = sum(c.reference.area + c.prediction.area for c in kept)
    moment = sum(c.reference.moment + c.prediction.moment for c in kept)
    assert pooled.assd_mm == pytest.approx(moment / area)
    assert pooled.surface_dice(2) == pytest.approx(
        sum(c.reference.within[0] + c.prediction.within[0] for c in kept)
        / (area + cases[2].reference.area)
    )
    assert pooled.hausdorff_mm == 2.0
    assert math.isnan(pooled.hausdorff_95_mm)
    assert pooled.left_out == 2
    assert pool_surfaces(cases[2:]).assd_mm == math.inf
    assert math.isnan(pool_surfaces(cases[3:]).assd_mm)


@pytest.mark.parametrize(
    ("shape", "dtype", "spacing", "tolerances", "error"),
    [
        ((2, 3, 5), np.uint8, (1, 1, 1), [2], GeometryError),
        ((2, 3, 4), np.int64, (1, 1, 1), [2], UsageError),
        ((2, 3, 4), np.uint8, (1, 1), [2], UsageError),
        ((2, 3, 4), np.uint8, (1, 0, 1), [2], UsageError),
        ((2, 3, 4), np.uint8, (1, 1, math.nan), [2], UsageError),
        ((2, 3, 4), np.uint8, (1, 1, 1), [-1], UsageError),
    ],
)
def test_what_has_no_meaning_is_refused(
    shape: tuple[int, ...], dtype: Any, spacing: Any, tolerances: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        surface_distances(
            np.zeros((2, 3, 4), np.uint8), np.zeros(shape, dtype), spacing, [1],
            tolerances_mm=tolerances,
        )  # fmt: skip
    with pytest.raises(UsageError, match="nothing was counted at a tolerance of 3 mm"):
        case_of(1, 1).surface_dice(3)


def test_classes_may_be_listed_a_few_at_a_time(monkeypatch) -> None:
    """Memory is bounded by what is listed together; the figures are the same bits."""
    one, two = (np.random.default_rng(seed).integers(0, 6, (9, 8, 7)).astype(np.uint8)
                for seed in (1, 2))  # fmt: skip
    together = surface_distances(one, two, (3, 1, 1), [1, 4, 2, 5], threads=2)
    monkeypatch.setattr("softlab_cli.evaluation.metrics.surface.MOST_SURFELS", 100)
    assert surface_distances(one, two, (3, 1, 1), [1, 4, 2, 5], threads=2) == together
