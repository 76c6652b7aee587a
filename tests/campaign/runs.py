"""Runs of the command line in a process of their own, and what they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.conftest import blobs, write_image
from tests.processes import in_session

__all__ = [
    "METHODS", "begin", "command", "content", "differences", "end_of", "left_of", "make_inputs",
    "partials", "softlab",
]  # fmt: skip

CASES = 4
PATIENCE_SECONDS = 120.0

METHODS = {
    "svls": ["svls", "--in", "labels"],
    "labels-only": ["svls", "--in", "labels", "--labels-only", "--labels", "0-3"],
    "mha": ["svls", "--in", "mha"],
    "geols": ["geols", "--in", "labels", "--images", "images", "--engine", "numba"],
    "msvls": ["msvls", "--in", "labels", "--in", "others", "--keep-raters"],
    "fuse": ["fuse", "--method", "staple", "--in", "labels", "--in", "others"],
    "import": [
        "import", "--in", "labels", "--images", "shifted", "--resample-labels", "linear",
        "--labels", "0-3",
    ],
}  # fmt: skip
"""The commands that are disturbed, without ``--out``."""


def make_inputs(folder: Path) -> None:
    """Label maps of two raters, images on their grid and on another, and other formats."""
    for number in range(CASES):
        labels = blobs((36, 44 + number, 52), 4, seed=number)
        noise = np.random.default_rng(number).normal(0, 0.3, labels.shape)
        name = f"case{number}"
        write_image(folder / "labels" / f"{name}.nii.gz", labels)
        write_image(folder / "mha" / f"{name}.mha", labels)
        write_image(folder / "others" / f"{name}.nii.gz", np.roll(labels, 1, 2))
        image = (labels + noise).astype(np.float32)
        write_image(folder / "images" / f"{name}.nii.gz", image)
        write_image(folder / "shifted" / f"{name}.nii.gz", image[::2], (2, 1, 1))


def command(method: str, out: str, *options: str) -> list[str]:
    """A command line that makes soft labels."""
    return [*METHODS[method], "--out", out, *options]


def begin(folder: Path, arguments: Sequence[str], **more: str) -> subprocess.Popen[str]:
    """Begin a command, in a session of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "softlab_cli", *arguments], cwd=folder, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), **more},
    )  # fmt: skip


def end_of(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit status and all that was printed.

    Raises
    ------
    subprocess.TimeoutExpired
        When the command hangs.
    """
    output, errors = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, output + errors


def softlab(folder: Path, arguments: Sequence[str], **more: str) -> tuple[int, str]:
    """Run a command to its end."""
    return end_of(begin(folder, arguments, **more))


def left_of(process: subprocess.Popen[str], seconds: float = 5.0) -> list[int]:
    """Processes of a command that live on."""
    until = time.monotonic() + seconds
    while (left := in_session(process.pid)) and time.monotonic() < until:
        time.sleep(0.05)
    return left


def partials(store: Path) -> list[str]:
    """What is unfinished in a store."""
    return sorted(path.name for path in store.glob("*.partial-*"))


def content(store: Path) -> dict[str, bytes]:
    """Every file of a store; of its root all but where and how it was made."""
    found = {
        str(path.relative_to(store)): path.read_bytes()
        for path in store.rglob("*")
        if path.is_file()
    }
    root = json.loads(found["zarr.json"])
    facts = root["attributes"]["softlab"]
    for name in ("config", "software", "seal"):  # the seal is a checksum of the others
        facts.pop(name, None)
    found["zarr.json"] = json.dumps(root).encode()
    return found


def differences(one: dict[str, bytes], other: dict[str, bytes]) -> str:
    """Names of files that differ, as many as say what is wrong."""
    names = sorted(n for n in one.keys() | other.keys() if one.get(n) != other.get(n))
    return ", ".join(names[:5]) + (f", ... ({len(names)})" if len(names) > 5 else "")
