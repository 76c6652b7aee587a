"""From folders, datasets, datalists and manifests to cases."""

from __future__ import annotations

import json
import logging
import pickle
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.cases import Case, class_names_from, discover_cases, select_part
from softlab_cli.core.caseid import (
    IMAGE_SUFFIXES,
    check_case_id,
    image_suffix,
    natural_order,
    strip_suffix,
)
from softlab_cli.core.errors import InputError, UsageError


def touch(folder: Path, *names: str) -> Path:
    """Empty files: discovery opens none of them."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def message(*inputs: Path, images: Path | None = None) -> str:
    with pytest.raises(InputError) as caught:
        discover_cases(inputs, images)
    return str(caught.value)


def ids(cases: list[Case]) -> list[str]:
    return [case.case_id for case in cases]


# Names


@given(st.text(min_size=1), st.sampled_from(IMAGE_SUFFIXES))
def test_a_suffix_that_was_added_is_taken_off(stem, suffix) -> None:
    if image_suffix(stem + suffix) == suffix:  # "x.nii" + ".gz" would be another ending
        assert strip_suffix(stem + suffix) == stem
        assert strip_suffix(stem + suffix.upper()) == stem


@given(st.text())
def test_a_case_id_is_a_plain_folder_name_or_refused(text) -> None:
    with suppress(InputError):
        check_case_id(text)
        assert Path(text).name == text
        assert not text.startswith((".", "__"))
        assert (Path("/store") / text).resolve().parent == Path("/store")


@pytest.mark.parametrize(
    ("case_id", "reason"),
    [
        ("", "is empty"),
        ("a/b", "path separator"),
        ("a\\b", "path separator"),
        ("a\nb", "unprintable"),
        ("..", "starts with '.'"),
        (".hidden", "starts with '.'"),
        ("__x", "'__'"),
        ("a.partial-1", "'.partial-'"),
        ("zarr.json", "is the name of a file in every store"),
        ("é" * 101, "longer than 200 bytes"),
    ],
)
def test_bad_case_ids_by_message(case_id, reason) -> None:
    with pytest.raises(InputError, match="case id") as caught:
        check_case_id(case_id)
    assert reason in str(caught.value)


def test_good_case_ids() -> None:
    for case_id in ("case", "a b", "s01..2", "_x", "Fälle-7", "é" * 100):
        check_case_id(case_id)


def test_numbers_are_sorted_as_numbers() -> None:
    names = ["case10", "case2", "case1", "b", "10", "9", "case02", "Case2"]
    assert sorted(names, key=natural_order) == [
        "9", "10", "Case2", "b", "case1", "case02", "case2", "case10",
    ]  # fmt: skip


@given(st.lists(st.text(), unique=True), st.randoms())
def test_the_order_is_total(names, random) -> None:
    mixed = names[:]
    random.shuffle(mixed)
    assert sorted(mixed, key=natural_order) == sorted(names, key=natural_order)


# Parts


@given(st.integers(0, 40), st.integers(1, 12))
def test_parts_share_nothing_and_miss_nothing(count, parts) -> None:
    cases = [Case(str(i), ()) for i in range(count)]
    chosen = [select_part(cases, i + 1, parts) for i in range(parts)]
    assert sorted(ids([*chain(*chosen)]), key=natural_order) == ids(cases)
    sizes = [len(part) for part in chosen]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("part", "parts"), [(0, 2), (3, 2), (1, 0), (-1, 2)])
def test_parts_that_do_not_exist(part, parts) -> None:
    with pytest.raises(UsageError, match=f"there is no part {part}/{parts}"):
        select_part([], part, parts)


# Folders


def test_a_folder_of_label_maps(tmp_path, caplog) -> None:
    caplog.set_level(logging.INFO)
    touch(tmp_path, "c10.nii.gz", "c2.nrrd", "c1.png", "d.seg.nrrd", "B.MHA", ".c3.nii.gz",
          "notes.txt", "c2_0000.nii.gz", "x_0000.nii.gz", "sub/e.nii.gz")  # fmt: skip
    cases = discover_cases([tmp_path])
    assert ids(cases) == ["B", "c1", "c2", "c10", "d", "x_0000"]
    assert cases[2] == Case("c2", (tmp_path / "c2.nrrd",), (), (tmp_path.name,))
    assert all(case.problem is None for case in cases)
    assert "left out 2 files" in caplog.text


def test_a_link_that_leads_nowhere_is_a_case(tmp_path) -> None:
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "gone")
    assert ids(discover_cases([tmp_path])) == ["a"]


def test_one_file(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz", "b.nii.gz")
    assert ids(discover_cases([tmp_path / "a.nii.gz"])) == ["a"]


def test_an_empty_folder_says_what_was_looked_for(tmp_path) -> None:
    said = message(tmp_path)
    assert str(tmp_path) in said
    assert "holds no label map: looked for .nii.gz, .nii, " in said
    assert "there are no files" in said
    touch(tmp_path, "a.txt", "b.jpg", "raterA/a.nii.gz", "raterB/a.nii.gz", "other/a.txt")
    said = message(tmp_path)
    assert "there are 2 files of other kinds" in said
    assert "Subfolders hold some: raterA, raterB. Give one of them" in said


def test_inputs_that_are_none(tmp_path) -> None:
    assert "does not exist. Check the path." in message(tmp_path / "gone")
    touch(tmp_path, "a.txt")
    assert "is neither a label map nor a list of cases" in message(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="no input is given"):
        discover_cases([])


def test_two_files_with_one_id_are_a_problem_of_that_case_only(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz", "a.nrrd", "b.nii.gz")
    first, second = discover_cases([tmp_path])
    assert second.problem is None
    problem = str(first.problem)
    assert problem.startswith(str(tmp_path / "a.nrrd"))
    assert f"has the case id 'a', like {tmp_path / 'a.nii.gz'}" in problem
    assert "If two raters drew them" in problem


def test_a_case_with_a_bad_id_is_a_problem_of_that_case_only(tmp_path) -> None:
    touch(tmp_path, "__a.nii.gz", "b.nii.gz")
    first, second = discover_cases([tmp_path])
    assert "the case id '__a' starts with" in str(first.problem)
    assert str(tmp_path / "__a.nii.gz") in str(first.problem)
    assert second.problem is None


def test_cases_travel_between_processes_with_their_problem(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz", "a.nrrd")
    case = discover_cases([tmp_path])[0]
    back = pickle.loads(pickle.dumps(case))
    assert back == case
    assert str(back.problem) == str(case.problem)


# Raters


def test_several_inputs_are_raters_paired_by_id(tmp_path) -> None:
    touch(tmp_path / "anna", "a.nii.gz", "b.nii.gz")
    touch(tmp_path / "ben", "b.nrrd", "c.nii.gz", "a.nii.gz")
    cases = discover_cases([tmp_path / "anna", tmp_path / "ben"])
    assert [(c.case_id, c.raters) for c in cases] == [
        ("a", ("anna", "ben")), ("b", ("anna", "ben")), ("c", ("ben",)),
    ]  # fmt: skip
    assert cases[1].label_maps == (tmp_path / "anna/b.nii.gz", tmp_path / "ben/b.nrrd")
    assert all(case.problem is None for case in cases)


def test_inputs_of_one_name_get_longer_rater_names(tmp_path) -> None:
    touch(tmp_path, "anna/labels/a.nii.gz", "ben/labels/a.nii.gz")
    cases = discover_cases([tmp_path / "anna/labels", tmp_path / "ben/labels"])
    assert cases[0].raters == ("anna/labels", "ben/labels")


def test_raters_that_share_no_case_are_refused(tmp_path) -> None:
    touch(tmp_path, "one/a_r1.nii.gz", "two/a_r2.nii.gz")
    said = message(tmp_path / "one", tmp_path / "two")
    assert "no case is in more than one of the 2 inputs" in said
    assert "'a_r1' and 'a_r2'" in said


def test_an_input_given_twice_is_refused(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz")
    with pytest.raises(UsageError, match="is given twice"):
        discover_cases([tmp_path, tmp_path / "."])


# Images


def test_images_are_paired_with_and_without_channels(tmp_path) -> None:
    touch(tmp_path / "labels", "a.nii.gz", "b.nii.gz", "scan_0001.nii.gz")
    images = touch(
        tmp_path / "images", "a.nrrd", "b_0001.nii.gz", "b_0000.nii.gz", "scan_0001.nii.gz",
        "other.nii.gz", "notes.txt",
    )  # fmt: skip
    cases = discover_cases([tmp_path / "labels"], images)
    assert [tuple(p.name for p in case.images) for case in cases] == [
        ("a.nrrd",), ("b_0000.nii.gz", "b_0001.nii.gz"), ("scan_0001.nii.gz",),
    ]  # fmt: skip
    assert all(case.problem is None for case in cases)


def test_a_missing_or_doubtful_image_is_a_problem_of_that_case(tmp_path) -> None:
    touch(tmp_path / "labels", "a.nii.gz", "b.nii.gz", "c.nii.gz")
    images = touch(tmp_path / "images", "a.nii.gz", "c.nii.gz", "c.nrrd")
    a, b, c = discover_cases([tmp_path / "labels"], images)
    assert a.problem is None
    assert "holds no image of the case 'b'" in str(b.problem)
    assert "b_0000.nii.gz" in str(b.problem)
    assert f"is an image of the case 'c', and so is {images / 'c.nii.gz'}" in str(c.problem)


def test_images_of_no_case_at_all_are_refused(tmp_path) -> None:
    touch(tmp_path / "labels", "a.nii.gz")
    said = message(tmp_path / "labels", images=touch(tmp_path / "images", "x.nii.gz"))
    assert "holds no image of any case: the case ids are a, the images x" in said
    assert "does not exist. Check --images." in message(
        tmp_path / "labels", images=tmp_path / "gone"
    )


def test_one_image_for_the_only_case(tmp_path) -> None:
    touch(tmp_path, "labels/a.nii.gz", "ct.nii.gz")
    case = discover_cases([tmp_path / "labels"], tmp_path / "ct.nii.gz")[0]
    assert case.images == (tmp_path / "ct.nii.gz",)
    touch(tmp_path, "labels/b.nii.gz")
    said = message(tmp_path / "labels", images=tmp_path / "ct.nii.gz")
    assert "is one image, but there are 2 cases" in said


# nnU-Net


def dataset(folder: Path, **facts: Any) -> Path:
    facts = {"labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz", **facts}
    touch(folder / "labelsTr", "a.nii.gz", "b.nii.gz", "c.png")
    touch(folder / "imagesTr", "a_0001.nii.gz", "a_0000.nii.gz", "a_0000.png")
    (folder / "dataset.json").write_text(json.dumps(facts))
    return folder


def test_an_nnunet_dataset(tmp_path) -> None:
    a, b = discover_cases([dataset(tmp_path)])
    assert a.label_maps == (tmp_path / "labelsTr/a.nii.gz",)
    assert [p.name for p in a.images] == ["a_0000.nii.gz", "a_0001.nii.gz"]
    assert (b.case_id, b.images, b.problem) == ("b", (), None)
    assert ids(discover_cases([tmp_path / "dataset.json"])) == ["a", "b"]
    assert class_names_from([tmp_path]) == tmp_path / "dataset.json"


def test_an_nnunet_dataset_that_lists_its_files(tmp_path) -> None:
    listed = {"x": {"images": ["i/x.nrrd"], "label": "l/x.nrrd"}}
    case = discover_cases([dataset(tmp_path, dataset=listed)])[0]
    assert case.case_id == "x"
    assert case.label_maps == (tmp_path / "l/x.nrrd",)
    assert case.images == (tmp_path / "i/x.nrrd",)
    assert "lists the case 'x' without a label" in message(dataset(tmp_path, dataset={"x": {}}))


def test_nnunet_datasets_that_cannot_be_used(tmp_path) -> None:
    assert "names the file ending '.b2nd'" in message(dataset(tmp_path, file_ending=".b2nd"))
    assert "holds no file that ends in '.mha'" in message(dataset(tmp_path, file_ending=".mha"))
    (tmp_path / "dataset.json").write_text("{")
    assert "is not JSON" in message(tmp_path)


def test_a_folder_of_label_maps_may_hold_a_dataset_json(tmp_path) -> None:
    touch(tmp_path, "a.nii.gz")
    (tmp_path / "dataset.json").write_text("{}")
    assert ids(discover_cases([tmp_path])) == ["a"]
    assert class_names_from([tmp_path]) is None


# Datalists


def datalist(folder: Path, content: Any) -> Path:
    path = folder / "datalist.json"
    path.write_text(json.dumps(content))
    return path


def test_a_datalist_with_sections(tmp_path) -> None:
    path = datalist(
        tmp_path,
        {
            "labels": {"0": "background", "1": "liver"},
            "training": [
                {"image": "i/a.nii.gz", "label": "l/a.nii.gz", "fold": 0},
                {"image": ["i/b1.nii.gz", "i/b2.nii.gz"], "label": "/abs/b.nii.gz"},
            ],
            "validation": [{"label": "l/c.nii.gz"}, {"label": "l/a.nii.gz", "image": "i/a.nii.gz"}],
            "test": ["i/t.nii.gz"],
        },
    )
    a, b, c = discover_cases([path])
    assert a == Case(
        "a", (tmp_path / "l/a.nii.gz",), (tmp_path / "i/a.nii.gz",), ("datalist.json",)
    )
    assert b.label_maps == (Path("/abs/b.nii.gz"),)
    assert b.images == (tmp_path / "i/b1.nii.gz", tmp_path / "i/b2.nii.gz")
    assert (c.case_id, c.images) == ("c", ())
    assert class_names_from([path]) == path


def test_a_datalist_may_be_a_plain_list_and_may_test_without_labels(tmp_path) -> None:
    assert ids(discover_cases([datalist(tmp_path, [{"label": "a.nii.gz"}])])) == ["a"]
    content = {"training": [{"label": "a.nii.gz"}], "testing": [{"image": "t.nii.gz"}]}
    assert ids(discover_cases([datalist(tmp_path, content)])) == ["a"]


def test_label_maps_of_one_name_are_called_after_their_folders(tmp_path) -> None:
    entries = [{"label": f"{name}/seg.nii.gz"} for name in ("p2", "p10")]
    assert ids(discover_cases([datalist(tmp_path, entries)])) == ["p2", "p10"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            {"training": [{"label": "a.nii"}, {"image": "b.nii"}]},
            "entry 1 of 'training' has no label",
        ),
        ([{"label": None}], "entry 0 has no label"),
        ([{"label": 3}], "entry 0 has something other than file names"),
        ([{"label": "a.nii", "image": [1]}], "entry 0 has something other than file names"),
        ({"background": 0}, "is no datalist"),
        ([], "is no datalist"),
        (3, "is no datalist"),
    ],
)
def test_datalists_that_cannot_be_used(tmp_path, content, reason) -> None:
    said = message(datalist(tmp_path, content))
    assert reason in said
    assert "Expected {" in said


# Manifests


def manifest(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "cases.csv"
    path.write_text(text, encoding=encoding)
    return path


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_manifest(tmp_path, separator) -> None:
    text = (
        "case_id,age, label ,image_1,image_0,image\n"
        "p10,7,l/p10.nii.gz,t1.nii.gz,t0.nii.gz,\n"
        '"p2",8,/abs/p2.nrrd,,,ct.nii.gz\n\n'
    )
    path = manifest(tmp_path, text.replace(",", separator), "utf-8-sig")
    p2, p10 = discover_cases([path])
    assert p2 == Case("p2", (Path("/abs/p2.nrrd"),), (tmp_path / "ct.nii.gz",), ("cases.csv",))
    assert p10.label_maps == (tmp_path / "l/p10.nii.gz",)
    assert p10.images == (tmp_path / "t0.nii.gz", tmp_path / "t1.nii.gz")


def test_a_manifest_names_raters(tmp_path) -> None:
    text = "case_id,label,rater\na,x/a.nii.gz,anna\na,y/a.nii.gz,ben\nb,x/b.nii.gz,anna\n"
    a, b = discover_cases([manifest(tmp_path, text)])
    assert a.raters == ("anna", "ben")
    assert a.label_maps == (tmp_path / "x/a.nii.gz", tmp_path / "y/a.nii.gz")
    assert a.problem is None
    assert b.raters == ("anna",)


def test_a_manifest_with_one_id_twice_and_one_bad_id(tmp_path) -> None:
    text = "case_id,label\na,1.nii.gz\na,2.nii.gz\n../b,3.nii.gz\nc,4.nii.gz\n"
    problems = {c.case_id: str(c.problem or "") for c in discover_cases([manifest(tmp_path, text)])}
    assert "has the case id 'a', like" in problems["a"]
    assert "the case id '../b' holds a path separator" in problems["../b"]
    assert problems["c"] == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("case_id,labels\na,b\n", "line 1 has no column label; it has case_id, labels"),
        ("id\na\n", "line 1 has no column case_id and label"),
        ("", "line 1 has no column case_id and label; it has none"),
        ("case_id,label\na,\nb\n", "line 2 has no label"),
        ("case_id,label\n,a.nii\n", "line 2 has no case_id"),
        ("case_id,label\n", "lists no case"),
    ],
)
def test_manifests_that_cannot_be_used(tmp_path, text, reason) -> None:
    said = message(manifest(tmp_path, text))
    assert reason in said
    assert "Expected the columns case_id, label" in said


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_a_manifest_as_people_export_it(tmp_path, encoding, ends) -> None:
    text = "sep=;\n# my cases\n\nCase_ID;label;rater\n"
    text += "Fälle;l\\a.nii.gz;\n;;\n\n;;\nb;l/b.nii.gz;\n;;\n"
    path = tmp_path / "cases.csv"
    path.write_bytes(text.replace("\n", ends).encode(encoding))
    told: list[str] = []
    found = {case.case_id: case.label_maps for case in discover_cases([path], tell=told.append)}
    assert found == {"Fälle": (tmp_path / "l/a.nii.gz",), "b": (tmp_path / "l/b.nii.gz",)}
    assert told == []


def test_a_manifest_of_an_old_windows_is_read_and_said(tmp_path) -> None:
    told: list[str] = []
    path = manifest(tmp_path, "case_id,label\nFälle,a.nii.gz\n", "cp1252")
    assert ids(discover_cases([path], tell=told.append)) == ["Fälle"]
    assert told == [f"{path}: is not UTF-8; read as Windows-1252"]
    path.write_bytes(b"case_id,label\n\x81,a\n")
    assert "is text in no known encoding" in message(path)


def test_a_bad_row_is_a_case_that_fails(tmp_path) -> None:
    text = "case_id,label\na,a.nii\nb,\n,c.nii\nd\ne,x,y.nii\nf,f.nii\n"
    problems = {c.case_id: str(c.problem or "") for c in discover_cases([manifest(tmp_path, text)])}
    assert {name: text for name, text in problems.items() if not text} == {"a": "", "f": ""}
    assert "line 3 has no label" in problems["b"]
    assert "line 4 has no case_id" in problems["line 4"]
    assert "line 5 has no label" in problems["d"]
    assert "line 6 has 3 values for 2 columns" in problems["e"]


def test_comments_among_rows_are_said(tmp_path) -> None:
    told: list[str] = []
    text = "case_id,label\na,a.nii\n#b,b.nii\nc,c.nii\n"
    path = manifest(tmp_path, text)
    assert ids(discover_cases([path], tell=told.append)) == ["a", "c"]
    assert told == [f"{path}: left out lines that begin with #: 3"]


def test_a_backslash_in_a_name_stays(tmp_path) -> None:
    touch(tmp_path, "l\\a.nii.gz")
    (case,) = discover_cases([manifest(tmp_path, "case_id,label\na,l\\a.nii.gz\n")])
    assert case.label_maps == (tmp_path / "l\\a.nii.gz",)
