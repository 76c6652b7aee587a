"""``--spacing-mm``: for files that do not say how large their voxels are, and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from click.testing import Result

import softlab_cli
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.read import probe_labels, read_labels
from softlab_cli.readers.options import ReadingOptions
from tests.conftest import blobs, write_image

GIVEN = (3.0, 0.5, 0.25)
LABELS = blobs((4, 9, 7), 3)


def picture(path: Path) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(LABELS[0].astype(np.uint8)), str(path))
    return path


def pages(path: Path) -> Path:
    """Pixels of 0.5 mm, and nothing about the distance of pages."""
    tifffile.imwrite(path, LABELS.astype(np.uint8), photometric="minisblack",
                     resolution=(20, 20), resolutionunit="CENTIMETER")  # fmt: skip
    return path


def header_without(path: Path) -> Path:
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 7 9 4\nencoding: raw\n\n"
        + LABELS.astype(np.uint8).tobytes()
    )
    return path


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (picture, "a.png", (3, 0.5, 0.25)),
        (pages, "a.tif", (3, 0.5, 0.5)),
        (header_without, "a.nrrd", (3, 0.5, 0.25)),
    ],
)
def test_what_a_file_does_not_say_is_taken_from_the_option(
    make: Callable[[Path], Path], name: str, expected: tuple[float, ...], tmp_path: Path
) -> None:
    path = make(tmp_path / name)
    assert any("1 mm is assumed" in w for w in read_labels(path, (), ReadingOptions()).warnings)
    options = ReadingOptions(spacing_mm=GIVEN)
    read, seen = read_labels(path, (), options), probe_labels(path, (), options)
    for found in (read, seen):
        assert found.geometry.spacing_mm == pytest.approx(expected)
        assert not any("assumed" in warning for warning in found.warnings)


def test_a_file_that_says_its_spacing_keeps_it(tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.nii.gz", LABELS.astype(np.uint8), (1, 1, 1))
    found = read_labels(path, (), ReadingOptions(spacing_mm=GIVEN))
    assert found.geometry.spacing_mm == (1, 1, 1)


def test_a_turned_grid_keeps_its_place() -> None:
    turned = np.array([[0, -1, 0, 5], [1, 0, 0, 6], [0, 0, 1, 7], [0, 0, 0, 1.0]])
    found = Geometry((4, 9, 7), turned, 3, "no spacing, no position").with_spacing(GIVEN)
    assert found.origin_mm == (5, 6, 7)
    assert found.spacing_mm == GIVEN
    assert found.missing == "no position"


def test_labels_and_images_of_a_run_have_it(softlab: Callable[..., Result], tmp_path: Path) -> None:
    for folder in ("labels", "images"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "a.png")
    command = ("geols", "--in", tmp_path / "labels", "--images", tmp_path / "images")
    command += ("--engine", "numba", "--out", tmp_path / "o.zarr")
    done = softlab(*command, "--spacing-mm", "1,0.5,0.25")
    assert done.exit_code == 0, done.output
    assert "assumed" not in done.output
    assert softlab_cli.open_store(tmp_path / "o.zarr")["a"].spacing_mm == (0.5, 0.25)
    other = softlab(*command, "--spacing-mm", "2")  # it is part of the recipe
    assert other.exit_code == 1
    assert "--overwrite" in other.output
    assert softlab(*command, "--spacing-mm", "0").exit_code == 2
