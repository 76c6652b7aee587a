"""PNG and TIFF files: the numbers that are stored in them, whatever the way."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile

from softlab_cli.readers import probe, read_image, read_label_map
from tests.pictures_support import message, png, tiff, write

VALUES = np.random.default_rng(3).integers(0, 7, (6, 24, 20)).astype(np.uint16)
VALUES[0, 0, :3] = 300, 1, 0
PAGES = [np.arange(12, dtype=np.uint8).reshape(3, 4) + 10 * i for i in range(3)]


def save_png(path: Path, array: np.ndarray) -> Path:
    path.write_bytes(imagecodecs.png_encode(array))
    return path


def save_tiff(path: Path, array: np.ndarray, **how: Any) -> Path:
    tifffile.imwrite(path, array, **how)
    return path


# PNG


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


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize("numbers", [2, 3, 4])
def test_grey_in_several_numbers_is_grey(tmp_path, kind, numbers) -> None:
    """With alpha, or as colours that are all the same; alpha says nothing about labels."""
    grey = VALUES[0].astype(kind)
    array = np.repeat(grey[..., None], numbers, axis=-1)
    if numbers != 3:
        array[..., -1] = np.arange(20)
    path = save_png(tmp_path / "a.png", array)
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values[0], grey)
    assert label_map.values.flags.c_contiguous
    assert probe(path).channels == numbers
    image = read_image(path).intensities
    np.testing.assert_array_equal(image[0, 0], grey)
    assert len(image) == {2: 1, 3: 3, 4: 4}[numbers]


@pytest.mark.parametrize("bits", [2, 8])
def test_a_transparent_grey_is_its_number(tmp_path, bits) -> None:
    array = np.random.default_rng(0).integers(0, 4, (13, 11))
    content = png(bits, 0, array)
    chunk = struct.pack(">I", 2) + b"tRNS" + bytes(2)
    chunk += struct.pack(">I", imagecodecs.zlib_crc32(chunk[4:]))
    path = tmp_path / "a.png"
    path.write_bytes(content[:33] + chunk + content[33:])
    np.testing.assert_array_equal(read_label_map(path).values[0], array)
    assert len(read_image(path).intensities) == 1


def test_colours_that_differ_in_one_pixel_are_no_label_map(tmp_path) -> None:
    array = np.repeat(VALUES[0].astype(np.uint8)[..., None], 3, axis=-1)
    array[5, 5, 2] += 1
    assert "holds vectors or colours (3 numbers" in message(save_png(tmp_path / "a.png", array))


def test_colours_of_16_bits_keep_them(tmp_path) -> None:
    array = np.random.default_rng(0).integers(0, 65536, (5, 4, 3)).astype(np.uint16)
    image = read_image(save_png(tmp_path / "a.png", array))
    np.testing.assert_array_equal(image.intensities[:, 0], np.moveaxis(array, -1, 0))


def test_a_picture_without_spacing_gets_1_mm_and_says_so(tmp_path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(8, 0, np.zeros((3, 4), np.uint8)))
    label_map = read_label_map(path)
    assert label_map.geometry.spacing_mm == (1, 1, 1)
    assert "1 mm is assumed" in label_map.warnings[0]


# TIFF


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_pages_are_slices(tmp_path, capfd, big, order) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(PAGES, big, order))
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, PAGES)
    assert "1 mm is assumed" in label_map.warnings[0]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("how", [
    {"tile": (16, 16)},
    {"tile": (16, 16), "compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True, "rowsperstrip": 5},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"compression": "lzma"},
    {"byteorder": ">", "tile": (32, 16)},
    {"bigtiff": True},
    {"photometric": "miniswhite"},
    {"imagej": True},
    {"truncate": True},
    {"imagej": True, "truncate": True},
    {"volumetric": True, "tile": (2, 16, 16)},
])  # fmt: skip
def test_however_pixels_are_laid_out_they_are_the_same(tmp_path, capfd, how) -> None:
    """Strips, tiles, one directory for all slices; numbers with white as 0 are not inverted."""
    path = save_tiff(tmp_path / "a.tif", VALUES, **how)
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert label_map.geometry.shape == VALUES.shape
    assert label_map.geometry.ndim == 3
    np.testing.assert_array_equal(read_image(path).intensities[0], VALUES)
    assert probe(path).geometry.shape == VALUES.shape
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("kind", ["u8", "i8", "f8", "f2", "u4"])
def test_wide_numbers_are_read(tmp_path, kind) -> None:
    path = save_tiff(tmp_path / "a.tif", VALUES.astype(kind))
    np.testing.assert_array_equal(read_label_map(path).values, VALUES)


@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_one_bit_is_0_or_1_as_stored(tmp_path, photometric) -> None:
    path = save_tiff(tmp_path / "a.tif", VALUES > 3, photometric=photometric)
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES > 3)
    assert label_map.values.dtype == np.uint8


def test_pixels_that_ask_to_be_shown_turned_are_read_as_stored(tmp_path) -> None:
    path = save_tiff(tmp_path / "a.tif", VALUES, extratags=[(274, 3, 1, 3, True)])
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert "asks to be shown turned (orientation 3)" in label_map.warnings[0]


def test_indices_into_a_palette_are_label_values_and_colours_of_an_image(tmp_path) -> None:
    colours = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
    indices = VALUES.astype(np.uint8)
    path = save_tiff(tmp_path / "a.tif", indices, photometric="palette", colormap=colours)
    np.testing.assert_array_equal(read_label_map(path).values, indices)
    np.testing.assert_array_equal(read_image(path).intensities, colours[:, indices])


@pytest.mark.parametrize("planes", ["contig", "separate"])
def test_colours_are_channels_however_they_are_laid_out(tmp_path, planes) -> None:
    array = np.random.default_rng(0).integers(0, 256, (5, 24, 20, 3)).astype(np.uint8)
    stored = array if planes == "contig" else np.moveaxis(array, -1, 1)
    path = save_tiff(tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planes)
    np.testing.assert_array_equal(read_image(path).intensities, np.moveaxis(array, -1, 0))
    assert "holds vectors or colours (3 numbers for each voxel)" in message(path)


@pytest.mark.parametrize(
    ("axes", "sizes", "channels", "shape"),
    [
        ("ZYX", (6,), 1, 6),
        ("TYX", (6,), 1, 6),
        ("CYX", (6,), 1, 6),
        ("ZCYX", (3, 2), 2, 3),
        ("TZYX", (2, 3), 2, 3),
        ("TZCYX", (1, 3, 2), 2, 3),
    ],
)
def test_axes_of_a_hyperstack(tmp_path, axes, sizes, channels, shape) -> None:
    """One axis is slices, which people also save as time or channels."""
    array = VALUES.reshape(*sizes, 24, 20)
    path = save_tiff(tmp_path / "a.tif", array, imagej=True, metadata={"axes": axes})
    image = read_image(path)
    assert image.intensities.shape == (channels, shape, 24, 20)
    expected = np.moveaxis(array, 1, 0) if axes == "ZCYX" else array
    expected = array[0].swapaxes(0, 1) if axes == "TZCYX" else expected
    np.testing.assert_array_equal(image.intensities, expected.reshape(image.intensities.shape))
    if channels > 1:
        assert f"holds {channels} volumes" in message(path)


@pytest.mark.parametrize(
    ("how", "spacing", "warned"),
    [
        ({"resolution": (4, 5), "resolutionunit": "inch"}, (1, 25.4 / 5, 25.4 / 4), "pages"),
        ({"resolution": (4, 5), "resolutionunit": "centimeter"}, (1, 2, 2.5), "pages"),
        ({"resolution": (4, 5), "resolutionunit": "none"}, (1, 1, 1), "pixels"),
        ({"imagej": True, "resolution": (4, 5), "metadata": {"unit": "mm", "spacing": 3.0}},
         (3, 0.2, 0.25), ""),
        ({"imagej": True, "resolution": (4, 5), "metadata": {"unit": "um", "spacing": 3.0}},
         (0.003, 0.0002, 0.00025), ""),
        ({"imagej": True, "resolution": (4, 5), "metadata": {"unit": "micron"}},
         (1, 0.0002, 0.00025), "pages"),
        ({"imagej": True, "resolution": (4, 5), "metadata": {"unit": "pixel", "spacing": 3.0}},
         (1, 1, 1), "pixels"),
    ],
)  # fmt: skip
def test_units_of_the_resolution_count(tmp_path, how, spacing, warned) -> None:
    seen = probe(save_tiff(tmp_path / "a.tif", VALUES, **how))
    np.testing.assert_allclose(seen.geometry.spacing_mm, spacing, rtol=1e-6)
    assert [warned in warning for warning in seen.warnings] == [True] * bool(warned)


@pytest.mark.parametrize("big", [True, False])
def test_a_tiff_file_cut_short_anywhere_is_refused(tmp_path, big) -> None:
    path = tmp_path / "a.tif"
    content = tiff(PAGES, big)
    for length in range(1, len(content) - (8 if big else 4)):
        path.write_bytes(content[:length])
        for read in (read_label_map, read_image):
            assert ("truncated" if length >= 16 else "is not a TIFF file") in message(path, read)


def test_a_stack_in_one_directory_cut_short_is_refused(tmp_path) -> None:
    """ImageJ writes the slices after one another and a directory for the first alone."""
    path = save_tiff(tmp_path / "a.tif", VALUES, imagej=True, truncate=True)
    path.write_bytes(path.read_bytes()[:-2])
    assert "is truncated" in message(path, probe)


def test_strips_without_a_place_are_refused(tmp_path) -> None:
    content = tiff(PAGES[:1])
    for tag, value in ((273, 8), (279, 12)):
        entry = struct.pack("<HHII", tag, 4, 1, value)
        assert entry in content
        path = tmp_path / "a.tif"
        path.write_bytes(content.replace(entry, struct.pack("<HHII", tag, 4, 1, 0)))
        assert "is truncated or damaged" in message(path, probe)


def test_pages_of_different_sizes_are_refused(tmp_path) -> None:
    path = tmp_path / "a.tif"
    path.write_bytes(tiff([PAGES[0], PAGES[1][:2]]))
    assert "has pages of different sizes, types or kinds (sizes: 4x2, 4x3)" in message(path)


def test_pages_of_different_kinds_are_refused(tmp_path) -> None:
    """A mask among the pages is no slice."""
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


def test_a_compression_that_nobody_knows_is_named(tmp_path) -> None:
    content = tiff(PAGES[:1])
    entry = struct.pack("<HHII", 259, 4, 1, 1)
    assert entry in content
    path = tmp_path / "a.tif"
    path.write_bytes(content.replace(entry, struct.pack("<HHII", 259, 4, 1, 34661)))
    assert "cannot be read (TIFF compression JBIG)" in message(path, probe)


def test_complex_numbers_in_tiff_are_refused(tmp_path) -> None:
    path = save_tiff(tmp_path / "a.tif", VALUES.astype(np.complex64))
    assert "of a type that cannot be read (complex64)" in message(path)


def test_what_ome_says_of_other_files_is_not_followed(tmp_path) -> None:
    other = save_tiff(tmp_path / "other.ome.tif", VALUES)
    path = save_tiff(tmp_path / "a.ome.tif", VALUES[:2], metadata={"axes": "ZYX"})
    content = path.read_bytes().replace(b"a.ome.tif", other.name.encode())
    path.write_bytes(content)
    np.testing.assert_array_equal(read_label_map(path).values, VALUES[:2])


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


def test_a_damaged_png_keeps_the_decoders_words_as_the_cause(tmp_path) -> None:
    path = write(tmp_path / "a.png", VALUES[0].astype("u1"))
    path.write_bytes(path.read_bytes()[:80])
    assert message(path) == (
        f"{path}: is damaged, or not a .png image. Fetch or export the file again."
    )
