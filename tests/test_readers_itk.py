"""NRRD and MetaImage files: what ITK reads well, and what it gets wrong in silence.

What holds for pictures as well is tested with them here; see test_readers_pictures.py, too.
"""

from __future__ import annotations

import gc
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from softlab_cli.core.errors import InputError
from softlab_cli.readers import probe, read_image, read_label_map
from tests.pictures_support import message, png, tiff, write

VALUES = (np.arange(4 * 5 * 6) % 7).reshape(4, 5, 6)
VOLUMES = ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.tif", "a.tiff", "a.seg.nrrd"]
KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
PICTURES = ["a.png", "a.tif", "a.nrrd", "a.mha"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for n in VOLUMES for k in KINDS if ".tif" not in n or k not in ("u8", "i8", "f8")],
)
@pytest.mark.parametrize("packed", [True, False])
def test_every_number_type_in_every_kind_of_file(tmp_path, name, kind, packed) -> None:
    label_map = read_label_map(write(tmp_path / name, VALUES.astype(kind), packed))
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert label_map.values.dtype == np.uint8
    assert label_map.values.flags.c_contiguous
    assert label_map.values.flags.writeable
    assert label_map.geometry.shape == VALUES.shape
    assert label_map.geometry.ndim == 3


@pytest.mark.parametrize("name", ["a.mha", "a.mhd", "a.nrrd", "a.nhdr", "a.tif"])
def test_endings_may_be_in_capitals(tmp_path, name) -> None:
    path = write(tmp_path / name, VALUES.astype("u1")).rename(tmp_path / name.upper())
    np.testing.assert_array_equal(read_label_map(path).values, VALUES)


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_pictures_have_one_slice(tmp_path, name, kind) -> None:
    array = VALUES[0].astype(kind) * (300 if kind == "u2" else 1)
    path = write(tmp_path / name, array, Spacing=(0.5, 0.25))
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, array[None])
    assert label_map.values.dtype == kind
    assert label_map.geometry.shape == (1, 5, 6)
    assert label_map.geometry.ndim == 2
    np.testing.assert_allclose(label_map.geometry.spacing_mm, (1, 0.25, 0.5), rtol=1e-6)
    assert label_map.warnings == ()


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.mhd", "a.nhdr"])
def test_the_grid_is_turned_from_lps_to_ras(tmp_path, name) -> None:
    direction = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))[0]
    path = write(
        tmp_path / name, VALUES.astype("u1"), Spacing=(0.7, 1.1, 2.3), Origin=(-12.5, 33.25, 100.1),
        Direction=direction.ravel(),
    )  # fmt: skip
    image = sitk.ReadImage(str(path))
    geometry = read_label_map(path).geometry
    for index in ((0, 0, 0), (5, 4, 3), (2, 0, 3)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        np.testing.assert_allclose((geometry.affine @ [*index, 1])[:3], [-x, -y, z], atol=1e-9)
    np.testing.assert_allclose(geometry.spacing_mm, (2.3, 1.1, 0.7))
    np.testing.assert_array_equal(probe(path).geometry.affine, geometry.affine)


def test_a_nrrd_file_in_ras_keeps_its_numbers(tmp_path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 4 3 2\nspace: right-anterior-superior\n"
        b"space directions: (2,0,0) (0.5,1,0) (0,0,-3)\nspace origin: (1,2,3)\nencoding: raw\n\n"
        + bytes(range(24))
    )
    label_map = read_label_map(path)
    expected = [[2, 0.5, 0, 1], [0, 1, 0, 2], [0, 0, -3, 3], [0, 0, 0, 1]]
    np.testing.assert_allclose(label_map.geometry.affine, expected, atol=1e-12)
    assert "sheared: its axes x and y are 63.43 degrees apart" in label_map.warnings[0]
    assert label_map.values.ravel().tolist() == list(range(24))


def test_the_array_outlives_itks_image(tmp_path) -> None:
    label_map = read_label_map(write(tmp_path / "a.nrrd", VALUES.astype("u1")))
    gc.collect()
    others = [np.full(VALUES.size, 255, np.uint8) for _ in range(50)]
    np.testing.assert_array_equal(label_map.values, VALUES)
    del others


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.tif"])
def test_floats_are_rounded_or_refused(tmp_path, name) -> None:
    array = VALUES.astype(np.float32) * np.float32(0.9999999)
    label_map = read_label_map(write(tmp_path / name, array))
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert "rounded by up to" in label_map.warnings[-1]
    array[3, 1, 2] = 1.25
    said = message(write(tmp_path / name, array))
    assert "1 voxel whose value is not within 0.001 of an integer" in said
    assert "1.25 at voxel (x=2, y=1, z=3)" in said


def test_wide_types_keep_large_and_negative_values(tmp_path) -> None:
    array = np.array([[[0, -5, 70000]]], np.int32)
    label_map = read_label_map(write(tmp_path / "a.nrrd", array))
    assert label_map.values.tolist() == array.tolist()


# Axes and channels


def meta(dims: str, **fields: Any) -> bytes:
    """A MetaImage with raw bytes in the same file."""
    n = len(dims.split())
    lines = {"ObjectType": "Image", "NDims": n, "BinaryData": True, "CompressedData": False}
    lines |= {"ElementSpacing": " ".join(["1"] * n), "DimSize": dims, **fields}
    lines |= {"ElementType": fields.get("ElementType", "MET_UCHAR"), "ElementDataFile": "LOCAL"}
    return "".join(f"{key} = {value}\n" for key, value in lines.items()).encode()


@pytest.mark.parametrize("dims", ["4 3 2 1", "4 3 2 1 1"])
def test_further_axes_of_length_one_are_dropped(tmp_path, dims) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(meta(dims) + bytes(range(24)))
    label_map = read_label_map(path)
    assert label_map.values.shape == (2, 3, 4)
    assert label_map.values.ravel().tolist() == list(range(24))


def test_a_nrrd_list_of_one_is_a_volume(tmp_path) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        b"NRRD0004\ntype: uchar\ndimension: 4\nsizes: 1 4 3 2\nkinds: list domain domain domain\n"
        b"encoding: raw\n\n" + bytes(range(24))
    )
    assert read_label_map(path).values.shape == (2, 3, 4)


def test_several_volumes_are_no_label_map_but_an_image(tmp_path) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(meta("4 3 2 5") + bytes(range(120)))
    assert "holds 5 volumes; a label map has one value" in message(path)
    expected = np.arange(120).reshape(5, 2, 3, 4)
    np.testing.assert_array_equal(read_image(path).intensities, expected)
    assert probe(path).channels == 5


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_vectors_are_no_label_map_but_channels(tmp_path, name) -> None:
    array = np.arange(2 * 3 * 4 * 2, dtype=np.int16).reshape(2, 3, 4, 2)
    path = write(tmp_path / name, array, vector=True)
    assert "holds vectors or colours (2 numbers for each voxel)" in message(path)
    image = read_image(path)
    np.testing.assert_array_equal(image.intensities, np.moveaxis(array, -1, 0))
    assert image.intensities.flags.c_contiguous


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_colours_are_no_label_map_but_channels(tmp_path, name) -> None:
    array = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    path = write(tmp_path / name, array, vector=True)
    assert "holds vectors or colours (3 numbers for each voxel)" in message(path)
    np.testing.assert_array_equal(read_image(path).intensities[:, 0], np.moveaxis(array, -1, 0))


def test_complex_numbers_are_refused(tmp_path) -> None:
    path = write(tmp_path / "a.nrrd", VALUES.astype(np.complex64))
    assert "type that cannot be read" in message(path)
    assert "complex" in message(path, read_image)


# Damaged files


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_a_volume_cut_short_anywhere_is_refused(tmp_path, capfd, name, packed) -> None:
    array = np.random.default_rng(0).integers(0, 9, VALUES.shape).astype(np.uint8)
    path = write(tmp_path / name, array, packed)
    content = path.read_bytes()
    for length in range(1, len(content), 3):
        path.write_bytes(content[:length])
        message(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.png"])
def test_compressed_voxels_that_changed_are_refused(tmp_path, name) -> None:
    array = np.random.default_rng(0).integers(0, 256, (30, 40)).astype(np.uint8)
    path = write(tmp_path / name, array)
    content = path.read_bytes()
    for i in range(len(content) - 900, len(content) - 100, 50):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        assert "is damaged" in message(path)


@pytest.mark.parametrize(("name", "data"), [("a.mhd", "a.zraw"), ("a.nhdr", "a.raw.gz")])
def test_the_file_of_the_voxels_is_checked_too(tmp_path, name, data) -> None:
    path = write(tmp_path / name, VALUES.astype("u1"))
    stored = (tmp_path / data).read_bytes()
    (tmp_path / data).write_bytes(stored[:-12])
    assert "is truncated" in str(message_of(path))
    (tmp_path / data).unlink()
    assert f"names {data!r} as the file of its voxels, which does not exist" in message(path)


def message_of(path: Path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_label_map(path)
    return caught.value


NRRD = b"NRRD0004\ntype: uchar\ndimension: 3\nsizes: 10000 10000 10000\nencoding: %s\n\n"


@pytest.mark.parametrize(
    ("name", "content", "at_most"),
    [
        ("a.nrrd", NRRD % b"raw" + bytes(100), 100),
        ("a.nrrd", NRRD % b"gzip" + bytes(100), 103200),
        ("a.nrrd", NRRD % b"ascii" + b"1 " * 50, 100),
        ("a.mha", meta("10000 10000 10000") + bytes(100), 100),
        ("a.mha", meta("10000 10000 10000", CompressedData=True) + bytes(100), 103200),
        ("a.png", png(8, 0, np.zeros((3, 4))).replace(
            struct.pack(">II", 4, 3), struct.pack(">II", 10**6, 10**6)), None),
    ],
)  # fmt: skip
@pytest.mark.parametrize("read", [read_label_map, read_image, probe])
def test_a_header_that_promises_too_much_is_refused_at_once(
    tmp_path, name, content, at_most, read
) -> None:
    if name == "a.png":  # the header has a checksum of its own
        content = content[:29] + struct.pack(">I", zlib.crc32(content[12:29])) + content[33:]
    (tmp_path / name).write_bytes(content)
    said = message(tmp_path / name, read)
    assert "promises 1" in said
    assert "can hold at most" in said
    assert at_most is None or f"at most {at_most}." in said


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        *[(f"a.{e}", b"", "is an empty file") for e in ("nrrd", "mha", "png", "tif")],
        ("a.nrrd", b"hello", "is not a NRRD file: it starts with 'hello'"),
        ("a.mha", b"hello", "is not a MetaImage"),
        ("a.png", b"hello", "is not a PNG file: it starts with 'hello'"),
        ("a.tif", b"hello", "is not a TIFF file: it starts with 'hello'"),
        ("a.nrrd", NRRD % b"bzip2", "with the encoding 'bzip2', which cannot be read"),
        ("a.mha", meta("4 3 0"), "has the size 4x3x0"),
        ("a.mha", meta("24") + bytes(24), "has the size 24"),
        ("a.mha", meta("4 3 2", ElementSpacing="1 0 1") + bytes(24), "voxels of size 0 along y"),
        ("a.mha", meta("4 3 2", TransformMatrix="1 0 0 1 0 0 0 0 1") + bytes(24), "in one plane"),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, capfd, name, content, reason) -> None:
    (tmp_path / name).write_bytes(content)
    assert reason in message(tmp_path / name)
    assert reason in message(tmp_path / name, probe)
    assert capfd.readouterr().err == ""


def test_itks_own_words_stay_the_cause(tmp_path) -> None:
    path = write(tmp_path / "a.nrrd", VALUES.astype("u1"))
    path.write_bytes(path.read_bytes().replace(b"type: unsigned char", b"type: x"))
    error = message_of(path)
    said = "is damaged, or not a .nrrd image. Fetch or export the file again."
    assert str(error) == f"{path}: {said}"
    assert "ITK" in str(error.__cause__)


def test_standard_error_works_after_a_file_was_read(tmp_path, capfd) -> None:
    import os

    read_label_map(write(tmp_path / "a.tif", VALUES.astype("u1")))
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.png", "a.tif"])
def test_any_bytes_changed_give_an_error_of_ours_or_a_result(tmp_path, name) -> None:
    rng = np.random.default_rng(5)
    array = rng.integers(0, 9, (6, 7) if name == "a.png" else (3, 6, 7)).astype(np.uint8)
    content = tiff(list(array)) if name == "a.tif" else write(tmp_path / name, array).read_bytes()
    refused = 0
    for _ in range(100):
        changed = bytearray(content)
        for at in rng.integers(0, len(content), rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        (tmp_path / name).write_bytes(bytes(changed))
        try:
            read_label_map(tmp_path / name)
        except InputError:
            refused += 1
    assert refused > 10


UNITS = b"NRRD0005\ntype: uchar\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n"
LPS = b"space: left-posterior-superior\nspace origin: (1,2,3)\n"
STEPS = b"space directions: (0.5,0,0) (0,0.5,0) (0,0,2)\n"
IN_MICROMETRES = "the header counts in micrometres; converted to millimetres."
NOT_SAID = "the file does not say how large its voxels are; 1 mm is assumed."


@pytest.mark.parametrize(
    ("lines", "spacing", "warnings", "missing"),
    [
        (LPS + STEPS, (2, 0.5, 0.5), (), ""),
        (LPS + STEPS + b'space units: "mm" "mm" "mm"\n', (2, 0.5, 0.5), (), ""),
        (LPS + STEPS + b'space units: "" "" ""\n', (2, 0.5, 0.5), (), ""),
        (LPS + STEPS + b"space units:=microns\n", (2, 0.5, 0.5), (), ""),
        (LPS + STEPS + b'space units: "microns" "microns" "microns"\n',
         (2e-3, 5e-4, 5e-4), (IN_MICROMETRES,), ""),
        (LPS + STEPS + b'space units: "\xc2\xb5m" "um" "Micrometer"\n',
         (2e-3, 5e-4, 5e-4), (IN_MICROMETRES,), ""),
        (LPS + STEPS + b'space units: "m" "m" "m"\n', (2000, 500, 500),
         ("the header counts in metres; converted to millimetres.",), ""),
        (LPS + STEPS + b'space units: "pixel" "mm" "mm"\n', (2, 0.5, 0.5),
         ("the header counts in 'pixel', which is no known unit; millimetres are assumed.",), ""),
        (b'spacings: 500 500 2000\nunits: "um" "um" "um"\n',
         (2, 0.5, 0.5), (IN_MICROMETRES,), "no position"),
        (b"", (1, 1, 1), (NOT_SAID,), "no spacing"),
        (b"kinds: domain domain domain\n" + LPS + STEPS.replace(b"(0,0,2)", b"none"),
         (1, 0.5, 0.5), (NOT_SAID,), "no spacing along axis 3"),
        (b"kinds: domain domain domain\n" + LPS + STEPS.replace(b"(0,0,2)", b"(nan,nan,nan)"),
         (1, 0.5, 0.5), (NOT_SAID,), "no spacing along axis 3"),
        (b"spacings: 0.5 0.5 nan\n", (1, 0.5, 0.5), (NOT_SAID,), "no spacing along axis 3"),
    ],
)  # fmt: skip
def test_units_of_a_nrrd_file_count_and_what_is_missing_is_said(
    tmp_path, lines, spacing, warnings, missing
) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(UNITS + lines + b"\n" + bytes(24))
    label_map = read_label_map(path)
    np.testing.assert_allclose(label_map.geometry.spacing_mm, spacing)
    if b"origin" in lines:
        scale = spacing[1] / 0.5
        np.testing.assert_allclose(label_map.geometry.origin_mm, np.multiply((-1, -2, 3), scale))
    assert label_map.warnings == warnings
    assert label_map.geometry.missing == missing


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({}, "no spacing"),
        ({"ElementSpacing": "1 2 3"}, "no position"),
        ({"ElementSpacing": "1 2 3", "Offset": "0 0 0"}, ""),
    ],
)
def test_a_metaimage_without_spacing_is_said(tmp_path, fields, missing) -> None:
    path = tmp_path / "a.mha"
    lines = "".join(f"{name} = {value}\n" for name, value in fields.items())
    path.write_text(
        "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\n"
        f"BinaryData = True\n{lines}ElementDataFile = LOCAL\n" + "\0" * 24
    )
    label_map = read_label_map(path)
    assert label_map.warnings == ((NOT_SAID,) if missing == "no spacing" else ())
    assert label_map.geometry.missing == missing
