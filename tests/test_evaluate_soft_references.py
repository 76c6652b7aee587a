"""`softlab evaluate` where the references are soft labels, and fractions as predictions."""

from __future__ import annotations

import json

import nibabel
import numpy as np
import pytest

import softlab_cli
from softlab_cli.cases import Case
from softlab_cli.core.errors import InputError
from softlab_cli.evaluation.kinds import kind_of
from softlab_cli.evaluation.plan import BY_SOFT_LABELS
from softlab_cli.labels.read import ReadingOptions
from tests.dicom_support import make_seg, save_slices
from tests.soft_support import AFFINE, save, shares
from tests.test_dicom_cases import slices
from tests.test_evaluate import done, rows_of

SHAPE = (5, 6, 7)
BINS = 7


def naive(p: np.ndarray, s: np.ndarray) -> dict[str, float]:
    """Figures of (C, ...) probabilities by (C, ...) shares, as their formulas stand."""
    p, s = (a.astype(np.float64).reshape(len(a), -1) for a in (p, s))
    used = s.any(axis=0)
    p, s = p[:, used], s[:, used]
    top = p.argmax(axis=0)
    confidence, share = p.max(axis=0), np.take_along_axis(s, top[None], axis=0)[0]
    bins = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    gaps = [abs((confidence - share)[bins == b].sum()) for b in range(BINS)]
    gap, mass = np.abs(p - s).sum(axis=1), p.sum(axis=1) + s.sum(axis=1)
    return {
        "brier": ((p - s) ** 2).sum(axis=0).mean(),
        "nll": -(s * np.log(np.maximum(p, 1e-7))).sum(axis=0).mean(),
        "ece": sum(gaps) / len(confidence),
        "overconfidence": (confidence - share).mean(),
        "soft_dice": (2 * (p * s).sum(axis=1) / mass)[1:].mean(),
        "semimetric_dice": (1 - gap / mass)[1:].mean(),
    }


CLASS_OF = {"soft_dice": "mean", "semimetric_dice": "mean"}


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_scores_are_by_the_shares_of_a_soft_reference(dtype) -> None:
    predicted, reference = (shares(4, seed, SHAPE).astype(dtype) for seed in (1, 2))
    reference[:, 0] = 0  # not labelled
    found = softlab_cli.evaluate(predicted, reference, bins=BINS)
    for metric, value in naive(predicted, reference).items():
        figure = found.figure(metric, CLASS_OF.get(metric, "all"))
        assert figure == pytest.approx(value, abs=2e-6), metric
    # Overlap and surfaces have the hard labels of both.
    inside = predicted[:, 1:].argmax(axis=0), reference[:, 1:].argmax(axis=0)
    one, two = (labels == 2 for labels in inside)
    dice = 2 * (one & two).sum() / (one.sum() + two.sum())
    assert found.figure("dice", "label_2") == pytest.approx(dice)
    assert found.figure("votes") == np.prod(SHAPE) - SHAPE[1] * SHAPE[2]


def test_a_soft_reference_is_matched_by_itself_alone() -> None:
    soft = shares(3, 5, SHAPE)
    found = softlab_cli.evaluate(soft, soft, temperature=False)
    assert found.figure("semimetric_dice", "mean") == pytest.approx(1, abs=1e-6)
    assert found.figure("soft_dice", "mean") < 0.9
    assert found.figure("brier") == pytest.approx(0, abs=1e-6)
    hard = softlab_cli.evaluate(soft.argmax(axis=0), soft, class_names=["a", "b", "c"])
    assert hard.figure("dice", "b") == 1
    assert hard.counts is None


def test_shares_that_are_none_are_refused() -> None:
    soft = shares(3, 5, SHAPE)
    with pytest.raises(InputError, match="the reference has 210 voxels with a sum that is not 1"):
        softlab_cli.evaluate(soft, soft / 2)
    again = softlab_cli.evaluate(soft, soft / 2, sums="normalise", temperature=False)
    assert again.figure("brier") == pytest.approx(0, abs=1e-6)
    with pytest.raises(InputError, match="NaN"):
        softlab_cli.evaluate(soft, soft * np.nan)


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Two cases: a prediction, soft maps as references, and the same as a store."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    root = tmp_path_factory.mktemp("soft-references")
    for place, name in enumerate(("c1", "c2")):
        save(root / "pred" / f"{name}.nii.gz", shares(3, place, SHAPE))
        save(root / "maps" / f"{name}.nii.gz", shares(3, place + 9, SHAPE))
    command = ["import", "--in", root / "maps", "--out", root / "s.zarr"]
    done(CliRunner().invoke(cli, [str(a) for a in command]))
    return root


def test_soft_maps_and_stores_are_references(softlab, cases, tmp_path) -> None:
    for kind in ("maps", "s.zarr"):
        out = tmp_path / kind
        said = done(softlab("evaluate", "--pred", cases / "pred", "--ref", cases / kind,
                            "--bins", BINS, "--out", out))  # fmt: skip
        assert BY_SOFT_LABELS in said.output
        rows = rows_of(out)
        for place, name in enumerate(("c1", "c2")):
            reference = shares(3, place + 9, SHAPE)
            if kind == "s.zarr":
                reference = softlab_cli.open_store(cases / kind)[name].read()
            expected = naive(shares(3, place, SHAPE), reference)
            rater = next(key[2] for key in rows)
            for metric, value in expected.items():
                key = ("prediction", name, rater, CLASS_OF.get(metric, "all"), "all", metric)
                assert rows[key] == pytest.approx(value, abs=2e-5), (kind, metric)
        text = (out / "summary.md").read_text()
        assert "overlap, volumes, surfaces and regions are by their hard label" in text
        assert json.loads((out / "summary.json").read_text())["soft_references"]


def test_a_turned_soft_reference_is_turned(softlab, cases, tmp_path) -> None:
    flipped = AFFINE.copy()
    flipped[0, 3] += flipped[0, 0] * (SHAPE[2] - 1)
    flipped[0, 0] *= -1
    for place, name in enumerate(("c1", "c2")):
        save(tmp_path / "in" / f"{name}.nii.gz", shares(3, place + 9, SHAPE)[..., ::-1], flipped)
    done(softlab("import", "--in", tmp_path / "in", "--out", tmp_path / "turned.zarr"))
    for kind, ref in (("a", cases / "s.zarr"), ("b", tmp_path / "turned.zarr")):
        done(softlab("evaluate", "--pred", cases / "pred", "--ref", ref, "--no-temperature",
                     "--out", tmp_path / kind))  # fmt: skip
    one, two = ({k[:2] + k[3:]: v for k, v in rows_of(tmp_path / n).items()} for n in "ab")
    assert one == pytest.approx(two, nan_ok=True)
    assert not list((tmp_path / "b" / "cases").glob(".*"))


def test_a_label_map_among_soft_references_is_one_hot(softlab, cases, tmp_path) -> None:
    labels = shares(3, 9, SHAPE).argmax(axis=0)
    save(tmp_path / "ref" / "c1.nii.gz", labels.astype(np.uint8))
    save(tmp_path / "ref" / "c2.nii.gz", shares(3, 10, SHAPE))
    out = tmp_path / "o"
    done(softlab("evaluate", "--pred", cases / "pred", "--ref", tmp_path / "ref", "--labels", "0-2",
                 "--background", "first", "--out", out))  # fmt: skip
    expected = softlab_cli.evaluate(shares(3, 0, SHAPE), labels, spacing_mm=(3, 2.5, 2))
    rows = rows_of(out)
    for metric in ("brier", "nll", "ece", "temperature"):
        value = rows["prediction", "c1", "ref", "all", "all", metric]
        assert value == pytest.approx(expected.figure(metric), abs=1e-6)


def test_soft_labels_are_no_rater_among_others(softlab, cases, tmp_path) -> None:
    command = ["evaluate", "--pred", cases / "pred", "--ref", cases / "maps", "--ref",
               cases / "s.zarr", "--out", tmp_path / "o"]  # fmt: skip
    found = softlab(*command)
    assert found.exit_code == 1
    assert "soft labels are a reference of their own, and there are 2" in found.output


def test_label_maps_that_are_written_as_floats_stay_label_maps(softlab, tmp_path) -> None:
    labels = shares(3, 1, SHAPE).argmax(axis=0).astype(np.float64)
    for folder in ("pred", "r1", "r2"):
        image = nibabel.Nifti1Image(labels.T, AFFINE)
        (tmp_path / folder).mkdir()
        nibabel.save(image, tmp_path / folder / "c1.nii.gz")
    done(softlab("evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "r1", "--ref",
                 tmp_path / "r2", "--out", tmp_path / "o"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    assert rows["prediction", "c1", "mean", "label_2", "all", "dice"] == 1
    assert not [key for key in rows if key[5] == "ece"]


def test_a_fractional_segmentation_is_made_of_probabilities(softlab, tmp_path) -> None:
    """As `softlab import` has them; with --threshold it is a label map."""
    sources = slices()
    shape = (len(sources), *sources[0].pixel_array.shape)
    steps = np.random.default_rng(0).integers(0, 128, (*shape, 2))
    save_slices(tmp_path / "pred" / "p1" / "ct", sources)
    path = tmp_path / "pred" / "p1" / "seg.dcm"
    make_seg(path, sources, (steps / 255).astype(np.float32), "FRACTIONAL", {1: "a", 2: "b"},
             max_fractional_value=255)  # fmt: skip
    done(softlab("onehot", "--in", tmp_path / "pred", "--threshold", 0.25, "--on-overlap", "first",
                 "--out", tmp_path / "ref.zarr"))  # fmt: skip
    done(softlab("evaluate", "--pred", tmp_path / "pred", "--ref", tmp_path / "ref.zarr", "--out",
                 tmp_path / "o", "--no-temperature"))  # fmt: skip
    rows = rows_of(tmp_path / "o")
    soft = np.moveaxis(steps / 255, -1, 0)
    soft = np.concatenate([1 - soft.sum(axis=0, keepdims=True), soft])
    labels = softlab_cli.open_store(tmp_path / "ref.zarr")["p1"].read_label()
    expected = softlab_cli.evaluate(soft, labels, temperature=False)
    for metric in ("brier", "nll", "confidence"):
        value = rows["prediction", "p1", "ref.zarr", "all", "all", metric]
        assert value == pytest.approx(expected.figure(metric), abs=1e-6)
    case = Case("p1", (path,), raters=("pred",))
    assert kind_of(case, ReadingOptions()) == "single"
    assert kind_of(case, ReadingOptions(threshold=0.25)) == "hard"
