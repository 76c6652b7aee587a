"""RTSTRUCT: the even-odd rule on voxel centres, and what is odd in the file."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from softlab_cli.core.errors import ClassError, GeometryError, InputError, UsageError
from softlab_cli.kernels.contours import fill_polygon, mark_outline
from softlab_cli.readers.dicom.objects.rtstruct import list_rois, open_soft_rtstruct, read_rtstruct
from softlab_cli.readers.dicom.objects.rtstruct_fill import fill_slice
from tests.dicom_support import make_rtstruct, make_slices, oblique, save_slices

SHAPE = (6, 12, 14)


class Scene:
    """A series, and contours given in voxels."""

    def __init__(self, folder: Path, **how: object) -> None:
        self.slices = make_slices(np.zeros(SHAPE, np.int16), **how)  # type: ignore[arg-type]
        self.series = save_slices(folder / "series", self.slices)
        self.path = folder / "rs.dcm"

    def place(self, polygon: object, z: float) -> np.ndarray:
        """LPS millimetres of (n, 2) voxel coordinates x, y."""
        first = self.slices[0]
        axes = np.array(first.ImageOrientationPatient, float)
        step = np.cross(axes[:3], axes[3:]) * 2.0
        x, y = np.array(polygon, float).T
        origin = np.array(first.ImagePositionPatient, float)
        return origin + np.outer(x * 0.7, axes[:3]) + np.outer(y * 0.8, axes[3:]) + z * step

    def draw(
        self,
        rois: dict[str, list[tuple[float, object]]],
        change: Callable[[Dataset], None] = lambda ds: None,
        **how: object,
    ) -> Path:
        """An RTSTRUCT whose contours are given as (z, polygon)."""
        placed = {n: [self.place(p, z) for z, p in contours] for n, contours in rois.items()}
        return make_rtstruct(self.path, self.slices, placed, change=change, **how)  # type: ignore[arg-type]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def box(x0: float, y0: float, x1: float, y1: float) -> list[tuple[float, float]]:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def naive_touched(polygon: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Centre by centre: on the line of an edge, and between its ends; exact for whole numbers."""
    y, x = np.indices(shape)
    touched = np.zeros(shape, bool)
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        on_line = (bx - ax) * (y - ay) == (by - ay) * (x - ax)
        between = (min(ax, bx) <= x) & (x <= max(ax, bx)) & (min(ay, by) <= y) & (y <= max(ay, by))
        touched |= on_line & between
    return touched


def naive(polygons: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Centre by centre: crossings of the outline on the way to lower x, even or odd."""
    y, x = np.indices(shape)
    inside = np.zeros(shape, bool)
    for points in polygons:
        for (ax, ay), (bx, by) in zip(points, np.roll(points, -1, axis=0), strict=True):
            (lx, ly), (hx, hy) = sorted([(ax, ay), (bx, by)], key=lambda p: p[1])
            if ly < hy:
                at = lx + (y - ly) * ((hx - lx) / (hy - ly))
                inside ^= (ly <= y) & (y < hy) & (at <= x)
    return inside


@given(
    points=st.lists(
        st.tuples(st.floats(-3, 17, width=32), st.floats(-3, 13, width=32)), min_size=3, max_size=9
    ),
    on_centres=st.booleans(),
)
def test_fill_follows_the_definition(points: list[tuple[float, float]], on_centres: bool) -> None:
    polygon = np.round(np.array(points), 0 if on_centres else 6)
    found = fill_polygon(polygon, SHAPE[1:])
    np.testing.assert_array_equal(found, naive([polygon], SHAPE[1:]))


@given(points=st.lists(st.tuples(st.integers(-6, 34), st.integers(-6, 28)), min_size=1, max_size=7))
def test_centres_on_an_outline_are_marked(points: list[tuple[int, int]]) -> None:
    """Corners at whole and half places; centres beside an edge lie 0.01 voxels off or more."""
    polygon = np.array(points, float) / 2
    touched = np.zeros(SHAPE[1:], np.uint8)
    mark_outline(polygon, 1e-6, touched)
    np.testing.assert_array_equal(touched, naive_touched(polygon, SHAPE[1:]))


@given(seed=st.integers(0, 500))
def test_fill_agrees_with_matplotlib_on_stars(seed: int) -> None:
    """No corner of these outlines lies on a centre, so every rule gives the same."""
    rng = np.random.default_rng(seed)
    turn = np.sort(rng.random(12)) * 2 * np.pi
    radius = rng.uniform(1, 6, 12)
    polygon = np.column_stack([6.53 + radius * np.cos(turn), 5.47 + radius * np.sin(turn)])
    centres = np.stack(np.meshgrid(np.arange(14), np.arange(12)), axis=-1).reshape(-1, 2)
    expected = Outline(polygon, closed=False).contains_points(centres).reshape(SHAPE[1:])
    np.testing.assert_array_equal(fill_polygon(polygon, SHAPE[1:]), expected)


def test_centres_on_an_edge_belong_to_its_low_side() -> None:
    found = fill_polygon(np.array(box(2, 3, 5, 6), float), SHAPE[1:])
    expected = np.zeros(SHAPE[1:], np.uint8)
    expected[3:6, 2:5] = 1
    np.testing.assert_array_equal(found, expected)


@given(seed=st.integers(0, 200))
def test_polygons_that_share_edges_share_no_voxel(seed: int) -> None:
    """A star around a point tiles its outline exactly, however the corners lie."""
    rng = np.random.default_rng(seed)
    turn = np.linspace(0, 2 * np.pi, 7)[:-1] + rng.random()
    rim = np.column_stack([6 + 5 * np.cos(turn), 5 + 4 * np.sin(turn)])
    centre = rng.integers(4, 8, 2).astype(float)
    counts = np.zeros(SHAPE[1:], int)
    for i in range(6):
        counts += fill_polygon(np.array([centre, rim[i - 1], rim[i]]), SHAPE[1:])
    np.testing.assert_array_equal(counts, fill_polygon(rim, SHAPE[1:]))


def test_regions_become_labels_on_the_grid(scene: Scene) -> None:
    path = scene.draw(
        {"GTV": [(1, box(1.5, 2.5, 4.5, 6.5)), (2, box(1.5, 2.5, 4.5, 6.5))],
         "Lung": [(2, box(7.5, 2.5, 9.5, 4.5))]},
        numbers=[7, 3],
    )  # fmt: skip
    found = read_rtstruct(path, scene.series)
    expected = np.zeros(SHAPE, np.uint8)
    expected[1:3, 3:7, 2:5] = 7
    expected[2, 3:5, 8:10] = 3
    np.testing.assert_array_equal(found.values, expected)
    assert found.metadata["names"] == {7: "GTV", 3: "Lung"}
    assert found.metadata["type"] == "RTSTRUCT"
    assert found.warnings == ()


def test_oblique_slices_are_no_obstacle(tmp_path: Path) -> None:
    scene = Scene(tmp_path, axes=oblique())
    path = scene.draw({"GTV": [(4, box(1.5, 2.5, 4.5, 6.5))]})
    found = read_rtstruct(path, scene.series)
    assert found.values[4, 3:7, 2:5].all()
    assert found.values.sum() == 12


def test_holes_and_keyholes_are_empty(scene: Scene) -> None:
    outer, inner = box(0.5, 0.5, 10.5, 10.5), box(3.5, 3.5, 7.5, 7.5)
    keyhole = [*outer, outer[0], *inner[::-1], inner[-1], outer[0]]
    path = scene.draw({"hole": [(1, outer), (1, inner)], "keyhole": [(3, keyhole)]})
    found = read_rtstruct(path, scene.series)
    expected = np.zeros(SHAPE[1:], bool)
    expected[1:11, 1:11] = True
    expected[4:8, 4:8] = False
    np.testing.assert_array_equal(found.values[1] == 1, expected)
    np.testing.assert_array_equal(found.values[3] == 2, expected)
    assert found.warnings == ()


def test_copies_do_not_cancel_and_crossings_are_told(scene: Scene) -> None:
    path = scene.draw(
        {"twice": [(1, box(1.5, 1.5, 4.5, 4.5))] * 2,
         "crossing": [(3, box(1.5, 1.5, 4.5, 4.5)), (3, box(3.5, 3.5, 8.5, 8.5))]}
    )  # fmt: skip
    found = read_rtstruct(path, scene.series)
    assert (found.values == 1).sum() == 9
    assert (found.values == 2).sum() == 9 + 25 - 2
    assert "twice: 1 contour(s) that are copies" in found.warnings[0]
    assert "crossing: contours cross each other at Z index 3" in found.warnings[1]
    soft = open_soft_rtstruct(path, scene.series, supersample=2)
    assert soft.warnings == found.warnings


def test_regions_are_chosen_by_name_or_pattern(scene: Scene) -> None:
    path = scene.draw(
        {"GTV-1": [(1, box(1, 1, 3, 3))], "GTV-2": [(2, box(1, 1, 3, 3))],
         "Body": [(1, box(0, 0, 9, 9))]}
    )  # fmt: skip
    assert [(r.name, r.contours) for r in list_rois(path)] == [
        ("GTV-1", 1), ("GTV-2", 1), ("Body", 1),
    ]  # fmt: skip
    found = read_rtstruct(path, scene.series, rois=["GTV*"])
    assert found.metadata["names"] == {1: "GTV-1", 2: "GTV-2"}
    found = read_rtstruct(path, scene.series, rois=["GTV*"], values={"GTV-2": 1})
    assert found.metadata["names"] == {1: "GTV-2"}
    assert "GTV-1" in found.warnings[0]
    with pytest.raises(ClassError, match=r"no region of interest matches 'PTV\*'.*GTV-1, GTV-2"):
        read_rtstruct(path, scene.series, rois=["PTV*"])


@pytest.mark.parametrize(("rule", "wins"), [("first", 9), ("last", 4), ("highest", 9)])
def test_overlaps_follow_the_rule(scene: Scene, rule: str, wins: int) -> None:
    path = scene.draw(
        {"a": [(1, box(1.5, 1.5, 5.5, 5.5))], "b": [(1, box(3.5, 3.5, 8.5, 8.5))]}, numbers=[9, 4]
    )
    found = read_rtstruct(path, scene.series, on_overlap=rule)  # type: ignore[arg-type]
    assert (found.values[1, 4:6, 4:6] == wins).all()
    with pytest.raises(InputError, match=r"a and b: 4 voxels|b and a: 4 voxels"):
        read_rtstruct(path, scene.series)


def test_what_is_odd_is_told(scene: Scene) -> None:
    def name_an_absent_image(ds: Dataset) -> None:
        contour = ds.ROIContourSequence[0].ContourSequence[0]
        contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "1.2.3"
        other = ds.ROIContourSequence[0].ContourSequence[1].ContourImageSequence[0]
        other.ReferencedSOPInstanceUID = scene.slices[0].SOPInstanceUID

    path = scene.draw(
        {"gap": [(1, box(1, 1, 3, 3)), (4, box(1, 1, 3, 3))], "empty": [],
         "tiny": [(1, box(5.2, 5.2, 5.4, 5.4))], "far": [(1, box(9, 9, 30, 30))]},
        name_an_absent_image,
    )  # fmt: skip
    with pytest.raises(InputError, match=r"tiny: it becomes empty.*--lost-contours ok"):
        read_rtstruct(path, scene.series)
    told = "\n".join(read_rtstruct(path, scene.series, lost_contours="ok").warnings)
    assert "gap: no contour on 2 slice(s) between its first and its last: Z index 2, 3" in told
    assert "gap: it names 1 image(s) that the series does not have: 1.2.3" in told
    assert "gap: 1 contour(s) lie on other slices than the images that they name" in told
    assert "empty: it is empty" in told
    assert "tiny: its contours enclose no voxel centre" in told
    assert "far: it reaches outside the slices" in told


def test_points_and_open_contours_enclose_nothing(scene: Scene) -> None:
    path = scene.draw({"line": [(1, box(1, 1, 3, 3))]}, kind="OPEN_PLANAR")
    why = r"1 contour\(s\) that close no outline were left out: 1 of type OPEN_PLANAR"
    with pytest.raises(InputError, match=rf"line: it becomes empty: {why}.*--lost-contours ok"):
        read_rtstruct(path, scene.series)
    with pytest.raises(InputError, match="line: it becomes empty"):
        open_soft_rtstruct(path, scene.series, supersample=2)
    found = read_rtstruct(path, scene.series, lost_contours="ok")
    assert not found.values.any()
    assert re.search(why, found.warnings[0])
    assert found.warnings[1] == "line: it becomes empty."
    path = scene.draw({"marker": [(1, [(2, 2)])]}, kind="POINT")
    found = read_rtstruct(path, scene.series)
    assert not found.values.any()
    assert "1 of type POINT" in found.warnings[0]


@pytest.mark.parametrize(
    ("z", "message"), [(2.5, "between slices, at 2.50"), (8, "outside the series, at slice 8")]
)
def test_contours_on_no_slice_are_refused(scene: Scene, z: float, message: str) -> None:
    path = scene.draw({"GTV": [(1, box(1, 1, 3, 3)), (z, box(1, 1, 3, 3))]})
    with pytest.raises(InputError, match=f"GTV: 1 contour.*slices 0 to 5.*{message}"):
        read_rtstruct(path, scene.series)


def test_contours_oblique_to_the_slices_are_refused(scene: Scene) -> None:
    points = scene.place(box(1, 1, 3, 3), 1)
    points[2:, 2] += 1.0
    path = make_rtstruct(scene.path, scene.slices, {"GTV": [points]})
    with pytest.raises(InputError, match=r"oblique, from slice 1\.00 to 1\.50"):
        read_rtstruct(path, scene.series)


def test_numbers_that_are_no_label_values_are_replaced(scene: Scene) -> None:
    path = scene.draw(
        {"a": [(1, box(1, 1, 3, 3))], "b": [(2, box(1, 1, 3, 3))]}, numbers=[0, 99999]
    )
    found = read_rtstruct(path, scene.series)
    assert found.metadata["names"] == {1: "a", 2: "b"}
    assert "1, 2, 3... taken" in found.warnings[0]


def name_no_image(ds: Dataset) -> None:
    for region in ds.ROIContourSequence:
        for contour in region.ContourSequence:
            del contour.ContourImageSequence


def test_the_wrong_series_is_refused(scene: Scene, tmp_path: Path) -> None:
    path = scene.draw({"a": [(1, box(1, 1, 3, 3))]})
    other = save_slices(tmp_path / "other", make_slices(np.zeros(SHAPE, np.int16)))
    with pytest.raises(InputError, match="not among the image series"):
        read_rtstruct(path, other)
    with pytest.raises(InputError, match="--images"):
        read_rtstruct(path, None)
    path = scene.draw({"a": [(1, box(1, 1, 3, 3))]}, name_no_image)
    for ds in scene.slices:
        ds.FrameOfReferenceUID = generate_uid(entropy_srcs=["another"])
    moved = save_slices(tmp_path / "moved", scene.slices)
    with pytest.raises(GeometryError, match="frame of reference"):
        read_rtstruct(path, moved)


def test_regions_in_two_frames_of_reference_are_refused(scene: Scene) -> None:
    def move(ds: Dataset) -> None:
        ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"

    rois = {"a": [(1.0, box(1, 1, 3, 3))], "b": [(2.0, box(1, 1, 3, 3))]}
    path = scene.draw(rois, move)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="2 frames of reference"):
        read_rtstruct(path, scene.series)
    assert read_rtstruct(path, scene.series, rois=["a"]).values.any()


def test_a_damaged_contour_is_an_error(scene: Scene) -> None:
    def cut(ds: Dataset) -> None:
        contour = ds.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = contour.ContourData[:-1]

    path = scene.draw({"a": [(1, box(1, 1, 3, 3))]}, cut)
    with pytest.raises(InputError, match="damaged contour"):
        read_rtstruct(path, scene.series)


@given(
    supersample=st.integers(1, 5),
    points=st.lists(
        st.tuples(st.floats(-2, 15, width=32), st.floats(-2, 13, width=32)), min_size=3, max_size=7
    ),
)
def test_supersampling_counts_points(supersample: int, points: list[tuple[float, float]]) -> None:
    """Against the definition on a lattice of points, each with its own crossing count."""
    polygon = np.round(np.array(points), 6)
    n = supersample
    (rows, columns), counts, _ = fill_slice([polygon], SHAPE[1:], n)
    found = np.zeros(SHAPE[1:], int)
    found[rows, columns] = counts
    fine = naive([(polygon + 0.5) * n - 0.5], (12 * n, 14 * n))
    np.testing.assert_array_equal(found, fine.reshape(12, n, 14, n).sum(axis=(1, 3)))


def test_supersampling_gives_partial_volume(scene: Scene) -> None:
    path = scene.draw({"GTV": [(1, box(1.75, 2.5, 4.5, 6.5))]})
    soft = open_soft_rtstruct(path, scene.series, supersample=8)
    found = soft.read(0)
    np.testing.assert_allclose(found[1, 3, 1:6], [0, 0.75, 1, 1, 0])
    assert found.sum() == pytest.approx(2.75 * 4)
    assert not found[[0, 2]].any()
    assert soft.metadata["fractional_type"] == "OCCUPANCY"
    classes = dict(soft.classes())
    np.testing.assert_allclose(classes[0] + classes[1], 1)
    with pytest.raises(UsageError, match="supersample 0"):
        open_soft_rtstruct(path, scene.series, supersample=0)


def test_one_sample_is_the_hard_label(scene: Scene) -> None:
    path = scene.draw({"GTV": [(1, [(1.3, 2.2), (9.1, 3.4), (6.2, 9.7)])]})
    hard = read_rtstruct(path, scene.series).values
    soft = open_soft_rtstruct(path, scene.series, supersample=1).read(0)
    np.testing.assert_array_equal(soft, hard)


def test_soft_overlaps_follow_the_rule(scene: Scene) -> None:
    path = scene.draw({"a": [(1, box(1.5, 1.5, 5.75, 5.5))], "b": [(1, box(5.25, 1.5, 8.5, 5.5))]})
    soft = open_soft_rtstruct(path, scene.series, supersample=4)
    with pytest.raises(InputError, match="overlap: at 8 voxels"):
        list(soft.classes())
    at = (1, 3, 6)
    a, b = soft.read(0)[at], soft.read(1)[at]
    assert (a, b) == (0.25, 1.0)
    for rule, expected in (("first", (0.25, 0.75)), ("last", (0.0, 1.0)), ("highest", (0.2, 0.8))):
        classes = dict(soft.classes(rule))  # type: ignore[arg-type]
        np.testing.assert_allclose((classes[1][at], classes[2][at]), expected)
        np.testing.assert_allclose(sum(classes.values()), 1, atol=1e-6)


def test_the_phantom_has_the_reference_volume(phantom: Path) -> None:
    """IBSI-1: 125,256 voxels in the mask; the mesh has 359 +- 5 cm^3."""
    folder = phantom / "pat_1"
    path = next(p for p in folder.iterdir() if p.name.startswith("DCM_RS"))
    found = read_rtstruct(path, folder)
    voxels = int((found.values == 1).sum())
    assert voxels == 125_256
    assert abs(voxels * np.prod(found.geometry.spacing_mm) / 1000 - 359) < 5
