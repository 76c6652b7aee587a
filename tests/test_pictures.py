"""Views of cases: what is shown lies where it should, and is what the case has there."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, UsageError
from softlab_cli.core.volume import Geometry
from softlab_cli.report.pictures.case import ENTROPY, NOT_LABELLED, view_case, view_subject
from softlab_cli.report.pictures.doubt import borders_of, doubt_of, find_place
from softlab_cli.report.pictures.lines import isoline, outline, simplified
from softlab_cli.report.pictures.planes import PLANES, View
from softlab_cli.report.pictures.subject import Layer, Subject, read_array, soft_array, subject_of
from softlab_cli.report.pictures.windows import parse_window, window_around
from softlab_cli.report.pictures.zoom import parse_zoom, zoomed
from softlab_cli.store.sparse import soft_parts
from tests.conftest import blobs, write_image

SHAPE = (12, 70, 66)  # several blocks


def stored(letters: str, marks: dict[str, tuple[int, int, int]]) -> tuple[Geometry, np.ndarray]:
    """A volume of 9 x 9 x 9 whose axes (x, y, z) point to `letters`, with marked points.

    A mark's place is given along (R, A, S), counted from the volume's centre.
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, letter in enumerate(letters):
        world, sign = "RASLPI".index(letter) % 3, 1 if letter in "RAS" else -1
        affine[world, column] = sign
    affine[:3, 3] = -affine[:3, :3] @ (4, 4, 4)
    array = np.zeros((9, 9, 9), int)
    for i, place in enumerate(marks.values(), start=1):
        x, y, z = np.linalg.solve(affine, [*place, 1])[:3].round().astype(int)
        array[z, y, x] = i
    return Geometry((9, 9, 9), affine), array


@pytest.mark.parametrize("letters", ["RAS", "LPS", "SAR", "PIR", "ILA"])
@pytest.mark.parametrize("plane", PLANES)
def test_the_patients_right_is_on_the_left(letters, plane) -> None:
    down, right = PLANES[plane][1:]
    unit = dict(zip("RAS", np.eye(3, dtype=int), strict=True))
    unit |= dict(zip("LPI", -np.eye(3, dtype=int), strict=True))
    geometry, array = stored(letters, {"bottom": 3 * unit[down], "right": 3 * unit[right]})
    view = View.of(geometry, plane)
    shown = view.turn(np.squeeze(array[view.region(geometry.shape, 4)], view.axis))
    assert shown[7, 4] == 1
    assert shown[4, 7] == 2
    (place,) = np.argwhere(array == 1).tolist()
    assert view.seen_at(geometry.shape, place) == (7, 4)
    cut = view.slice_of(array[view.cut(geometry.shape, 4, slice(6, 9), slice(2, 9))])
    np.testing.assert_array_equal(cut, shown[6:9, 2:9])


def test_pixels_have_the_shape_of_voxels() -> None:
    geometry = Geometry((4, 4, 4), np.diag([1.0, 2.0, 5.0, 1.0]))
    assert [View.of(geometry, plane).aspect for plane in PLANES] == [2, 5, 2.5]
    assert View.of(geometry, "coronal").pixel_mm == (5, 1)


@pytest.mark.parametrize(
    ("plane", "edges"), [("axial", "ALPR"), ("coronal", "SLIR"), ("sagittal", "SPIA")]
)
def test_edges_are_named_from_the_top_clockwise(plane, edges) -> None:
    assert View.of(Geometry((4, 5, 6), np.diag([-1.0, 1.0, 2.0, 1.0])), plane).edges == edges


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Stores of one case: SVLS stored, on read, one-hot, and uniform; all with an image."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    folder = tmp_path_factory.mktemp("pictures")
    array = blobs(SHAPE, 5)
    array[:, :8] = 9
    write_image(folder / "in" / "a.nii.gz", array, (2, 1, 1))
    write_image(folder / "images" / "a.nii.gz", array.astype(np.float32) * 10, (2, 1, 1))
    for name, *options in [
        ("svls", "svls"), ("on_read", "svls", "--labels-only"), ("onehot", "onehot"),
        ("uniform", "ls", "--smoothing", "0.2"),
    ]:  # fmt: skip
        done = CliRunner().invoke(
            cli,
            [*options, "--in", str(folder / "in"), "--images", str(folder / "images"),
             "--ignore-label", "9", "--out", str(folder / name)],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
    return lambda name: softlab_cli.open_store(folder / name)["a"]


@pytest.mark.parametrize("name", ["svls", "on_read", "uniform"])
def test_parts_of_soft_labels_add_up_to_the_whole(store, name) -> None:
    case, region = store(name), (slice(1, 9), slice(3, 69), slice(60, 66))
    for classes in (None, [3, 1]):
        rows = range(5) if classes is None else classes
        found = np.zeros((5, *SHAPE), np.float16)
        for index, where, values in soft_parts(case, region, classes):
            assert index in rows
            found[(index, *where)] += values
        np.testing.assert_array_equal(
            found[(list(rows), *region)], case.read(region, classes=classes)
        )


def test_doubt_and_borders_are_those_of_the_whole_volume(store) -> None:
    case, region = store("svls"), (slice(2, 11), slice(5, 70), slice(0, 65))
    p = case.read().astype(np.float64)
    doubt = (p * (1 - p)).sum(0)
    np.testing.assert_allclose(doubt_of(subject_of(case), region), doubt[region], atol=1e-5)
    label, borders = case.read_label(), np.zeros(SHAPE)
    for axis in range(3):
        differ = np.diff(label.astype(int), axis=axis) != 0
        borders[tuple(slice(0, n) for n in differ.shape)] += differ
    np.testing.assert_array_equal(borders_of(subject_of(case), region), borders[region])
    np.testing.assert_allclose(
        doubt_of(subject_of(case), region, [2]), (p * (1 - p))[(2, *region)], atol=1e-5
    )


def subject(hard, soft=None, spacing=(1, 1, 1), raters=None, names=("a", "b"), **more) -> Subject:
    z, y, x = spacing
    geometry = Geometry(hard.shape, np.diag([x, y, z, 1.0]), 2 if len(hard) == 1 else 3)
    table = ClassTable.from_values(range(len(names)), dict(enumerate(names)))
    raters = {name: read_array(labels) for name, labels in (raters or {}).items()}
    reader = None if soft is None else soft_array(soft)
    return Subject("s", geometry, table, read_array(hard), reader, raters=raters, **more)


def test_the_place_is_where_much_is_soft_and_not_one_odd_voxel() -> None:
    hard = np.zeros((20, 70, 70), np.uint8)
    soft = np.zeros((2, *hard.shape), np.float32)
    soft[1, 0, 0, 0] = 0.5  # the most doubtful voxel, alone at the border of the field
    soft[1, 9:13, 50:54, 30:34] = 0.3
    soft[0] = 1 - soft[1]
    z, y, x = find_place(subject(hard, soft))
    assert 9 <= z < 13
    assert 50 <= y < 54
    assert 30 <= x < 34
    z, y, x = find_place(subject(hard, soft), (0, None, None))
    assert (z, y, x) == (0, 0, 0)


def test_cells_of_doubt_are_as_deep_as_they_are_wide_in_millimetres() -> None:
    hard = np.zeros((20, 40, 40), np.uint8)
    soft = np.zeros((2, *hard.shape), np.float32)
    soft[1, 2:4, 4:8, 4:8] = 0.5
    soft[1, 8:20, 30:34, 30:34] = 0.064  # more of it, but along 60 mm
    soft[0] = 1 - soft[1]
    z, y, x = find_place(subject(hard, soft, spacing=(5, 1, 1)))
    assert 2 <= z < 4
    assert 4 <= y < 8
    assert 4 <= x < 8


def test_the_place_of_a_class_is_where_that_class_is() -> None:
    hard = np.zeros((12, 30, 30), np.uint8)
    hard[4:9, 3:9, 3:9] = 2
    other, rare = hard.copy(), hard.copy()
    other[3:10, 20:28, 20:28] = 1
    rare[6, 8:10, 8] = 0
    several = subject(hard, raters={"r1": other, "r2": rare}, names=("a", "b", "c"))
    assert find_place(several)[1] > 15
    assert find_place(several, classes=[2])[:2] == (6, 8)
    unanimous = subject(other, names=("a", "b", "c"))
    z, y, x = find_place(unanimous, classes=[2])
    assert 4 <= z < 9
    assert (y, x) in [(2, 2), (8, 8), (2, 8), (8, 2)]  # where a face is


def test_the_place_is_where_raters_differ_although_the_label_is_sure() -> None:
    hard = np.zeros((12, 30, 30), np.uint8)
    soft = np.stack([1.0 - hard, hard]).astype(np.float32)
    one = hard.copy()
    one[5:8, 20:24, 3:7] = 1
    z, y, x = find_place(subject(hard, soft, raters={"r1": hard, "r2": one}))
    assert 5 <= z < 8
    assert 20 <= y < 24
    assert 3 <= x < 7


def test_doubt_of_raters_is_the_share_that_differs() -> None:
    hard = np.zeros((1, 2, 3), np.uint8)
    drawn = {f"r{i}": hard.copy() for i in range(4)}
    drawn["r1"][0, 0, 0] = drawn["r2"][0, 0, 0] = drawn["r3"][0, 1, 2] = 1
    whole = (slice(0, 1), slice(0, 2), slice(0, 3))
    found = doubt_of(subject(hard, raters=drawn), whole)
    np.testing.assert_array_equal(found, [[[0.5, 0, 0], [0, 0, 0.25]]])


@pytest.mark.parametrize("name", ["onehot", "uniform"])
def test_without_doubt_of_its_own_a_case_is_shown_where_most_borders_are(store, name) -> None:
    case = store(name)
    label = case.read_label().astype(int)
    borders = [sum(np.count_nonzero(np.diff(s, axis=a)) for a in (0, 1)) for s in label]
    across = [*(np.count_nonzero(a != b) for a, b in pairwise(label)), 0]
    assert find_place(subject_of(case))[0] == int(np.argmax(np.add(borders, across)))


def test_a_case_of_one_label_has_a_place_too() -> None:
    assert find_place(subject(np.zeros((5, 6, 7), np.uint8))) == (2, 3, 3)


def area(paths) -> float:
    """Area inside of closed paths; holes are turned the other way round."""
    total = 0.0
    for x, y in (path.T.astype(float) for path in paths):
        total += float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum() / 2)
    return abs(total)


def test_outlines_are_closed_and_go_around_the_pixels() -> None:
    inside = np.zeros((12, 14), bool)
    inside[0:6, 0:14] = True  # touches three edges
    (path,) = outline(inside)
    np.testing.assert_array_equal(path[0], path[-1])
    assert path.min(0).tolist() == [0, 0]
    assert path.max(0).tolist() == [14, 6]
    inside[2:4, 5:8] = False
    paths = outline(inside)
    assert len(paths) == 2
    assert area(paths) == pytest.approx(inside.sum(), abs=1.5)  # corners are cut
    assert outline(np.zeros((3, 3), bool)) == ()


def test_isolines_are_where_the_values_are() -> None:
    y, x = np.mgrid[0:40, 0:40]
    values = np.clip(1 - np.hypot(y - 20, x - 18) / 16, 0, 1)
    for level in (0.1, 0.5, 0.9):
        (path,) = isoline(values, level)
        away = np.hypot(path[:, 0] - 18.5, path[:, 1] - 20.5)  # from the centre of its pixel
        np.testing.assert_allclose(away, 16 * (1 - level), atol=0.25)


def test_a_simplified_path_stays_close_with_fewer_points() -> None:
    turn = np.linspace(0, 2 * np.pi, 500)
    path = np.stack([30 * np.cos(turn), 20 * np.sin(turn)], axis=1).astype(np.float32)
    short = simplified(path)
    assert len(short) < 60
    assert area([short]) == pytest.approx(area([path]), rel=0.01)
    np.testing.assert_array_equal(short[[0, -1]], path[[0, -1]])


def test_a_simplified_path_keeps_what_is_seen_to_be_off_it() -> None:
    there_and_back = np.float32([[0, 0], [-5, 0], [10, 0]])  # on the line, not on the piece of it
    np.testing.assert_array_equal(simplified(there_and_back), there_and_back)
    bumps = np.float32([[0, 0], [3, 0.05], [6, 0], [9, 0.5], [12, 0]])
    assert [9, 0.5] in simplified(bumps).tolist()
    assert np.float32([3, 0.05]).tolist() not in simplified(bumps).tolist()


def test_zoom_cuts_to_what_lies_around_the_place() -> None:
    foreground = np.zeros((200, 300), bool)
    foreground[100:110, 50:60] = True
    foreground[104:106, 62:70] = True  # close enough to belong to it
    foreground[20:40, 250:280] = True
    rows, columns = zoomed(foreground, (104, 55), (1.0, 1.0), None)
    assert rows.start <= 100 - 3
    assert columns.stop >= 70 + 3
    assert rows.stop - rows.start < 40
    assert columns.stop < 100
    far = zoomed(foreground, (0, 299), (1.0, 1.0), None)
    assert far[0].start == 14
    assert zoomed(foreground, (5, 5), (1.0, 1.0), 1.0) == (slice(0, 200), slice(0, 300))
    assert zoomed(foreground, (5, 5), (1.0, 1.0), 4.0) == (slice(0, 50), slice(0, 75))
    assert zoomed(np.zeros((4, 5), bool), (0, 0), (1.0, 1.0), None) == (slice(0, 4), slice(0, 5))


def test_zoom_reckons_in_millimetres() -> None:
    flat = np.zeros((60, 300), bool)
    flat[34, 100] = True  # 4 pixels from the place, and 20 mm
    flat[30, 110] = True  # 10 mm
    assert zoomed(flat, (30, 100), (5.0, 1.0), None) == (slice(27, 33), slice(96, 124))
    fine = np.zeros((200, 200), bool)
    fine[80:120, 40:80] = True
    fine[80:120, 90:130] = True  # 5 mm away
    assert zoomed(fine, (100, 50), (0.5, 0.5), None)[1] == slice(13, 157)
    fine[80:120, 90:93] = False  # 6.5 mm
    assert zoomed(fine, (100, 50), (0.5, 0.5), None)[1] == slice(28, 92)


def test_a_cut_is_no_strip_and_stays_inside() -> None:
    strip = np.zeros((300, 300), bool)
    strip[150:152, 50:150] = True
    assert zoomed(strip, (150, 60), (1.0, 1.0), None) == (slice(103, 199), slice(20, 180))
    corner = np.zeros((100, 100), bool)
    corner[0:10, 90:100] = True
    assert zoomed(corner, (0, 99), (1.0, 1.0), None) == (slice(0, 28), slice(72, 100))
    assert zoomed(corner, (0, 99), (1.0, 1.0), 4.0) == (slice(0, 25), slice(75, 100))


@pytest.mark.parametrize("text", ["0", "0.5", "wide", "inf", "nan", ""])
def test_what_is_no_zoom(text) -> None:
    with pytest.raises(UsageError, match="is no zoom"):
        parse_zoom(text)


@pytest.mark.parametrize("text", ["liver", "40", "40,0", "40,-1", "1,2,3", "nan,5", "0,inf"])
def test_what_is_no_window(text) -> None:
    with pytest.raises(UsageError, match="is no window"):
        parse_window(text)


def test_windows() -> None:
    window = parse_window("40,400")
    assert (window.low, window.high) == (-160, 240)
    found = window.apply(np.array([[-500, -160, 40, 240, 900, np.nan]]))
    assert found.tolist() == [[0, 0, 128, 255, 255, 0]]
    assert parse_window("lung").low == -1350
    liver = np.linspace(80, 120, 100)
    image = np.concatenate([liver, np.full(900, -1000.0), [3000, np.nan]])
    auto = window_around(image, (image >= 80) & (image <= 120))
    assert 50 < auto.low < 85
    assert 115 < auto.high < 150
    assert window_around(np.full(9, 7.0), np.ones(9, bool)).high == 8


def test_a_window_is_of_what_is_outlined_without_its_extremes() -> None:
    even = np.linspace(0, 100, 101)
    image = np.concatenate([even, [-1000.0, 1000.0]])
    window = window_around(image, np.abs(image) < 500)  # percentiles 1 and 99, 15 % on both sides
    assert (window.low, window.high) == pytest.approx((1 - 14.7, 99 + 14.7))
    assert "outlined" in window.origin
    alone = window_around(even, np.ones(101, bool))  # no further than there is anything
    assert (alone.low, alone.high) == (0, 100)
    gas = np.concatenate([np.linspace(80, 120, 100), np.full(5, -1000.0), np.full(5, 3000.0)])
    window = window_around(gas, np.ones(110, bool))  # 1.5 quartile distances beyond the quartiles
    first, third = np.percentile(gas, [25, 75])
    away = third - first
    assert window.low == pytest.approx(first - 1.5 * away - 0.15 * 4 * away)
    assert window.high == pytest.approx(third + 1.5 * away + 0.15 * 4 * away)
    few = window_around(even, even > 60)
    assert (few.low, few.high) == (0, 100)
    assert "what is shown" in few.origin
    none = window_around(np.full(60, np.nan), np.ones(60, bool))
    assert (none.low, none.high) == (0, 1)


def test_a_case_is_shown_in_three_planes_at_one_place(store) -> None:
    case = store("svls")
    shown = view_case(case)
    assert [view.plane for view in shown.views] == ["axial", "coronal", "sagittal"]
    assert 1 <= len(shown.classes) <= 4
    assert case.classes.background_index not in shown.classes
    assert shown.window.startswith("auto")
    assert not shown.notes
    place = find_place(subject_of(case))
    label, soft = case.read_label(), case.read()
    for view, axis in zip(shown.views, (0, 1, 2), strict=True):
        assert (view.index, view.slices) == (place[axis], SHAPE[axis])
        row, column = view.place
        assert view.labels[row, column] == label[place]
        assert view.image.shape == view.labels.shape == view.shape
        entropy = next(s for s in view.shades if s.name == ENTROPY)
        p = soft[(slice(None), *place)].astype(float)
        bits = -(p[p > 0] * np.log2(p[p > 0])).sum()
        here = entropy.opacity[row, column] / 255 * entropy.highest
        assert here == pytest.approx(bits, abs=0.02)
        assert {line.kind for line in view.lines} <= {"hard", "soft"}
        assert "entropy up to" in view.caption


def test_what_is_wanted_is_shown(store) -> None:
    case = store("svls")
    shown = view_case(
        case, planes=["sagittal"], place=(3, 40, 11), classes=["label_2", "1"], zoom="none",
        window="20,40", isolines=[0.5],
    )  # fmt: skip
    (view,) = shown.views
    assert shown.classes == (2, 1)
    assert shown.window == "given: black 0, white 40"
    assert (view.index, view.shape, view.corner) == (11, (12, 70), (0, 0))
    np.testing.assert_array_equal(view.labels[::-1, :], case.read_label()[:, :, 11])
    known = view.labels < 5
    np.testing.assert_allclose(view.image[known] / 255 * 40, view.labels[known] * 10, atol=0.1)
    assert {line.level for line in view.lines} == {0.5}
    assert NOT_LABELLED in [shade.name for shade in view.shades]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"place": (99, 0, 0)}, UsageError), ({"classes": ["spleen"]}, ClassError),
        ({"window": "wide"}, UsageError), ({"zoom": "-1"}, UsageError),
        ({"isolines": [1.0]}, UsageError),
    ],
)  # fmt: skip
def test_what_cannot_be_shown(store, options, error) -> None:
    with pytest.raises(error):
        view_case(store("svls"), **options)


def test_raters_references_and_layers_lie_over_one_another() -> None:
    hard = np.zeros((6, 30, 30), np.uint8)
    hard[2:4, 10:20, 10:20] = 1
    other = np.roll(hard, 2, axis=2)
    wrong = (hard != other).astype(np.float32)
    shown = view_subject(
        subject(
            hard, None, raters={"r1": other}, references={"truth": read_array(other)},
            layers=(Layer("sure and wrong", read_array(wrong), 1.0),),
        ),
        planes=["axial"],
    )  # fmt: skip
    (view,) = shown.views
    assert shown.classes == (1,)  # the other one is its complement
    assert [(line.kind, line.name) for line in view.lines] == [
        ("hard", "b"), ("reference", "truth"), ("rater", "r1"),
    ]  # fmt: skip
    (shade,) = view.shades
    assert set(np.unique(shade.opacity)) == {0, 255}
    assert "references: truth" in view.caption


def test_a_picture_in_colours(softlab, tmp_path) -> None:
    import SimpleITK as sitk

    label = np.zeros((40, 50), np.uint8)
    label[10:20, 10:30] = 1
    colours = np.zeros((40, 50, 3), np.uint8)
    colours[..., 0], colours[..., 2] = 250, label * 200
    write_image(tmp_path / "in" / "a.png", label)
    (tmp_path / "images").mkdir()
    image = sitk.GetImageFromArray(colours, isVector=True)
    sitk.WriteImage(image, str(tmp_path / "images" / "a.png"))
    out = tmp_path / "soft.zarr"
    done = softlab(
        "onehot", "--in", tmp_path / "in", "--images", tmp_path / "images", "--out", out,
        "--spacing-mm", "0.5",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    shown = view_case(softlab_cli.open_store(out)["a"], zoom="none")
    (view,) = shown.views
    assert (view.plane, view.edges, view.pixel_mm) == ("picture", "", (0.5, 0.5))
    assert not shown.notes
    np.testing.assert_array_equal(view.colour, colours)
    assert view.image[15, 15] == round(0.299 * 250 + 0.114 * 200)
