"""What a run refuses or says before it does a case, where it would silently do something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import UsageError
from softlab_cli.methods.base import Method
from softlab_cli.methods.imported import Import
from softlab_cli.methods.onehot import OneHot
from softlab_cli.running.plan import Request, make_plan
from softlab_cli.running.runner import run
from tests.conftest import write_image

LABEL = np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 3


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch) -> None:
    """No file here crashes, and a process for each would only take time."""
    monkeypatch.setattr("softlab_cli.running.isolation.may_crash_on", lambda path: False)


def plan(method: Method, inputs: list[Path], out: Path, **options: object) -> list[str]:
    """What is said while a run is planned, in one process."""
    said: list[str] = []
    request = Request(inputs, out, workers=1, **options)  # type: ignore[arg-type]
    make_plan(method, request, lambda event: said.append(str(event)))
    return said


# ---- the input as output -----------------------------------------------------------


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A folder of a store, a link to it, and manifests that name it."""
    folder = tmp_path_factory.mktemp("stores")
    write_image(folder / "labels" / "a.nii.gz", LABEL)
    run(OneHot(), folder / "labels", folder / "s.zarr", workers=1)
    (folder / "link").symlink_to(folder / "s.zarr")
    (folder / "cases.csv").write_text("case_id,label\na,s.zarr/a\n")
    return folder / "s.zarr"


@pytest.mark.parametrize("overwrite", [True, False])
@pytest.mark.parametrize(
    "given", [["s.zarr"], ["link"], ["s.zarr/"], ["labels", "s.zarr/a"], ["cases.csv"]]
)
def test_an_input_is_no_output(store, given, overwrite) -> None:
    inputs = [store.parent / name for name in given]
    for method in (OneHot(), Import()):
        with pytest.raises(UsageError, match=r"read by the run.*another store"):
            run(method, inputs, store, overwrite=overwrite)
    assert softlab_cli.open_store(store)["a"].read_label().shape == LABEL.shape


def test_images_are_no_output(store) -> None:
    with pytest.raises(UsageError, match="read by the run"):
        plan(OneHot(), [store.parent / "labels"], store, images=store, overwrite=True)


def test_a_folder_may_hold_its_output(tmp_path) -> None:
    write_image(tmp_path / "a.nii.gz", LABEL)
    for _ in range(2):
        run(OneHot(), tmp_path, tmp_path / "s.zarr", workers=1, overwrite=True)
