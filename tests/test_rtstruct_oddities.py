"""RTSTRUCT as it is found: odd types, lost slices, foreign frames, damaged sequences."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.readers.dicom.objects.rtstruct import open_soft_rtstruct, read_rtstruct
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.dicom.series.read import open_series
from tests.dicom_support import make_rtstruct, save_slices
from tests.test_rtstruct import Scene, box, name_no_image

HALF = box(1.5, 2.5, 4.5, 6.5)
"""Twelve voxels, none with its centre on the contour."""


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def grid(scene: Scene) -> SeriesGrid:
    return open_series(scene.series)


def drawn(scene: Scene, tmp_path: Path, change: Callable[[Dataset], None], **how: object) -> Path:
    """An RTSTRUCT of its own with a region on slices 1, 2 and 3."""
    placed = {"PTV": [scene.place(HALF, z) for z in (1, 2, 3)]}
    return make_rtstruct(tmp_path / "rs.dcm", scene.slices, placed, change=change, **how)  # type: ignore[arg-type]


def retype(ds: Dataset, kind: str | None, contours: slice = slice(None)) -> None:
    for contour in ds.ROIContourSequence[0].ContourSequence[contours]:
        if kind is None:
            del contour.ContourGeometricType
        else:
            contour.ContourGeometricType = kind


# ---- types ----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:The value length")
@pytest.mark.parametrize(
    ("kind", "said"),
    [("INTERPOLATED_PLANAR", "of type INTERPOLATED_PLANAR"), (None, "without a type")],
)
@pytest.mark.parametrize("contours", [slice(None), slice(1, 2)])
def test_outlines_of_odd_types_are_read_and_said(
    scene: Scene, grid: SeriesGrid, tmp_path: Path, kind: str | None, said: str, contours: slice
) -> None:
    path = drawn(scene, tmp_path, partial(retype, kind=kind, contours=contours))
    found = read_rtstruct(path, grid)
    assert [int(plane.sum()) for plane in found.values] == [0, 12, 12, 12, 0, 0]
    count = 3 if contours == slice(None) else 1
    assert found.warnings == (f"PTV: {count} contour(s) {said} were read as closed ones.",)


def shorten(ds: Dataset, points: int) -> None:
    contour = ds.ROIContourSequence[0].ContourSequence[1]
    contour.ContourData = contour.ContourData[: 3 * points]
    contour.NumberOfContourPoints = points


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (partial(retype, kind="OPEN_PLANAR", contours=slice(1, 2)), "1 of type OPEN_PLANAR"),
        (partial(retype, kind="CLOSED_SPLINE", contours=slice(1, 2)), "1 of type CLOSED_SPLINE"),
        (partial(shorten, points=2), "1 of fewer than 3 points"),
    ],
)
def test_a_lost_slice_fails_unless_it_is_allowed(
    scene: Scene, grid: SeriesGrid, tmp_path: Path, change: Callable[..., None], reason: str
) -> None:
    path = drawn(scene, tmp_path, change)
    with pytest.raises(InputError, match="no contour left at Z index 2") as raised:
        read_rtstruct(path, grid)
    assert reason in str(raised.value)
    assert "--lost-contours ok" in raised.value.remedy
    assert raised.value.path == path
    with pytest.raises(InputError, match="no contour left at Z index 2"):
        open_soft_rtstruct(path, grid, supersample=2)
    found = read_rtstruct(path, grid, lost_contours="ok")
    assert [int(plane.sum()) for plane in found.values] == [0, 12, 0, 12, 0, 0]
    assert any("no contour left at Z index 2" in note for note in found.warnings)


def test_a_speck_beside_an_outline_loses_no_slice(
    scene: Scene, grid: SeriesGrid, tmp_path: Path
) -> None:
    placed = {"PTV": [scene.place(HALF, 1), scene.place([(9, 9)], 1)]}
    path = make_rtstruct(tmp_path / "rs.dcm", scene.slices, placed)
    found = read_rtstruct(path, grid)
    assert found.values.sum() == 12
    assert "1 contour(s) that close no outline were left out" in found.warnings[0]


# ---- the frame of reference ------------------------------------------------------


def foreign(ds: Dataset) -> None:
    ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "2.25.99"


def name_the_next_image(scene: Scene, ds: Dataset) -> None:
    foreign(ds)
    image = ds.ROIContourSequence[0].ContourSequence[2].ContourImageSequence[0]
    image.ReferencedSOPInstanceUID = scene.slices[4].SOPInstanceUID


def name_no_image_once(ds: Dataset) -> None:
    foreign(ds)
    del ds.ROIContourSequence[0].ContourSequence[0].ContourImageSequence


def lie_beside(ds: Dataset) -> None:
    foreign(ds)
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    data = np.array(contour.ContourData, float).reshape(-1, 3) + np.array([500, 0, 0])
    contour.ContourData = [f"{v:.6g}" for v in data.ravel()]


def test_a_foreign_frame_counts_as_the_own_where_contours_lie_on_their_images(
    scene: Scene, grid: SeriesGrid, tmp_path: Path
) -> None:
    found = read_rtstruct(drawn(scene, tmp_path, foreign), grid)
    assert found.values.sum() == 36
    (note,) = found.warnings
    assert "lies in frame of reference 2.25.99" in note


@pytest.mark.parametrize("change", ["name the next", "name none", "lie beside", "no images"])
def test_a_foreign_frame_is_refused_where_any_contour_does_not(
    scene: Scene, grid: SeriesGrid, tmp_path: Path, change: str
) -> None:
    def none(ds: Dataset) -> None:
        foreign(ds)
        name_no_image(ds)

    changes: dict[str, Callable[[Dataset], None]] = {
        "name the next": partial(name_the_next_image, scene),
        "name none": name_no_image_once,
        "lie beside": lie_beside,
        "no images": none,
    }
    with pytest.raises(GeometryError, match=r"lies in frame of reference 2\.25\.99"):
        read_rtstruct(drawn(scene, tmp_path, changes[change]), grid)


# ---- contours through voxel centres ----------------------------------------------


def test_what_hangs_on_the_rule_of_centres_is_said(
    scene: Scene, grid: SeriesGrid, tmp_path: Path
) -> None:
    """A mask of 4 x 5 voxels, drawn along the centres of its border."""
    placed = {"PTV": [scene.place(box(2, 3, 5, 7), 1)]}
    found = read_rtstruct(make_rtstruct(tmp_path / "rs.dcm", scene.slices, placed), grid)
    assert found.values.sum() == 3 * 4
    (note,) = found.warnings
    assert "14 voxel centres lie on a contour: 6 at its low" in note
    assert "8 at its high sides are not. It has 12 voxels so; 20 if all counted" in note


def test_a_few_centres_on_a_contour_are_not_worth_a_word(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    contours = [(z, HALF) for z in range(4)] + [(4, [(1.5, 2.5), (4.5, 2.5), (4.5, 6.5), (2, 5)])]
    found = read_rtstruct(scene.draw({"PTV": contours}), scene.series)  # type: ignore[dict-item]
    assert found.warnings == ()


# ---- damage ----------------------------------------------------------------------


def variants(path: Path, implicit: bool) -> bytes:
    ds = dcmread(path)
    if implicit:
        ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    written = BytesIO()
    ds.save_as(written, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return written.getvalue()


@pytest.mark.parametrize("implicit", [False, True])
def test_one_broken_tag_never_loses_a_contour_in_silence(
    scene: Scene, grid: SeriesGrid, tmp_path: Path, implicit: bool
) -> None:
    """Items that turn into the end of their sequence, and tags that turn into others."""
    path = drawn(scene, tmp_path, lambda ds: None)
    sound = variants(path, implicit)
    expected = read_rtstruct(path, grid)
    item, end = b"\xfe\xff\x00\xe0", b"\xfe\xff\xdd\xe0"
    tags = [b"\x06\x30" + e + b"\0" for e in (b"\x20", b"\x22", b"\x39", b"\x40", b"\x50", b"\x84")]
    refused = 0
    for tag in (item, *tags):
        for match in re.finditer(re.escape(tag), sound):
            broken = end if tag == item else bytes([match[0][0] ^ 1]) + tag[1:]
            path.write_bytes(sound[: match.start()] + broken + sound[match.end() :])
            try:
                found = read_rtstruct(path, grid)
            except InputError:
                refused += 1
            else:
                np.testing.assert_array_equal(found.values, expected.values)
    assert refused >= 12


def cut_points(ds: Dataset) -> None:
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = contour.ContourData[:-3]


def no_number(ds: Dataset) -> None:
    del ds.ROIContourSequence[0].ReferencedROINumber


def another_number(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ReferencedROINumber = 8


def same_number(ds: Dataset) -> None:
    again = Dataset()
    again.ROINumber, again.ROIName = 1, "GTV"
    ds.StructureSetROISequence.append(again)


def no_coordinate(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ContourSequence[0]["ContourData"].VR = "LO"
    ds.ROIContourSequence[0].ContourSequence[0].ContourData = ["nan"] * 12


def two_numbers(ds: Dataset) -> None:
    ds.StructureSetROISequence[0].ROINumber = [1, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (cut_points, "says 4 points and holds 3"),
        (no_number, r"3 contour\(s\) that name no region"),
        (another_number, "contours of region\\(s\\) 8, which it lists not at all"),
        (same_number, "region\\(s\\) 1, which it lists several times"),
        (no_coordinate, "a coordinate is no number"),
        (two_numbers, r"ROINumber is 2 values \(1\\2\), not one whole number"),
    ],
)
def test_contours_that_cannot_be_trusted_are_refused(
    scene: Scene, grid: SeriesGrid, tmp_path: Path, change: Callable[..., None], message: str
) -> None:
    path = drawn(scene, tmp_path, change)
    with pytest.raises(InputError, match=message) as raised:
        read_rtstruct(path, grid)
    assert raised.value.path == path
    assert raised.value.remedy


def test_contours_of_one_region_in_two_items_are_all_read(
    scene: Scene, grid: SeriesGrid, tmp_path: Path
) -> None:
    def split(ds: Dataset) -> None:
        first = ds.ROIContourSequence[0]
        second = Dataset()
        second.ReferencedROINumber = 1
        second.ContourSequence = first.ContourSequence[1:]
        first.ContourSequence = first.ContourSequence[:1]
        ds.ROIContourSequence.append(second)

    assert read_rtstruct(drawn(scene, tmp_path, split), grid).values.sum() == 36


def test_another_series_of_the_same_place_is_refused_until_it_is_named(
    scene: Scene, tmp_path: Path
) -> None:
    """Neither its series nor its images are there: a shared frame of reference proves little."""

    def stale(ds: Dataset) -> None:
        frame = ds.ReferencedFrameOfReferenceSequence[0]
        study = frame.RTReferencedStudySequence[0]
        study.RTReferencedSeriesSequence[0].SeriesInstanceUID = "2.25.12345"
        for contour in ds.ROIContourSequence[0].ContourSequence:
            contour.ContourImageSequence[0].ReferencedSOPInstanceUID = "2.25.777"

    path = drawn(scene, tmp_path / "rs", stale)
    folder = save_slices(tmp_path / "ct", scene.slices)
    with pytest.raises(InputError, match=r"belongs to series 2\.25\.12345") as raised:
        read_rtstruct(path, folder)
    assert "--series" in raised.value.remedy
    found = read_rtstruct(path, open_series(folder))
    assert found.values.sum() == 36
    assert "made from series 2.25.12345, placed on series" in found.warnings[0]
