"""The hook: soft labels of what nnU-Net has preprocessed, on the very same voxels."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import blosc2
import numpy as np
import pytest
import SimpleITK as sitk

from softlab_cli import open_store, svls
from softlab_cli.cli import nnunet as command
from softlab_cli.core.blocks import Grid
from softlab_cli.methods import GeoLS
from softlab_cli.nnunet.case import hook_methods
from tests import vls_support
from tests.conftest import write_image
from tests.geols_support import SlowEngine
from tests.nnunet_support import (
    Dataset,
    make_dataset,
    preprocess_as_nnunet_does,
    rewrite_segmentation,
    segmentation,
    write_blosc,
)


@pytest.fixture(scope="module")
def resampled(tmp_path_factory) -> Dataset:
    """Thick slices that nnU-Net resamples, with axes that it transposes."""
    dataset = make_dataset(
        tmp_path_factory.mktemp("resampled"), shape=(36, 40, 20), spacing_mm=(1, 1, 2.5),
        target_mm=(2, 1.25, 1.25), transpose=(2, 0, 1),
    )  # fmt: skip
    for configuration in ("3d_fullres", "2d"):
        preprocess_as_nnunet_does(dataset, configuration)
    return dataset


@pytest.fixture
def hook(softlab, monkeypatch, resampled, tmp_path):
    """``softlab nnunet preprocess`` on a copy of the data set."""
    shutil.copytree(resampled.root, tmp_path / "nnunet")
    dataset = Dataset(tmp_path / "nnunet")
    for name, folder in dataset.environment().items():
        monkeypatch.setenv(name, folder)

    def run(*options, d="501", c=("3d_fullres",)):
        return softlab("nnunet", "preprocess", "-d", d, "-c", *c, *options)

    run.dataset = dataset
    run.store = lambda name="svls", group="nnUNetPlans_3d_fullres": open_store(
        dataset.preprocessed / "softlab" / group / f"{name}.zarr"
    )
    run.folder = dataset.preprocessed / "nnUNetPlans_3d_fullres"
    return run


def plain(values: np.ndarray) -> np.ndarray:
    return np.where(values == -1, 0, values)


def test_the_command_knows_the_methods() -> None:
    assert tuple(command.HookMethod().choices) == hook_methods()


def test_soft_labels_lie_on_the_preprocessed_grid(hook, softlab) -> None:
    done = hook("--sigma-mm", "1.5")
    assert done.exit_code == 0, done.output
    store = hook.store()
    assert store.classes.names == ("background", "one", "two", "three")
    for case_id in ("case0", "case1", "case2"):
        values = segmentation(hook.folder, case_id)
        assert (values == -1).any() or case_id != "case0"
        wanted = svls(plain(values), sigma_mm=1.5, spacing_mm=(2, 1.25, 1.25), labels=range(4))
        case = store[case_id]
        assert case.spacing_mm == (2.0, 1.25, 1.25)
        np.testing.assert_array_equal(case.read(), wanted)
        np.testing.assert_array_equal(case.read_label(), plain(values))
    sound = softlab("verify", store.path)
    assert sound.exit_code == 0, sound.output


def test_slices_are_smoothed_within_themselves(hook, softlab) -> None:
    assert hook(c=("2d", "3d_fullres")).exit_code == 0
    flat = hook.store(group="nnUNetPlans_2d")
    values = segmentation(hook.dataset.preprocessed / "nnUNetPlans_2d", "case1")
    np.testing.assert_array_equal(
        flat["case1"].read(), svls(plain(values), slicewise=True, labels=range(4))
    )
    # The slices are where they were: 2.5 mm apart, whatever the plans say for 3d.
    assert flat["case1"].spacing_mm == (2.5, 1.25, 1.25)
    assert flat["case1"].soft_array.layout.grid.block[0] == 1
    assert softlab("verify", flat.path).exit_code == 0
    assert not np.array_equal(hook.store()["case1"].read(), flat["case1"].read())


def test_only_what_has_changed_is_computed_again(hook) -> None:
    assert "done         3" in hook().output
    again = hook()
    assert "done         0" in again.output
    assert "skipped      3" in again.output
    values = segmentation(hook.folder, "case2")
    rewrite_segmentation(hook.folder, "case2", values)  # other bytes, same voxels
    os.utime(hook.folder / "case1_seg.b2nd")
    assert "skipped      3" in hook().output
    values[5, 5, 5] = (values[5, 5, 5] + 1) % 4
    rewrite_segmentation(hook.folder, "case2", values)
    changed = hook("-v")
    assert "done: case2 (its files have changed)" in changed.stderr
    assert "skipped      2" in changed.output


def test_configurations_that_share_their_data_share_the_store(hook) -> None:
    shared = hook("--workers", 2, c=("3d_fullres", "3d_again"))
    assert shared.output.count("svls.zarr") == 1
    assert "done         3" in shared.output


@pytest.mark.parametrize("method", ["ls", "onehot"])
def test_other_methods(hook, method) -> None:
    options = ["--smoothing", 0.4] if method == "ls" else []
    assert hook("--method", method, *options, "--name", "other").exit_code == 0
    case = hook.store("other")["case0"]
    values = plain(segmentation(hook.folder, "case0"))
    own = np.take_along_axis(case.read(), values[None].astype(int), axis=0)
    np.testing.assert_allclose(own, 0.7 if method == "ls" else 1, atol=1e-3)


@pytest.mark.parametrize("configuration", ["3d_fullres", "2d"])
def test_geols_follows_the_preprocessed_image(hook, softlab, monkeypatch, configuration) -> None:
    monkeypatch.setattr(GeoLS, "make_engine", lambda method: SlowEngine())
    options = ["--method", "geols", "--smoothing", 0.2, "--seeds", "region"]
    made = hook(*options, c=(configuration,))
    assert made.exit_code == 0, made.output + made.stderr
    group = f"nnUNetPlans_{configuration}"
    case, folder = hook.store("geols", group)["case0"], hook.dataset.preprocessed / group
    image = np.asarray(blosc2.open(str(folder / "case0.b2nd"), mode="r")[:])
    with GeoLS(smoothing=0.2, seeds="region").make_maps(
        case.read_label(), image, case.classes, case.geometry, case_id="case0",
        scratch_folder=folder, grid=Grid(case.shape, (36, 40, 44), (36, 40, 44)),
    ) as maps:  # fmt: skip
        whole = tuple(slice(0, n) for n in case.shape)
        workspace = maps.workspace(case.classes, case.geometry, (36, 40, 44))
        wanted = np.zeros((4, *case.shape), np.float16)
        for block in maps.soften(case.read_label(), whole, workspace):
            z, y, x = case.shape
            wanted[list(block.class_indices)] = block.values[:, :z, :y, :x]
    np.testing.assert_array_equal(case.read(), wanted)
    assert softlab("verify", case.path.parent).exit_code == 0
    assert "skipped      3" in hook(*options, c=(configuration,)).output
    write_blosc(folder / "other.b2nd", image + 1)
    (folder / "other.b2nd").replace(folder / "case0.b2nd")
    assert "done         1" in hook(*options, c=(configuration,)).output


def test_parameters_of_another_method_are_refused(hook) -> None:
    refused = hook("--method", "onehot", "--smoothing", 0.1)
    assert refused.exit_code == 2
    assert "the method onehot takes no --smoothing" in refused.stderr


def test_other_parameters_need_another_name(hook) -> None:
    assert hook().exit_code == 0
    refused = hook("--kernel-size", 5)
    assert refused.exit_code == 1
    assert "kernel_size: 3 in the store, 5 now" in refused.stderr
    assert "give --name a new name" in refused.stderr
    assert hook("--kernel-size", 5, "--overwrite").exit_code == 0


def raters_of(hook, shifts) -> list[Path]:
    """Raters that see everything some voxels further along x."""
    folders = [hook.dataset.root / f"rater{number}" for number in range(len(shifts))]
    for label_map in hook.dataset.labels.glob("*.nii.gz"):
        values = sitk.GetArrayFromImage(sitk.ReadImage(str(label_map)))
        for folder, shift in zip(folders, shifts, strict=True):
            write_image(folder / label_map.name, np.roll(values, shift, axis=1), (1, 1, 2.5))
    return folders


def test_raters_who_agree_with_the_segmentation_change_nothing(hook, softlab) -> None:
    raters = raters_of(hook, (0, 0))
    made = hook("--raters", *raters)
    assert made.exit_code == 0, made.output + made.stderr
    assert hook().exit_code == 0
    case = hook.store("msvls")["case1"]
    assert case.info.raters == ("rater0", "rater1")
    np.testing.assert_array_equal(case.read(), hook.store()["case1"].read())
    assert softlab("verify", hook.store("msvls").path).exit_code == 0


def test_raters_are_averaged_where_nnunet_puts_their_labels(hook) -> None:
    raters = raters_of(hook, (0, 2))
    assert hook("--method", "msvls", "--raters", *raters, "--name", "two").exit_code == 0
    # What a rater's label map becomes is what nnU-Net's preprocessing makes of it.
    shifted = next(iter(raters[1].glob("case1*")))
    shutil.copy(shifted, hook.dataset.labels / "case1.nii.gz")
    first = segmentation(hook.folder, "case1")
    second = segmentation(preprocess_as_nnunet_does(hook.dataset), "case1")
    wanted = (svls(plain(first), labels=range(4)) + svls(plain(second), labels=range(4))) / 2
    found = hook.store("two")["case1"].read()
    np.testing.assert_allclose(found, wanted, atol=2e-3)
    assert (np.abs(found - svls(plain(first), labels=range(4))) > 0.2).any()


def test_a_rater_may_be_missing_for_some_cases(hook) -> None:
    raters = raters_of(hook, (0, 1))
    (raters[1] / "case2.nii.gz").unlink()
    assert hook("--method", "msvls", "--raters", *raters).exit_code == 0
    assert hook.store("msvls")["case2"].info.raters == ("rater0",)
    (raters[0] / "case2.nii.gz").unlink()
    failed = hook("--method", "msvls", "--raters", *raters)
    assert failed.exit_code == 1
    assert "no rater has a file case2.nii.gz" in failed.output


def test_a_rater_on_another_grid_fails_its_case(hook) -> None:
    raters = raters_of(hook, (0,))
    write_image(raters[0] / "case0.nii.gz", np.zeros((36, 40, 21), np.uint8), (1, 1, 2.5))
    failed = hook("--method", "msvls", "--raters", *raters)
    assert failed.exit_code == 1
    assert "case0.nii.gz: has the shape (21, 36, 40) and the spacing" in failed.output
    assert "done         2" in failed.output


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--method", "msvls"], 2, "made of several raters"),
        (["--method", "ls", "--raters", "nowhere"], 2, "Choose --method msvls"),
        (["--raters", "nowhere"], 1, "is no folder of a rater"),
        (["--method", "msvls", "--raters", "nowhere"], 1, "is no folder of a rater"),
        (["--name", "../svls"], 2, "cannot be the name of a store"),
        (["-p", "OtherPlans"], 1, "Run nnUNetv2_plan_and_preprocess -d 501"),
        (["-c", "3d_other"], 2, "has no configuration '3d_other'"),
    ],
)
def test_mistakes_are_explained(hook, options, status, message) -> None:
    refused = hook(*options)
    assert refused.exit_code == status
    assert message in refused.stderr


def test_data_that_are_not_there_are_explained(hook, monkeypatch) -> None:
    assert "There are: Dataset501_Tiny." in hook(d="77").stderr
    shutil.rmtree(hook.folder)
    missing = hook()
    assert missing.exit_code == 1
    assert "nnUNetv2_preprocess -d 501 -plans_name nnUNetPlans -c 3d_fullres" in missing.stderr
    monkeypatch.delenv("nnUNet_preprocessed")
    unset = hook()
    assert unset.exit_code == 2
    assert "the variable nnUNet_preprocessed is not set" in unset.stderr


def test_labels_that_are_no_class_fail_their_case(hook) -> None:
    values = segmentation(hook.folder, "case0")
    values[0] = 9
    rewrite_segmentation(hook.folder, "case0", values)
    failed = hook()
    assert failed.exit_code == 1
    assert "Add the labels to dataset.json" in failed.output
    assert "done         2" in failed.output


def test_another_nnunet_is_refused(hook, monkeypatch) -> None:
    from softlab_cli.core.errors import EngineError
    from softlab_cli.nnunet import versions

    monkeypatch.setattr(versions, "version", lambda package: "2.9")
    with pytest.raises(EngineError, match=r"nnunetv2 2\.9 is installed.*>=2\.8,<2\.9"):
        versions.check_versions()

    def missing(package: str) -> str:
        raise versions.PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", missing)
    with pytest.raises(EngineError, match=r"pip install 'softlab-cli\[nnunet\]'"):
        versions.check_versions()


def test_classes_are_those_of_the_data_set(tmp_path, softlab, monkeypatch) -> None:
    """Regions are label values of their own in the store; the ignore label is no class."""
    labels = {"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}
    dataset = make_dataset(
        tmp_path, labels=labels, case_count=1, dataset_facts={"regions_class_order": [1, 2]}
    )
    folder = preprocess_as_nnunet_does(dataset)
    for name, path in dataset.environment().items():
        monkeypatch.setenv(name, path)
    done = softlab("nnunet", "preprocess", "-d", dataset.name, "-c", "3d_fullres")
    assert done.exit_code == 0, done.output + done.stderr
    store = open_store(dataset.preprocessed / "softlab/nnUNetPlans_3d_fullres/svls.zarr")
    assert store.classes.values == (0, 1, 2)
    values = segmentation(folder, "case0")
    wanted = svls(plain(values), labels=range(3), ignore_value=3)
    np.testing.assert_array_equal(store["case0"].read(), wanted)
    assert json.loads((store.path / "zarr.json").read_text())["attributes"]["softlab"]["config"]


def test_vls_learns_from_the_preprocessed_cases(hook, softlab) -> None:
    options = vls_support.options(dims=2, steps=1)
    done = hook("--method", "vls", *options)
    assert done.exit_code == 0, done.output + done.stderr
    store = hook.store("vls")
    assert (store.path.with_name("vls.zarr.fit") / "model.json").exists()
    case, values = store["case1"], plain(segmentation(hook.folder, "case1"))
    np.testing.assert_array_equal(case.read().argmax(axis=0), values)
    assert case.info.details["vls"]["out_of_fold"]
    assert "skipped      3" in hook("--method", "vls", *options).output
    assert "other parameters" in hook("--method", "vls", *options, "--smoothing", 0.2).stderr
