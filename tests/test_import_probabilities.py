"""``softlab import`` of nnU-Net's probabilities, and of stores."""

from __future__ import annotations

import json
import os
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.orientations import apply_orientation, io_orientation

import softlab_cli
from softlab_cli.cases import Case, discover_cases
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.labels.softlabels import SoftLabels
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.soft import in_agreement, open_soft_file
from softlab_cli.report.inspection import inspect_path
from tests.conftest import blobs
from tests.soft_support import AFFINE, SHAPE, save, save_probabilities, shares


def import_all(softlab: Any, *options: Any) -> Any:
    done = softlab("import", *options)
    assert done.exit_code == 0, done.output
    return done


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_probabilities_are_stored_as_they_are(softlab, tmp_path, dtype) -> None:
    probabilities = shares(3).astype(dtype)
    folder, out = tmp_path / "predicted", tmp_path / "o.zarr"
    save_probabilities(folder, "s_1", probabilities)
    (folder / "s_1.pkl").write_bytes(b"never opened")
    labels = {"background": 0, "liver": 1, "tumour": 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    done = import_all(softlab, "--in", folder, "--out", out)
    assert "left out 2 files that are no probabilities: dataset.json, s_1.pkl" in done.output
    store = softlab_cli.open_store(out)
    assert store.classes.names == ("background", "liver", "tumour")
    case = store["s_1"]
    np.testing.assert_array_equal(case.read(), probabilities.astype(np.float16))
    assert not case.info.warnings
    assert [Path(s.path).name for s in case.sources] == ["s_1.npz", "s_1.nii.gz"]
    assert softlab("verify", out, "--in", folder).exit_code == 0
    command = ["--in", folder, "--out", out]
    assert "skipped      1" in import_all(softlab, *command).output
    # Its segmentation is a source as well.
    os.utime(folder / "s_1.nii.gz", ns=(0, 0))
    save(folder / "s_1.nii.gz", np.zeros(SHAPE, np.int16))
    again = softlab("import", *command)
    assert again.exit_code == 1
    assert "does not belong to the segmentation beside it" in again.output


def test_without_names_the_numbers_of_the_channels_are_label_values(softlab, tmp_path) -> None:
    path = save_probabilities(tmp_path / "predicted", "s1", shares(3))
    import_all(softlab, "--in", path, "--out", tmp_path / "o.zarr")
    assert softlab_cli.open_store(tmp_path / "o.zarr").classes.values == (0, 1, 2)


def test_probabilities_in_ras_order_are_turned(tmp_path) -> None:
    """As NibabelIOWithReorient leaves them; nibabel does the turning here."""
    probabilities = shares(3)
    affine = np.array([[0, 0, 3.0, 1], [-2, 0, 0, 2], [0, -1, 0, 3], [0, 0, 0, 1]])
    stored = np.stack(
        [apply_orientation(volume.T, io_orientation(affine)).T for volume in probabilities]
    )
    assert stored.shape != probabilities.shape
    path = save_probabilities(tmp_path, "s1", stored)
    save(tmp_path / "s1.nii.gz", probabilities.argmax(axis=0).astype(np.uint8), affine)
    file = in_agreement(open_soft_file(path))
    np.testing.assert_array_equal([file.read(i) for i in range(3)], probabilities)
    assert "turned from RAS" in file.warnings[0]


def test_of_one_shape_the_segmentation_says_the_order(tmp_path) -> None:
    probabilities = shares(3)
    path = save_probabilities(tmp_path, "s1", probabilities[..., ::-1])
    save(tmp_path / "s1.nii.gz", probabilities.argmax(axis=0).astype(np.uint8), AFFINE)
    file = in_agreement(open_soft_file(path))  # the file runs from right to left
    np.testing.assert_array_equal(file.read(2), probabilities[2])
    save(tmp_path / "s1.nii.gz", probabilities[:, ::-1].argmax(axis=0).astype(np.uint8), AFFINE)
    with pytest.raises(InputError, match=r"another class at \d+ of \d+ labelled.*turned, at \d+"):
        in_agreement(file)


def test_few_voxels_may_differ_and_are_counted(tmp_path) -> None:
    probabilities = shares(2, shape=(10, 10, 10))
    labels = probabilities.argmax(axis=0)
    labels[0, 0, :3] = 1 - labels[0, 0, :3]
    file = in_agreement(
        open_soft_file(save_probabilities(tmp_path, "s1", probabilities, segmentation=labels))
    )
    assert "at 3 voxels (0." in file.warnings[0]
    tied = np.full((2, *SHAPE), 0.5, np.float32)
    path = save_probabilities(tmp_path, "s2", tied, segmentation=np.ones(SHAPE))
    assert not in_agreement(open_soft_file(path)).warnings  # equals have no order


def test_what_lies_beside_must_fit(tmp_path) -> None:
    path = save_probabilities(tmp_path, "s1", shares(3))
    save(tmp_path / "s1.nii.gz", np.zeros((5, 6, 8), np.uint8))
    with pytest.raises(InputError, match="of 5x6x7 voxels, and the segmentation beside it has 5x6"):
        open_soft_file(path)
    (tmp_path / "s1.nii.gz").unlink()
    with pytest.raises(InputError, match=r"no segmentation beside it.*such as s1.nii.gz"):
        open_soft_file(path)


@pytest.mark.parametrize("kind", ["volumes", "probabilities"])
def test_classes_are_never_held_together(tmp_path, kind) -> None:
    probabilities = shares(40, shape=(32, 32, 32))
    if kind == "volumes":
        path = save(tmp_path / "s1.nii.gz", probabilities)
    else:
        path = save_probabilities(tmp_path, "s1", probabilities)
    case, table = Case("s1", (path,)), ClassTable.from_values(range(40))
    SoftLabels.open(case, table, ReadingOptions())  # what is imported counts for nobody
    tracemalloc.start()
    try:
        for _ in SoftLabels.open(case, table, ReadingOptions()).classes():
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    volume = 4 * 32**3
    assert peak < 14 * volume  # of 40; buffers of 256 KiB, which are two volumes here


def test_arrays_that_lie_about_are_no_cases(tmp_path) -> None:
    np.savez(tmp_path / "notes.npz", x=np.zeros(3))
    (case,) = discover_cases([tmp_path], soft=True)
    assert case.case_id == "notes"  # there is nothing else: it says why it is refused
    save(tmp_path / "s1.nii.gz", shares(2)[0])
    said: list[str] = []
    (case,) = discover_cases([tmp_path], soft=True, tell=said.append)
    assert case.case_id == "s1"
    assert "notes.npz" in said[0]
    save_probabilities(tmp_path, "s2", shares(2))
    found = discover_cases([tmp_path], soft=True, tell=said.append)
    assert [case.case_id for case in found] == ["notes", "s2"]
    assert said[-1].endswith("left out 1 file that is no probabilities: s1.nii.gz")


class Bomb:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_nothing_is_unpickled(softlab, tmp_path) -> None:
    folder, trace = tmp_path / "predicted", tmp_path / "unpickled"
    save(folder / "s1.nii.gz", np.zeros(SHAPE, np.uint8))
    array = np.empty((2, *SHAPE), object)
    array[...] = Bomb(trace)
    np.savez(folder / "s1.npz", probabilities=array)
    refused = softlab("import", "--in", folder, "--out", tmp_path / "o.zarr")
    assert "holds probabilities of the type object" in refused.output
    assert inspect_path(folder / "s1.npz").kind == "unreadable"
    assert not trace.exists()


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (shares(2)[0], r"of the shape \(5, 6, 7\); expected \(C, Z, Y, X\)"),
        (np.asfortranarray(shares(2)), "in Fortran order"),
        (np.zeros((2, *SHAPE), np.int16), "of the type int16; expected float16"),
    ],
)
def test_other_arrays_are_refused(tmp_path, array, said) -> None:
    save(tmp_path / "s1.nii.gz", np.zeros(SHAPE, np.uint8))
    np.savez(tmp_path / "s1.npz", probabilities=array)
    with pytest.raises(InputError, match=said):
        open_soft_file(tmp_path / "s1.npz")
    np.savez(tmp_path / "s1.npz", softmax=array)
    with pytest.raises(InputError, match="has no array 'probabilities'; it has softmax"):
        open_soft_file(tmp_path / "s1.npz")


def read_all(path: Path) -> None:
    file = open_soft_file(path)
    for index in range(file.count):
        file.read(index)


@pytest.mark.parametrize("damage", ["cut", "flipped", "stored", "no zip", "longer", "empty"])
def test_damaged_archives_are_named(tmp_path, damage) -> None:
    path = save_probabilities(tmp_path, "s1", shares(3))
    content = bytearray(path.read_bytes())
    if damage == "cut":
        del content[len(content) // 2 :]
    elif damage == "flipped":
        content[len(content) // 2] ^= 0x10
    elif damage == "no zip":
        content = bytearray(b"no zip at all" * 9)
    elif damage == "empty":
        content = bytearray()
    path.write_bytes(content)
    if damage == "stored":  # one bit of a number, of which the checksum alone tells
        np.savez(path, probabilities=shares(3))
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0x01
        path.write_bytes(content)
    if damage == "longer":  # the header promises more than there is
        with zipfile.ZipFile(path, "w") as archive, archive.open("probabilities.npy", "w") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": (2**20, *SHAPE)}
            np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(InputError, match=r"is damaged|empty file") as error:
        read_all(path)
    assert error.value.path == path


def test_regions_are_no_classes(softlab, tmp_path) -> None:
    folder = tmp_path / "predicted"
    regions = np.random.default_rng(0).random((2, *SHAPE)).astype(np.float32)
    save_probabilities(folder, "s1", regions, segmentation=(regions[0] > 0.5) * 1)
    labels = {"background": 0, "whole": [1, 2], "core": 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))
    refused = softlab("import", "--in", folder, "--out", tmp_path / "o.zarr")
    assert refused.exit_code == 1
    assert "Regions of nnU-Net, which overlap, are no classes" in refused.output


def test_inspect_names_probabilities(tmp_path) -> None:
    save_probabilities(tmp_path, "s1", shares(3))
    found = inspect_path(tmp_path)
    kinds = {part.path.name: part.kind for part in found.parts}
    assert kinds == {"s1.nii.gz": "label map", "s1.npz": "nnU-Net's probabilities"}
    assert found.facts["cases"] == ["s1"]


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Path:
    """A store of two cases with soft labels, the first of them with ignored voxels."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    folder = tmp_path_factory.mktemp("stores")
    for number in range(2):
        labels = blobs(SHAPE, 3, seed=number)
        labels[0, :, : 3 * (1 - number)] = 9
        save(folder / "in" / f"s{number}.nii.gz", labels)
    arguments = ["svls", "--in", folder / "in", "--out", folder / "soft.zarr", "--ignore-label", 9]
    arguments += ["--labels", "0,1=a,2=b"]
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return folder / "soft.zarr"


def soft_of(store: Path, case_id: str, table: ClassTable, **options: Any) -> SoftLabels:
    case = Case(case_id, (store / case_id,))
    return SoftLabels.open(case, table, ReadingOptions(**options))


def test_a_store_is_written_again_to_the_bit(softlab, tmp_path, store) -> None:
    out = tmp_path / "again.zarr"
    command = ["--in", store, "--out", out, "--workers", 1]
    import_all(softlab, *command)
    one, other = softlab_cli.open_store(store), softlab_cli.open_store(out)
    assert other.classes.names == ("background", "a", "b")
    assert list(other) == list(one) == ["s0", "s1"]
    for case_id in one:
        np.testing.assert_array_equal(other[case_id].read(), one[case_id].read())
        np.testing.assert_array_equal(other[case_id].affine, one[case_id].affine)
    unlabelled = one["s0"].read_label() == 255
    np.testing.assert_array_equal(other["s0"].read_label() == 255, unlabelled)
    assert unlabelled.any()
    assert softlab("verify", out).exit_code == 0
    assert "skipped      2" in import_all(softlab, *command).output


def test_of_a_store_some_classes_leave_the_others_as_background(store) -> None:
    whole = softlab_cli.open_store(store)["s0"].read().astype(np.float32)
    table = ClassTable.from_values([0, 1], {1: "b"})
    soft = soft_of(store, "s0", table, rois=("b",))
    np.testing.assert_array_equal(soft.read(1), whole[2])
    np.testing.assert_array_equal(soft.read(0), whole[0] + whole[1])
    assert (soft.read(0) + soft.read(1) == 0).any()  # what is not labelled stays so


def test_stores_without_soft_labels_and_other_groups_are_refused(softlab, tmp_path, store) -> None:
    only = tmp_path / "only.zarr"
    done = softlab("ls", "--in", store.parent / "in", "--out", only, "--labels-only")
    assert done.exit_code == 0, done.output
    with pytest.raises(InputError, match=r"holds hard labels only.*without --labels-only"):
        soft_of(only, "s0", ClassTable.from_values([0, 1]))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "zarr.json").write_text('{"zarr_format": 3, "node_type": "group"}')
    with pytest.raises(StoreError, match="other"):
        discover_cases([tmp_path / "other"])


def test_the_hard_label_of_a_store_is_a_label_map(softlab, tmp_path, store) -> None:
    out = tmp_path / "ls.zarr"
    done = softlab("ls", "--in", store, "--out", out, "--workers", 1)
    assert done.exit_code == 0, done.output
    one, other = softlab_cli.open_store(store), softlab_cli.open_store(out)
    assert other.classes.names == ("background", "a", "b")
    for case_id in ("s0", "s1"):  # s0 has voxels that are not labelled
        np.testing.assert_array_equal(other[case_id].read_label(), one[case_id].read_label())
    assert (one["s0"].read_label() == one.classes.ignore_index).sum() == 18
    command = ["onehot", "--in", store, "--out", out, "--roi", "b", "--overwrite"]
    softlab(*command)
    hot = softlab_cli.open_store(out)["s1"]
    assert hot.classes.names == ("background", "b")
    np.testing.assert_array_equal(hot.read_label() == 1, one["s1"].read_label() == 2)
