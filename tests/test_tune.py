"""``softlab tune``: soft labels against raters who are left out, on tiny cases."""

from __future__ import annotations

import csv
import doctest
import json
import math
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

import softlab_cli
from softlab_cli.api import soften
from softlab_cli.core.blocks import Grid as Blocks
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.events import ignore
from softlab_cli.methods import METHODS, VLS
from softlab_cli.running.request import Request
from softlab_cli.running.runner import run
from softlab_cli.tuning import arrays, scene
from softlab_cli.tuning.arrays import predict_left_out
from softlab_cli.tuning.grid import Grid, Setting
from softlab_cli.tuning.plan import plan_tuning
from softlab_cli.tuning.request import TuneRequest
from softlab_cli.tuning.views import side_by_side
from softlab_cli.tuning.votes import FIGURES
from tests.conftest import blobs, write_image
from tests.toys import TOYS
from tests.vls_support import TINY, disc

SHAPE = (6, 14, 15)
SPACING = (2.5, 0.8, 1.0)
IGNORED = 9
TRIED: dict[str, Any] = {
    "kernel_size": (3, 5), "sigma_voxels": (1.0,), "sigma_mm": (0.9,), "smoothing": (0.1, 0.3),
    "slicewise": True,
}  # fmt: skip


def drawn(count: int, shape: tuple[int, ...] = SHAPE, classes: int = 3) -> list[np.ndarray]:
    """Raters who draw the same with shifted borders, and background around."""
    truth = np.zeros(shape, np.uint8)
    inner = tuple(slice(n // 3, n - n // 4) for n in shape)
    truth[inner] = blobs(truth[inner].shape, classes, seed=4)
    return [np.roll(truth, r, axis=-1 - r % 2) for r in range(count)]


def grown(foreground: np.ndarray, reach: str) -> np.ndarray:
    """Voxels within a distance, by scipy."""
    if reach == "0vox":
        return foreground
    if reach.endswith("vox"):
        return ndimage.binary_dilation(foreground, iterations=int(reach[:-3]))
    sampling = SPACING[3 - foreground.ndim :]
    return ndimage.distance_transform_edt(~foreground, sampling=sampling) <= float(reach[:-2])


def naive_figures(
    pairs: list[tuple[np.ndarray, np.ndarray]], classes: list[int], mask: np.ndarray, *,
    bins: int = 15, clip: float = 1e-3,
) -> dict[str, float]:  # fmt: skip
    """NLL, Brier and ECE over pairs of a soft label and a rater's label map, voxel by voxel."""
    surprise, square, gaps, votes = 0.0, 0.0, np.zeros(bins), 0
    for soft, label_map in pairs:
        for place in np.argwhere(mask):
            p = soft[(slice(None), *place)].astype(np.float64)
            label = classes.index(int(label_map[tuple(place)]))
            surprise -= math.log(max(p[label], clip))
            square += sum((p[c] - (c == label)) ** 2 for c in range(len(classes)))
            top = int(np.argmax(p))
            number = max(0, math.ceil(p[top] * bins) - 1)
            gaps[number] += p[top] - (top == label)
            votes += 1
    return {
        "nll": surprise / votes, "brier": square / votes, "ece": np.abs(gaps).sum() / votes,
    }  # fmt: skip


def naive(
    raters: list[np.ndarray], setting: Setting, reach: str, classes: list[int], **more: Any
) -> dict[str, float]:
    """The same for all ways to leave a rater out, with the soft labels of `softlab_cli.api`."""
    named = np.stack(raters)
    foreground = ((named > 0) & (named != IGNORED)).any(axis=0)
    mask = grown(foreground, reach) & (named != IGNORED).all(axis=0)
    options: dict[str, Any] = {"spacing_mm": SPACING[3 - named[0].ndim :], "labels": classes}
    options |= {"ignore_value": IGNORED}
    pairs = []
    for left in range(len(raters)):
        others = [r for r in range(len(raters)) if r != left]
        if setting.of == "others":
            soft = soften(setting.make(), [raters[r] for r in others], **options)
            pairs.append((soft, raters[left]))
        else:
            image = more.get("image")
            soft = soften(setting.make(), raters[left], image, **options)
            pairs += [(soft, raters[r]) for r in others]
    return naive_figures(pairs, classes, mask)


@pytest.mark.parametrize("reach", ["3vox", "2mm", "0vox"])
@pytest.mark.parametrize("shape", [SHAPE, (17, 19)])
def test_every_setting_is_judged_as_by_hand(shape: tuple[int, ...], reach: str) -> None:
    raters = drawn(3, shape)
    raters[1][..., -3:] = IGNORED
    settings = Grid(**TRIED).settings(images=False)
    chosen = settings if reach == "3vox" else settings[1::4]
    found = predict_left_out(
        raters, spacing_mm=SPACING[3 - len(shape) :], labels=range(3), ignore_value=IGNORED,
        regions=f"union={reach}", **TRIED,
    )  # fmt: skip
    assert list(found) == [setting.name for setting in settings]
    for setting in chosen:
        expected = naive(raters, setting, reach, [0, 1, 2])
        assert found[setting.name] == pytest.approx(expected, abs=1e-8), setting.name


def test_the_example_of_the_docstring() -> None:
    assert doctest.testmod(arrays) == (0, 4)


def test_what_follows_the_image_is_judged_by_hand_too() -> None:
    raters = drawn(3)
    image = ndimage.gaussian_filter(raters[0].astype(np.float32), 1.0)
    found = predict_left_out(
        raters, image, spacing_mm=SPACING, labels=range(3), methods=("geols",), smoothing=(0.2,)
    )
    assert list(found) == ["onehot", "mean", "geols --smoothing 0.2"]
    setting = Setting("geols", (("smoothing", 0.2),))
    expected = naive(raters, setting, "3vox", [0, 1, 2], image=image)
    assert found[setting.name] == pytest.approx(expected, abs=1e-8)


def test_blocks_and_threads_change_nothing(monkeypatch) -> None:
    raters = drawn(4)
    whole = predict_left_out(raters, spacing_mm=SPACING, **TRIED)

    def small(shape: Any, ndim: int) -> Blocks:
        return Blocks(shape, (2, 5, 4), (2, 5, 4))

    monkeypatch.setattr(scene, "_grid", small)
    assert predict_left_out(raters, spacing_mm=SPACING, threads=3, **TRIED) == whole


def test_figures_are_those_of_an_evaluation() -> None:
    """Of soft labels that are given, ``softlab evaluate`` says the same in the same region."""
    raters = drawn(2)
    found = predict_left_out(raters, regions="all", clip=1e-7, methods=("svls",), kernel_size=(3,))
    for name in ("onehot", "svls --kernel-size 3 --sigma-voxels 1"):
        setting = next(s for s in Grid().settings(images=False) if s.name == name)
        rows = []
        for one, other in pairwise([*raters, raters[0]]):
            soft = soften(setting.make(), one, labels=range(3))
            rows.append(softlab_cli.evaluate(soft, other, temperature=False))
        for metric in ("nll", "brier"):  # means over voxels, of which both raters have as many
            mean = sum(row.figure(metric, "all") for row in rows) / 2
            assert found[name][metric] == pytest.approx(mean, abs=1e-8)


def test_each_class_is_judged_against_all_others() -> None:
    from softlab_cli.methods.arrays import ArrayCase
    from softlab_cli.tuning.measure import measure_votes
    from softlab_cli.tuning.subset import Surroundings

    raters = drawn(3)
    case = ArrayCase.of(raters, None, spacing_mm=None, labels=range(4), ignore_value=None,
                        threads=1)  # fmt: skip
    setting = Setting("svls")
    found = measure_votes(
        case.raters(), case.classes, [setting], Surroundings("c", None, lambda: None),  # type: ignore[arg-type]
        reach=None, bins=10, clip=1e-3,
    )  # fmt: skip
    votes = found.votes[setting].weighed()
    for c in range(4):
        pairs = []
        for one in range(3):
            p = soften(setting.make(), raters[one], labels=range(4))[c].astype(np.float64)
            pairs += [(p, raters[other] == c) for other in range(3) if other != one]
        p, y = (np.concatenate([pair[i].ravel() for pair in pairs]) for i in (0, 1))
        hit = np.where(y, p, 1 - p)
        bins = np.maximum(np.ceil(p * 10).astype(int) - 1, 0)
        gaps = np.abs(np.bincount(bins, p - y, 10)).sum()
        expected = {
            "nll": -np.log(np.maximum(hit, 1e-3)).mean(), "brier": ((1 - hit) ** 2).mean(),
            "ece": gaps / len(p),
        }  # fmt: skip
        row = votes[c + 1 : c + 2]
        assert {n: float(f(row)[0]) for n, f in FIGURES.items()} == pytest.approx(expected)


def test_toys_of_the_registry_are_tried_like_any_method(monkeypatch) -> None:
    for name, entry in TOYS.items():
        monkeypatch.setitem(METHODS, name, entry)
    raters = drawn(3)
    image = raters[1].astype(np.float32)
    found = predict_left_out(
        raters, image, labels=range(3), spacing_mm=SPACING,
        methods=("toy-local", "toy-raters", "toy-image", "majority"),
    )  # fmt: skip
    assert found["toy-raters"] == found["majority"]
    for kind in ("toy-local", "toy-image"):
        expected = naive(raters, Setting(kind), "3vox", [0, 1, 2], image=image)
        assert found[kind] == pytest.approx(expected, abs=1e-8)
    for kind, reason in (("toy-learned", "learns"), ("toy-imported", "takes soft labels")):
        with pytest.raises(UsageError, match=reason):
            predict_left_out(raters, methods=(kind,))
    tried = {setting.method for setting in Grid().settings(images=False)}
    assert {"toy-local", "toy-raters"} < tried
    assert not {"toy-learned", "toy-image", "toy-imported"} & tried


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Four cases of three raters, in folders whose names need quotes."""
    root = tmp_path_factory.mktemp("tune") / "it's here"
    for place in range(4):
        truth = blobs((5, 9, 10), 2, seed=place)
        for rater in range(3):
            label_map = np.roll(truth, rater * (1 + place % 2), axis=1 + rater % 2)
            write_image(root / f"r{rater}" / f"case{place}.nii.gz", label_map, (2, 1, 1))
    return root


def inputs(data: Path, raters: int = 3) -> list[Any]:
    return [part for rater in range(raters) for part in ("--in", data / f"r{rater}")]


SMALL = ("--methods", "mean,msvls,onehot", "--methods", "svls", "--kernel-size", 3, "--sigma-mm",
         "0.5,1.5", "--workers", 1)  # fmt: skip


@pytest.fixture(scope="module")
def tuned(data, tmp_path_factory) -> tuple[Path, str]:
    """The results on these, and what was printed."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    out = tmp_path_factory.mktemp("tuned") / "out"
    arguments = ["tune", *inputs(data), *SMALL, "--labels", "0,1=it", "--out", out]
    result = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output
    return out, result.output


def read(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "summary.json").read_text())
    return content


def test_the_command_line_says_what_arrays_say(data, tuned) -> None:
    import SimpleITK as sitk

    out, _ = tuned
    rows = list(csv.DictReader((out / "cases.csv").open(newline="")))
    options: dict[str, Any] = {"kernel_size": (3,), "sigma_mm": (0.5, 1.5)}
    options |= {"methods": ("mean", "msvls", "onehot", "svls")}
    for place in range(4):
        files = [data / f"r{r}" / f"case{place}.nii.gz" for r in range(3)]
        raters = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files]
        found = predict_left_out(raters, spacing_mm=(2, 1, 1), labels=(0, 1), **options)
        mine = [r for r in rows if r["case"] == f"case{place}" and r["class"] == "all"]
        values = {(r["setting"], r["metric"]): float(r["value"]) for r in mine}
        assert values == {(s, m): v for s, one in found.items() for m, v in one.items()}
    assert {row["class"] for row in rows} == {"all", "background", "it"}
    assert (out / "tune.png").stat().st_size > 10_000
    text = (out / "summary.md").read_text()
    assert "Voxels: union=3vox" in text
    assert "probabilities of at least 0.001" in text


def test_figures_are_pooled_and_differences_paired(tuned) -> None:
    content = read(tuned[0])
    rows = list(csv.DictReader((tuned[0] / "cases.csv").open(newline="")))
    values = {(e["setting"], e["metric"]): e for e in content["figures"] if e["class"] == "all"}
    for name in ("mean", "onehot"):
        of = [r for r in rows if r["setting"] == name and r["class"] == "all"]
        nll = [(float(r["value"]), int(r["votes"])) for r in of if r["metric"] == "nll"]
        pooled = sum(v * n for v, n in nll) / sum(n for _, n in nll)
        found = values[name, "nll"]
        assert found["value"] == pytest.approx(pooled)
        assert found["low"] <= found["value"] <= found["high"]
    for e in content["differences"]:
        expected = (
            values[e["setting"], e["metric"]]["value"] - values[e["than"], e["metric"]]["value"]
        )
        assert e["value"] == pytest.approx(expected, abs=1e-12)
        holds_0 = e["low"] <= 0 <= e["high"]
        assert (e["verdict"] == "no better") == holds_0
    best = content["best"]["others"]
    assert best["value"] == min(
        values[t["setting"], "nll"]["value"] for t in content["tried"] if t["of"] == "others"
    )
    assert content["recommended"]["others"] in (best["setting"], "mean")


def test_the_command_that_it_prints_makes_the_store(tuned, softlab, tmp_path) -> None:
    lines = [line.strip() for line in tuned[1].splitlines()]
    of_all, of_one = (shlex.split(line) for line in lines if line.startswith("softlab "))
    assert of_one[of_one.index("--in") + 1] == "LABELS"
    of_all[of_all.index("--out") + 1] = str(tmp_path / "soft.zarr")
    result = softlab(*of_all[1:], "--workers", "1")
    assert result.exit_code == 0, result.output
    store = softlab_cli.open_store(tmp_path / "soft.zarr")
    assert store.info.classes.names == ("background", "it")
    said = next(t for t in read(tuned[0])["tried"] if shlex.split(t["command"])[1] == of_all[1])
    assert store.info.method == said["method"]


@pytest.fixture(scope="module")
def learned(tmp_path_factory) -> Path:
    """Discs by three raters, and a model that learned from the second one's labels."""
    root = tmp_path_factory.mktemp("learned")
    for place in range(4):
        image, label, _ = disc(place, size=20)
        write_image(root / "images" / f"c{place}.nii.gz", image)
        for rater in range(3):
            label_map = np.roll(label, rater - 1, axis=2)
            write_image(root / f"r{rater}" / f"c{place}.nii.gz", label_map)
    method = VLS(**TINY)
    run(method, root / "r1", root / "m.zarr", images=root / "images", workers=1, train_only=True)
    return root


def test_what_was_learned_of_a_rater_is_tried_on_that_rater_only(
    learned, softlab, tmp_path
) -> None:
    model, out = learned / "m.zarr.fit", tmp_path / "out"
    given = [*inputs(learned), "--images", learned / "images", "--regions", "all", "--workers", 1]
    result = softlab(
        "tune", *given, "--methods", "vls,svls,mean", "--sigma-voxels", 1, "--kernel-size", 3,
        "--smoothing", "0.4,0.9", "--model", f"r1={model}", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "warn" not in result.stderr
    names = [f"c{i}" for i in range(4)]
    raters = {r: [read_label(learned / f"r{r}" / f"{n}.nii.gz") for n in names] for r in range(3)}
    found = {
        (r["raters"], r["setting"]): float(r["value"])
        for r in csv.DictReader((out / "tune.csv").open())
        if (r["class"], r["metric"]) == ("all", "nll")
    }
    assert len(found) == 7
    for base in ("onehot", "svls"):
        for share in (0.4, 0.9):
            store = tmp_path / f"{base}{share}.zarr"
            run(VLS(model=model, base=base, smoothing=share), learned / "r1", store,
                images=learned / "images", workers=1)  # fmt: skip
            soft = {name: case.read() for name, case in softlab_cli.open_store(store).items()}
            pairs = [(soft[name], raters[r][i]) for r in (0, 2) for i, name in enumerate(names)]
            expected = naive_figures(pairs, [0, 1], np.ones(raters[0][0].shape, bool))["nll"]
            assert found["one", f"vls --base {base} --smoothing {share}"] == pytest.approx(expected)
    hard = [(onehot(raters[1][i]), raters[r][i]) for r in (0, 2) for i in range(4)]
    expected = naive_figures(hard, [0, 1], np.ones(raters[0][0].shape, bool))["nll"]
    assert found["one", "onehot"] == pytest.approx(expected)
    summary = read(out)
    assert "Of r1 only" in (out / "summary.md").read_text()
    commands = {e["setting"]: shlex.split(e["command"]) for e in summary["tried"]}
    said = commands["vls --base svls --smoothing 0.9"]
    assert said[said.index("--model") + 1] == str(model)
    assert said[said.index("--images") + 1] == "IMAGES"
    again = softlab("tune", *given, "--methods", "vls,svls,mean", "--sigma-voxels", 1,
                    "--kernel-size", 3, "--smoothing", "0.4,0.9", "--model", f"r1={model}",
                    "--out", out)  # fmt: skip
    assert re.search(r"skipped +4", again.output)


def read_label(path: Path) -> np.ndarray:
    import SimpleITK as sitk

    return sitk.GetArrayFromImage(sitk.ReadImage(str(path)))


def onehot(label_map: np.ndarray) -> np.ndarray:
    return np.stack([label_map == 0, label_map == 1]).astype(np.float16)


def test_another_model_makes_results_anew_and_bad_ones_are_refused(
    learned, softlab, tmp_path
) -> None:
    model, out, torn = learned / "m.zarr.fit", tmp_path / "out", tmp_path / "torn.fit"
    shutil.copytree(model, torn)
    (torn / "fold_1.pt").unlink()
    given = [*inputs(learned), "--images", learned / "images", "--methods", "vls", "--smoothing",
             "0.4", "--base", "svls", "--workers", 1, "--out", out]  # fmt: skip
    for said, problem in (
        ((), "Give --model, which softlab vls --train-only makes, or leave vls out"),
        (("--model", "r1="), "names no path"),
        (("--model", f"r1={torn}"), f"{torn.name}/fold_1.pt: is missing."),
        (("--model", model), "--model is given for no rater"),
        (("--model", f"r9={model}"), "'r9', which is no rater"),
        (("--model", f"r1={learned}"), "holds no model"),
        (("--model", f"r1={model}", "--model", f"r1={model}"), "given twice"),
        (("--model", f"r1={model}", "--labels", "0,1,2"), "model of other classes"),
    ):
        result = softlab("tune", *given, *said)
        assert result.exit_code in (1, 2), result.output
        assert problem in " ".join(result.output.split()), result.output
        assert not out.exists()
    idle = softlab("tune", *inputs(learned), "--model", f"r1={model}", "--out", out)
    assert idle.exit_code == 2
    assert "--model has no effect" in idle.output
    assert softlab("tune", *given, "--model", f"r1={model}").exit_code == 0
    other = tmp_path / "other.fit"
    shutil.copytree(model, other)
    facts = json.loads((other / "model.json").read_text())
    for case in facts["cases"].values():
        case["fold"] = 1 - case["fold"]
    (other / "model.json").write_text(json.dumps(facts))
    again = softlab("tune", *given, "--model", f"r1={other}")
    assert "options have changed" in again.output + again.stderr
    both = softlab("tune", *given, "--model", f"r1={model}", "--model", f"r2={other}")
    assert both.exit_code == 0
    assert "label map has changed" in both.output + both.stderr
    alone = softlab(
        "tune", "--in", learned / "r1", *given[6:-1], tmp_path / "alone", "--model", model
    )
    assert alone.exit_code == 0, alone.output
    assert "vls --base svls --smoothing 0.4: moves" in alone.output


def test_each_rater_has_the_model_of_its_own(learned, softlab, tmp_path) -> None:
    model, other, out = learned / "m.zarr.fit", tmp_path / "other.fit", tmp_path / "out"
    shutil.copytree(model, other)
    facts = json.loads((other / "model.json").read_text())
    for case in facts["cases"].values():
        case["fold"] = 1 - case["fold"]
    (other / "model.json").write_text(json.dumps(facts))
    result = softlab(
        "tune", *inputs(learned), "--images", learned / "images", "--regions", "all", "--methods",
        "vls", "--base", "onehot", "--smoothing", 0.9, "--workers", 1, "--model", f"r1={model}",
        "--model", f"r2={other}", "--out", out,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    names = [f"c{i}" for i in range(4)]
    raters = {r: [read_label(learned / f"r{r}" / f"{n}.nii.gz") for n in names] for r in range(3)}
    pairs = []
    for rater, folder in ((1, model), (2, other)):
        store = tmp_path / f"{rater}.zarr"
        run(VLS(model=folder, base="onehot", smoothing=0.9), learned / f"r{rater}", store,
            images=learned / "images", workers=1)  # fmt: skip
        soft = {name: case.read() for name, case in softlab_cli.open_store(store).items()}
        pairs += [(soft[n], raters[r][i]) for r in {0, 1, 2} - {rater} for i, n in enumerate(names)]
    expected = naive_figures(pairs, [0, 1], np.ones(raters[0][0].shape, bool))["nll"]
    (found,) = (
        float(r["value"])
        for r in csv.DictReader((out / "tune.csv").open())
        if (r["class"], r["metric"]) == ("all", "nll") and r["setting"].startswith("vls")
    )
    assert found == pytest.approx(expected)


def texts(out: Path) -> dict[str, bytes]:
    return {f.name: f.read_bytes() for f in out.rglob("*") if f.suffix in (".csv", ".json")}


def test_what_is_done_is_not_done_again(data, softlab, tmp_path) -> None:
    out, told = tmp_path / "out", list[Any]()
    options: dict[str, Any] = {"methods": ("mean",), "workers": 1, "listen": told.append}
    raters = [data / f"r{rater}" for rater in range(3)]
    assert softlab_cli.tune(raters, out, **options)[0].done == 4
    before = texts(out)
    assert softlab_cli.tune(raters, out, **options)[0].skipped == 4
    assert texts(out) == before
    (out / "cases" / "case1.json").write_text("{")
    (out / "cases" / "case2.json").unlink()
    mended, _ = softlab_cli.tune(raters, out, **options | {"workers": 2, "threads": 3})
    assert (mended.done, mended.skipped) == (2, 2)
    assert texts(out) == before
    assert softlab_cli.tune(raters, out, clip=0.01, **options)[0].done == 4
    assert any("options have changed" in getattr(event, "message", "") for event in told)
    dry = softlab("tune", *inputs(data), "--methods", "mean", "--out", out, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "its options have changed" in dry.output
    assert "fuse --method mean" in dry.output


def test_pictures_in_parts_are_summed_up_by_the_last(tmp_path) -> None:
    for place in range(3):
        for rater, label_map in enumerate(drawn(2, (11, 12))):
            write_image(tmp_path / f"r{rater}" / f"p{place}.nii.gz", np.roll(label_map, place))
    raters = [tmp_path / "r0", tmp_path / "r1"]
    options: dict[str, Any] = {"methods": ("svls", "majority"), "kernel_size": (3,), "workers": 1,
                               "labels": "0-2"}  # fmt: skip
    report, summary = softlab_cli.tune(raters, tmp_path / "parts", part=(1, 2), **options)
    assert (report.done, summary) == (2, None)
    report, _ = softlab_cli.tune(raters, tmp_path / "parts", part=(2, 2), **options)
    assert report.done == 1
    softlab_cli.tune(raters, tmp_path / "whole", **options)
    assert texts(tmp_path / "parts") == texts(tmp_path / "whole")


def test_cases_that_cannot_be_tried_are_named_and_stop_nothing(data, softlab, tmp_path) -> None:
    for rater in range(3):
        for file in (data / f"r{rater}").iterdir():
            target = tmp_path / f"r{rater}" / file.name
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    (tmp_path / "r1" / "case0.nii.gz").unlink()
    (tmp_path / "r2" / "case0.nii.gz").unlink()
    (tmp_path / "r2" / "case1.nii.gz").write_bytes(b"nothing")
    write_image(tmp_path / "r2" / "case3.nii.gz", np.zeros((5, 9, 10), np.uint8), (2, 1, 1))
    result = softlab("tune", *inputs(tmp_path), "--methods", "mean", "--workers", 1, "--labels",
                     "0,1", "--out", tmp_path / "out")  # fmt: skip
    assert result.exit_code == 1
    assert "failed: case0: " in result.output
    assert "has one rater" in result.output
    assert "failed: case1: " in result.output
    content = read(tmp_path / "out")
    assert content["cases"] == ["case2", "case3"]
    assert {entry["case"] for entry in content["failed"]} == {"case0", "case1"}
    assert "since they failed: 2 (case0, case1)" in (tmp_path / "out" / "summary.md").read_text()


def test_with_one_rater_it_says_what_cannot_be_known(data, softlab, tmp_path) -> None:
    result = softlab("tune", *inputs(data, 1), *SMALL, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "which soft label is best cannot be known" in result.output
    content = read(tmp_path / "out")
    assert content["one_rater_only"]
    assert "best" not in content
    moved = {entry["setting"]: entry for entry in content["moved"]}
    assert list(moved) == ["onehot", "svls --kernel-size 3 --sigma-mm 0.5",
                           "svls --kernel-size 3 --sigma-mm 1.5"]  # fmt: skip
    assert moved["onehot"]["moved_of_foreground"]["value"] == 0
    import SimpleITK as sitk

    shares, touched = [], []
    for place in range(4):
        file = data / "r0" / f"case{place}.nii.gz"
        labels = sitk.GetArrayFromImage(sitk.ReadImage(str(file)))
        soft = softlab_cli.svls(labels, sigma_mm=1.5, spacing_mm=(2, 1, 1), labels=(0, 1))
        own = np.take_along_axis(soft.astype(np.float64), labels[None].astype(int), 0)
        shares.append((1 - own).sum() / (labels > 0).sum())
        touched.append((own < 1).mean())
    found = moved["svls --kernel-size 3 --sigma-mm 1.5"]
    assert found["moved_of_foreground"]["value"] == pytest.approx(np.mean(shares))
    assert found["touched"]["value"] == pytest.approx(np.mean(touched))
    assert moved["onehot"]["touched"]["value"] == 0
    text = (tmp_path / "out" / "summary.md").read_text()
    assert "cannot be known from that" in text
    for picture in ("tune.png", "settings.png"):
        assert (tmp_path / "out" / picture).stat().st_size > 10_000


def test_the_settings_side_by_side_are_those_of_one_slice(data, tmp_path) -> None:
    import SimpleITK as sitk

    run = Request([data / "r0"], tmp_path / "out", labels="0,1", workers=1)
    grid = Grid(methods=("svls",), kernel_size=(5,), sigma_voxels=(2.0,))
    found = side_by_side(plan_tuning(TuneRequest(run, grid), ignore))
    assert found is not None
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(data / "r0" / "case0.nii.gz")))
    assert found.case_id == "case0"
    assert (labels > 0).sum(axis=(1, 2))[found.z] == (labels > 0).sum(axis=(1, 2)).max()
    np.testing.assert_array_equal(found.labels, labels[found.z])  # within the margin: all of it
    soft = softlab_cli.svls(labels, kernel_size=5, sigma_voxels=2.0, labels=(0, 1))
    own = np.take_along_axis(soft, labels[None].astype(int), 0)[0, found.z].astype(np.float32)
    np.testing.assert_array_equal(found.moved["svls --kernel-size 5 --sigma-voxels 2"], 1 - own)
    assert not found.moved["onehot"].any()


def test_every_rater_weighs_alike_however_many_a_case_has(data, tmp_path) -> None:
    """The figure of one rater's labels is a mean over those who are tested, not over pairs."""
    write_image(tmp_path / "r2" / "case1.nii.gz", blobs((5, 9, 10), 2, seed=9), (2, 1, 1))
    _, summary = softlab_cli.tune(
        [data / "r0", data / "r1", tmp_path / "r2"], tmp_path / "out", methods=("onehot",),
        regions="all", labels="0,1", workers=1,
    )  # fmt: skip
    assert summary is not None
    rows = list(csv.DictReader((tmp_path / "out" / "cases.csv").open(newline="")))
    of = {r["case"]: r for r in rows if (r["setting"], r["class"]) == ("onehot", "all")}
    raters = {"case0": 2, "case1": 3, "case2": 2, "case3": 2}
    assert {c: int(r["votes"]) for c, r in of.items()} == {c: 450 * n * (n - 1) for c, n in
                                                           raters.items()}  # fmt: skip
    (found,) = [e["value"] for e in summary.content["figures"]
                if (e["setting"], e["class"], e["metric"]) == ("onehot", "all", "ece")]  # fmt: skip
    scores = {r["case"]: float(r["value"]) for r in rows
           if (r["setting"], r["class"], r["metric"]) == ("onehot", "all", "brier")}  # fmt: skip
    weighed = sum(scores[case] * n for case, n in raters.items()) / sum(raters.values())
    assert found == pytest.approx(weighed / 2)  # of sure labels, Brier is twice the share of misses


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--methods", "svsl"), "'svsl' is no method"),
        (("--methods", "geols"), "no --images are given. Give them, or leave geols out"),
        (("--regions", "foreground"), "depend on the rater"),
        (("--regions", "near"), "is no region"),
        (("--clip", "0"), "--clip 0"),
        (("--bins", "0"), "--bins 0"),
        (("--kernel-size", "3,4"), "a kernel size of 4"),
        (("--sigma-mm", "1,x"), "'x' is no number"),
        (("--sigma-voxels", "0"), "a sigma of 0.0"),
        (("--overwrite", "--part", "1/2"), "--overwrite with --part"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_read(
    options, said, data, softlab, tmp_path
) -> None:
    result = softlab("tune", *inputs(data), *options, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not (tmp_path / "out").exists()


def test_python_has_the_same_names(data, tmp_path) -> None:
    report, summary = softlab_cli.tune(
        [data / "r0", data / "r1"], tmp_path / "out", methods=("mean",), clip=0.01, labels="0,1",
        workers=1, groups={f"case{i}": f"p{i // 2}" for i in range(4)},
    )  # fmt: skip
    assert report.done == 4
    assert summary is not None
    assert summary.content["patients"] == 2
    assert summary.content["clip"] == 0.01
    with pytest.raises(InputError, match="no patient"):
        softlab_cli.tune([data / "r0", data / "r1"], tmp_path / "o", groups={"case0": "p"})
    with pytest.raises(UsageError, match="left out"):
        predict_left_out([np.zeros((2, 2), np.uint8)])
