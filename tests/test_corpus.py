"""Files that other packages test themselves with: read rightly, or refused in one clear line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pytest
from click.testing import Result

import softlab_cli

CODE = {".py", ".pyc", ".pyi", ".so"}


def corpus(package: str, *parts: str) -> list[Path]:
    """The data files in some folder of a package."""
    found = find_spec(package)
    if found is None or found.origin is None:
        pytest.skip(f"{package} is not installed")
    folder = Path(found.origin).parent.joinpath(*parts)
    files = [p for p in sorted(folder.rglob("*")) if p.is_file() and p.suffix not in CODE]
    assert files, f"{package} has no files in {folder}"
    return files


@pytest.fixture(params=[("pydicom", "data"), ("nibabel", "tests", "data"), ("skimage", "data")])
def files(request: pytest.FixtureRequest) -> list[Path]:
    return corpus(*request.param)


def test_each_file_becomes_a_case_or_a_line(
    softlab: Callable[..., Result], tmp_path: Path, files: list[Path]
) -> None:
    cases = {f"c{number}": path for number, path in enumerate(files)}
    with (tmp_path / "cases.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("case_id", "label"), *cases.items()])
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", tmp_path / "cases.csv", "--out", out, "--workers", "1")
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    failed = {
        line.split(": ")[1]: line
        for line in done.output.splitlines()
        if line.startswith("failed: ")
    }
    store = softlab_cli.open_store(out) if out.exists() else {}
    assert {*store} | {*failed} == {*cases}
    assert not {*store} & {*failed}
    for case_id, line in failed.items():
        assert cases[case_id].name in line
        assert line.endswith(".") or line.endswith(")"), line
    for case_id in store:
        if cases[case_id].suffix in (".nii", ".gz", ".mgz", ".img"):
            image = nibabel.load(cases[case_id])
            values = np.asarray(store[case_id].classes.values)[store[case_id].read_label()]
            assert np.array_equal(values, np.asarray(image.dataobj).T)
            np.testing.assert_allclose(store[case_id].affine, image.affine, atol=1e-5)


def test_inspect_says_something_of_each_file(
    softlab: Callable[..., Result], files: list[Path]
) -> None:
    done = softlab("inspect", "--json", *files)
    assert done.exit_code == 1  # some cannot be read
    assert "Traceback" not in done.output
    facts = json.loads(done.stdout)
    assert len(facts) == len(files)
    for path, fact in zip(files, facts, strict=True):
        assert fact["kind"], path
        if fact["kind"] == "unreadable":
            assert fact["problems"], path
