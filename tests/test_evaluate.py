"""``softlab evaluate`` from end to end, on tiny cases, and `softlab_cli.evaluate` on arrays."""

from __future__ import annotations

import csv
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import GeometryError, InputError, UsageError
from softlab_cli.evaluation.calibrations import refuse_existing
from softlab_cli.evaluation.metrics.regions import band, dilated_union
from softlab_cli.evaluation.plan import plan_evaluation
from softlab_cli.evaluation.request import EvaluationRequest, runs_of
from softlab_cli.evaluation.results import FOLDER
from softlab_cli.evaluation.scene import _by_slabs, _slices
from softlab_cli.evaluation.settings import Settings, parse_regions
from softlab_cli.evaluation.statistics import Difference
from softlab_cli.evaluation.summary import _verdict
from softlab_cli.running.request import Request
from tests.conftest import blobs
from tests.seg_nrrd_support import segment_keys, write_seg_nrrd
from tests.soft_support import AFFINE, save, save_probabilities

SHAPE = (6, 8, 9)
CASES = ("c1", "c2", "c10")


def truth(place: int) -> np.ndarray:
    return blobs(SHAPE, 3, seed=place)


def second(place: int) -> np.ndarray:
    other = truth(place)
    other[:, :2] = 0
    return other


def sure(labels: np.ndarray, share: float = 0.75) -> np.ndarray:
    """(3, Z, Y, X) float16 with so much for the label and the rest evenly."""
    rest = (1 - share) / 2
    return np.stack([np.where(labels == c, share, rest) for c in range(3)]).astype(np.float16)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three cases: two raters, nnU-Net's probabilities, 4D NIfTI, label maps."""
    root = tmp_path_factory.mktemp("evaluate")
    for place, name in enumerate(CASES):
        save(root / "r1" / f"{name}.nii.gz", truth(place))
        save(root / "r2" / f"{name}.nii.gz", second(place))
        save_probabilities(root / "net", name, sure(truth(place)))
        save(root / "4d" / f"{name}.nii.gz", sure(second(place), 0.5).astype(np.float32))
        save(root / "hard" / f"{name}.nii.gz", truth(place))
    names = {"background": 0, "liver": 1, "tumour": 2}
    (root / "net" / "dataset.json").write_text(json.dumps({"labels": names}))
    return root


def rows_of(out: Path) -> dict[tuple[str, ...], float]:
    """The value of each row of cases.csv, by all that is before it."""
    with open(out / "cases.csv", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["run", "case", "rater", "class", "region", "metric", "value", "left_out"]
    return {tuple(row[:6]): float(row[6]) for row in rows[1:]}


def summary_of(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content


def done(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def toy() -> tuple[np.ndarray, np.ndarray]:
    """METHODS 9: labels (1, 4, 5) and their probabilities."""
    labels = np.repeat([0, 1, 2], [8, 7, 5]).reshape(1, 4, 5)
    v = np.arange(20.0).reshape(1, 4, 5)
    added = (0.1 * v, -0.05 * v, 0.3 * (v % 3))
    logits = np.stack([2.0 * (labels == c) + added[c] for c in range(3)])
    return labels, np.exp(logits) / np.exp(logits).sum(axis=0)


def test_the_numbers_of_the_toy_come_out_of_the_command_line(softlab, tmp_path) -> None:
    labels, probabilities = toy()
    save(tmp_path / "ref" / "toy.nii.gz", labels.astype(np.uint8))
    save(tmp_path / "pred" / "toy.nii.gz", probabilities.astype(np.float32))
    done(softlab("evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref", "--bins", 10,
                 "--regions", "foreground", "--parity", "svls",
                 "--out", tmp_path / "o"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    of = ("prediction", "toy", "ref")
    assert rows[(*of, "all", "all", "ece")] == pytest.approx(0.293664, abs=1e-6)
    assert rows[(*of, "all", "foreground", "ece")] == pytest.approx(0.372918, abs=1e-6)
    assert rows[(*of, "mean", "all", "tace")] == pytest.approx(0.189573, abs=1e-6)
    assert rows[(*of, "all", "all", "svls:tace")] == pytest.approx(0.0189573, abs=1e-7)
    text = (tmp_path / "o" / "summary.md").read_text()
    assert "Region foreground: reference > 0, as published: biased" in text
    assert "svls, known faults:" in text
    # The same names and numbers on arrays.
    found = softlab_cli.evaluate(probabilities, labels, bins=10, regions=["foreground"],
                                 parity=["svls"], spacing_mm=(3, 2.5, 2))  # fmt: skip
    names = {row[1:4] for row in found.rows}
    assert names == {key[3:] for key in rows}
    for row in found.rows:
        assert rows[(*of, *row[1:4])] == pytest.approx(row.value, abs=1e-6, nan_ok=True)


@pytest.fixture(scope="module")
def evaluated(data, tmp_path_factory) -> Path:
    """All kinds of predictions, against two raters."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    out = tmp_path_factory.mktemp("results") / "out"
    arguments = ["evaluate", "--pred", f"net={data / 'net'}", "--pred", f"flat={data / '4d'}",
                 "--pred", f"hard={data / 'hard'}", "--baseline", "net", "--ref", data / "r1",
                 "--ref", data / "r2", "--regions", "union=4mm,band=1vox", "--out", out,
                 "--parity", "curvas2024", "--parity", "curvas2025", "--parity", "qubiq",
                 "--parity", "monai"]  # fmt: skip
    done(CliRunner().invoke(cli, [str(a) for a in arguments]))
    return out


def test_runs_side_by_side_have_all_figures(evaluated) -> None:
    rows = rows_of(evaluated)
    for place, name in enumerate(CASES):
        assert rows["net", name, "r1", "liver", "all", "dice"] == 1
        said, meant = second(place) == 1, truth(place) == 1
        if not (said | meant).any():
            continue
        dice = 2 * (said & meant).sum() / (said.sum() + meant.sum())
        assert rows["hard", name, "r2", "liver", "all", "dice"] == pytest.approx(dice)
        assert rows["hard", name, "mean", "liver", "all", "dice"] == pytest.approx((1 + dice) / 2)
        # The human line is that of two label maps, whatever the run.
        line = rows["net", name, "r1", "liver", "all", "rater_dice_against_others"]
        assert line == pytest.approx(dice)
        # Of each vote the probability is .75, and r1 is always right.
        pooled = (1 + (truth(place) == second(place)).mean()) / 2
        gap = abs(rows["net", name, "pooled", "all", "all", "ece"])
        assert gap == pytest.approx(abs(pooled - 0.75), abs=1e-9)
    metrics = {key[5] for key in rows if key[0] == "hard"}
    assert "surface_dice_2mm" in metrics
    assert not metrics & {"ece", "nll", "thresholded_dice"}
    assert {"curvas2024:ece", "curvas2025:crps_mm3", "qubiq:thresholded_dice", "ged",
            "crps_empirical_mm3", "consensus_dice"} <= {key[5] for key in rows}  # fmt: skip


def test_the_summary_pools_and_compares(evaluated) -> None:
    content = summary_of(evaluated)
    assert content["cases"] == list(CASES)
    entry = next(e for e in content["pooled"] if e["run"] == "net" and e["metric"] == "ece"
                 and e["region"] == "all")  # fmt: skip
    right = np.mean([[1.0, (truth(p) == second(p)).mean()] for p in range(3)])
    assert entry["value"] == pytest.approx(right - 0.75, abs=1e-9)
    assert entry["low"] <= entry["value"] <= entry["high"]
    # Every pooled figure that there is has an interval around it, but sums of votes.
    for entry in (e for e in content["pooled"] if e["value"] is not None):
        bounded = entry["low"] is not None and entry["low"] <= entry["high"]
        assert bounded or entry["metric"] in ("votes", "clipped_votes"), entry
    gaps = {(e["run"], e["class"], e["region"], e["metric"]): e
            for e in content["pooled_differences"]}  # fmt: skip
    assert {"ece", "mce", "ace", "tace", "sharpness", "temperature"} <= {key[3] for key in gaps}
    of = {e["run"]: e["value"] for e in content["pooled"]
          if (e["class"], e["region"], e["metric"]) == ("all", "all", "nll")}  # fmt: skip
    assert gaps["flat", "all", "all", "nll"]["value"] == pytest.approx(of["flat"] - of["net"])
    assert {e["verdict"] for e in gaps.values()} == {"no difference shown"}
    assert {e["run"] for e in content["differences"]} == {"flat", "hard"}
    # Three cases show nothing, however far apart the runs are.
    assert {e["verdict"] for e in content["differences"]} == {"no difference shown"}
    text = (evaluated / "summary.md").read_text()
    for words in ("## Overlap and surfaces", "## Several raters", "## Calibration",
                  "## Differences to net", "each case is taken as a patient of its own",
                  "Intervals over 3 cases, taken as patients, are rough"):  # fmt: skip
        assert words in text
    assert (evaluated / "reliability.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("metric", "difference", "verdict"),
    [
        ("dice", Difference(0.1, 0.05, 0.2, 20, 0.001, 0.002), "better"),
        ("hausdorff_95_mm", Difference(0.1, 0.05, 0.2, 20, 0.001, 0.002), "worse"),
        ("surface_dice_0.5mm", Difference(-0.1, -0.2, -0.05, 20, 0.001, 0.002), "worse"),
        ("crps_empirical_mm3", Difference(-0.1, -0.2, -0.05, 20, 0.001, 0.002), "better"),
        ("brier_resolution", Difference(0.1, 0.05, 0.2, 20, 0.001, 0.002), "higher"),
        ("dice", Difference(0.1, -0.01, 0.2, 20, 0.001, 0.002), "no difference shown"),
        ("dice", Difference(0.1, 0.05, 0.2, 20, 0.04, 0.08), "no difference shown"),
    ],
)
def test_nothing_is_better_whose_interval_holds_zero(metric, difference, verdict) -> None:
    assert _verdict(metric, difference) == verdict


def test_the_mean_of_raters_is_calibrated_and_a_store_is_read_by_region(
    softlab, data, tmp_path
) -> None:
    """By construction: pooled over raters, its ECE is 0, and the raters come from the store."""
    store, out = tmp_path / "s.zarr", tmp_path / "o"
    done(softlab("fuse", "--method", "mean", "--in", data / "r1", "--in", data / "r2",
                 "--out", store, "--keep-raters"))  # fmt: skip
    done(softlab("evaluate", "--pred", store, "--ref", store, "--out", out))
    rows = rows_of(out)
    for name in CASES:
        of = ("prediction", name)
        assert rows[(*of, "pooled", "all", "all", "ece")] == 0
        assert rows[(*of, "pooled", "mean", "all", "ace")] == 0
        assert rows[(*of, "pooled", "label_1", "all", "thresholded_dice")] == 1
        assert rows[(*of, "r1", "label_1", "all", "dice")] > 0
        assert rows[(*of, "mean", "all", "all", "ece_over_raters")] > 0
    # The same from the files of the raters.
    done(softlab("evaluate", "--pred", store, "--ref", data / "r1", "--ref", data / "r2",
                 "--out", tmp_path / "o2"))  # fmt: skip
    assert (tmp_path / "o2" / "cases.csv").read_text() == (out / "cases.csv").read_text()


def test_folds_are_averaged(softlab, data, tmp_path) -> None:
    for name in CASES:
        save_probabilities(tmp_path / "f2", name, sure(second(CASES.index(name))))
    out = tmp_path / "o"
    done(softlab("evaluate", "--pred", data / "net", "--pred", tmp_path / "f2", "--ref",
                 data / "r1", "--out", out))  # fmt: skip
    mean = (sure(truth(0)).astype(np.float32) + sure(second(0))) / 2
    expected = softlab_cli.evaluate(mean, truth(0), spacing_mm=(3, 2.5, 2))
    rows = rows_of(out)
    for metric in ("ece", "brier", "nll", "temperature"):
        found = rows["prediction", "c1", "r1", "all", "all", metric]
        assert found == pytest.approx(expected.figure(metric), abs=1e-7)
    done(softlab("evaluate", "--pred", data / "net", "--ref", data / "r1", "--out", out))
    two = softlab("evaluate", "--pred", data / "hard", "--pred", data / "r2", "--ref", data / "r1",
                  "--out", tmp_path / "o2")  # fmt: skip
    assert two.exit_code == 1
    assert "label maps cannot be averaged" in two.output


def test_members_of_a_run_are_samples_of_what_it_may_be(softlab, data, tmp_path) -> None:
    """GED of the raters' own labels is 0; of the label of their mean it is not."""
    for folder, of in (("m1", truth), ("m2", second)):
        for place, name in enumerate(CASES):
            save_probabilities(tmp_path / folder, name, sure(of(place)))
    references = ["--ref", data / "r1", "--ref", data / "r2", "--no-temperature"]
    done(softlab("evaluate", "--pred", tmp_path / "m1", "--pred", tmp_path / "m2", *references,
                 "--pred", f"one={tmp_path / 'm1'}", "--out", tmp_path / "o"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    for name in CASES:
        assert rows["prediction", name, "pooled", "label_1", "all", "ged"] == pytest.approx(0)
    assert any(rows["one", name, "pooled", "label_1", "all", "ged"] > 0.01 for name in CASES)
    assert "of the members of a run" in (tmp_path / "o" / "summary.md").read_text()


def test_what_is_done_is_skipped_until_files_or_options_change(softlab, data, tmp_path) -> None:
    ref, out = tmp_path / "ref", tmp_path / "o"
    shutil.copytree(data / "r1", ref)
    command = ["evaluate", "--pred", data / "net", "--ref", ref, "--out", out, "--no-temperature"]
    done(softlab(*command))
    before = (out / "cases.csv").read_bytes(), (out / "summary.json").read_bytes()
    assert "skipped      3" in done(softlab(*command)).output
    assert before == ((out / "cases.csv").read_bytes(), (out / "summary.json").read_bytes())
    save(ref / "c2.nii.gz", second(1))
    (out / "cases" / ".scratch-of-a-killed-process").mkdir()
    assert "done         1" in done(softlab(*command)).output
    plan = done(softlab(*command, "--bins", 10, "--dry-run")).output
    assert "c2  (its options have changed)" in plan
    assert "done         3" in done(softlab(*command, "--overwrite")).output
    assert not list((out / "cases").glob(".*"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    foreign = softlab(*command[:-3], "--out", tmp_path / "mine", "--overwrite")
    assert foreign.exit_code == 1
    assert "no folder of results" in foreign.output
    assert (tmp_path / "mine" / "notes.txt").exists()


def test_results_lie_in_no_store(tmp_path) -> None:
    (tmp_path / "zarr.json").write_text("{}")
    for refuse in (FOLDER.refuse_foreign, partial(refuse_existing, overwrite=True)):
        with pytest.raises(UsageError, match="lies in the store"):
            refuse(tmp_path / "sub" / "out")


def test_parts_come_together(softlab, data, tmp_path) -> None:
    """A case without a reference is its own part's matter, and in the summary of all."""
    out, whole, ref = tmp_path / "o", tmp_path / "whole", tmp_path / "ref"
    shutil.copytree(data / "r1", ref)
    (ref / "c2.nii.gz").unlink()
    command = ["evaluate", "--pred", f"a={data / 'hard'}", "--pred", f"b={data / 'r2'}", "--ref",
               ref]  # fmt: skip
    first = done(softlab(*command, "--out", out, "--part", "1/3"))
    assert "2 of 4 cases have results" in first.output
    assert not (out / "summary.json").exists()
    second = softlab(*command, "--out", out, "--part", "2/3")
    assert second.exit_code == 1
    assert "c2 (a): has a prediction, and no reference" in second.output
    done(softlab(*command, "--out", out, "--part", "3/3"))
    assert softlab(*command, "--out", whole).exit_code == 1
    for name in ("cases.csv", "summary.json", "summary.md"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


def test_a_case_that_lacks_a_side_is_named_and_counted(softlab, data, tmp_path) -> None:
    ref, out = tmp_path / "ref", tmp_path / "o"
    shutil.copytree(data / "r1", ref)
    (ref / "c2.nii.gz").rename(ref / "c3.nii.gz")
    found = softlab("evaluate", "--pred", data / "net", "--ref", ref, "--out", out,
                    "--no-temperature")  # fmt: skip
    assert found.exit_code == 1
    assert "c2: has a prediction, and no reference" in found.output
    assert "c3: has a reference, and no prediction" in found.output
    assert "failed       2" in found.output
    content = summary_of(out)
    assert content["cases"] == ["c1", "c10"]
    assert len(content["missing"]) == 2
    assert "could not be evaluated: 2 (c2, c3)" in (out / "summary.md").read_text()


def test_nothing_that_pairs_is_an_error(softlab, data, tmp_path) -> None:
    save(tmp_path / "ref" / "other.nii.gz", truth(0))
    found = softlab("evaluate", "--pred", data / "net", "--ref", tmp_path / "ref", "--out",
                    tmp_path / "o")  # fmt: skip
    assert found.exit_code == 1
    assert "no case has both a prediction and a reference" in found.output
    assert not (tmp_path / "o").exists()


def test_a_turned_reference_is_turned_and_another_grid_is_refused(softlab, data, tmp_path) -> None:
    ref, out = tmp_path / "ref", tmp_path / "o"
    flipped = AFFINE.copy()
    flipped[0, 3] += flipped[0, 0] * (SHAPE[2] - 1)
    flipped[0, 0] *= -1
    save(ref / "c1.nii.gz", truth(0)[:, :, ::-1], flipped)
    shifted = AFFINE.copy()
    shifted[0, 3] += 1
    save(ref / "c2.nii.gz", truth(1), shifted)
    save(ref / "c10.nii.gz", truth(2))
    found = softlab("evaluate", "--pred", data / "net", "--ref", ref, "--out", out,
                    "--no-temperature")  # fmt: skip
    assert found.exit_code == 1
    assert "reference and prediction lie on different grids" in found.output
    rows = rows_of(out)
    assert rows["prediction", "c1", "ref", "liver", "all", "dice"] == 1
    assert not [key for key in rows if key[1] == "c2"]


def test_nan_and_sums_are_refused_by_name_and_count(softlab, tmp_path) -> None:
    ref, pred, out = tmp_path / "ref", tmp_path / "pred", tmp_path / "o"
    values = {name: sure(truth(i)).astype(np.float32) for i, name in enumerate(CASES)}
    values["c1"][1, 0, 0, :2] = np.nan
    values["c2"] *= 2 / 3
    for place, name in enumerate(CASES):
        save(ref / f"{name}.nii.gz", truth(place))
        save(pred / f"{name}.nii.gz", values[name])
    command = ["evaluate", "--pred", pred, "--ref", ref, "--labels", "0-2", "--background", "first",
               "--out", out]  # fmt: skip
    found = softlab(*command)
    assert found.exit_code == 1
    assert "2 voxels that are not a number (NaN)" in found.output
    assert f"at {np.prod(SHAPE)} voxels the classes sum to less than 1" in found.output
    assert {key[1] for key in rows_of(out)} == {"c10"}
    again = softlab(*command, "--sums", "normalise")
    assert again.exit_code == 1
    rows = rows_of(out)
    assert {key[1] for key in rows} == {"c2", "c10"}
    assert rows["prediction", "c2", "ref", "all", "all", "confidence"] == pytest.approx(0.75)


def test_voxels_that_are_not_labelled_count_nowhere(softlab, tmp_path) -> None:
    labels = truth(0).copy()
    labels[0] = 9
    save(tmp_path / "ref" / "c1.nii.gz", labels)
    save_probabilities(tmp_path / "pred", "c1", sure(truth(1)))
    done(softlab("evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref", "--labels",
                 "0-2", "--ignore-label", 9, "--out", tmp_path / "o"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    of = ("prediction", "c1", "ref")
    inside = truth(0)[1:], truth(1)[1:]
    assert rows[(*of, "all", "all", "votes")] == inside[0].size
    right = (inside[0] == inside[1]).mean()
    assert rows[(*of, "all", "all", "ece")] == pytest.approx(abs(right - 0.75))
    both = (inside[0] == 1) & (inside[1] == 1)
    dice = 2 * both.sum() / ((inside[0] == 1).sum() + (inside[1] == 1).sum())
    assert rows[(*of, "label_1", "all", "dice")] == pytest.approx(dice)


def test_what_a_store_does_not_label_is_left_out_everywhere(softlab, tmp_path) -> None:
    """Of overlap as well; of the voxels that it labels it is right."""
    labels = truth(0).copy()
    labels[0] = 9
    save(tmp_path / "in" / "c1.nii.gz", labels)
    save(tmp_path / "ref" / "c1.nii.gz", truth(0))
    done(softlab("onehot", "--in", tmp_path / "in", "--ignore-label", 9, "--out",
                 tmp_path / "s.zarr"))  # fmt: skip
    found = done(softlab("evaluate", "--pred", tmp_path / "s.zarr", "--ref", tmp_path / "ref",
                         "--out", tmp_path / "o"))  # fmt: skip
    silent = SHAPE[1] * SHAPE[2]
    assert f"the prediction says nothing of {silent} voxels; they are left out" in found.output
    rows = rows_of(tmp_path / "o")
    of = ("prediction", "c1", "ref")
    assert rows[(*of, "all", "all", "votes")] == np.prod(SHAPE) - silent
    assert rows[(*of, "label_1", "all", "dice")] == rows[(*of, "label_2", "all", "dice")] == 1
    assert rows[(*of, "all", "all", "ece")] == rows[(*of, "all", "all", "nll")] == 0


def test_one_file_a_class_is_a_prediction_too(softlab, tmp_path) -> None:
    soft = sure(truth(0)).astype(np.float32)
    for number, name in enumerate(("background", "liver", "tumour")):
        save(tmp_path / "pred" / "c1" / f"{name}.nii.gz", soft[number])
    save(tmp_path / "ref" / "c1.nii.gz", truth(0))
    done(softlab("evaluate", "--pred", tmp_path / "pred", "--class-pattern",
                 "{case}/{class}.nii.gz", "--ref", tmp_path / "ref", "--labels",
                 "0,1=liver,2=tumour", "--out", tmp_path / "o"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    assert rows["prediction", "c1", "ref", "tumour", "all", "dice"] == 1
    assert rows["prediction", "c1", "ref", "all", "all", "ece"] == pytest.approx(0.25)


def test_patients_are_drawn_where_they_are_known(softlab, data, tmp_path) -> None:
    groups, out = tmp_path / "groups.csv", tmp_path / "o"
    groups.write_text("case_id,patient\nc1,a\nc2,a\n")
    command = ["evaluate", "--pred", data / "hard", "--ref", data / "r2", "--groups", groups,
               "--out", out]  # fmt: skip
    found = softlab(*command)
    assert found.exit_code == 1
    assert "--groups gives 1 cases no patient (c10)" in found.output
    groups.write_text("case_id,patient\nc1,a\nc2,a\nc10,b\n")
    done(softlab(*command))
    assert summary_of(out)["patients"] == 2
    assert "3 cases of 2 patients" in (out / "summary.md").read_text()
    assert not (out / "reliability.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--pred", "net", "--baseline", "x"], "--baseline 'x' is no run"),
        (["--pred", "net", "--baseline", "prediction"], "needs another run"),
        (["--pred", "a.b=net"], "'a.b' is no name of a run"),
        (["--pred", "net", "--pred", "net"], "is given twice"),
        (["--pred", "net", "--regions", "edge"], "'edge' is no region"),
        (["--pred", "net", "--regions", "band=2"], "'2' is no distance"),
        (["--pred", "net", "--bins", "0"], "--bins 0"),
        (["--pred", "net", "--tolerance-mm", "-1"], "is no distance"),
        (["--pred", "net", "--overwrite", "--part", "1/2"], "--overwrite with --part"),
    ],
)
def test_options_without_a_meaning_are_refused(softlab, tmp_path, options, message) -> None:
    found = softlab("evaluate", *options, "--ref", tmp_path, "--out", tmp_path / "o")
    assert found.exit_code == 2
    assert message in found.output


def test_threads_and_workers_change_no_bit(data, tmp_path) -> None:
    from softlab_cli.evaluation.run import execute_evaluation

    texts = []
    for threads in (1, 3):
        run = Request([data / "r1", data / "r2"], tmp_path / str(threads), threads=threads)
        settings = Settings(regions=parse_regions(["union"]), bins=7)
        request = EvaluationRequest(runs_of([str(data / "net")]), run, settings)
        report, _ = execute_evaluation(plan_evaluation(request, lambda event: None))
        assert report.done == 3
        texts.append((run.out / "cases.csv").read_bytes())
    assert texts[0] == texts[1]


@pytest.mark.parametrize("text", ["union=4mm", "union=1vox", "band=3mm", "band=3vox"])
def test_regions_are_those_of_the_whole_volume(text) -> None:
    rng = np.random.default_rng(3)
    labels = np.zeros((2, 23, 6, 7), np.uint8)
    labels[:, [2, 11, 12, 20]] = rng.choice([0, 0, 1, 2, 255], (2, 4, 6, 7))
    spacing = (1.5, 2.0, 1.0)
    ((name, reach),) = parse_regions([text]).items()
    grow = {"union": dilated_union, "band": band}[name]
    whole = grow(labels, reach, spacing, ignore_index=255)

    def of_slab(slab: np.ndarray) -> np.ndarray:
        return grow(slab, reach, spacing, ignore_index=255)

    halo = _slices(reach, spacing[0]) + 1
    assert 0 < whole.sum() < whole.size
    np.testing.assert_array_equal(_by_slabs(labels, of_slab, halo, 255, slab=1), whole)


def test_pictures_have_no_z() -> None:
    labels = np.zeros((7, 9), np.uint8)
    labels[2:5, 3:7] = 1
    soft = np.stack([1 - labels, labels]).astype(np.float32)
    found = softlab_cli.evaluate(soft, labels, spacing_mm=(2, 1), class_names=["none", "spot"])
    assert found.figure("dice", "spot") == 1
    assert found.figure("reference_volume_mm2", "spot") == 24
    assert found.figure("ece") == 0
    hard = softlab_cli.evaluate(labels, labels, class_names=["none", "spot"])
    assert hard.figure("hausdorff_mm", "spot") == 0
    assert hard.counts is None


def test_what_is_left_out_of_means_says_why() -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    labels[1, 2, 3] = 1
    predicted = np.zeros_like(labels)
    found = softlab_cli.evaluate(predicted, labels, class_names=["none", "one", "absent"])
    reasons = {row[1:4:2]: row.left_out for row in found.rows}
    assert reasons["one", "dice"] == ""
    assert reasons["one", "hausdorff_mm"] == "infinite"
    assert reasons["absent", "dice"] == "absent"
    assert found.figure("dice", "absent") == 1
    assert found.figure("dice", "mean") == 0
    assert reasons["mean", "hausdorff_mm"] == "undefined"


def test_arrays_that_do_not_fit_are_refused() -> None:
    labels = np.zeros((4, 5, 6), np.uint8)
    soft = np.stack([1.0 - labels, labels])
    with pytest.raises(GeometryError, match="not on one grid"):
        softlab_cli.evaluate(soft[:, :3], labels)
    with pytest.raises(InputError, match="a sum that is not 1"):
        softlab_cli.evaluate(soft * 0.5, labels)
    assert softlab_cli.evaluate(soft * 0.5, labels, sums="normalise").figure("ece") == 0
    with pytest.raises(InputError, match="120 voxels with NaN"):
        softlab_cli.evaluate(soft * np.nan, labels)
    with pytest.raises(UsageError, match="class index 2, and there are 2 classes"):
        softlab_cli.evaluate(soft, labels + 2)


def test_what_a_prediction_of_a_crop_does_not_hold_is_not_left_out(softlab, data, tmp_path) -> None:
    """The voxels outside would be no misses, and the crop would look perfect."""
    moved = AFFINE.copy()
    moved[:3, 3] += moved[:3, :3] @ (2, 0, 0)
    save(tmp_path / "net" / "c1.nii.gz", truth(0)[:, :, 2:], moved)
    ref = tmp_path / "ref" / "c1.nii.gz"
    save(ref, np.maximum(truth(0), 1))
    found = softlab(
        "evaluate", "--pred", tmp_path / "net", "--ref", ref.parent, "--out", tmp_path / "o"
    )
    assert found.exit_code == 1
    assert "reaches out of the grid of the prediction" in found.output


def test_a_map_of_a_rater_that_nobody_is(softlab, data, tmp_path) -> None:
    found = softlab("evaluate", "--pred", data / "net", "--ref", data / "r1", "--map", "r9:1=0",
                    "--out", tmp_path / "o")  # fmt: skip
    assert found.exit_code == 2
    assert "'r9', which is no rater" in found.output


def test_tables_that_do_not_hold_any_more_are_removed(softlab, data, tmp_path) -> None:
    ref, out = tmp_path / "ref", tmp_path / "o"
    shutil.copytree(data / "r1", ref)
    command = ("evaluate", "--pred", data / "net", "--ref", ref, "--out", out, "--no-temperature")
    done(softlab(*command))
    for file in ref.iterdir():
        file.write_bytes(b"damaged")
    assert softlab(*command).exit_code == 1
    assert not (out / "summary.md").exists()


def test_overwrite_removes_results_and_nothing_of_others(softlab, data, tmp_path) -> None:
    out = tmp_path / "o"
    command = ("evaluate", "--pred", data / "net", "--ref", data / "r1", "--out", out)
    done(softlab(*command, "--no-temperature"))
    others = [out / "cases" / name for name in ("mine.npz", "dataset.json", ".hidden")]
    for other in others:
        other.write_text("{}")
    done(softlab(*command, "--no-temperature", "--overwrite"))
    assert all(other.exists() for other in others)
    own = softlab("evaluate", "--pred", out / "cases", "--ref", data / "r1", "--out", out)
    assert own.exit_code == 2
    assert "read by the run" in own.output


def test_warnings_are_told_once_with_the_cases(softlab, data, tmp_path) -> None:
    """In the summary as well, and counted in the closing table."""
    ref, out = tmp_path / "ref", tmp_path / "o"
    for place, name in enumerate(CASES):
        labels = np.where(np.arange(SHAPE[0])[:, None, None] == 0, 9, truth(place))
        save(tmp_path / "in" / f"{name}.nii.gz", labels.astype(np.uint8))
        save(ref / f"{name}.nii.gz", truth(place))
    done(softlab("onehot", "--in", tmp_path / "in", "--ignore-label", 9, "--out",
                 tmp_path / "s.zarr"))  # fmt: skip
    found = done(softlab("evaluate", "--pred", tmp_path / "s.zarr", "--ref", ref, "--out", out))
    assert "warned       3  see above, or summary.md" in found.output
    (entry,) = summary_of(out)["warnings"]
    assert entry["cases"] == list(CASES)
    assert "the prediction says nothing of 72 voxels" in entry["text"]
    text = (out / "summary.md").read_text()
    assert "## Warnings" in text
    assert "- 3 cases (c1, c2, c10): the prediction says nothing of 72 voxels" in text


def test_a_class_that_one_side_never_has_is_named(softlab, tmp_path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:5, 2:5] = 1
    for name in ("c1", "c2"):
        save(tmp_path / "ref" / f"{name}.nii.gz", labels)
        save(tmp_path / "pred" / f"{name}.nii.gz", labels * 2)
    found = done(softlab("evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref",
                         "--labels", "0,1=liver,2=spleen", "--out", tmp_path / "o"))  # fmt: skip
    for words in (
        "prediction: 'spleen' is in the prediction of 2 cases, and in no reference.",
        "prediction: 'liver' is in the reference of 2 cases, and in no prediction.",
    ):
        assert words in found.output
        assert words in (tmp_path / "o" / "summary.md").read_text()
    sides = {(e["class"], e["side"]) for e in summary_of(tmp_path / "o")["one_sided"]}
    assert sides == {("spleen", "prediction"), ("liver", "reference")}


def test_one_number_for_two_names_is_refused(softlab, tmp_path) -> None:
    """Predictions and references would be compared although they mean different segments."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:5, 2:5] = 1
    for folder, name in (("pred", "liver"), ("ref", "spleen")):
        (tmp_path / folder).mkdir()
        write_seg_nrrd(tmp_path / folder / "c1.seg.nrrd", [labels], segment_keys([(name, 1, 0)]))
    command = ["evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref", "--out",
               tmp_path / "o"]  # fmt: skip
    found = softlab(*command, "--labels", "0,1")
    assert found.exit_code == 1
    assert "the label value 1 is 'spleen' here and 'liver' in" in found.output
    done(softlab(*command, "--labels", "0,1=liver|spleen"))
