"""Geometry: spacing, orientation, and when two grids are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softlab_cli.core.errors import GeometryError
from softlab_cli.core.volume import Geometry, check_same_grid


def geometry(shape=(4, 5, 6), spacing=(1.0, 1.0, 1.0), origin=(0.0, 0.0, 0.0)) -> Geometry:
    affine = np.diag([*spacing, 1.0])
    affine[:3, 3] = origin
    return Geometry(shape, affine)


def test_spacing_is_in_array_order() -> None:
    assert geometry(spacing=(1.0, 2.0, 3.0)).spacing_mm == (3.0, 2.0, 1.0)


def test_orientation_names_where_the_axes_point() -> None:
    flipped = geometry(spacing=(-1.0, 2.0, 3.0))
    assert geometry().orientation == "RAS"
    assert flipped.orientation == "LAS"
    assert "shape 4x5x6, spacing 3 x 2 x 1 mm" in flipped.describe()


def test_a_grid_equals_itself_within_a_hundredth_of_a_voxel() -> None:
    a, near, far = geometry(), geometry(origin=(0.009, 0, 0)), geometry(origin=(0.011, 0, 0))
    check_same_grid(a, near, names=("a", "b"), path=Path("x"))
    with pytest.raises(
        GeometryError, match=r"shifted by \(-0\.011, 0, 0\) mm, that is \(-0\.011, 0"
    ):
        check_same_grid(a, far, names=("a", "b"), path=Path("x"))


def test_small_errors_add_up_over_the_volume() -> None:
    a, b = geometry((400, 4, 4)), geometry((400, 4, 4), spacing=(1, 1, 1.0001))
    with pytest.raises(GeometryError):
        check_same_grid(a, b, names=("a", "b"), path=Path("x"))


def test_message_shows_both_grids() -> None:
    with pytest.raises(GeometryError) as caught:
        check_same_grid(
            geometry(), geometry((4, 5, 7)), names=("label map", "image"), path=Path("case.nii")
        )
    text = str(caught.value)
    assert "case.nii" in text
    assert "4x5x6" in text
    assert "4x5x7" in text
    assert "Resample" in text


def test_message_names_the_grid_that_its_file_does_not_say() -> None:
    lost = Geometry((4, 5, 6), np.eye(4), missing="no spacing")
    real = geometry((4, 5, 6), (0.5, 0.5, 2), (10, 20, 30))
    with pytest.raises(GeometryError) as caught:
        check_same_grid(lost, real, names=("a.png", "b.nii"), path=Path("b.nii"))
    assert "The a.png has no geometry of its own: no spacing." in str(caught.value)
    assert "The b.nii" not in str(caught.value)
