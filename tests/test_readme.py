"""What the README says to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from softlab_cli.methods import METHODS
from tests.conftest import blobs, write_image

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def command_lines() -> list[str]:
    """Commands of the blocks without a language; those on DICOM have tests of their own."""
    lines = [line for language, block in BLOCKS if not language for line in block.splitlines()]
    return [line.split("  #")[0].strip() for line in lines if line.startswith("softlab ")]


@pytest.fixture
def workplace(tmp_path, monkeypatch) -> Path:
    """A folder with what the README's commands name."""
    write_image(tmp_path / "labels" / "s01.nii.gz", blobs((64, 64, 64), 4), (1.5, 1, 1))
    write_image(tmp_path / "ct" / "s01.nii.gz", np.zeros((64, 64, 64), np.int16), (1.5, 1, 1))
    write_image(tmp_path / "labels" / "s02.nii.gz", blobs((20, 24, 28), 4))
    write_image(tmp_path / "ct" / "s02.nii.gz", np.zeros((20, 24, 28), np.int16))
    for number in (1, 2, 3):
        rater = blobs((20, 24, 28), 4, seed=number)
        write_image(tmp_path / f"r{number}" / "s01.nii.gz", rater)
        write_image(tmp_path / "drawn" / f"s01_r{number}.nii.gz", rater)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(softlab, workplace) -> None:
    lines = command_lines()
    assert len(lines) >= 8
    for line in lines:
        for part in line.split(";"):
            words, _, target = part.partition(">")
            done = softlab(*shlex.split(words)[1:])
            assert done.exit_code == 0, f"{part}: {done.output}"
            if target:
                (workplace / target.strip()).write_text(done.output)
    assert sorted(p.name for p in (workplace / "nifti").glob("*.nii.gz"))


def test_the_python_lines(softlab, workplace) -> None:
    softlab("svls", "--in", "labels", "--out", "soft.zarr")
    code = next(block for language, block in BLOCKS if language == "python")
    names: dict[str, object] = {}
    exec(code, names)
    patch = names["patch"]
    assert isinstance(patch, np.ndarray)
    assert patch.shape == (4, 64, 64, 64)
    assert (patch[0, :8] == 1).all()  # outside of the volume is background


def test_the_two_commands_exist() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    assert "make test" in (Path(__file__).parents[1] / ".ci" / "run").read_text()
    assert os.access(Path(__file__).parents[1] / ".ci" / "run", os.X_OK)


def test_every_method_has_its_row() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)) == sorted(METHODS)
