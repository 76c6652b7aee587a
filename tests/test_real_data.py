"""The real CT label map: 42 of 118 label values, as `make data` brings it."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk

import softlab_cli
from tests import naive


def test_the_demo_job(softlab, real, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab(
        "svls", "--in", real / "labels", "--images", real / "images",
        "--classes-from", real / "dataset.json", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert softlab("verify", out).exit_code == 0
    case = softlab_cli.open_store(out)["s01"]
    image = sitk.ReadImage(str(real / "labels" / "s01.nii.gz"))
    label_map = sitk.GetArrayFromImage(image)
    assert len(case.classes) == 118
    assert case.classes.names[5] == "liver"
    np.testing.assert_array_equal(case.read_label(), label_map)
    assert sum(n > 0 for n in case.statistics.hard_voxels) == 42
    assert case.spacing_mm == tuple(reversed(image.GetSpacing()))
    # ITK's world is LPS, ours RAS: the first two axes change sign.
    corner = np.array([image.GetSize()[0] - 1, 0, image.GetSize()[2] - 1, 1])
    world = image.TransformIndexToPhysicalPoint([int(i) for i in corner[:3]])
    np.testing.assert_allclose((case.affine @ corner)[:3] * (-1, -1, 1), world, atol=1e-4)


def test_every_bit_is_that_of_the_formula(real) -> None:
    label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(real / "labels" / "s01.nii.gz")))
    soft = softlab_cli.svls(label_map)
    for index, value in enumerate(np.unique(label_map)):
        expected = naive.svls(label_map, [value])[0].astype(np.float16)
        np.testing.assert_array_equal(soft[index], expected)
