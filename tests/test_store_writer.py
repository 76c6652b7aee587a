"""Writing: bytes of a shard, cases that are done when renamed, kills, refusals."""

from __future__ import annotations

import errno
import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
import pytest
import zstandard

from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.store import files, root
from softlab_cli.store.codec import CHECKSUM_BYTES
from softlab_cli.store.files import find_partials, is_abandoned, partial_path
from softlab_cli.store.layout import ArrayLayout
from softlab_cli.store.reader import Store
from softlab_cli.store.records import ShardRecord
from softlab_cli.store.shards import Shard, ShardWriter
from softlab_cli.store.writer import StoreWriter
from tests.store_support import (
    AFFINE,
    as_earlier_version,
    case_info,
    example,
    fill,
    small_blocks,
    soft_blocks,
    store_info,
    write_store,
)

ABSENT = 2**64 - 1


@pytest.fixture(autouse=True)
def _small() -> Any:
    with small_blocks():
        yield


class TestShard:
    LAYOUT = ArrayLayout.soft(Grid((9, 4, 4), (4, 4, 4), (8, 4, 4)), 3, 2)

    @pytest.mark.parametrize("checksums", [True, False])
    def test_bytes(self, tmp_path: Path, checksums: bool) -> None:
        writer = ShardWriter(tmp_path, replace(self.LAYOUT, checksums=checksums))
        writer.append((0, 0, 0), 3, b"last")
        writer.append((0, 0, 0), 0, b"first!")
        shards = writer.close()
        content = (tmp_path / "c.0.0.0.0").read_bytes()
        index = struct.pack("<8Q", 4, 6, ABSENT, ABSENT, ABSENT, ABSENT, 0, 4)
        checksum = struct.pack("<I", google_crc32c.value(index))
        gap = b"rst!last" if checksums else b""  # in the order of the slots
        assert content == b"last" + b"first!" + gap + index + checksum
        pairs = struct.pack("<I", 0) + b"rst!" + struct.pack("<I", 3) + b"last"
        digest = hashlib.blake2b(pairs, digest_size=8).hexdigest()
        assert shards == {"c.0.0.0.0": ShardRecord(2, len(content), digest)}
        assert not (tmp_path / "c.0.1.0.0").exists(), "a shard without chunks is not written"

    def test_many_shards_and_a_small_buffer_write_the_same_bytes(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        chunks = [((z, 0, 0), slot, rng.bytes(50)) for slot in range(4) for z in (1, 0)]
        for name, limit in (("a", 1), ("b", 10**6)):
            writer = ShardWriter(tmp_path / name, self.LAYOUT, buffer_bytes=limit)
            for chunk in chunks:
                writer.append(*chunk)
            writer.close()
        for z in (0, 1):
            path = f"c.0.{z}.0.0"
            assert (tmp_path / "a" / path).read_bytes() == (tmp_path / "b" / path).read_bytes()

    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path, self.LAYOUT, buffer_bytes=100)
        for slot in range(4):
            for z in (0, 1):
                writer.append((z, 0, 0), slot, bytes(40))
                assert writer._waiting <= 100
        written = sum(f.stat().st_size for f in tmp_path.rglob("*") if f.is_file())
        assert written >= 8 * 40 - 100

    def test_a_chunk_delivered_twice_is_refused(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path, self.LAYOUT)
        writer.append((0, 0, 0), 1, b"x")
        with pytest.raises(ValueError, match="twice"):
            writer.append((0, 0, 0), 1, b"y")

    def test_a_damaged_index_is_refused(self, tmp_path: Path) -> None:
        writer = ShardWriter(tmp_path, self.LAYOUT)
        writer.append((0, 0, 0), 1, b"data" * 10)
        writer.close()
        path = tmp_path / "c.0.0.0.0"
        good = path.read_bytes()
        for content, said in [
            (good[:-10], "crc32c"),
            (good[:20], "truncated"),
            (b"", "empty"),
            (good[:50] + bytes([good[50] ^ 1]) + good[51:], "crc32c"),
        ]:
            path.write_bytes(content)
            with pytest.raises(StoreError, match=said):
                Shard(path, self.LAYOUT)

    def test_an_index_beyond_the_end_is_refused(self, tmp_path: Path) -> None:
        index = struct.pack("<8Q", 0, 4, 2, 3, *[ABSENT] * 4)
        path = tmp_path / "shard"
        path.write_bytes(b"data" + index + struct.pack("<I", google_crc32c.value(index)))
        with pytest.raises(StoreError, match="beyond the end"):
            Shard(path, self.LAYOUT)


class TestChunks:
    def write(self, path: Path, *blocks: SoftBlock, class_count: int = 3) -> Path:
        classes = ClassTable.from_values(range(class_count))
        geometry = Geometry((6, 4, 4), AFFINE)
        store = StoreWriter.create_or_open(path, store_info(classes))
        with store.case("a", geometry) as writer:
            for block in blocks:
                writer.append(writer.encode(block))
            writer.complete(case_info(example((6, 4, 4), class_count)))
        return path / "a" / "soft" / "c.0.0.0.0"

    def test_zeros_are_not_written_and_constants_fill_the_block(self, tmp_path: Path) -> None:
        region = (slice(4, 6), slice(0, 4), slice(0, 4))
        block = SoftBlock(region, (1,), np.zeros((1, 4, 4, 4), np.float16), {0: 1.0, 2: 0.0})
        shard = Shard(self.write(tmp_path / "s", block), self.layout())
        ((class_index, data),) = shard.chunks((1, 0, 0))
        assert class_index == 0
        values = np.frombuffer(zstandard.decompress(data), np.float16)
        assert values.tolist() == [1.0] * 64
        assert list(shard.chunks((0, 0, 0))) == []

    @pytest.mark.parametrize("index", [0, 2])
    @pytest.mark.parametrize("odd", [False, True])
    @pytest.mark.parametrize("depth", [2, 4])
    def test_hard_labels_are_0_beyond_the_volume(
        self, tmp_path: Path, index: int, odd: bool, depth: int
    ) -> None:
        region = (slice(4, 4 + depth), slice(0, 4), slice(0, 4))
        expected = np.zeros((4, 4, 4), np.uint8)
        expected[:depth] = index
        expected[0, 0, 1] += odd
        store = StoreWriter.create_or_open(tmp_path, store_info(ClassTable.from_values(range(4))))
        with store.case("a", Geometry((4 + depth, 4, 4), AFFINE)) as writer:
            encoded = writer.encode_label(region, expected[:depth])
        values = [zstandard.decompress(data[:-CHECKSUM_BYTES]) for _, data in encoded.chunks]
        assert values == ([expected.tobytes()] if expected.any() else [])

    def test_groups_of_classes_in_any_order(self, tmp_path: Path) -> None:
        region = (slice(0, 4), slice(0, 4), slice(0, 4))
        values = np.random.default_rng(0).random((3, 4, 4, 4)).astype(np.float16)
        groups = [SoftBlock(region, (2, 0), values[[2, 0]]), SoftBlock(region, (1,), values[1:2])]
        self.write(tmp_path / "s", *groups)
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read()[:, :4], values)

    def test_encoding_keeps_nothing_of_the_workspace(self, tmp_path: Path) -> None:
        case = example()
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(case.classes))
        with store.case("a", case.geometry) as writer:
            encoded = []
            for block in soft_blocks(case.soft, writer.grid):
                encoded.append(writer.encode(block))
                block.values[...] = 7  # the next block of the same workspace
            for chunk in encoded:
                writer.append(chunk)
            writer.complete(case_info(case))
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read(), case.soft)

    def test_threads_encode_the_same_bytes(self, tmp_path: Path) -> None:
        case = example((20, 20, 20))
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(case.classes))
        with store.case("a", case.geometry) as writer:
            blocks = list(soft_blocks(case.soft, writer.grid))
            alone = [writer.encode(block) for block in blocks]
            with ThreadPoolExecutor(4) as pool:
                assert list(pool.map(writer.encode, blocks)) == alone

    def layout(self) -> ArrayLayout:
        return ArrayLayout.soft(Grid.for_volume((6, 4, 4)), 3, 3)


class TestCases:
    def test_a_case_is_there_when_it_is_complete(self, tmp_path: Path) -> None:
        case = example()
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(case.classes))
        with store.case("a", case.geometry) as writer:
            fill(writer, case)
            assert list(Store(tmp_path / "s")) == []
            assert store.completed("a") is None
            size = writer.complete(case_info(case))
        assert list(Store(tmp_path / "s")) == ["a"]
        assert size == sum(f.stat().st_size for f in (tmp_path / "s").rglob("c.*"))
        files_and_folders = [tmp_path / "s" / "a", *(tmp_path / "s" / "a").rglob("*")]
        # Beyond the one shard of each array that most cases have.
        assert len(files_and_folders) - len([*(tmp_path / "s").rglob("c.*")]) + 2 == 12
        kept = store.completed("a")
        assert kept is not None
        assert kept.warnings == ("a warning",)
        assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["a", "zarr.json"]

    def test_an_error_leaves_nothing(self, tmp_path: Path) -> None:
        case = example()
        store = write_store(tmp_path / "s", a=case)
        writer = store.case("a", case.geometry)
        with pytest.raises(RuntimeError), writer:
            raise_after(fill, writer, case)
        with store.case("b", case.geometry):
            pass  # left before it was complete
        assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["a", "zarr.json"]
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read(), case.soft)

    def test_a_case_is_replaced(self, tmp_path: Path) -> None:
        old, new = example(seed=1), example(seed=2)
        write_store(tmp_path / "s", a=old)
        before = Store(tmp_path / "s")["a"]
        before.read()
        write_store(tmp_path / "s", a=new)
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read(), new.soft)
        assert find_partials(tmp_path / "s") == []
        # Whoever has the old case open keeps on reading the old case.
        np.testing.assert_array_equal(before.read(), old.soft)

    def test_a_case_that_cannot_be_replaced_stays(self, tmp_path: Path) -> None:
        old, new = example(seed=1), example(seed=2)
        store = write_store(tmp_path / "s", a=old)
        with store.case("a", new.geometry) as writer:
            fill(writer, new)
            moved = find_partials(tmp_path / "s")[0]
            original = Path.rename

            def rename(self: Path, target: Path) -> Path:
                if self == moved:
                    raise PermissionError(13, "not now")
                return original(self, target)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(Path, "rename", rename)
                with pytest.raises(StoreError, match="not now"):
                    writer.complete(case_info(new))
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read(), old.soft)
        assert find_partials(tmp_path / "s") == []

    def test_damaged_metadata_count_as_not_done(self, tmp_path: Path) -> None:
        store = write_store(tmp_path / "s", a=example())
        assert store.completed("a") is not None
        (tmp_path / "s" / "a" / "zarr.json").write_text("{")
        assert store.completed("a") is None

    def test_case_ids_are_checked(self, tmp_path: Path) -> None:
        store = write_store(tmp_path / "s", a=example())
        with pytest.raises(InputError, match="separator"):
            store.case("../b", example().geometry)

    def test_hard_labels_only(self, tmp_path: Path) -> None:
        case = example()
        write_store(tmp_path / "s", labels_only=True, a=case)
        assert sorted(p.name for p in (tmp_path / "s" / "a").iterdir()) == ["labels", "zarr.json"]
        np.testing.assert_array_equal(Store(tmp_path / "s")["a"].read_label(), case.indices)


def raise_after(action: Any, *arguments: Any) -> None:
    action(*arguments)
    raise RuntimeError


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.store_support import *
from softlab_cli.store import files, writer as writing
with small_blocks():
    case, when = example(), sys.argv[2]
    store = StoreWriter.create_or_open(Path(sys.argv[1]), store_info(case.classes))
    die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    with store.case("a", case.geometry) as writer:
        if when == "begun":
            die()
        fill(writer, case)
        if when == "appended":
            die()
        if when == "metadata":
            writing.write_bytes = die
        if when == "rename":
            Path.rename = die
        if when == "between renames":
            rename, calls = Path.rename, []
            def once(self, target):
                calls.append(1)
                return rename(self, target) if len(calls) == 1 else die()
            Path.rename = once
        writer.complete(case_info(case))
"""


def test_a_signal_while_a_case_is_begun_leaves_nothing(tmp_path: Path, monkeypatch: Any) -> None:
    """Before the ``with`` statement has begun, nobody but the writer can clean up."""
    case = example((9, 8, 7))
    store = StoreWriter.create_or_open(tmp_path / "store", store_info(case.classes))

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softlab_cli.store.writer.write_bytes", interrupted)
    with pytest.raises(KeyboardInterrupt), store.case("a", case.geometry):
        pass
    assert not find_partials(tmp_path / "store")


@pytest.mark.parametrize("when", ["begun", "appended", "metadata", "rename", "between renames"])
def test_a_kill_leaves_no_half_case(tmp_path: Path, when: str) -> None:
    path, case = tmp_path / "s", example()
    if when == "between renames":
        write_store(path, a=example(seed=5))
    else:
        write_store(path, other=case)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), when], cwd=Path(__file__).parents[1], check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert "a" not in Store(path)
    partials = [partial for partial in find_partials(path) if partial.name.startswith("a.")]
    assert len(partials) == (2 if when == "between renames" else 1)
    StoreWriter.create_or_open(path, store_info(case.classes))
    assert find_partials(path) == [], "the next run on this machine clears up"
    write_store(path, a=case)
    np.testing.assert_array_equal(Store(path)["a"].read(), case.soft)


def test_a_case_that_is_done_again_clears_up_after_a_worker_that_died(
    tmp_path: Path, monkeypatch: Any
) -> None:
    case = example()
    store = write_store(tmp_path / "s", other=case)
    monkeypatch.setattr(root, "LISTED_AGAIN_SECONDS", 0)  # it was a while ago
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    mark = partial_path(tmp_path / "s", "a").name.replace(str(os.getpid()), str(dead.pid))
    (tmp_path / "s" / mark).mkdir()
    with store.case("a", case.geometry) as writer:
        fill(writer, case)
        writer.complete(case_info(case))
    assert find_partials(tmp_path / "s") == []


def test_partials_of_living_processes_stay(tmp_path: Path, monkeypatch: Any) -> None:
    case = example()
    mine = write_store(tmp_path / "s", a=case)
    partial = partial_path(tmp_path / "s", "a")
    partial.mkdir()
    write_store(tmp_path / "s", a=case)
    assert find_partials(tmp_path / "s") == [partial]
    monkeypatch.setattr(files, "_machine", lambda: "00000000")
    # Seen from another machine, age decides, and only for a case that is complete.
    StoreWriter.create_or_open(tmp_path / "s", mine.info)
    assert find_partials(tmp_path / "s") == [partial]
    os.utime(partial, (1, 1))
    write_store(tmp_path / "s", a=case)
    assert find_partials(tmp_path / "s") == []


def test_a_store_is_not_listed_for_each_case(tmp_path: Path, monkeypatch: Any) -> None:
    """A listing takes as long as its cases are many."""
    listed = []
    find = root.find_partials
    monkeypatch.setattr(root, "find_partials", lambda path: listed.append(path) or find(path))
    monkeypatch.setattr(root, "LISTED_AGAIN_SECONDS", 1000)
    write_store(tmp_path / "s", **{f"case{i}": example() for i in range(5)})
    assert len(listed) == 1


class TestRoot:
    INFO = store_info(ClassTable.from_values([0, 1, 2], ignore_values=[60000]))

    def test_new_and_empty_folders_become_stores(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        for name in ("empty", "deep/er/new"):
            StoreWriter.create_or_open(tmp_path / name, self.INFO)
            assert Store(tmp_path / name).info.to_json() == self.INFO.to_json()

    def test_other_things_are_refused_and_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "thesis.txt").write_text("mine")
        (tmp_path / "file").write_text("mine")
        (tmp_path / "group").mkdir()
        (tmp_path / "group" / "zarr.json").write_text(
            json.dumps({"zarr_format": 3, "node_type": "group", "attributes": {}})
        )
        for name, said in [
            ("folder", "thesis.txt"),
            ("file", "is a file"),
            ("group", "not written by softlab"),
        ]:
            for overwrite in (False, True):
                with pytest.raises(StoreError, match=said) as caught:
                    StoreWriter.create_or_open(tmp_path / name, self.INFO, overwrite=overwrite)
                assert str(tmp_path / name) in str(caught.value)
        assert (tmp_path / "folder" / "thesis.txt").read_text() == "mine"
        assert len(list(tmp_path.rglob("*"))) == 5

    def test_changed_parameters_are_refused(self, tmp_path: Path) -> None:
        case = example()
        write_store(tmp_path / "s", a=case)
        changed = store_info(ClassTable.from_values([0, 1]), labels_only=True)
        with pytest.raises(StoreError) as caught:
            StoreWriter.create_or_open(tmp_path / "s", changed)
        message = str(caught.value)
        assert "class 2: 2 label_2 in the store, nothing now" in message
        assert "ignore.label_values: [60000] in the store, [] now" in message
        assert "labels_only: false in the store, true now" in message
        assert "--overwrite" in message
        assert Store(tmp_path / "s").info.to_json() == self.INFO.to_json()

    def test_overwriting_removes_cases_and_nothing_else(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=example(), b=example())
        (tmp_path / "s" / "notes.txt").write_text("mine")
        (tmp_path / "s" / "foreign").mkdir()
        (tmp_path / "s" / "foreign" / "zarr.json").write_text('{"attributes": {}}')
        partial_path(tmp_path / "s", "c").mkdir()
        info = store_info(ClassTable.from_values([0, 1]))
        store = StoreWriter.create_or_open(tmp_path / "s", info, overwrite=True)
        assert store.info.recipe == info.recipe
        left = sorted(p.name for p in (tmp_path / "s").iterdir())
        assert left == ["foreign", "notes.txt", "zarr.json"]

    def overwrite(self, path: Path) -> StoreWriter:
        return StoreWriter.create_or_open(path, self.INFO, overwrite=True)

    def test_overwriting_goes_through_no_link_to_a_store(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=example())
        (tmp_path / "link").symlink_to("s")
        with pytest.raises(StoreError, match=r"symbolic link.*Give --out the folder.*/s\."):
            self.overwrite(tmp_path / "link")
        assert list(Store(tmp_path / "s")) == ["a"]
        assert StoreWriter.create_or_open(tmp_path / "link", self.INFO).completed("a")

    @pytest.mark.parametrize(
        "name",
        ["b", "a/notes.txt", "a/soft/c.mine", "a/scans", "a/labels/label/0/9", "a/labels/mask"],
    )
    def test_overwriting_refuses_what_is_not_ours(self, tmp_path: Path, name: str) -> None:
        write_store(tmp_path / "s", a=example())
        write_store(tmp_path / "elsewhere", b=example())
        foreign = tmp_path / "s" / name
        if foreign.name in ("b", "scans", "9"):
            foreign.symlink_to(tmp_path / "elsewhere" / "b")
        else:
            foreign.write_text("mine")
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(StoreError, match=f"softlab did not make.*: {name}\\."):
            self.overwrite(tmp_path / "s")
        assert sorted(tmp_path.rglob("*")) == before
        foreign.unlink()
        assert list(Store(self.overwrite(tmp_path / "s").path)) == []
        assert list(Store(tmp_path / "elsewhere")) == ["b"]

    def test_what_a_user_calls_partial_is_the_users(self, tmp_path: Path) -> None:
        store = write_store(tmp_path / "s", a=example())
        mine = tmp_path / "s" / "a.partial-results"
        mine.mkdir()
        os.utime(mine, (0, 0))
        ours = partial_path(tmp_path / "s", "a")
        ours.symlink_to(tmp_path)
        with store.case("a", example().geometry) as writer:
            fill(writer, example())
            writer.complete(case_info(example()))
        self.overwrite(tmp_path / "s")
        assert mine.exists()
        assert not ours.is_symlink()
        assert tmp_path.exists()

    def test_a_case_that_is_a_link_is_replaced_and_what_it_leads_to_stays(
        self, tmp_path: Path
    ) -> None:
        write_store(tmp_path / "elsewhere", a=example())
        store = write_store(tmp_path / "s", b=example())
        (tmp_path / "s" / "a").symlink_to(tmp_path / "elsewhere" / "a")
        assert store.completed("a") is None
        write_store(tmp_path / "s", a=example())
        assert not (tmp_path / "s" / "a").is_symlink()
        assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["a", "b", "zarr.json"]
        assert store.completed("a")
        assert Store(tmp_path / "elsewhere")["a"]

    def test_cases_of_an_overwritten_run_count_for_nothing(self, tmp_path: Path) -> None:
        # As when --overwrite is killed after the root was replaced.
        write_store(tmp_path / "s", a=example())
        StoreWriter.create_or_open(tmp_path / "new", store_info(ClassTable.from_values([0, 1])))
        os.replace(tmp_path / "new" / "zarr.json", tmp_path / "s" / "zarr.json")
        store = StoreWriter(tmp_path / "s", Store(tmp_path / "s").info)
        assert store.completed("a") is None
        with pytest.raises(StoreError, match="other parameters"):
            Store(tmp_path / "s")["a"]

    def test_many_at_once_make_one_store(self, tmp_path: Path) -> None:
        for attempt in range(20):
            barrier = threading.Barrier(6)

            def create(_: int, path: Path = tmp_path / str(attempt), go: Any = barrier) -> str:
                go.wait()
                return StoreWriter.create_or_open(path, self.INFO).info.recipe

            with ThreadPoolExecutor(6) as pool:
                assert set(pool.map(create, range(6))) == {self.INFO.recipe}
            assert [p.name for p in (tmp_path / str(attempt)).iterdir()] == ["zarr.json"]

    def test_many_processes_at_once_make_one_store(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("fork")
        barrier, answers = context.Barrier(4), context.Queue()

        def create() -> None:
            barrier.wait(30)
            answers.put(StoreWriter.create_or_open(tmp_path / "s", self.INFO).info.recipe)

        children = [context.Process(target=create) for _ in range(4)]
        for child in children:
            child.start()
        assert {answers.get(timeout=30) for _ in children} == {self.INFO.recipe}
        for child in children:
            child.join()
        assert [p.name for p in (tmp_path / "s").iterdir()] == ["zarr.json"]

    def test_of_two_at_once_with_other_parameters_one_wins(self, tmp_path: Path) -> None:
        other = store_info(ClassTable.from_values([0, 1]))
        for attempt in range(20):
            barrier = threading.Barrier(2)

            def create(info: Any, path: Path = tmp_path / str(attempt), go: Any = barrier) -> bool:
                go.wait()
                try:
                    StoreWriter.create_or_open(path, info)
                except StoreError:
                    return False
                return True

            with ThreadPoolExecutor(2) as pool:
                assert sorted(pool.map(create, [self.INFO, other])) == [False, True]

    def test_without_hard_links(self, tmp_path: Path, monkeypatch: Any) -> None:
        def no_links(*_: Any) -> None:
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(os, "link", no_links)
        StoreWriter.create_or_open(tmp_path / "s", self.INFO)
        assert [p.name for p in (tmp_path / "s").iterdir()] == ["zarr.json"]


class TestFullDisk:
    """/dev/full takes every write with "no space left on device"."""

    def test_shards(self, tmp_path: Path) -> None:
        case = example()
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(case.classes))
        with store.case("a", case.geometry) as writer:
            fill(writer, case)
            target = find_partials(tmp_path / "s")[0] / "soft/c.0.0.0.0"
            target.symlink_to("/dev/full")
            with pytest.raises(StoreError, match=r"No space left.*Free some space") as caught:
                writer.complete(case_info(case))
        assert str(target) in str(caught.value)
        assert [p.name for p in (tmp_path / "s").iterdir()] == ["zarr.json"]

    def test_root(self, tmp_path: Path, monkeypatch: Any) -> None:
        (tmp_path / "s").mkdir()
        draft = tmp_path / "s" / "draft.partial-1"
        draft.symlink_to("/dev/full")
        monkeypatch.setattr("softlab_cli.store.root.partial_path", lambda *_: draft)
        with pytest.raises(StoreError, match="No space left"):
            StoreWriter.create_or_open(tmp_path / "s", TestRoot.INFO)
        assert list((tmp_path / "s").iterdir()) == []


def test_an_unwritable_parent_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be"):
        StoreWriter.create_or_open(tmp_path / "file" / "s", TestRoot.INFO)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's process table")
def test_a_killed_process_counts_as_dead_before_its_parent_notices(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from softlab_cli.store.files import partial_path;"
        "print(partial_path(Path(sys.argv[1]), 'case'), flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    partial = Path(process.stdout.readline().strip())
    assert is_abandoned(partial) is False
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    assert is_abandoned(partial) is True
    process.wait()


class TestPowerCuts:
    """What a case is made of is on the disk before it has its name; what is not, is absent."""

    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        rename, sync = Path.rename, os.fsync

        def renaming(path: Path, target: Path) -> Any:
            found.append(("rename", str(path)))
            return rename(path, target)

        def syncing(descriptor: int) -> None:
            found.append(("sync", os.readlink(f"/proc/self/fd/{descriptor}")))
            sync(descriptor)

        monkeypatch.setattr(Path, "rename", renaming)
        monkeypatch.setattr(os, "fsync", syncing)
        return found

    @pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
    def test_files_and_folders_are_synced_before_the_rename(
        self, tmp_path: Path, events: list[tuple[str, str]]
    ) -> None:
        path = write_store(tmp_path / "s", a=example()).path
        ((_, partial),) = [event for event in events if event[0] == "rename"]
        before = events[: events.index(("rename", partial))]
        files = {str(p).replace(str(path / "a"), partial) for p in (path / "a").rglob("*")}
        assert {p for _, p in before} >= files | {partial, str(path)}
        assert events[-1] == ("sync", str(path))
        assert any("zarr.json.partial-" in p for _, p in before), "the root is synced as well"

    def test_syncing_can_be_left_out(self, tmp_path: Path, events: list[tuple[str, str]]) -> None:
        info = store_info(example().classes)
        store = StoreWriter.create_or_open(tmp_path / "s", info, sync=False)
        with store.case("a", example().geometry) as writer:
            fill(writer, example())
            writer.complete(case_info(example()))
        assert [kind for kind, _ in events] == ["rename"]

    def test_a_disk_that_fails_is_said(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = write_store(tmp_path / "s", b=example())

        def fail(descriptor: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(StoreError, match="cannot be written"):
            write_store(tmp_path / "s", a=example())
        assert list(Store(store.path)) == ["b"]
        assert not find_partials(store.path)

    EARLIER = ("zarr.json", "soft/zarr.json", "label/zarr.json", "soft/c/0/0/0/0", "label/c/0/0/0")
    NOW = ("zarr.json", "soft/zarr.json", "soft/c.0.0.0.0", "labels/label/0/zarr.json",
           "labels/label/0/c.0.0.0", "labels/label/zarr.json", "labels/zarr.json")  # fmt: skip

    @pytest.mark.parametrize(
        ("name", "earlier"), [*((name, True) for name in EARLIER), *((name, False) for name in NOW)]
    )
    def test_a_case_with_empty_files_is_absent(
        self, tmp_path: Path, name: str, earlier: bool
    ) -> None:
        write_store(tmp_path / "s", a=example())
        if earlier:
            as_earlier_version(tmp_path / "s")
        store = StoreWriter(tmp_path / "s", Store(tmp_path / "s").info)
        assert store.completed("a") is not None
        (tmp_path / "s" / "a" / name).write_bytes(b"")
        assert store.completed("a") is None

    @pytest.mark.parametrize("name", [*NOW[1:], "soft", "labels"])
    def test_a_case_with_missing_files_is_absent(self, tmp_path: Path, name: str) -> None:
        store = write_store(tmp_path / "s", a=example())
        path = tmp_path / "s" / "a" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        assert store.completed("a") is None
        write_store(tmp_path / "s", a=example())
        assert store.completed("a") is not None
