"""The promise about memory, for what is read from DICOM."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import blobs
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices

CODE = """
import json, resource, sys
from pathlib import Path
from softlab_cli.methods.imported import Import
from softlab_cli.methods import OneHot
from softlab_cli.running.plan import Request, make_plan
from softlab_cli.running.runner import execute

name, folder, out = sys.argv[1:]
request = Request([Path(folder)], Path(out), threads=2, workers=1)
method = Import(supersample=4) if name == "import" else OneHot()
plan = make_plan(method, request, lambda event: None)
report = execute(plan)
assert report.failed == 0, report
# DICOM is decoded in a worker, which has ended; no smaller than this process when it began.
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
print(json.dumps({"projected": plan.crew.bytes_per_worker, "peak": peak}))
"""

SHAPE = (112, 256, 256)


def make(folder: Path, kind: str) -> None:
    sources = make_slices(np.zeros(SHAPE, np.int16), spacing_mm=(1, 1, 1), origin=(0, 0, 0))
    save_slices(folder / "ct", sources)
    names = {n: f"s{n}" for n in range(1, 9)}
    labels = blobs(SHAPE, 9)
    if kind == "contours":
        turn = np.linspace(0, 2 * np.pi, 2000, endpoint=False)
        circle = np.column_stack([128 + 90 * np.cos(turn), 128 + 90 * np.sin(turn)])
        drawn = [np.column_stack([circle, np.full(2000, z)]) for z in range(SHAPE[0])]
        make_rtstruct(folder / "rs.dcm", sources, {"skin": drawn})
    elif kind == "BINARY":
        pixels = np.stack([labels == n for n in names], axis=-1).astype(np.uint8)
        make_seg(folder / "seg.dcm", sources, pixels, kind, names)
    else:
        pixels = np.stack([labels == n for n in (1, 2, 3)], axis=-1).astype(np.float32) / 2
        some = {n: names[n] for n in (1, 2, 3)}
        make_seg(folder / "seg.dcm", sources, pixels, kind, some, max_fractional_value=2)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux's process status")
@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("onehot", "BINARY"),
        ("import", "FRACTIONAL"),
        ("import", "contours"),
    ],
)
def test_peak_stays_below_the_projection(tmp_path, method, kind) -> None:
    make(tmp_path / "in" / "p1", kind)
    done = subprocess.run(
        [sys.executable, "-c", CODE, method, str(tmp_path / "in"), str(tmp_path / "out.zarr")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    measured = json.loads(done.stdout)
    assert measured["peak"] <= measured["projected"], measured
    # A promise of everything would be kept by chance: it must also say something.
    assert measured["projected"] < 4 * measured["peak"], measured
