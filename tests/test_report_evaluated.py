"""report.html of an evaluation: what it holds, and what a browser makes of it."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.text import shown
from softlab_cli.core.volume import Geometry
from softlab_cli.evaluation.case import OpenCase
from softlab_cli.evaluation.measure import Shares
from softlab_cli.evaluation.scene import Scene
from softlab_cli.report.evaluated.wrong import _of_class, worst_place, wrongness
from tests.conftest import blobs
from tests.page_support import EVIL, MARKUP, Elements, run
from tests.soft_support import save

SHAPE = (7, 12, 14)
CASES = ("c1", MARKUP, "c3")


def labels_of(place: int) -> np.ndarray:
    return blobs(SHAPE, 3, seed=place)


def sure(labels: np.ndarray) -> np.ndarray:
    return np.stack([np.where(labels == c, 0.75, 0.125) for c in range(3)]).astype(np.float32)


def evaluate(root: Path, out: Path, *options: object) -> Elements:
    run("evaluate", "--ref", root / "ref", "--out", out, "--no-temperature", "--background",
        "first", "--classes-from", root / "names.json", *options)  # fmt: skip
    return Elements((out / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Three cases: an image, references, and the predictions of two runs; one is worse."""
    root = tmp_path_factory.mktemp("page")
    for place, name in enumerate(CASES):
        labels = labels_of(place)
        wrong = labels.copy()
        wrong[: place + 1] = 0
        save(root / "ref" / f"{name}.nii.gz", labels)
        save(root / "images" / f"{name}.nii.gz", labels * np.float32(50))
        save(root / "good" / f"{name}.nii.gz", sure(labels))
        save(root / "bad" / f"{name}.nii.gz", sure(wrong))
        save(root / "hard" / f"{name}.nii.gz", wrong)
    save(root / "good" / "only-predicted.nii.gz", sure(labels_of(0)))
    names = {"background": 0, "liver": 1, EVIL: 2}
    (root / "names.json").write_text(json.dumps({"labels": names}))
    return root


@pytest.fixture(scope="module")
def two_runs(root, tmp_path_factory) -> Path:
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    out = tmp_path_factory.mktemp("results") / "o"
    command = ["evaluate", "--pred", f"good={root / 'good'}", "--pred", f"bad={root / 'bad'}",
               "--baseline", "good", "--ref", root / "ref", "--images", root / "images",
               "--regions", "band=1vox", "--thumbnails", 1, "--workers", 1, "--no-temperature",
               "--background", "first",
               "--classes-from", root / "names.json", "--out", out]  # fmt: skip
    found = CliRunner().invoke(cli, [str(a) for a in command])
    assert found.exit_code == 1, found.output  # one case has no reference
    return out / "report.html"


def test_the_page_has_every_part(two_runs) -> None:
    page = Elements(two_runs.read_text(encoding="utf-8"))
    assert len(page.ids()) == len(set(page.ids()))
    assert {"overlap", "calibration", "differences", "cases", "failed"} <= set(page.ids())
    # A chart for reliability in each of two regions, and one for the confidence of each run.
    assert page.text.count("share that is right") == 2
    assert page.text.count("Histogram of confidence") == 4
    assert "no better than good, and no worse, as far as these cases show" in page.text
    assert "has a prediction, and no reference." in page.text
    assert "each case is taken as a patient of its own" in page.text
    for name in (MARKUP, shown(EVIL)):
        assert name in page.text
    # Two runs of one picture each: three planes, with image, reference and what is wrong.
    assert page.tags["figure"] == 6 + 2 * 3
    layers = {value for _, name, value in page.attributes if name == "data-switches"}
    assert {"image", "hard", "soft", "reference", "shade-0", "place"} <= layers
    assert "sure and wrong" in page.text


def test_a_page_of_label_maps_has_no_calibration(root, tmp_path) -> None:
    (tmp_path / "ref").symlink_to(root / "ref")
    page = evaluate(root, tmp_path / "o", "--pred", root / "hard")
    assert "calibration" not in page.ids()
    assert page.tags["figure"] == 9
    assert "wrong, up to 1" in page.text
    # What is there is kept, and what has changed is drawn anew.
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "o" / "cases").glob("*.html")}
    assert len(before) == 3
    evaluate(root, tmp_path / "o", "--pred", root / "hard")
    assert before == {p: p.stat().st_mtime_ns for p in before}
    none = evaluate(root, tmp_path / "o", "--pred", root / "hard", "--thumbnails", 0)
    assert none.tags["figure"] == 0


def opened(hard: np.ndarray, raters: np.ndarray, shares: Shares | None = None) -> OpenCase:
    scene = Scene(raters, tuple(f"r{i}" for i in range(len(raters))), ("a", "b"), 0, 255, (1, 1, 1))
    return OpenCase(scene, Geometry(hard.shape, np.eye(4)), hard, None, shares)


def test_what_is_wrong_is_the_share_that_says_something_else() -> None:
    hard = np.zeros((2, 3, 4), np.uint8)
    raters = np.zeros((2, 2, 3, 4), np.uint8)
    raters[0, 1, 2, 3] = 1
    raters[:, 0, 0, 0] = 1
    raters[0, 0, 1, 1] = 255  # not labelled
    found = wrongness(opened(hard, raters))
    assert found[1, 2, 3] == 0.5
    assert found[0, 0, 0] == 1
    assert found[0, 1, 1] == 0
    assert found.sum() == 1.5


class Given:
    """Soft labels in memory."""

    def __init__(self, values: np.ndarray) -> None:
        self._values = values

    def read(self, region: Any) -> np.ndarray:
        return self._values[(slice(None), *region)].copy()


def test_what_is_wrong_weighs_as_much_as_it_was_sure() -> None:
    hard = np.zeros((1, 1, 4), np.uint8)
    raters = np.array([[[[1, 0, 1, 255]]], [[[1, 0, 0, 1]]]], np.uint8)
    p = Given(np.array([[[[0.75, 0.9, 0.6, 0.5]]], [[[0.25, 0.1, 0.4, 0.5]]]], np.float32))
    found = wrongness(replace(opened(hard, raters), soft=p))
    np.testing.assert_allclose(found[0, 0], [0.75, 0, 0.3, 0.5], atol=1e-3)


def test_shares_say_how_much_is_wrong() -> None:
    hard = np.array([[[0, 1, 1, 7]]], np.uint8)  # the last is no class of the shares
    shares = Given(np.array([[[[0.75, 0.75, 0, 0.5]]], [[[0.25, 0.25, 0, 0.5]]]], np.float16))
    found = wrongness(opened(hard, np.zeros((1, 1, 1, 4), np.uint8), shares))
    np.testing.assert_array_equal(found[0, 0], [0.25, 0.75, 0, 0.5])


def test_the_worst_place_is_among_many_that_are_wrong() -> None:
    wrong = np.zeros((30, 40, 50), np.float16)
    assert worst_place(wrong) is None
    wrong[3, 4, 5] = 1
    wrong[18:22, 25:29, 33:37] = 0.5
    z, y, x = worst_place(wrong)
    assert wrong[z, y, x] == 0.5


def test_the_worst_place_is_looked_for_in_little_memory() -> None:
    wrong = np.zeros((64, 96, 128), np.float16)
    wrong[9, 40, 100] = 0.5
    tracemalloc.start()
    assert worst_place(wrong) == (9, 40, 100)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < wrong.nbytes


def test_of_no_class_any_value_will_do() -> None:
    values = np.array([[[[0.25, 0.5]]], [[[0.75, 0.5]]]], np.float16)
    assert _of_class(values, np.array([[[1, 255]]], np.uint8)).tolist() == [[[0.75, 0.5]]]


def test_the_worst_place_is_where_most_adds_up() -> None:
    wrong = np.zeros((16, 8, 8), np.float16)
    wrong[7], wrong[8, 0, :2] = 0.5, 1
    found = worst_place(wrong)
    assert found is not None
    assert found[0] == 7
