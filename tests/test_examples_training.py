"""The training examples run, and their loss falls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.usefixtures("real")
@pytest.mark.parametrize("name", ["pytorch", "monai", "torchio"])
def test_the_loss_falls(name: str, tmp_path: Path) -> None:
    script = EXAMPLES / f"{name}_training.py"
    command = [sys.executable, script, "--steps", "16", "--out", tmp_path / "soft.zarr"]
    environment = {**os.environ, "PYTHONPATH": str(EXAMPLES.parent)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    found = re.fullmatch(r"16 steps: first loss ([0-9.]+), last loss ([0-9.]+)\n", done.stdout)
    assert found, done.stdout
    assert float(found[2]) < 0.9 * float(found[1])
