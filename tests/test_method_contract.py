"""A method takes one module, one command and one row: a toy of each kind goes all the way."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

import softlab_cli
from softlab_cli.api import soften
from softlab_cli.core.errors import EngineError, StoreError, UsageError
from softlab_cli.core.events import ignore
from softlab_cli.methods import METHODS, method_class
from softlab_cli.running.executors import ProcessExecutor
from softlab_cli.running.fit import runner_of
from softlab_cli.running.runner import run
from tests.conftest import blobs, write_image
from tests.nnunet_support import Dataset, make_dataset, preprocess_as_nnunet_does
from tests.toys import TOYS, ToyImage, ToyLocal, ToyRaters

SHAPE = (20, 24, 70)


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The toys in the registry."""
    for name, entry in TOYS.items():
        monkeypatch.setitem(METHODS, name, entry)


@pytest.fixture
def made(toys: None, softlab: Callable[..., Any], tmp_path: Path) -> Callable[..., Any]:
    """``softlab TOY`` on two cases; label maps, images and raters as the kind wants them."""
    for i in range(2):
        labels = blobs(SHAPE, 3, seed=i)
        labels.flat[:50] = 9
        for rater in (1, 2, 3):
            drawn = np.roll(labels, rater, axis=1)
            write_image(tmp_path / f"r{rater}" / f"case{i}.nii.gz", drawn)
        write_image(tmp_path / "image" / f"case{i}.nii.gz", labels.astype(np.float32))
        shifted = sitk.ReadImage(str(tmp_path / "r1" / f"case{i}.nii.gz"))
        shifted.SetOrigin((0.4, 0.2, 0.0))
        (tmp_path / "shifted").mkdir(exist_ok=True)
        sitk.WriteImage(shifted, str(tmp_path / "shifted" / f"case{i}.nii.gz"))

    def make(name: str, *options: Any) -> Any:
        inputs = ["--in", tmp_path / "r1"]
        if name == "toy-raters":
            inputs += ["--in", tmp_path / "r2", "--in", tmp_path / "r3"]
        if name == "toy-image":
            inputs += ["--images", tmp_path / "image"]
        if name == "toy-imported":
            inputs = ["--in", tmp_path / "shifted", "--images", tmp_path / "image",
                      "--resample-labels", "linear"]  # fmt: skip
        out = tmp_path / f"{name}.zarr"
        return softlab(name, *inputs, "--out", out, "--ignore-label", 9, *options)

    return make


@pytest.mark.parametrize("name", TOYS)
def test_a_toy_goes_all_the_way(name: str, made: Any, softlab: Any, tmp_path: Path) -> None:
    store = tmp_path / f"{name}.zarr"
    dry = made(name, "--dry-run")
    assert dry.exit_code == 0, dry.output
    assert "2 to do" in dry.output
    assert not store.exists()
    done = made(name, "--workers", 2)
    assert done.exit_code == 0, done.output
    assert "done         2" in done.output
    assert softlab("verify", store).output.count("sound") == 1
    shutil.rmtree(store / "case1")
    again = made(name)
    assert "done         1" in again.output
    assert "skipped      1" in again.output
    case = softlab_cli.open_store(store)["case1"]
    soft = case.read().astype(np.float64)
    valid = case.read_label() != case.classes.ignore_index
    np.testing.assert_allclose(soft.sum(axis=0)[valid], 1, atol=2e-3)
    assert (soft.sum(axis=0)[~valid] == 0).all()
    assert f"toy-{name.removeprefix('toy-')}" in softlab("--help").output


@pytest.mark.parametrize("name", TOYS)
def test_only_a_method_that_can_compute_on_read_stores_labels_only(
    name: str, made: Any, tmp_path: Path
) -> None:
    done = made(name, "--labels-only")
    local = method_class(name).takes == "label map"
    assert done.exit_code == (0 if local else 2), done.output
    if local:
        store = softlab_cli.open_store(tmp_path / f"{name}.zarr")
        share = store.info.parameters["share"]
        soft = store["case0"].read()
        assert set(np.unique(soft)) == {0, 1 - share, share, 1}


def test_what_was_learned_is_part_of_the_recipe(made: Any, tmp_path: Path) -> None:
    assert made("toy-learned").exit_code == 0
    model = tmp_path / "toy-learned.zarr.fit" / "model.json"
    before = softlab_cli.open_store(tmp_path / "toy-learned.zarr").info
    assert before.parameters["share"] not in (0.75, 0.5)
    shutil.rmtree(tmp_path / "toy-learned.zarr" / "case0")
    model.write_text('{"share": 0.875}')
    again = made("toy-learned")
    assert again.exit_code == 1
    assert "other parameters" in again.stderr
    assert softlab_cli.open_store(tmp_path / "toy-learned.zarr").info.recipe == before.recipe


def test_a_method_learns_from_the_cases_that_can_be_used(made: Any, tmp_path: Path) -> None:
    (tmp_path / "r1" / "broken.nii.gz").write_bytes(b"nothing")
    done = made("toy-learned", "--log-json", tmp_path / "log", "--workers", 2)
    assert done.exit_code == 1
    assert "done         2" in done.output
    assert "failed: broken: " in done.stderr
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    steps = [e["case_id"] for e in events if e["event"] == "StageStepped" and e["stage"] == "learn"]
    assert sorted(steps) == ["case0", "case1"]


def test_a_worker_that_dies_while_learning_is_named() -> None:
    run_named = runner_of(ProcessExecutor(1), ignore)
    with pytest.raises(EngineError, match="learn a: its process ended with the status 3"):
        list(run_named("learn", os._exit, {"a": 3}))


def test_a_configuration_may_name_it(made: Any, softlab: Any, tmp_path: Path) -> None:
    config = tmp_path / "toy.toml"
    inputs, out = tmp_path / "r1", tmp_path / "config.zarr"
    config.write_text(
        f'command = "toy-local"\nin = ["{inputs}"]\nout = "{out}"\nshare = 0.5\nignore-label = [9]'
    )
    done = softlab("run", config)
    assert done.exit_code == 0, done.output + done.stderr
    assert softlab_cli.open_store(out).info.parameters == {"share": 0.5}


def test_arrays_go_the_same_way() -> None:
    labels = blobs((5, 6, 7), 3)
    soft = soften(ToyLocal(0.5), labels)
    assert (soft[labels, *np.indices(labels.shape)][labels > 0] == 0.5).all()
    image = np.zeros(labels.shape)
    image[:, :3] = 1
    soft = soften(ToyImage(), labels, image)
    assert (soft[:, :, 3:] == (np.arange(3)[:, None, None, None] == labels[:, 3:])).all()
    assert soften(ToyRaters(), [labels, labels]).max() == 1
    with pytest.raises(UsageError, match="image"):
        soften(ToyImage(), labels)


def test_a_local_method_that_open_store_would_not_find_stores_no_labels_only(
    tmp_path: Path,
) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((5, 6, 7), 3))
    with pytest.raises(UsageError, match="not among those"):
        run(ToyLocal(), tmp_path / "in", tmp_path / "o.zarr", labels_only=True)
    assert not (tmp_path / "o.zarr").exists()


def test_a_store_of_an_unknown_method_is_read_but_not_computed(tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((5, 6, 7), 3))
    assert run(ToyLocal(), tmp_path / "in", tmp_path / "o.zarr").done == 1
    assert softlab_cli.open_store(tmp_path / "o.zarr")["a"].read().max() == 1
    with pytest.raises(StoreError, match="toy-local"):
        softlab_cli.open_store(tmp_path / "o.zarr", from_label=True)


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    dataset = make_dataset(tmp_path_factory.mktemp("nnunet"), shape=(20, 24, 28), case_count=2)
    preprocess_as_nnunet_does(dataset)
    return dataset


@pytest.mark.parametrize("name", [name for name, entry in TOYS.items() if entry.in_nnunet])
def test_nnunet_knows_it(
    name: str, toys: None, softlab: Any, planned: Dataset, monkeypatch: Any
) -> None:
    for variable, folder in planned.environment().items():
        monkeypatch.setenv(variable, folder)
    raters = ["--raters", planned.labels] if name == "toy-raters" else []
    arguments = ["-d", "501", "-c", "3d_fullres", "--method", name, *raters]
    done = softlab("nnunet", "preprocess", *arguments)
    assert done.exit_code == 0, done.output + done.stderr
    assert "done         2" in done.output
    folder = planned.preprocessed / "softlab" / "nnUNetPlans_3d_fullres" / f"{name}.zarr"
    assert softlab("verify", folder).exit_code == 0
    assert "skipped      2" in softlab("nnunet", "preprocess", *arguments).output


@pytest.mark.parametrize("name", METHODS)
def test_parameters_make_the_method_again(name: str) -> None:
    made = method_class(name)()
    assert method_class(name).from_parameters(made.parameters()).parameters() == made.parameters()


@pytest.mark.parametrize(
    "parameters",
    [
        {"parity": "repository"},
        {"engine": "fastgeodis", "metric": "fastgeodis", "iterations": 2},
        {"seeds": "random", "random_voxels": 3, "random_seed": 4, "min_mass": 0.01},
    ],
)
def test_so_do_those_of_geols(parameters: dict[str, Any]) -> None:
    made = method_class("geols")(**parameters)
    again = method_class("geols").from_parameters(made.parameters())
    assert again.parameters() == made.parameters()
