"""The promise about memory, held against the real peak of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.methods import GeoLS
from softlab_cli.running.plan import Request, make_plan
from tests.conftest import blobs, write_image

CODE = """
import json, re, sys
from pathlib import Path
from softlab_cli.methods import method_class
from softlab_cli.running.plan import Request, make_plan
from softlab_cli.running.runner import execute

name, folder, out, threads, options = sys.argv[1:]
inputs = sorted(Path(folder).glob("r*"))
request = Request(inputs, Path(out), threads=int(threads), workers=1, **json.loads(options))
plan = make_plan(method_class(name)(), request, lambda event: None)
report = execute(plan)
assert report.failed == 0, report
# Not getrusage: what it tells of a child includes the parent's peak.
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
print(json.dumps({"projected": plan.crew.bytes_per_worker, "peak": peak}))
"""


def labels_of(kind: str) -> np.ndarray:
    if kind == "few classes":
        return blobs((256, 256, 256), 5)
    if kind == "noise of many classes":
        return np.random.default_rng(0).integers(0, 200, (96, 96, 96)).astype(np.uint16)
    return blobs((160, 192, 192), 9).astype(np.float64)


def check_promise(tmp_path: Path, method: str, threads: int, **options: Any) -> None:
    given = json.dumps(options, default=str)
    arguments = [method, tmp_path / "in", tmp_path / "out.zarr", threads, given]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["peak"] <= options.get("max_memory", measured["projected"]), measured
    # A promise of everything would be kept by chance: it must also say something.
    assert measured["projected"] < 4 * measured["peak"], measured


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's process status"
)


@pytest.mark.parametrize("kind", ["few classes", "noise of many classes", "coded as float64"])
@pytest.mark.parametrize(("method", "threads"), [("svls", 1), ("svls", 4), ("ls", 2)])
def test_peak_stays_below_the_projection(tmp_path, kind, method, threads) -> None:
    write_image(tmp_path / "in" / "r1" / "a.nii.gz", labels_of(kind))
    check_promise(tmp_path, method, threads)


@pytest.mark.parametrize("kind", ["few classes", "noise of many classes"])
@pytest.mark.parametrize(("method", "threads"), [("msvls", 1), ("msvls", 3), ("fuse", 2)])
def test_so_it_does_with_many_raters(tmp_path, kind, method, threads) -> None:
    truth = labels_of(kind) % 12  # the number of different opinions must stay possible
    for rater in range(3):
        shifted = np.roll(truth, rater, axis=rater % 3)
        write_image(tmp_path / "in" / f"r{rater}" / "a.nii.gz", shifted)
    check_promise(tmp_path, method, threads, keep_raters=threads > 1)


@pytest.mark.parametrize(("threads", "channels"), [(1, 1), (2, 2)])
@pytest.mark.parametrize("in_memory", [False, True])
def test_so_it_does_with_geodesic_maps(tmp_path, threads, channels, in_memory) -> None:
    label_map = blobs((96, 128, 128), 9)
    write_image(tmp_path / "in" / "r1" / "a.nii.gz", label_map)
    for channel in range(channels):
        noise = np.random.default_rng(channel).normal(0, 3, label_map.shape)
        image = (40 * label_map + noise).astype(np.float32)
        write_image(tmp_path / "images" / f"a_{channel:04d}.nii.gz", image)
    limit = projected(tmp_path, threads)
    if in_memory:
        limit += GeoLS().scratch_bytes(label_map.shape, 9)
    check_promise(tmp_path, "geols", threads, images=tmp_path / "images", max_memory=limit)


def projected(tmp_path: Path, threads: int) -> int:
    """What GeoLS says that it needs at least, with its maps on disk."""
    request = Request(
        [tmp_path / "in" / "r1"], tmp_path / "o", images=tmp_path / "images", threads=threads,
        workers=1,
    )  # fmt: skip
    return make_plan(GeoLS(), request, lambda event: None).crew.bytes_per_worker
