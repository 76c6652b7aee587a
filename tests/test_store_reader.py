"""Reading: regions in and outside the volume, classes, processes, stores of hard labels."""

from __future__ import annotations

import multiprocessing
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.core.volume import Geometry
from softlab_cli.store.reader import Case, MissingCaseError, Store
from softlab_cli.store.schema import CaseInfo
from softlab_cli.store.writer import StoreWriter
from tests.store_support import (
    AFFINE,
    CrossSoftener,
    Example,
    as_earlier_version,
    cross_soft,
    example,
    fill,
    small_blocks,
    store_info,
    write_store,
)

SHAPE = (11, 9, 18)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with small_blocks():
        path = tmp_path_factory.mktemp("stores")
        write_store(path / "dense", a=example(SHAPE), b=example((5, 5, 5), seed=1))
        write_store(path / "hard", labels_only=True, a=example(SHAPE, ignore=False))
        write_store(path / "flat", a=example((1, 21, 35), ndim=2))
    return path


def padded_soft(case: Example, region: tuple[slice, ...], background: bool) -> NDArray[Any]:
    """The oracle: a far larger volume of padding with the case in it."""
    far = 40
    outside = np.zeros(len(case.classes), np.float16)
    outside[0] = background
    shape = [n + 2 * far for n in case.indices.shape]
    large = np.broadcast_to(outside[:, None, None, None], (len(outside), *shape)).copy()
    large[:, far:-far, far:-far, far:-far] = case.soft
    return large[(slice(None), *(slice(s.start + far, s.stop + far) for s in region))]


def slices(length: int) -> st.SearchStrategy[slice]:
    bounds = st.lists(st.integers(-15, length + 15), min_size=2, max_size=2).map(sorted)
    return bounds.map(lambda b: slice(*b))


class TestRegions:
    @given(st.tuples(*map(slices, SHAPE)), st.booleans())
    def test_any_region(self, folder: Path, region: Any, background: bool) -> None:
        case = Store(folder / "dense")["a"]
        found = case.read(region, padding="background" if background else "zero")
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, padded_soft(example(SHAPE), region, background))

    @given(st.tuples(*map(slices, SHAPE)), st.permutations(range(3)), st.integers(0, 3))
    def test_some_classes(self, folder: Path, region: Any, order: list[int], count: int) -> None:
        case = Store(folder / "dense")["a"]
        wanted = order[:count]
        expected = case.read(region)[wanted]
        out = np.full(expected.shape, np.nan, np.float16)
        found = case.read(region, classes=wanted, out=out)
        assert found is out
        np.testing.assert_array_equal(found, expected)

    @given(st.tuples(*map(slices, SHAPE)))
    def test_hard_labels(self, folder: Path, region: Any) -> None:
        case, far = Store(folder / "dense")["a"], 40
        for padding, outside in (("background", 0), ("zero", 255)):
            large = np.pad(example(SHAPE).indices, far, constant_values=outside)
            expected = large[tuple(slice(s.start + far, s.stop + far) for s in region)]
            found = case.read_label(region, padding=padding)  # type: ignore[arg-type]
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, expected)

    def test_missing_bounds_are_those_of_the_volume(self, folder: Path) -> None:
        case = Store(folder / "dense")["a"]
        np.testing.assert_array_equal(case.read(), example(SHAPE).soft)
        np.testing.assert_array_equal(
            case.read((slice(None), slice(3, None), slice(None, 7))),
            example(SHAPE).soft[:, :, 3:, :7],
        )

    def test_pictures_have_two_axes(self, folder: Path) -> None:
        case, expected = Store(folder / "flat")["a"], example((1, 21, 35), ndim=2)
        assert case.shape == (21, 35)
        assert case.spacing_mm == (0.9, 0.8)
        np.testing.assert_array_equal(case.read(), expected.soft[:, 0])
        np.testing.assert_array_equal(case.read_label(), expected.indices[0])
        found = case.read((slice(-2, 9), slice(30, 37)))
        assert found.shape == (3, 11, 7)
        np.testing.assert_array_equal(found[:, 2:, :5], expected.soft[:, 0, :9, 30:])
        outside = np.array([1, 0, 0])[:, None, None]
        np.testing.assert_array_equal(found[:, :2], np.broadcast_to(outside, (3, 2, 7)))

    def test_without_background_padding_is_zero(self, tmp_path: Path) -> None:
        classes = ClassTable.from_values([3, 5])
        store = StoreWriter.create_or_open(tmp_path / "s", store_info(classes))
        with store.case("a", Geometry((3, 3, 3), AFFINE)) as writer:
            region = (slice(0, 3),) * 3
            writer.append(writer.encode_label(region, np.ones((3, 3, 3), np.uint8)))
            writer.complete(CaseInfo(Geometry((3, 3, 3), AFFINE)))
        case = Store(tmp_path / "s")["a"]
        assert not case.read((slice(-1, 2),) * 3).any()
        label = case.read_label((slice(-1, 2),) * 3)
        assert label[0, 0, 0] == 255
        assert label[1, 1, 1] == 1

    @pytest.mark.parametrize(
        ("region", "said"),
        [
            ((slice(0, 3), slice(0, 3)), "is not 3 slices"),
            ((slice(0, 3), slice(0, 3), 4), "is not 3 slices"),
            ((slice(0, 3), slice(5, 3), slice(0, 3)), "runs backwards"),
            ((slice(0, 3), slice(0, 3, 2), slice(0, 3)), "step"),
        ],
    )
    def test_bad_regions(self, folder: Path, region: Any, said: str) -> None:
        with pytest.raises(UsageError, match=said):
            Store(folder / "dense")["a"].read(region)

    @pytest.mark.parametrize("classes", [[0, 0], [3], [-1]])
    def test_bad_classes(self, folder: Path, classes: list[int]) -> None:
        with pytest.raises(UsageError, match=r"class indices of 0\.\.2"):
            Store(folder / "dense")["a"].read(classes=classes)

    def test_bad_out(self, folder: Path) -> None:
        with pytest.raises(UsageError, match=r"float32 .* must be float16 \(3, 11, 9, 18\)"):
            Store(folder / "dense")["a"].read(out=np.zeros((3, *SHAPE), np.float32))


class TestStore:
    def test_is_a_mapping(self, folder: Path) -> None:
        store = Store(folder / "dense")
        assert (list(store), len(store)) == (["a", "b"], 2)
        assert "a" in store
        assert "c" not in store
        assert "../dense/a" not in store
        assert store["a"] is store["a"]
        assert store.get("c") is None
        assert store.classes.names == ("background", "label_1", "label_2")
        assert store["b"].shape == (5, 5, 5)

    def test_a_missing_case_is_named_with_those_that_exist(self, folder: Path) -> None:
        with pytest.raises(MissingCaseError, match=r"no case 'c'\. It has: a, b") as caught:
            Store(folder / "dense")["c"]
        assert isinstance(caught.value, KeyError)
        assert isinstance(caught.value, StoreError)

    def test_facts_of_a_case(self, folder: Path) -> None:
        case = Store(folder / "dense")["a"]
        np.testing.assert_array_equal(case.affine, AFFINE)
        np.testing.assert_allclose(case.spacing_mm, (2.5, 0.9, 0.8))
        assert case.statistics is not None
        assert sum(case.statistics.hard_voxels) + case.statistics.ignored_voxels == np.prod(SHAPE)
        assert case.sources == ()
        assert case.info.details == {"raters": 1}

    def test_what_is_no_store(self, tmp_path: Path) -> None:
        (tmp_path / "empty").mkdir()
        (tmp_path / "file").write_text("")
        for name, said in [
            ("nowhere", "does not exist"),
            ("file", "is a file"),
            ("empty", "has no zarr.json"),
        ]:
            with pytest.raises(StoreError, match=said):
                Store(tmp_path / name)

    def test_an_array_that_does_not_fit_the_classes(self, tmp_path: Path) -> None:
        write_store(tmp_path / "s", a=example())
        path = tmp_path / "s" / "a" / "soft" / "zarr.json"
        text = path.read_text()
        path.write_text(text.replace("[3, ", "[4, "))
        assert path.read_text() != text
        with pytest.raises(StoreError, match=r"\(4, 11, 9, 18\).*record tells otherwise"):
            Store(tmp_path / "s")["a"]
        path.write_text(text)
        as_earlier_version(tmp_path / "s")
        text = path.read_text()
        path.write_text(text.replace("[3, ", "[4, "))
        with pytest.raises(StoreError, match=r"\(4, 11, 9, 18\).*expected float16, 3 along"):
            Store(tmp_path / "s")["a"]

    def test_neither_zarr_nor_numba_is_imported(self, folder: Path) -> None:
        code = (
            "import sys; from softlab_cli.store.reader import Store;"
            "import softlab_cli.store.writer;"
            f"Store({str(folder / 'dense')!r})['a'].read();"
            "print([m for m in ('zarr', 'numba', 'asyncio') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert done.stdout.strip() == b"[]"


REGION = (slice(-3, 9), slice(2, 12), slice(4, 30))


def read_patch(case: Case) -> bytes:
    """What another process reads."""
    return case.read(REGION).tobytes()


class TestProcesses:
    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_a_case_that_was_read_here_is_read_there(self, folder: Path, start: str) -> None:
        case = Store(folder / "dense")["a"]
        expected = read_patch(case)
        with multiprocessing.get_context(start).Pool(2) as pool:
            assert set(pool.map(read_patch, [case] * 4)) == {expected}

    def test_a_forked_child_reads_what_its_parent_has_open(self, folder: Path) -> None:
        case = Store(folder / "dense")["a"]
        expected = read_patch(case)
        context = multiprocessing.get_context("fork")
        answers = context.Queue()
        children = [context.Process(target=lambda: answers.put(read_patch(case))) for _ in range(3)]
        for child in children:
            child.start()
        assert {answers.get(timeout=30) for _ in children} == {expected}
        for child in children:
            child.join()
        assert read_patch(case) == expected

    def test_a_pickle_is_a_path(self, folder: Path) -> None:
        store = Store(folder / "dense")
        store["a"].read()
        assert len(pickle.dumps(store)) < 500
        assert len(pickle.dumps(store["a"])) < 500
        np.testing.assert_array_equal(
            pickle.loads(pickle.dumps(store["a"])).read(), example(SHAPE).soft
        )

    def test_threads(self, folder: Path) -> None:
        store = Store(folder / "dense")
        expected = read_patch(Store(folder / "dense")["a"])
        with ThreadPoolExecutor(8) as pool:
            found = set(pool.map(lambda _: read_patch(store["a"]), range(64)))
        assert found == {expected}


class TestHardLabelsOnly:
    CASE = example(SHAPE, ignore=False)

    def test_needs_to_be_told_how(self, folder: Path) -> None:
        case = Store(folder / "hard")["a"]
        np.testing.assert_array_equal(case.read_label(), self.CASE.indices)
        with pytest.raises(StoreError, match=r"hard labels only.*open_store"):
            case.read()

    @given(st.tuples(*map(slices, SHAPE)))
    def test_any_region_is_bit_identical(self, folder: Path, region: Any) -> None:
        case = Store(folder / "hard", compute=CrossSoftener(3))["a"]
        soft = cross_soft(self.CASE.indices, 3)
        whole = Example(soft, self.CASE.indices, self.CASE.geometry, self.CASE.classes)
        np.testing.assert_array_equal(case.read(region), padded_soft(whole, region, True))
        np.testing.assert_array_equal(
            case.read(region, classes=[2, 0], padding="zero"),
            padded_soft(whole, region, False)[[2, 0]],
        )

    def test_stored_soft_labels_can_be_computed_as_well(self, folder: Path) -> None:
        case = Store(folder / "dense", compute=CrossSoftener(3))["b"]
        expected = cross_soft(example((5, 5, 5), seed=1).indices, 3)
        np.testing.assert_array_equal(case.read(), expected)

    def test_never_more_than_a_block_at_a_time(self, folder: Path) -> None:
        softener = CrossSoftener(3)
        Store(folder / "hard", compute=softener)["a"].read()
        assert softener.largest == 64

    def test_travels_to_other_processes(self, folder: Path) -> None:
        case = Store(folder / "hard", compute=CrossSoftener(3))["a"]
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.map(read_patch, [case]) == [read_patch(case)]


def test_layouts_that_zarr_has_rewritten_are_read(tmp_path: Path) -> None:
    """Other blocks, another level, checksums: still our codecs, where no record says otherwise."""
    import zarr
    from zarr.codecs import ZstdCodec

    case = example()
    store = write_store(tmp_path / "s", a=case)
    with store.case("b", case.geometry) as writer:
        fill(writer, case)
        writer.complete(CaseInfo(case.geometry))
    as_earlier_version(tmp_path / "s", "b")
    group = zarr.open_group(tmp_path / "s" / "b")
    group.create_array(
        "soft",
        data=case.soft,
        chunks=(1, 3, 5, 4),
        shards=(3, 6, 10, 16),
        compressors=ZstdCodec(level=7, checksum=True),
        fill_value=0,
        dimension_names=["c", "z", "y", "x"],
        overwrite=True,
    )
    found = Store(tmp_path / "s")["b"].read((slice(2, 11), slice(0, 9), slice(-1, 17)))
    np.testing.assert_array_equal(found[..., 1:], case.soft[:, 2:, :, :17])
