"""Every defect that is planted is found, named and placed; sound stores have none."""

from __future__ import annotations

import json
import os
import shutil
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.errors import StoreError
from softlab_cli.core.events import StageStarted, StageStepped
from softlab_cli.core.provenance import describe_source
from softlab_cli.store.reader import MissingCaseError
from softlab_cli.store.verify import Defect, verify_store
from softlab_cli.store.verify_data import sum_tolerance
from softlab_cli.store.writer import StoreWriter
from tests.store_support import (
    Example,
    case_info,
    example,
    fill,
    small_blocks,
    store_info,
    write_store,
)

CASE = example((11, 9, 18))


@pytest.fixture(autouse=True)
def _small() -> Any:
    with small_blocks():
        yield


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with two cases, sound."""
    write_store(tmp_path / "soft.zarr", a=CASE, b=example((5, 5, 5), seed=1))
    return tmp_path / "soft.zarr"


def write_unchecked(path: Path, voxels: Example, told: Example = CASE, **changes: Any) -> Path:
    """A case whose statistics are those of another one."""
    info = store_info(voxels.classes, **changes)
    with StoreWriter.create_or_open(path, info).case("a", voxels.geometry) as writer:
        fill(writer, voxels)
        writer.complete(case_info(told))
    return path


def edit_json(path: Path, edit: Callable[[Any], Any]) -> None:
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0xFF
    path.write_bytes(bytes(content))


def one_defect(path: Path, what: str, *said: str) -> Defect:
    """The only finding, which must be a defect."""
    (found,) = verify_store(path)
    assert (found.what, found.severity) == (what, "defect")
    for words in said:
        assert words in found.detail
    return found


@pytest.mark.parametrize(
    "case",
    [
        CASE,
        example((4, 4, 4), ignore=False),
        example((9, 10, 11), 300, seed=2),
        example((1, 21, 35), ndim=2),
    ],
    ids=["3d", "one block", "300 classes", "2d"],
)
@pytest.mark.parametrize("labels_only", [False, True])
def test_a_sound_store_has_no_finding(tmp_path: Path, case: Example, labels_only: bool) -> None:
    write_store(tmp_path / "s", labels_only=labels_only, a=case)
    assert verify_store(tmp_path / "s") == []


def test_listeners_and_choice_of_cases(store: Path) -> None:
    (store / "b" / "zarr.json").write_text("{")
    events: list[Any] = []
    assert verify_store(store, cases=["a"], listen=events.append) == []
    assert events == [StageStarted("verify", 1), StageStepped("verify", "a")]
    assert [d.case_id for d in verify_store(store)] == ["b"]
    with pytest.raises(MissingCaseError):
        verify_store(store, cases=["nobody"])


def test_what_is_no_store_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="does not exist"):
        verify_store(tmp_path / "nowhere")


class TestFiles:
    SHARD = "a/soft/c/0/0/0/0"

    def test_a_flipped_byte_in_a_chunk(self, store: Path) -> None:
        # The start of a zstd frame; a flip in its middle may decode to other values.
        flip(store / self.SHARD, 0)
        found = one_defect(store, "unreadable data", self.SHARD, "does not decode", "block at")
        assert found.case_id == "a"

    def test_a_flipped_byte_in_the_index(self, store: Path) -> None:
        flip(store / self.SHARD, -20)
        one_defect(store, "unreadable data", self.SHARD, "crc32c")

    def test_a_truncated_shard(self, store: Path) -> None:
        path = store / self.SHARD
        path.write_bytes(path.read_bytes()[:-7])
        one_defect(store, "unreadable data", self.SHARD, "crc32c")
        path.write_bytes(path.read_bytes()[:30])
        one_defect(store, "unreadable data", self.SHARD, "truncated")
        path.write_bytes(b"")
        one_defect(store, "unreadable data", self.SHARD, "empty")

    def test_a_deleted_shard(self, store: Path) -> None:
        (store / self.SHARD).unlink()
        one_defect(store, "missing shard", self.SHARD)

    def test_a_shard_where_nothing_is_labelled_may_be_absent(self, tmp_path: Path) -> None:
        indices, soft = CASE.indices.copy(), CASE.soft.copy()
        indices[:, :, 8:] = CASE.classes.ignore_index
        soft[..., 8:] = 0
        write_store(tmp_path / "s", a=replace(CASE, indices=indices, soft=soft))
        assert not (tmp_path / "s" / "a/soft/c/0/0/0/1").exists()
        assert verify_store(tmp_path / "s") == []

    def test_a_deleted_shard_of_hard_labels(self, store: Path) -> None:
        (store / "a/label/c/0/0/0").unlink()
        found = {d.what for d in verify_store(store)}
        assert "statistics differ from the voxels" in found

    def test_a_deleted_array(self, store: Path) -> None:
        shutil.rmtree(store / "a" / "soft")
        one_defect(store, "metadata", "a/soft/zarr.json", "cannot be read")

    def test_stray_things_are_noted(self, store: Path) -> None:
        (store / "c.partial-1-abc" / "soft").mkdir(parents=True)
        (store / "notes.txt").write_text("mine")
        (store / "a" / "soft" / "c" / "0" / "9").mkdir()
        (store / "a" / "soft" / "c" / "0" / "9" / "9").write_text("odd")
        found = verify_store(store)
        assert {d.severity for d in found} == {"note"}
        assert [(d.what, d.detail.split(":")[0]) for d in found] == [
            ("unfinished case", "c.partial-1-abc"),
            ("unknown file", "notes.txt"),
            ("unknown file", "soft/c/0/9/9"),
        ]

    def test_a_folder_without_metadata_is_a_defect(self, store: Path) -> None:
        os.unlink(store / "b" / "zarr.json")
        one_defect(store, "folder that is no case", "b has no zarr.json")


class TestMetadata:
    def test_another_number_of_classes(self, store: Path) -> None:
        edit_json(store / "a/soft/zarr.json", wider)
        found = one_defect(store, "metadata", "(4, 11, 9, 18)", "3 along the first axis")
        assert found.case_id == "a"

    def test_another_shape(self, store: Path) -> None:
        edit_json(store / "b/zarr.json", lambda d: d["attributes"]["softlab"].update(shape=[5] * 2))
        one_defect(store, "metadata", "b/zarr.json", "damaged")

    def test_other_parameters(self, store: Path) -> None:
        edit_json(store / "b/zarr.json", lambda d: d["attributes"]["softlab"].update(recipe="0"))
        one_defect(store, "metadata", "other parameters or classes")

    def test_broken_ngff(self, store: Path) -> None:
        edit_json(store / "a/zarr.json", lambda d: d["attributes"]["ome"].update(version="0.4"))
        one_defect(store, "OME-NGFF 0.5", "'0.4'")

    def test_what_zarr_python_cannot_open(self, store: Path) -> None:
        def edit(document: Any) -> None:
            document["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"] = 999

        edit_json(store / "a/label/zarr.json", edit)
        one_defect(store, "zarr-python", "cannot open label")

    @pytest.mark.parametrize(
        ("name", "entry", "said"),
        [
            ("hard_voxels", [1, 2, 3], "hard_voxels of class 0 is 1 in the metadata"),
            ("hard_voxels", [1, 2], "2 entries for 3 classes"),
            ("ignored_voxels", 7, "ignored_voxels is 7 in the metadata"),
            ("soft_mass", [1.5, 2.0, 3.0], "soft_mass of class 0 is 1.5 in the metadata"),
        ],
    )
    def test_wrong_statistics(self, store: Path, name: str, entry: Any, said: str) -> None:
        def edit(document: Any) -> None:
            document["attributes"]["softlab"]["statistics"][name] = entry

        edit_json(store / "a/zarr.json", edit)
        one_defect(store, "statistics differ from the voxels", said)


def wider(document: dict[str, Any]) -> None:
    document["shape"][0] += 1
    document["chunk_grid"]["configuration"]["chunk_shape"][0] += 1


class TestVoxels:
    def soft_with(self, place: tuple[int, ...], value: float) -> Example:
        soft = CASE.soft.copy()
        soft[place] = value
        return replace(CASE, soft=soft)

    def labelled(self, index: int) -> tuple[int, int, int]:
        """The first voxel of a class, or of the ignored ones."""
        z, y, x = np.argwhere(CASE.indices == index)[0].tolist()
        return z, y, x

    def test_a_sum_that_is_not_one(self, tmp_path: Path) -> None:
        place = self.labelled(1)
        voxels = self.soft_with((1, *place), 0.875)
        path = write_unchecked(tmp_path / "s", voxels, voxels)
        one_defect(
            path, "soft labels do not add up to 1", f"1 voxels; the first is {place}", "0.875"
        )

    def test_methods_whose_sums_are_not_one(self, tmp_path: Path) -> None:
        voxels = self.soft_with((1, *self.labelled(1)), 0.875)
        assert (
            verify_store(write_unchecked(tmp_path / "s", voxels, voxels, sums_to_one=False)) == []
        )

    def test_rounding_to_float16_is_no_defect(self, tmp_path: Path) -> None:
        case = example((11, 9, 18), 3, ignore=False)
        case = replace(case, soft=np.full_like(case.soft, 1 / 3))
        far = np.abs(case.soft.astype(np.float64).sum(axis=0) - 1).max()
        assert 2**-13 < far < sum_tolerance(3)
        write_store(tmp_path / "s", a=case)
        assert verify_store(tmp_path / "s") == []

    @pytest.mark.parametrize("value", [1.5, -0.25, np.nan, np.inf])
    def test_values_outside_the_range(self, tmp_path: Path, value: float) -> None:
        place = self.labelled(0)
        voxels = self.soft_with((2, *place), value)
        found = verify_store(write_unchecked(tmp_path / "s", voxels))
        assert found[0].what == "soft labels outside [0, 1]"
        assert str(place) in found[0].detail
        assert f"{value:g}" in found[0].detail

    def test_ignored_voxels_must_be_zero(self, tmp_path: Path) -> None:
        place = self.labelled(255)
        voxels = self.soft_with((0, *place), 2.0**-24)
        path = write_unchecked(tmp_path / "s", voxels, voxels)
        one_defect(path, "soft labels at ignored voxels", str(place))

    def test_class_indices_outside_the_table(self, tmp_path: Path) -> None:
        indices = CASE.indices.copy()
        indices[10, 8, 17] = 3
        found = verify_store(write_unchecked(tmp_path / "s", replace(CASE, indices=indices)))
        assert found[0].what == "class indices outside the class table"
        assert "(10, 8, 17), class index 3" in found[0].detail

    def test_memory_does_not_grow_with_the_number_of_classes(self, tmp_path: Path) -> None:
        case = example((24, 24, 24), 250, ignore=False)
        write_store(tmp_path / "s", a=case)
        verify_store(tmp_path / "s")  # imports and caches
        tracemalloc.start()
        assert verify_store(tmp_path / "s") == []
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < case.soft.nbytes / 5


class TestSources:
    def with_source(self, tmp_path: Path) -> tuple[Path, Path]:
        file = tmp_path / "a.nii.gz"
        file.write_bytes(b"voxels")
        info = case_info(CASE, (describe_source(file, "label"),))
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(CASE.classes))
        with store.case("a", CASE.geometry) as writer:
            fill(writer, CASE)
            writer.complete(info)
        return tmp_path / "s", file

    def test_changed(self, tmp_path: Path) -> None:
        path, file = self.with_source(tmp_path)
        assert verify_store(path) == []
        file.write_bytes(b"other")
        one_defect(path, "source has changed", str(file), "sha256")
        assert verify_store(path, check_sources=False) == []

    def test_not_at_hand(self, tmp_path: Path) -> None:
        path, file = self.with_source(tmp_path)
        file.unlink()
        (found,) = verify_store(path)
        assert (found.what, found.severity) == ("source not at hand", "note")
        assert str(file) in found.detail
