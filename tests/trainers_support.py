"""A small store with images, made by the command line, for the tests of the trainers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from click.testing import CliRunner

from softlab_cli.cli.main import cli
from tests.conftest import blobs
from tests.store_support import small_blocks

SHAPES = {"case0": (9, 14, 19), "case1": (12, 10, 17)}
DIRECTION = (0.0, -1.0, 0.0, 0.96, 0.0, -0.28, 0.28, 0.0, 0.96)
"""A rotation that no flip or permutation of axes makes good."""


@dataclass(frozen=True)
class Made:
    """Folders of a store and of what it was made from."""

    store: Path
    labels: Path
    images: Path


def write_nifti(path: Path, values: Any, direction: tuple[float, ...] = DIRECTION) -> Path:
    """An array (Z, Y, X) with a spacing and a place that nothing can mistake."""
    image = sitk.GetImageFromArray(np.asarray(values))
    image.SetSpacing((0.7, 1.1, 2.3))
    image.SetOrigin((-30.0, 12.0, 5.0))
    image.SetDirection(direction)
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def ramp(shape: tuple[int, ...], start: int = 0) -> np.ndarray:
    """An image whose every voxel has a value of its own."""
    return np.arange(start, start + int(np.prod(shape)), dtype=np.float32).reshape(shape)


def make(folder: Path, *options: str, method: str = "svls") -> Made:
    """A store of two cases and four classes, in many small blocks."""
    made = Made(folder / "soft.zarr", folder / "labels", folder / "images")
    for seed, (case_id, shape) in enumerate(SHAPES.items()):
        write_nifti(made.labels / f"{case_id}.nii.gz", blobs(shape, 4, seed=seed))
        write_nifti(made.images / f"{case_id}.nii.gz", ramp(shape, 1000 * seed))
    run_softlab(
        method, "--in", made.labels, "--images", made.images, "--out", made.store,
        "--labels", "0-3", *options,
    )  # fmt: skip
    return made


def run_softlab(*arguments: Any) -> None:
    """The command line in this process, with blocks of 4^3."""
    with small_blocks():
        command = [str(a) for a in (*arguments, "--workers", "1", "--no-progress")]
        done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
