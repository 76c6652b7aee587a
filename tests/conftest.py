"""Fixtures that many tests share: label maps on disk, the command line, the real scan."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import CliRunner, Result
from hypothesis import settings

from softlab_cli.cli.main import cli

settings.register_profile("softlab", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("softlab")

DATA = Path(__file__).parents[1] / "examples" / "data"
REAL = DATA / "totalsegmentator"


def write_image(path: Path, array: Any, spacing_mm: tuple[float, ...] = ()) -> Path:
    """Write an array, with spacing along the array's axes, as the file's name tells."""
    array = np.asarray(array)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing([float(s) for s in reversed(spacing_mm or (1.0,) * array.ndim)])
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def blobs(shape: tuple[int, ...], class_count: int, seed: int = 0) -> np.ndarray:
    """A label map of smooth regions, uint8: what real label maps look like."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((class_count, *(max(2, n // 6) for n in shape)))
    coarse = coarse.astype(np.float32)
    picks = [
        np.linspace(0, c - 1, n).round().astype(int)
        for c, n in zip(coarse.shape[1:], shape, strict=True)
    ]
    return coarse[np.ix_(range(class_count), *picks)].argmax(axis=0).astype(np.uint8)


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A folder with three small label maps of four classes."""
    folder = tmp_path / "labels"
    for i in range(3):
        write_image(folder / f"case{i}.nii.gz", blobs((20, 24, 28 + i), 4, seed=i), (2, 1, 1))
    return folder


@pytest.fixture
def softlab() -> Callable[..., Result]:
    """Run a command line in this process: ``softlab("info", store)``."""

    def run(*arguments: Any, env: dict[str, str] | None = None) -> Result:
        return CliRunner().invoke(cli, [str(a) for a in arguments], env=env)

    return run


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of the real CT and its label map; `make data` brings it."""
    if not (REAL / "labels" / "s01.nii.gz").exists():
        pytest.fail("the real scan is missing: run 'make data' (make test does so)")
    return REAL


@pytest.fixture(scope="session")
def phantom() -> Path:
    """The folder of four lung CT series with an RTSTRUCT each; `make data` brings it."""
    if not (DATA / "pycerr" / "pat_4").exists():
        pytest.fail("the DICOM phantom is missing: run 'make data' (make test does so)")
    return DATA / "pycerr"
