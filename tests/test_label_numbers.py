"""Numbers that are no label values: too large, negative, NaN; and what they are read as."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import nibabel
import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import ClassError, UsageError
from softlab_cli.core.numbers import parse_number
from softlab_cli.methods.onehot import OneHot
from softlab_cli.readers import read_label_map
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.replacing import Replacing
from softlab_cli.running.runner import run
from tests.conftest import write_image

IDS = np.array([0, 997, 312782628, 614454277, 2**32 - 1], np.uint32)
ONE = ("--workers", "1")
NAN = float("nan")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch) -> None:
    """No file here crashes, and a process for each would only take time."""
    monkeypatch.setattr("softlab_cli.running.isolation.may_crash_on", lambda path: False)


def atlas() -> np.ndarray:
    """(2, 3, 5) ids of an atlas; every one occurs."""
    return IDS[np.arange(30).reshape(2, 3, 5) % 5]


def with_nan() -> np.ndarray:
    """(2, 2, 3) float32 labels 0 to 2, of which the first two voxels are NaN."""
    values = np.arange(12, dtype=np.float32).reshape(2, 2, 3) % 3
    values[0, 0, :2] = NAN
    return values


def write(path: Path, values: np.ndarray) -> Path:
    """An image of any kind, those of nibabel among them."""
    if path.suffix != ".mgz":
        return write_image(path, values)
    nibabel.save(nibabel.MGHImage(values.T, np.eye(4)), path)
    return path


def label_of(store: Path, case_id: str = "a") -> np.ndarray:
    return np.asarray(softlab_cli.open_store(store)[case_id].read_label())


def soft_of(store: Path, case_id: str = "a") -> np.ndarray:
    return np.asarray(softlab_cli.open_store(store)[case_id].read())


# ---- replacing, against a dictionary ---------------------------------------------------


@pytest.mark.parametrize(
    "kind", ["u1", "i1", "u2", "i2", ">u2", "u4", "i4", "u8", "i8", "f4", "f8"]
)
def test_numbers_are_replaced_as_a_dictionary_does(kind: str) -> None:
    wanted = {0: 3, 3: 0, 1: 65535, -1: 7, 70000: 8, 2**32 - 1: 9, 2**63: 2}
    values = np.array([0, 1, 2, 3, 100, 5, 0, 3], kind)
    more = [n for n in (-1, 70000, 2**32 - 1, 2**63) if _fits(n, values.dtype)]
    values = np.concatenate([values, np.array(more, kind)])
    made = Replacing.of(wanted).apply(values, Path("x"))
    assert made.dtype.kind in "ui" or made is values
    assert [int(v) for v in made] == [wanted.get(int(v), int(v)) for v in values]


def _fits(number: int, dtype: np.dtype) -> bool:
    if dtype.kind == "f":
        return number < 2**53 and int(dtype.type(number)) == number
    return np.iinfo(dtype).min <= number <= np.iinfo(dtype).max


@pytest.mark.parametrize(
    ("text", "number"), [("5", 5), (" -1 ", -1), ("70000.0", 70000), (str(2**63), 2**63)]
)
def test_whole_numbers_of_text(text: str, number: int) -> None:
    assert parse_number(text) == number
    assert isinstance(parse_number(text), int)


def test_nan_of_text() -> None:
    assert np.isnan(parse_number("NaN"))


@pytest.mark.parametrize("text", ["", "1.5", "inf", "liver", "1e400"])
def test_text_that_is_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError):
        parse_number(text)


def test_wide_numbers_take_no_wide_memory(tmp_path) -> None:
    """Neither a table of 2^32 entries nor the volume in 32 bits beside what is read."""
    voxels = 128
    values = np.zeros((voxels, voxels, voxels), np.uint32)
    values[:, 5] = 2**32 - 1
    path = write_image(tmp_path / "a.nii", values)
    tracemalloc.start()
    label_map = read_label_map(path, Replacing({2**32 - 1: 300}))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert label_map.values.dtype == np.uint16
    assert np.array_equal(label_map.values == 300, values > 0)
    # Both widths of the labels, and pieces of 2^18 numbers on their way.
    assert peak < 3 * voxels**3 + 64 * 2**18


# ---- through the command line -----------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.mha"])
def test_ids_of_an_atlas(softlab, tmp_path, name) -> None:
    path, out = write_image(tmp_path / name, atlas()), tmp_path / "o.zarr"
    command = ("onehot", *ONE, "--in", path, "--out", out)
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "those of 18 voxels are outside 0..65535" in refused.output
    pairs = "312782628=1,614454277=2,4294967295=3"
    assert f"--map {pairs}, or leave voxels out with --ignore-label 312782628" in refused.output
    done = softlab(*command, "--map", pairs)
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out).classes.values == (0, 1, 2, 3, 997)
    np.testing.assert_array_equal(
        label_of(out), np.array([0, 4, 1, 2, 3])[np.arange(30) % 5].reshape(2, 3, 5)
    )
    assert "skipped      1" in softlab(*command, "--map", pairs).output
    incomplete = softlab(
        "onehot", *ONE, "--in", path, "--out", tmp_path / "p.zarr", "--map", "997=4"
    )
    assert "those of 18 voxels" in incomplete.output


def test_the_remedy_mixes_no_classes(softlab, tmp_path) -> None:
    path = write_image(tmp_path / "a.nii.gz", np.array([[[-1, 0, 1, 2]]], np.int16))
    refused = softlab("onehot", *ONE, "--in", path, "--out", tmp_path / "o.zarr")
    assert "--map -1=3, or leave voxels out with --ignore-label -1" in refused.output


def test_floats_and_negative_numbers_that_are_whole(softlab, tmp_path) -> None:
    values = np.array([[[-3.0, 0.0, 100000.0, 1.0]]], np.float32)
    path, out = write_image(tmp_path / "a.nii.gz", values), tmp_path / "o.zarr"
    done = softlab("onehot", *ONE, "--in", path, "--out", out, "--map", "-3=2,100000.0=3")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(label_of(out), [[[2, 0, 3, 1]]])


@pytest.mark.parametrize("ignored", [-1, 70000, -(2**40)])
def test_any_whole_number_may_be_ignored(softlab, tmp_path, ignored) -> None:
    values = np.array([[[0, 1, ignored, 1, ignored]]], np.int64)
    path, out = write_image(tmp_path / "a.nii.gz", values), tmp_path / "o.zarr"
    command = ("onehot", *ONE, "--in", path, "--out", out)
    assert softlab(*command).exit_code == 1
    ignoring, labels = ("--ignore-label", ignored), ("--labels", "0-1")
    for options in ((), (*labels, "--overwrite")):
        done = softlab(*command, *ignoring, *options)
        assert done.exit_code == 0, done.output
        assert softlab_cli.open_store(out).classes.values == (0, 1)
        np.testing.assert_array_equal(soft_of(out).sum(0), [[[1, 1, 0, 1, 0]]])
        assert softlab_cli.open_store(out)["a"].statistics.hard_voxels == [1, 2]
    assert (
        "skipped      1" in softlab(*command, "--ignore-label", ignored, "--labels", "0-1").output
    )
    assert softlab(*command, "--labels", "0-1").exit_code == 1  # another recipe


def test_the_mark_of_ignored_voxels_is_no_class_of_the_file(softlab, tmp_path) -> None:
    path = write_image(tmp_path / "a.nii.gz", np.array([[[-1, 0, 65535]]], np.int32))
    command = ("onehot", *ONE, "--in", path, "--out", tmp_path / "o.zarr", "--ignore-label", -1)
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "has the label value 65535, by which voxels that are not labelled are" in refused.output
    assert softlab(*command, "--map", "65535=1").exit_code == 0


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nrrd", "a.tif", "a.mgz"])
def test_nan_is_ignored_or_background_on_request(softlab, tmp_path, name) -> None:
    values, out = with_nan(), tmp_path / "o.zarr"
    command = ("onehot", *ONE, "--in", write(tmp_path / name, values), "--out", out)
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "--map nan=0, or leave such voxels out with --ignore-label nan" in refused.output
    assert softlab(*command, "--map", "nan=0,0=2,2=0").exit_code == 0
    swapped = np.array([2, 1, 0])[np.nan_to_num(values, nan=2).astype(int)]
    np.testing.assert_array_equal(label_of(out), swapped)
    done = softlab(*command, "--ignore-label", "nan", "--overwrite")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(soft_of(out).sum(0) == 0, np.isnan(values))
    assert "skipped      1" in softlab(*command, "--ignore-label", "nan").output


def test_nan_beside_fractions_stays_an_error(softlab, tmp_path) -> None:
    values = with_nan()
    values[1, 1, 1] = 0.4
    path = write_image(tmp_path / "a.nii.gz", values)
    for options in ((), ("--map", "nan=0")):
        refused = softlab("onehot", *ONE, "--in", path, "--out", tmp_path / "o.zarr", *options)
        assert refused.exit_code == 1
        assert "not within 0.001 of an integer" in refused.output
        assert "nan=0" not in refused.output


def test_each_rater_has_numbers_of_its_own(softlab, tmp_path) -> None:
    write_image(tmp_path / "r1" / "a.nii.gz", np.array([[[0, -1, 70000]]], np.int32))
    write_image(tmp_path / "r2" / "a.nii.gz", np.array([[[0, 1, NAN]]], np.float32))
    out = tmp_path / "o.zarr"
    done = softlab("fuse", *ONE, "--in", tmp_path / "r1", "--in", tmp_path / "r2", "--out", out,
                   "--map", "r1:70000=1", "--map", "r2:nan=1", "--ignore-label", -1)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert softlab_cli.open_store(out).classes.values == (0, 1)
    np.testing.assert_array_equal(label_of(out)[..., [0, 2]], [[[0, 1]]])


def test_the_configuration_makes_the_store_again(softlab, tmp_path) -> None:
    path = write_image(tmp_path / "a.nii.gz", with_nan() - 1)
    out, again = tmp_path / "o.zarr", tmp_path / "again.zarr"
    options = ("--map", "0=1,1=2", "--ignore-label", -1, "--ignore-label", "nan")
    assert softlab("onehot", *ONE, "--in", path, "--out", out, *options).exit_code == 0
    config = tmp_path / "c.toml"
    config.write_text(softlab("info", out, "--config").output.replace(str(out), str(again)))
    done = softlab("run", config)
    assert done.exit_code == 0, done.output
    kept, made = softlab_cli.open_store(out).info, softlab_cli.open_store(again).info
    assert kept.recipe == made.recipe
    assert kept.reading == {"value_map": {"": {"0": 1, "1": 2}}, "unlabelled": [-1, "nan"]}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--ignore-label", "1.5"), "1.5 is no whole number"),
        (("--ignore-label", "x"), "could not convert"),
        (("--map", "1=-1"), "'1=-1' is not a pair of label values"),
        (("--map", "1.5=1"), "'1.5=1' is not a pair of label values"),
        (("--map", "1=nan"), "'1=nan' is not a pair of label values"),
        (("--labels", "0,70000"), "Read larger label values as smaller ones with --map"),
    ],
)
def test_options_that_make_no_sense(softlab, tmp_path, options, said) -> None:
    path = write_image(tmp_path / "a.nii.gz", np.array([[[0, 1]]], np.uint8))
    refused = softlab("onehot", "--in", path, "--out", tmp_path / "o.zarr", *options)
    assert refused.exit_code == 2
    assert said in refused.output


# ---- inspect -----------------------------------------------------------------------------


def test_inspect_says_the_remedy_for_large_numbers(softlab, tmp_path) -> None:
    said = softlab("inspect", write_image(tmp_path / "a.nrrd", atlas()))
    assert said.exit_code == 0
    assert "a.nrrd: label map" in said.output
    assert "4294967295  6" in said.output
    assert "--map 312782628=1,614454277=2,4294967295=3" in said.output


def test_inspect_says_the_remedy_for_nan(softlab, tmp_path) -> None:
    said = softlab("inspect", write_image(tmp_path / "a.nii.gz", with_nan())).output
    assert "a.nii.gz: label map" in said
    assert "holds 2 voxels whose value is not within 0.001 of an integer; the first is nan" in said
    assert "--map nan=0, or leave such voxels out with --ignore-label nan" in said


def test_inspect_takes_an_image_with_negative_numbers_for_one(softlab, tmp_path) -> None:
    values = np.random.default_rng(0).integers(-1000, 3000, (6, 12, 12)).astype(np.int16)
    path = write_image(tmp_path / "a.nii.gz", values)
    assert "a.nii.gz: image" in softlab("inspect", path).output
    refused = softlab("onehot", *ONE, "--in", path, "--out", tmp_path / "o.zarr")
    assert "looks like an image" in refused.output


# ---- Python ---------------------------------------------------------------------------------


def test_the_options_have_the_same_names_in_python(tmp_path) -> None:
    path, out = write_image(tmp_path / "a.nii.gz", with_nan() - 1), tmp_path / "o.zarr"
    report = run(OneHot(), path, out, workers=1, ignore_labels=(-1, NAN),
                 reading=ReadingOptions(value_map={"": {0: 2, 1: 3}}))  # fmt: skip
    assert report.done == 1
    assert softlab_cli.open_store(out).classes.values == (0, 2, 3)
    with pytest.raises(UsageError, match=r"--ignore-label 0\.5 is no whole number"):
        run(OneHot(), path, out, ignore_labels=(0.5,))


@pytest.mark.parametrize("ignored", [-1, -100, 70000])
def test_arrays_may_ignore_any_whole_number(ignored: int) -> None:
    values = np.array([[0, 1, ignored], [1, ignored, 0]], np.int64)
    soft = softlab_cli.one_hot(values, ignore_value=ignored)
    inside = np.where(values == ignored, 9, values)
    np.testing.assert_array_equal(soft, softlab_cli.one_hot(inside, ignore_value=9))
    with pytest.raises(ClassError, match="are outside 0"):
        softlab_cli.one_hot(values)
