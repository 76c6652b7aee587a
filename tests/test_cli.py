"""What the commands print: help, tables, JSON, exports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import softlab_cli
from softlab_cli.cli.main import SECTIONS

COMMANDS = [name for section in SECTIONS.values() for name in section]


def test_help_names_every_command(softlab) -> None:
    shown = softlab("--help")
    assert shown.exit_code == 0
    for name in COMMANDS:
        assert re.search(rf"^  {name} ", shown.output, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(softlab, name) -> None:
    shown = softlab(name, "--help")
    assert shown.exit_code == 0
    assert f" {name} [OPTIONS] " in shown.output.splitlines()[0] + " "
    options = re.findall(r"^  (?:-\w, )?(--[\w/-]+)", shown.output, re.MULTILINE)
    assert options
    assert len(options) == len(set(options))
    assert "\\b" not in shown.output


def test_the_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "softlab_cli", "--version"], capture_output=True, text=True
    )
    assert done.stdout.strip() == f"softlab, version {softlab_cli.__version__}"


@pytest.fixture
def store(softlab, labels, tmp_path) -> Path:
    out = tmp_path / "soft.zarr"
    assert softlab("svls", "--in", labels, "--out", out).exit_code == 0
    return out


def test_info_is_a_table(softlab, store) -> None:
    shown = softlab("info", store).output
    assert "method    svls" in shown
    assert "classes   4: background, label_1, label_2, label_3" in shown
    assert re.search(r"case1 +20x24x29 +2 1 1 +4 +\d+\.\d\d +0\.\d{4} ", shown)


def test_info_of_a_case(softlab, store, labels) -> None:
    shown = softlab("info", store, "case1").output
    assert "shape 20x24x29, spacing 2 x 1 x 1 mm" in shown
    assert str(labels / "case1.nii.gz") in shown
    statistics = softlab_cli.open_store(store)["case1"].statistics
    assert re.search(rf"2 +label_2 +{statistics.hard_voxels[2]} ", shown)


def test_info_as_json(softlab, store) -> None:
    facts = json.loads(softlab("info", store, "--json").output)
    assert facts["method"] == "svls"
    assert sorted(facts["cases"]) == ["case0", "case1", "case2"]
    one = json.loads(softlab("info", store, "case1", "--json").output)
    assert one["shape"] == [20, 24, 29]


def test_verify_finds_a_changed_source(softlab, store, labels) -> None:
    assert softlab("verify", store).exit_code == 0
    content = (labels / "case1.nii.gz").read_bytes()
    (labels / "case1.nii.gz").write_bytes(content + b"x")
    found = softlab("verify", store)
    assert found.exit_code == 1
    assert "case1" in found.output
    assert softlab("verify", store, "--no-sources").exit_code == 0
    assert softlab("verify", store, "case0").exit_code == 0


def test_verify_finds_a_flipped_byte(softlab, store) -> None:
    shard = next(p for p in (store / "case2" / "soft").rglob("*") if p.is_file() and p.name == "0")
    content = bytearray(shard.read_bytes())
    content[len(content) // 3] ^= 0xFF
    shard.write_bytes(bytes(content))
    found = softlab("verify", store, "--json")
    assert found.exit_code == 1
    defects = json.loads(found.output)
    assert {d["case_id"] for d in defects if d["severity"] == "defect"} == {"case2"}


@pytest.mark.parametrize("per_class", [False, True])
def test_export_to_nifti(softlab, store, tmp_path, per_class) -> None:
    options = ["--per-class"] if per_class else []
    done = softlab("export", store, "case1", "--out", tmp_path / "nifti", *options)
    assert done.exit_code == 0, done.output
    files = sorted((tmp_path / "nifti").glob("*.nii.gz"))
    case = softlab_cli.open_store(store)["case1"]
    exported = np.stack([sitk.GetArrayFromImage(sitk.ReadImage(str(f))) for f in files])
    np.testing.assert_array_equal(exported.reshape(case.read().shape), case.read())
    assert sitk.ReadImage(str(files[0])).GetSpacing()[:3] == (1.0, 1.0, 2.0)


def test_export_to_npz(softlab, store, tmp_path) -> None:
    done = softlab("export", store, "--to", "npz", "--out", tmp_path / "npz")
    assert done.exit_code == 0, done.output
    again = softlab("export", store, "--to", "npz", "--out", tmp_path / "npz")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    again = softlab("export", store, "--to", "npz", "--out", tmp_path / "npz", "--overwrite")
    assert again.exit_code == 0
    case = softlab_cli.open_store(store)["case2"]
    with np.load(tmp_path / "npz" / "case2.npz") as content:
        np.testing.assert_array_equal(content["soft"], case.read())
        np.testing.assert_array_equal(content["affine"], case.affine)


def test_one_is_not_counted_as_several(softlab, labels, tmp_path) -> None:
    store, out = tmp_path / "soft.zarr", tmp_path / "exported"
    softlab("onehot", "--in", labels, "--out", store)
    assert softlab("export", store, "case0", "--out", out).output.endswith(": 1 case\n")
    assert softlab("export", store, "--overwrite", "--out", out).output.endswith(": 3 cases\n")
