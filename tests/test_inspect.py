"""``softlab inspect``: what a user runs first, on anything."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tifffile

from tests.conftest import blobs, write_image
from tests.dicom_support import make_rtstruct, save_slices
from tests.test_dicom_cases import LABELS, make_case, slices, square


def facts(softlab, *paths: object) -> list[dict]:
    done = softlab("inspect", "--json", *paths)
    assert done.exit_code == 0, done.output
    return json.loads(done.output)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha", "a.png", "a.tif"])
def test_a_label_map_of_any_kind(softlab, tmp_path, name) -> None:
    flat = name.endswith("png")
    labels = blobs((20, 24), 3) if flat else blobs((8, 9, 10), 3)
    path = write_image(tmp_path / name, labels)
    (found,) = facts(softlab, path)
    assert found["kind"] == "label map"
    assert found["grid"]["shape"] == list(labels.shape)
    counted = {entry["value"]: entry["voxels"] for entry in found["labels"]}
    assert counted == {v: int((labels == v).sum()) for v in range(3)}
    shown = softlab("inspect", path).output
    assert "label map" in shown
    assert f"1      {counted[1]}" in shown


def test_an_image_is_no_label_map(softlab, tmp_path) -> None:
    values = np.random.default_rng(0).normal(0, 100, (8, 9, 10))
    for array in (values, np.arange(1500, dtype=np.uint16).reshape(10, 10, 15)):
        write_image(tmp_path / "a.nii.gz", array)
        (found,) = facts(softlab, tmp_path / "a.nii.gz")
        assert (found["kind"], found["labels"]) == ("image", [])


def test_grey_as_colours_is_a_label_map_and_colours_are_none(softlab, tmp_path) -> None:
    labels = np.repeat(blobs((20, 24), 3)[..., None], 3, axis=-1).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="rgb")
    (found,) = facts(softlab, tmp_path / "a.tif")
    assert (found["kind"], len(found["labels"])) == ("label map", 3)
    labels[0, 0, 0] += 1
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="rgb")
    (found,) = facts(softlab, tmp_path / "a.tif")
    assert (found["kind"], found["labels"]) == ("image", [])


def test_a_case_in_dicom(softlab, tmp_path) -> None:
    make_case(tmp_path / "p1")
    (found,) = facts(softlab, tmp_path / "p1")
    assert found["cases"] == ["p1"]
    series, seg = found["parts"]
    assert (series["kind"], series["slices"], series["modality"]) == ("DICOM series", 6, "CT")
    assert series["grid"]["orientation"] == "LPS"
    assert (seg["kind"], seg["segmentation_type"]) == ("DICOM SEG", "BINARY")
    voxels = {entry["name"]: entry["voxels"] for entry in seg["labels"]}
    assert voxels == {"liver": int((LABELS == 1).sum()), "spleen": int((LABELS == 2).sum())}
    assert seg["segments"][0]["property"]
    shown = softlab("inspect", tmp_path / "p1").output
    assert "liver" in shown
    assert series["uid"] in shown


def test_a_segmentation_finds_its_series_with_images(softlab, tmp_path) -> None:
    make_case(tmp_path / "p1")
    seg = tmp_path / "apart" / "seg.dcm"
    seg.parent.mkdir()
    (tmp_path / "p1" / "seg.dcm").rename(seg)
    (alone,) = facts(softlab, seg)
    assert alone["grid"] is None
    assert alone["labels"][0]["name"] == "liver"
    assert alone["problems"]
    (placed,) = facts(softlab, seg, "--images", tmp_path / "p1")
    assert placed["grid"]["shape"] == [6, 9, 11]
    assert not placed["problems"]


def test_contours_with_their_overlap(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "ct", sources)
    rois = {"GTV": [square(32, 2, 6)], "Lung": [square(32, 4, 9)], "none": []}
    make_rtstruct(tmp_path / "rs.dcm", sources, rois)
    (found,) = facts(softlab, tmp_path / "rs.dcm")
    assert [(r["name"], r["contours"]) for r in found["labels"]] == [
        ("GTV", 1), ("Lung", 1), ("none", 0)
    ]  # fmt: skip
    assert any("overlap" in p for p in found["problems"])


def test_two_regions_of_one_name_are_said_and_what_is_left_out_once(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "ct", sources)
    for file in list((tmp_path / "ct").iterdir()):
        file.rename(tmp_path / file.name)
    (tmp_path / "notes.txt").write_text("not DICOM")
    rois = {"GTV": [square(32, 2, 4)], "Lung": [square(32, 6, 9)]}

    def rename(ds: Any) -> None:
        ds.StructureSetROISequence[1].ROIName = "GTV"

    for name in ("a", "b", "c"):
        make_rtstruct(tmp_path / f"rs_{name}.dcm", sources, rois, change=rename)
    (found,) = facts(softlab, tmp_path)
    said = [problem for part in found["parts"] for problem in part["problems"]]
    assert len(found["parts"]) == 4
    assert sum("files that are not DICOM" in problem for problem in said) == 1
    twins = [p for p in said if "have one name" in p]
    assert len(twins) == 3
    assert "'GTV (2)'" in twins[0]
    manifest = tmp_path / "list.csv"
    manifest.write_text(f"case_id,label,image\na,{tmp_path / 'rs_a.dcm'},{tmp_path}\n")
    done = softlab("onehot", "--in", manifest, "--out", tmp_path / "s.zarr")
    assert done.exit_code == 0, done.output
    assert "several regions have one name, or that of background" in done.output


def test_a_store_and_a_list(softlab, labels, tmp_path) -> None:
    softlab("onehot", "--in", labels, "--out", tmp_path / "soft.zarr")
    (tmp_path / "list.csv").write_text("case_id,label\nx,labels/case0.nii.gz\n")
    store, listed = facts(softlab, tmp_path / "soft.zarr", tmp_path / "list.csv")
    assert (store["kind"], store["cases"], store["method"]) == ("store", 3, "onehot")
    assert listed["cases"] == ["x"]


@pytest.mark.parametrize(
    "content", [b"", b"no image", b"\0" * 400, b"\0" * 128 + b"DICM" + b"x" * 50]
)
@pytest.mark.parametrize("name", ["a.nii.gz", "a.dcm", "a.png", "a", "a.tif", "a.json", "a.nrrd"])
def test_never_a_traceback(softlab, tmp_path, name, content) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    for path in (tmp_path / "in" / name, tmp_path / "in", tmp_path / "absent"):
        done = softlab("inspect", path)
        assert isinstance(done.exception, SystemExit | None)
        assert "unforeseen" not in done.output
        assert "problem" in done.output
    assert softlab("inspect", tmp_path / "absent").exit_code == 1
