"""A short run imports what it needs, and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import blobs, write_image

NEEDLESS = [
    "FastGeodis",
    "SimpleITK",
    "distributed",
    "highdicom",
    "matplotlib",
    "numpy.f2py",
    "pydicom",
    "scipy.linalg",
    "scipy.ndimage",
    "skimage",
    "softlab_cli.geodesic",
    "softlab_cli.kernels.staple",
    "softlab_cli.methods.geols",
    "softlab_cli.methods.raters",
    "softlab_cli.fusion.staple",
    "softlab_cli.nnunet",
    "softlab_cli.output",
    "softlab_cli.report",
    "softlab_cli.store.reader",
    "softlab_cli.trainers",
    "torch",
    "tqdm",
    "zarr",
]
"""What one case of ``softlab svls`` in NIfTI does without."""

RUN = """
import sys
from softlab_cli.cli.main import cli
try:
    cli()
except SystemExit as ended:
    assert not ended.code, ended.code
print(*sorted(sys.modules))
"""

LINEAR_ALGEBRA = """
import gc, sys
import numba, numpy as np
import softlab_cli.kernels.labels
assert gc.isenabled()
assert "scipy.linalg" not in sys.modules

@numba.njit
def both(a, b):
    return np.dot(a, b), np.linalg.solve(a, b), np.correlate(a[0], b[0])

a, b = np.random.default_rng(0).random((2, 4, 4))
for found, expected in zip(
    both(a, b), (a @ b, np.linalg.solve(a, b), np.correlate(a[0], b[0])), strict=True
):
    np.testing.assert_allclose(found, expected)
"""


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Every module that is loaded when a run of one case has ended."""
    folder: Path = tmp_path_factory.mktemp("startup")
    write_image(folder / "a.nii.gz", blobs((12, 16, 16), 3))
    arguments = ["svls", "--in", str(folder / "a.nii.gz"), "--out", str(folder / "soft.zarr")]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=True
    )
    assert (folder / "soft.zarr" / "a").is_dir()
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("name", NEEDLESS)
def test_one_nifti_case_does_without(imported: set[str], name: str) -> None:
    assert "numba" in imported
    assert name not in imported


def test_linear_algebra_of_others_works() -> None:
    """Numba is kept from importing scipy.linalg at its start; it must do so when asked."""
    subprocess.run([sys.executable, "-c", LINEAR_ALGEBRA], check=True, capture_output=True)
