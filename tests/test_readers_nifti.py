"""NIfTI files, written byte by byte or by SimpleITK, and every way in which they can be bad."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.errors import InputError
from softlab_cli.readers import (
    label_values,
    nifti,
    probe,
    read_geometry,
    read_image,
    read_label_map,
)
from softlab_cli.readers.base import open_input

CODES = {"u1": 2, "i2": 4, "i4": 8, "f4": 16, "f8": 64, "i1": 256, "u2": 512, "u4": 768,
         "i8": 1024, "u8": 1280}  # fmt: skip
SFORM = [[-0.7, 0.0, 0.0, 90.5], [0.0, 0.8, 0.0, -126.25], [0.0, 0.0, 1.5, -72.0]]


def header(dims: tuple[int, ...], code: int = 2, order: str = "<", **fields: Any) -> bytes:
    """A NIfTI-1 header with 352 bytes, written without the reader's own layout."""
    raw = bytearray(352)

    def put(at: int, form: str, *values: Any) -> None:
        struct.pack_into(order + form, raw, at, *values)

    put(0, "i", 348)
    put(40, "8h", len(dims), *dims, *[1] * (7 - len(dims)))
    put(70, "hh", code, 8)
    put(76, "8f", *fields.get("pixdim", (1, 1, 1, 1, 0, 0, 0, 0)))
    put(108, "f", fields.get("offset", 352))
    put(112, "ff", fields.get("slope", 1), fields.get("intercept", 0))
    put(123, "B", fields.get("units", 2))
    put(252, "hh", fields.get("qform_code", 0), fields.get("sform_code", 1))
    put(256, "6f", *fields.get("qform", (0, 0, 0, 0, 0, 0)))
    put(280, "12f", *np.ravel(fields.get("sform", SFORM)))
    raw[344:348] = fields.get("magic", b"n+1\0")
    return bytes(raw)


def write(path: Path, array: Any, order: str = "<", **fields: Any) -> Path:
    """Write an array (..., Z, Y, X) with its own type."""
    array = np.asarray(array)
    code = CODES[array.dtype.str[1:]]
    dims = fields.pop("dims", array.shape[::-1])
    content = (
        header(dims, code, order, **fields) + array.astype(order + array.dtype.str[1:]).tobytes()
    )
    path.write_bytes(gzip.compress(content) if path.name.endswith(".gz") else content)
    return path


def message(path: Path, read: Any = read_label_map) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "itk" not in str(caught.value).lower()
    assert "\n" not in str(caught.value)
    return str(caught.value)


VALUES = np.arange(2 * 3 * 4).reshape(2, 3, 4) % 7


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_every_number_type_in_both_byte_orders(tmp_path, kind, order, name) -> None:
    label_map = read_label_map(write(tmp_path / name, VALUES.astype(kind), order))
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert label_map.values.dtype == np.uint8
    assert label_map.values.flags.c_contiguous
    assert label_map.warnings == ()
    np.testing.assert_array_equal(label_map.geometry.affine[:3], np.float32(SFORM))
    assert label_map.geometry.shape == (2, 3, 4)


@pytest.mark.parametrize(
    ("largest", "least", "kind"),
    [(255, 0, "u1"), (256, 0, "u2"), (65535, 0, "u2"), (65536, 0, "u4"), (3, -1, "i1"),
     (200, -1, "i2"), (70000, -70000, "i4"), (2**32, 0, "i8"), (2**33, -1, "i8")],
)  # fmt: skip
def test_the_smallest_integer_type_that_holds_all_values(tmp_path, largest, least, kind) -> None:
    array = np.array([[[0, 1, largest, 2, least]]], np.int64)
    label_map = read_label_map(write(tmp_path / "a.nii.gz", array))
    np.testing.assert_array_equal(label_map.values, array)
    assert label_map.values.dtype == np.dtype(kind)


def test_types_widen_between_pieces(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(nifti, "PIECE_VOXELS", 3)
    array = np.array([1, 2, 3, 4, 255, 6, 300, 8, 9, 10, 11, -7, 13], np.int32).reshape(1, 1, -1)
    label_map = read_label_map(write(tmp_path / "a.nii.gz", array))
    np.testing.assert_array_equal(label_map.values, array)
    assert label_map.values.dtype == np.int16


def test_the_largest_uint64_is_kept(tmp_path) -> None:
    array = np.array([[[0, 2**64 - 1]]], np.uint64)
    assert read_label_map(write(tmp_path / "a.nii", array)).values.tolist() == array.tolist()


def test_agrees_with_simpleitk_on_an_oblique_grid(tmp_path) -> None:
    rng = np.random.default_rng(1)
    array = rng.integers(0, 700, (5, 6, 7)).astype(np.int16)
    image = sitk.GetImageFromArray(array)
    direction = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    image.SetDirection(direction.ravel())
    image.SetSpacing((0.7, 1.1, 2.3))
    image.SetOrigin((-12.5, 33.25, 100.125))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
    label_map = read_label_map(tmp_path / "a.nii.gz")
    np.testing.assert_array_equal(label_map.values, array)
    for index in ((0, 0, 0), (6, 5, 4), (3, 0, 2)):
        x, y, z = image.TransformIndexToPhysicalPoint(index)
        ours = label_map.geometry.affine @ [*index, 1]
        np.testing.assert_allclose(ours[:3], [-x, -y, z], atol=1e-5)
    np.testing.assert_allclose(label_map.geometry.spacing_mm, (2.3, 1.1, 0.7), rtol=1e-6)
    assert label_map.warnings == ()


def test_nifti_2(tmp_path) -> None:
    raw = bytearray(544)
    struct.pack_into("<i8shh8q", raw, 0, 540, b"n+2\0\r\n\x1a\n", 2, 8, 3, 4, 3, 2, 1, 1, 1, 1)
    struct.pack_into("<q2d", raw, 168, 544, 0, 0)
    struct.pack_into("<ii", raw, 344, 0, 2)
    struct.pack_into("<12d", raw, 400, *np.ravel(SFORM))
    path = tmp_path / "a.nii"
    path.write_bytes(bytes(raw) + VALUES.astype(np.uint8).tobytes())
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES)
    np.testing.assert_array_equal(label_map.geometry.affine[:3], SFORM)
    assert label_map.metadata["format"] == "NIfTI-2"


# Axes


def test_a_picture_has_one_slice_and_two_axes(tmp_path) -> None:
    sform = np.array(SFORM)
    sform[:, 2] = 0
    path = write(tmp_path / "a.nii.gz", VALUES[0].astype(np.uint8), sform=sform)
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES[:1])
    assert label_map.geometry.ndim == 2
    assert label_map.geometry.shape == (1, 3, 4)
    np.testing.assert_allclose(label_map.geometry.spacing_mm, (1, 0.8, 0.7))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_a_file_is_opened_once_to_be_read(tmp_path, monkeypatch, name) -> None:
    values = np.arange(60, dtype=np.int16).reshape(3, 4, 5)
    path, opened = write(tmp_path / name, values), []

    def counted(path: Path) -> Any:
        opened.append(path)
        return open_input(path)

    monkeypatch.setattr("softlab_cli.readers.byte_stream.open_input", counted)
    monkeypatch.setattr("softlab_cli.readers.base.open_input", counted)
    assert (nifti.read_label_map(path).values == values).all()
    assert (nifti.read_image(path).intensities == values).all()
    assert nifti.probe(path).geometry.shape == values.shape
    assert opened == [path] * 3


@pytest.mark.parametrize("further", [(1,), (1, 1), (1, 1, 1, 1)])
def test_further_axes_of_length_one_are_dropped(tmp_path, further) -> None:
    path = write(tmp_path / "a.nii.gz", VALUES.astype(np.uint8), dims=(4, 3, 2, *further))
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values, VALUES)
    assert label_map.geometry.ndim == 3


@pytest.mark.parametrize("dims", [(4, 3, 2, 5), (4, 3, 2, 1, 5)])
def test_several_volumes_are_no_label_map_but_an_image(tmp_path, dims) -> None:
    array = np.arange(5 * 24, dtype=np.int16).reshape(5, 2, 3, 4)
    path = write(tmp_path / "a.nii.gz", array, dims=dims)
    assert "holds 5 volumes; a label map has one value" in message(path)
    assert "Save one file for each volume" in message(path)
    image = read_image(path)
    assert image.intensities.dtype == np.float32
    np.testing.assert_array_equal(image.intensities, array)
    assert probe(path).channels == 5


def test_colours_are_no_label_map_but_channels_of_an_image(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(nifti, "PIECE_VOXELS", 5)
    array = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3)
    path = tmp_path / "a.nii"
    path.write_bytes(header((4, 3, 2), 128) + array.tobytes())
    assert "holds vectors or colours (3 numbers for each voxel)" in message(path)
    np.testing.assert_array_equal(read_image(path).intensities, np.moveaxis(array, -1, 0))


def test_scaled_images_are_scaled(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", VALUES.astype(np.int16), slope=0.5, intercept=-10)
    np.testing.assert_array_equal(read_image(path).intensities[0], VALUES * 0.5 - 10)


@pytest.mark.parametrize(("code", "name"), [(32, "complex64"), (1536, "float128"), (1, "1-bit")])
def test_types_that_are_no_numbers_are_refused(tmp_path, code, name) -> None:
    path = tmp_path / "a.nii"
    path.write_bytes(header((2, 2, 2), code) + bytes(200))
    assert f"NIfTI datatype {code}, {name}" in message(path)


# Numbers that should be integers


def test_floats_close_to_integers_are_rounded_and_said(tmp_path) -> None:
    array = np.array([[[0, 0.99999997, 2.0009, 65534.9995]]])
    label_map = read_label_map(write(tmp_path / "a.nii.gz", array))
    assert label_map.values.tolist() == [[[0, 1, 2, 65535]]]
    assert label_map.warnings == ("label values are stored as fractions; rounded by up to 0.0009.",)


def test_a_slope_that_makes_4_into_4_00087_is_accepted(tmp_path) -> None:
    array = np.array([[[0, 1, 2, 3, 4]]], np.int16)
    label_map = read_label_map(write(tmp_path / "a.nii.gz", array, slope=4.00087 / 4))
    assert label_map.values.tolist() == array.tolist()
    assert "0.00087" in label_map.warnings[0]


def test_a_slope_can_be_what_makes_the_integers(tmp_path) -> None:
    array = np.array([[[0, 255, 255]]], np.uint8)
    path = write(tmp_path / "a.nii.gz", array, slope=1 / 255)
    assert read_label_map(path).values.tolist() == [[[0, 1, 1]]]


def test_a_slope_that_makes_fractions_is_named_as_the_cause(tmp_path) -> None:
    path = write(tmp_path / "a.nii", np.array([[[0, 1, 2]]], np.int16), slope=0.5, intercept=1)
    said = message(path)
    assert "multiplies the stored numbers by 0.5 and adds 1" in said
    assert "multiplies the stored numbers by 0.5 and adds 1, which makes no labels" in said
    assert "scl_slope" not in said  # the stored numbers need not be the labels


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([0, 1, 2, 4], "u1"), ([0, 1, 2, 12], "u1"), ([0, 1, 2, 1002, 2035], "i2"), (range(9), "u1")],
)
def test_labels_written_as_floats_under_an_integer_header_come_back(tmp_path, labels, kind) -> None:
    """As nibabel and others write them: the range of the labels fills the type."""
    info, wanted = np.iinfo(kind), np.array(labels, float)
    slope = float(np.float32(wanted.max() / (float(info.max) - info.min)))
    intercept = float(np.float32(-slope * info.min))
    stored = np.clip(np.rint((wanted - intercept) / slope), info.min, info.max)
    path = write(
        tmp_path / "a.nii", stored.astype(kind).reshape(1, 1, -1), slope=slope, intercept=intercept
    )
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.values.ravel(), wanted)
    assert "label values are stored as fractions; rounded by up to 0.0" in label_map.warnings[-1]


def test_scaled_numbers_with_steps_of_more_than_1_are_no_labels(tmp_path) -> None:
    path = write(tmp_path / "a.nii", np.array([[[0, 1, 2]]], np.uint8), slope=1.2)
    assert "is not within 0.001 of an integer" in message(path)


@pytest.mark.parametrize("slope", [0, np.nan, np.inf])
def test_a_slope_that_means_nothing_is_left_out(tmp_path, slope) -> None:
    path = write(tmp_path / "a.nii", VALUES.astype(np.int16), slope=slope, intercept=3)
    np.testing.assert_array_equal(read_label_map(path).values, VALUES)


@pytest.mark.parametrize("bad", [1.2, np.nan, np.inf, -np.inf, 1e300, 0.5])
def test_other_floats_are_refused_by_value_count_and_place(tmp_path, bad) -> None:
    array = np.zeros((3, 4, 5))
    array[1, 2, 3] = array[2, 0, 0] = bad
    said = message(write(tmp_path / "a.nii.gz", array))
    assert "holds 2 voxels whose value is not within 0.001 of an integer" in said
    assert f"the first is {bad:.9g} at voxel (x=3, y=2, z=1)" in said
    assert "not an image or a probability map" in said


def rounding(pieces: list[np.ndarray], count: int) -> np.ndarray:
    return label_values.collect_labels(pieces, (1, 1, count), Path("a.nii"))[0].ravel()


labels_and_noise = st.lists(
    st.tuples(st.integers(-70000, 70000), st.floats(-9.9e-4, 9.9e-4)), min_size=1, max_size=40
)


@given(labels_and_noise, st.integers(1, 9))
def test_float_coded_labels_survive_any_small_noise(pairs, length) -> None:
    labels = np.array([label for label, _ in pairs])
    stored = labels + np.array([noise for _, noise in pairs])
    pieces = [stored[i : i + length] for i in range(0, len(stored), length)]
    np.testing.assert_array_equal(rounding(pieces, len(stored)), labels)


@given(
    labels_and_noise,
    st.integers(1, 9),
    st.data(),
    st.floats(1.01e-3, 0.5),
    st.sampled_from([-1, 1]),
)
def test_one_stray_among_float_coded_labels_is_found(pairs, length, data, far, sign) -> None:
    stored = np.array([label + noise for label, noise in pairs])
    at = data.draw(st.integers(0, len(stored) - 1))
    stored[at] = np.rint(stored[at]) + sign * far
    pieces = [stored[i : i + length] for i in range(0, len(stored), length)]
    with pytest.raises(InputError, match="holds 1 voxel whose") as caught:
        rounding(pieces, len(stored))
    assert f"{stored[at]:.9g} at voxel (x={at}, y=0, z=0)" in str(caught.value)


# The grid


def quaternion_fields(b: float, c: float, d: float) -> dict[str, Any]:
    return {"qform_code": 1, "qform": (b, c, d, 10, 20, 30), "pixdim": (1, 2, 3, 4, 0, 0, 0, 0)}


def test_qform_counts_when_there_is_no_sform(tmp_path) -> None:
    half = np.sqrt(0.5)  # a quarter turn about z: x to y, y to -x
    path = write(
        tmp_path / "a.nii", VALUES.astype("u1"), sform_code=0, **quaternion_fields(0, 0, half)
    )
    label_map = read_label_map(path)
    expected = [[0, -3, 0, 10], [2, 0, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]]
    np.testing.assert_allclose(label_map.geometry.affine, expected, atol=1e-6)
    assert label_map.metadata["affine_source"] == "qform"
    assert label_map.warnings == ()


def test_a_left_handed_qform_turns_the_last_axis_round(tmp_path) -> None:
    fields = quaternion_fields(0, 0, 1) | {"pixdim": (-1, 2, 3, 4, 0, 0, 0, 0)}
    geometry = read_geometry(write(tmp_path / "a.nii", VALUES.astype("u1"), sform_code=0, **fields))
    np.testing.assert_allclose(np.diag(geometry.affine), [-2, -3, -4, 1], atol=1e-6)


def test_half_turns_are_exact_although_their_quaternion_is_rounded(tmp_path) -> None:
    """0.28, 0.96 are rounded so that the part that is not stored seems to be 2e-4."""
    path = write(tmp_path / "a.nii", VALUES.astype("u1"), sform_code=0,
                 **quaternion_fields(0.28, 0.96, 0))  # fmt: skip
    turn = 2 * np.outer([0.28, 0.96, 0], [0.28, 0.96, 0]) - np.eye(3)
    found = read_geometry(path).affine[:3, :3]
    np.testing.assert_allclose(found, turn * [2, 3, 4], atol=1e-6)


def test_without_sform_and_qform_only_the_spacing_is_known(tmp_path) -> None:
    path = write(
        tmp_path / "a.nii", VALUES.astype("u1"), sform_code=0, pixdim=(1, 2, -3, 4, 0, 0, 0, 0)
    )
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.geometry.affine, np.diag([2, 3, 4, 1]))
    assert "neither sform nor qform" in label_map.warnings[0]


def test_a_sform_of_zeros_leaves_it_to_the_qform(tmp_path) -> None:
    fields = quaternion_fields(0, 0, 0)
    path = write(tmp_path / "a.nii", VALUES.astype("u1"), sform=np.zeros((3, 4)), **fields)
    label_map = read_label_map(path)
    expected = read_label_map(
        write(tmp_path / "b.nii", VALUES.astype("u1"), sform_code=0, **fields)
    )
    np.testing.assert_array_equal(label_map.geometry.affine, expected.geometry.affine)
    assert label_map.warnings == ("the sform is all zeros; the qform is used.",)


def test_sform_wins_over_a_qform_that_disagrees_and_says_so(tmp_path) -> None:
    fields = quaternion_fields(0, 0, 0)
    sform = [[2, 0, 0, 10.5], [0, 3, 0, 20], [0, 0, 4, 30]]
    path = write(tmp_path / "a.nii", VALUES.astype("u1"), sform=sform, **fields)
    label_map = read_label_map(path)
    np.testing.assert_array_equal(label_map.geometry.affine[:3], sform)
    assert label_map.warnings == (
        "sform and qform disagree by up to 0.25 voxels; the sform is used.",
    )
    assert probe(path).warnings == label_map.warnings


def test_sform_and_qform_that_differ_by_rounding_agree(tmp_path) -> None:
    rng = np.random.default_rng(0)
    for turn in (0.0, 1e-6, 1e-4, 3e-3, 0.3):
        image = sitk.GetImageFromArray(np.zeros((300, 2, 400), np.uint8))
        axis = rng.normal(size=3)
        axis /= np.linalg.norm(axis)
        about = sitk.VersorTransform(axis.tolist(), float(turn))
        image.SetDirection(about.GetMatrix())
        image.SetOrigin((213.7, -118.3, 91.9))
        sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
        assert probe(tmp_path / "a.nii.gz").warnings == ()


@pytest.mark.parametrize(
    ("units", "factor", "name"), [(1, 1000, "metres"), (3, 0.001, "micrometres")]
)
def test_metres_and_micrometres_become_millimetres(tmp_path, units, factor, name) -> None:
    label_map = read_label_map(write(tmp_path / "a.nii", VALUES.astype("u1"), units=units | 8))
    np.testing.assert_allclose(label_map.geometry.affine[:3], np.float32(SFORM) * factor)
    assert label_map.geometry.affine[3, 3] == 1
    assert name in label_map.warnings[0]


def test_unknown_units_are_millimetres(tmp_path) -> None:
    label_map = read_label_map(write(tmp_path / "a.nii", VALUES.astype("u1"), units=0))
    np.testing.assert_allclose(label_map.geometry.affine[:3], np.float32(SFORM))
    assert label_map.warnings == ()


def test_a_sheared_grid_is_read_and_said(tmp_path) -> None:
    sform = [[1, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    label_map = read_label_map(write(tmp_path / "a.nii.gz", VALUES.astype("u1"), sform=sform))
    np.testing.assert_array_equal(label_map.geometry.affine[:3], sform)
    assert "sheared: its axes x and y are 63.43 degrees apart" in label_map.warnings[0]


@pytest.mark.parametrize(
    ("sform", "reason"),
    [
        ([[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]], "voxels of size 0 along y"),
        ([[1, 0, 0, np.nan], [0, 1, 0, 0], [0, 0, 1, 0]], "a position that is not a number"),
        ([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 0]], "axes that lie in one plane"),
    ],
)
def test_a_grid_that_places_voxels_nowhere_is_refused(tmp_path, sform, reason) -> None:
    said = message(write(tmp_path / "a.nii.gz", VALUES.astype("u1"), sform=sform))
    assert f"has {reason}" in said
    assert "Correct the header" in said


# Files that are damaged, or none


@pytest.mark.parametrize("dims", [(10000, 10000, 10000), (32767,) * 7])
@pytest.mark.parametrize("read", [read_label_map, read_image, probe])
def test_a_header_that_promises_too_much_is_refused_at_once(tmp_path, dims, read) -> None:
    content = header(dims) + bytes(1000)
    for name, at_most in (("a.nii", 1000), ("b.nii.gz", None)):
        packed = gzip.compress(content) if at_most is None else content
        (tmp_path / name).write_bytes(packed)
        at_most = at_most or len(packed) * 1032 - 352
        said = message(tmp_path / name, read)
        assert f"promises {np.prod(dims, dtype=object)} bytes" in said
        assert f"can hold at most {at_most}." in said


def test_a_file_cut_short_anywhere_is_refused(tmp_path) -> None:
    whole = write(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 9, (5, 6, 7)))
    content = whole.read_bytes()
    for length in range(1, len(content)):
        whole.write_bytes(content[:length])
        assert "truncated" in message(whole) or length < 2
    raw = gzip.decompress(content)
    plain = tmp_path / "a.nii"
    for length in range(1, len(raw), 7):
        plain.write_bytes(raw[:length])
        assert ("truncated" if length >= 348 else "not a NIfTI file") in message(plain)


def test_a_file_with_any_byte_changed_is_refused_or_read_the_same(tmp_path) -> None:
    array = np.random.default_rng(0).integers(0, 9, (3, 4, 5)).astype(np.uint8)
    path = write(tmp_path / "a.nii.gz", array)
    content = path.read_bytes()
    refused = 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x20]) + content[i + 1 :])
        try:
            np.testing.assert_array_equal(read_label_map(path).values, array)
        except InputError:
            refused += 1
    assert refused > len(content) - 20


def test_a_wrong_checksum_is_named(tmp_path) -> None:
    path = write(tmp_path / "a.nii.gz", VALUES.astype("u1"))
    path.write_bytes(path.read_bytes()[:-8] + bytes(8))
    assert "do not match their checksum" in message(path)


def test_a_compressed_file_that_ends_before_its_voxels(tmp_path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header((4, 3, 2)) + bytes(20)))
    assert "the last 4 bytes of its voxels are missing" in message(path)


def test_the_name_does_not_say_whether_a_file_is_compressed(tmp_path) -> None:
    array = VALUES.astype("u1")
    content = header((4, 3, 2)) + array.tobytes()
    members = b"".join(gzip.compress(content[i : i + 100]) for i in range(0, len(content), 100))
    stored_as = {
        "a.nii": gzip.compress(content),
        "b.nii.gz": content,
        "c.nii.gz": members,
        "d.nii.gz": gzip.compress(content) + bytes(64),
    }
    for name, stored in stored_as.items():
        (tmp_path / name).write_bytes(stored)
        np.testing.assert_array_equal(read_label_map(tmp_path / name).values, array)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is an empty file (0 bytes)"),
        (b"hello", "is not a NIfTI file: it starts with 'hello'"),
        (b"<html>" + bytes(1000), "is not a NIfTI file: it starts with '<html>"),
        (gzip.compress(b"hello", mtime=0), "is not a NIfTI file: it starts with 'hello'"),
        (header((2, 2, 2), magic=b"ni1\0") + bytes(8), "one half of a NIfTI pair"),
        (header((2, 2, 2), magic=b"\0\0\0\0") + bytes(8), "is an Analyze file"),
        (header((2, 0, 2)) + bytes(8), "has 3 axes of lengths 2x0x2"),
        (header((8,)) + bytes(8), "has 1 axes of lengths 8"),
        (header(()) + bytes(8), "has 0 axes of lengths none"),
        (header((2, 2, 2), offset=np.nan) + bytes(8), "its voxels begin at byte nan"),
        (header((2, 2, 2), offset=1e9) + bytes(8), "can hold at most 0."),
    ],
)
def test_what_is_no_image_is_refused(tmp_path, content, reason) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    assert reason in message(tmp_path / "a.nii.gz")


def test_paths_that_are_no_files(tmp_path) -> None:
    (tmp_path / "b.nii.gz").mkdir()
    assert "does not exist" in message(tmp_path / "a.nii.gz")
    assert "is a folder" in message(tmp_path / "b.nii.gz")
    assert "DICOM, and files that end in .nii.gz, .nii, " in message(tmp_path / "c.jpg")


# Memory


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "i8", "f4", "f8"])
@pytest.mark.parametrize("slope", [1, 2])
def test_reading_takes_no_more_memory_than_was_projected(tmp_path, kind, slope) -> None:
    array = np.zeros((160, 128, 128), kind)
    array[80:] = 100
    path = write(tmp_path / "a.nii", array, slope=slope)
    projected = probe(path)
    read_label_map(path)
    tracemalloc.start()
    try:
        label_map = read_label_map(path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert label_map.values.max() == 100 * slope
    assert held <= projected.bytes_held + 2**20
    assert peak <= projected.bytes_on_read
    assert projected.bytes_on_read < 3 * array.size + 12 * 2**20
    assert projected.dtype == array.dtype


def test_a_compressed_label_map_is_inflated_into_place(tmp_path) -> None:
    array = np.zeros((256, 256, 256), np.uint8)
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header(array.shape[::-1]) + array.tobytes(), 1))
    tracemalloc.start()
    try:
        read_label_map(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < array.nbytes + 2 * 2**20


def test_zlib_data_end_where_the_caller_stops(tmp_path) -> None:
    """Pieces that end exactly where a member ends lose nothing."""
    from softlab_cli.readers.byte_stream import ByteStream

    content = np.random.default_rng(0).bytes(600_000)
    path = tmp_path / "data"
    path.write_bytes(zlib.compress(content))
    with ByteStream(path, compressed=True) as stream:
        assert stream.read(262_144) == content[:262_144]
        stream.skip(10)
        assert stream.read(9_999_999) == content[262_154:]
        assert stream.skim(10) == 0


def test_nobody_changes_the_affine_that_files_share(tmp_path: Path) -> None:
    affine = read_geometry(write(tmp_path / "a.nii", np.zeros((4, 6, 8), np.uint8))).affine
    with pytest.raises(ValueError, match="read-only"):
        affine[0, 3] = 1
