"""Runs: resume, changed files and parameters, parts, workers, dry runs, logs, configurations."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.methods.svls.svls import SVLS
from tests.conftest import blobs, write_image


def tree(store: Path) -> dict[str, bytes]:
    """Every file of a store's arrays, by path."""
    return {
        str(p.relative_to(store)): p.read_bytes()
        for p in sorted(store.rglob("*"))
        if p.is_file() and p.name != "zarr.json"
    }


def test_the_sentence(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--out", out)
    assert done.exit_code == 0, done.output
    assert "done         3" in done.output
    store = softlab_cli.open_store(out)
    assert list(store) == ["case0", "case1", "case2"]
    case = store["case1"]
    assert case.shape == (20, 24, 29)
    assert case.spacing_mm == (2.0, 1.0, 1.0)
    expected = softlab_cli.svls(blobs((20, 24, 29), 4, seed=1))
    np.testing.assert_array_equal(case.read(), expected)


def test_complete_cases_are_skipped(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    again = softlab("svls", "--in", labels, "--out", out)
    assert again.exit_code == 0
    assert "skipped      3" in again.output
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_a_new_case_is_added(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    write_image(labels / "case9.nii.gz", blobs((8, 8, 8), 3))
    again = softlab("svls", "--in", labels, "--out", out)
    assert "done         1" in again.output
    assert "again" not in again.output
    assert "skipped      3" in again.output
    assert "case9" in softlab_cli.open_store(out)


def test_changed_files_are_computed_again_and_said(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    changed = blobs((20, 24, 28), 4, seed=77)
    write_image(labels / "case0.nii.gz", changed, (2, 1, 1))
    again = softlab("svls", "--in", labels, "--out", out, "-v")
    assert "done: case0 (its files have changed)" in again.stderr
    assert "1 done again, since files have changed" in again.output
    assert "skipped      2" in again.output
    kept = softlab_cli.open_store(out)["case0"].read_label()
    np.testing.assert_array_equal(kept, changed)


def test_a_touched_file_is_not_a_changed_one(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    os.utime(labels / "case0.nii.gz", (time.time() + 9, time.time() + 9))
    assert "skipped      3" in softlab("svls", "--in", labels, "--out", out).output


def test_changed_parameters_are_refused_and_replaced_on_demand(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    refused = softlab("svls", "--in", labels, "--out", out, "--sigma-voxels", 2)
    assert refused.exit_code == 1
    assert "sigma" in refused.stderr
    assert "--overwrite" in refused.stderr
    replaced = softlab("svls", "--in", labels, "--out", out, "--sigma-voxels", 2, "--overwrite")
    assert replaced.exit_code == 0
    assert "done         3" in replaced.output
    case = softlab_cli.open_store(out)["case0"]
    expected = softlab_cli.svls(blobs((20, 24, 28), 4, seed=0), sigma_voxels=2)
    np.testing.assert_array_equal(case.read(), expected)


def test_another_ignore_label_is_another_parameter(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out)
    refused = softlab("svls", "--in", labels, "--out", out, "--ignore-label", 3)
    assert refused.exit_code == 1
    assert "ignore" in refused.stderr


@pytest.mark.parametrize(
    "options", [("--workers", "2"), ("--threads", "3"), ("--workers", "2", "--threads", "2")]
)
def test_workers_and_threads_change_no_byte(softlab, labels, tmp_path, options) -> None:
    one, other = tmp_path / "one.zarr", tmp_path / "other.zarr"
    softlab("svls", "--in", labels, "--out", one, "--workers", 1, "--threads", 1)
    done = softlab("svls", "--in", labels, "--out", other, *options)
    assert done.exit_code == 0, done.output
    assert tree(one) == tree(other)


def test_parts_make_the_whole(softlab, labels, tmp_path) -> None:
    whole, parts = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    softlab("svls", "--in", labels, "--out", whole)
    for i in (1, 2):
        done = softlab("svls", "--in", labels, "--out", parts, "--part", f"{i}/2")
        assert done.exit_code == 0, done.output
    assert tree(whole) == tree(parts)


def test_a_slurm_array_is_a_part(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    env = {
        "SLURM_ARRAY_TASK_ID": "5",
        "SLURM_ARRAY_TASK_MIN": "4",
        "SLURM_ARRAY_TASK_COUNT": "3",
    }
    softlab("svls", "--in", labels, "--out", out, env=env)
    assert list(softlab_cli.open_store(out)) == ["case1"]


def test_dry_run_writes_nothing(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    planned = softlab("svls", "--in", labels, "--out", out, "--dry-run")
    assert planned.exit_code == 0
    assert "to do     case1  20x24x29" in planned.output
    assert "3 to do, 0 complete, 0 failed" in planned.output
    assert "4 classes: background, label_1, label_2, label_3" in planned.output
    assert not out.exists()
    softlab("svls", "--in", labels, "--out", out)
    whole = softlab("svls", "--in", labels, "--out", out, "--dry-run")
    assert whole.output.splitlines()[-1] == "0 to do, 3 complete, 0 failed"


def test_labels_only_computes_the_same_bits(softlab, labels, tmp_path) -> None:
    stored, recipe = tmp_path / "stored.zarr", tmp_path / "recipe.zarr"
    softlab("svls", "--in", labels, "--out", stored)
    softlab("svls", "--in", labels, "--out", recipe, "--labels-only")
    assert not list(recipe.rglob("soft"))
    a, b = softlab_cli.open_store(stored), softlab_cli.open_store(recipe)
    region = (slice(-3, 15), slice(4, 30), slice(2, 9))
    for name in a:
        np.testing.assert_array_equal(a[name].read(), b[name].read())
        np.testing.assert_array_equal(a[name].read(region), b[name].read(region))


def test_log_json_has_a_line_for_each_event(softlab, labels, tmp_path) -> None:
    log = tmp_path / "log.json"
    softlab("svls", "--in", labels, "--out", tmp_path / "s.zarr", "--log-json", log)
    events = [json.loads(line) for line in log.read_text().splitlines()]
    finished = [e for e in events if e["event"] == "CaseFinished"]
    assert sorted(e["case_id"] for e in finished) == ["case0", "case1", "case2"]
    assert all(e["status"] == "done" and e["stored_bytes"] > 0 for e in finished)
    assert events[-1]["event"] == "RunFinished"
    assert events[-1]["done"] == 3


def test_a_configuration_makes_the_same_store(softlab, labels, tmp_path) -> None:
    first, config = tmp_path / "first.zarr", tmp_path / "config.toml"
    softlab("svls", "--in", labels, "--out", first, "--sigma-mm", "1.5,1,1", "--labels", "0-3")
    printed = softlab("info", first, "--config").output
    assert 'command = "svls"' in printed
    config.write_text(printed.replace("first.zarr", "second.zarr"))
    done = softlab("run", config)
    assert done.exit_code == 0, done.output
    assert tree(first) == tree(tmp_path / "second.zarr")


def test_options_after_a_configuration_win(softlab, labels, tmp_path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(f'command = "ls"\nin = ["{labels}"]\nout = "{tmp_path}/a.zarr"\n')
    done = softlab("run", config, "--", "--out", tmp_path / "b.zarr", "--smoothing", "0.2")
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(tmp_path / "b.zarr").info.parameters["smoothing"] == 0.2
    assert not (tmp_path / "a.zarr").exists()


def test_the_library_does_what_the_command_does(softlab, labels, tmp_path) -> None:
    softlab("svls", "--in", labels, "--out", tmp_path / "cli.zarr")
    report = softlab_cli.run(SVLS(), labels, tmp_path / "api.zarr")
    assert (report.done, report.failed) == (3, 0)
    assert tree(tmp_path / "cli.zarr") == tree(tmp_path / "api.zarr")


def test_sparse_label_values(softlab, tmp_path) -> None:
    array = blobs((12, 14, 16), 3).astype(np.uint16)
    values = np.array([0, 14175, 65535], np.uint16)[array]
    write_image(tmp_path / "in" / "a.nii.gz", values)
    out = tmp_path / "soft.zarr"
    softlab("onehot", "--in", tmp_path / "in", "--out", out)
    store = softlab_cli.open_store(out)
    assert store.classes.values == (0, 14175, 65535)
    np.testing.assert_array_equal(store["a"].read().argmax(axis=0), array)


def test_ignored_voxels_are_zero(softlab, tmp_path) -> None:
    array = blobs((12, 14, 16), 3)
    array[4:6] = 255
    write_image(tmp_path / "in" / "a.nii.gz", array)
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", tmp_path / "in", "--out", out, "--ignore-label", 255)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["a"]
    total = case.read().astype(np.float64).sum(axis=0)
    assert (total[4:6] == 0).all()
    np.testing.assert_allclose(np.delete(total, [4, 5], axis=0), 1, atol=2**-10)
    assert (case.read_label()[4:6] == case.classes.ignore_index).all()


def test_class_names_reach_the_store(softlab, labels, tmp_path) -> None:
    names = tmp_path / "dataset.json"
    names.write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2, "c": 3, "d": 4}}))
    out = tmp_path / "soft.zarr"
    softlab("svls", "--in", labels, "--out", out, "--classes-from", names)
    assert softlab_cli.open_store(out).classes.names == ("background", "a", "b", "c", "d")


@pytest.mark.parametrize("suffix", [".png", ".tif", ".nii.gz"])
def test_pictures(softlab, tmp_path, suffix) -> None:
    array = blobs((70, 90), 3)
    write_image(tmp_path / "in" / f"p{suffix}", array)
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", tmp_path / "in", "--out", out)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["p"]
    assert case.shape == (70, 90)
    np.testing.assert_array_equal(case.read(), softlab_cli.svls(array))


@pytest.mark.parametrize("option", ["--sync", "--no-sync"])
def test_sync_reaches_the_disk(softlab, tmp_path, labels, monkeypatch, option) -> None:
    calls = []
    monkeypatch.setattr("os.fsync", calls.append)
    done = softlab("svls", "--in", labels, "--out", tmp_path / "s", "--workers", "1", option)
    assert done.exit_code == 0, done.output
    assert bool(calls) is (option == "--sync")
    assert "sync =" not in softlab("info", tmp_path / "s", "--config").output
