"""Calibrations: against naive ones, of arrays, and ``softlab calibrate`` from end to end."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

import softlab_cli
from softlab_cli.cases import discover_cases
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, InputError, StoreError, UsageError
from softlab_cli.core.events import ignore
from softlab_cli.core.volume import Geometry
from softlab_cli.evaluation import calibrating, calibrations
from softlab_cli.evaluation.calibrated import Calibrated
from softlab_cli.evaluation.calibrating import (
    CalibrationRequest,
    execute_calibration,
    plan_calibration,
)
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.fitting import likelihood, settings_for
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.isotonic import IDENTITY, Knots
from softlab_cli.evaluation.needs import CaseSize, needed_bytes
from softlab_cli.evaluation.plan import plan_evaluation
from softlab_cli.evaluation.predictions import open_prediction
from softlab_cli.evaluation.request import EvaluationRequest, calibrations_of
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings, parse_regions
from softlab_cli.evaluation.spooled import Spooled
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.running.request import Request
from tests import naive_isotonic as naive
from tests.soft_support import save, save_probabilities

SHAPE = (6, 8, 9)
NAMES = {"labels": {"background": 0, "liver": 1, "tumour": 2}}


def drawn(seed: int, sharpen: float = 1.0, raters: int = 1, classes: int = 3) -> tuple[Any, Any]:
    """(C, *SHAPE) float16, and (R, *SHAPE) labels drawn from what is less sharp than these."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(classes, *SHAPE))
    chance = np.exp(logits) / np.exp(logits).sum(axis=0)
    sharp = np.exp(sharpen * logits) / np.exp(sharpen * logits).sum(axis=0)
    ends = np.cumsum(chance, axis=0)[:-1]
    labels = [(rng.random(SHAPE) > ends).sum(axis=0) for _ in range(raters)]
    return sharp.astype(np.float16), np.array(labels, np.uint8)


def flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(len(array), -1)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_isotonic_maps_are_those_of_the_definition(data) -> None:
    classes, raters = data.draw(st.integers(2, 4)), data.draw(st.integers(1, 3))
    voxels = data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    p = rng.dirichlet(np.full(classes, 0.3), voxels).T.astype(np.float32)
    votes = rng.integers(0, classes, (raters, voxels)).astype(np.uint8)
    found = softlab_cli.calibrate(p[:, None], votes[:, None], method="isotonic")
    cells = Cells.ranges(Settings().bin_counts)
    for c in range(classes):
        if not (votes == c).any():
            assert found.maps[c] == IDENTITY
            continue
        # The numbers of a cell count as their mean.
        cell = cells.find(np.ascontiguousarray(p[c]))
        means = np.array([p[c, cell == one].astype(float).mean() for one in cell])
        x, y = naive.isotonic(means, votes == c)
        levels = [np.unique(np.round(a, 9)) for a in (found.maps[c].becomes, y)]
        np.testing.assert_array_equal(*levels)
        assert set(np.round(found.maps[c].probability, 6)) <= set(np.round(x, 6))


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 4), st.integers(1, 3), st.integers(0, 2**32))
def test_float16_is_exact_and_the_nll_is_that_of_what_is_applied(classes, raters, seed) -> None:
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.full(classes, 0.3), 20).T.astype(np.float16)
    votes = rng.integers(0, classes, (raters, 20)).astype(np.uint8)
    found = softlab_cli.calibrate(p[:, None], votes[:, None], method="isotonic")
    if not all((votes == c).any() for c in range(classes)):
        return
    maps = [naive.isotonic(p[c], votes == c) for c in range(classes)]
    for c, (x, y) in enumerate(maps):
        knots = found.maps[c]
        np.testing.assert_allclose(np.interp(x, knots.probability, knots.becomes), y, atol=1e-15)
    q = naive.apply_isotonic(maps, p)
    np.testing.assert_allclose(found.apply(p), q, atol=1e-7)
    assert found.fitted is not None
    assert found.fitted.nll_after == pytest.approx(naive.nll(q, votes), abs=1e-6)
    assert found.fitted.nll_before == pytest.approx(naive.nll(p.astype(float), votes), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_temperature_is_the_best_one(dtype) -> None:
    cases = [drawn(seed, 2.5, raters=2) for seed in range(4)]
    predictions = [p.astype(np.float32) if dtype == np.float32 else p for p, _ in cases]
    found = softlab_cli.calibrate(predictions, [y for _, y in cases])
    p, votes = (np.concatenate([flat(case[i]) for case in cases], axis=1) for i in (0, 1))

    def after(logarithm: float) -> float:
        return naive.nll(naive.apply_temperature(np.exp(logarithm), p), votes)

    best = minimize_scalar(after, bounds=(-1, 2), method="bounded", options={"xatol": 1e-9})
    assert found.temperature == pytest.approx(np.exp(best.x), rel=1e-4)
    fitted = found.fitted
    assert fitted is not None
    assert fitted.nll_after == pytest.approx(best.fun, abs=1e-5)
    q = found.apply(cases[0][0])
    np.testing.assert_allclose(
        flat(q), naive.apply_temperature(found.temperature, flat(cases[0][0])), atol=1e-6
    )
    np.testing.assert_array_equal(q.argmax(axis=0), cases[0][0].argmax(axis=0))


def test_halves_are_judged_by_each_other() -> None:
    cases = [drawn(seed, 2.0) for seed in range(4)]
    for method in ("temperature", "isotonic"):
        groups = ["b", "a", "b", "c"]  # a and c are one half, b is the other
        found = softlab_cli.calibrate(*zip(*cases, strict=True), method=method, groups=groups)
        total = 0.0
        for own, others in (([1, 3], [0, 2]), ([0, 2], [1, 3])):
            other = softlab_cli.calibrate(
                [cases[i][0] for i in others], [cases[i][1] for i in others], method=method
            )
            total += sum(naive.nll(flat(other.apply(cases[i][0])), flat(cases[i][1])) for i in own)
        assert found.fitted is not None
        assert found.fitted.patients == 3
        assert found.fitted.nll_cross_fitted == pytest.approx(total / 4, abs=2e-6)
    one = softlab_cli.calibrate(*cases[0])
    assert one.fitted is not None
    assert one.fitted.nll_cross_fitted is None


def test_who_is_calibrated_stays_and_who_is_too_sure_is_mended() -> None:
    right = [drawn(seed, 1.0, raters=3) for seed in range(12)]
    kept = softlab_cli.calibrate(*zip(*right, strict=True))
    assert kept.temperature == pytest.approx(1, abs=0.05)
    mapped = softlab_cli.calibrate(*zip(*right, strict=True), method="isotonic")
    for knots in mapped.maps:
        places = np.linspace(0.1, 0.8, 8)
        near = np.interp(places, knots.probability, knots.becomes)
        assert np.abs(near - places).max() < 0.08
    sure = [drawn(seed, 3.0) for seed in range(12)]
    for method in ("temperature", "isotonic"):
        found = softlab_cli.calibrate(
            [p for p, _ in sure[:9]], [y for _, y in sure[:9]], method=method
        )
        raw = [softlab_cli.evaluate(p, y) for p, y in sure[9:]]
        after = [softlab_cli.evaluate(p, y, calibration=found) for p, y in sure[9:]]
        gain = np.mean([a.figure("nll") for a in raw]) - np.mean([a.figure("nll") for a in after])
        assert gain > 0.25
        assert np.mean([a.figure("ece") for a in after]) < 0.06
        assert np.mean([a.figure("ece") for a in raw]) > 0.2
    # What rises may not stay the most probable, and that is said.
    assert "makes another class the most probable one at" in " ".join(after[0].warnings)


def test_maps_of_two_classes_mirror_one_another() -> None:
    p = np.arange(0, 65, dtype=np.float16) / 64
    both = np.stack([1 - p, p])[:, None]
    labels = np.random.default_rng(0).random((1, 65)) < p**2
    found = softlab_cli.calibrate(both, labels.astype(np.uint8), method="isotonic")
    first = np.interp(1 - p, found.maps[0].probability, found.maps[0].becomes)
    second = np.interp(p, found.maps[1].probability, found.maps[1].becomes)
    np.testing.assert_allclose(first + second, 1, atol=1e-15)
    np.testing.assert_allclose(found.apply(both)[1, 0], second, atol=1e-7)


def test_apply_does_not_depend_on_how_it_is_cut() -> None:
    p, y = drawn(5, 2.0)
    for method in ("temperature", "isotonic"):
        found = softlab_cli.calibrate(p, y, method=method)
        for values in (p, p.astype(np.float32), p.astype(np.float64)):
            whole = found.apply(values)
            by_one = np.stack([found.apply(values[:, z]) for z in range(SHAPE[0])], axis=1)
            np.testing.assert_array_equal(whole, by_one)
            np.testing.assert_array_equal(whole, found.apply(p))
    uniform = Calibration("isotonic", found.classes, maps=(IDENTITY,) * 3)
    assert uniform.apply(np.zeros((3, 2), np.float32)) == pytest.approx(1 / 3)
    assert uniform.apply(np.array([[-0.0], [0.25], [0.75]], np.float16))[2] == 0.75


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_the_same_bits_however_cases_are_cut_and_ordered(method) -> None:
    cases = [drawn(seed, 2.0, raters=2) for seed in range(3)]
    parts = [(p[:, z], y[:, z]) for p, y in cases for z in (slice(2, 6), slice(0, 2))]
    one = softlab_cli.calibrate(*zip(*cases, strict=True), method=method)
    two = softlab_cli.calibrate(*zip(*parts[::-1], strict=True), method=method, threads=2)
    assert (one.temperature, one.maps) == (two.temperature, two.maps)
    assert one.fitted is not None
    assert two.fitted is not None
    assert one.fitted.nll_after == two.fitted.nll_after
    assert one.fitted.nll_before == two.fitted.nll_before


def test_what_cannot_be_calibrated_is_refused() -> None:
    p, y = drawn(0)
    found = softlab_cli.calibrate(p, y)
    with pytest.raises(UsageError, match=r"no probabilities of 3 classes"):
        found.apply(p[:2])
    with pytest.raises(UsageError, match=r"no probabilities of 3 classes"):
        found.apply(y)
    for odd in (np.nan, -0.5, 1.5, np.inf):
        bad = p.copy()
        bad[0, 0, 0, 0] = odd
        with pytest.raises(InputError, match="1 voxels with"):
            found.apply(bad)
    with pytest.raises(UsageError, match="method 'platt' is not known"):
        softlab_cli.calibrate(p, y, method="platt")
    with pytest.raises(UsageError, match="more than one"):
        softlab_cli.calibrate(p, y, region="union,band")
    with pytest.raises(UsageError, match="are no pairs"):
        softlab_cli.calibrate([p, p], [y])
    with pytest.raises(UsageError, match="of type uint8"):
        softlab_cli.calibrate(y, y)
    with pytest.raises(InputError, match="no voxel that counts is labelled"):
        softlab_cli.calibrate(p, np.full(SHAPE, 9, np.uint8), ignore_index=9)
    with pytest.raises(UsageError, match="class indices have no probabilities"):
        softlab_cli.evaluate(y[0], y, calibration=found)


# The file.


def sound(**changes: Any) -> dict[str, Any]:
    p, y = drawn(0)
    content = softlab_cli.calibrate([p, p], [y, y], method="isotonic").to_json()
    return content | changes


def test_a_file_is_what_was_saved(tmp_path) -> None:
    p, y = drawn(0)
    for method in ("temperature", "isotonic"):
        found = softlab_cli.calibrate(p, y, method=method)
        found.save(tmp_path / f"{method}.json")
        again = softlab_cli.Calibration.load(tmp_path / f"{method}.json")
        assert again == found == pickle.loads(pickle.dumps(again))
        assert again.digest == found.digest
        np.testing.assert_array_equal(again.apply(p), found.apply(p))
        with pytest.raises(StoreError, match="exists already"):
            found.save(tmp_path / f"{method}.json")
        found.save(tmp_path / f"{method}.json", overwrite=True)
    with pytest.raises(StoreError, match="is a folder"):
        found.save(tmp_path, overwrite=True)
    assert {file.name for file in tmp_path.iterdir()} == {"temperature.json", "isotonic.json"}


MAP = {"probability": [0.0, 1.0], "becomes": [0.0, 1.0]}
HOSTILE: list[tuple[dict[str, Any], str]] = [
    ({"softlab_calibration": 2}, "it is of format 2"),
    ({"method": "platt"}, "method 'platt' is none of"),
    ({"temperature": 1.0}, "it has 'temperature'"),
    ({"classes": []}, "classes is no list"),
    ({"classes": [{"index": 0, "value": 0, "name": "a"}]}, "one class only"),
    ({"classes": [{"index": 0, "value": 0, "name": "a"}] * 2}, "index of a class 0"),
    ({"classes": [{"index": 0, "value": 3, "name": "a"}, {"index": 1, "value": 3, "name": "b"}]},
     "values of the classes do not rise"),
    ({"classes": [{"index": 0, "value": 0, "name": "a"}, {"index": 1, "value": 3, "name": "a"}]},
     "two classes have one name"),
    ({"classes": [{"index": 0, "value": True, "name": "a"}]}, "is no whole number"),
    ({"classes": [{"index": 0, "value": 0, "name": ""}]}, "is no text"),
    ({"maps": [MAP]}, "there are 1 maps of 3 classes"),
    ({"maps": [MAP, MAP, MAP, MAP]}, "no list of 1 to 3"),
    ({"maps": [MAP, MAP, {"probability": [0.0], "becomes": [0.0, 1.0]}]}, "1 probabilities and 2"),
    ({"maps": [MAP, MAP, {"probability": [0.5, 0.5], "becomes": [0, 1]}]}, "do not rise"),
    ({"maps": [MAP, MAP, {"probability": [0, 1], "becomes": [0.5, 0.25]}]}, "falls"),
    ({"maps": [MAP, MAP, {"probability": [0, 2], "becomes": [0, 1]}]}, "not from 0 to 1"),
    ({"maps": [MAP, MAP, {"probability": [0, "1"], "becomes": [0, 1]}]}, "is no number"),
    ({"maps": [MAP, MAP, {"probability": [0, True], "becomes": [0, 1]}]}, "is no number"),
    ({"maps": [MAP, MAP, [0, 1]]}, "is no object"),
    ({"fitted": {"cases": 1}}, "'fitted' lacks"),
    ({"extra": 1}, "it has 'extra'"),
    ({"softlab": 3}, "'softlab' is no text"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), HOSTILE, ids=[words for _, words in HOSTILE])
def test_a_file_that_is_not_sound_is_refused_by_name(tmp_path, changes, words) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(sound(**changes)))
    with pytest.raises(InputError) as found:
        Calibration.load(path)
    assert str(found.value).startswith(f"{path}: ")
    assert words in str(found.value)
    assert "softlab calibrate" in str(found.value)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", "null", "[" * 100_000, '{"softlab_calibration": NaN}', "\x00\xff", '{"a"',
        '{"softlab_calibration": 1, "softlab_calibration": 1}',
        '{"softlab_calibration": 1' + "0" * 5000 + "}",
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_refused(tmp_path, text) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError):
        Calibration.load(path)


@pytest.mark.parametrize(
    ("key", "value"),
    [("cases", 0), ("votes", 1.5), ("region", 1), ("nll_after", -1), ("nll_after", 10**400),
     ("nll_cross_fitted", "x"), ("fingerprints", ["xyz"]), ("fingerprints", {})],
)  # fmt: skip
def test_what_it_was_fitted_on_is_read_strictly(tmp_path, key, value) -> None:
    content = sound()
    content["fitted"] |= {key: value}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="is no sound calibration"):
        Calibration.load(path)
    content["fitted"] = None
    path.write_text(json.dumps(content))
    assert Calibration.load(path).fitted is None


def test_calibrations_of_runs(tmp_path) -> None:
    one = Calibration("isotonic", ClassTable.from_values([0, 1]), maps=(Knots((0.5,), (0.5,)),) * 2)
    path = tmp_path / "a=b.json"
    one.save(path)
    assert calibrations_of([str(path)], ["r"]) == {"r": one}
    assert calibrations_of([f"r={path}"], ["r", "s"]) == {"r": one}
    for texts, runs, words in (
        ([str(path)], ["r", "s"], "which run"),
        ([f"t={path}"], ["r", "s"], "'t' is no run"),
        ([f"r={path}", f"r={path}"], ["r", "s"], "has one already"),
    ):
        with pytest.raises(UsageError, match=words):
            calibrations_of(texts, runs)
    with pytest.raises(ClassError, match=r"a=b.json: was fitted on other classes.*\(.*2 label_2"):
        calibrations_of([str(path)], ["r"])["r"].check_classes(ClassTable.from_values([0, 1, 2]))


# The command line.


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Three validation cases and one more, as nnU-Net has them, too sure."""
    root = tmp_path_factory.mktemp("calibrate")
    for seed, name in enumerate(("c1", "c2", "c3", "t1")):
        prediction, labels = drawn(seed, 3.0)
        folder = "val" if name.startswith("c") else "test"
        save(root / f"{folder}_ref" / f"{name}.nii.gz", labels[0])
        save_probabilities(root / folder, name, prediction)
        (root / folder / "dataset.json").write_text(json.dumps(NAMES))
    return root


def done(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def fitted(softlab: Any, data: Path, out: Path, *options: Any) -> Calibration:
    done(softlab("calibrate", "--pred", data / "val", "--ref", data / "val_ref", "--out", out,
                 *options))  # fmt: skip
    return Calibration.load(out)


def pooled(out: Path, run: str, metric: str) -> float:
    content = json.loads((out / "summary.json").read_text())
    key = (run, "all", "all", metric)
    named = {(e["run"], e["class"], e["region"], e["metric"]): e for e in content["pooled"]}
    return float(named[key]["value"])


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_the_command_fits_what_arrays_do_and_evaluate_applies_it(
    softlab, data, tmp_path, method
) -> None:
    out = tmp_path / "c.json"
    found = fitted(softlab, data, out, "--method", method)
    cases = [drawn(seed, 3.0) for seed in range(3)]
    arrays = softlab_cli.calibrate(
        *zip(*cases, strict=True), method=method, class_names=["background", "liver", "tumour"]
    )
    assert (found.temperature, found.maps, found.classes) == (
        arrays.temperature, arrays.maps, arrays.classes,
    )  # fmt: skip
    assert found.fitted is not None
    assert arrays.fitted is not None
    assert found.fitted.nll_cross_fitted == arrays.fitted.nll_cross_fitted
    assert len(found.fitted.fingerprints) == 3 * 3  # reference, archive and its segmentation
    assert "c1" not in out.read_text()
    # In the same table as the prediction itself.
    test = ("--pred", f"raw={data / 'test'}", "--pred", f"cal={data / 'test'}", "--ref",
            data / "test_ref", "--out", tmp_path / "o", "--parity", "qubiq")  # fmt: skip
    shown = done(softlab("evaluate", *test, "--calibration", f"cal={out}", "--verbose")).output
    assert "fitted on this case" not in shown
    prediction, labels = drawn(3, 3.0)
    expected = softlab_cli.evaluate(prediction, labels[0], calibration=arrays)
    for metric in ("nll", "ece", "brier"):
        assert pooled(tmp_path / "o", "cal", metric) == pytest.approx(expected.figure(metric))
    assert pooled(tmp_path / "o", "cal", "nll") < pooled(tmp_path / "o", "raw", "nll") - 0.2
    text = (tmp_path / "o" / "summary.md").read_text()
    kept = "stay what they are" if method == "temperature" else "are those after it"
    assert f"probabilities are calibrated ({found.describe()})" in text
    assert kept in text
    assert ("makes another class the most probable" in shown) == (method == "isotonic")


def test_it_is_said_where_it_was_fitted_on_the_case(softlab, data, tmp_path) -> None:
    out = tmp_path / "c.json"
    found = fitted(softlab, data, out)
    shown = done(softlab("evaluate", "--pred", data / "val", "--ref", data / "val_ref", "--out",
                         tmp_path / "o", "--calibration", out)).output  # fmt: skip
    assert "3 cases (c1, c2, c3): the calibration was fitted on this case" in shown
    # In-sample it is what was said when it was fitted.
    assert found.fitted is not None
    assert pooled(tmp_path / "o", "prediction", "nll") == pytest.approx(
        found.fitted.nll_after, abs=1e-6
    )
    # A network that is another one, on the same references.
    for seed, name in enumerate(("c1", "c2", "c3")):
        save_probabilities(tmp_path / "other", name, drawn(seed, 2.0)[0])
    (tmp_path / "other" / "dataset.json").write_text(json.dumps(NAMES))
    shown = done(softlab("evaluate", "--pred", tmp_path / "other", "--ref", data / "val_ref",
                         "--out", tmp_path / "o2", "--calibration", out)).output  # fmt: skip
    assert "fitted on this case" in shown


def test_results_are_made_anew_with_another_calibration(softlab, data, tmp_path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    fitted(softlab, data, one)
    fitted(softlab, data, two, "--method", "isotonic")
    command = ["evaluate", "--pred", data / "test", "--ref", data / "test_ref", "--out",
               tmp_path / "o"]  # fmt: skip
    done(softlab(*command))
    assert "done         1" in done(softlab(*command, "--calibration", one)).output
    assert "skipped      1" in done(softlab(*command, "--calibration", one)).output
    assert "its options have changed" in softlab(*command, "--calibration", two, "--dry-run").output
    assert "done         1" in done(softlab(*command, "--calibration", two)).output
    assert "done         1" in done(softlab(*command)).output


def test_the_same_bits_for_any_workers_and_threads(softlab, data, tmp_path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    fitted(softlab, data, a, "--method", "isotonic", "--workers", 1, "--threads", 1)
    fitted(softlab, data, b, "--method", "isotonic", "--workers", 2, "--threads", 2)
    assert a.read_bytes() == b.read_bytes()


def test_a_region_and_raters_and_a_store(softlab, data, tmp_path) -> None:
    """The raters' mean as a prediction of the raters is calibrated, wherever one looks."""
    for seed, name in enumerate(("c1", "c2")):
        for rater, labels in enumerate(drawn(seed, 1.0, raters=3)[1]):
            labels[:, :4] = 0
            save(tmp_path / f"r{rater}" / f"{name}.nii.gz", labels)
    store, out = tmp_path / "s.zarr", tmp_path / "c.json"
    raters = [a for r in range(3) for a in ("--in", tmp_path / f"r{r}")]
    done(softlab("fuse", "--method", "mean", *raters, "--keep-raters", "--out", store))
    command = ["calibrate", "--pred", store, "--ref", store, "--method", "isotonic"]
    done(softlab(*command, "--out", out))
    found = Calibration.load(out)
    for knots in found.maps:
        np.testing.assert_allclose(knots.becomes, knots.probability, atol=0.01)
    assert found.fitted is not None
    everywhere = found.fitted.votes
    region = ("--region", "union=1vox")
    said = done(softlab(*command, "--out", out, "--overwrite", *region)).output
    assert "patients" not in said  # nobody has said whose the cases are
    found = Calibration.load(out)
    assert found.fitted is not None
    assert found.fitted.votes < everywhere
    assert found.fitted.region == "union=1vox"
    said = done(softlab(*command, "--out", out, "--overwrite", "--region", "foreground")).output
    assert "biased" in said


def test_a_folder_that_takes_no_file_is_said_before_cases_are_counted(
    softlab, data, monkeypatch
) -> None:
    monkeypatch.setattr(calibrating, "_counted", None)
    found = softlab("calibrate", "--pred", data / "val", "--ref", data / "val_ref", "--out",
                    "/proc/c.json")  # fmt: skip
    assert found.exit_code == 1
    assert "error: /proc/" in found.output
    assert ": cannot be written" in found.output


def test_where_nothing_is_said_nothing_is_calibrated(softlab, tmp_path) -> None:
    """Not the first class either, which pictures would show as sure and wrong."""
    labels = drawn(0)[1].squeeze().copy()
    labels[0] = 9
    save(tmp_path / "in" / "c.nii.gz", labels)
    done(softlab("onehot", "--in", tmp_path / "in", "--ignore-label", 9, "--out",
                 tmp_path / "s.zarr"))  # fmt: skip
    store = softlab_cli.open_store(tmp_path / "s.zarr")
    calibration = Calibration("temperature", store.classes, temperature=2.0)
    case = discover_cases([tmp_path / "s.zarr"], None, soft=True)[0]
    with open_prediction([case], store.classes, ReadingOptions(), tmp_path) as prediction:
        calibrated = Calibrated(prediction, calibration)
        read = calibrated.read(tuple(slice(0, n) for n in SHAPE))
        volumes = np.stack([calibrated.volume(c) for c in range(len(store.classes))])
    np.testing.assert_array_equal(read, volumes)
    np.testing.assert_array_equal(read.any(axis=0), labels != 9)


def test_scratch_that_cannot_be_written_is_foreseen(tmp_path) -> None:
    grid = Geometry((4, 8, 9), np.eye(4))
    spooled = Spooled.empty(grid, 3, np.float32, tmp_path)
    spooled.path.unlink()
    spooled.path.mkdir()
    with pytest.raises(StoreError, match="classes: cannot be written"):
        Spooled.empty(grid, 3, np.float32, tmp_path)


def test_memory_is_promised_for_float32_where_float16_is_calibrated(softlab, tmp_path) -> None:
    save(tmp_path / "in" / "c.nii.gz", np.tile(drawn(0)[1][0], (1, 8, 8)))
    store = tmp_path / "s.zarr"
    done(softlab("onehot", "--in", tmp_path / "in", "--out", store))
    classes = softlab_cli.open_store(store).classes
    calibration = Calibration("temperature", classes, temperature=2.0)
    run = Request([tmp_path / "in"], tmp_path / "o", workers=1, threads=1)
    sizes = [
        plan_evaluation(
            EvaluationRequest({"a": (store,)}, run, Settings(), calibrations=given), ignore
        ).crew.bytes_per_worker
        for given in ({}, {"a": calibration})
    ]
    assert sizes[1] > sizes[0]


def test_what_goes_wrong_is_named(softlab, data, tmp_path) -> None:
    out = tmp_path / "c.json"
    fitted(softlab, data, out)
    base = ["calibrate", "--pred", data / "val", "--ref", data / "val_ref"]
    assert "exists already" in softlab(*base, "--out", out).output
    assert softlab(*base, "--out", out, "--region", "liver").exit_code == 2
    assert "No such option" in softlab(*base, "--out", out, "--part", "1/2").output
    dry = done(softlab(*base, "--out", tmp_path / "new.json", "--dry-run"))
    assert "3 to do" in dry.output
    assert not (tmp_path / "new.json").exists()
    # A label map, one case without a reference, and nothing that is left.
    hard = softlab("calibrate", "--pred", data / "val_ref", "--ref", data / "val_ref", "--out",
                   tmp_path / "h.json")  # fmt: skip
    assert hard.exit_code == 1
    assert "a label map has no probabilities" in hard.output
    assert "nothing is written" in hard.output
    assert not (tmp_path / "h.json").exists()
    (tmp_path / "ref").mkdir()
    for name in ("c1", "c2"):
        (tmp_path / "ref" / f"{name}.nii.gz").symlink_to(data / "val_ref" / f"{name}.nii.gz")
    part = softlab("calibrate", "--pred", data / "val", "--ref", tmp_path / "ref", "--out",
                   tmp_path / "p.json")  # fmt: skip
    assert part.exit_code == 1
    assert "c3: has a prediction, and no reference" in part.output
    assert Calibration.load(tmp_path / "p.json").fitted.cases == 2  # type: ignore[union-attr]
    # Label maps and other classes to be evaluated.
    evaluate = ["evaluate", "--calibration", out, "--out", tmp_path / "o", "--ref",
                data / "test_ref", "--pred"]  # fmt: skip
    named = softlab(*evaluate, data / "test_ref", "--labels", "0,1=liver,2=tumour,0=background")
    assert "label maps have no probabilities that could be calibrated" in named.output
    other = softlab(*evaluate, data / "test", "--labels", "0,1=lung,2=tumour")
    assert other.exit_code == 1
    assert f"{out}: was fitted on other classes" in other.output


def test_python_runs_it_as_the_command_does(data, tmp_path) -> None:
    request = CalibrationRequest(
        [data / "val"], Request([data / "val_ref"], tmp_path / "deep" / "c.json")
    )
    report, found = execute_calibration(plan_calibration(request))
    assert report.done == 3
    assert found == Calibration.load(tmp_path / "deep" / "c.json")
    with pytest.raises(UsageError, match="--part is a share"):
        CalibrationRequest([data / "val"], Request([data / "val_ref"], tmp_path, part=(1, 2)))


# What counts.


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_is_not_labelled_counts_in_no_likelihood(method) -> None:
    p, y = drawn(4, 2.0, raters=2)
    y[0, :2] = 9
    y[:, 3, 2:5] = 9
    found = softlab_cli.calibrate(p, y, method=method, ignore_index=9)
    q, votes = flat(found.apply(p)), flat(y)
    chance = np.concatenate([q[row[row < 9], np.flatnonzero(row < 9)] for row in votes])
    assert found.fitted is not None
    assert found.fitted.votes == chance.size
    assert found.fitted.nll_after == pytest.approx(-np.log(chance).mean(), abs=1e-6)


def test_a_likelihood_is_of_the_region_that_was_asked_for() -> None:
    p, y = drawn(4, 2.0)
    y[:, :, 3:] = 0
    found = softlab_cli.calibrate(p, y, method="isotonic", region="union=1vox")
    after = softlab_cli.evaluate(p, y, calibration=found, regions=("union=1vox",))
    assert found.fitted is not None
    inside, everywhere = after.figure("nll", region="union"), after.figure("nll")
    assert found.fitted.nll_after == pytest.approx(inside, abs=1e-6)
    assert abs(inside - everywhere) > 1e-3


def test_a_probability_of_nought_counts_as_a_little_at_any_temperature() -> None:
    p = np.array([[0.0, 1e-9, 0.25], [1.0, 1.0, 0.75]], np.float32)
    hot = Calibration("temperature", ClassTable.from_values([0, 1]), temperature=4.0)
    small = 1e-7**0.25
    np.testing.assert_allclose(hot.apply(p)[0, :2], small / (1 + small), rtol=1e-5)


def test_another_version_of_softlab_is_no_other_calibration(monkeypatch) -> None:
    one = Calibration("temperature", ClassTable.from_values([0, 1]), temperature=2.0)
    before = one.digest
    monkeypatch.setattr(calibrations, "__version__", "99")
    assert one.to_json()["softlab"] == "99"
    assert one.digest == before
    assert Calibration("temperature", one.classes, temperature=2.5).digest != before


SIZE = CaseSize((40, 40, 40), 3, 4000, 3, 1, is_soft=True, is_single=False, has_shares=False)
"""Of so many classes that probabilities need most, and of raters, whose votes are held anyhow."""


@pytest.mark.parametrize(
    "changes",
    [{"calibrated": True}, {"normalised": True}, {"has_shares": True}, {"members": 2},
     {"raters": 4}, {"is_single": True}, {"class_count": 4001}],
    ids=lambda changes: next(iter(changes)),
)  # fmt: skip
def test_all_that_is_held_is_promised(changes) -> None:
    settings = Settings()
    assert needed_bytes(replace(SIZE, **changes), settings, 0) > needed_bytes(SIZE, settings, 0)


def test_every_combination_of_regions_is_promised() -> None:
    none, one, two = (
        needed_bytes(SIZE, Settings(regions=parse_regions(names)), 0)
        for names in ([], ["union"], ["union", "band"])
    )
    assert two - one > 1.9 * (one - none) > 0


def test_where_the_prediction_says_nothing_no_vote_counts() -> None:
    p, y = drawn(0, 1.0, raters=2)
    nothing = np.zeros(SHAPE, np.bool_)
    nothing[2:] = True
    p[:, nothing] = 0
    soft: Any = SimpleNamespace(
        shape=SHAPE, ndim=3, read=lambda region: p[(slice(None), *region)].copy(),
        unlabelled=lambda region: nothing[region],
    )  # fmt: skip
    scene = Scene(y, ("r1", "r2"), ("a", "b", "c"), 0, 255, (1, 1, 1))
    plain = Calibration("temperature", ClassTable.from_values(range(3)), temperature=1.0)
    (found,) = likelihood(scene, soft, [plain], settings_for("isotonic", "all"))
    assert found.votes == 2 * 2 * 8 * 9
    expected = naive.nll(flat(plain.apply(p[:, :2])), flat(y[:, :2]))
    assert found.mean == pytest.approx(expected, abs=1e-6)


def test_what_changes_where_nothing_is_said_is_not_counted() -> None:
    nothing = np.array([[[True, True, False, False]]])
    p = np.array([[[[0, 0, 1, 0.5]]], [[[0, 0, 0, 0.5]]]], np.float16)
    prediction: Any = SimpleNamespace(
        read=lambda region: p[(slice(None), *region)].copy(),
        unlabelled=lambda region: nothing[region],
    )
    maps = (Knots((0.0, 1.0), (0.1, 0.1)), Knots((0.0, 1.0), (0.9, 0.9)))
    calibration = Calibration("isotonic", ClassTable.from_values([0, 1]), maps=maps)
    calibrated = Calibrated(prediction, calibration)
    calibrated.read((slice(0, 1), slice(0, 1), slice(0, 4)))
    assert "the most probable one at 2 voxels" in " ".join(calibrated.warnings)
