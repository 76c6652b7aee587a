"""DICOM SEG that softlab writes: what comes back is what went in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.readers.dicom.objects.seg import open_soft_seg, read_seg
from softlab_cli.readers.dicom.objects.write_seg import write_label_map_seg, write_soft_seg
from softlab_cli.readers.dicom.series.read import open_series
from tests.dicom_support import make_enhanced, make_series, make_slices, oblique, save_slices

SHAPE = (6, 9, 11)
NAMES = {0: "background", 2: "liver", 5: "spleen"}


def soft_label(geometry: Geometry) -> tuple[SoftSegments, np.ndarray]:
    """Three classes that sum to 1, the first being the background."""
    raw = np.random.default_rng(0).random((3, *geometry.shape)).astype(np.float32)
    raw[1:, 0] = 0
    soft = raw / raw.sum(axis=0)
    return SoftSegments(geometry, tuple(NAMES), tuple(NAMES.values()), lambda i: soft[i]), soft


@pytest.mark.parametrize("kind", ["PROBABILITY", "OCCUPANCY"])
def test_a_soft_label_comes_back_within_half_a_step(tmp_path: Path, kind: str) -> None:
    series = open_series(make_series(tmp_path / "series", axes=oblique()))
    soft, values = soft_label(series.geometry)
    write_soft_seg(tmp_path / "out.dcm", soft, series, fractional_type=kind, method="svls")  # type: ignore[arg-type]
    found = open_soft_seg(tmp_path / "out.dcm", tmp_path / "series")
    assert found.names == ("liver", "spleen")
    assert found.metadata["fractional_type"] == kind
    for index in range(2):
        np.testing.assert_allclose(found.read(index), values[index + 1], atol=0.5 / 255 + 1e-6)
    classes = dict(found.classes())
    np.testing.assert_allclose(classes[0], values[0], atol=1.01 / 255)
    np.testing.assert_allclose(sum(classes.values()), 1, atol=1e-6)


def test_a_label_map_comes_back_with_its_values(tmp_path: Path) -> None:
    series = open_series(make_series(tmp_path / "series"))
    values = np.random.default_rng(0).choice([0, 2, 5, 300], SHAPE).astype(np.int32)
    values[0] = 0
    write_label_map_seg(tmp_path / "out.dcm", LabelMap(values, series.geometry), NAMES, series)
    found = read_seg(tmp_path / "out.dcm", series)
    np.testing.assert_array_equal(found.values, values)
    assert found.metadata["names"] == {2: "liver", 5: "spleen", 300: "label_300"}


def test_a_label_in_another_orientation_is_turned(tmp_path: Path) -> None:
    series = open_series(make_series(tmp_path / "series"))
    values = np.random.default_rng(0).choice([0, 2, 5], SHAPE).astype(np.uint8)
    flip = np.diag([1.0, -1.0, 1.0, 1.0])
    flip[1, 3] = SHAPE[1] - 1
    flipped = LabelMap(values[:, ::-1], Geometry(SHAPE, series.geometry.affine @ flip))
    write_label_map_seg(tmp_path / "out.dcm", flipped, NAMES, series)
    np.testing.assert_array_equal(read_seg(tmp_path / "out.dcm", series).values, values)


def test_it_refers_to_the_source(tmp_path: Path) -> None:
    slices = make_slices(np.zeros(SHAPE, np.int16))
    slices[0].PatientName = "Doe^Jane"
    del slices[0].StudyID
    series = open_series(save_slices(tmp_path / "series", slices))
    soft, _ = soft_label(series.geometry)
    write_soft_seg(tmp_path / "out.dcm", soft, series)
    ds = dcmread(tmp_path / "out.dcm")
    assert ds.ReferencedSeriesSequence[0].SeriesInstanceUID == slices[0].SeriesInstanceUID
    assert ds.FrameOfReferenceUID == slices[0].FrameOfReferenceUID
    assert ds.StudyInstanceUID == slices[0].StudyInstanceUID
    assert str(ds.PatientName) == "Doe^Jane"
    assert ds.Manufacturer == "softlab"


def test_frames_of_an_enhanced_file_need_not_be_in_order(tmp_path: Path) -> None:
    stored = np.zeros(SHAPE, np.int16)
    series = open_series(make_enhanced(tmp_path / "e.dcm", stored, [3, 0, 5, 1, 2, 4]))
    values = np.random.default_rng(0).choice([0, 2, 5], SHAPE).astype(np.uint8)
    write_label_map_seg(tmp_path / "out.dcm", LabelMap(values, series.geometry), NAMES, series)
    np.testing.assert_array_equal(read_seg(tmp_path / "out.dcm", series).values, values)


def test_another_grid_is_refused(tmp_path: Path) -> None:
    series = open_series(make_series(tmp_path / "series"))
    soft, _ = soft_label(Geometry(SHAPE, np.eye(4)))
    with pytest.raises(GeometryError, match="does not lie on the grid of the series"):
        write_soft_seg(tmp_path / "out.dcm", soft, series)


def test_a_series_without_uids_cannot_be_referred_to(tmp_path: Path) -> None:
    slices = make_slices(np.zeros(SHAPE, np.int16))
    for ds in slices:
        ds.SeriesInstanceUID = ""
    series = open_series(save_slices(tmp_path / "series", slices))
    soft, _ = soft_label(series.geometry)
    with pytest.raises(InputError, match="has no SeriesInstanceUID"):
        write_soft_seg(tmp_path / "out.dcm", soft, series)


def test_label_values_have_to_fit(tmp_path: Path) -> None:
    series = open_series(make_series(tmp_path / "series"))
    label_map = LabelMap(np.full(SHAPE, -1, np.int16), series.geometry)
    with pytest.raises(InputError, match="-1 to -1 do not fit"):
        write_label_map_seg(tmp_path / "out.dcm", label_map, NAMES, series)
