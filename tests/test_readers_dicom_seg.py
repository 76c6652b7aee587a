"""DICOM SEG: segments land on the voxels of their series, whatever the file leaves out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless, generate_uid

from softlab_cli.core.errors import ClassError, GeometryError, InputError, UsageError
from softlab_cli.readers.dicom.objects.reference import Placement
from softlab_cli.readers.dicom.objects.seg import open_soft_seg, read_seg
from softlab_cli.readers.dicom.objects.seg_file import describe_seg
from softlab_cli.readers.dicom.series.read import open_series
from tests.dicom_support import make_seg, make_slices, oblique, save, save_slices

SHAPE = (6, 9, 11)
NAMES = {1: "liver", 2: "spleen", 3: "left kidney"}


@pytest.fixture
def slices() -> list[Dataset]:
    return make_slices(np.zeros(SHAPE, np.int16))


@pytest.fixture
def series(tmp_path: Path, slices: list[Dataset]) -> Path:
    return save_slices(tmp_path / "series", slices)


def labels(seed: int = 0) -> np.ndarray:
    """Random labels 0 to 3 that leave the first and the last slice empty."""
    values = np.random.default_rng(seed).integers(0, 4, SHAPE).astype(np.uint8)
    values[[0, -1]] = 0
    values[2] *= values[2] == 2
    return values


@pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
@pytest.mark.parametrize("axes", [(1, 0, 0, 0, 1, 0), oblique()])
def test_a_label_map_comes_back(tmp_path: Path, kind: str, axes: Sequence[float]) -> None:
    slices = make_slices(np.zeros(SHAPE, np.int16), axes=axes)
    series = save_slices(tmp_path / "series", slices)
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), kind, NAMES)
    found = read_seg(path, series)
    np.testing.assert_array_equal(found.values, labels())
    assert found.values.dtype == np.uint8
    np.testing.assert_array_equal(found.geometry.affine, open_series(series).geometry.affine)
    assert found.metadata["names"] == NAMES
    assert found.metadata["type"] == kind
    assert found.metadata["segments"][0] == {
        "value": 1, "name": "liver", "number": 1, "category": "Organ", "property": "Liver",
        "algorithm": "MANUAL",
    }  # fmt: skip
    assert found.warnings == ()


def test_bits_are_unpacked_across_byte_borders(tmp_path: Path) -> None:
    """7 x 3 pixels are 21 bits: no frame but the first begins on a byte."""
    slices = make_slices(np.zeros((5, 7, 3), np.int16))
    values = np.random.default_rng(3).integers(0, 3, (5, 7, 3)).astype(np.uint8)
    path = make_seg(tmp_path / "seg.dcm", slices, values, "BINARY", {1: "a", 2: "b"})
    found = read_seg(path, save_slices(tmp_path / "series", slices))
    np.testing.assert_array_equal(found.values, values)


def test_segments_on_a_part_of_the_series(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices[2:4], labels()[2:4], "BINARY", NAMES)
    expected = np.zeros(SHAPE, np.uint8)
    expected[2:4] = labels()[2:4]
    np.testing.assert_array_equal(read_seg(path, series).values, expected)


def test_frames_may_run_against_the_series(tmp_path: Path, slices: list[Dataset]) -> None:
    """The same slices with rows and columns swapped and both reversed."""
    series = save_slices(tmp_path / "series", slices)
    far = [float(v) for v in slices[0].ImagePositionPatient]
    turned = make_slices(
        np.zeros((6, 11, 9), np.int16),
        axes=(0, -1, 0, -1, 0, 0),
        spacing_mm=(2.0, 0.7, 0.8),
        origin=(far[0] + 10 * 0.7, far[1] + 8 * 0.8, far[2] + 5 * 2.0),
    )
    for ds in turned:
        ds.SeriesInstanceUID = slices[0].SeriesInstanceUID
    values = labels()
    path = make_seg(
        tmp_path / "seg.dcm", turned, values.transpose(0, 2, 1)[::-1, ::-1, ::-1], "BINARY", NAMES
    )
    np.testing.assert_array_equal(read_seg(path, series).values, values)


@given(
    axes=st.permutations([0, 1, 2]),
    signs=st.tuples(*[st.sampled_from([-1, 1])] * 2),
    seed=st.integers(0, 9),
)
def test_a_placement_is_where_its_pixels_are(
    axes: list[int], signs: tuple[int, int], seed: int
) -> None:
    """Against the definition: pixel (r, c) lies at start + r * row step + c * column step."""
    rng = np.random.default_rng(seed)
    shape = (3, 4)
    volume = rng.random((6, 6, 6))
    row, column, _ = axes
    start = rng.integers(0, 2, 3)
    for axis, sign, count in ((row, signs[0], 3), (column, signs[1], 4)):
        start[axis] = rng.integers(0, 6 - count + 1) + (count - 1 if sign < 0 else 0)
    place = Placement(tuple(int(v) for v in start), row, signs[0], column, signs[1])
    view = place.view(volume, shape)
    box = volume[place.box(shape)]
    assert box.size == view.size
    assert set(box.ravel()) == set(view.ravel())
    for r in range(3):
        for c in range(4):
            at = start.copy()
            at[row] += r * signs[0]
            at[column] += c * signs[1]
            assert view[r, c] == volume[tuple(at)]


def overlapping(tmp_path: Path, slices: list[Dataset]) -> Path:
    pixels = np.zeros((*SHAPE, 2), np.uint8)
    pixels[1:4, 2:6, 2:6, 0] = 1
    pixels[2:5, 4:8, 4:8, 1] = 1
    return make_seg(tmp_path / "seg.dcm", slices, pixels, "BINARY", {1: "a", 2: "b"})


@pytest.mark.parametrize(("rule", "wins"), [("first", 1), ("last", 2), ("highest", 2)])
def test_overlaps_follow_the_rule(
    tmp_path: Path, slices: list[Dataset], series: Path, rule: str, wins: int
) -> None:
    found = read_seg(overlapping(tmp_path, slices), series, on_overlap=rule)  # type: ignore[arg-type]
    assert set(np.unique(found.values[2:4, 4:6, 4:6])) == {wins}
    assert (found.values == 1).sum() == 48 - (8 if wins == 2 else 0)
    assert "a and b: 8 voxels" in found.warnings[0]


@pytest.mark.parametrize(("rule", "wins"), [("first", 1), ("last", 2), ("highest", 2)])
def test_overlaps_go_by_segments_also_where_some_share_a_label_value(
    tmp_path: Path, slices: list[Dataset], series: Path, rule: str, wins: int
) -> None:
    pixels = np.zeros((*SHAPE, 3), np.uint8)
    pixels[1:4, 2:6, 2:6, 0] = pixels[5, 0, 0, 2] = 1
    pixels[2:5, 4:8, 4:8, 1] = 1
    names = {1: "a", 2: "b", 3: "c"}
    path = make_seg(tmp_path / "seg.dcm", slices, pixels, "BINARY", names)
    values = {"a": 1, "b": 2, "c": 1}
    found = read_seg(path, series, on_overlap=rule, values=values)  # type: ignore[arg-type]
    assert set(np.unique(found.values[2:4, 4:6, 4:6])) == {wins}
    assert found.values[5, 0, 0] == 1


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL"])
def test_a_segment_without_a_frame_is_empty(
    tmp_path: Path, slices: list[Dataset], series: Path, kind: str
) -> None:
    pixels = np.zeros((*SHAPE, 2), np.uint8)
    pixels[1:4, 2:6, 2:6, 1] = 1
    more = {} if kind == "BINARY" else {"max_fractional_value": 1}
    path = make_seg(
        tmp_path / "seg.dcm", slices, pixels.astype(float) if more else pixels, kind,
        {1: "empty", 2: "there"}, **more,
    )  # fmt: skip
    found = read_seg(path, series, threshold=0.5)
    assert np.unique(found.values).tolist() == [0, 2]
    assert any("without a frame (empty): empty" in warning for warning in found.warnings)
    if kind == "FRACTIONAL":
        assert not open_soft_seg(path, series).read(0).any()


def test_overlaps_are_an_error_by_default(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    with pytest.raises(InputError, match=r"overlap: a and b: 8 voxels.*--on-overlap"):
        read_seg(overlapping(tmp_path, slices), series)


def fractional(tmp_path: Path, slices: list[Dataset], **more: object) -> tuple[Path, np.ndarray]:
    pixels = np.random.default_rng(5).random((*SHAPE, 2)).astype(np.float32) / 2
    pixels[0] = 0
    path = make_seg(tmp_path / "seg.dcm", slices, pixels, "FRACTIONAL", {1: "a", 2: "b"}, **more)
    return path, pixels


@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
@pytest.mark.parametrize("more", [{}, {"transfer_syntax_uid": RLELossless}])
def test_fractions_come_back_as_they_are(
    tmp_path: Path, slices: list[Dataset], series: Path, kind: str, more: dict[str, object]
) -> None:
    path, pixels = fractional(
        tmp_path, slices, fractional_type=kind, max_fractional_value=200, **more
    )
    soft = open_soft_seg(path, series)
    assert (soft.values, soft.names) == ((1, 2), ("a", "b"))
    assert soft.metadata["fractional_type"] == kind
    for index in range(2):
        found = soft.read(index)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.round(pixels[..., index] * 200) / np.float32(200))
    classes = dict(soft.classes())
    np.testing.assert_allclose(sum(classes.values()), 1, atol=1e-6)
    np.testing.assert_allclose(classes[1], pixels[..., 0], atol=0.5 / 200 + 1e-6)
    assert list(classes) == [0, 1, 2]


def test_fractions_become_labels_at_a_threshold(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path, pixels = fractional(tmp_path, slices)
    stored = np.round(pixels * 255)
    with pytest.raises(InputError, match=r"FRACTIONAL.*--threshold"):
        read_seg(path, series)
    with pytest.raises(UsageError, match="threshold 2"):
        read_seg(path, series, threshold=2)
    found = read_seg(path, series, threshold=0.2, on_overlap="highest").values
    inside = stored.max(axis=-1) >= 51  # 0.2 * 255, exactly
    assert (stored.max(axis=-1) == 51).any()
    expected = np.where(stored[..., 1] > stored[..., 0], 2, 1) * inside
    np.testing.assert_array_equal(found, expected)
    first = read_seg(path, series, threshold=0.2, on_overlap="first").values
    np.testing.assert_array_equal(first == 1, stored[..., 0] >= 51)


def test_binary_segments_have_no_fractions(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    with pytest.raises(InputError, match=r"BINARY.*no fractions"):
        open_soft_seg(path, series)


def test_padding_is_background_or_ignored(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "LABELMAP", NAMES)
    ds = dcmread(path)
    ds.PixelPaddingValue = 9
    pixels = bytearray(ds.PixelData)
    pixels[0] = 9
    ds.PixelData = bytes(pixels)
    ds.save_as(path)
    background = read_seg(path, series)
    assert background.metadata["ignore_values"] == ()
    ignored = read_seg(path, series, padding="ignore")
    assert ignored.metadata["ignore_values"] == (65535,)
    differs = background.values != ignored.values
    assert differs.sum() == 1
    assert ignored.values[differs] == 65535
    assert background.values[differs] == 0
    del ds.PixelPaddingValue
    ds.save_as(path)
    with pytest.raises(InputError, match="does not describe: 9"):
        read_seg(path, series)


def test_segment_names_get_label_values(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    found = read_seg(path, series, values={"*kidney": 300, "liver": 4})
    assert found.metadata["names"] == {4: "liver", 300: "left kidney"}
    assert found.values.dtype == np.uint16
    np.testing.assert_array_equal(found.values == 300, labels() == 3)
    assert "spleen" in found.warnings[0]
    with pytest.raises(ClassError, match=r"no segment matches 'heart'.*liver, spleen"):
        read_seg(path, series, values={"heart": 1})
    with pytest.raises(ClassError, match=r"2 segments match '\*l\*e\*n"):
        read_seg(path, series, values={"*l*e*n*": 1})


def test_equal_names_are_told_apart(tmp_path: Path, slices: list[Dataset], series: Path) -> None:
    path = make_seg(
        tmp_path / "seg.dcm", slices, labels(), "BINARY", {1: "lesion", 2: "lesion", 3: "lesion"}
    )
    found = read_seg(path, series)
    assert found.metadata["names"] == {1: "lesion", 2: "lesion (2)", 3: "lesion (3)"}
    assert found.warnings == (
        "several segments have one name, or that of background, and are classes of their own: "
        "'lesion (2)', 'lesion (3)'.",
    )


def test_describe_needs_no_images(tmp_path: Path, slices: list[Dataset]) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    found = describe_seg(path)
    assert found.segmentation_type == "BINARY"
    assert [s.name for s in found.segments] == list(NAMES.values())
    assert found.series_uids == (slices[0].SeriesInstanceUID,)


def test_the_series_is_found_by_its_uid(
    tmp_path: Path, slices: list[Dataset], series: Path
) -> None:
    save_slices(tmp_path / "other", make_slices(np.zeros(SHAPE, np.int16)))
    path = make_seg(tmp_path / "segs" / "seg.dcm", slices, labels(), "BINARY", NAMES)
    np.testing.assert_array_equal(read_seg(path, tmp_path).values, labels())


def test_without_its_series_it_is_refused(tmp_path: Path, slices: list[Dataset]) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    uid = slices[0].SeriesInstanceUID
    with pytest.raises(InputError, match=f"belongs to series {uid}.*--images"):
        read_seg(path, None)
    save_slices(tmp_path / "other", make_slices(np.zeros(SHAPE, np.int16)))
    with pytest.raises(InputError, match=f"belongs to series {uid}, which is not among"):
        read_seg(path, tmp_path / "other")


def test_another_frame_of_reference_is_refused(tmp_path: Path, slices: list[Dataset]) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    for ds in slices:
        ds.FrameOfReferenceUID = generate_uid()
        ds.FrameOfReferenceUID = slices[0].FrameOfReferenceUID
    series = save_slices(tmp_path / "series", slices)
    with pytest.raises(GeometryError, match="frame of reference"):
        read_seg(path, series)


@pytest.mark.parametrize("how", [{"spacing_mm": (2.0, 1.0, 0.7)}, {"origin": (-9.5, 20.0, 30.0)}])
def test_another_grid_is_refused_with_both(
    tmp_path: Path, slices: list[Dataset], how: dict[str, tuple[float, ...]]
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    other = open_series(
        save_slices(tmp_path / "other", make_slices(np.zeros(SHAPE, np.int16), **how))  # type: ignore[arg-type]
    )
    with pytest.raises(GeometryError, match=r"does not lie on the voxels") as raised:
        read_seg(path, other)
    assert "segmentation frame: shape 1x9x11" in str(raised.value)
    assert "series: shape 6x9x11" in str(raised.value)


def test_a_shorter_series_is_refused(tmp_path: Path, slices: list[Dataset]) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    short = save_slices(tmp_path / "short", slices[:3])
    with pytest.raises(GeometryError, match="reaches outside the series"):
        read_seg(path, short)


def test_another_series_on_the_same_grid_is_warned_of(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    twin = open_series(save_slices(tmp_path / "twin", make_slices(np.zeros(SHAPE, np.int16))))
    found = read_seg(path, twin)
    np.testing.assert_array_equal(found.values, labels())
    assert "placed on series" in found.warnings[0]


def test_what_is_no_seg_is_refused(tmp_path: Path, slices: list[Dataset], series: Path) -> None:
    with pytest.raises(InputError, match="no DICOM SEG"):
        read_seg(save(slices[0], tmp_path / "slice.dcm"), series)


def test_a_truncated_seg_is_refused(tmp_path: Path, slices: list[Dataset], series: Path) -> None:
    path = make_seg(tmp_path / "seg.dcm", slices, labels(), "BINARY", NAMES)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="truncated"):
        read_seg(path, series)
