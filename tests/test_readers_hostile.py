"""Headers that lie, and data that do not belong to them: refused before anything is allocated."""

from __future__ import annotations

import gzip
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from softlab_cli import readers
from softlab_cli.core.provenance import describe_sources, same_content
from softlab_cli.readers import probe, read_image, read_label_map
from softlab_cli.readers.base import open_input
from tests.pictures_support import message, write
from tests.test_readers_itk import VALUES, meta

LABELS = VALUES.astype("u1")
NRRD = (
    b"NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\nsizes: 6 5 4\n"
    b"space directions: (1,0,0) (0,1,0) (0,0,1)\nkinds: domain domain domain\n"
    b"encoding: raw\nspace origin: (0,0,0)\n\n"
)


def mha(**fields: object) -> bytes:
    return meta("6 5 4", **fields) + LABELS.tobytes()


@pytest.mark.parametrize("axes", [-3, -1, 0, 11, 99999, 4294967299, "3x", "", "3 3"])
def test_a_metaimage_has_a_sensible_number_of_axes(tmp_path, axes) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha(NDims=axes))
    assert "'NDims'" in message(path)
    assert "'NDims'" in message(path, probe)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ElementSpacing", "1 1"),
        ("Offset", "0"),
        ("Offset", "0 0 1" + "0" * 1100),
        ("TransformMatrix", "1 0 0 0 1 0"),
        ("ElementNumberOfChannels", "-1"),
        ("ElementNumberOfChannels", "99999999"),
        ("DimSize", "6 5 -4"),
        ("DimSize", "6 5"),
        ("DimSize", "6 5 99999999999999"),
        ("HeaderSize", "-2"),
        ("HeaderSize", "5"),
        ("Comment", "x" * 5000),
        ("ElementType", "x" * 200),
    ],
)
def test_fields_that_itk_must_not_see(tmp_path, field, value) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha(**{field: value}))
    assert message(path)


@pytest.mark.parametrize("length", [200, 1030, 1100, 5000])
@pytest.mark.parametrize(
    "number", [b"(1,0,0)", b"(0,0,0)", b"6 5 4", b"3\n", b"domain domain", b"left-posterior"]
)
def test_no_word_of_a_nrrd_header_is_longer_than_a_word(tmp_path, number, length) -> None:
    path = tmp_path / "a.nrrd"
    at = NRRD.index(number) + 1
    path.write_bytes(NRRD[:at] + b"0" * length + NRRD[at:] + LABELS.tobytes())
    message(path)
    message(path, probe)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"sizes: 6 5 4", b"sizes: 6 5"),
        (b"sizes: 6 5 4", b"sizes: 6 5 -4"),
        (b"dimension: 3", b"dimension: 17"),
        (b"kinds: domain domain domain", b"kinds: domain"),
        (b"(0,0,1)", b"(0,0)"),
        (b"(0,0,1)", b"(0,0,x)"),
        (b"(0,0,1)", b"(0,0,1"),
        (b"sizes: 6 5 4", b"sizes: 6 5 4\nsizes: 6 4 5"),
        (b"encoding: raw", b"encoding: raw\nbyte skip: -2"),
        (b"encoding: raw", b"encoding: raw\nline skip: -1"),
    ],
)
def test_a_nrrd_header_says_everything_once_and_in_numbers(tmp_path, old, new) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD.replace(old, new) + LABELS.tobytes())
    message(path)


@pytest.mark.parametrize("size", [None, 0, 5, 10**6, -1])
def test_compressed_voxels_need_no_right_size_in_the_header(tmp_path, size) -> None:
    path = tmp_path / "a.mha"
    said = {} if size is None else {"CompressedDataSize": size}
    path.write_bytes(meta("6 5 4", CompressedData=True, **said) + zlib.compress(LABELS.tobytes()))
    for _ in range(2):
        np.testing.assert_array_equal(read_label_map(path).values, VALUES)


@pytest.mark.parametrize("more", [-1, 1, 5000])
@pytest.mark.parametrize("kind", ["mha", "mhd", "nrrd", "nhdr"])
def test_a_stream_has_the_bytes_that_the_header_promises(tmp_path, kind, more) -> None:
    stored = (LABELS.tobytes() + b"\3" * 5000)[: LABELS.size + more]
    path, data = tmp_path / f"a.{kind}", tmp_path / "a.data"
    head = meta("6 5 4", CompressedData=True)
    packed = zlib.compress(stored)
    if kind in ("nrrd", "nhdr"):
        head, packed = NRRD.replace(b"raw", b"gzip"), gzip.compress(stored)
    if kind == "mhd":
        head = head.replace(b"LOCAL", b"a.data")
    if kind == "nhdr":
        head = head[:-1] + b"data file: a.data\n"
    path.write_bytes(head if kind in ("mhd", "nhdr") else head + packed)
    data.write_bytes(packed)
    assert ("is truncated" if more < 0 else "holds more than its header promises") in message(path)


def nifti(shape: tuple[int, ...]) -> bytes:
    head = bytearray(352)
    struct.pack_into("<i", head, 0, 348)
    struct.pack_into("<8h", head, 40, len(shape), *shape, *[1] * (7 - len(shape)))
    struct.pack_into("<hh", head, 70, 2, 8)
    struct.pack_into("<8f", head, 76, 1, *[1.0] * 7)
    struct.pack_into("<f", head, 108, 352)
    head[344:348] = b"n+1\0"
    return bytes(head)


LARGE = (np.arange(16 * 16 * 16) % 5).astype(np.uint8)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd", "a.mha"])
@pytest.mark.parametrize(
    ("after", "outcome"),
    [
        (b"", ""),
        (bytes(2880), ""),
        (b"note", "4 bytes follow the voxels"),
        (b"\1" * 300, "goes on after its voxels: the header promises 4096 bytes, and 300 follow"),
        (bytes(3 << 20), "and more than 1048576 follow"),
    ],
)
def test_what_follows_the_voxels(tmp_path, name, after, outcome) -> None:
    head = {
        "nii": nifti((16, 16, 16)), "mha": meta("16 16 16"),
        "nrrd": NRRD.replace(b"6 5 4", b"16 16 16"),
    }[name.split(".")[1]]  # fmt: skip
    content = head + LARGE.tobytes() + after
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    if outcome.startswith(("goes", "and")):
        assert outcome in message(path)
        assert outcome in message(path, read_image)
        return
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values.ravel(), LARGE)
    said = " ".join(label_map.warnings)
    assert outcome in said
    assert "follow" in said or not outcome
    assert outcome in " ".join(read_image(path).warnings)


@pytest.mark.parametrize("name", ["a.nii.gz", "a.mha", "a.nrrd", "a.mgz", "a.tif", "a.png"])
@pytest.mark.parametrize("read", [read_label_map, read_image])
def test_more_than_memory_has_room_for_is_never_allocated(
    tmp_path, monkeypatch, name, read
) -> None:
    path = tmp_path / name
    array = np.zeros((64, 64) if name == "a.png" else (16, 16, 16), np.uint8)
    if name == "a.mgz":
        import nibabel

        nibabel.save(nibabel.MGHImage(array, np.eye(4)), path)
    else:
        write(path, array)
    monkeypatch.setattr(readers, "available_bytes", lambda: 4000)
    monkeypatch.setattr(readers, "ALWAYS_THERE", 4000)
    said = message(path, read)
    assert "promises 4096 numbers in a file of" in said
    assert "of memory are free" in said


def test_ten_to_the_twelfth_voxels(tmp_path) -> None:
    for name, head in (("a.mha", meta("10000 10000 10000")), ("a.nii", nifti((30000,) * 3))):
        (tmp_path / name).write_bytes(head + bytes(1000))
        assert "the header promises" in message(tmp_path / name)


# Voxels in files of their own


@pytest.mark.parametrize("header", ["a.mhd", "a.nhdr"])
def test_a_change_of_the_voxels_is_a_change_of_the_case(tmp_path, header) -> None:
    path = write(tmp_path / header, LABELS, packed=False)
    kept = describe_sources([(path, "label")])
    assert same_content(kept, [(path, "label")])
    (data,) = (f for f in tmp_path.iterdir() if f != path)
    stored = bytearray(data.read_bytes())
    stored[7] ^= 1
    data.write_bytes(stored)
    os.utime(data, ns=(1, 1))
    os.utime(path, ns=(kept[0].mtime_ns + 5, kept[0].mtime_ns + 5))
    assert not same_content(kept, [(path, "label")])


def test_the_path_of_a_source_has_no_links_and_no_dots(tmp_path, monkeypatch) -> None:
    (tmp_path / "data" / "below").mkdir(parents=True)
    write(tmp_path / "data" / "a.nii", LABELS)
    (tmp_path / "linked").symlink_to(tmp_path / "data")
    (tmp_path / "data" / "b.nii").symlink_to("a.nii")
    monkeypatch.chdir(tmp_path / "data")
    named = [
        "a.nii",
        "b.nii",
        "below/../a.nii",
        str(tmp_path / "linked" / "a.nii"),
        "../linked/b.nii",
    ]
    sources = describe_sources([(Path(name), "label") for name in named])
    assert {source.path for source in sources} == {str((tmp_path / "data" / "a.nii").resolve())}
    (folder,) = describe_sources([(Path("."), "image")])
    assert folder.path == str((tmp_path / "data").resolve())


@pytest.mark.parametrize("name", ["/etc/hostname", "../b.raw", "x/../../b.raw", "..\\b.raw"])
def test_voxels_lie_below_their_header(tmp_path, name) -> None:
    (tmp_path / "b.raw").write_bytes(LABELS.tobytes())
    path = tmp_path / "in" / "a.mhd"
    path.parent.mkdir()
    path.write_bytes(meta("6 5 4").replace(b"LOCAL", name.encode()))
    assert "leads out of its own folder" in message(path)
    path = path.with_suffix(".nhdr")
    path.write_bytes(NRRD[:-1] + f"data file: {name}\n".encode())
    assert "leads out of its own folder" in message(path)


@pytest.mark.parametrize(
    "lines", ["LIST\ns1.raw\ns2.raw\ns3.raw\ns4.raw\n", "LIST 2\ns1.raw\ns2.raw\ns3.raw\ns4.raw",
              "s%d.raw 1 4 1", "s%d.raw 1 4"]
)  # fmt: skip
@pytest.mark.parametrize("kind", ["mhd", "nhdr"])
def test_slices_in_files_of_their_own(tmp_path, lines, kind) -> None:
    for number, plane in enumerate(LABELS):
        (tmp_path / f"s{number + 1}.raw").write_bytes(plane.tobytes())
    path = tmp_path / f"a.{kind}"
    if kind == "mhd":
        path.write_bytes(meta("6 5 4").replace(b"LOCAL", lines.encode()))
    else:
        if not lines.startswith("LIST") and not lines.endswith("4 1"):
            lines += " 1"
        path.write_bytes(NRRD[:-1] + f"data file: {lines.strip()}\n".encode())
    np.testing.assert_array_equal(read_label_map(path).values, VALUES)
    assert len({describe_sources([(path, "label")])[0].size, path.stat().st_size}) == 2
    (tmp_path / "s3.raw").unlink()
    assert "names 's3.raw' as the file of its voxels, which does not exist" in message(path)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "a.nhdr", "a.mhd"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u4", "f8", "vector"])
def test_voxels_are_those_that_itk_reads(tmp_path, name, kind) -> None:
    array = np.random.default_rng(3).integers(
        0, 99, (4, 5, 6, 2) if kind == "vector" else (4, 5, 6)
    )
    path = write(tmp_path / name, array.astype("i2" if kind == "vector" else kind),
                 vector=kind == "vector", packed=False)  # fmt: skip
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    found = read_image(path).intensities
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), expected.reshape(4, 5, 6, -1))


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_a_nrrd_file_may_keep_the_numbers_of_a_voxel_on_any_axis(tmp_path, axis) -> None:
    array = np.random.default_rng(3).integers(0, 99, (4, 5, 6, 2)).astype(np.uint8)
    stored = np.moveaxis(array, -1, 3 - axis)
    kinds, steps = ["domain"] * 3, ["(1,0,0)", "(0,1,0)", "(0,0,1)"]
    kinds.insert(axis, "vector")
    steps.insert(axis, "none")
    path = tmp_path / "a.nrrd"
    path.write_bytes(
        f"NRRD0004\ntype: uchar\ndimension: 4\nspace: LPS\n"
        f"sizes: {' '.join(map(str, stored.shape[::-1]))}\nkinds: {' '.join(kinds)}\n"
        f"space directions: {' '.join(steps)}\nencoding: raw\n\n".encode()
        + stored.tobytes()
    )
    found = read_image(path).intensities
    np.testing.assert_array_equal(np.moveaxis(found, 0, -1), array)
    expected = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    np.testing.assert_array_equal(expected, array)


@pytest.mark.parametrize("big", [True, False])
@pytest.mark.parametrize("name", ["a.mha", "a.nrrd"])
def test_both_orders_of_bytes(tmp_path, name, big) -> None:
    array = (VALUES * 300).astype(">i2" if big else "<i2")
    head = meta("6 5 4", ElementType="MET_SHORT", ElementByteOrderMSB=big)
    if name == "a.nrrd":
        order = b"endian: big\n" if big else b"endian: little\n"
        head = NRRD.replace(b"uchar", b"short").replace(b"encoding", order + b"encoding")
    (tmp_path / name).write_bytes(head + array.tobytes())
    np.testing.assert_array_equal(read_label_map(tmp_path / name).values, VALUES * 300)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        (" ".join(map(str, VALUES.ravel())), ""),
        ("\n".join(f"{v}.0" for v in VALUES.ravel()), ""),
        (" ".join(map(str, VALUES.ravel()[:-1])) + "  ", "it holds 119 numbers of 120"),
        (" ".join(["1"] * 121), "holds more numbers than the 120"),
        (" ".join(["1"] * 119 + ["x"]), "'x' stands where a number is expected"),
        (" ".join(["1"] * 119 + ["256"]), "holds the number 256, which its type (uint8) cannot"),
        (" ".join(["1"] * 119 + ["1_0"]), "'1_0' stands where a number is expected"),
        ("1" * 400, "stands where a number is expected"),
    ],
)
def test_numbers_in_letters(tmp_path, text, outcome) -> None:
    path = tmp_path / "a.nrrd"
    path.write_bytes(NRRD.replace(b"raw", b"ascii") + text.encode())
    if outcome:
        assert outcome in message(path)
    else:
        np.testing.assert_array_equal(read_label_map(path).values, VALUES)


def test_bytes_and_lines_before_the_voxels(tmp_path) -> None:
    (tmp_path / "a.raw").write_bytes(b"one line\nand xx" + LABELS.tobytes())
    for skips in ("line skip: 1\nbyte skip: 6", "byte skip: -1", "byte skip: 15"):
        path = tmp_path / "a.nhdr"
        path.write_bytes(NRRD[:-1] + f"{skips}\ndata file: a.raw\n".encode())
        np.testing.assert_array_equal(read_label_map(path).values, VALUES)
    for size in (-1, 15):
        path = tmp_path / "a.mhd"
        path.write_bytes(meta("6 5 4", HeaderSize=size).replace(b"LOCAL", b"a.raw"))
        np.testing.assert_array_equal(read_label_map(path).values, VALUES)


def test_pieces_of_a_folder_stay_in_it(tmp_path: Path) -> None:
    (tmp_path / "in" / "below").mkdir(parents=True)
    (tmp_path / "in" / "below" / "a.raw").write_bytes(LABELS.tobytes())
    path = tmp_path / "in" / "a.mhd"
    path.write_bytes(meta("6 5 4").replace(b"LOCAL", b"below/a.raw"))
    np.testing.assert_array_equal(read_label_map(path).values, VALUES)


def test_further_fields_of_a_metaimage_are_left_in_peace(tmp_path) -> None:
    image = sitk.GetImageFromArray(LABELS)
    for key in ("0008|0060", "my own key", "Comment", "Seq_Frame0000_Status"):
        image.SetMetaData(key, "what it says")
    sitk.WriteImage(image, str(tmp_path / "a.mha"))
    np.testing.assert_array_equal(read_label_map(tmp_path / "a.mha").values, VALUES)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"NDims", b"ndims"),
        (b"DimSize", b"Dimsize"),
        (b"DimSize", b"x DimSize"),
        (b"BinaryData = True", b"BinaryData"),
        (b"NDims = 3\n", b""),
        (b"ElementType = MET_UCHAR\n", b""),
        (b"ObjectType = Image\n", b"ObjectType = Image\nElementSpacing = 1 1 1\n"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 1e400"),
        (b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 1 nan"),
    ],
)
def test_a_metaimage_that_itk_would_read_in_its_own_way(tmp_path, capfd, old, new) -> None:
    path = tmp_path / "a.mha"
    path.write_bytes(mha().replace(old, new))
    message(path)
    assert capfd.readouterr().err == ""


def test_every_chunk_of_a_picture_has_its_checksum(tmp_path, capfd) -> None:
    from tests.pictures_support import png

    content = bytearray(png(4, 3, LABELS[0], palette=True))
    content[content.index(b"tRNS") + 5] ^= 1
    (tmp_path / "a.png").write_bytes(content)
    message(tmp_path / "a.png")
    message(tmp_path / "a.png", read_image)
    assert capfd.readouterr().err == ""


def test_a_read_makes_no_room_for_more_than_the_file_has(tmp_path) -> None:
    path = tmp_path / "a"
    path.write_bytes(bytes(3 << 20))
    tracemalloc.start()
    try:
        with open_input(path) as file:
            file.seek(2 << 20)
            assert len(file.read(1 << 40)) == 1 << 20
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_tile_is_not_larger_than_its_picture_by_any_factor(tmp_path) -> None:
    import tifffile

    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.zeros((16, 16), np.uint8), tile=(16, 16), compression="zlib")
    content = path.read_bytes()
    assert probe(path).geometry.shape == (1, 16, 16)
    for tag in (322, 323):  # width and length of a tile
        at = content.index(struct.pack("<H", tag))
        content = content[: at + 8] + struct.pack("<I", 60000) + content[at + 12 :]
    path.write_bytes(content)
    message(path)
    message(path, probe)


def test_memory_is_asked_for_before_large_files_are_read() -> None:
    assert readers.ALWAYS_THERE <= 64 * 2**20
