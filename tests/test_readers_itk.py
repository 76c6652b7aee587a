"""NRRD, MetaImage, PNG and TIFF files: what ITK reads well, and what it gets wrong in silence."""

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

VALUES = (np.arange(4 * 5 * 6) % 7).reshape(4, 5, 6)
VOLUMES = ["a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.tif", "a.tiff", "a.seg.nrrd"]
KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]
PICTURES = ["a.png", "a.tif", "a.nrrd", "a.mha"]


def write(path: Path, array: Any, packed: bool = True, **grid: Any) -> Path:
    image = sitk.GetImageFromArray(np.asarray(array), isVector=grid.pop("vector", False))
    for name, value in grid.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path), packed)
    return path


def message(path: Path, read: Any = read_label_map) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "itk" not in str(caught.value).replace(str(path), "").lower()
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


# PNG


def png(bits: int, colour_type: int, rows: np.ndarray, palette: bool = False) -> bytes:
    """A PNG file with packed rows and the filters None, Sub and Up in turn."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = rows.shape[:2]
    as_bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    packed = np.packbits(as_bits.reshape(height, -1), axis=1)
    lines, above = [], np.zeros_like(packed[0])
    for i, line in enumerate(packed):
        left = np.concatenate([[0], line[:-1]])
        filtered = [line, line - left, line - above][i % 3]
        lines.append(bytes([i % 3]) + filtered.astype(np.uint8).tobytes())
        above = line
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    if palette:
        parts += [chunk(b"PLTE", bytes(range(100, 148))), chunk(b"tRNS", bytes(16))]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(lines))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [True, False])
def test_indices_and_few_bits_are_label_values_as_stored(tmp_path, bits, palette) -> None:
    array = np.random.default_rng(0).integers(0, min(16, 2**bits), (13, 11))
    path = tmp_path / "a.png"
    path.write_bytes(png(bits, 3 if palette else 0, array, palette))
    np.testing.assert_array_equal(read_label_map(path).values[0], array)
    assert probe(path).channels == 1


def test_a_palette_gives_an_image_its_colours(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 3, np.array([[0, 1], [2, 3]]), palette=True))
    red = read_image(path).intensities[0, 0]
    assert red.tolist() == [[100, 103], [106, 109]]


def test_grey_with_alpha_is_refused(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 4, np.zeros((3, 4), np.uint8)))
    for read in (read_label_map, read_image, probe):
        assert "has an alpha channel" in message(path, read)


def test_a_picture_without_spacing_gets_1_mm_and_says_so(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 0, np.zeros((3, 4), np.uint8)))
    label_map = read_label_map(path)
    assert label_map.geometry.spacing_mm == (1, 1, 1)
    assert "1 mm is assumed" in label_map.warnings[0]


# TIFF


def tiff(pages: list[np.ndarray], big: bool = False, order: str = "<", **tags: int) -> bytes:
    """A TIFF file with uint8 pages: the data first, then one directory after another."""
    number, count, pointer = ("Q", "Q", 16) if big else ("I", "H", 8)
    entry = struct.Struct(f"{order}HH{number}")
    content = bytearray(pointer)
    places = []
    for page in pages:
        places.append(len(content))
        content += page.tobytes()
    link = 8 if big else 4
    for page, place in zip(pages, places, strict=True):
        struct.pack_into(order + number, content, link, len(content))
        height, width = page.shape
        facts = {254: tags.get("subfile", 0), 256: width, 257: height, 258: tags.get("bits", 8),
                 259: 1, 262: tags.get("photometric", 1), 273: place, 277: 1, 278: height,
                 279: page.size, 65000: 7}  # fmt: skip
        content += struct.pack(order + count, len(facts))
        for tag, value in facts.items():
            content += entry.pack(tag, 16 if big else 4, 1) + struct.pack(order + number, value)
        link = len(content)
        content += bytes(struct.calcsize(number))
    head = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    content[: 2 + len(version)] = head + version
    return bytes(content)


PAGES = [np.arange(12, dtype=np.uint8).reshape(3, 4) + 10 * i for i in range(3)]


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_are_slices(tmp_path, capfd, big, order) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PAGES, big, order))
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, PAGES)
    assert "1 mm is assumed" in label_map.warnings[0]
    assert capfd.readouterr().err == ""  # libtiff does not know tag 65000 and says so


@pytest.mark.parametrize("big", [True, False])
def test_a_tiff_file_cut_short_anywhere_is_refused(tmp_path, big) -> None:
    path = tmp_path / "a.tif"
    content = tiff(PAGES, big)
    for length in range(1, len(content) - (8 if big else 4)):
        path.write_bytes(content[:length])
        for read in (read_label_map, read_image):
            assert ("truncated" if length >= 16 else "is not a TIFF file") in message(path, read)


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ({"photometric": 0}, "with white as 0"),
        ({"photometric": 3}, "as colours of a palette"),
        ({"bits": 1}, "with 1 bits"),
    ],
)
def test_tiff_values_that_itk_would_change_are_refused(tmp_path, tags, reason) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PAGES[:1], **tags))
    assert f"stores its values {reason}" in message(path)
    assert reason in message(path, probe)


def test_pages_of_different_sizes_are_refused(tmp_path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([PAGES[0], PAGES[1][:2]]))
    assert "has pages of different sizes, types or kinds (sizes: 4x2, 4x3)" in message(path)


def test_pages_of_different_kinds_are_refused(tmp_path) -> None:
    """ITK makes room for the pages that are no masks, and may write all of them."""
    content = bytearray(tiff(PAGES[:2]))
    at = content.rindex(struct.pack("<HHII", 254, 4, 1, 0))
    struct.pack_into("<I", content, at + 8, 4)
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(content))
    assert "has pages of different sizes, types or kinds" in message(path)


def test_data_beyond_the_end_are_refused(tmp_path) -> None:
    content = tiff(PAGES[:1])
    entry = struct.pack("<HHII", 273, 4, 1, 8)
    assert entry in content
    path = tmp_path / "a.tif"
    path.write_bytes(content.replace(entry, struct.pack("<HHII", 273, 4, 1, len(content) - 11)))
    assert "beyond the end of the file" in message(path, probe)


def test_pages_in_a_circle_are_refused(tmp_path) -> None:
    content = bytearray(tiff(PAGES[:1]))
    content[-4:] = content[4:8]  # the next page is the first one
    path = tmp_path / "a.tif"
    path.write_bytes(bytes(content))
    assert "is truncated or damaged" in message(path)


def test_deflated_pages_that_changed_are_refused(tmp_path) -> None:
    array = np.random.default_rng(0).integers(0, 9, (3, 40, 40)).astype(np.uint8)
    path = tmp_path / "a.tif"
    writer = sitk.ImageFileWriter()
    writer.SetFileName(str(path))
    writer.SetCompressor("Deflate")
    writer.UseCompressionOn()
    writer.Execute(sitk.GetImageFromArray(array))
    np.testing.assert_array_equal(read_label_map(path).values, array)
    content = path.read_bytes()
    for i in range(20, 600, 20):
        path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
        assert "do not match their checksum" in message(path)


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
    path = write(tmp_path / "a.png", VALUES[0].astype("u1"))
    path.write_bytes(path.read_bytes()[:60])
    error = message_of(path)
    assert str(error) == f"{path}: is damaged, or not a .png image. Fetch or export the file again."
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
