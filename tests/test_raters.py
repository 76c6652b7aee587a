"""Several raters through the command line: msvls, fuse, and where their files are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import zarr

import softlab_cli
from softlab_cli.core.errors import GeometryError, StoreError, UsageError
from softlab_cli.store.verify import verify_store
from tests import naive, naive_raters
from tests.conftest import blobs, write_image
from tests.raters_support import edited
from tests.store_support import as_earlier_version
from tests.test_runner import tree

CLASSES = 4
SHAPE = (20, 24, 28)
HALF_STEP = 2.0**-11


def rater_maps(count: int = 3, seed: int = 0) -> np.ndarray:
    """Label maps of raters who err on some voxels, (R, Z, Y, X)."""
    return edited(blobs(SHAPE, CLASSES, seed), CLASSES, [0.05] * count, seed).indices


@pytest.fixture
def raters(tmp_path: Path) -> list[Path]:
    """Folders r1, r2, r3 with cases a and b; r3 has not done b."""
    for seed, case in enumerate("ab"):
        for number, label_map in enumerate(rater_maps(3, seed), 1):
            if (case, number) != ("b", 3):
                write_image(tmp_path / f"r{number}" / f"{case}.nii.gz", label_map, (2, 1, 1))
    return [tmp_path / f"r{number}" for number in (1, 2, 3)]


def ins(folders: list[Path]) -> list[Any]:
    return [argument for folder in folders for argument in ("--in", folder)]


def mean_of_svls(raters: np.ndarray) -> np.ndarray:
    kernel = naive.svls_kernel(3, 1.0, slicewise=False)
    return naive_raters.mean_of_svls(raters.astype(int), CLASSES, kernel)


def test_msvls_is_the_mean_of_the_raters_svls(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("msvls", *ins(raters), "--out", out)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert store["a"].raters == ("r1", "r2", "r3")
    assert store["b"].raters == ("r1", "r2")
    assert [source.role for source in store["b"].sources] == ["label"] * 2
    for seed, case, count in ((0, "a", 3), (1, "b", 2)):
        expected = mean_of_svls(rater_maps(3, seed)[:count])
        np.testing.assert_allclose(store[case].read(), expected, atol=HALF_STEP)
        winner, ties = naive_raters.majority(rater_maps(3, seed)[:count], CLASSES)
        np.testing.assert_array_equal(store[case].read_label(), winner)
        assert store[case].info.details["raters"]["majority_ties"] == ties
    assert verify_store(out) == []


def test_one_rater_is_svls_to_the_byte(softlab, raters, tmp_path) -> None:
    one, many = tmp_path / "one.zarr", tmp_path / "many.zarr"
    softlab("svls", "--in", raters[0], "--out", one)
    assert softlab("msvls", "--in", raters[0], "--out", many).exit_code == 0
    # Chunks of a shard may come in another order: what they hold is compared.
    for case in "ab":
        np.testing.assert_array_equal(
            softlab_cli.open_store(one)[case].read(), softlab_cli.open_store(many)[case].read()
        )


@pytest.mark.parametrize("command", [("msvls",), ("fuse", "--method", "staple")])
def test_the_order_of_raters_changes_no_voxel(softlab, raters, tmp_path, command) -> None:
    one, other = tmp_path / "one.zarr", tmp_path / "other.zarr"
    softlab(*command, *ins(raters), "--out", one)
    softlab(*command, *ins(raters[::-1]), "--out", other)
    for case in "ab":
        first = softlab_cli.open_store(one)[case].read()
        np.testing.assert_array_equal(softlab_cli.open_store(other)[case].read(), first)


@pytest.mark.parametrize("options", [("--workers", 2), ("--threads", 3)])
def test_workers_and_threads_change_no_byte(softlab, raters, tmp_path, options) -> None:
    one, other = tmp_path / "one.zarr", tmp_path / "other.zarr"
    softlab("msvls", *ins(raters), "--out", one, "--keep-raters", "--threads", 1)
    done = softlab("msvls", *ins(raters), "--out", other, "--keep-raters", *options)
    assert done.exit_code == 0, done.output
    assert tree(one) == tree(other)


def test_fused_by_each_rule(softlab, raters, tmp_path) -> None:
    maps = rater_maps()
    found = {}
    for rule in ("mean", "majority", "staple", "dice-weighted"):
        out = tmp_path / f"{rule}.zarr"
        done = softlab("fuse", "--method", rule, *ins(raters), "--out", out)
        assert done.exit_code == 0, done.output
        assert verify_store(out) == []
        case = softlab_cli.open_store(out)["a"]
        found[rule] = case.read().astype(float)
        # The same function on arrays gives the same bits.
        np.testing.assert_array_equal(softlab_cli.fuse(maps, method=rule), case.read())
    share = naive_raters.share(maps.astype(int), CLASSES)
    np.testing.assert_allclose(found["mean"], share, atol=HALF_STEP)
    winner, _ = naive_raters.majority(maps, CLASSES)
    np.testing.assert_array_equal(found["majority"], np.eye(CLASSES)[winner].transpose(3, 0, 1, 2))
    assert np.abs(found["staple"] - share).max() > 0.1
    assert 0 < np.abs(found["dice-weighted"] - share).max() < 0.1


def test_smooth_is_svls_of_the_fused_label(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    command = ("fuse", "--method", "majority", "--smooth", "--sigma-voxels", 2)
    assert softlab(*command, *ins(raters), "--out", out).exit_code == 0
    winner, _ = naive_raters.majority(rater_maps(), CLASSES)
    found = softlab_cli.open_store(out)["a"].read()
    np.testing.assert_array_equal(found, softlab_cli.svls(winner, sigma_voxels=2))


@pytest.mark.parametrize("smooth", [(), ("--smooth",)])
def test_a_majority_may_be_computed_on_read(softlab, raters, tmp_path, smooth) -> None:
    stored, computed = tmp_path / "stored.zarr", tmp_path / "computed.zarr"
    command = ("fuse", "--method", "majority", *smooth, *ins(raters), "--out")
    softlab(*command, stored)
    assert softlab(*command, computed, "--labels-only").exit_code == 0
    assert softlab_cli.open_store(computed)["a"].soft_array is None
    for case in "ab":
        expected = softlab_cli.open_store(stored)[case].read()
        np.testing.assert_array_equal(softlab_cli.open_store(computed)[case].read(), expected)


@pytest.mark.parametrize("command", [("msvls",), ("fuse",), ("fuse", "--method", "staple")])
def test_disagreement_cannot_be_computed_on_read(softlab, raters, tmp_path, command) -> None:
    refused = softlab(*command, *ins(raters), "--out", tmp_path / "o.zarr", "--labels-only")
    assert refused.exit_code == 2
    assert "--labels-only would leave out where the raters disagree" in refused.stderr
    stored = tmp_path / "stored.zarr"
    softlab(*command, *ins(raters), "--out", stored)
    with pytest.raises(StoreError, match="cannot compute on read"):
        softlab_cli.open_store(stored, from_label=True)


# Where the raters are


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{case}_{rater}.nii.gz", "case_{case}_{rater}.nii.gz"),
        ("{case}_{rater}", "case_{case}_{rater}.nii.gz"),
        ("{rater}/{case}", "{rater}/case_{case}.nii.gz"),
        ("{case}/by_{rater}.nii.gz", "case_{case}/by_{rater}.nii.gz"),
    ],
)
def test_raters_from_names(softlab, raters, tmp_path, pattern, name) -> None:
    by_folder, by_name = tmp_path / "one.zarr", tmp_path / "other.zarr"
    softlab("msvls", *ins(raters), "--out", by_folder)
    for folder in raters:
        for file in folder.iterdir():
            case = file.name.removesuffix(".nii.gz")
            target = tmp_path / "all" / name.format(case=case, rater=folder.name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    command = ("msvls", "--in", tmp_path / "all", "--rater-pattern", pattern, "--out", by_name)
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(by_name)
    assert list(store) == ["case_a", "case_b"]
    assert store["case_b"].raters == ("r1", "r2")
    expected = softlab_cli.open_store(by_folder)["a"].read()
    np.testing.assert_array_equal(store["case_a"].read(), expected)


def test_a_pattern_that_fits_nothing(softlab, raters, tmp_path) -> None:
    command = ("msvls", "--in", raters[0], "--out", tmp_path / "o.zarr", "--rater-pattern")
    nothing = softlab(*command, "{case}-{rater}.nii.gz")
    assert nothing.exit_code == 1
    assert "holds no label map named like '{case}-{rater}.nii.gz'" in nothing.stderr
    assert "a.nii.gz" in nothing.stderr
    senseless = softlab(*command, "{case}.nii.gz")
    assert senseless.exit_code == 2
    assert "once each" in senseless.stderr


def test_files_that_a_pattern_leaves_out_are_said(softlab, raters, tmp_path) -> None:
    shutil.copy(raters[0] / "a.nii.gz", tmp_path / "r1" / "a_anna.nii.gz")
    options = ("--rater-pattern", "{case}_{rater}", "--out", tmp_path / "o.zarr")
    done = softlab("msvls", "--in", raters[0], *options)
    assert done.exit_code == 0, done.output
    assert "left out what is not named like '{case}_{rater}': a.nii.gz, b.nii.gz" in done.stderr


def test_one_rater_for_every_case_is_said(softlab, raters, tmp_path) -> None:
    one = softlab("msvls", "--in", raters[0], "--out", tmp_path / "one.zarr")
    assert one.exit_code == 0
    assert "no case has more than one rater" in one.stderr
    several = softlab("msvls", *ins(raters), "--out", tmp_path / "several.zarr")
    assert "more than one rater" not in several.stderr


def test_raters_from_a_manifest(softlab, raters, tmp_path) -> None:
    rows = ["case_id,label,rater"]
    rows += [f"{f.name[0]},{f},{folder.name}" for folder in raters for f in folder.iterdir()]
    (tmp_path / "all.csv").write_text("\n".join(rows))
    out = tmp_path / "soft.zarr"
    assert softlab("msvls", "--in", tmp_path / "all.csv", "--out", out).exit_code == 0
    case = softlab_cli.open_store(out)["a"]
    assert case.raters == ("r1", "r2", "r3")
    np.testing.assert_allclose(case.read(), mean_of_svls(rater_maps()), atol=HALF_STEP)


def test_too_few_raters_fail_their_case_only(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("msvls", *ins(raters), "--out", out, "--min-raters", 3)
    assert done.exit_code == 1
    assert "has 2 of the 3 raters that --min-raters asks for (r1, r2)" in done.stderr
    assert list(softlab_cli.open_store(out)) == ["a"]


def test_a_rater_that_is_added_is_taken_in(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("msvls", *ins(raters[:2]), "--out", out)
    again = softlab("msvls", *ins(raters), "--out", out, "-v")
    assert "done: a (its files have changed)" in again.stderr
    assert "skipped      1" in again.output
    assert softlab_cli.open_store(out)["a"].raters == ("r1", "r2", "r3")


@pytest.mark.parametrize("command", ["svls", "ls", "onehot", "import"])
def test_methods_of_one_rater_say_where_several_go(softlab, raters, tmp_path, command) -> None:
    refused = softlab(command, *ins(raters), "--out", tmp_path / "o.zarr", "--labels", "0-3")
    assert refused.exit_code == 1
    assert "softlab msvls and softlab fuse take them" in refused.stderr


# The raters' own labels


def test_kept_raters_are_what_they_drew(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("msvls", *ins(raters), "--out", out, "--keep-raters")
    case = softlab_cli.open_store(out)["a"]
    for number, label_map in enumerate(rater_maps()):
        np.testing.assert_array_equal(case.read_rater(number), label_map)
    part = (slice(-2, 5), slice(3, 9), slice(20, 31))
    padded = np.pad(rater_maps()[1], ((2, 0), (0, 0), (0, 3)))[0:7, 3:9, 20:31]
    np.testing.assert_array_equal(case.read_rater("r2", part), padded)
    opened = zarr.open_group(out, mode="r")["a/raters"]
    assert (opened.shape, opened.dtype) == ((3, *SHAPE), np.uint8)
    assert opened.metadata.dimension_names == ("r", "z", "y", "x")
    np.testing.assert_array_equal(opened[:], rater_maps())
    assert verify_store(out) == []
    with pytest.raises(UsageError, match=r"no rater 'r9'. It has: r1, r2, r3"):
        case.read_rater("r9")


def test_raters_are_kept_on_request_only(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("msvls", *ins(raters), "--out", out)
    with pytest.raises(StoreError, match="--keep-raters"):
        softlab_cli.open_store(out)["a"].read_rater(0)
    refused = softlab("msvls", *ins(raters), "--out", out, "--keep-raters")
    assert refused.exit_code == 1
    assert "keep_raters" in refused.stderr


def test_verify_reads_the_raters(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("msvls", *ins(raters), "--out", out, "--keep-raters")
    as_earlier_version(out, "a")  # what has checksums cannot be changed unseen
    zarr.open_group(out, mode="r+")["a/raters"][1, 2, 3, 4] = 9
    found = verify_store(out)[0]
    assert found.what == "a rater's labels outside the class table"
    assert "1 voxels; the first is (2, 3, 4)" in found.detail
    shard = next((out / "b" / "raters").rglob("c/*/*/*/*"))  # of the schema that it had then
    shard.write_bytes(shard.read_bytes()[:-9])
    (found,) = verify_store(out, cases=["b"])
    assert str(shard) in found.detail


# Label values and grids


def test_classes_are_the_union_of_the_raters(softlab, tmp_path) -> None:
    write_image(tmp_path / "r1" / "a.nii.gz", np.array([[[0, 1, 1, 5]]], np.uint8))
    write_image(tmp_path / "r2" / "a.nii.gz", np.array([[[0, 1, 7, 7]]], np.uint8))
    out = tmp_path / "soft.zarr"
    command = ("fuse", "--in", tmp_path / "r1", "--in", tmp_path / "r2")
    softlab(*command, "--out", out)
    assert softlab_cli.open_store(out).classes.values == (0, 1, 5, 7)
    mapped = tmp_path / "mapped.zarr"
    options = ("--map", "5=1", "--map", "r2:7=1,0=2")
    assert softlab(*command, *options, "--out", mapped).exit_code == 0
    store = softlab_cli.open_store(mapped)
    assert store.classes.values == (0, 1, 2)
    np.testing.assert_array_equal(store["a"].read()[:, 0, 0], [[0.5, 0, 0, 0], [0, 1, 1, 1],
                                                               [0.5, 0, 0, 0]])  # fmt: skip
    assert store.info.reading == {"value_map": {"": {"5": 1}, "r2": {"7": 1, "0": 2}}}
    assert "done         0" in softlab(*command, *options, "--out", mapped).output
    assert softlab(*command, "--out", mapped).exit_code == 1


def test_a_map_serves_methods_of_one_rater_too(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("onehot", "--in", labels, "--out", out, "--map", "3=1,2=1")
    case = softlab_cli.open_store(out)["case0"]
    np.testing.assert_array_equal(case.read_label(), blobs(SHAPE, 4) > 0)


@pytest.mark.parametrize("text", ["1", "1=b", "r1:", "1=70000", "=3"])
def test_a_map_that_is_none(softlab, labels, tmp_path, text) -> None:
    refused = softlab("ls", "--in", labels, "--out", tmp_path / "o.zarr", "--map", text)
    assert refused.exit_code == 2
    assert "is not a pair of label values" in refused.stderr


def turned(path: Path) -> None:
    """The same world with its axes in another order and direction."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "SAR")
    sitk.WriteImage(image, str(path))


def test_a_turned_rater_is_turned_back_and_said(softlab, raters, tmp_path) -> None:
    straight, crooked = tmp_path / "one.zarr", tmp_path / "other.zarr"
    softlab("msvls", *ins(raters), "--out", straight)
    turned(raters[1] / "a.nii.gz")
    done = softlab("msvls", *ins(raters), "--out", crooked)
    assert done.exit_code == 0
    assert "warning: a: r2: turned from" in done.stderr
    expected = softlab_cli.open_store(straight)["a"].read()
    np.testing.assert_array_equal(softlab_cli.open_store(crooked)["a"].read(), expected)


def test_another_grid_is_refused_with_both(softlab, raters, tmp_path) -> None:
    write_image(raters[1] / "a.nii.gz", rater_maps()[1], (2, 1, 1.5))
    out = tmp_path / "soft.zarr"
    command = ("msvls", *ins(raters), "--out", out)
    refused = softlab(*command)
    assert refused.exit_code == 1
    for words in ("r2/a.nii.gz", "label map of the first rater", "2 x 1 x 1.5 mm", "2 x 1 x 1 mm"):
        assert words in refused.stderr
    assert list(softlab_cli.open_store(out)) == ["b"]
    done = softlab(*command, "--resample-labels", "nearest", "--overwrite")
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out)["a"].raters == ("r1", "r2", "r3")


# What the raters' agreement says


def test_a_misoriented_rater_is_pointed_out_everywhere(softlab, raters, tmp_path) -> None:
    write_image(raters[2] / "a.nii.gz", rater_maps()[2][:, ::-1, ::-1].copy(), (2, 1, 1))
    out, log = tmp_path / "soft.zarr", tmp_path / "log.jsonl"
    done = softlab("msvls", *ins(raters), "--out", out, "--log-json", log)
    assert done.exit_code == 0
    assert "warning: a: rater r3 has a mean Dice of" in done.stderr
    assert "warned       1" in done.output
    events = [json.loads(line) for line in log.read_text().splitlines()]
    (event,) = [e for e in events if e.get("case_id") == "a" and e["event"] == "CaseFinished"]
    assert "rater r3" in event["warnings"][0]
    case = softlab_cli.open_store(out)["a"]
    assert case.info.details["raters"]["outliers"] == ["r3"]
    assert case.info.warnings == tuple(event["warnings"])
    shown = softlab("info", out, "a").output
    assert "Fleiss' kappa" in shown
    assert "mean Dice" in shown
    # Background is left out: with it, two classes would give the same in both columns.
    (row,) = [line.split() for line in shown.splitlines() if line.split()[:1] == ["r1"]]
    facts = case.info.details["raters"]
    means = [np.mean(facts[what][0][1:]) for what in ("sensitivity", "specificity")]
    assert row[2:] == [f"{mean:.3f}" for mean in means]


def test_weights_go_by_rater_and_are_kept(softlab, raters, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    weights = [o for rater in ("r1=1", "r2=1", "r3=2") for o in ("--rater-weight", rater)]
    assert softlab("fuse", *ins(raters), *weights, "--out", out).exit_code == 0
    store = softlab_cli.open_store(out)
    expected = naive_raters.share(rater_maps().astype(int), CLASSES, np.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(store["a"].read(), expected, atol=HALF_STEP)
    assert store["b"].info.details["fusion"]["rater_weights"] == {"r1": 0.5, "r2": 0.5}
    config = tmp_path / "again.toml"
    printed = softlab("info", out, "--config").output
    config.write_text(printed.replace("soft.zarr", "again.zarr"))
    assert softlab("run", config).exit_code == 0
    assert tree(tmp_path / "again.zarr") == tree(out)


def test_weights_that_are_none(softlab, raters, tmp_path) -> None:
    command = ("fuse", *ins(raters), "--out", tmp_path / "o.zarr")
    assert "no weight" in softlab(*command, "--rater-weight", "r1=1").stderr
    senseless = softlab(*command, "--rater-weight", "r1")
    assert senseless.exit_code == 2
    assert "such as r1=0.5" in senseless.stderr
    unused = softlab(*command, "--method", "staple", "--rater-weight", "r1=1")
    assert unused.exit_code == 2


@pytest.mark.parametrize("weight", ["inf", "nan", "-1", "0"])
def test_weights_that_cannot_be_used_stop_before_anything_is_made(
    softlab, raters, tmp_path, weight
) -> None:
    out = tmp_path / "o.zarr"
    found = softlab("msvls", "--in", raters[0], "--rater-weight", f"r1={weight}", "--out", out)
    assert found.exit_code == 2
    assert "finite numbers from 0 up" in found.stderr
    assert not out.exists()


def test_two_weights_for_one_rater(softlab, raters, tmp_path) -> None:
    twice = ("--rater-weight", "r1=1", "--rater-weight", "r1=2")
    found = softlab("fuse", "--in", raters[0], *twice, "--out", tmp_path / "o.zarr")
    assert found.exit_code == 2
    assert "'r1' is given two weights" in found.stderr


@pytest.mark.parametrize(
    ("idle", "needs"),
    [
        (("--kernel-size", 5), "--smooth"),
        (("--slicewise",), "--smooth"),
        (("--staple-iterations", 1000), "--method staple"),
    ],
)
def test_options_without_effect_are_refused(softlab, raters, tmp_path, idle, needs) -> None:
    found = softlab("fuse", *ins(raters), *idle, "--out", tmp_path / "o.zarr")
    assert found.exit_code == 2
    assert f"{idle[0]} has no effect here. It is for {needs}" in found.stderr


def test_staple_that_did_not_converge_is_said(softlab, raters, tmp_path) -> None:
    command = ("fuse", "--method", "staple", *ins(raters))
    capped = softlab(*command, "--staple-iterations", 2, "--out", tmp_path / "capped.zarr")
    assert capped.exit_code == 0
    assert capped.stderr.count("STAPLE stopped at step 2 before it converged") == 1
    done = softlab(*command, "--out", tmp_path / "done.zarr")
    assert "STAPLE" not in done.stderr


# Plain arrays


def test_raters_on_plain_arrays() -> None:
    maps = rater_maps(4)
    np.testing.assert_allclose(softlab_cli.msvls(maps), mean_of_svls(maps), atol=HALF_STEP)
    np.testing.assert_array_equal(softlab_cli.msvls(maps, threads=3), softlab_cli.msvls(maps))
    np.testing.assert_array_equal(softlab_cli.msvls(maps[:1]), softlab_cli.svls(maps[0]))
    flat = softlab_cli.msvls(list(maps[:, 3]), rater_weights=[1, 0, 0, 0])
    np.testing.assert_allclose(flat, softlab_cli.svls(maps[0, 3]), atol=HALF_STEP)


def test_arrays_that_are_no_raters() -> None:
    with pytest.raises(UsageError, match="no label map"):
        softlab_cli.msvls([])
    with pytest.raises(GeometryError, match="rater 2 has the shape"):
        softlab_cli.msvls([np.zeros((2, 3), int), np.zeros((3, 2), int)])
    with pytest.raises(UsageError, match="no weight"):
        softlab_cli.fuse(rater_maps(), rater_weights=[1, 2])
    with pytest.raises(UsageError, match="no fusion by 'median'"):
        softlab_cli.fuse(rater_maps(), method="median")
    with pytest.raises(UsageError, match="spacing"):
        softlab_cli.msvls(rater_maps(), sigma_mm=1)


def test_a_rater_with_a_crop_is_padded_whoever_comes_first(softlab, raters, tmp_path) -> None:
    """The grid is the largest one, so that the order of raters changes nothing."""
    whole = sitk.ReadImage(str(raters[1] / "a.nii.gz"))
    sitk.WriteImage(whole[2:20, 1:20, 3:15], str(raters[1] / "a.nii.gz"))
    found = []
    for number, order in enumerate(((0, 1), (1, 0))):
        out = tmp_path / f"{number}.zarr"
        done = softlab("msvls", *ins([raters[i] for i in order]), "--out", out)
        assert done.exit_code == 0, done.output
        found.append(softlab_cli.open_store(out)["a"].read())
    assert found[0].shape[1:] == SHAPE
    np.testing.assert_array_equal(found[0], found[1])
