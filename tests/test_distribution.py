"""What the package is called where it is installed from, and what a missing extra says."""

from __future__ import annotations

import configparser
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import EngineError, PackageError, SoftlabError
from softlab_cli.core.extras import DISTRIBUTION, pip_install, require
from softlab_cli.geodesic.engines import resolve_engine
from softlab_cli.report.preview import draw_cases
from softlab_cli.running.executors import DaskExecutor
from tests.conftest import blobs, write_image
from tests.soft_support import save

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def set_up() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_the_name_of_the_distribution_is_one() -> None:
    assert set_up()["metadata"]["name"] == DISTRIBUTION == "softlab-cli"
    scripts = set_up()["options.entry_points"]["console_scripts"]
    assert scripts.strip().startswith("softlab = softlab_cli.")


def texts() -> list[Path]:
    places = [ROOT / name for name in ("softlab_cli", "examples", "docs")]
    found = [path for place in places for kind in ("*.py", "*.md") for path in place.rglob(kind)]
    return [ROOT / "README.md", ROOT / "Makefile", *found]


def test_nothing_tells_to_install_the_other_project() -> None:
    wrong = re.compile(r"pip install '?softlab(?!-cli)|softlab\[")
    assert [str(path) for path in texts() if wrong.search(path.read_text("utf-8"))] == []


def test_extras_that_are_named_exist() -> None:
    extras = set(set_up()["options.extras_require"])
    named = {
        extra
        for path in texts()
        for extra in re.findall(
            r"(?:softlab-cli\[|extra=\"|pip_install\(\")(\w+)", path.read_text()
        )
    }
    assert {"plot", "dask", "cuda", "torch", "monai", "torchio", "nnunet"} <= named <= extras


def test_the_readme_reads_the_same_without_the_sources() -> None:
    """It is the long description as well; there is no address that its links could start with."""
    links = re.findall(r"\]\(([^)]+)\)", README) + re.findall(r"^\[[^]]+\]: (\S+)", README, re.M)
    assert [link for link in links if not link.startswith("https://")] == []
    for name in re.findall(r"`((?:docs|examples)/[\w./]+)`", README):
        assert (ROOT / name).exists(), name


def test_a_missing_package_is_both_kinds_of_error() -> None:
    with (
        pytest.raises(PackageError) as caught,
        require("no_such_package", extra="dask", problem="this needs it."),
    ):
        import no_such_package  # noqa: F401
    assert isinstance(caught.value, EngineError)
    assert isinstance(caught.value, SoftlabError)
    assert isinstance(caught.value, ImportError)
    assert str(caught.value) == "this needs it. pip install 'softlab-cli[dask]'"
    again = pickle.loads(pickle.dumps(caught.value))
    assert (type(again), str(again)) == (PackageError, str(caught.value))


def test_what_a_package_lacks_itself_is_said() -> None:
    with (
        pytest.raises(PackageError, match=r"this needs it. It cannot be imported: .*'gone'"),
        require("no_such_package", extra="dask", problem="this needs it."),
    ):
        raise ModuleNotFoundError("No module named 'gone'", name="gone")


def test_the_first_package_that_is_missing_is_the_one_that_is_named() -> None:
    with (
        pytest.raises(PackageError, match="the inner"),
        require("outer", extra="monai", problem="the outer."),
        require("inner", extra="torch", problem="the inner."),
    ):
        raise ModuleNotFoundError("No module named 'inner'", name="inner")


def test_dask(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ImportError, match=re.escape(pip_install("dask"))):
        list(DaskExecutor("tcp://127.0.0.1:1").run(abs, [1]))


def test_matplotlib(monkeypatch, softlab, tmp_path) -> None:
    write_image(tmp_path / "a.nii.gz", blobs((6, 8, 8), 3))
    store = tmp_path / "soft.zarr"
    softlab("onehot", "--in", tmp_path / "a.nii.gz", "--out", store)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"a preview needs matplotlib\."):
        list(draw_cases(softlab_cli.open_store(store), tmp_path / "a.png", ["a"]))
    done = softlab("preview", store)
    assert done.exit_code == 1
    assert done.output == f"error: a preview needs matplotlib. {pip_install('plot')}\n"


def test_fastgeodis(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "FastGeodis", None)
    with pytest.raises(ImportError, match="--no-build-isolation"):
        resolve_engine("fastgeodis")


@pytest.fixture
def judged(tmp_path) -> Path:
    """Label maps of two raters, and probabilities of a prediction."""
    labels = blobs((6, 8, 8), 3)
    save(tmp_path / "ref" / "a.nii.gz", labels)
    save(tmp_path / "other" / "a.nii.gz", np.roll(labels, 1, axis=2))
    soft = np.stack([np.where(labels == c, 0.5, 0.25) for c in range(3)])
    save(tmp_path / "soft" / "a.nii.gz", soft.astype(np.float32))
    return tmp_path


@pytest.mark.parametrize(
    ("predicted", "package", "missing"),
    [
        ("soft", "matplotlib.figure", "reliability.png"),
        ("soft", "contourpy", "report.html"),
        ("soft", "jinja2", "report.html"),
        ("other", "PIL", "report.html"),
        ("other", "contourpy", "report.html"),
        ("other", "matplotlib.figure", ""),
    ],
)
def test_an_evaluation_is_whole_without_its_pictures(
    monkeypatch, softlab, judged, predicted, package, missing
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    out = judged / "out"
    done = softlab(
        "evaluate", "--pred", judged / predicted, "--ref", judged / "ref", "--out", out,
        "--workers", 1, "--background", "first",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.output.count("softlab-cli[plot]") == bool(missing)
    assert f"not drawn: {missing}; " in done.output or not missing
    drawn = {"report.html"} | ({"reliability.png"} if predicted == "soft" else set())
    there = {p.name for p in out.iterdir() if p.is_file()}
    assert there == {"cases.csv", "summary.json", "summary.md", "evaluation.json"} | (
        drawn - {missing}
    )


@pytest.mark.parametrize("raters", [["ref"], ["ref", "other"]])
def test_tuning_is_whole_without_its_pictures(monkeypatch, softlab, judged, raters) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    folders = [part for rater in raters for part in ("--in", judged / rater)]
    done = softlab(
        "tune", *folders, "--out", judged / "out", "--workers", 1, "--kernel-size", 3,
        "--sigma-voxels", 1, "--methods", "svls" if len(raters) == 1 else "svls,msvls",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    pictures = "tune.png" if len(raters) > 1 else "tune.png, settings.png"
    assert done.output.count(f"not drawn: {pictures}; tune.png needs matplotlib. pip install") == 1
    assert (judged / "out" / "summary.md").exists()
    assert not list((judged / "out").glob("*.png"))
