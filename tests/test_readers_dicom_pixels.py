"""Pixels in every encoding: what a decoder gives is what was stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.pixels import compress
from pydicom.uid import ExplicitVRBigEndian, JPEGLSLossless, RLELossless

from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.series.read import read_series
from tests.dicom_support import (
    CT,
    header,
    make_enhanced,
    make_slices,
    put_pixels,
    save,
    save_slices,
)

STORED = np.random.default_rng(0).integers(-1000, 3000, (3, 16, 24)).astype(np.int16)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless])
def test_slices_compressed_by_pydicom(tmp_path: Path, syntax: str) -> None:
    slices = make_slices(STORED)
    for ds in slices:
        compress(ds, syntax, generate_instance_uid=False)
    found = read_series(save_slices(tmp_path, slices)).intensities[0]
    np.testing.assert_array_equal(found, STORED - 1000)


@pytest.mark.parametrize("compressor", ["JPEG", "JPEG2000"])
def test_slices_compressed_by_gdcm(tmp_path: Path, compressor: str) -> None:
    """JPEG is the lossless process 14, which pydicom alone cannot decode."""
    slices = make_slices(STORED)
    for z, ds in enumerate(slices):
        use_encoding(ds, encode(tmp_path / "tmp.dcm", STORED[z], compressor))
    found = read_series(save_slices(tmp_path / "series", slices)).intensities[0]
    np.testing.assert_array_equal(found, STORED - 1000)


def encode(path: Path, plane: np.ndarray, compressor: str) -> Dataset:
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.SetUseCompression(True)
    writer.SetCompressor(compressor)
    writer.SetFileName(str(path))
    writer.Execute(sitk.GetImageFromArray(plane[None]))
    return dcmread(path)


def use_encoding(ds: Dataset, encoded: Dataset) -> None:
    ds.file_meta.TransferSyntaxUID = encoded.file_meta.TransferSyntaxUID
    ds.PixelData = encoded.PixelData
    ds["PixelData"].VR = "OB"


@pytest.mark.parametrize(
    "name",
    [
        "JPGExtended.dcm",  # 12-bit JPEG
        "JPEG2000.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_padded.dcm",
        "image_dfl.dcm",  # deflated
        "SC_rgb_dcmtk_+eb+cr.dcm",
        "SC_ybr_full_422_uncompressed.dcm",
    ],
)
def test_pydicoms_files_read_as_simpleitk_reads_them(name: str) -> None:
    path = get_testdata_file(name, download=False)
    found = read_series(path).intensities[:, 0]
    expected = sitk.GetArrayFromImage(sitk.ReadImage(path)).squeeze()
    expected = np.moveaxis(expected, -1, 0) if expected.ndim == 3 else expected[None]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", ["MR_truncated.dcm", "JPEG2000-embedded-sequence-delimiter.dcm"])
def test_pixels_that_cannot_be_had_are_an_error(name: str) -> None:
    with pytest.raises(InputError, match=r"truncated|cannot be decoded"):
        read_series(get_testdata_file(name, download=False))


@pytest.mark.parametrize("share", [0.7, 0.98])
def test_a_truncated_compressed_slice_is_an_error(tmp_path: Path, share: float) -> None:
    slices = make_slices(STORED)
    for ds in slices:
        compress(ds, RLELossless, generate_instance_uid=False)
    path = save_slices(tmp_path, slices) / "0001.dcm"
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError, match=r"0001\.dcm"):
        read_series(tmp_path)


def test_palettes_are_refused() -> None:
    with pytest.raises(InputError, match="PALETTE COLOR"):
        read_series(get_testdata_file("examples_palette.dcm", download=False))


@pytest.mark.parametrize("compressor", ["", "JPEG"])
def test_inverted_greyscale_keeps_its_values(tmp_path: Path, compressor: str) -> None:
    (ds,) = make_slices(STORED[:1])
    if compressor:
        use_encoding(ds, encode(tmp_path / "tmp.dcm", STORED[0], compressor))
    ds.PhotometricInterpretation = "MONOCHROME1"
    found = read_series(save(ds, tmp_path / "m.dcm")).intensities[0]
    np.testing.assert_array_equal(found, STORED[:1] - 1000)


def test_a_compressed_enhanced_file(tmp_path: Path) -> None:
    path = make_enhanced(tmp_path / "e.dcm", STORED, [2, 0, 1])
    ds = dcmread(path)
    compress(ds, RLELossless, generate_instance_uid=False)
    save(ds, path)
    z = np.arange(3)[:, None, None]
    np.testing.assert_array_equal(read_series(path).intensities[0], STORED * (1 + z) - z)


def test_big_endian_series(tmp_path: Path) -> None:
    ds = header(CT, "CT")
    put_pixels(ds, STORED[0])
    ds.PixelData = STORED[0].astype(">i2").tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    found = read_series(save(ds, tmp_path / "b.dcm")).intensities[0]
    np.testing.assert_array_equal(found, STORED[:1])
