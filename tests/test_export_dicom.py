"""``softlab export --to dicom-seg``, and back again with ``softlab import``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

import softlab_cli
from tests.conftest import write_image
from tests.dicom_support import save_slices
from tests.test_dicom_cases import LABELS, label_of, make_case, slices


@pytest.fixture
def store(softlab, tmp_path) -> Path:
    """Soft labels of one case in DICOM, whose segments are not numbered from 1."""
    make_case(tmp_path / "cases" / "p1")
    out = tmp_path / "soft.zarr"
    options = ["--labels", "0,4=liver,9=spleen"]
    assert softlab("svls", "--in", tmp_path / "cases", "--out", out, *options).exit_code == 0
    return out


@pytest.mark.parametrize("given", [False, True])
def test_soft_labels_come_back(softlab, store, tmp_path, given) -> None:
    images = ["--images", tmp_path / "cases/p1/images"] if given else []
    done = softlab("export", store, "--to", "dicom-seg", "--out", tmp_path / "out", *images)
    assert done.exit_code == 0, done.output
    ds = dcmread(tmp_path / "out" / "p1.dcm")
    assert (ds.SegmentationType, ds.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    back = tmp_path / "back.zarr"
    done = softlab(
        "import", "--in", tmp_path / "out", "--images", tmp_path / "cases", "--out", back
    )
    assert done.exit_code == 0, done.output
    ours, theirs = softlab_cli.open_store(store)["p1"], softlab_cli.open_store(back)["p1"]
    assert theirs.classes.names == ours.classes.names
    np.testing.assert_allclose(
        theirs.read().astype(np.float32), ours.read().astype(np.float32), atol=1.1 / 255
    )
    np.testing.assert_allclose(theirs.affine, ours.affine, atol=1e-5)


def test_hard_labels_come_back(softlab, store, tmp_path) -> None:
    done = softlab("export", store, "--to", "dicom-seg", "--hard", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    back = tmp_path / "back.zarr"
    options = ["--images", tmp_path / "cases", "--out", back]
    assert softlab("onehot", "--in", tmp_path / "out" / "p1.dcm", *options).exit_code == 0
    opened = softlab_cli.open_store(back)
    assert [(c.value, c.name) for c in opened.classes.classes] == [
        (0, "background"), (4, "liver"), (9, "spleen")
    ]  # fmt: skip
    np.testing.assert_array_equal(label_of(back, "p1"), LABELS)


def test_a_second_export_is_refused(softlab, store, tmp_path) -> None:
    command = ["export", store, "--to", "dicom-seg", "--out", tmp_path / "out"]
    assert softlab(*command).exit_code == 0
    again = softlab(*command)
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["p1.dcm"]


def test_another_series_is_refused_with_both_grids(softlab, store, tmp_path) -> None:
    save_slices(tmp_path / "other", slices(origin=(0.0, 0.0, 0.0)))
    done = softlab(
        "export", store, "--to", "dicom-seg", "--out", tmp_path / "out",
        "--images", tmp_path / "other",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "label: shape 6x9x11" in done.stderr
    assert "series: shape 6x9x11" in done.stderr
    assert not list((tmp_path / "out").iterdir())


def test_a_case_without_a_series_is_refused(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", LABELS)
    store = tmp_path / "soft.zarr"
    softlab("onehot", "--in", tmp_path / "in", "--out", store)
    done = softlab("export", store, "--to", "dicom-seg", "--out", tmp_path / "out")
    assert done.exit_code == 1
    assert "--images" in done.stderr


@pytest.mark.parametrize(
    "options", [["--series", "x"], ["--images", "x"], ["--to", "dicom-seg", "--per-class"]]
)
def test_options_that_do_not_go_together(softlab, store, tmp_path, options) -> None:
    assert softlab("export", store, "--out", tmp_path / "out", *options).exit_code == 2
