"""DICOM through the command line: case folders, series, classes by name, grids, bad input."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

import softlab_cli
from softlab_cli.core.volume import Geometry
from softlab_cli.readers.dicom.series.read import open_series
from softlab_cli.readers.lattice import find_turn
from tests.conftest import blobs, write_image
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices

SHAPE = (6, 9, 11)
LABELS = blobs(SHAPE, 3, seed=4)


def slices(shape: tuple[int, int, int] = SHAPE, **how: object) -> list[Dataset]:
    stored = np.random.default_rng(1).integers(0, 4000, shape).astype(np.int16)
    return make_slices(stored, **how)


def segments(labels: np.ndarray, numbers: Mapping[int, str]) -> np.ndarray:
    return np.stack([labels == n for n in numbers], axis=-1).astype(np.uint8)


def make_case(
    folder: Path, names: Mapping[int, str] = {1: "liver", 2: "spleen"}, labels: np.ndarray = LABELS
) -> list[Dataset]:
    """A folder with a series and a BINARY SEG of it; `labels` holds 1, 2, ... for the names."""
    sources = slices()
    save_slices(folder / "images", sources)
    make_seg(folder / "seg.dcm", sources, segments(labels, names), "BINARY", names)
    return sources


def square(z_mm: float, x0: float, x1: float) -> np.ndarray:
    """A contour of voxels x0 to x1 and rows 2 to 6, in the millimetres of `slices`."""
    x = np.array([x0, x1, x1, x0]) * 0.7 - 10
    y = np.array([2, 2, 6, 6]) * 0.8 + 20
    return np.column_stack([x, y, np.full(4, z_mm)])


def label_of(store: Path, case_id: str) -> np.ndarray:
    return np.asarray(softlab_cli.open_store(store)[case_id].read_label())


# ---- where cases are found ----------------------------------------------------


def test_case_folders(softlab, tmp_path) -> None:
    for name in ("p1", "p2"):
        make_case(tmp_path / "cases" / name)
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", tmp_path / "cases", "--out", out)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert list(store) == ["p1", "p2"]
    assert store.classes.names == ("background", "liver", "spleen")
    np.testing.assert_array_equal(label_of(out, "p2"), LABELS)
    grid = open_series(tmp_path / "cases" / "p1" / "images").geometry
    np.testing.assert_allclose(store["p1"].affine, grid.affine, atol=1e-5)
    assert softlab("verify", out).exit_code == 0
    again = softlab("svls", "--in", tmp_path / "cases", "--out", out)
    assert "skipped      2" in again.output


def test_case_folders_whose_series_have_no_uid(softlab, tmp_path) -> None:
    for name in ("p1", "p2"):
        sources = make_case(tmp_path / "cases" / name)
        for slice_ in sources:
            del slice_.SeriesInstanceUID
        shutil.rmtree(tmp_path / "cases" / name / "images")
        save_slices(tmp_path / "cases" / name / "images", sources)
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", tmp_path / "cases", "--out", out)
    assert done.exit_code == 0, done.output
    for name in ("p1", "p2"):
        np.testing.assert_array_equal(label_of(out, name), LABELS)


def test_a_changed_slice_is_computed_again(softlab, tmp_path) -> None:
    make_case(tmp_path / "cases" / "p1")
    out = tmp_path / "soft.zarr"
    softlab("onehot", "--in", tmp_path / "cases", "--out", out)
    path = next((tmp_path / "cases/p1/images").iterdir())
    path.write_bytes(path.read_bytes()[:-2] + b"\0\1")
    again = softlab("onehot", "--in", tmp_path / "cases", "--out", out, "-v")
    assert "done: p1 (its files have changed)" in again.stderr


def test_a_folder_of_files_with_series_elsewhere(softlab, tmp_path) -> None:
    for name in ("a", "b"):
        make_case(tmp_path / name)
        shutil.move(tmp_path / name / "images", tmp_path / "series" / name / "ct")
        (tmp_path / "segs").mkdir(exist_ok=True)
        shutil.move(tmp_path / name / "seg.dcm", tmp_path / "segs" / f"seg_{name}.dcm")
    options = ["--in", tmp_path / "segs", "--images", tmp_path / "series"]
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", *options, "--out", out)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["seg_a"]
    assert [Path(s.path).name for s in case.sources] == ["seg_a.dcm", "ct"]
    np.testing.assert_array_equal(label_of(out, "seg_b"), LABELS)


def test_a_broken_file_in_a_folder_of_files_is_a_case_that_fails(softlab, tmp_path) -> None:
    make_case(tmp_path / "a")
    folder = tmp_path / "segs"
    folder.mkdir()
    for name in ("seg_a.dcm", "seg_b.dcm", "seg_c.dcm"):
        shutil.copy(tmp_path / "a" / "seg.dcm", folder / name)
    broken = folder / "seg_b.dcm"
    broken.write_bytes(bytes(300))
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", folder, "--images", tmp_path / "a", "--out", out)
    assert done.exit_code == 1
    assert f"failed: seg_b: {broken}" in done.stderr
    assert list(softlab_cli.open_store(out)) == ["seg_a", "seg_c"]


@pytest.mark.parametrize("way", ["file", "folder", "manifest", "apart"])
def test_one_case(softlab, tmp_path, way) -> None:
    folder = tmp_path / "p1"
    make_case(folder)
    (tmp_path / "list.csv").write_text("case_id,label,image\np1,p1/seg.dcm,p1/images\n")
    if way == "apart":
        (folder / "labels").mkdir()
        shutil.move(folder / "seg.dcm", folder / "labels" / "seg.dcm")
    chosen = {
        "file": [folder / "seg.dcm", "--images", folder / "images"],
        "folder": [folder],
        "manifest": [tmp_path / "list.csv"],
        "apart": [folder],
    }[way]
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", *chosen, "--out", out)
    assert done.exit_code == 0, done.output
    assert list(softlab_cli.open_store(out)) == ["seg" if way == "file" else "p1"]


def test_several_segmentations_are_listed_and_chosen(softlab, tmp_path) -> None:
    sources = make_case(tmp_path / "cases" / "p1")
    more = segments(LABELS, {2: "b"})
    make_seg(
        tmp_path / "cases/p1/other.dcm", sources, more, "BINARY", {1: "b"}, series_description="two"
    )
    out = tmp_path / "soft.zarr"
    refused = softlab("onehot", "--in", tmp_path / "cases", "--out", out, "--labels", "0-2")
    assert refused.exit_code == 1
    for text in ("2 segmentations", "seg.dcm", "other.dcm", "--series"):
        assert text in refused.output
    done = softlab(
        "onehot", "--in", tmp_path / "cases", "--out", out, "--series", "two", "--overwrite"
    )
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(out, "p1"), LABELS == 2)


# ---- classes -------------------------------------------------------------------


def test_one_name_is_one_class_whatever_its_number(softlab, tmp_path) -> None:
    make_case(tmp_path / "cases" / "p1", {1: "liver", 2: "spleen"})
    make_case(tmp_path / "cases" / "p2", {1: "spleen", 2: "kidney"})
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", tmp_path / "cases", "--out", out)
    assert done.exit_code == 0, done.output
    assert "by their names" in done.stderr
    names = softlab_cli.open_store(out).classes.names
    assert names == ("background", "kidney", "liver", "spleen")
    np.testing.assert_array_equal(label_of(out, "p1"), np.array([0, 2, 3])[LABELS])
    np.testing.assert_array_equal(label_of(out, "p2"), np.array([0, 3, 1])[LABELS])
    # A store that goes on keeps its classes.
    make_case(tmp_path / "cases" / "p3", {1: "kidney", 2: "liver"})
    assert softlab("onehot", "--in", tmp_path / "cases", "--out", out).exit_code == 0
    np.testing.assert_array_equal(label_of(out, "p3"), np.array([0, 1, 2])[LABELS])
    make_case(tmp_path / "cases" / "p4", {1: "kidney", 2: "stomach"})
    refused = softlab("onehot", "--in", tmp_path / "cases", "--out", out)
    assert refused.exit_code == 1
    assert "'stomach': no such class" in refused.output


def test_given_classes_name_the_segments(softlab, tmp_path) -> None:
    make_case(tmp_path / "cases" / "p1")
    out = tmp_path / "soft.zarr"
    options = ["--in", tmp_path / "cases", "--out", out, "--labels", "0,4=spleen,9=liver"]
    assert softlab("onehot", *options).exit_code == 0
    assert softlab_cli.open_store(out).classes.values == (0, 4, 9)
    np.testing.assert_array_equal(label_of(out, "p1"), np.array([0, 2, 1])[LABELS])


def test_names_that_disagree_do_not_mix_with_bare_numbers(softlab, tmp_path) -> None:
    make_case(tmp_path / "p1", {1: "liver", 2: "spleen"})
    make_case(tmp_path / "p2", {1: "spleen", 2: "liver"})
    write_image(tmp_path / "n.nii.gz", LABELS)
    rows = "case_id,label,image\np1,p1/seg.dcm,p1/images\np2,p2/seg.dcm,p2/images\nn,n.nii.gz,\n"
    (tmp_path / "list.csv").write_text(rows)
    refused = softlab("onehot", "--in", tmp_path / "list.csv", "--out", tmp_path / "soft.zarr")
    assert refused.exit_code == 1
    assert "--labels 0,1=liver" in refused.stderr


def test_rtstruct_regions_overlaps_and_recipes(softlab, tmp_path) -> None:
    folder = tmp_path / "cases" / "p1"
    sources = slices()
    save_slices(folder / "ct", sources)
    rois = {"GTV": [square(32, 2, 6)], "Lung": [square(32, 4, 9)], "Skin": []}
    make_rtstruct(folder / "rs.dcm", sources, rois)
    command = ["onehot", "--in", tmp_path / "cases", "--out", tmp_path / "soft.zarr"]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "GTV and Lung: 8 voxels" in refused.output
    assert "--on-overlap" in refused.output
    options = ["--on-overlap", "last", "--overwrite"]
    done = softlab(*command, *options)
    assert done.exit_code == 0, done.output
    label = label_of(tmp_path / "soft.zarr", "p1")
    assert [int((label == i).sum()) for i in (1, 2)] == [8, 20]
    assert "reading   on_overlap=last" in softlab("info", tmp_path / "soft.zarr").output
    changed = softlab(*command)
    assert changed.exit_code == 1
    assert 'reading.on_overlap: "last" in the store, nothing now' in changed.stderr
    done = softlab(*command, "--roi", "G*", "--overwrite")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(tmp_path / "soft.zarr")
    assert store.classes.names == ("background", "GTV")
    unknown = softlab(*command, "--roi", "PTV", "--overwrite")
    assert "no region of interest matches 'PTV'" in unknown.output
    assert "GTV, Lung, Skin" in unknown.output


def test_segments_are_chosen_by_pattern(softlab, tmp_path) -> None:
    make_case(tmp_path / "cases" / "p1")
    out = tmp_path / "soft.zarr"
    assert softlab(
        "onehot", "--in", tmp_path / "cases", "--out", out, "--roi", "sp*"
    ).exit_code == 0  # fmt: skip
    assert softlab_cli.open_store(out).classes.names == ("background", "spleen")
    np.testing.assert_array_equal(label_of(out, "p1"), LABELS == 2)


def test_a_fractional_segmentation_needs_a_threshold(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "cases/p1/ct", sources)
    fractions = np.random.default_rng(2).random((*SHAPE, 1)).astype(np.float32)
    path = tmp_path / "cases/p1/seg.dcm"
    make_seg(path, sources, fractions, "FRACTIONAL", {1: "a"}, max_fractional_value=255)
    command = ["onehot", "--in", tmp_path / "cases", "--out", tmp_path / "soft.zarr"]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "--threshold" in refused.output
    assert softlab(*command, "--threshold", 0.5, "--overwrite").exit_code == 0
    label = label_of(tmp_path / "soft.zarr", "p1")
    sure = np.abs(fractions[..., 0] - 0.5) > 0.003
    np.testing.assert_array_equal(label[sure], fractions[..., 0][sure] > 0.5)


def test_padding_of_a_label_map_segmentation(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "cases/p1/ct", sources)
    path = tmp_path / "cases/p1/seg.dcm"
    make_seg(path, sources, LABELS, "LABELMAP", {1: "a", 2: "b"})
    ds = dcmread(path)
    ds.PixelPaddingValue = 0
    ds.save_as(path)
    command = ["onehot", "--in", tmp_path / "cases", "--out", tmp_path / "soft.zarr"]
    done = softlab(*command, "--padding", "ignore")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(tmp_path / "soft.zarr", "p1") == 255, LABELS == 0)


# ---- grids ---------------------------------------------------------------------


def image_with(path: Path, values: np.ndarray, direction: tuple[float, ...], origin: tuple) -> Path:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing((0.7, 0.8, 2.0))
    image.SetDirection(direction)
    image.SetOrigin(origin)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


IDENTITY = (1.0, 0, 0, 0, 1, 0, 0, 0, 1)


@pytest.mark.parametrize("images", ["nifti", "dicom"])
def test_a_label_map_is_turned_onto_its_image(softlab, tmp_path, images) -> None:
    sources = slices(origin=(-10.0, 20.0, 30.0))
    if images == "dicom":
        given = save_slices(tmp_path / "ct", sources)
    else:
        given = tmp_path / "ct"
        image_with(given / "a.nii.gz", np.zeros(SHAPE, np.float32), IDENTITY, (-10.0, 20.0, 30.0))
    flipped = (1.0, 0, 0, 0, -1, 0, 0, 0, 1)
    far = 20.0 + 0.8 * (SHAPE[1] - 1)
    image_with(
        tmp_path / "labels" / "a.nii.gz",
        np.ascontiguousarray(LABELS[:, ::-1]),
        flipped,
        (-10, far, 30),
    )
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", tmp_path / "labels", "--images", given, "--out", out)
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(out, "a"), LABELS)
    case = softlab_cli.open_store(out)["a"]
    assert any("turned from LAS to LPS" in w for w in case.info.warnings)
    expected = open_series(save_slices(tmp_path / "same", sources)).geometry
    np.testing.assert_allclose(case.affine, expected.affine, atol=1e-5)


@pytest.mark.parametrize("how", ["nearest", "linear"])
def test_another_grid_is_refused_and_resampled_on_demand(softlab, tmp_path, how) -> None:
    image_with(tmp_path / "ct/a.nii.gz", np.zeros(SHAPE, np.float32), IDENTITY, (0, 0, 0))
    image_with(tmp_path / "labels/a.nii.gz", LABELS, IDENTITY, (0.2, 0, 0))
    out = tmp_path / "soft.zarr"
    command = ["onehot", "--in", tmp_path / "labels", "--images", tmp_path / "ct", "--out", out]
    refused = softlab(*command)
    assert refused.exit_code == 1
    for text in (
        "label map: shape 6x9x11",
        "image a.nii.gz: shape 6x9x11",
        "--resample-labels",
        "0.2 mm",
    ):
        assert text in refused.output, text
    done = softlab(*command, "--resample-labels", how, "--overwrite")
    assert done.exit_code == 0, done.output
    # A shift by two sevenths of a voxel leaves every voxel nearest to itself.
    inside = (slice(None), slice(None), slice(1, None))
    np.testing.assert_array_equal(label_of(out, "a")[inside], LABELS[inside])
    assert any(f"resampled ({how})" in w for w in softlab_cli.open_store(out)["a"].info.warnings)


def test_a_small_deviation_changes_nothing(softlab, tmp_path) -> None:
    image_with(tmp_path / "ct/a.nii.gz", np.zeros(SHAPE, np.float32), IDENTITY, (0.0002, 0, 0))
    image_with(tmp_path / "labels/a.nii.gz", LABELS, IDENTITY, (0, 0, 0))
    out = tmp_path / "soft.zarr"
    command = ["onehot", "--in", tmp_path / "labels", "--images", tmp_path / "ct", "--out", out]
    assert softlab(*command).exit_code == 0
    case = softlab_cli.open_store(out)["a"]
    assert case.affine[0, 3] == 0
    assert not case.info.warnings


# ---- bad input: one clear error each, the other cases done ----------------------


def damage(kind: str, folder: Path) -> str:
    """Spoil a case; returns what the message must say."""
    images = folder / "images"
    first = next(images.iterdir())
    if kind == "truncated slice":
        first.write_bytes(first.read_bytes()[:-40])
        return first.name
    if kind == "a slice that is no DICOM":
        first.write_text("no DICOM at all")
        return first.name
    if kind == "no series":
        shutil.rmtree(images)
        return "Give the folder of that series with --images"
    if kind == "no segmentation":
        (folder / "seg.dcm").unlink()
        return "no SEG or RTSTRUCT"
    if kind == "missing slice":
        sorted(images.iterdir())[2].unlink()
        return "slice"
    frame = generate_uid()
    paths = sorted(images.iterdir())
    for path in paths if kind == "another frame of reference" else paths[:2]:
        ds = dcmread(path)
        ds.FrameOfReferenceUID = frame
        ds.save_as(path)
    return "frame of reference" if kind.startswith("another") else "frames of reference"


@pytest.mark.parametrize(
    "kind",
    [
        "truncated slice",
        "a slice that is no DICOM",
        "no series",
        "no segmentation",
        "missing slice",
        "another frame of reference",
        "two frames of reference",
    ],
)
def test_bad_input_is_one_error_and_others_are_done(softlab, tmp_path, kind) -> None:
    make_case(tmp_path / "cases" / "good")
    make_case(tmp_path / "cases" / "bad")
    message = damage(kind, tmp_path / "cases" / "bad")
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", tmp_path / "cases", "--out", out)
    assert done.exit_code == 1
    assert message in done.output
    assert "failed       1" in done.output
    assert "unforeseen" not in done.output
    assert list(softlab_cli.open_store(out)) == ["good"]


def test_a_series_is_no_label_map(softlab, tmp_path) -> None:
    save_slices(tmp_path / "ct", slices())
    for path in (tmp_path / "ct", next((tmp_path / "ct").iterdir())):
        refused = softlab("onehot", "--in", path, "--out", tmp_path / "soft.zarr")
        assert refused.exit_code == 1
        assert "SEG or RTSTRUCT" in refused.stderr


def test_a_segmentation_of_another_series_on_another_grid(softlab, tmp_path) -> None:
    make_case(tmp_path / "p1")
    save_slices(tmp_path / "ct", slices(origin=(0.0, 0.0, 0.0)))
    refused = softlab(
        "onehot", "--in", tmp_path / "p1/seg.dcm", "--images", tmp_path / "ct",
        "--series", "made for tests", "--out", tmp_path / "soft.zarr",
    )  # fmt: skip
    assert refused.exit_code == 1
    assert "segmentation frame: shape 9x11" in refused.output.replace("1x9x11", "9x11")
    assert "series: shape 6x9x11" in refused.output


def test_identity_is_no_turn() -> None:
    grid = Geometry(SHAPE, np.eye(4))
    turn = find_turn(grid, grid)
    assert turn is not None
    assert turn.is_identity
