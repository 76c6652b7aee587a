"""DICOM series: where the slices lie, what is refused, what is only warned of."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.series.read import (
    holds_dicom,
    list_series,
    open_series,
    read_series,
)
from tests.dicom_support import (
    AXIAL,
    CT,
    header,
    make_enhanced,
    make_series,
    make_slices,
    oblique,
    put_pixels,
    save,
    save_slices,
)

STORED = np.random.default_rng(0).integers(-1000, 3000, (5, 7, 9)).astype(np.int16)


def itk_image(folder: Path) -> sitk.Image:
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def itk_affine(image: sitk.Image) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) @ np.diag(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    return np.diag([-1, -1, 1, 1]) @ affine


@pytest.mark.parametrize("axes", [AXIAL, (0, 1, 0, 0, 0, -1), oblique()])
def test_a_series_is_where_simpleitk_sees_it(tmp_path: Path, axes: tuple[float, ...]) -> None:
    make_series(tmp_path, axes=axes)
    image, expected = read_series(tmp_path), itk_image(tmp_path)
    np.testing.assert_array_equal(image.intensities[0], sitk.GetArrayFromImage(expected))
    np.testing.assert_allclose(image.geometry.affine, itk_affine(expected), atol=1e-5)
    np.testing.assert_allclose(image.geometry.spacing_mm, (2.0, 0.8, 0.7), atol=1e-5)
    assert image.intensities.dtype == np.float32
    assert image.warnings == ()


def test_values_are_rescaled_slice_by_slice(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    for z, ds in enumerate(slices):
        ds.RescaleSlope, ds.RescaleIntercept = 0.5 * (z + 1), -z
    found = read_series(save_slices(tmp_path, slices)).intensities[0]
    z = np.arange(5)[:, None, None]
    np.testing.assert_allclose(found, STORED * 0.5 * (z + 1) - z, rtol=1e-6)


@given(
    bits=st.integers(9, 16),
    signed=st.booleans(),
    junk=st.integers(0, 65535),
    seed=st.integers(0, 99),
)
def test_bits_that_belong_to_no_value_are_dropped(
    tmp_path_factory: pytest.TempPathFactory, bits: int, signed: bool, junk: int, seed: int
) -> None:
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = np.random.default_rng(seed).integers(low, high, (1, 4, 5))
    stored = (values & (2**bits - 1)) | ((junk << bits) & 0xFFFF)
    dtype = np.int16 if signed else np.uint16
    (ds,) = make_slices(stored.astype(np.uint16).view(dtype))
    ds.BitsStored, ds.HighBit, ds.RescaleIntercept = bits, bits - 1, 0
    path = save(ds, tmp_path_factory.mktemp("bits") / "one.dcm")
    np.testing.assert_array_equal(read_series(path).intensities[0], values)


def test_folders_are_searched_and_other_files_named(tmp_path: Path) -> None:
    make_series(tmp_path / "a" / "b")
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_text("not read")
    (tmp_path / "dose.raw").write_bytes(b"\x08\x00\x01\x00" * 99)  # begins like a DICOM tag
    image = read_series(tmp_path)
    assert image.geometry.shape == (6, 9, 11)
    (warning,) = image.warnings
    assert "notes.txt" in warning
    assert "dose.raw" in warning
    assert "DICOMDIR" not in warning


def test_a_series_is_chosen_by_uid_description_or_pattern(tmp_path: Path) -> None:
    first, second = make_slices(STORED), make_slices(STORED + 1)
    for ds in second:
        ds.SeriesDescription = "Lung 1.0 B50f"
    save_slices(tmp_path / "1", first)
    save_slices(tmp_path / "2", second)
    with pytest.raises(InputError) as raised:
        open_series(tmp_path)
    message = str(raised.value)
    assert "holds 2 image series" in message
    for ds in (first[0], second[0]):
        assert ds.SeriesInstanceUID in message
        assert ds.SeriesDescription in message
    for wanted in ("Lung 1.0 B50f", "lung*", second[0].SeriesInstanceUID):
        assert read_series(tmp_path, wanted).intensities[0, 0, 0, 0] == STORED[0, 0, 0] - 999
    with pytest.raises(InputError, match="no image series match 'liver'"):
        open_series(tmp_path, "liver")


def test_list_series_says_what_is_there(tmp_path: Path) -> None:
    make_series(tmp_path / "good")
    make_series(tmp_path / "gap", shape=(6, 4, 4))
    next(p for p in (tmp_path / "gap").iterdir() if p.name == "0002.dcm").unlink()
    good, gap = sorted(list_series(tmp_path), key=lambda s: s.slices, reverse=True)
    assert (good.kind, good.modality, good.slices, good.problems) == ("image", "CT", 6, ())
    assert good.geometry is not None
    assert good.geometry.shape == (6, 9, 11)
    assert gap.geometry is None
    assert "not equally spaced" in gap.problems[0]


def test_a_tilted_gantry_shears_the_affine_and_warns(tmp_path: Path) -> None:
    make_series(tmp_path, shift=(0.0, 0.5, 0.0))
    image = read_series(tmp_path)
    np.testing.assert_allclose(image.geometry.affine[:3, 2], [0, -0.5, 2.0], atol=1e-9)
    (warning,) = image.warnings
    assert "gantry tilt of 14 degrees" in warning
    assert "2.5 mm" in warning


def test_a_missing_slice_is_refused_with_its_neighbours(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    del slices[2]
    save_slices(tmp_path, slices)
    by_position = {float(ds.ImagePositionPatient[2]): name for ds, name in named(slices)}
    with pytest.raises(InputError) as raised:
        read_series(tmp_path)
    message = str(raised.value)
    assert "usual step is 2 mm, but it is 4 mm" in message
    assert f"from {by_position[32.0]} (at 32) to {by_position[36.0]} (at 36)" in message
    assert "1 slice(s) seem to be missing" in message


def named(slices: list) -> list:
    names = np.random.default_rng(0).permutation(len(slices))
    return [(ds, f"{name:04d}.dcm") for ds, name in zip(slices, names, strict=True)]


def test_small_irregularities_warn_and_larger_ones_are_refused(tmp_path: Path) -> None:
    for moved, refused in ((0.05, False), (0.2, True)):
        slices = make_slices(STORED)
        slices[2].ImagePositionPatient[2] += moved
        folder = save_slices(tmp_path / str(moved), slices)
        if refused:
            with pytest.raises(InputError, match="not equally spaced"):
                open_series(folder)
        else:
            (warning,) = open_series(folder).warnings
            assert "0.025 voxels" in warning


def test_a_slice_beside_the_line_is_refused(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    slices[2].ImagePositionPatient[0] += 1.0
    with pytest.raises(InputError, match="straight line"):
        open_series(save_slices(tmp_path, slices))


def test_slices_at_one_position_are_refused_with_what_tells_them_apart(tmp_path: Path) -> None:
    slices = make_slices(STORED) + make_slices(STORED + 1)
    for i, ds in enumerate(slices):
        ds.SeriesInstanceUID = slices[0].SeriesInstanceUID
        ds.EchoTime, ds.InstanceNumber = (4.6, 9.2)[i // 5], i + 1
    with pytest.raises(InputError, match=r"10 slices lie at 5 positions.*EchoTime \(4.6, 9.2\)"):
        open_series(save_slices(tmp_path, slices))


def test_copies_of_files_are_dropped_and_impostors_refused(tmp_path: Path) -> None:
    make_series(tmp_path)
    shutil.copy(tmp_path / "0001.dcm", tmp_path / "copy.dcm")
    image = read_series(tmp_path)
    assert image.geometry.shape[0] == 6
    assert "copy.dcm" in image.warnings[0]
    changed = bytearray((tmp_path / "copy.dcm").read_bytes())
    changed[-1] ^= 1
    (tmp_path / "copy.dcm").write_bytes(changed)
    with pytest.raises(InputError, match="same SOP instance UID"):
        read_series(tmp_path)


def test_mixed_orientations_are_refused_and_localizers_dropped(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    (scout,) = make_slices(STORED[:1], axes=(1, 0, 0, 0, 0, -1))
    scout.SeriesInstanceUID = slices[0].SeriesInstanceUID
    save_slices(tmp_path / "mixed", [*slices, scout])
    with pytest.raises(InputError, match=r"2 different orientations.*in 5 .*in 1 "):
        open_series(tmp_path / "mixed")
    scout.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    grid = open_series(save_slices(tmp_path / "scout", [*slices, scout]))
    assert grid.geometry.shape[0] == 5
    assert "1 localizer" in grid.warnings[0]


@pytest.mark.parametrize(
    ("element", "value", "message"),
    [
        ("FrameOfReferenceUID", "1.2.826.0.1.3680043.8.498.1", "2 different frames of reference"),
        ("PixelSpacing", [1.0, 1.0], "2 different pixel spacings"),
        ("ImagePositionPatient", None, "1 of 5 slices have no valid ImagePositionPatient"),
        ("ImagePositionPatient", [0, 0, float("nan")], "no valid ImagePositionPatient"),
    ],
)
def test_slices_that_do_not_belong_are_refused(
    tmp_path: Path, element: str, value: object, message: str
) -> None:
    slices = make_slices(STORED)
    if value is None:
        delattr(slices[3], element)
    else:
        setattr(slices[3], element, value)
    with pytest.raises(InputError, match=message):
        open_series(save_slices(tmp_path, slices))


def test_slices_of_two_sizes_are_refused(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    put_pixels(slices[1], STORED[1, :5])
    with pytest.raises(InputError, match="2 different numbers of rows"):
        open_series(save_slices(tmp_path, slices))


def test_directions_that_are_no_unit_vectors_are_refused(tmp_path: Path) -> None:
    make_series(tmp_path, axes=(1.0, 0.0, 0.0, 0.5, 1.0, 0.0))
    with pytest.raises(InputError, match="not two perpendicular unit"):
        open_series(tmp_path)


def test_an_empty_series_uid_is_warned_of(tmp_path: Path) -> None:
    slices = make_slices(STORED)
    for ds in slices:
        ds.SeriesInstanceUID = ""
    grid = open_series(save_slices(tmp_path / "one", slices))
    assert "no UID" in grid.warnings[0]
    save_slices(tmp_path / "two", slices)
    with pytest.raises(InputError, match="2 image series"):
        open_series(tmp_path)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_truncated_slice_is_an_error_that_names_it(tmp_path: Path, share: float) -> None:
    make_series(tmp_path)
    path = tmp_path / "0003.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"0003\.dcm"):
        read_series(tmp_path)


def test_broken_files_are_errors_and_missing_ones_too(tmp_path: Path) -> None:
    make_series(tmp_path)
    (tmp_path / "empty.dcm").touch()
    with pytest.raises(InputError, match=r"empty\.dcm.*empty file"):
        open_series(tmp_path)
    (tmp_path / "noise.dcm").write_bytes(b"\1\2\3" * 500)
    with pytest.raises(InputError, match="2 files cannot be read"):
        open_series(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        open_series(tmp_path / "nowhere")
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="holds no DICOM image"):
        open_series(tmp_path / "void")


def test_one_slice_has_its_thickness_and_a_picture_has_none(tmp_path: Path) -> None:
    (ds,) = make_slices(STORED[:1])
    geometry = open_series(save(ds, tmp_path / "slice.dcm")).geometry
    assert (geometry.shape, geometry.ndim) == ((1, 7, 9), 3)
    np.testing.assert_allclose(geometry.spacing_mm, (2.0, 0.8, 0.7))
    picture = header(CT, "OT")
    put_pixels(picture, STORED[0])
    grid = open_series(save(picture, tmp_path / "picture.dcm"))
    assert (grid.geometry.ndim, len(grid.warnings)) == (2, 2)


def test_an_enhanced_file_is_one_volume_in_the_order_of_its_positions(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "e.dcm", STORED, order=[3, 0, 4, 1, 2])
    image = read_series(path)
    z = np.arange(5)[:, None, None]
    np.testing.assert_array_equal(image.intensities[0], STORED * (1 + z) - z)
    np.testing.assert_allclose(image.geometry.spacing_mm, (2.0, 0.8, 0.7))


def test_an_enhanced_file_with_a_time_axis_is_refused(tmp_path: Path) -> None:
    seen: list[int] = []

    def number(z: int, group: object) -> None:
        from pydicom.dataset import Dataset

        seen.append(z)
        group.FrameContentSequence = [Dataset()]  # type: ignore[attr-defined]
        group.FrameContentSequence[0].TemporalPositionIndex = seen.count(z)  # type: ignore[attr-defined]

    path = make_enhanced(tmp_path / "t.dcm", STORED, [0, 1, 2, 0, 1, 2], number)
    with pytest.raises(InputError, match=r"6 slices lie at 3 positions.*TemporalPositionIndex"):
        open_series(path)


def test_a_multi_frame_file_without_places_is_refused(tmp_path: Path) -> None:
    ds = header(CT, "CT", NumberOfFrames=5)
    put_pixels(ds, STORED)
    with pytest.raises(InputError, match="5 frames, but 0 functional groups"):
        open_series(save(ds, tmp_path / "m.dcm"))


def test_holds_dicom_tells_folders_apart(tmp_path: Path) -> None:
    make_series(tmp_path / "series")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.nii").write_bytes(b"0" * 400)
    assert holds_dicom(tmp_path / "series")
    assert holds_dicom(tmp_path / "series" / "0000.dcm")
    assert not holds_dicom(tmp_path / "other")


def test_a_damaged_element_is_an_error(tmp_path: Path) -> None:
    make_series(tmp_path)
    path = tmp_path / "0002.dcm"
    path.write_bytes(
        path.read_bytes().replace(b"(\x00\x10\x00US\x02\x00", b"(\x00\x10\x00IS\x02\x00")
    )
    with pytest.raises(InputError, match=r"0002\.dcm"):
        read_series(tmp_path)
