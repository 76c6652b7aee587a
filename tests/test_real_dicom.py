"""Real DICOM, as `make data` brings it: JPEG 2000 slices, contours of four patients."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

import softlab_cli
from softlab_cli.readers.dicom.series.read import open_series

GTV_VOXELS = 125_256
"""Voxels of GTV-1 in the phantom of IBSI-1."""


def test_a_flipped_label_map_lands_on_its_series(softlab, real, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab(
        "svls", "--in", real / "dicom_labels", "--images", real / "dicom_images", "--out", out
    )
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["s02"]
    assert any("turned from LAS to LPS" in w for w in case.info.warnings)
    label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(real / "dicom_labels" / "s02.nii.gz")))
    values = np.array(case.classes.values)[case.read_label()]
    np.testing.assert_array_equal(values, label_map[:, ::-1])
    grid = open_series(real / "dicom_images" / "s02").geometry
    np.testing.assert_allclose(case.affine, grid.affine, atol=1e-5)


def test_the_phantom_in_one_sentence(softlab, phantom, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("onehot", "--in", phantom, "--roi", "GTV*", "--out", out)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert list(store) == ["pat_1", "pat_2", "pat_3", "pat_4"]
    gtv = store.classes.names.index("GTV-1")
    assert store["pat_1"].statistics.hard_voxels[gtv] == GTV_VOXELS
    volume = store["pat_1"].statistics.hard_mm3[gtv] / 1000
    assert abs(volume - 359) < 5


def test_partial_volume_of_the_phantom(softlab, phantom, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab(
        "import", "--in", phantom / "pat_1", "--roi", "GTV-1", "--supersample", 4, "--out", out
    )
    assert done.exit_code == 0, done.output
    assert softlab("verify", out).exit_code == 0
    statistics = softlab_cli.open_store(out)["pat_1"].statistics
    # What partial volume adds to one voxel of the border, it takes from another.
    assert abs(statistics.soft_mass[1] / GTV_VOXELS - 1) < 0.002
