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
from softlab_cli.core.provenance import describe_sources
from softlab_cli.store.differing import first_difference
from softlab_cli.store.reader import MissingCaseError, Store
from softlab_cli.store.verify import Defect, verify_store
from softlab_cli.store.verify_data import sum_tolerance
from softlab_cli.store.verify_soft import check_against_label
from softlab_cli.store.writer import StoreWriter
from tests.store_support import (
    CrossSoftener,
    Example,
    as_earlier_version,
    case_info,
    cross_soft,
    edit_and_seal,
    edit_facts,
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


@pytest.mark.parametrize(
    ("told", "expected", "same"),
    [
        ({"a": [1, 2.5, "x", None]}, {"a": (1, 2.5, "x", None)}, True),
        ({"a": 1, "b": 2}, {"b": 2.0, "a": 1}, True),
        ([1.0 + 1e-15], [1.0], True),
        ([1], [True], False),
        ([0.0], [-0.0], False),
        ([1], ["1"], False),
        ({"a": 1}, {"a": 1, "b": None}, False),
    ],
)
def test_what_counts_as_a_difference(told: Any, expected: Any, same: bool) -> None:
    assert (first_difference(told, expected) == "") == same
    assert first_difference(told, told) == first_difference(expected, expected) == ""


def constant(label: int) -> Example:
    """A case of one block that is one class all over."""
    case = example((4, 4, 4), ignore=False)
    soft = np.zeros_like(case.soft)
    soft[label] = 1
    return replace(case, soft=soft, indices=np.full_like(case.indices, label))


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
    assert found.remedy.endswith(".")
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
        constant(0),
    ],
    ids=["3d", "one block", "300 classes", "2d", "no foreground"],
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
    SHARD = "a/soft/c.0.0.0.0"
    EARLIER = "a/soft/c/0/0/0/0"

    def test_a_flipped_byte_in_a_chunk(self, store: Path) -> None:
        for place in (0, 6, 12):  # a frame may decode to other values when its middle has changed
            flip(store / self.SHARD, place)
            found = one_defect(store, "unreadable data", self.SHARD, "crc32c", "block at")
            assert found.case_id == "a"
            flip(store / self.SHARD, place)
        assert verify_store(store) == []

    def test_a_flipped_byte_where_there_are_no_checksums(self, store: Path) -> None:
        as_earlier_version(store)
        flip(store / self.EARLIER, 0)
        defect, note = verify_store(store)
        assert (defect.what, note.what) == ("unreadable data", "not checked")
        assert "does not decode" in defect.detail

    def test_a_flipped_byte_in_the_index(self, store: Path) -> None:
        flip(store / self.SHARD, -20)
        one_defect(store, "unreadable data", self.SHARD, "crc32c")

    def test_a_truncated_shard(self, store: Path) -> None:
        path = store / self.SHARD
        for said in ("bytes and had", "0 bytes and had"):
            path.write_bytes(path.read_bytes()[:-7] if said[0] == "b" else b"")
            one_defect(store, "metadata", self.SHARD, said)

    def test_a_truncated_shard_of_an_earlier_version(self, store: Path) -> None:
        as_earlier_version(store)
        path = store / self.EARLIER
        content = path.read_bytes()
        for end, said in [(-7, "crc32c"), (30, "truncated"), (0, "empty")]:
            path.write_bytes(content[:end])
            defect, _ = verify_store(store)
            assert (defect.what, said in defect.detail) == ("unreadable data", True)

    def test_a_deleted_shard(self, store: Path) -> None:
        (store / self.SHARD).unlink()
        one_defect(store, "metadata", self.SHARD, "missing")

    def test_a_deleted_shard_of_an_earlier_version(self, store: Path) -> None:
        as_earlier_version(store)
        (store / self.EARLIER).unlink()
        defect, _ = verify_store(store)
        assert (defect.what, self.EARLIER in defect.detail) == ("missing shard", True)

    def test_a_shard_where_nothing_is_labelled_may_be_absent(self, tmp_path: Path) -> None:
        indices, soft = CASE.indices.copy(), CASE.soft.copy()
        indices[:, :, 8:] = CASE.classes.ignore_index
        soft[..., 8:] = 0
        write_store(tmp_path / "s", a=replace(CASE, indices=indices, soft=soft))
        assert not (tmp_path / "s" / "a/soft/c.0.0.0.1").exists()
        assert verify_store(tmp_path / "s") == []

    def test_a_deleted_shard_of_hard_labels(self, store: Path) -> None:
        (store / "a/labels/label/0/c.0.0.0").unlink()
        one_defect(store, "metadata", "a/labels/label/0/c.0.0.0", "missing")

    def test_a_deleted_shard_of_hard_labels_of_an_earlier_version(self, store: Path) -> None:
        as_earlier_version(store)
        (store / "a/label/c/0/0/0").unlink()
        found = {d.what for d in verify_store(store)}
        assert "statistics differ from the voxels" in found

    def test_a_deleted_array(self, store: Path) -> None:
        shutil.rmtree(store / "a" / "soft")
        one_defect(store, "metadata", "a/soft/zarr.json", "cannot be read")

    def test_stray_things_are_noted(self, store: Path) -> None:
        (store / "c.partial-1-abc" / "soft").mkdir(parents=True)
        (store / "notes.txt").write_text("mine")
        (store / "a" / "soft" / "c.0.9.9").write_text("odd")
        found = verify_store(store)
        assert {d.severity for d in found} == {"note"}
        assert [(d.what, d.detail.split(":")[0]) for d in found] == [
            ("unfinished case", "c.partial-1-abc"),
            ("unknown file", "notes.txt"),
            ("unknown file", "soft/c.0.9.9"),
        ]

    def test_a_folder_without_metadata_is_a_defect(self, store: Path) -> None:
        os.unlink(store / "b" / "zarr.json")
        one_defect(store, "folder that is no case", "b has no zarr.json")


class TestMetadata:
    def test_another_number_of_classes(self, store: Path) -> None:
        edit_json(store / "a/soft/zarr.json", wider)
        found = one_defect(store, "metadata", "(4, 11, 9, 18)", "record tells otherwise")
        assert found.case_id == "a"

    def test_another_shape(self, store: Path) -> None:
        edit_and_seal(store / "b", lambda facts: facts.update(shape=[5] * 2))
        one_defect(store, "metadata", "b/zarr.json", "damaged")

    def test_other_parameters(self, store: Path) -> None:
        edit_and_seal(store / "b", lambda facts: facts.update(recipe="0"))
        one_defect(store, "metadata", "other parameters or classes")

    @pytest.mark.parametrize(
        "edit",
        [
            lambda facts: facts["affine"][0].__setitem__(3, 11.0),
            lambda facts: facts["warnings"].clear(),
            lambda facts: facts["details"].update(raters=2),
            lambda facts: facts.pop("seal"),
            lambda facts: facts.pop("arrays"),
            lambda facts: facts.update(seal=None),
            lambda facts: facts.update(note="mine"),
        ],
    )
    def test_any_edit_of_a_case(self, store: Path, edit: Any) -> None:
        edit_facts(store / "a", edit)
        one_defect(store, "metadata", "a/zarr.json: has changed since it was written")
        with pytest.raises(StoreError, match="has changed"):
            Store(store)["a"]

    def test_any_edit_of_the_root(self, store: Path) -> None:
        edit_facts(store, lambda facts: facts["config"].update(threads=4))
        one_defect(store, "metadata", "has changed since it was written")
        assert len(Store(store)["a"].read()) == 3, "its recipe is that of the cases"

    @pytest.mark.parametrize("name", ["arrays", "case_id"])
    def test_a_seal_over_half_of_the_record(self, store: Path, name: str) -> None:
        edit_and_seal(store / "a", lambda facts: facts.pop(name))
        one_defect(store, "metadata", "has changed since it was written")

    def test_an_edit_of_the_root_that_counts(self, store: Path) -> None:
        edit_facts(store, lambda facts: facts["parameters"].update(sigma_voxels=2.0))
        for look in (Store, verify_store):
            with pytest.raises(StoreError, match="parameters or classes have changed since"):
                look(store)

    def test_spaces_and_the_order_of_keys_are_no_edit(self, store: Path) -> None:
        for path in store.rglob("zarr.json"):
            content = json.loads(path.read_text())
            path.write_text(json.dumps(content, indent=3, sort_keys=True))
        assert verify_store(store) == []

    def test_exchanged_cases(self, store: Path) -> None:
        (store / "a").rename(store / "c")
        (store / "b").rename(store / "a")
        (store / "c").rename(store / "b")
        found = verify_store(store)
        assert [(d.what, d.case_id) for d in found] == [("metadata", "a"), ("metadata", "b")]
        assert "of the case 'b', in the folder of 'a'" in found[0].detail

    def test_exchanged_cases_of_an_earlier_version(self, store: Path) -> None:
        as_earlier_version(store)
        (store / "b").rename(store / "c")
        found = verify_store(store)
        assert [d.what for d in found] == ["OME-NGFF 0.5", "not checked"]
        assert "multiscales[0].name is 'b' instead of 'c'" in found[0].detail

    def test_edited_metadata_of_an_array(self, store: Path) -> None:
        edit_json(store / "a/soft/zarr.json", lambda d: d.update(fill_value=-0.0))
        one_defect(store, "metadata", "a/soft/zarr.json", "fill_value is -0.0 instead of 0.0")

    def test_edited_metadata_of_groups(self, store: Path) -> None:
        edit_json(store / "a/zarr.json", lambda d: d.update(zarr_format=2))
        edit_json(store / "zarr.json", lambda d: d.update(node_type="array"))
        root, case = [d for d in verify_store(store) if d.what == "metadata"]
        assert "node_type is 'array' instead of 'group'" in root.detail
        assert "zarr_format is 2 instead of 3" in case.detail

    def test_another_place_of_the_image(self, store: Path) -> None:
        def edit(document: Any) -> None:
            ome = document["attributes"]["ome"]
            dataset = ome["multiscales"][0]["datasets"][0]
            dataset["coordinateTransformations"][1]["translation"][2] += 1

        edit_json(store / "a/zarr.json", edit)
        one_defect(store, "OME-NGFF 0.5", "translation[2] is -19.0 instead of -20.0")

    def test_a_box_where_there_is_no_foreground(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=constant(0))
        box = [[0, 1], [0, 1], [0, 1]]
        edit_and_seal(
            tmp_path / "s" / "a", lambda facts: facts["statistics"].update(foreground_box=box)
        )
        one_defect(tmp_path / "s", "statistics differ from the voxels", "foreground_box is [[")

    def test_broken_ngff(self, store: Path) -> None:
        edit_json(store / "a/zarr.json", lambda d: d["attributes"]["ome"].update(version="0.4"))
        one_defect(store, "OME-NGFF 0.5", "'0.4'")

    def test_what_zarr_python_cannot_open(self, store: Path) -> None:
        def edit(document: Any) -> None:
            document["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"] = 999

        as_earlier_version(store)
        edit_json(store / "a/label/zarr.json", edit)
        defect, _ = verify_store(store)
        assert defect.what == "zarr-python"
        assert "cannot open label" in defect.detail

    def test_what_zarr_python_cannot_open_beside_cases_that_it_can(self, tmp_path: Path) -> None:
        def edit(document: Any) -> None:
            document["codecs"][0]["configuration"]["codecs"][1]["configuration"]["level"] = 999

        store = write_store(tmp_path / "soft.zarr", a=CASE, b=CASE, c=CASE).path
        as_earlier_version(store)
        edit_json(store / "b/label/zarr.json", edit)
        defects = verify_store(store)
        assert [d.case_id for d in defects if d.what == "zarr-python"] == ["b"]

    def test_zarr_python_opens_cases_that_are_alike_once(self, tmp_path: Path, monkeypatch) -> None:
        import zarr

        opened: list[Path] = []
        actual = zarr.open_group
        monkeypatch.setattr(zarr, "open_group", lambda p, **k: opened.append(p) or actual(p, **k))
        store = write_store(tmp_path / "soft.zarr", a=CASE, b=example((5, 5, 5)), c=CASE).path
        assert not verify_store(store)
        assert [path.name for path in opened] == ["a", "b"]

    @pytest.mark.parametrize(
        ("name", "entry", "said"),
        [
            ("voxels", 1783, "voxels is 1783 instead of 1782"),
            ("hard_voxels", [1, 2, 3], "hard_voxels[0] is 1 instead of"),
            ("hard_voxels", [1, 2], "hard_voxels has 2 entries instead of 3"),
            ("hard_mm3", [1.0, 2.0, 3.0], "hard_mm3[0] is 1.0"),
            ("ignored_voxels", 7, "ignored_voxels is 7"),
            ("foreground_box", [[0, 11], [0, 9], [0, 17]], "foreground_box[2][1] is 17"),
            ("foreground_box", None, "foreground_box is None"),
            ("foreground_box", [[3, 3], [0, 9], [0, 18]], "foreground_box[0][0] is 3"),
            ("foreground_box", "all", "foreground_box is 'all'"),
            ("soft_mass", [1.5, 2.0, 3.0], "soft_mass[0] is 1.5"),
            ("soft_proportion_box", [1.5, 2.0, 3.0], "soft_proportion_box[0] is 1.5"),
            ("argmax_changes", 1, "argmax_changes is 1 instead of 0"),
            ("ties", 4, "ties is 4 instead of"),
            ("mean_entropy", 0.25, "mean_entropy is 0.25"),
            ("mean_entropy", None, "mean_entropy is None"),
        ],
    )
    def test_wrong_statistics(self, store: Path, name: str, entry: Any, said: str) -> None:
        edit_and_seal(store / "a", lambda facts: facts["statistics"].update({name: entry}))
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


class TestForeignShards:
    """What a shard that is sound by itself does in the wrong place."""

    def test_of_another_case(self, store: Path) -> None:
        write_store(store.parent / "other", a=example((11, 9, 18), seed=5))
        for array in ("soft", "labels/label/0"):
            for shard in (store / "a" / array).glob("c.*"):
                shard.unlink()
            for shard in (store.parent / "other" / "a" / array).glob("c.*"):
                shutil.copy(shard, store / "a" / array)
            defects = verify_store(store)
            assert {(d.what, d.severity) for d in defects} <= {
                ("metadata", "defect"),
                ("unreadable data", "defect"),
            }
            with pytest.raises(StoreError, match=r"record|bytes and had"):
                (
                    Store(store)["a"].soft_array,
                    Store(store)["a"].read(),
                    Store(store)["a"].read_label(),
                )

    def test_with_the_same_index(self, tmp_path: Path) -> None:
        """Only the digest tells shards of one value apart: they have the same size."""
        one, two = (constant(value) for value in (1, 2))
        write_store(tmp_path / "s", a=one, b=two)
        shard = "labels/label/0/c.0.0.0"
        shutil.copy(tmp_path / "s" / "b" / shard, tmp_path / "s" / "a" / shard)
        one_defect(tmp_path / "s", "unreadable data", f"a/{shard}", "another case or place")
        (quick,) = verify_store(tmp_path / "s", quick=True)
        assert quick.what == "unreadable data"
        with pytest.raises(StoreError, match="another case or place"):
            Store(tmp_path / "s")["a"].read_label()

    def test_a_chunk_of_another_case(self, tmp_path: Path) -> None:
        """Sound by itself, and not the one that the shard was written with."""
        write_store(tmp_path / "s", a=constant(1), b=constant(2))
        path, other = (tmp_path / "s" / c / "labels/label/0/c.0.0.0" for c in "ab")
        reader = Store(tmp_path / "s")["a"].label_array.shard((0, 0, 0))
        assert reader is not None
        ((_, chunk),) = reader.chunks((0, 0, 0))
        size = len(chunk)
        path.write_bytes(other.read_bytes()[:size] + path.read_bytes()[size:])
        one_defect(tmp_path / "s", "unreadable data", "another one, or damaged")

    def test_where_there_was_none(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=constant(0), b=constant(1))
        added = tmp_path / "s" / "a" / "labels/label/0/c.0.0.0"
        assert not added.exists()
        added.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "s" / "b" / "labels/label/0/c.0.0.0", added)
        for quick in (False, True):
            defects = verify_store(tmp_path / "s", quick=quick)
            assert "is not in the record of its case" in defects[0].detail

    def test_other_blocks_of_the_same_number(self, store: Path) -> None:
        """Chunks would be put in other places, and no index would tell."""

        def edit(document: Any) -> None:
            document["codecs"][0]["configuration"]["chunk_shape"] = [1, 2, 8, 4]

        edit_json(store / "a/soft/zarr.json", edit)
        one_defect(store, "metadata", "a/soft", "record tells otherwise")


class TestLinks:
    def test_out_of_the_store(self, store: Path) -> None:
        for inside in ("a", "b/soft", "b/labels/label/0/c.0.0.0", "zarr.json"):
            path, elsewhere = store / inside, store.parent / "elsewhere"
            path.rename(elsewhere)
            path.symlink_to(elsewhere)
            found = one_defect(store, "symbolic link out of the store", inside, "elsewhere")
            assert found.case_id == inside.split("/")[0].replace("zarr.json", "")
            path.unlink()
            elsewhere.rename(path)
        assert verify_store(store) == []

    def test_to_nothing(self, store: Path) -> None:
        (store / "c").symlink_to("nowhere")
        defect, _ = verify_store(store)
        assert defect.what == "symbolic link to nothing"
        assert defect.remedy.startswith("Remove the link: nothing is where it leads.")

    @pytest.mark.parametrize("inside", ["c", "a/c", "a/soft/c"])
    def test_to_itself(self, store: Path, inside: str) -> None:
        (store / inside).symlink_to("c")
        assert [d.what for d in verify_store(store) if d.severity == "defect"] == [
            "symbolic link to nothing"
        ]
        assert list(Store(store)) == ["a", "b"]

    def test_inside_the_store_is_a_note(self, store: Path) -> None:
        (store / "a" / "soft" / "mine").symlink_to("zarr.json")
        assert {d.severity for d in verify_store(store)} == {"note"}


class TestAgainstTheLabel:
    """Soft labels of a local method follow from the hard ones, to the last bit."""

    SOFTENER = CrossSoftener(3)

    def made(self, spoil: Callable[[Any], Any] = lambda soft: None) -> Example:
        case = example((11, 9, 18), ignore=False)
        soft = cross_soft(case.indices, 3)
        spoil(soft)
        return replace(case, soft=soft)

    def test_the_same(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=self.made())
        assert verify_store(tmp_path / "s", softener=self.SOFTENER) == []

    def test_another_value(self, tmp_path: Path) -> None:
        def spoil(soft: Any) -> None:
            soft[:, 9, 8, 17] = np.roll(soft[:, 9, 8, 17], 1)  # the sum stays 1

        write_store(tmp_path / "s", a=self.made(spoil))
        (found,) = verify_store(tmp_path / "s", softener=self.SOFTENER)
        assert found.what == "soft labels do not follow from the hard ones"
        assert "(9, 8, 17)" in found.detail
        assert verify_store(tmp_path / "s") == []

    def test_a_class_that_is_absent(self, tmp_path: Path) -> None:
        def spoil(soft: Any) -> None:
            soft[2], soft[1] = 0, soft[1] + soft[2]

        write_store(tmp_path / "s", a=self.made(spoil))
        (found,) = verify_store(tmp_path / "s", softener=self.SOFTENER)
        assert found.what == "soft labels do not follow from the hard ones"

    def test_a_class_that_the_method_does_not_name(self, tmp_path: Path) -> None:
        class Terse(CrossSoftener):
            """Leaves out classes that are 0 all over a block, as the methods do."""

            def soften(self, *block: Any) -> Any:
                for part in super().soften(*block):
                    if part.class_indices or any(part.constants.values()):
                        yield part

        def spoil(soft: Any) -> None:
            far = (slice(0, 4),) * 3  # one block, of which the method does not name each class
            absent = next(c for c in range(3) if not soft[(c, *far)].any())
            soft[(absent, *far)] = 1 / 64

        write_store(tmp_path / "s", a=self.made())
        assert verify_store(tmp_path / "s", softener=Terse(3)) == []
        write_store(tmp_path / "t", a=self.made(spoil))
        found = verify_store(tmp_path / "t", softener=Terse(3))
        assert found[0].what == "soft labels do not add up to 1"
        (found[0],) = check_against_label(Store(tmp_path / "t")["a"], Terse(3))
        assert found[0].what == "soft labels do not follow from the hard ones"
        assert found[0].detail.startswith("64 voxels")


class TestExpectedCases:
    def test_missing(self, store: Path) -> None:
        names = [*(f"case{i}" for i in range(30)), "a"]
        expected: dict[str, tuple[Path, ...]] = {name: () for name in names}
        missing, others = verify_store(store, expected=expected)
        assert (missing.what, missing.severity) == ("missing cases", "defect")
        assert missing.detail.startswith("1 of 31 cases are here; missing: case0, case1, ")
        assert missing.detail.endswith("case19 and 10 more")
        assert (others.severity, others.detail) == ("note", "b")
        assert verify_store(store, expected=expected, missing="note")[0].severity == "note"

    def test_made_from_other_files(self, tmp_path: Path) -> None:
        path, file = TestSources().with_source(tmp_path)
        other = tmp_path / "other.nii.gz"
        other.write_bytes(b"others")
        assert verify_store(path, expected={"a": (file,)}) == []
        (found,) = verify_store(path, expected={"a": (other,)})
        assert found.what == "made from other files"


class TestEarlierVersions:
    def test_are_read_and_said(self, store: Path) -> None:
        before = Store(store)["a"].read()
        as_earlier_version(store)
        np.testing.assert_array_equal(Store(store)["a"].read(), before)
        for quick in (False, True):
            (note,) = verify_store(store, quick=quick)
            assert (note.what, note.severity) == ("not checked", "note")
            assert note.detail.startswith("2 of 2 cases were written by an earlier version")

    def test_go_on(self, store: Path) -> None:
        as_earlier_version(store)
        recipe = Store(store).info.recipe
        again = write_store(store, c=CASE)
        assert again.info.recipe == recipe
        assert again.completed("a") is not None
        (note,) = verify_store(store)
        assert note.detail.startswith("2 of 3 cases")


class TestSources:
    def with_source(self, tmp_path: Path) -> tuple[Path, Path]:
        file = tmp_path / "a.nii.gz"
        file.write_bytes(b"voxels")
        info = case_info(CASE, describe_sources([(file, "label")]))
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
