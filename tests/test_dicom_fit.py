"""Which series a SEG or RTSTRUCT belongs to: what a run takes, says, and what inspect lists."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

import softlab_cli
from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.objects.rtstruct import read_rtstruct
from softlab_cli.readers.dicom.objects.seg import read_seg
from softlab_cli.report.inspection import inspect_path
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices

SHAPE = (4, 7, 6)
LABELS = np.zeros(SHAPE, np.uint8)
LABELS[1:3, 2:5, 1:4] = 1


def slices(description: str, **how: object) -> list[Dataset]:
    made = make_slices(np.zeros(SHAPE, np.int16), **how)  # type: ignore[arg-type]
    for ds in made:
        ds.SeriesDescription = description
    return made


def outline(sources: Sequence[Dataset], z: int) -> np.ndarray:
    first = np.array(sources[z].ImagePositionPatient, float)
    corners = np.array([(0.5, 1.5), (3.5, 1.5), (3.5, 4.5), (0.5, 4.5)]) * [0.7, 0.8]
    return np.column_stack([first[0] + corners[:, 0], first[1] + corners[:, 1], [first[2]] * 4])


def two_series(folder: Path, *, also_images: bool) -> tuple[Path, list[Dataset], list[Dataset]]:
    """A structure set that lists two series, both of which are there."""
    plain, contrast = slices("plain"), slices("contrast")
    save_slices(folder / "plain", plain)
    save_slices(folder / "contrast", contrast)

    def name_both(ds: Dataset) -> None:
        other = Dataset()
        other.SeriesInstanceUID = contrast[0].SeriesInstanceUID
        frame = ds.ReferencedFrameOfReferenceSequence[0]
        frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence.append(other)
        for contour in [] if also_images else ds.ROIContourSequence[0].ContourSequence:
            del contour.ContourImageSequence

    rois = {"PTV": [outline(plain, z) for z in (1, 2)]}
    return make_rtstruct(folder / "rs.dcm", plain, rois, change=name_both), plain, contrast


def test_two_named_series_that_are_both_there_are_told_apart_by_images(
    softlab, tmp_path: Path
) -> None:
    _, plain, _ = two_series(tmp_path / "p1", also_images=True)
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", tmp_path / "p1", "--out", out)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(softlab_cli.open_store(out)["p1"].read_label(), LABELS)
    (yes, other) = next(p for p in inspect_path(tmp_path / "p1").parts if p.labels).facts["fits"]
    assert (yes["series"], yes["fits"]) == (plain[0].SeriesInstanceUID, "yes")
    assert (other["description"], other["fits"]) == ("contrast", "with --series")


def test_two_named_series_that_nothing_tells_apart_are_listed(softlab, tmp_path: Path) -> None:
    path, plain, contrast = two_series(tmp_path / "p1", also_images=False)
    with pytest.raises(InputError, match="fits 2 of the image series") as raised:
        read_rtstruct(path, tmp_path)
    for ds in (plain[0], contrast[0]):
        assert ds.SeriesInstanceUID in str(raised.value)
    assert "--series" in raised.value.remedy
    command = ["onehot", "--in", tmp_path / "p1", "--out", tmp_path / "soft.zarr", "--overwrite"]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "fits 2 of the image series" in refused.output
    done = softlab(*command, "--series", "contrast")
    assert done.exit_code == 0, done.output
    mistaken = softlab(*command, "--series", "venous")
    assert "no image series matches --series 'venous'" in mistaken.output


def test_a_folder_without_images_says_which_series_is_missing(tmp_path: Path) -> None:
    made = slices("ct")
    path = make_seg(tmp_path / "seg.dcm", made, LABELS, "BINARY", {1: "liver"})
    uid = made[0].SeriesInstanceUID
    with pytest.raises(InputError, match=f"belongs to series {uid}, but .* no DICOM image") as e:
        read_seg(path, tmp_path)
    assert "--images" in e.value.remedy


@pytest.fixture(scope="module")
def patient(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SEG of a series, one of the same place, one shifted, one of another frame; two objects."""
    folder = tmp_path_factory.mktemp("patient")
    ct, late = slices("ct"), slices("late")
    shifted = slices("shifted", origin=(-9.8, 20.0, 30.0))
    foreign = slices("foreign")
    for ds in foreign:
        ds.FrameOfReferenceUID = "2.25.5"
    for made in (ct, late, shifted, foreign):
        save_slices(folder / made[0].SeriesDescription, made)
    make_seg(folder / "seg.dcm", ct, LABELS, "BINARY", {1: "liver"})
    make_rtstruct(folder / "rs.dcm", late, {"PTV": [outline(late, 1)]})
    return folder


def test_inspect_lists_what_fits_which_series_and_why_not(softlab, patient: Path) -> None:
    parts = {part.path.name: part for part in inspect_path(patient).parts if part.labels}
    fits = {f["description"]: (f["fits"], f["why"]) for f in parts["seg.dcm"].facts["fits"]}
    assert fits["ct"] == ("yes", "the series is named.")
    assert fits["late"][0] == "with --series"
    assert fits["shifted"][0] == "no"
    assert "does not lie on the voxels of the series" in fits["shifted"][1]
    assert fits["foreign"] == ("no", "it is not named, and has another frame of reference.")
    fits = {f["description"]: f["fits"] for f in parts["rs.dcm"].facts["fits"]}
    assert (fits["late"], fits["ct"], fits["foreign"]) == ("yes", "with --series", "no")
    shown = softlab("inspect", patient).output
    assert "'ct': yes: the series is named." in shown
    assert "'foreign': no: it is not named, and has another frame of reference." in shown
    json.loads(softlab("inspect", "--json", patient).output)


def test_inspect_says_what_fits_where_the_named_series_is_absent(softlab, tmp_path: Path) -> None:
    made = slices("ct")
    save_slices(tmp_path / "ct", made)
    path = make_seg(tmp_path / "seg.dcm", made, LABELS, "BINARY", {1: "liver"})
    ds = dcmread(path)
    ds.ReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.4242"
    for image in ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        image.ReferencedSOPInstanceUID = "2.25.4243"
    ds.save_as(path)
    lines = softlab("inspect", tmp_path).output.splitlines()
    fits = next(line for line in lines if line.strip().startswith("fits"))
    assert "'ct': with --series: neither the series nor its images are named" in fits
    # The message of several lines stays one, with its remedy last.
    at = next(i for i, line in enumerate(lines) if "is not among the image series" in line)
    assert made[0].SeriesInstanceUID in lines[at + 1]
    assert "(in its frame of reference)" in lines[at + 1]
    assert "name one of these with --series" in lines[at + 2]


def test_a_lost_slice_is_allowed_on_the_command_line_and_kept(softlab, tmp_path: Path) -> None:
    made = slices("ct")
    save_slices(tmp_path / "p1" / "ct", made)

    def open_one(ds: Dataset) -> None:
        ds.ROIContourSequence[0].ContourSequence[1].ContourGeometricType = "OPEN_PLANAR"

    rois = {"PTV": [outline(made, z) for z in (0, 1, 2)]}
    make_rtstruct(tmp_path / "p1" / "rs.dcm", made, rois, change=open_one)
    out = tmp_path / "soft.zarr"
    command = ["onehot", "--in", tmp_path / "p1", "--out", out]
    refused = softlab(*command)
    assert refused.exit_code == 1
    for text in ("PTV: it has no contour left at Z index 1", "OPEN_PLANAR", "--lost-contours ok"):
        assert text in refused.output
    done = softlab(*command, "--lost-contours", "ok", "--overwrite")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert store.info.reading == {"lost_contours": "ok"}
    assert any("no contour left at Z index 1" in note for note in store["p1"].info.warnings)
    shutil.rmtree(out)
    assert softlab(*command, "--roi", "PTV").exit_code == 1
