"""Classes by the names that files give: patterns, other names, loose spelling, hints."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import ClassError
from softlab_cli.core.names import (
    NamedClass,
    NameRule,
    matches,
    spelled_alike,
    title_of,
    to_the_letter,
)
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.labels.segments import as_classes, choose_segments
from softlab_cli.readers.options import ReadingOptions
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices

SHAPE = (3, 9, 12)
LUNG, HEART = "[Ll]ung*", "heart|HEART|Heart"
PATTERNS = f"0,1={LUNG},2={HEART}"
ONE = ("--workers", "1")


def corners(x0: float, x1: float, z: int) -> np.ndarray:
    """A contour around voxels x0 to x1 - 1 and rows 2 to 5, in the millimetres of the slices."""
    x = (np.array([x0, x1, x1, x0]) - 0.5) * 0.7 - 10
    y = (np.array([2, 2, 6, 6]) - 0.5) * 0.8 + 20
    return np.column_stack([x, y, np.full(4, 30 + 2.0 * z)])


def box(x0: int, x1: int, z: int = 1) -> np.ndarray:
    """The voxels of `corners`."""
    inside = np.zeros(SHAPE, bool)
    inside[z, 2:6, x0:x1] = True
    return inside


def draw(folder: Path, regions: Mapping[str, Sequence[tuple[int, int]]]) -> None:
    """A case of an RTSTRUCT with boxes, and its series."""
    sources = make_slices(np.zeros(SHAPE, np.int16))
    save_slices(folder / "ct", sources)
    rois = {name: [corners(x0, x1, 1) for x0, x1 in boxes] for name, boxes in regions.items()}
    make_rtstruct(folder / "rs.dcm", sources, rois)


def segment(folder: Path, names: Mapping[int, str], voxels: np.ndarray, kind: str) -> None:
    """A case of a SEG, and its series."""
    sources = make_slices(np.zeros(SHAPE, np.int16))
    save_slices(folder / "ct", sources)
    make_seg(folder / "seg.dcm", sources, voxels, kind, names)


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch) -> None:
    """No file here crashes, and a process for each would only take time."""
    monkeypatch.setattr("softlab_cli.running.isolation.may_crash_on", lambda path: False)


@pytest.fixture(scope="module")
def patients(tmp_path_factory) -> Path:
    """Three patients, whose regions are called differently."""
    folder = tmp_path_factory.mktemp("patients")
    draw(folder / "p1", {"Lung_L": [(2, 5)], "Heart": [(6, 9)]})
    draw(folder / "p2", {"HEART": [(6, 9)], "lung left": [(2, 5)], "Couch": [(9, 11)]})
    draw(folder / "p3", {"Lung L": [(2, 5)], "Heart": [(6, 9)]})
    return folder


EXPECTED = 1 * box(2, 5) + 2 * box(6, 9)


def label_of(store: Path, case_id: str) -> np.ndarray:
    return np.asarray(softlab_cli.open_store(store)[case_id].read_label())


# ---- patterns alone ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "title"),
    [
        ("liver", "liver"),
        ("[Ll]ung*", "Lung"),
        ("*_L", "L"),
        ("heart|HEART", "heart"),
        ("[Hh]eart|cor", "cor"),
        ("GTV?|", "GTV"),
        ("*", "*"),
        ("node [[]1]", "node [1]"),
    ],
)
def test_what_a_class_is_called(pattern: str, title: str) -> None:
    assert title_of(pattern) == title


@pytest.mark.parametrize(
    ("pattern", "loose", "found"),
    [
        ("Lung_L", False, {"Lung_L"}),
        ("lung l", True, {"Lung_L", "LUNG L"}),
        ("lung*", True, {"Lung_L", "LUNG L", "lung left"}),
        ("lung*", False, {"lung left"}),
        ("[Ll]ung*", False, {"Lung_L", "lung left"}),
        ("node [12]", False, {"node [12]"}),
        ("node ?", False, {"node 1"}),
    ],
)
def test_names_that_a_pattern_means(pattern: str, loose: bool, found: set[str]) -> None:
    names = ["Lung_L", "LUNG L", "lung left", "node [12]", "node 1"]
    assert {names[i] for i in matches(names, pattern, loose=loose)} == found


def test_names_that_are_spelled_alike() -> None:
    names = ["Lung_L", "lung left", "Lung L", "HEART", "Heart", "Heart"]
    assert spelled_alike(names) == [["HEART", "Heart"], ["Lung L", "Lung_L"]]


@pytest.mark.parametrize("name", ["node [12]", "a,b", "x|y", "*", "plain"])
def test_a_pattern_to_the_letter_fits_the_name(name: str) -> None:
    pattern = to_the_letter(name)
    assert "," not in pattern
    assert "|" not in pattern
    assert matches([name, "other"], pattern) == [0]


def test_a_name_of_two_classes_is_refused() -> None:
    rule = NameRule((NamedClass(1, "GTV", ("GTV*",)), NamedClass(2, "node", ("*node",))))
    assert rule.assign({4: "GTVp", 7: "node", 9: "body"}) == {4: 1, 7: 2}
    with pytest.raises(ClassError, match=r"'GTVnode' means two classes, 1 \(GTV\*\) and 2"):
        rule.assign({1: "GTVnode"})


# ---- through the command line -----------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("--labels", PATTERNS),
        ("--labels", "0,1=lung*,2=heart", "--loose-names"),
        ("--labels", "0,1=lungl|lungleft,2=heart", "--loose-names", "--roi", "LUNG*", "--roi",
         "he art"),
    ],
)  # fmt: skip
def test_several_names_are_one_class(softlab, tmp_path, patients, options) -> None:
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", patients, "--out", out, *options)
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out).classes.values == (0, 1, 2)
    for case_id in ("p1", "p2", "p3"):
        np.testing.assert_array_equal(label_of(out, case_id), EXPECTED)


def test_what_means_no_class_is_left_out_and_named(softlab, tmp_path, patients) -> None:
    out, options = tmp_path / "o.zarr", ["--labels", PATTERNS]
    planned = softlab("onehot", *ONE, "--in", patients, "--out", out, *options, "--dry-run")
    said = "1 name means no class, and what has it is left out: 'Couch' in 1 file"
    assert said in planned.stderr
    done = softlab("onehot", *ONE, "--in", patients, "--out", out, *options)
    assert said in done.stderr
    warnings = softlab_cli.open_store(out)["p2"].info.warnings
    assert warnings == ("1 named segment means no class and is left out: 'Couch'.",)
    assert softlab_cli.open_store(out).classes.names == ("background", "Lung", "heart")


def test_the_rule_is_part_of_the_recipe(softlab, tmp_path, patients) -> None:
    command = ("onehot", *ONE, "--in", patients, "--out", tmp_path / "o.zarr", "--labels")
    assert softlab(*command, PATTERNS).exit_code == 0
    assert "skipped      3" in softlab(*command, PATTERNS).output
    refused = softlab(*command, f"0,1={LUNG}|pulmo,2={HEART}")
    assert refused.exit_code == 1
    assert "reading.names" in refused.output


def test_a_pattern_that_means_nothing(softlab, tmp_path, patients) -> None:
    out = tmp_path / "o.zarr"
    command = ("onehot", *ONE, "--in", patients, "--out", out, "--labels")
    nowhere = softlab(*command, f"{PATTERNS},3=spleen*")
    assert nowhere.exit_code == 1
    assert (
        "no segment of any file means class 3 (spleen*). There are: 'Lung_L', 'Heart',"
        in nowhere.stderr
    )
    assert "--labels '3=spleen*|'" in nowhere.stderr
    assert not out.exists()
    once = softlab(*command, f"{PATTERNS},3=Couch*")
    assert once.exit_code == 1
    assert "done         1" in once.output
    assert "rs.dcm: no segment means class 3 (Couch*). There are: 'Lung_L'" in once.stderr
    allowed = softlab(*command, f"{PATTERNS},3=Couch*|", "--overwrite")
    assert allowed.exit_code == 0, allowed.output
    np.testing.assert_array_equal(label_of(out, "p2"), EXPECTED + 3 * box(9, 11))


def test_a_name_of_two_classes_fails_its_case_by_name(softlab, tmp_path, patients) -> None:
    labels = "0,1=*ung*,2=*eart*|HEART,3=Lung_?"
    refused = softlab(
        "onehot", *ONE, "--in", patients, "--out", tmp_path / "o.zarr", "--labels", labels
    )
    assert refused.exit_code == 1
    assert "'Lung_L' means two classes" in refused.output


def test_a_segment_that_plain_names_do_not_have_is_an_error(softlab, tmp_path, patients) -> None:
    labels = "0,1=lung left,2=HEART"
    refused = softlab("onehot", *ONE, "--in", patients / "p2", "--out", tmp_path / "o.zarr",
                      "--labels", labels)  # fmt: skip
    assert refused.exit_code == 1
    assert "'Couch': no such class" in refused.output
    assert "patterns such as '1=liver*' leave out" in refused.output


def test_a_case_of_which_no_name_means_a_class(softlab, tmp_path, patients) -> None:
    refused = softlab("onehot", *ONE, "--in", patients, "--out", tmp_path / "o.zarr", "--labels",
                      "0,1=HEART*|,2=lung left*|")  # fmt: skip
    assert refused.exit_code == 1
    assert "done         1" in refused.output
    assert "none of its segments means a class: 'Lung_L', 'Heart'." in refused.output


# ---- a file of names ----------------------------------------------------------------------


def names_file(folder: Path, content: object) -> Path:
    path = folder / "names.json"
    path.write_text(json.dumps(content))
    return path


def test_a_names_file_with_other_names(softlab, tmp_path, patients) -> None:
    content = {
        "labels": {"background": 0, "lung": 1, "heart": 2, "spleen": 3},
        "aliases": {"lung": ["Lung_L", "lung left", "Lung ?"], "heart": "H*", "background": "C*"},
    }
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", patients, "--out", out, "--classes-from",
                   names_file(tmp_path, content))  # fmt: skip
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out).classes.names == ("background", "lung", "heart", "spleen")
    for case_id in ("p1", "p2", "p3"):
        np.testing.assert_array_equal(label_of(out, case_id), EXPECTED)
    assert "no file has a segment for 3 (spleen)" in done.stderr
    assert "left out" not in done.output  # the couch is background, as the file says


def test_names_of_a_file_may_mean_voxels_that_are_not_labelled(softlab, tmp_path, patients) -> None:
    content = {
        "labels": {"background": 0, "lung": 1, "heart": 2, "ignore": 255},
        "aliases": {"ignore": ["Couch"]},
    }
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", patients, "--out", out, "--loose-names", "--labels",
                   "0,1=lung*,2=heart", "--classes-from",
                   names_file(tmp_path, content))  # fmt: skip
    assert done.exit_code == 0, done.output
    soft = softlab_cli.open_store(out)["p2"].read()
    np.testing.assert_array_equal(soft.sum(0) == 0, box(9, 11))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"labels": {"lung": 1}, "aliases": {"Lung": ["x"]}}, "aliases: 'Lung': no such class"),
        ({"labels": {"lung": 1}, "aliases": ["x"]}, "'aliases' is not an object"),
        ({"labels": {"lung": 1}, "aliases": {"lung": [3]}}, "'aliases' is not an object"),
        ({"lung": 1, "aliases": {"lung": {}}}, "'aliases' is not an object"),
        ({"labels": {"lung": {}}}, "'lung': {} has no label value"),
        ([1], "has no 'labels' object"),
    ],
)
def test_a_names_file_that_makes_no_sense(softlab, tmp_path, patients, content, said) -> None:
    refused = softlab("onehot", *ONE, "--in", patients, "--out", tmp_path / "o.zarr",
                      "--classes-from", names_file(tmp_path, content))  # fmt: skip
    assert refused.exit_code == 1
    assert said in refused.stderr


# ---- loose names without classes ------------------------------------------------------------


def test_loose_names_alone_make_one_class_of_each_spelling(softlab, tmp_path, patients) -> None:
    out = tmp_path / "o.zarr"
    command = ("onehot", *ONE, "--in", patients, "--out", out, "--loose-names")
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    assert "differ only in" not in done.stderr
    names = softlab_cli.open_store(out).classes.names
    assert names == ("background", "Couch", "Heart", "Lung L", "lung left")
    np.testing.assert_array_equal(label_of(out, "p1"), label_of(out, "p3"))
    assert "skipped      3" in softlab(*command).output


def test_the_hint_tells_what_would_merge_names(softlab, tmp_path, patients) -> None:
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", patients, "--out", out)
    assert done.exit_code == 0
    text = "0,1=Couch,2=HEART|Heart,3=Lung L|Lung_L|,4=lung left"
    listed = "'HEART' and 'Heart', 'Lung L' and 'Lung_L'"
    said = f"names differ only in case, spaces or underscores: {listed}; --loose-names makes"
    assert done.stderr.count(said) == 1
    assert f"--labels '{text}'" in done.stderr
    assert said in softlab("inspect", patients).output
    merged = softlab(
        "onehot", *ONE, "--in", patients, "--out", out, "--overwrite", "--labels", text
    )
    assert merged.exit_code == 0, merged.output
    assert "differ only" not in merged.stderr
    np.testing.assert_array_equal(label_of(out, "p1"), label_of(out, "p3"))


def test_the_hint_for_one_file(softlab, tmp_path) -> None:
    draw(tmp_path / "p", {"Lung_L": [(2, 5)], "LUNG L": [(6, 9)]})
    said = softlab("inspect", tmp_path / "p" / "rs.dcm").output
    assert "problem   names differ only" in said
    assert "--labels '0,1=LUNG L|Lung_L'" in said


# ---- merging before painting ------------------------------------------------------------------


def test_regions_of_one_class_do_not_conflict(softlab, tmp_path) -> None:
    draw(tmp_path / "in" / "p", {"Lung_L": [(2, 6)], "lung left": [(4, 8)], "Heart": [(9, 11)]})
    for options in (
        ("--labels", "0,1=[Ll]ung*,2=Heart"),
        ("--labels", "0,1=lung*", "--loose-names"),
    ):
        out = tmp_path / f"{len(options)}.zarr"
        done = softlab("onehot", *ONE, "--in", tmp_path / "in", "--out", out, *options)
        assert done.exit_code == 0, done.output
        np.testing.assert_array_equal(label_of(out, "p") == 1, box(2, 8))
    refused = softlab("onehot", *ONE, "--in", tmp_path / "in", "--out", tmp_path / "r.zarr",
                      "--labels", "0,1=Lung*,2=lung*|Heart")  # fmt: skip
    assert refused.exit_code == 1
    assert "segments overlap: Lung_L and lung left: 8 voxels" in refused.output


def test_loose_names_of_one_file_do_not_conflict(softlab, tmp_path) -> None:
    draw(tmp_path / "in" / "p", {"Lung_L": [(2, 6)], "LUNG L": [(4, 8)]})
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", tmp_path / "in", "--out", out, "--loose-names")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(out, "p") > 0, box(2, 8))


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_of_a_seg(softlab, tmp_path, kind) -> None:
    names = {1: "Lung_L", 2: "Heart", 3: "lung R", 4: "Couch"}
    boxes = [box(1, 3), box(4, 6), box(6, 8), box(9, 11)]
    voxels = np.stack(boxes, axis=-1).astype(np.uint8)
    if kind == "LABELMAP":
        voxels = (voxels * np.arange(1, 5, dtype=np.uint8)).sum(-1).astype(np.uint8)
    segment(tmp_path / "in" / "p", names, voxels, kind)
    out = tmp_path / "o.zarr"
    done = softlab(
        "onehot", *ONE, "--in", tmp_path / "in", "--out", out, "--labels", "0,7=[Ll]ung*,9=Heart"
    )
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out).classes.values == (0, 7, 9)
    np.testing.assert_array_equal(label_of(out, "p"), 1 * (boxes[0] | boxes[2]) + 2 * boxes[1])


def test_soft_labels_of_one_class_add_up(softlab, tmp_path) -> None:
    names = {1: "Lung_L", 2: "lung R", 3: "Couch"}
    fractions = np.stack([0.75 * box(2, 6), 0.5 * box(4, 8), 1.0 * box(9, 11)], axis=-1)
    sources = make_slices(np.zeros(SHAPE, np.int16))
    save_slices(tmp_path / "in" / "p" / "ct", sources)
    make_seg(tmp_path / "in" / "p" / "seg.dcm", sources, fractions, "FRACTIONAL", names,
             max_fractional_value=4)  # fmt: skip
    out = tmp_path / "o.zarr"
    done = softlab("import", *ONE, "--in", tmp_path / "in", "--out", out, "--labels", "0,1=lung*",
                   "--loose-names")  # fmt: skip
    assert done.exit_code == 0, done.output
    soft = softlab_cli.open_store(out)["p"].read()
    expected = np.minimum(0.75 * box(2, 6) + 0.5 * box(4, 8), 1)
    np.testing.assert_array_equal(soft, np.stack([1 - expected, expected]).astype(np.float16))


def test_contours_of_one_class_add_up(softlab, tmp_path, patients) -> None:
    out = tmp_path / "o.zarr"
    done = softlab(
        "import", *ONE, "--in", patients, "--out", out, "--supersample", 2, "--labels", PATTERNS
    )
    assert done.exit_code == 0, done.output
    soft = softlab_cli.open_store(out)["p2"].read()
    np.testing.assert_array_equal(soft.argmax(0), EXPECTED)


def test_what_is_left_out_need_not_lie_on_the_series(softlab, tmp_path) -> None:
    sources = make_slices(np.zeros(SHAPE, np.int16))
    folder = tmp_path / "in" / "p"
    save_slices(folder / "ct", sources)

    def elsewhere(ds) -> None:
        ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = "1.2.3"

    rois = {"Lung_L": [corners(2, 5, 1)], "Couch": [corners(6, 9, 1)]}
    make_rtstruct(folder / "rs.dcm", sources, rois, change=elsewhere)
    command = ("onehot", *ONE, "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert softlab(*command).exit_code == 1
    done = softlab(*command, "--labels", f"0,1={LUNG}")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(tmp_path / "o.zarr", "p") == 1, box(2, 5))


def test_regions_of_one_name_are_told_apart(softlab, tmp_path) -> None:
    """Several regions may have one name; a pattern means all of them."""
    sources = make_slices(np.zeros(SHAPE, np.int16))
    folder = tmp_path / "in" / "p"
    save_slices(folder / "ct", sources)

    def same(ds) -> None:
        ds.StructureSetROISequence[1].ROIName = "GTV"

    rois = {"GTV": [corners(2, 5, 1)], "other": [corners(6, 9, 1)]}
    make_rtstruct(folder / "rs.dcm", sources, rois, change=same)
    out = tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", tmp_path / "in", "--out", out, "--labels", "0,1=GTV*")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(out, "p") == 1, box(2, 5) | box(6, 9))


# ---- any other file with names --------------------------------------------------------------


@dataclass
class Named:
    """A file with names whose reader knows nothing of rules; only what is asked for here."""

    offered: dict[int, str]

    def names(self, rois: Sequence[str]) -> dict[int, str]:
        return self.offered


def test_a_reader_that_paints_numbers_is_served_as_well() -> None:
    rule = NameRule(
        (NamedClass(2, "lung", ("lung*",)), NamedClass(1, "heart", ("heart",))), loose=True
    )
    names = {1: "LUNG l", 2: "Lung_R", 3: "Heart", 4: "couch"}
    chosen = choose_segments(Named(names), ReadingOptions(names=rule, loose_names=True), Path("x"))
    assert chosen.options.rois == ("LUNG l", "Lung_R", "Heart")
    assert chosen.left_out == ("couch",)
    assert chosen.classes == {2: "lung", 1: "heart"}
    values = np.array([[[0, 1, 2, 3, 65535]]], np.uint16)
    painted = LabelMap(
        values,
        Geometry((1, 1, 5), np.eye(4)),
        (),
        {"names": {1: "LUNG l", 2: "Lung_R", 3: "Heart"}},
    )
    made = as_classes(painted, chosen.options, Path("x"))
    np.testing.assert_array_equal(made.values, [[[0, 2, 2, 1, 65535]]])
    assert made.metadata["names"] == {2: "lung", 1: "heart"}
    assert as_classes(made, chosen.options, Path("x")) is made
