"""Pictures: what is drawn lies where it should, whichever way the volume is stored."""

from __future__ import annotations

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.colours import palette
from softlab_cli.core.volume import Geometry
from softlab_cli.report.preview import PLANES, View, soft_map
from tests.conftest import blobs, write_image


def stored(letters: str, marks: dict[str, tuple[int, int, int]]) -> tuple[Geometry, np.ndarray]:
    """A volume of 9 x 9 x 9 whose axes (x, y, z) point to `letters`, with marked points.

    A mark's place is given along (R, A, S), counted from the volume's centre.
    """
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for column, letter in enumerate(letters):
        world, sign = "RASLPI".index(letter) % 3, 1 if letter in "RAS" else -1
        affine[world, column] = sign
    affine[:3, 3] = -affine[:3, :3] @ (4, 4, 4)
    array = np.zeros((9, 9, 9), int)
    for i, place in enumerate(marks.values(), start=1):
        x, y, z = np.linalg.solve(affine, [*place, 1])[:3].round().astype(int)
        array[z, y, x] = i
    return Geometry((9, 9, 9), affine), array


@pytest.mark.parametrize("letters", ["RAS", "LPS", "SAR", "PIR", "ILA"])
@pytest.mark.parametrize("plane", PLANES)
def test_the_patients_right_is_on_the_left(letters, plane) -> None:
    down, right = PLANES[plane][1:]
    unit = dict(zip("RAS", np.eye(3, dtype=int), strict=True))
    unit |= dict(zip("LPI", -np.eye(3, dtype=int), strict=True))
    geometry, array = stored(letters, {"bottom": 3 * unit[down], "right": 3 * unit[right]})
    view = View.of(geometry, plane)
    shown = view.turn(np.squeeze(array[view.region(geometry.shape, 4)], view.axis))
    assert shown[7, 4] == 1
    assert shown[4, 7] == 2


def test_pixels_have_the_shape_of_voxels() -> None:
    affine = np.diag([1.0, 2.0, 5.0, 1.0])
    geometry = Geometry((4, 4, 4), affine)
    assert View.of(geometry, "axial").aspect == 2
    assert View.of(geometry, "coronal").aspect == 5
    assert View.of(geometry, "sagittal").aspect == 2.5


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
