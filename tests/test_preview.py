"""Pictures: what is drawn lies where it should, whichever way the volume is stored."""

from __future__ import annotations

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.colours import palette
from softlab_cli.report.preview import soft_map
from tests.conftest import blobs, write_image


def test_neighbouring_classes_have_different_colours() -> None:
    colours = palette(118)
    assert colours.shape == (118, 3)
    steps = np.abs(np.diff(colours, axis=0)).max(axis=1)
    assert steps.min() > 0.2


@pytest.mark.parametrize("shape", [(20, 24, 28), (40, 50)])
def test_a_picture_is_written(softlab, tmp_path, shape) -> None:
    array = blobs(shape, 4)
    write_image(tmp_path / "in" / "a.nii.gz", array)
    write_image(tmp_path / "images" / "a.nii.gz", array.astype(np.float32) * 100)
    store, out = tmp_path / "soft.zarr", tmp_path / "a.png"
    softlab("svls", "--in", tmp_path / "in", "--out", store, "--images", tmp_path / "images")
    done = softlab("preview", store, "--out", out)
    assert done.exit_code == 0, done.output
    assert "not shown" not in done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    chosen = softlab("preview", store, "a", "--out", out, "--class", "1", "--class", "label_2")
    assert chosen.exit_code == 0, chosen.output


def test_faint_soft_labels_are_shown_by_what_they_change() -> None:
    hard = np.array([[True, False, False]])
    faint = soft_map("liver", np.float32([[0.95, 0.1, 0.0]]), hard)
    assert faint.title == "liver: soft minus hard label"
    np.testing.assert_allclose(faint.values, [[-0.05, 0.1, 0.0]], atol=1e-7)
    assert faint.lowest == -faint.highest == pytest.approx(-0.1)
    for soft in (np.float32([[0.5, 0.5, 0.0]]), hard.astype(np.float32)):
        shown = soft_map("liver", soft, hard)
        assert (shown.title, shown.lowest, shown.highest) == ("soft label of liver", 0, 1)
        np.testing.assert_array_equal(shown.values, soft)


def test_an_image_on_another_grid_is_left_out_and_said(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((8, 9, 10), 3))
    write_image(tmp_path / "images" / "a.nii.gz", np.zeros((8, 9, 10), np.float32))
    store = tmp_path / "soft.zarr"
    softlab("svls", "--in", tmp_path / "in", "--out", store, "--images", tmp_path / "images")
    write_image(tmp_path / "images" / "a.nii.gz", np.zeros((8, 9, 11), np.float32))
    done = softlab("preview", store, "--out", tmp_path / "a.png")
    assert done.exit_code == 0
    assert "different grids" in done.stderr


def test_a_slice_or_a_class_that_is_not_there(softlab, labels, tmp_path) -> None:
    store = tmp_path / "soft.zarr"
    softlab("onehot", "--in", labels, "--out", store)
    done = softlab("preview", store, "--slice", 99, "--out", tmp_path / "a.png")
    assert done.exit_code == 2
    assert "0 to 19" in done.stderr
    done = softlab("preview", store, "--class", "spleen", "--out", tmp_path / "a.png")
    assert done.exit_code == 1
    assert "spleen" in done.stderr
    assert softlab_cli.open_store(store).classes.names[0] == "background"
