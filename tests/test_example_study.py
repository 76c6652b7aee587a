"""The study: a small share of it, from label maps to the document's tables."""

from __future__ import annotations

import csv
import importlib
import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from softlab_cli.cli.main import cli

STUDY = Path(__file__).parents[1] / "examples" / "study"
MODULES = (
    "arms", "data", "figures", "labels", "learned", "network", "pictures", "run", "tables", "train",
)  # fmt: skip
SIDE = 20
CASES = {"train": 16, "validation": 3, "test": 4}
MARKS = ("learned", "labels", "lidc-ce", "lidc-combined", "hippocampus-6", "hippocampus-40")


@pytest.fixture(scope="module")
def study():
    """The study's modules, by name; gone from the interpreter afterwards."""
    sys.path.insert(0, str(STUDY))
    threads = torch.get_num_threads()
    try:
        yield {name: importlib.import_module(name) for name in MODULES}
    finally:
        torch.set_num_threads(threads)
        sys.path.remove(str(STUDY))
        for name in MODULES:
            sys.modules.pop(name, None)


def command(words: list[str]) -> None:
    """Give softlab a command, in this process."""
    with pytest.raises(SystemExit) as end:
        cli(words)
    assert not end.value.code


def discs(rng: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """A noisy bright disc, and four raters who draw it larger or smaller."""
    centre = rng.uniform(8, 12, size=2)
    distance = np.hypot(*(np.indices((SIDE, SIDE)) - centre[:, None, None]))
    image = 200 * (distance < 5) + rng.normal(0, 20, (SIDE, SIDE))
    return np.clip(image, 0, 255).astype(np.uint8), [distance < 5 + k / 2 for k in (-1, 0, 1, 2)]


@pytest.fixture(scope="module")
def out(tmp_path_factory, study) -> Path:
    """A folder in which the data lie as the study makes them of its files."""
    folder = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for part, count in CASES.items():
        for number in range(count):
            image, raters = discs(rng)
            for name, values in [
                ("images", image),
                *((f"r{k}", r) for k, r in enumerate(raters, 1)),
            ]:
                path = folder / "lidc" / part / name / f"{part}{number}.nii.gz"
                study["data"].write_picture(values.astype(np.uint8), 0.7, path)
    return folder


@pytest.fixture(scope="module")
def ran(out, study) -> dict[str, list[str]]:
    """Arguments of a run to the commands of softlab that it gave."""
    given: dict[str, list[str]] = {}
    patch = pytest.MonkeyPatch()

    def softlab(*words: object) -> None:
        given[arms].append(shlex.join(map(str, words)))
        command([str(word) for word in words])

    patch.setattr(study["run"], "softlab", softlab)
    # Calibration has tests of its own.
    settings = {n: replace(s, calibrated=()) for n, s in study["arms"].SETTINGS.items()}
    patch.setattr(study["run"], "SETTINGS", settings)
    evaluate = study["run"].evaluate
    for arms in ("majority", "majority,msvls"):
        given[arms] = []
        words = ["--data", out, "--out", out, "--stages", "lidc-ce", "--seeds", "0"]
        words += ["--arms", arms, "--steps", 60]
        patch.setattr(sys, "argv", ["run.py", *map(str, words)])
        patch.setattr(study["run"], "evaluate", lambda *_: None)  # once will do, at the end
        if arms == "majority,msvls":
            patch.setattr(study["run"], "evaluate", evaluate)
            left = out / "runs" / "lidc-ce" / ".msvls-seed0-in-work" / "test"
            left.mkdir(parents=True)
            (left / "half.npz").write_bytes(b"")
            (out / "runs" / "lidc-ce" / "majority-seed0" / "seen").touch()
        study["run"].main()
    patch.undo()
    return given


def test_a_run_learns_and_what_is_whole_is_not_done_again(out, ran) -> None:
    runs = out / "runs" / "lidc-ce"
    assert sorted(path.name for path in runs.iterdir()) == ["majority-seed0", "msvls-seed0"]
    assert (runs / "majority-seed0" / "seen").exists()
    for run in runs.iterdir():
        losses = json.loads((run / "run.json").read_text())["losses"]
        assert len(losses) == 60
        assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
        assert len(list((run / "test").glob("*.npz"))) == CASES["test"]


def test_all_arms_see_the_same_patches_from_the_same_network(out, ran, study) -> None:
    train, setting = study["train"], study["arms"].SETTINGS["lidc-ce"]
    seen = []
    for arm, random_rater in (("majority", False), ("msvls", False), ("majority", False)):
        data = train.open_data(setting, out / "stores" / f"lidc-train-{arm}.zarr", 3, random_rater)
        images, targets = next(train.batches(data, 4, 3))
        network = train.make_network(setting, data, 3, "cpu")
        seen.append((images, targets, next(network.parameters()).detach()))
    (images, hard, weights), (same_images, soft, same_weights), (_, again, _) = seen
    assert torch.equal(images, same_images)
    assert torch.equal(weights, same_weights)
    assert torch.equal(hard, again)
    assert not torch.equal(hard, soft)


def test_the_tables_have_the_figures_of_the_evaluation(out, ran, study, tmp_path) -> None:
    document = tmp_path / "STUDY.md"
    marks = "".join(f"<!-- {name} -->\nold\n<!-- end of {name} -->\n" for name in MARKS)
    document.write_text(f"# Before\n{marks}After\n")
    patch = pytest.MonkeyPatch()
    patch.setattr(
        sys, "argv", ["tables.py", "--out", str(out), "--document", str(document), "--learned",
                      str(tmp_path / "none")]
    )  # fmt: skip
    study["tables"].main()
    patch.undo()
    text = document.read_text()
    assert text.startswith("# Before\n")
    assert text.endswith("After\n")
    assert text.count("old") == len(MARKS) - 1  # of stages that did not run
    assert (tmp_path / "study-lidc-ce.png").exists()
    summary = json.loads((out / "results" / "lidc-ce" / "seed0" / "summary.json").read_text())
    assert summary["runs"] == ["majority", "msvls"]
    (nll,) = (
        entry["value"] for entry in summary["pooled"]
        if (entry["run"], entry["class"], entry["region"], entry["metric"])
        == ("msvls", "all", "all", "nll")
    )  # fmt: skip
    (row,) = (line for line in text.splitlines() if line.startswith("| msvls | 1 | 0."))
    assert row.split(" | ")[3] == f"{nll:.4f}"
    assert "2 of 24 runs, of 60 steps" in text
    (after,) = (
        entry for entry in summary["pooled_differences"]
        if (entry["run"], entry["metric"]) == ("msvls", "nll_cross_fitted")
    )  # fmt: skip
    (row,) = (line for line in text.splitlines() if line.startswith("| msvls | 0 |"))
    assert row.split(" | ")[7].startswith(f"{after['value']:+.4f} [{after['low']:+.4f}, ")


def test_a_predicted_picture_lies_where_its_label_map_does(out, ran) -> None:
    label = sitk.ReadImage(str(out / "lidc" / "test" / "r1" / "test0.nii.gz"))
    segmentation = sitk.ReadImage(
        str(out / "runs" / "lidc-ce" / "msvls-seed0" / "test" / "test0.nii.gz")
    )
    assert segmentation.GetSpacing() == label.GetSpacing()
    drawn, found = (sitk.GetArrayFromImage(image) > 0 for image in (label, segmentation))
    assert 2 * (drawn & found).sum() / (drawn.sum() + found.sum()) > 0.7


def test_slices_become_label_maps_and_no_patient_is_in_two_parts(tmp_path, study) -> None:
    rng = np.random.default_rng(1)
    names = [f"P{p}_n0_s{s}" for p in range(6) for s in range(3)]
    content = {
        "case_id": np.array(names),
        "split": np.repeat(["train", "train", "val", "val", "test", "test"], 3),
        "image": rng.integers(0, 255, (18, 8, 8), np.uint8),
        "raters": rng.integers(0, 16, (18, 8, 8), np.uint8),
        "pixel_spacing_mm": np.where(np.arange(18) == 0, np.nan, 0.5),
    }
    np.savez(tmp_path / "slices.npz", **content)
    study["data"].unpack_lidc(tmp_path / "slices.npz", tmp_path / "lidc")
    found = {
        part: sorted(f.name for f in (tmp_path / "lidc" / part / "r2").iterdir())
        for part in CASES
    }  # fmt: skip
    assert found["train"] == [f"{name}.nii.gz" for name in names[1:6]]
    assert found["validation"] == ["P2_n0_s1.nii.gz", "P3_n0_s1.nii.gz"]
    assert found["test"] == ["P4_n0_s1.nii.gz", "P5_n0_s1.nii.gz"]
    third = sitk.ReadImage(str(tmp_path / "lidc" / "train" / "r3" / "P1_n0_s0.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(third), content["raters"][3] >> 2 & 1)
    assert third.GetSpacing() == (0.5, 0.5)
    with open(tmp_path / "lidc" / "patients.csv", newline="") as file:
        assert {row["case_id"]: row["patient"] for row in csv.DictReader(file)}["P5_n0_s1"] == "P5"


def test_another_file_of_a_known_name_is_refused(tmp_path, study) -> None:
    path = tmp_path / study["data"].LIDC
    with pytest.raises(SystemExit, match="is missing"):
        study["data"].checked(path)
    path.write_bytes(b"something else")
    with pytest.raises(SystemExit, match="another checksum"):
        study["data"].checked(path)


def test_labels_alone_find_nodules_of_four_radiologists_and_judge_them(tmp_path, study) -> None:
    if not study["labels"].DATABASE.exists():
        pytest.fail("the outlines are missing: run 'make data' (make test does so)")
    nodules = study["labels"].write_nodules(3, tmp_path)
    names = ["LIDC-IDRI-0001.nii.gz", "LIDC-IDRI-0003.nii.gz", "LIDC-IDRI-0004.nii.gz"]
    for rater in study["run"].raters_of(nodules):
        assert sorted(path.name for path in rater.iterdir()) == names
    out = tmp_path / "results" / "labels"
    inputs = [word for k in range(1, 5) for word in ("--in", str(nodules / f"r{k}"))]
    command(["tune", *inputs, "--methods", "mean,msvls", "--out", str(out), "--workers", "1"])
    text = study["tables"].labels_text(out / "summary.md")
    assert "### Soft labels of all raters but one" in text
    assert "--in r1/ --in r2/" in text
    assert str(tmp_path) not in text


def test_learned_labels_are_told_by_seed_and_over_seeds(tmp_path, study) -> None:
    arms = {"svls-k7": 0.25, "crossfit": 0.2}
    for seed in (0, 1):
        folder = tmp_path / f"seed{seed}"
        (folder / "evaluation").mkdir(parents=True)
        key = {"class": "all", "region": "union"}
        summary = {
            "cases": ["a", "b"], "patients": 2, "runs": list(arms),
            "means": [
                {"run": arm, "metric": metric, "value": value + seed * (arm == "crossfit"), **key}
                for arm, value in arms.items() for metric in ("nll", "brier")
            ],
            "differences": [
                {"run": "crossfit", "metric": metric, "value": -0.05, "low": -0.1, "high": 0.01,
                 **key}
                for metric in ("nll", "brier")
            ],
        }  # fmt: skip
        (folder / "evaluation" / "summary.json").write_text(json.dumps(summary))
        rows = "".join(f"{arm},0.{seed + 8},0.7\n" for arm in arms)
        (folder / "disagreement.csv").write_text(f"arm,auroc,strat\n{rows}")
    (tmp_path / "seed2").mkdir()  # not done yet
    text = study["learned"].learned_text(study["learned"].found_in(tmp_path))
    assert "2 slices of 2 patients; 2 seeds" in text
    assert "| svls-k7 | 0.2500 | 0.2500 | 0.8500 (0.8000 to 0.9000) | 0.7000 |" in text
    assert "| crossfit | 0.7000 (0.2000 to 1.2000) |" in text
    assert "| crossfit | 1 | -0.0500 [-0.1000, +0.0100] | -0.0500 [-0.1000, +0.0100] |" in text
    assert "| svls-k7 | 0 |" not in text
