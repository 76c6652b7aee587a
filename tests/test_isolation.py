"""A reader that crashes or hangs costs one case: it is named, and the run goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import softlab_cli
from softlab_cli.methods.onehot import OneHot
from softlab_cli.report import inspection
from softlab_cli.running import plan, runner, scan
from softlab_cli.running.case import process_case
from softlab_cli.running.executors import call_apart
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.scan import scan_case
from tests.conftest import blobs, write_image

SPOILED = "case1"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three label maps that are read by a decoder in C++."""
    for number in range(3):
        write_image(tmp_path / "mha" / f"case{number}.mha", blobs((9, 20, 24), 3, seed=number))
    return tmp_path / "mha"


def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)
    time.sleep(60)


def crash_on_case(task):
    return crash() if task.case_id == SPOILED else process_case(task)


def crash_on_scan(task):
    return crash() if task.case.case_id == SPOILED else scan_case(task)


PROBE, INSPECT = plan._probe_case, inspection._inspect


def crash_on_probe(case, options):
    return crash() if case.case_id == SPOILED else PROBE(case, options)


def crash_on_inspect(path, images, most_files):
    return crash() if SPOILED in path.name else INSPECT(path, images, most_files)


STAGES = {
    "probe": (plan, "_probe_case", crash_on_probe),
    "scan": (scan, "scan_case", crash_on_scan),
    "soften": (runner, "process_case", crash_on_case),
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_costs_one_case(softlab, pictures, tmp_path, monkeypatch, stage, workers) -> None:
    monkeypatch.setattr(*STAGES[stage])
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", pictures, "--out", out, "--workers", workers)
    assert done.exit_code == 1, done.output
    assert list(softlab_cli.open_store(out)) == ["case0", "case2"]
    assert f"failed: {SPOILED}: " in done.stderr
    assert "crashed (segmentation fault)" in done.stderr
    assert "Traceback" not in done.output


def test_the_only_case(softlab, pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(*STAGES["soften"])
    path = pictures / f"{SPOILED}.mha"
    done = softlab("svls", "--in", path, "--out", tmp_path / "soft.zarr", "--labels", "0-2")
    assert done.exit_code == 1
    assert f"failed: {SPOILED}: its process crashed" in done.stderr


def test_what_a_crash_leaves_is_removed(softlab, pictures, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "process_case", write_half_and_die)
    out = tmp_path / "soft.zarr"
    assert softlab("svls", "--in", pictures, "--out", out, "--labels", "0-2").exit_code == 1
    assert not list(out.glob("*.partial-*"))


def write_half_and_die(task):
    if task.case_id != SPOILED:
        return process_case(task)
    from softlab_cli.store.files import partial_path

    partial_path(task.store, SPOILED).mkdir()
    return crash()


def leave_half_and_be_interrupted(stage, function, tasks, *more):
    from softlab_cli.store.files import partial_path

    begun = subprocess.Popen([sys.executable, "-c", "pass"])
    begun.wait()
    place = partial_path(tasks[0].store, SPOILED)
    place.with_name(place.name.replace(f"-{os.getpid()}-", f"-{begun.pid}-")).mkdir()
    raise KeyboardInterrupt


def test_what_busy_workers_leave_is_removed_when_a_run_is_interrupted(
    labels, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(runner, "run_cases", leave_half_and_be_interrupted)
    out = tmp_path / "soft.zarr"
    with pytest.raises(KeyboardInterrupt):
        softlab_cli.run(OneHot(), labels, out, labels="0-3")
    assert out.is_dir()
    assert not list(out.glob("*.partial-*"))


def wait_on_case(task):
    if task.case_id == SPOILED:
        time.sleep(600)
    return process_case(task)


def test_a_case_that_hangs(softlab, labels, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(runner, "process_case", wait_on_case)
    out = tmp_path / "soft.zarr"
    options = ["--labels", "0-3", "--case-timeout", "15"]
    done = softlab("svls", "--in", labels, "--out", out, *options)
    assert done.exit_code == 1
    assert list(softlab_cli.open_store(out)) == ["case0", "case2"]
    assert f"failed: {SPOILED}: was not done after 15 seconds (--case-timeout)" in done.stderr
    assert "case-timeout" not in softlab("info", out, "--config").output


def test_inspect_goes_on(softlab, pictures, monkeypatch) -> None:
    monkeypatch.setattr(inspection, "_inspect", crash_on_inspect)
    done = softlab("inspect", "--json", pictures, pictures / f"{SPOILED}.mha")
    folder, alone = json.loads(done.output)
    assert [part["kind"] for part in folder["parts"]] == ["label map", "unreadable", "label map"]
    assert "crashed" in folder["parts"][1]["problems"][0]
    assert alone["kind"] == "unreadable"
    assert done.exit_code == 1


def test_what_softlab_decodes_itself_needs_no_process(softlab, labels, tmp_path, monkeypatch):
    monkeypatch.setattr("softlab_cli.running.workers.Worker.__init__", None)
    out = tmp_path / "soft.zarr"
    assert softlab("svls", "--in", labels, "--out", out, "--workers", 1).exit_code == 0
    assert softlab("inspect", labels).exit_code == 0


def test_which_cases_may_crash() -> None:
    case = softlab_cli.cases.Case("a", (Path("a.NII.gz"),), (Path("a.nii"),))
    assert not may_crash(case)
    assert may_crash(softlab_cli.cases.Case("a", (Path("a.nii.gz"),), (Path("series"),)))
    assert may_crash(softlab_cli.cases.Case("a", (Path("a.seg.nrrd"),)))


def test_errors_come_back_from_a_call_apart(tmp_path) -> None:
    with pytest.raises(softlab_cli.core.errors.InputError, match="empty") as caught:
        call_apart(inspection.probe, write_empty(tmp_path))
    assert caught.value.path == tmp_path / "empty.mha"


def write_empty(folder: Path) -> Path:
    (folder / "empty.mha").touch()
    return folder / "empty.mha"
