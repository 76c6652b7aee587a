"""``softlab import``: soft labels that a file already has, stored as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from tests.conftest import blobs, write_image
from tests.dicom_support import make_rtstruct, make_seg, save_slices
from tests.test_dicom_cases import IDENTITY, SHAPE, image_with, slices, square


def fractional(folder: Path, seed: int = 0, names: tuple[str, ...] = ("a", "b")) -> np.ndarray:
    """A case with a FRACTIONAL SEG of two segments; returns the stored steps of 1/255."""
    sources = slices()
    save_slices(folder / "ct", sources)
    steps = np.random.default_rng(seed).integers(0, 128, (*SHAPE, 2))
    steps[0] = 0
    steps[1] = [51, 102]
    make_seg(
        folder / "seg.dcm", sources, (steps / 255).astype(np.float32), "FRACTIONAL",
        dict(enumerate(names, 1)), max_fractional_value=255,
    )  # fmt: skip
    return steps


def test_fractions_are_stored_as_they_are(softlab, tmp_path) -> None:
    steps = fractional(tmp_path / "cases" / "p1")
    out = tmp_path / "soft.zarr"
    done = softlab("import", "--in", tmp_path / "cases", "--out", out)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert store.classes.names == ("background", "a", "b")
    soft = store["p1"].read()
    expected = (steps / np.float32(255)).astype(np.float32).astype(np.float16)
    np.testing.assert_array_equal(np.moveaxis(soft[1:], 0, -1), expected)
    np.testing.assert_allclose(soft.astype(np.float32).sum(axis=0), 1, atol=2e-3)
    np.testing.assert_array_equal(store["p1"].read_label(), soft.argmax(axis=0))
    assert softlab("verify", out).exit_code == 0
    statistics = store["p1"].statistics
    assert statistics.soft_mass == soft.astype(np.float64).sum(axis=(1, 2, 3)).tolist()
    ties = (soft == soft.max(axis=0)).sum(axis=0) > 1
    assert statistics.ties == int(ties.sum()) > 0
    p = soft.astype(np.float64)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=0).mean()
    assert statistics.mean_entropy == pytest.approx(entropy, rel=1e-5)
    assert statistics.argmax_changes == 0
    assert store["p1"].info.details["fractional_type"] == "PROBABILITY"


def test_blocks_and_threads_change_nothing(softlab, tmp_path, monkeypatch) -> None:
    fractional(tmp_path / "cases" / "p1", names=("b", "a"))
    for threads in (1, 3):
        out = tmp_path / f"{threads}.zarr"
        command = ["import", "--in", tmp_path / "cases", "--out", out, "--threads", threads]
        assert softlab(*command).exit_code == 0
    one, three = (softlab_cli.open_store(tmp_path / f"{n}.zarr")["p1"] for n in (1, 3))
    np.testing.assert_array_equal(one.read(), three.read())
    assert one.statistics == three.statistics


def test_one_name_is_one_class_also_here(softlab, tmp_path) -> None:
    first = fractional(tmp_path / "cases" / "p1", 1, ("b", "a"))
    second = fractional(tmp_path / "cases" / "p2", 2, ("a", "c"))
    out = tmp_path / "soft.zarr"
    assert softlab("import", "--in", tmp_path / "cases", "--out", out).exit_code == 0
    store = softlab_cli.open_store(out)
    assert store.classes.names == ("background", "a", "b", "c")
    for case_id, steps, order in (("p1", first, [2, 1]), ("p2", second, [1, 3])):
        soft = store[case_id].read()
        np.testing.assert_allclose(np.moveaxis(soft[order], 0, -1), steps / 255, atol=1e-3)


def test_contours_by_supersampling(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "cases/p1/ct", sources)
    rois = {"GTV": [square(32, 2, 6.25)]}
    make_rtstruct(tmp_path / "cases/p1/rs.dcm", sources, rois)
    out = tmp_path / "soft.zarr"
    command = ["import", "--in", tmp_path / "cases", "--out", out]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "--supersample 8" in refused.output
    done = softlab(*command, "--supersample", 4, "--overwrite")
    assert done.exit_code == 0, done.output
    soft = softlab_cli.open_store(out)["p1"].read()[1]
    # The contour ends at 6.25 voxel steps, a quarter of a voxel before the edge at 6.5.
    assert float(soft[1, 4, 6]) == 0.75
    assert float(soft[1, 4, 4]) == 1
    assert float(soft[2].max()) == 0
    assert softlab("verify", out).exit_code == 0


def test_overlapping_fractions_need_a_rule(softlab, tmp_path) -> None:
    sources = slices()
    save_slices(tmp_path / "cases/p1/ct", sources)
    values = np.full((*SHAPE, 2), 0.8, np.float32)
    make_seg(
        tmp_path / "cases/p1/seg.dcm", sources, values, "FRACTIONAL", {1: "a", 2: "b"},
        max_fractional_value=10,
    )  # fmt: skip
    command = ["import", "--in", tmp_path / "cases", "--out", tmp_path / "soft.zarr"]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "overlap: at 594 voxels" in refused.output
    assert softlab(*command, "--on-overlap", "first", "--overwrite").exit_code == 0
    soft = softlab_cli.open_store(tmp_path / "soft.zarr")["p1"].read()
    np.testing.assert_allclose(soft[:, 0, 0, 0], [0, 0.8, 0.2], atol=1e-3)
    assert softlab(*command, "--sums", "normalise", "--overwrite").exit_code == 0
    soft = softlab_cli.open_store(tmp_path / "soft.zarr")["p1"].read()
    np.testing.assert_allclose(soft[:, 0, 0, 0], [0, 0.5, 0.5], atol=1e-3)


def test_a_label_map_resampled_linearly_is_soft(softlab, tmp_path) -> None:
    labels = blobs(SHAPE, 3, seed=4)
    image_with(tmp_path / "ct/a.nii.gz", np.zeros(SHAPE, np.float32), IDENTITY, (0.35, 0, 0))
    image_with(tmp_path / "labels/a.nii.gz", labels, IDENTITY, (0, 0, 0))
    out = tmp_path / "soft.zarr"
    command = ["import", "--in", tmp_path / "labels", "--images", tmp_path / "ct", "--out", out]
    done = softlab(*command, "--resample-labels", "linear")
    assert done.exit_code == 0, done.output
    soft = softlab_cli.open_store(out)["a"].read()
    hot = np.stack([labels == c for c in range(3)]).astype(np.float32)
    np.testing.assert_allclose(soft[..., :-1], (hot[..., :-1] + hot[..., 1:]) / 2, atol=1e-3)


@pytest.mark.parametrize("option", [[], ["--labels-only"]])
def test_a_hard_label_map_is_refused(softlab, tmp_path, option) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((6, 7, 8), 3))
    done = softlab("import", "--in", tmp_path / "in", "--out", tmp_path / "soft.zarr", *option)
    assert done.exit_code == (2 if option else 1)
    assert "--labels-only" in done.output if option else "softlab svls" in done.output
