"""Label maps on another grid: turned exactly, or resampled as SimpleITK does it."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import assume, given
from hypothesis import strategies as st

import softlab_cli
from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.readers.lattice import Turn, find_turn
from softlab_cli.readers.regrid import resample_soft, to_grid

TURNS = [
    Turn(order, flips)  # type: ignore[arg-type]
    for order in permutations(range(3))
    for flips in product([False, True], repeat=3)
]


def rotation(*angles: float) -> np.ndarray:
    result = np.eye(3)
    for axis, angle in enumerate(angles):
        i, j = [a for a in range(3) if a != axis]
        turn = np.eye(3)
        turn[[i, i, j, j], [i, j, i, j]] = (
            np.cos(angle),
            -np.sin(angle),
            np.sin(angle),
            np.cos(angle),
        )
        result = turn @ result
    return result


def geometry(
    shape: tuple[int, int, int],
    spacing: tuple[float, float, float] = (1.0, 1.0, 1.0),
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
    angles: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Geometry:
    """A grid; spacing, origin and angles along or about (x, y, z)."""
    affine = np.eye(4)
    affine[:3, :3] = rotation(*angles) @ np.diag(spacing)
    affine[:3, 3] = origin
    return Geometry(shape, affine)


def turned_geometry(source: Geometry, turn: Turn) -> Geometry:
    """Where a turned array lies, worked out voxel by voxel: from four corners."""

    def source_voxel(target: tuple[int, int, int]) -> np.ndarray:
        voxel = np.zeros(3)
        for target_axis, source_axis in enumerate(turn.order):
            at = target[target_axis]
            size = source.shape[source_axis]
            voxel[source_axis] = size - 1 - at if turn.flips[target_axis] else at
        return np.append(voxel[::-1], 1)

    corner = source.affine @ source_voxel((0, 0, 0))
    affine = np.eye(4)
    for column, step in enumerate(((0, 0, 1), (0, 1, 0), (1, 0, 0))):
        affine[:, column] = source.affine @ source_voxel(step) - corner
    affine[:, 3] = corner
    z, y, x = (source.shape[a] for a in turn.order)
    return Geometry((z, y, x), affine)


def labels(shape: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """Smooth random regions 0 to 3."""
    rng = np.random.default_rng(seed)
    coarse = rng.random([4, *(max(2, n // 4) for n in shape)])
    index = [np.linspace(0, c - 1, n).round().astype(int)
             for c, n in zip(coarse.shape[1:], shape, strict=True)]  # fmt: skip
    return coarse[(slice(None), *np.ix_(*index))].argmax(axis=0).astype(np.uint8)


OBLIQUE = geometry((4, 5, 6), (0.7, 0.9, 2.5), (10, -20, 5), (0.2, -0.4, 1.0))


@pytest.mark.parametrize("turn", TURNS, ids=str)
def test_every_turn_is_found_and_exact(turn: Turn) -> None:
    target = turned_geometry(OBLIQUE, turn)
    assert find_turn(OBLIQUE, target) == turn
    values = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6)
    found = to_grid(LabelMap(values, OBLIQUE), target)
    assert found.geometry is target
    assert found.values.flags.c_contiguous
    back = to_grid(found, OBLIQUE)
    np.testing.assert_array_equal(back.values, values)
    # The label of a place in the world stays where it was.
    for voxel in ((0, 0, 0), (1, 2, 3), (3, 4, 5)):
        world = OBLIQUE.affine @ (*voxel[::-1], 1)
        x, y, z = np.rint(np.linalg.solve(target.affine, world)[:3]).astype(int)
        assert found.values[z, y, x] == values[voxel]


def test_the_same_grid_is_not_copied() -> None:
    label_map = LabelMap(labels(OBLIQUE.shape), OBLIQUE)
    nudged = Geometry(OBLIQUE.shape, OBLIQUE.affine + np.eye(4, k=3) * 1e-4)
    found = to_grid(label_map, nudged)
    assert found.values is label_map.values
    assert found.geometry is nudged
    assert found.warnings == ()


def test_a_turn_is_told() -> None:
    target = turned_geometry(OBLIQUE, Turn((0, 1, 2), (False, True, False)))
    (warning,) = to_grid(LabelMap(labels(OBLIQUE.shape), OBLIQUE), target).warnings
    assert "turned from ALS to ARS" in warning


@given(
    off=st.floats(-0.1, 0.1),
    axis=st.integers(0, 2),
    turn=st.sampled_from(TURNS),
)
def test_grids_are_one_within_a_hundredth_of_a_voxel(off: float, axis: int, turn: Turn) -> None:
    assume(abs(abs(off) - 1e-2) > 1e-6)
    target = turned_geometry(OBLIQUE, turn)
    affine = target.affine.copy()
    affine[:3, 3] += off * OBLIQUE.affine[:3, axis]
    found = find_turn(OBLIQUE, Geometry(target.shape, affine))
    assert (found == turn) == (abs(off) <= 1e-2)
    # Along a slanted axis the far corner counts.
    affine = target.affine.copy()
    affine[:3, axis] *= 1 + off
    found = find_turn(OBLIQUE, Geometry(target.shape, affine))
    size = target.shape[::-1][axis] - 1
    assume(abs(abs(off) * size - 1e-2) > 1e-6)
    assert (found == turn) == (abs(off) * size <= 1e-2)


@pytest.mark.parametrize(
    "target",
    [
        geometry((4, 5, 7)),
        geometry((4, 5, 6), (1, 1, 1.1)),
        geometry((4, 5, 6), origin=(0.5, 0, 0)),
        geometry((4, 5, 6), angles=(0.1, 0, 0)),
    ],
)
def test_other_grids_are_refused_with_both(target: Geometry) -> None:
    source = LabelMap(labels((4, 5, 6)), geometry((4, 5, 6)))
    with pytest.raises(GeometryError) as raised:
        to_grid(source, target, names=("label map", "image"), path=Path("case.nii.gz"))
    message = str(raised.value)
    assert f"label map: {source.geometry.describe()}" in message
    assert f"image: {target.describe()}" in message
    assert "mm apart" in message
    assert "--resample-labels" in message
    assert "case.nii.gz" in message


def itk_image(values: np.ndarray, grid: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    affine = np.diag([-1, -1, 1, 1]) @ grid.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    image.SetSpacing([float(s) for s in spacing])
    image.SetDirection([float(v) for v in (affine[:3, :3] / spacing).ravel()])
    image.SetOrigin([float(v) for v in affine[:3, 3]])
    return image


def itk_resample(values: np.ndarray, source: Geometry, target: Geometry, how: int) -> np.ndarray:
    reference = itk_image(np.zeros(target.shape, np.uint8), target)
    image = itk_image(values, source)
    return sitk.GetArrayFromImage(sitk.Resample(image, reference, sitk.Transform(), how, 0))


def itk_inverts(source: Geometry, target: Geometry, matrix: np.ndarray) -> bool:
    """Whether ITK agrees on where voxels lie: its inverse of some rotations is plainly wrong."""
    image, reference = (
        itk_image(np.zeros(source.shape, np.uint8), source),
        itk_image(np.zeros(target.shape, np.uint8), target),
    )
    for index in product(*((0, n - 1) for n in reversed(target.shape))):
        world = reference.TransformIndexToPhysicalPoint([int(i) for i in index])
        found = image.TransformPhysicalPointToContinuousIndex(world)
        if np.abs(np.array(found) - (matrix @ [*index, 1])[:3]).max() > 1e-4:
            return False
    return True


ANGLES = st.floats(-0.6, 0.6).map(lambda angle: round(angle, 9))
"""ITK cannot invert matrices whose entries are next to no number at all."""

GRIDS = st.builds(
    geometry,
    st.tuples(*[st.integers(1, 14)] * 3),
    st.tuples(*[st.floats(0.4, 3.0)] * 3),
    st.tuples(*[st.floats(-4.0, 4.0)] * 3),
    st.tuples(*[ANGLES] * 3),
)


def labels_are_left(source: LabelMap, target: Geometry) -> bool:
    try:
        to_grid(source, target, resample="nearest")
        to_grid(source, target, resample="linear")
    except GeometryError:
        return False
    return True


@given(source=GRIDS, target=GRIDS, seed=st.integers(0, 50))
def test_resampling_agrees_with_simpleitk(source: Geometry, target: Geometry, seed: int) -> None:
    assume(labels_are_left(LabelMap(labels(source.shape, seed), source), target))
    # ITK moves or clamps what lies within its tolerance of a border: keep clear of that.
    matrix = np.linalg.solve(source.affine, target.affine)
    z, y, x = np.indices(target.shape).reshape(3, -1)
    at = (matrix @ np.stack([x, y, z, np.ones_like(x)]))[:3] * 2
    assume((np.abs(at - np.rint(at)) > 1e-4).all())
    assume(itk_inverts(source, target, matrix))
    values = labels(source.shape, seed)
    label_map = LabelMap(values, source)
    nearest = to_grid(label_map, target, resample="nearest").values
    linear = to_grid(label_map, target, resample="linear").values
    np.testing.assert_array_equal(
        nearest, itk_resample(values, source, target, sitk.sitkNearestNeighbor)
    )
    soft = resample_soft(label_map, target, [0, 1, 2, 3])
    heaviest = np.stack([soft.read(i) for i in range(4)])
    np.testing.assert_allclose(heaviest.sum(axis=0), 1, atol=1e-6)
    for value in (1, 2, 3):
        channel = (values == value).astype(np.float32)
        expected = itk_resample(channel, source, target, sitk.sitkLinear)
        np.testing.assert_allclose(soft.read(value), expected, atol=2e-6)
    chosen = np.take_along_axis(heaviest, linear[None].astype(int), axis=0)[0]
    assert (chosen >= heaviest.max(axis=0) - 1e-5).all()


@st.composite
def cuts(draw: st.DrawFn) -> tuple[Turn, Geometry]:
    """A turn of OBLIQUE, then some voxels cut or added at each side."""
    turn = draw(st.sampled_from(TURNS))
    whole = turned_geometry(OBLIQUE, turn)
    first = [draw(st.integers(-3, n - 1)) for n in whole.shape]
    shape = [draw(st.integers(max(1, 1 - f), 9)) for f in first]
    affine = whole.affine.copy()
    affine[:3, 3] = (whole.affine @ [*first[::-1], 1])[:3]
    return turn, Geometry((shape[0], shape[1], shape[2]), affine)


@given(cut=cuts(), seed=st.integers(0, 20))
def test_a_map_of_the_same_lattice_is_cut_and_padded_exactly(
    cut: tuple[Turn, Geometry], seed: int
) -> None:
    turn, target = cut
    values = np.random.default_rng(seed).integers(0, 4, OBLIQUE.shape).astype(np.uint8)
    expected = np.zeros(target.shape, np.uint8)
    for z, y, x in np.ndindex(OBLIQUE.shape):
        place = np.linalg.solve(target.affine, OBLIQUE.affine @ [x, y, z, 1])[:3]
        i, j, k = np.rint(place).astype(int)
        if all(0 <= a < n for a, n in zip((k, j, i), target.shape, strict=True)):
            expected[k, j, i] = values[z, y, x]
    lost = np.count_nonzero(values) - np.count_nonzero(expected)
    assume(np.count_nonzero(expected))
    found = to_grid(LabelMap(values, OBLIQUE), target)
    np.testing.assert_array_equal(found.values, expected)
    assert found.geometry is target
    if found.geometry.shape != turn.shape(OBLIQUE.shape) or lost:
        assert "by whole voxels" in found.warnings[-1]
        said = f"{lost} of {np.count_nonzero(values)} labelled voxels"
        assert (said if lost else "no labelled voxel was lost") in found.warnings[-1]


def test_what_is_added_and_cut_is_said_by_axis_and_label() -> None:
    source = geometry((4, 5, 6), (1, 1, 2), (10, 20, 30))
    values = np.zeros(source.shape, np.uint8)
    values[1, 2, :] = 1
    values[:, 2, 5] = 2
    target = geometry((4, 5, 6), (1, 1, 2), (9, 20, 32))
    (warning,) = to_grid(
        LabelMap(values, source, metadata={"names": {2: "liver"}}), target
    ).warnings
    assert "(x: 1 added before, x: 1 cut behind, z: 1 cut before, z: 1 added behind)" in warning
    assert "4 of 9 labelled voxels (44.4 %) were lost (liver: 4 of 4, 100 %)" in warning


def test_a_map_of_which_nothing_is_left_is_refused() -> None:
    source = geometry((4, 5, 6), (1, 1, 2), (10, 20, 30))
    values = np.zeros(source.shape, np.uint8)
    values[..., 0] = 1
    for origin in ((12, 20, 30), (12.3, 20, 30)):
        with pytest.raises(GeometryError, match="has 20 labelled voxels, of which none is left"):
            to_grid(
                LabelMap(values, source), geometry((4, 5, 6), (1, 1, 2), origin), resample="nearest"
            )


def test_lattices_apart_by_whole_voxels_that_do_not_overlap_are_refused() -> None:
    source = LabelMap(labels((4, 5, 6)), geometry((4, 5, 6), (1, 1, 2), (10, 20, 30)))
    with pytest.raises(GeometryError, match="do not overlap"):
        to_grid(source, geometry((4, 5, 6), (1, 1, 2), (16, 20, 30)))


def test_a_lost_geometry_is_no_reason_to_cut() -> None:
    """An identity affine seems to lie on the lattice of every grid of 1 mm."""
    scan = geometry((40, 50, 60), (1, 1, 1), (-20, -20, -10))
    lost = LabelMap(labels((40, 50, 60)), geometry((40, 50, 60)))
    with pytest.raises(GeometryError) as raised:
        to_grid(lost, scan)
    assert "label map has no geometry of its own: identity affine" in str(raised.value)
    picture = Geometry((40, 50, 60), scan.affine, missing="no spacing")
    with pytest.raises(GeometryError, match="no geometry of its own: no spacing"):
        to_grid(
            LabelMap(labels((40, 50, 60)), picture), geometry((30, 50, 60), origin=(-20, -20, -10))
        )
    # A crop that knows its place within a whole scan of 1 mm is no such case.
    crop = LabelMap(labels((10, 10, 10)), geometry((10, 10, 10), origin=(3, 4, 5)))
    padded = to_grid(crop, geometry((40, 50, 60)))
    np.testing.assert_array_equal(padded.values[5:15, 4:14, 3:13], crop.values)


def test_a_shift_is_said_in_mm_and_voxels() -> None:
    source = geometry((4, 5, 6), (0.5, 0.5, 2), (10, 20, 30))
    target = geometry((4, 5, 6), (0.5, 0.5, 2), (10.01, 20, 30))
    with pytest.raises(GeometryError) as raised:
        to_grid(LabelMap(labels((4, 5, 6)), source), target)
    assert "shifted by (-0.01, 0, 0) mm, that is (-0.02, 0, 0) voxels" in str(raised.value)


@pytest.mark.parametrize("how", ["nearest", "linear"])
def test_resampling_says_what_falls_off_the_grid_by_label(how: str) -> None:
    source = geometry((4, 5, 8), (1, 1, 2), (10, 20, 30))
    values = np.zeros(source.shape, np.uint8)
    values[..., :6], values[..., 6:] = 1, 2
    target = geometry((4, 5, 6), (1, 1, 2), (10.3, 20, 30))
    found = to_grid(LabelMap(values, source), target, resample=how)  # type: ignore[arg-type]
    # Centres at 10 and 16 to 17 of target's 9.8 to 15.8.
    assert found.warnings[-1] == (
        "40 of 160 labelled voxels (25 %) were lost (label 2: 40 of 40, 100 %) by resampling."
    )
    if how == "linear":
        soft = resample_soft(LabelMap(values, source), target, [0, 1, 2])
        assert soft.warnings[-1] == found.warnings[-1]


def test_ties_go_to_the_lowest_label() -> None:
    source = LabelMap(np.array([[[2, 1, 1, 3]]], np.uint8), geometry((1, 1, 4)))
    between = geometry((1, 1, 3), origin=(0.5, 0, 0))
    found = to_grid(source, between, resample="linear")
    np.testing.assert_array_equal(found.values, [[[1, 1, 1]]])
    assert "resampled (linear)" in found.warnings[0]


def test_ignored_voxels_have_no_weight() -> None:
    source = LabelMap(np.array([[[1, 9, 9, 2]]], np.uint8), geometry((1, 1, 4)))
    target = geometry((1, 1, 5), (0.7, 1, 1))
    soft = resample_soft(source, target, [0, 1, 2], ignore_values=[9])
    # Places 0, 0.7, 1.4, 2.1, 2.8: own weights 1, 0.3, 0, 0.1 and 0.8 beside ignored ones.
    np.testing.assert_allclose(soft.read(1)[0, 0], [1, 0, 0, 0, 0])
    np.testing.assert_allclose(soft.read(2)[0, 0], [0, 0, 0, 0, 1])
    np.testing.assert_allclose(soft.read(0)[0, 0], 0)


def test_outside_is_background() -> None:
    source = LabelMap(np.full((1, 1, 2), 5, np.uint8), geometry((1, 1, 2)))
    target = geometry((1, 1, 5), origin=(-2, 0, 0))
    for how in ("nearest", "linear"):
        found = to_grid(source, target, resample=how)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found.values, [[[0, 0, 5, 5, 0]]])
    soft = resample_soft(source, target, [0, 5])
    np.testing.assert_array_equal(soft.read(0), [[[1, 1, 0, 0, 1]]])


def test_grids_that_do_not_overlap_are_refused() -> None:
    source = LabelMap(labels((4, 5, 6)), geometry((4, 5, 6)))
    with pytest.raises(GeometryError, match="do not overlap"):
        to_grid(source, geometry((4, 5, 6), origin=(100, 0, 0)), resample="nearest")


def segments(*planes: list[float], resolution: float = 0.0) -> SoftSegments:
    stack = np.array(planes, np.float32)[:, None, None]
    names = tuple(f"s{i}" for i in range(1, len(planes) + 1))
    values = tuple(range(1, len(planes) + 1))
    grid = geometry((1, 1, stack.shape[-1]))
    return SoftSegments(grid, values, names, lambda i: stack[i], resolution)


def test_rounding_is_no_overlap() -> None:
    soft = segments([0.5, 0.5], [0.501, 0.25], resolution=1 / 255)
    classes = dict(soft.classes())
    np.testing.assert_allclose(sum(classes.values()), 1, atol=1e-6)
    assert classes[2][0, 0, 1] == np.float32(0.25)
    with pytest.raises(InputError, match="at 1 voxels they sum to more than 1"):
        list(segments([0.5, 0.5], [0.51, 0.25], resolution=1 / 255).classes())


@given(
    planes=st.lists(st.lists(st.floats(0, 1, width=32), min_size=4, max_size=4), min_size=1,
                    max_size=4),
    rule=st.sampled_from(["first", "last", "highest"]),
)  # fmt: skip
def test_soft_classes_always_sum_to_one(planes: list[list[float]], rule: str) -> None:
    soft = segments(*planes)
    classes = dict(soft.classes(rule))  # type: ignore[arg-type]
    assert set(classes) == set(range(len(planes) + 1))
    total = sum(classes.values())
    np.testing.assert_allclose(total, 1, atol=1e-5)
    assert all((c >= 0).all() for c in classes.values())
    alone = np.array(planes).sum(axis=0) <= 1
    for i, plane in enumerate(planes):
        np.testing.assert_allclose(classes[i + 1][0, 0, alone], np.array(plane)[alone], atol=1e-6)


def write_at(path: Path, values: np.ndarray, origin: tuple[float, float, float]) -> None:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((1.0, 1.0, 2.0))
    image.SetOrigin(origin)
    path.parent.mkdir(exist_ok=True, parents=True)
    sitk.WriteImage(image, str(path), True)


@pytest.mark.parametrize("classes", [(), ("--labels", "0-3")])
def test_a_case_that_was_cropped_is_padded_and_another_one_fails(
    softlab, tmp_path: Path, classes: tuple[str, ...]
) -> None:
    whole = labels((8, 9, 10))
    write_at(tmp_path / "images" / "a.nrrd", whole.astype(np.float32), (10, 20, 30))
    write_at(tmp_path / "labels" / "a.nrrd", whole[2:7, 1:8, 3:9], (13, 21, 34))
    write_at(tmp_path / "images" / "b.nrrd", whole.astype(np.float32), (10, 20, 30))
    write_at(tmp_path / "labels" / "b.nrrd", whole, (500, 20, 30))
    out = tmp_path / "o.zarr"
    done = softlab(
        "onehot", "--in", tmp_path / "labels", "--images", tmp_path / "images", "--out", out,
        *classes,
    )  # fmt: skip
    assert done.exit_code == 1
    said = " ".join(done.output.split())
    assert "a: brought onto the grid it belongs to by whole voxels (x: 3 added before" in said
    assert "no labelled voxel was lost." in said
    assert "They do not overlap. Check that the files belong together." in said
    case = softlab_cli.open_store(out)["a"]
    expected = np.zeros_like(whole)
    expected[2:7, 1:8, 3:9] = whole[2:7, 1:8, 3:9]
    np.testing.assert_array_equal(case.read_label(), expected)


def test_a_foreign_case_that_is_resampled_to_nothing_fails(softlab, tmp_path: Path) -> None:
    values = np.zeros((8, 9, 10), np.uint8)
    values[:, :, :3] = 1
    write_at(tmp_path / "images" / "a.nrrd", values.astype(np.float32), (10, 20, 30))
    write_at(tmp_path / "labels" / "a.nrrd", values, (5.5, 20, 30))
    done = softlab(
        "onehot", "--in", tmp_path / "labels", "--images", tmp_path / "images",
        "--out", tmp_path / "o.zarr", "--resample-labels", "nearest", "--labels", "0,1",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "has 216 labelled voxels, of which none is left on the grid of the image" in done.output
