"""DICOM SEG as it is found: pictures without a place, padding, elements of several values."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from highdicom.seg import segread
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset

from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.objects.painter import Covers, Painter
from softlab_cli.readers.dicom.objects.seg import SegObject, read_seg
from softlab_cli.readers.segments import Segment
from tests.dicom_support import header, make_seg, make_slices, put_pixels, save, save_slices

SHAPE = (5, 7, 6)
CR = "1.2.840.10008.5.1.4.1.1.1"


@pytest.fixture(scope="module")
def slices() -> list[Dataset]:
    return make_slices(np.zeros(SHAPE, np.int16))


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, slices: list[Dataset]) -> Path:
    return save_slices(tmp_path_factory.mktemp("series"), slices)


# ---- pictures without a position -------------------------------------------------


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
def test_segments_of_a_picture_lie_on_the_image_that_their_frames_name(
    tmp_path: Path, kind: str
) -> None:
    picture = header(CR, "CR", ImagerPixelSpacing=[0.2, 0.3], InstanceNumber=1)
    del picture.FrameOfReferenceUID
    put_pixels(picture, np.zeros((20, 24), np.uint16))
    save(picture, tmp_path / "cr.dcm")
    labels = np.zeros((1, 20, 24), np.uint8)
    labels[0, 3:12, 4:15], labels[0, 14:19, 2:6] = 1, 2
    path = make_seg(tmp_path / "seg.dcm", [picture], labels, kind, {1: "a", 2: "b"})
    found = read_seg(path, tmp_path)
    np.testing.assert_array_equal(found.values, labels)
    assert found.geometry.ndim == 2


# ---- padding of a LABELMAP -------------------------------------------------------


def padded(path: Path, slices: list[Dataset], value: int | None) -> tuple[Path, np.ndarray]:
    """Segments on slices 1 and 3, so that 0, 2 and 4 have no frame."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[[1, 3], 2:5, 1:4] = 1
    make_seg(path, slices, labels, "LABELMAP", {1: "a"})
    ds = dcmread(path)
    assert int(ds.NumberOfFrames) == 2
    if value is None:
        del ds.PixelPaddingValue
    else:
        ds.PixelPaddingValue = value
    ds.save_as(path)
    return path, labels


def test_a_frame_left_out_between_others_is_padding(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path, labels = padded(tmp_path / "seg.dcm", slices, 5)
    np.testing.assert_array_equal(read_seg(path, series).values, labels)
    expected = labels.astype(np.uint16)
    expected[2] = 65535
    found = read_seg(path, series, padding="ignore")
    np.testing.assert_array_equal(found.values, expected)


def test_padding_with_the_value_of_the_background_is_all_background(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path, labels = padded(tmp_path / "seg.dcm", slices, 0)
    found = read_seg(path, series, padding="ignore")
    np.testing.assert_array_equal(found.values, np.where(labels == 1, 1, 65535))


@pytest.mark.parametrize("value", [None, 1])
def test_no_padding_value_and_one_that_is_a_segment_pad_nothing(
    tmp_path: Path, slices: list[Dataset], series: Path, value: int | None
) -> None:
    path, labels = padded(tmp_path / "seg.dcm", slices, value)
    np.testing.assert_array_equal(read_seg(path, series, padding="ignore").values, labels)


# ---- overlaps --------------------------------------------------------------------


def test_overlaps_of_three_segments_are_those_of_each_pair(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    """Counted in what highdicom reads of each segment."""
    pixels = (np.random.default_rng(3).random((*SHAPE, 3)) < 0.6).astype(np.uint8)
    path = make_seg(tmp_path / "seg.dcm", slices, pixels, "BINARY", {1: "a", 2: "b", 3: "c"})
    alone = segread(path).get_volume().array
    expected = {
        f"{'abc'[i]} and {'abc'[j]}: {int((alone[..., i] & alone[..., j]).sum())} voxels"
        for i, j in combinations(range(3), 2)
    }
    for rule in ("first", "last", "highest"):
        said = read_seg(path, series, on_overlap=rule).warnings[0]  # type: ignore[arg-type]
        assert all(pair in said for pair in expected), (said, expected)
    with pytest.raises(InputError) as raised:
        read_seg(path, series)
    assert all(pair in str(raised.value) for pair in expected)


@given(
    seed=st.integers(0, 999),
    values=st.sampled_from([(1, 2, 3, 4), (4, 3, 2, 1), (1, 2, 1, 300)]),
    rule=st.sampled_from(["error", "first", "last", "highest"]),
)
def test_painter_counts_pairs(seed: int, values: tuple[int, ...], rule: str) -> None:
    """Against each pair's own masks; segments of one label value do not overlap."""
    rng = np.random.default_rng(seed)
    masks = rng.random((4, 2, 3, 4)) < rng.random()
    segments = [Segment(i, "abcd"[i], value) for i, value in enumerate(values)]
    painter = Painter((2, 3, 4), segments, rule)  # type: ignore[arg-type]
    for segment, mask in zip(segments, masks, strict=True):
        for z in range(2):
            painter.paint(lambda volume, z=z: volume[z], mask[z], segment)
    expected = {
        f"{'abcd'[i]} and {'abcd'[j]}: {int((masks[i] & masks[j]).sum())} voxels"
        for i, j in combinations(range(4), 2)
        if (masks[i] & masks[j]).any() and values[i] != values[j]
    }
    assert set(painter.overlaps()) == expected


def test_more_sets_of_segments_than_the_type_counts() -> None:
    """9 segments over every combination of themselves: 512 sets, one voxel each."""
    covers = Covers((1, 16, 32))
    covers.sets = covers.sets.astype(np.uint8)
    voxels = np.arange(2**9).reshape(1, 16, 32)
    for i in range(9):
        covers.add(lambda volume: volume, (voxels >> i & 1).astype(bool), i)
    assert covers.pairs() == dict.fromkeys(combinations(range(9), 2), 128)


# ---- elements of several values, or none -----------------------------------------


@pytest.fixture(scope="module")
def seg(tmp_path_factory: pytest.TempPathFactory, slices: list[Dataset]) -> Path:
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 2:5, 1:4] = 1
    path = tmp_path_factory.mktemp("seg") / "seg.dcm"
    return make_seg(path, slices, labels, "BINARY", {1: "liver"})


def read_all(path: Path, series: Path) -> None:
    """All that a run asks of a SEG, its lists included."""
    found = SegObject.open(path)
    found.describe()
    found.names(())
    read_seg(path, series)


def changed(seg: Path, path: Path, change: Callable[[Dataset], None]) -> Path:
    ds = dcmread(seg)
    change(ds)
    ds.save_as(path)
    return path


def test_a_segment_with_two_numbers_is_refused(tmp_path: Path, seg: Path, series: Path) -> None:
    def two(ds: Dataset) -> None:
        ds.SegmentSequence[0].SegmentNumber = [1, 2]

    path = changed(seg, tmp_path / "seg.dcm", two)
    with pytest.raises(InputError, match=r"SegmentNumber is 2 values \(1\\2\), not one") as e:
        read_all(path, series)
    assert e.value.path == path
    assert e.value.remedy


def test_a_label_with_a_backslash_is_one_label(tmp_path: Path, seg: Path, series: Path) -> None:
    def slash(ds: Dataset) -> None:
        ds.SegmentSequence[0].SegmentLabel = ["liver", "left"]

    path = changed(seg, tmp_path / "seg.dcm", slash)
    assert read_seg(path, series).metadata["names"] == {1: "liver\\left"}
