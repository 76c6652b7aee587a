"""Hard labels as segmentations of 3D Slicer, read back by ITK and by our own reader."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import Result

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError
from softlab_cli.output.seg_nrrd import export_seg_nrrd
from softlab_cli.readers import open_label_object, read_label_map
from softlab_cli.readers.options import ReadingOptions
from tests.conftest import blobs
from tests.seg_nrrd_support import segment_keys, write_seg_nrrd
from tests.test_export import FakeCase, picture, ras, volume

NAMES = {3: "Milz \N{LATIN SMALL LETTER U WITH DIAERESIS}\\n\nx", 700: "lung"}
CLASSES = ClassTable.from_values([0, 3, 9, 700], NAMES, [255]).coloured({"lung": "ff8000"})
Run = Callable[..., Result]


def case_of(seed: int = 1, ignored: bool = True) -> FakeCase:
    case = volume(seed, (7, 5, 6))
    case.label = np.random.default_rng(seed).integers(0, 2, (7, 5, 6)).astype(np.uint8)
    case.label[2:4, 1:3, 2:5] = 3
    if ignored:
        case.label[0, 0, 0] = CLASSES.ignore_index
    case.classes = CLASSES
    return case


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_itk_sees_the_same_values_on_the_same_grid(tmp_path: Path, seed: int) -> None:
    case = case_of(seed)
    image = sitk.ReadImage(str(export_seg_nrrd(case, tmp_path)))
    values = np.array([0, 3, 9, 700])[np.where(case.label == 255, 0, case.label)]
    assert np.array_equal(sitk.GetArrayFromImage(image), values)
    assert np.allclose(ras(image), case.geometry.affine, rtol=0, atol=1e-12)


def test_the_header_says_what_slicer_asks_for(tmp_path: Path) -> None:
    image = sitk.ReadImage(str(export_seg_nrrd(case_of(), tmp_path)))
    said = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
    assert said["Segment2_Name"] == "lung"
    assert said["Segment2_ID"] == "Segment_700"
    assert said["Segment2_LabelValue"] == "700"
    assert said["Segment2_Color"] == "1 0.501961 0"
    assert said["Segment2_Layer"] == "0"
    assert said["Segment2_Extent"] == "2 4 1 2 2 3"
    assert said["Segment1_Extent"] == "0 -1 0 -1 0 -1"
    assert said["Segment0_Extent"] == "0 5 0 4 0 6"
    assert said["Segmentation_ReferenceImageExtentOffset"] == "0 0 0"
    assert "Segment3_Name" not in said


def test_our_reader_has_names_values_and_colours_back(tmp_path: Path) -> None:
    case = case_of()
    path = export_seg_nrrd(case, tmp_path)
    found = open_label_object(path).label_map(None, ReadingOptions())
    assert found.metadata["names"] == {3: NAMES[3], 9: "label_9", 700: "lung"}
    assert found.metadata["colours"]["lung"] == "ff8000"
    assert np.array_equal(found.values == 700, case.label == 3)
    assert found.warnings == ("segments without a voxel (empty): label_9.",)
    assert np.allclose(found.geometry.affine, case.geometry.affine, rtol=0, atol=1e-12)


def test_a_picture_is_one_slice(tmp_path: Path) -> None:
    case = picture()
    found = read_label_map(export_seg_nrrd(case, tmp_path))
    assert found.values.shape == (1, *case.label.shape)


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    first = export_seg_nrrd(case_of(), tmp_path).read_bytes()
    with pytest.raises(StoreError, match="exists already"):
        export_seg_nrrd(case_of(2), tmp_path)
    export_seg_nrrd(case_of(), tmp_path, overwrite=True)
    assert (tmp_path / "s01.seg.nrrd").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["s01.seg.nrrd"]


def test_a_store_goes_round(tmp_path: Path, softlab: Run) -> None:
    labels = blobs((5, 8, 9), 3)
    keys = segment_keys([("liver", 2, 0), ("heart", 1, 0)], {"liver": "1 0 0"})
    write_seg_nrrd(tmp_path / "in" / "a.seg.nrrd", [labels], keys, (1, 2, 3), (0.7, 0.8, 2.5))
    out, back = tmp_path / "one.zarr", tmp_path / "back"
    assert softlab("onehot", "--in", tmp_path / "in", "--out", out).exit_code == 0
    done = softlab("export", out, "--to", "seg-nrrd", "--out", back)
    assert done.exit_code == 0, done.output
    first, second = (read_label_map(f / "a.seg.nrrd") for f in (tmp_path / "in", back))
    assert np.array_equal(first.values, second.values)
    assert np.array_equal(first.geometry.affine, second.geometry.affine)
    for fact in ("names", "colours"):
        assert dict(sorted(first.metadata[fact].items())) == second.metadata[fact]
    refused = softlab("export", out, "--to", "seg-nrrd", "--out", tmp_path, "--per-class")
    assert "--per-class goes with --to nifti only" in refused.output
    assert refused.exit_code == 2
