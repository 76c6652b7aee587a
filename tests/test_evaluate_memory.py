"""The memory that an evaluation promises, against the real peak of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from softlab_cli.core.memory import PROCESS_BYTES
from tests.conftest import blobs
from tests.soft_support import save

CODE = """
import json, re, sys
from pathlib import Path
from softlab_cli.evaluation.plan import plan_evaluation
from softlab_cli.evaluation.request import EvaluationRequest, runs_of
from softlab_cli.evaluation.run import execute_evaluation
from softlab_cli.evaluation.settings import Settings, parse_regions
from softlab_cli.running.request import Request

predictions, references, regions, out = json.loads(sys.argv[1])
run = Request([Path(r) for r in references], Path(out), workers=1, threads=1)
settings = Settings(regions=parse_regions(regions), temperatures=False)
plan = plan_evaluation(EvaluationRequest(runs_of(predictions), run, settings), lambda event: None)
report, _ = execute_evaluation(plan)
assert report.failed == 0, report
status = Path("/proc/self/status").read_text()
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1]) * 1024
print(json.dumps({"projected": plan.crew.bytes_per_worker, "peak": peak}))
"""

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="needs Linux's process status"
)


def promise(*arguments: object) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", CODE, json.dumps(arguments, default=str)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    measured: dict[str, int] = json.loads(done.stdout)
    assert measured["peak"] <= measured["projected"], measured
    # A promise of everything would be kept by chance: it must also say something.
    assert measured["projected"] < 4 * measured["peak"], measured
    return measured


@pytest.fixture(scope="module")
def stores(softlab_run, tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("memory")
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 117, (8, 8, 8)).astype(np.uint8).repeat(8, 0).repeat(8, 1)
    save(root / "many" / "c.nii.gz", noise.repeat(8, 2))
    few = blobs((80, 80, 80), 5)
    for rater in range(3):
        save(root / f"r{rater}" / "c.nii.gz", np.roll(few, rater, axis=rater))
    for name in ("many", "r0"):
        softlab_run("svls", "--in", root / name, "--out", root / f"{name}.zarr")
    rest = np.full((3, 64, 64, 64), 0.25, np.float32)
    rest[0] = 0.5
    for name in ("f1", "f2"):
        save(root / name / "c.nii.gz", rest)
    save(root / "two" / "c.nii.gz", blobs((64, 64, 64), 3))
    return root


@pytest.fixture(scope="module")
def softlab_run():
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    def run(*arguments: object) -> None:
        found = CliRunner().invoke(cli, [str(a) for a in arguments])
        assert found.exit_code == 0, found.output

    return run


@pytest.mark.parametrize(
    ("predictions", "references", "regions"),
    [
        (["many.zarr"], ["many"], ["union"]),
        (["r0.zarr"], ["r0", "r1", "r2"], ["union", "band"]),
        (["f1", "f2"], ["two"], []),
        (["r0.zarr"], ["r0.zarr"], []),
    ],
    ids=["many classes", "raters and regions", "floats averaged", "soft reference"],
)
def test_peak_stays_below_the_projection(stores, tmp_path, predictions, references, regions):
    measured = promise(
        [str(stores / p) for p in predictions], [stores / r for r in references], regions,
        tmp_path / "o",
    )  # fmt: skip
    assert measured["projected"] > PROCESS_BYTES
