"""Folders with several kinds of data, what is left out, and files that are never data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.cases import discover_cases
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import files_below, files_in, folders_in
from tests.conftest import blobs, write_image
from tests.dicom_support import save_slices
from tests.test_dicom_cases import LABELS, label_of, make_case, slices


def picture(path: Path, seed: int = 0) -> Path:
    """Grey values that could pass for labels."""
    return write_image(path, np.full((8, 9), 3 + seed, np.uint8))


def appledouble(path: Path) -> Path:
    """What macOS writes beside a file on a foreign disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0\x05\x16\x07\0\x02\0\0Mac OS X        " + bytes(200))
    return path


# ---- several kinds of data ------------------------------------------------------


@pytest.mark.parametrize("dry", [False, True])
def test_a_picture_beside_case_folders_is_left_out(softlab, tmp_path, dry) -> None:
    for name in ("p1", "p2"):
        make_case(tmp_path / "in" / name)
    picture(tmp_path / "in" / "overview.png")
    out = tmp_path / "o.zarr"
    done = softlab("svls", "--in", tmp_path / "in", "--out", out, *["--dry-run"] * dry)
    assert done.exit_code == 0, done.output
    assert (
        "left out 1 file that is neither image nor label map in DICOM: overview.png" in done.stderr
    )
    if not dry:
        assert list(softlab_cli.open_store(out)) == ["p1", "p2"]


def test_a_converted_image_in_a_case_folder_is_left_out(softlab, tmp_path) -> None:
    sources = make_case(tmp_path / "p1")
    shutil.rmtree(tmp_path / "p1" / "images")
    save_slices(tmp_path / "p1", sources)
    for name in ("MR.nii.gz", "T1.nii.gz"):
        write_image(tmp_path / "p1" / name, np.arange(6 * 9 * 11, dtype=np.int16).reshape(6, 9, 11))
    done = softlab("onehot", "--in", tmp_path / "p1", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 0, done.output
    assert "left out 2 files that are" in done.stderr
    assert "MR.nii.gz, T1.nii.gz" in done.stderr
    np.testing.assert_array_equal(label_of(tmp_path / "o.zarr", "p1"), LABELS)


def test_more_other_files_than_label_objects_are_refused(softlab, tmp_path) -> None:
    make_case(tmp_path / "in" / "p1")
    for name in ("a", "b"):
        write_image(tmp_path / "in" / f"{name}.nii.gz", LABELS)
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 1
    assert "holds two kinds of data: 2 files (a.nii.gz, b.nii.gz)" in done.stderr
    assert "1 file (p1/seg.dcm) with DICOM SEG or RTSTRUCT" in done.stderr


def test_label_maps_beside_a_series_are_the_labels(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", LABELS)
    save_slices(tmp_path / "in" / "ct", slices())
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 0, done.output
    assert list(softlab_cli.open_store(tmp_path / "o.zarr")) == ["a"]
    assert "left out 6 files in subfolders: ct/" in done.stderr
    assert "and 1 more" in done.stderr


def test_images_of_several_kinds(softlab, tmp_path) -> None:
    """A picture among series is no image, whether segmentations or label maps are paired."""
    sources = make_case(tmp_path / "images" / "p1")
    picture(tmp_path / "images" / "overview.png")
    (tmp_path / "segs").mkdir()
    (tmp_path / "images" / "p1" / "seg.dcm").rename(tmp_path / "segs" / "s.dcm")
    done = softlab(
        "geols", "--in", tmp_path / "segs", "--images", tmp_path / "images",
        "--out", tmp_path / "o.zarr",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "left out 1 file" in done.stderr
    assert "overview.png" in done.stderr
    np.testing.assert_array_equal(label_of(tmp_path / "o.zarr", "s"), LABELS)
    geometry = softlab_cli.open_store(tmp_path / "o.zarr")["s"].geometry
    assert len(sources) == geometry.shape[0]
    case = discover_cases([write_image(tmp_path / "p1.nii.gz", LABELS)], tmp_path / "images")[0]
    assert case.images == (tmp_path / "images" / "p1",)


def test_plain_images_that_pair_win_over_series(tmp_path) -> None:
    write_image(tmp_path / "labels" / "a.nii.gz", LABELS)
    write_image(tmp_path / "images" / "a.nii.gz", LABELS)
    write_image(tmp_path / "images" / "b.nii.gz", LABELS)
    save_slices(tmp_path / "images" / "a", slices())
    told: list[str] = []
    (case,) = discover_cases([tmp_path / "labels"], tmp_path / "images", tell=told.append)
    assert case.images == (tmp_path / "images" / "a.nii.gz",)
    assert "left out 1 file that is no image of a case: b.nii.gz" in told[0]
    assert "left out 6 files in subfolders: a/" in told[1]


# ---- what is left out -------------------------------------------------------------


def test_what_cannot_be_read_is_counted_and_named(softlab, tmp_path) -> None:
    folder = tmp_path / "in"
    write_image(folder / "a.nii.gz", blobs((6, 7, 8), 3))
    for name in ("d.jpg", "e.nii.gz.bak", "a_0000.nii.gz"):
        (folder / name).write_bytes(b"x")
    said = "left out 3 files that are no label map: a_0000.nii.gz, d.jpg, e.nii.gz.bak"
    for more in ((), ("--dry-run",)):
        done = softlab("onehot", "--in", folder, "--out", tmp_path / "o.zarr", *more)
        assert done.exit_code == 0
        assert said in done.stderr
    (found,) = json.loads(softlab("inspect", "--json", folder).output)
    assert said in found["notes"][0]
    assert "left out 3 files" in softlab("inspect", folder).output


def test_many_files_are_counted_and_a_few_named(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((6, 7, 8), 3))
    for i in range(1, 13):
        (tmp_path / "in" / f"n{i}.txt").touch()
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert "left out 12 files" in done.stderr
    assert "n1.txt, n2.txt, n3.txt, n4.txt, n5.txt and 7 more" in done.stderr


def test_a_dataset_says_which_label_maps_have_another_ending(tmp_path) -> None:
    (tmp_path / "dataset.json").write_text('{"file_ending": ".nii.gz", "labels": {"b": 0}}')
    for name in ("a.nii.gz", "b.png", "notes.txt"):
        (tmp_path / "labelsTr").mkdir(exist_ok=True)
        (tmp_path / "labelsTr" / name).touch()
    told: list[str] = []
    discover_cases([tmp_path], tell=told.append)
    assert [line.partition("labelsTr: ")[2] for line in told] == [
        "left out 1 file that is no label map: notes.txt",
        "left out 1 file that is not named like *.nii.gz: b.png",
    ]


# ---- dot files ------------------------------------------------------------------------


def test_dot_files_are_never_data(tmp_path) -> None:
    for name in ("a.nii.gz", "sub/b.nii.gz", ".hidden/c.nii.gz", "__MACOSX/d.nii.gz", "._a.nii.gz",
                 "sub/._b.nii.gz", "Thumbs.db", ".DS_Store", "soft.zarr/zarr.json",
                 "soft.zarr/a/soft/c"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [f.name for f in files_in(tmp_path)] == ["a.nii.gz"]
    assert [f.name for f in files_below(tmp_path)] == ["a.nii.gz", "b.nii.gz"]
    assert sorted(f.name for f in folders_in(tmp_path)) == ["soft.zarr", "sub"]


def test_dot_files_are_no_raters(softlab, tmp_path) -> None:
    for rater in ("s1", "s2"):
        for case in "AB":
            write_image(tmp_path / "in" / rater / f"{case}.nii.gz", LABELS)
            appledouble(tmp_path / "in" / rater / f"._{case}.nii.gz")
    out = tmp_path / "o.zarr"
    done = softlab(
        "msvls", "--in", tmp_path / "in", "--rater-pattern", "{rater}/{case}", "--out", out
    )
    assert done.exit_code == 0, done.output
    assert list(softlab_cli.open_store(out)) == ["A", "B"]
    assert "._" not in done.output


def test_dot_files_and_folders_are_no_dicom(softlab, tmp_path) -> None:
    make_case(tmp_path / "in" / "p1")
    shutil.copytree(tmp_path / "in" / "p1", tmp_path / "in" / ".p2")
    shutil.copytree(tmp_path / "in" / "p1", tmp_path / "in" / "__MACOSX" / "p1")
    appledouble(tmp_path / "in" / "p1" / "._seg.dcm")
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 0, done.output
    assert list(softlab_cli.open_store(tmp_path / "o.zarr")) == ["p1"]


def test_a_folder_of_dot_files_only_holds_nothing(tmp_path) -> None:
    make_case(tmp_path / "in" / ".trash" / "p1")
    with pytest.raises(InputError, match="holds no label map"):
        discover_cases([tmp_path / "in"])


# ---- inspect ----------------------------------------------------------------------


def test_inspect_exits_1_where_a_file_of_a_folder_cannot_be_read(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "ok.nii.gz", LABELS)
    assert softlab("inspect", tmp_path / "in").exit_code == 0
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"no image")
    done = softlab("inspect", tmp_path / "in")
    assert done.exit_code == 1
    assert "bad.nii.gz: unreadable" in done.output


@pytest.mark.parametrize("cut", [300, 20])
def test_inspect_exits_1_for_a_truncated_slice(softlab, tmp_path, cut) -> None:
    """Whether the header breaks off, or the pixels do."""
    save_slices(tmp_path / "ct", slices())
    assert softlab("inspect", tmp_path / "ct").exit_code == 0
    victim = sorted((tmp_path / "ct").iterdir())[2]
    raw = victim.read_bytes()
    victim.write_bytes(raw[: cut if cut == 300 else -cut])
    done = softlab("inspect", tmp_path / "ct")
    assert done.exit_code == 1
    assert f"{victim.name}: unreadable" in done.output
    assert "is truncated" in done.output


def test_inspect_says_last_what_it_did_not_look_into(softlab, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("softlab_cli.report.inspection.MOST_FILES", 2)
    for i in range(5):
        write_image(tmp_path / "in" / f"c{i}.nii.gz", LABELS)
    shown = softlab("inspect", tmp_path / "in").output.splitlines()
    assert shown[-1] == "  3 more files were not looked into; --all looks into them"
    (found,) = json.loads(softlab("inspect", "--json", tmp_path / "in").output)
    assert (len(found["parts"]), found["files_not_looked_into"]) == (2, 3)
    every = softlab("inspect", "--all", tmp_path / "in").output
    assert "c4.nii.gz: label map" in every
    assert "not looked into" not in every


def test_inspect_looks_at_all_kinds_in_a_folder(softlab, tmp_path) -> None:
    make_case(tmp_path / "in" / "p1")
    picture(tmp_path / "in" / "overview.png")
    (found,) = json.loads(softlab("inspect", "--json", tmp_path / "in").output)
    assert [part["kind"] for part in found["parts"]] == ["label map", "DICOM series", "DICOM SEG"]
    assert found["cases"] == ["p1"]
