"""Exported files, read back by SimpleITK and numpy."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray

from softlab_cli import open_store
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, StoreError, UsageError
from softlab_cli.core.volume import Geometry
from softlab_cli.output.export import CaseReader, export_case
from softlab_cli.output.hard_nifti import export_label_map
from softlab_cli.readers import read_image, read_label_map
from softlab_cli.store.files import partial_path
from tests.conftest import write_image

CLASSES = ClassTable.from_values([0, 3, 700], {3: "left lung/upper", 700: "Milz"}, [255])


@dataclass
class FakeCase:
    """A case whose soft labels are in memory, (C, Z, Y, X) or (C, Y, X)."""

    soft: NDArray[np.float16]
    label: NDArray[np.uint8]
    geometry: Geometry
    case_id: str = "s01"
    classes: ClassTable = CLASSES

    def read(
        self, region: tuple[slice, ...] | None = None, *, classes: Sequence[int] | None = None
    ) -> NDArray[np.float16]:
        wanted = range(len(self.soft)) if classes is None else classes
        return self.soft[list(wanted)][(slice(None), *(region or ()))]

    def read_label(self, region: tuple[slice, ...] | None = None) -> NDArray[np.uint8]:
        return self.label[region or ()]


def affine(seed: int) -> NDArray[np.float64]:
    """An oblique grid whose numbers NIfTI can hold; some are left-handed, one is a half turn."""
    rng = np.random.default_rng(seed)
    axes = np.linalg.qr(rng.normal(size=(3, 3)))[0] if seed else np.diag([-1.0, -1.0, 1.0])
    matrix = np.eye(4)
    matrix[:3, :3] = axes * [0.7, 1.1, 2.3 * (-1) ** seed]
    matrix[:3, 3] = rng.normal(size=3) * 100
    return matrix.astype(np.float32).astype(np.float64)


def volume(seed: int = 1, shape: tuple[int, int, int] = (70, 5, 6)) -> FakeCase:
    rng = np.random.default_rng(seed)
    soft = rng.dirichlet([1, 1, 1], shape).astype(np.float16)
    soft = np.ascontiguousarray(np.moveaxis(soft, -1, 0))
    return FakeCase(soft, soft.argmax(0).astype(np.uint8), Geometry(shape, affine(seed)))


def picture() -> FakeCase:
    case = volume(3, (1, 530, 4))
    return FakeCase(case.soft[:, 0], case.label[0], Geometry((1, 530, 4), np.eye(4), 2))


def ras(image: sitk.Image) -> NDArray[np.float64]:
    """The affine that SimpleITK sees, turned from LPS to RAS."""
    matrix = np.eye(4)
    direction = np.reshape(image.GetDirection(), (image.GetDimension(),) * 2)[:3, :3]
    matrix[:3, :3] = direction * image.GetSpacing()[:3]
    matrix[:3, 3] = image.GetOrigin()[:3]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ matrix


def test_the_fake_is_what_exporters_need() -> None:
    case: CaseReader = volume()
    assert case.case_id == "s01"


@pytest.mark.parametrize("seed", range(6))
def test_nifti_read_by_simpleitk(tmp_path, seed) -> None:
    case = volume(seed)
    written = export_case(case, tmp_path / "out")
    assert [p.name for p in written] == ["s01.nii.gz", "s01.json"]
    image = sitk.ReadImage(str(written[0]))
    assert image.GetPixelID() == sitk.sitkFloat32
    assert image.GetSize() == (6, 5, 70, 3)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), case.soft)
    np.testing.assert_allclose(ras(image), case.geometry.affine, atol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_nifti_read_by_softlab(tmp_path, seed) -> None:
    case = volume(seed)
    image = read_image(export_case(case, tmp_path)[0])
    np.testing.assert_array_equal(image.intensities, case.soft)
    np.testing.assert_array_equal(image.geometry.affine, case.geometry.affine)
    assert image.warnings == ()  # so sform and qform agree


def test_the_qform_alone_gives_the_same_grid(tmp_path) -> None:
    case = volume(4)
    path = export_case(case, tmp_path)[0]
    content = bytearray(gzip.decompress(path.read_bytes()))
    content[254:256] = bytes(2)  # sform_code
    (tmp_path / "q.nii").write_bytes(bytes(content))
    found = read_image(tmp_path / "q.nii").geometry.affine
    np.testing.assert_allclose(found, case.geometry.affine, atol=1e-5)


def test_a_sheared_grid_has_no_qform(tmp_path) -> None:
    case = volume()
    case.geometry.affine[0, 1] += 0.5
    image = read_image(export_case(case, tmp_path)[0])
    np.testing.assert_allclose(image.geometry.affine, case.geometry.affine, atol=1e-6)
    assert [w.split(":")[0] for w in image.warnings] == ["the grid is sheared"]


def test_the_classes_lie_beside(tmp_path) -> None:
    facts = json.loads(export_case(volume(), tmp_path)[1].read_text())
    assert facts["classes"][2] == {"index": 2, "value": 700, "name": "Milz"}
    assert facts["ignore_values"] == [255]


def test_one_file_for_each_class(tmp_path) -> None:
    case = volume()
    written = export_case(case, tmp_path, per_class=True)
    assert [p.name for p in written] == [
        "s01_0_background.nii.gz", "s01_3_left_lung_upper.nii.gz", "s01_700_Milz.nii.gz",
    ]  # fmt: skip
    for path, expected in zip(written, case.soft, strict=True):
        image = sitk.ReadImage(str(path))
        assert image.GetDimension() == 3
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)


def test_pictures(tmp_path) -> None:
    case = picture()
    image = sitk.ReadImage(str(export_case(case, tmp_path)[0]))
    assert image.GetSize() == (4, 530, 1, 3)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image)[:, 0], case.soft)
    single = export_case(case, tmp_path, per_class=True)[1]
    assert read_image(single).geometry.ndim == 2
    np.testing.assert_array_equal(read_image(single).intensities[0, 0], case.soft[1])
    with np.load(export_case(case, tmp_path, to="npz")[0]) as arrays:
        np.testing.assert_array_equal(arrays["soft"], case.soft)
        np.testing.assert_array_equal(arrays["label"], case.label)
        assert arrays["spacing_mm"].tolist() == [1, 1]


def test_npz_read_by_numpy(tmp_path) -> None:
    case = volume()
    (written,) = export_case(case, tmp_path, to="npz")
    with np.load(written) as arrays:  # allow_pickle is off
        assert arrays["soft"].dtype == np.float16
        np.testing.assert_array_equal(arrays["soft"], case.soft)
        np.testing.assert_array_equal(arrays["label"], case.label)
        np.testing.assert_array_equal(arrays["affine"], case.geometry.affine)
        np.testing.assert_array_equal(arrays["spacing_mm"], case.geometry.spacing_mm)
        assert arrays["class_values"].tolist() == [0, 3, 700]
        assert arrays["class_names"].tolist() == ["background", "left lung/upper", "Milz"]
        assert arrays["ignore_index"] == 255


@pytest.mark.parametrize("to", ["nifti", "npz"])
def test_the_same_case_gives_the_same_bytes(tmp_path, to) -> None:
    first = export_case(volume(), tmp_path / "a", to=to)
    second = export_case(volume(), tmp_path / "b", to=to)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    if to == "nifti":
        assert first[0].read_bytes()[3:8] == bytes(5)  # neither a file name nor a time


@pytest.mark.parametrize("to", ["nifti", "npz"])
def test_files_that_exist_are_kept_unless_told(tmp_path, to) -> None:
    path = export_case(volume(), tmp_path, to=to)[0]
    path.write_bytes(b"mine")
    with pytest.raises(StoreError, match="exists already") as caught:
        export_case(volume(), tmp_path, to=to)
    assert caught.value.path == path
    assert path.read_bytes() == b"mine"
    export_case(volume(), tmp_path, to=to, overwrite=True)
    assert path.read_bytes() != b"mine"


@pytest.mark.parametrize("to", ["nifti", "npz"])
def test_nothing_is_left_when_reading_fails(tmp_path, to) -> None:
    class Broken(FakeCase):
        def read(self, region=None, *, classes=None):
            if region[0].start:
                raise StoreError("is damaged.")
            return super().read(region, classes=classes)

    case = volume()
    with pytest.raises(StoreError, match="is damaged"):
        export_case(Broken(case.soft, case.label, case.geometry), tmp_path, to=to)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be written") as caught:
        export_case(volume(), tmp_path / "file" / "out")
    assert caught.value.path == tmp_path / "file" / "out" / "s01.nii.gz"


def test_arguments_that_do_not_go_together(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"cannot export to .dicom.* nifti, npz"):
        export_case(volume(), tmp_path, to="dicom")
    with pytest.raises(UsageError, match="--per-class does not go with --to npz"):
        export_case(volume(), tmp_path, to="npz", per_class=True)
    wide = FakeCase(np.zeros((3, 1, 1, 40000), np.float16), np.zeros((1, 1, 40000), np.uint8),
                    Geometry((1, 1, 40000), np.eye(4)))  # fmt: skip
    with pytest.raises(UsageError, match="40000 voxels or classes are more than NIfTI's 32767"):
        export_case(wide, tmp_path)


@pytest.mark.parametrize("to", ["nifti", "npz"])
def test_only_one_slab_of_one_class_is_held(tmp_path, to) -> None:
    class Endless(FakeCase):
        """Makes what is asked for instead of holding it."""

        def read(self, region=None, *, classes=None):
            return np.zeros((len(classes), *(s.stop - s.start for s in region)), np.float16)

        def read_label(self, region=None):
            return np.zeros([s.stop - s.start for s in region], np.uint8)

    shape = (200, 128, 128)
    case = Endless(np.empty(0), np.empty(0), Geometry(shape, np.eye(4)))
    tracemalloc.start()
    try:
        export_case(case, tmp_path, to=to)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    slab = 64 * 128 * 128
    assert peak < 8 * slab < 2 * 3 * np.prod(shape)


@pytest.mark.parametrize("to", ["nifti", "npz"])
def test_a_case_of_a_real_store(softlab, labels, tmp_path, to) -> None:
    store = tmp_path / "soft.zarr"
    assert softlab("svls", "--in", labels, "--out", store).exit_code == 0
    assert softlab("export", store, "case1", "--to", to, "--out", tmp_path / "out").exit_code == 0
    expected = open_store(store)["case1"].read()
    if to == "nifti":
        image = sitk.ReadImage(str(tmp_path / "out" / "case1.nii.gz"))
        source = sitk.ReadImage(str(labels / "case1.nii.gz"))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), expected)
        np.testing.assert_allclose(ras(image), ras(source), atol=1e-6)
    else:
        with np.load(tmp_path / "out" / "case1.npz") as arrays:
            np.testing.assert_array_equal(arrays["soft"], expected)


def test_an_exported_hard_label_is_a_label_map_again(tmp_path) -> None:
    case = volume()
    one_hot = (case.label == np.arange(3)[:, None, None, None]).astype(np.float16)
    path = export_case(FakeCase(one_hot, case.label, case.geometry), tmp_path, per_class=True)[2]
    np.testing.assert_array_equal(read_label_map(Path(path)).values, case.label == 2)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_hard_labels_are_a_label_map_with_values_and_grid(tmp_path, seed) -> None:
    case = volume(seed)
    case.label[0, 0, 0] = CLASSES.ignore_index
    files = export_label_map(case, tmp_path)
    image = sitk.ReadImage(str(files[0]))
    values = np.array([0, 3, 700])[np.where(case.label == 255, 0, case.label)]
    values[0, 0, 0] = 255
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), values)
    assert image.GetPixelIDTypeAsString() == "16-bit unsigned integer"
    np.testing.assert_allclose(ras(image), case.geometry.affine, rtol=0, atol=2e-5)
    again = read_label_map(files[0])
    np.testing.assert_array_equal(again.values, values)
    np.testing.assert_allclose(again.geometry.affine, case.geometry.affine, atol=1e-5)
    labels = {"background": 0, "left lung/upper": 3, "Milz": 700, "ignore": 255}
    assert json.loads(files[1].read_text(encoding="utf-8")) == {"labels": labels}
    with pytest.raises(StoreError, match="exists already"):
        export_label_map(case, tmp_path)
    assert export_label_map(case, tmp_path, overwrite=True) == files


def test_hard_labels_of_a_picture_and_a_value_for_what_is_not_labelled(tmp_path) -> None:
    flat = picture()
    flat.classes = ClassTable.from_values([0, 1, 2])
    path, names = export_label_map(flat, tmp_path)
    assert sitk.ReadImage(str(path)).GetPixelIDTypeAsString() == "8-bit unsigned integer"
    np.testing.assert_array_equal(read_label_map(path).values[0], flat.label)
    assert "ignore" not in names.read_text()
    flat.label[0, 0] = flat.classes.ignore_index
    path, names = export_label_map(flat, tmp_path, overwrite=True)
    assert read_label_map(path).values[0, 0, 0] == 65535
    assert json.loads(names.read_text())["labels"]["ignore"] == 65535
    flat.classes = ClassTable.from_values([0, 7, 65535])
    with pytest.raises(ClassError, match="every number for them is a class"):
        export_label_map(flat, tmp_path, overwrite=True)


def test_exported_hard_labels_make_the_same_store(softlab, labels, tmp_path) -> None:
    first, out, second = tmp_path / "a.zarr", tmp_path / "out", tmp_path / "b.zarr"
    softlab("svls", "--in", labels, "--labels", "0,1=liver,2=spleen,3", "--out", first)
    done = softlab("export", first, "--hard", "--out", out)
    assert done.exit_code == 0, done.output
    assert done.output.endswith(": 3 cases\n")
    names = ("--classes-from", out / "case0.json")
    done = softlab("svls", "--in", out, *names, "--out", second)
    assert done.exit_code == 0, done.output
    one, two = open_store(first), open_store(second)
    assert one.classes == two.classes
    for case_id in one:
        np.testing.assert_array_equal(one[case_id].read(), two[case_id].read())
        np.testing.assert_array_equal(one[case_id].affine, two[case_id].affine)


def test_it_is_said_once_where_a_format_has_no_mark_for_unlabelled_voxels(
    softlab, labels, tmp_path
) -> None:
    store = tmp_path / "soft.zarr"
    softlab("onehot", "--in", labels, "--ignore-label", 2, "--out", store)
    done = softlab("export", store, "--to", "seg-nrrd", "--out", tmp_path / "out")
    opened = open_store(store)
    voxels = sum((case.read_label() == 255).sum() for case in opened.values())
    said = f"{voxels:,} voxels are not labelled (case0, case1, case2), for which the format"
    assert done.stderr.count("not labelled") == 1
    assert said in done.stderr
    assert "not labelled" not in softlab("export", store, "--hard", "--out", tmp_path / "h").output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--to", "npz", "--hard"], "It has the hard label anyway"),
        (["--to", "seg-nrrd", "--hard"], "It has the hard label anyway"),
        (["--hard", "--per-class"], "Leave one of them out"),
    ],
)
def test_hard_goes_with_some_formats(softlab, labels, tmp_path, options, words) -> None:
    softlab("onehot", "--in", labels, "--out", tmp_path / "s.zarr")
    done = softlab("export", tmp_path / "s.zarr", *options, "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert words in done.stderr


def test_what_a_killed_export_left_is_removed(softlab, labels, tmp_path) -> None:
    store, out = tmp_path / "soft.zarr", tmp_path / "out"
    softlab("onehot", "--in", labels, "--out", store)
    out.mkdir()
    code = (
        "import os, sys; from pathlib import Path; from softlab_cli.output import export;"
        f"context = export.renamed_when_complete(Path({str(out)!r}, 'case0.nii.gz'));"
        "context.__enter__().write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code])
    mine = partial_path(out, ".case1.nii.gz")  # of a process that is still at work
    for path in (mine, out / "notes.partial-1", out / ".hidden"):
        path.write_text("mine")
    assert len(list(out.iterdir())) == 4
    assert softlab("export", store, "case1", "--out", out).exit_code == 0
    left = {path.name for path in out.iterdir()}
    assert left == {mine.name, "notes.partial-1", ".hidden", "case1.nii.gz", "case1.json"}


def test_a_class_name_that_is_too_long_for_a_file(softlab, tmp_path) -> None:
    name = "ü" * 300
    write_image(tmp_path / "in" / f"{'c' * 200}.nii.gz", np.eye(9, dtype=np.uint8)[None])
    options = ["--labels", f"0,1={name}", "--out", tmp_path / "soft.zarr"]
    assert softlab("onehot", "--in", tmp_path / "in", *options).exit_code == 0
    done = softlab("export", tmp_path / "soft.zarr", "--per-class", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "out").iterdir())) == 2
