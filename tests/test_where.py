"""What says where the time goes: it finds the module that is at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any, cast

from softlab_cli.core import blocks
from tests.benchmarks.where import INSIDE, OTHER, START, place_of
from tests.conftest import blobs, write_image


def frames(*names: str) -> FrameType | None:
    """A stack of code in these files, the innermost last."""
    frame: Any = None
    for name in names:
        code = type("Code", (), {"co_filename": name})
        frame = type("Frame", (), {"f_code": code, "f_back": frame})
    return cast("FrameType | None", frame)


def test_time_counts_to_the_innermost_module() -> None:
    store, kernel = f"{INSIDE}store/codec.py", "/lib/site-packages/numpy/core.py"
    assert place_of(frames("main.py", f"{INSIDE}cli/main.py", store, kernel)) == "store/codec"
    assert place_of(frames("main.py", store, "<frozen importlib._bootstrap>", kernel)) == START
    assert place_of(frames("main.py", kernel)) == OTHER
    assert place_of(None) == OTHER
    assert Path(blocks.__file__).is_relative_to(INSIDE)


def test_a_command_is_watched(tmp_path: Path) -> None:
    write_image(tmp_path / "labels" / "a.nii.gz", blobs((8, 16, 16), 2))
    command = ["svls", "--in", tmp_path / "labels", "--out", tmp_path / "o.zarr", "--workers", 1]
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.where", "--", *map(str, command)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "| start (imports, loading of kernels) |" in done.stdout
    rooms = done.stdout.split("| module |")[0]
    rows = [line.split("|") for line in rooms.splitlines() if line.startswith("| ")][2:]
    assert abs(sum(float(row[2]) for row in rows) - 100) < 1
    failed = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.where", "--", "svls", "--in", "nowhere"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert failed.returncode == 1
