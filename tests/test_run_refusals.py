"""What a run refuses or says before it does a case, where it would silently do something else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import ClassError, UsageError
from softlab_cli.methods.base import Method
from softlab_cli.methods.imported import Import
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.raters.fuse import Fuse
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.running.plan import Request, make_plan
from softlab_cli.running.runner import run
from tests.conftest import write_image
from tests.seg_nrrd_support import segment_keys, write_seg_nrrd

LABEL = np.arange(8, dtype=np.uint8).reshape(2, 2, 2) % 3
NAN = float("nan")  # not math.nan, as what comes from another process is not either


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


def test_an_output_that_is_a_link_to_an_input(store, tmp_path) -> None:
    (tmp_path / "link").symlink_to(store)
    with pytest.raises(UsageError, match="read by the run"):
        run(OneHot(), [store], tmp_path / "link", overwrite=True)


def test_names_that_other_systems_cannot_hold_are_told(tmp_path) -> None:
    for name in ("a", "A"):
        write_image(tmp_path / "in" / f"{name}.nii.gz", LABEL)
    said = plan(OneHot(), [tmp_path / "in"], tmp_path / "o.zarr")
    assert any("cannot hold this store" in text for text in said)


def test_images_are_no_output(store) -> None:
    with pytest.raises(UsageError, match="read by the run"):
        plan(OneHot(), [store.parent / "labels"], store, images=store, overwrite=True)


def test_a_folder_may_hold_its_output(tmp_path) -> None:
    write_image(tmp_path / "a.nii.gz", LABEL)
    for _ in range(2):
        run(OneHot(), tmp_path, tmp_path / "s.zarr", workers=1, overwrite=True)


# ---- --map -------------------------------------------------------------------------


def test_a_map_of_an_unknown_rater_is_refused(tmp_path) -> None:
    folders = [write_image(tmp_path / r / "a.nii.gz", LABEL).parent for r in ("r1", "r2")]
    reading = ReadingOptions(value_map={"r9": {1: 2}})
    with pytest.raises(UsageError, match=r"'r9', which is no rater .* 'r1', 'r2'"):
        plan(Fuse(), folders, tmp_path / "o.zarr", reading=reading)


def test_the_map_of_a_rater_adds_to_that_of_all() -> None:
    options = ReadingOptions(value_map={"": {2: 0, 3: 0, NAN: 1}, "r2": {1: 2, 3: 4, NAN: 5}})
    assert options.values_of("r1") == {2: 0, 3: 0, math.nan: 1}
    assert options.values_of("r2") == {2: 0, 3: 4, 1: 2, math.nan: 5}


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["1=2,1=3"], "1 becomes 2 and 3; give"),
        (["r2:nan=1", "r2:nan=2"], "nan becomes 1 and 2 in the label maps of r2"),
    ],
)
def test_a_number_becomes_one_number(softlab, tmp_path, texts, said) -> None:
    options = [part for text in texts for part in ("--map", text)]
    refused = softlab("onehot", "--in", tmp_path, "--out", tmp_path / "o.zarr", *options)
    assert refused.exit_code == 2
    assert said in " ".join(refused.stderr.split())


def test_soft_labels_have_no_numbers_to_map(tmp_path) -> None:
    write_image(tmp_path / "a.nii.gz", LABEL.astype(np.float32) / 2)
    reading = ReadingOptions(value_map={"": {1: 2}})
    with pytest.raises(UsageError, match="--map has no effect on soft labels"):
        plan(Import(), [tmp_path], tmp_path / "o.zarr", reading=reading)


# ---- names -------------------------------------------------------------------------


def slicer(path: Path, names: Mapping[int, str], label: np.ndarray = LABEL) -> Path:
    """A file of 3D Slicer with one layer."""
    keys = segment_keys([(name, number, 0) for number, name in names.items()])
    return write_seg_nrrd(path, [label], keys)


def test_regions_of_a_file_without_names_are_refused(tmp_path) -> None:
    write_image(tmp_path / "a.nrrd", LABEL)
    slicer(tmp_path / "b.seg.nrrd", {1: "liver", 2: "tumour"})
    reading = ReadingOptions(rois=("liver",))
    request = Request([tmp_path], tmp_path / "o.zarr", reading=reading, labels="0,1", workers=1)
    done = make_plan(OneHot(), request, lambda event: None)
    (failed,) = done.failed
    assert "without names, of which --roi liver can choose none. Leave --roi" in failed.message
    assert [task.case.case_id for task in done.tasks] == ["b"]


@pytest.fixture(scope="module")
def swapped(tmp_path_factory) -> Path:
    """Two files that number the same names differently."""
    folder = tmp_path_factory.mktemp("swapped")
    slicer(folder / "a.seg.nrrd", {1: "liver", 2: "tumour"})
    slicer(folder / "b.seg.nrrd", {1: "tumour", 2: "liver"})
    return folder


def test_a_number_with_two_names_is_no_class(swapped, tmp_path) -> None:
    said = r"a.seg.nrrd: .* value 1 is 'liver' here and 'tumour' in .*b.seg.nrrd; as one"
    with pytest.raises(ClassError, match=said + r".*--labels 0,1=liver,2=tumour\."):
        plan(OneHot(), [swapped], tmp_path / "o.zarr", labels="0,1,2")
    with pytest.raises(ClassError, match="value 1 is 'liver' here"):
        plan(OneHot(), [swapped], tmp_path / "o.zarr", labels="0", ignore_labels=(1, 2))
    plan(OneHot(), [swapped], tmp_path / "o.zarr", labels="0,1=liver,2=tumour")
    plan(OneHot(), [swapped], tmp_path / "o.zarr", labels="0,1=liver,2")


def test_a_number_with_one_name_everywhere_is_a_class(tmp_path) -> None:
    for case_id in "ab":
        slicer(tmp_path / f"{case_id}.seg.nrrd", {1: "liver", 2: "tumour"})
    plan(OneHot(), [tmp_path], tmp_path / "o.zarr", labels="0,1,2")


def test_numbers_that_take_names_are_said(tmp_path) -> None:
    write_image(tmp_path / "a.nrrd", LABEL)
    slicer(tmp_path / "b.seg.nrrd", {1: "liver", 2: "tumour"})
    said = (
        "label maps without names (case a) take the names that others give their numbers "
        "(1=liver, 2=tumour, as in case b)"
    )
    assert sum(said in line for line in plan(OneHot(), [tmp_path], tmp_path / "o.zarr")) == 1
    (tmp_path / "a.nrrd").unlink()
    assert "without names" not in "".join(plan(OneHot(), [tmp_path], tmp_path / "o.zarr"))


def test_no_number_is_ignored_where_numbers_have_several_names(swapped, tmp_path) -> None:
    with pytest.raises(ClassError, match=r"--ignore-label 2 .* numbered differently .*--labels"):
        plan(OneHot(), [swapped], tmp_path / "o.zarr", ignore_labels=(2,))


@pytest.mark.parametrize("labels", [None, "0,1"])
def test_an_ignored_segment_is_named(tmp_path, labels) -> None:
    slicer(tmp_path / "b.seg.nrrd", {1: "liver", 2: "tumour"})
    said = plan(OneHot(), [tmp_path], tmp_path / "o.zarr", labels=labels, ignore_labels=(2,))
    assert sum("label value 2 is the segment 'tumour'" in line for line in said) == 1


def test_paths_may_be_texts(tmp_path) -> None:
    for folder in ("labels", "images"):
        write_image(tmp_path / folder / "a.nii.gz", LABEL)
    given = {"images": str(tmp_path / "images"), "workers": 1}
    report = run(OneHot(), str(tmp_path / "labels"), str(tmp_path / "o.zarr"), **given)
    assert report.done == 1
