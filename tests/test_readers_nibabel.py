"""FreeSurfer's volumes and pairs of header and voxels; nibabel's own images are the oracle."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import InputError
from softlab_cli.core.provenance import describe_sources, same_content
from softlab_cli.readers import probe, read_image, read_label_map

VALUES = np.random.default_rng(2).integers(0, 2000, (5, 4, 3)).astype(np.int16)
OBLIQUE = np.array(
    [[-1.5, 0.2, 0.1, 30.0], [0.2, 0.0, 2.0, -7.0], [0.1, -1.2, 0.0, 4.0], [0, 0, 0, 1]]
)
KINDS = {
    "a.mgz": nib.MGHImage,
    "a.mgh": nib.MGHImage,
    "a.hdr": nib.Nifti1Pair,
    "b.hdr": nib.Nifti2Pair,
}


def saved(path: Path, values: np.ndarray = VALUES, kind: type | None = None) -> Path:
    """Write (X, Y, Z) values."""
    nib.save((kind or KINDS[path.name])(values, OBLIQUE), path)
    return path


@pytest.mark.parametrize("name", KINDS)
def test_a_label_map_is_what_nibabel_reads(tmp_path, name) -> None:
    path = saved(tmp_path / name)
    found, reference = read_label_map(path), nib.load(path)
    np.testing.assert_array_equal(found.values, VALUES.T)
    np.testing.assert_allclose(found.geometry.affine, reference.affine, atol=1e-4)
    assert found.values.dtype == np.uint16
    assert probe(path).geometry.shape == (3, 4, 5)
    assert not [w for w in found.warnings if "sheared" not in w]


@pytest.mark.parametrize("name", KINDS)
def test_volumes_are_channels_of_an_image(tmp_path, name) -> None:
    values = np.stack([VALUES, VALUES[::-1]], axis=-1).astype(np.float32) / 7
    path = saved(tmp_path / name, values)
    assert probe(path).channels == 2
    np.testing.assert_array_equal(read_image(path).intensities, values.T)
    with pytest.raises(InputError, match="holds 2 volumes"):
        read_label_map(path)


def test_an_analyze_file_has_a_size_and_no_orientation(tmp_path) -> None:
    image = nib.AnalyzeImage(VALUES, np.diag([3.0, 2.0, 4.0, 1.0]))
    nib.save(image, tmp_path / "a.hdr")
    found = read_label_map(tmp_path / "a.hdr")
    np.testing.assert_array_equal(found.values, VALUES.T)
    assert found.geometry.spacing_mm == (4.0, 2.0, 3.0)
    assert found.geometry.orientation == "RAS"
    assert "has no orientation" in found.warnings[0]
    (tmp_path / "a.mat").write_bytes(b"")
    assert "a.mat) is not read" in read_label_map(tmp_path / "a.hdr").warnings[1]


def test_scaled_numbers_are_values(tmp_path) -> None:
    image = nib.Spm2AnalyzeImage(VALUES, np.eye(4))
    image.header.set_slope_inter(0.5)
    nib.save(image, tmp_path / "a.hdr")
    reference = nib.load(tmp_path / "a.hdr").get_fdata()
    np.testing.assert_allclose(
        read_image(tmp_path / "a.hdr").intensities[0], reference.T, rtol=1e-6
    )


def test_a_volume_that_says_no_place_is_said(tmp_path) -> None:
    raw = bytearray(saved(tmp_path / "a.mgh").read_bytes())
    raw[28:30] = b"\0\0"
    (tmp_path / "a.mgh").write_bytes(raw)
    found = read_label_map(tmp_path / "a.mgh")
    assert "goodRASFlag is 0" in found.warnings[0]
    np.testing.assert_allclose(found.geometry.affine, nib.load(tmp_path / "a.mgh").affine)


def damaged(kind: str, folder: Path) -> tuple[Path, str]:
    path = folder / ("a.hdr" if kind in ("half", "short pair", "renamed") else "a.mgz")
    if kind == "renamed":
        path.write_bytes(b"ENVI\nsamples = 3\n" * 40)
        (folder / "a.img").write_bytes(b"x")
        return path, "is damaged, or not the header of a pair"
    saved(path)
    if kind == "half":
        (folder / "a.img").unlink()
        return path, "is the header of a pair, and a.img is not beside it"
    if kind == "short pair":
        (folder / "a.img").write_bytes((folder / "a.img").read_bytes()[:-3])
        return path, "is truncated"
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-30])
        return path, "is truncated"
    if kind == "flipped":
        raw = bytearray(path.read_bytes())
        raw[-6] ^= 1  # the checksum
        path.write_bytes(raw)
        return path, "do not match their checksum"
    path.write_bytes(b"not a volume")
    return path, "is damaged, or not a FreeSurfer volume"


@pytest.mark.parametrize("kind", ["half", "short pair", "renamed", "cut", "flipped", "text"])
def test_damaged_files_are_refused(tmp_path, kind) -> None:
    path, reason = damaged(kind, tmp_path)
    for read in (read_label_map, read_image):
        with pytest.raises(InputError, match=reason):
            read(path)


def test_headers_that_promise_too_much_are_refused(tmp_path) -> None:
    raw = bytearray(saved(tmp_path / "a.mgh").read_bytes())
    raw[4:16] = (30000).to_bytes(4, "big") * 3
    (tmp_path / "a.mgh").write_bytes(raw)
    with pytest.raises(InputError, match="the file can hold at most"):
        probe(tmp_path / "a.mgh")


def test_a_pair_is_one_source(tmp_path) -> None:
    path = saved(tmp_path / "a.hdr")
    kept = describe_sources([(path, "label")])[0]
    assert same_content([kept], [(path, "label")])
    raw = bytearray((tmp_path / "a.img").read_bytes())
    raw[0] ^= 1
    (tmp_path / "a.img").write_bytes(raw)
    assert not same_content([kept], [(path, "label")])


def test_stores_of_such_files(softlab, tmp_path) -> None:
    labels = (VALUES > 900).astype(np.uint8)
    (tmp_path / "in").mkdir()
    saved(tmp_path / "in" / "m.mgz", labels, nib.MGHImage)
    saved(tmp_path / "in" / "p.hdr", labels, nib.Nifti1Pair)
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 0, done.output
    assert "left out" not in done.stderr
    store = softlab_cli.open_store(tmp_path / "o.zarr")
    for case_id in ("m", "p"):
        np.testing.assert_array_equal(store[case_id].read_label(), labels.T)
    alone = softlab("onehot", "--in", tmp_path / "in" / "p.img", "--out", tmp_path / "p.zarr")
    assert alone.exit_code == 0, alone.output
