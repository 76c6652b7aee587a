"""GeoLS through the command line: images, channels, parity, scratch, errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.errors import InputError
from softlab_cli.geodesic.seeds import SEED_STRATEGIES
from softlab_cli.store.verify import verify_store
from tests import naive_geols
from tests.conftest import blobs, write_image
from tests.test_runner import tree

SHAPE = (6, 14, 16)
SPACING_MM = (2.0, 1.0, 1.5)


def image_of(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (blobs(SHAPE, 3, seed + 7) * 40 + rng.normal(0, 4, SHAPE)).astype(np.float32)


def oracle(labels: np.ndarray, image: np.ndarray) -> np.ndarray:
    seeds = {c: labels == c for c in range(1, 4)}
    maps = naive_geols.maps(image, seeds, SPACING_MM)
    return naive_geols.soften(labels, 4, maps, smoothing=0.1)


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Two cases: labels/a.nii.gz, images/a_0000.nii.gz and so on."""
    for seed, case in enumerate("ab"):
        write_image(tmp_path / "labels" / f"{case}.nii.gz", blobs(SHAPE, 4, seed), SPACING_MM)
        write_image(tmp_path / "images" / f"{case}_0000.nii.gz", image_of(seed), SPACING_MM)
    return tmp_path


@pytest.fixture
def geols(softlab, scans):
    """Run ``softlab geols`` over the scans."""

    def run(*options: object, out: str = "soft.zarr"):
        folders = ("--in", scans / "labels", "--images", scans / "images")
        return softlab("geols", *folders, "--out", scans / out, *options)

    return run


def test_it_is_the_formula(geols, scans) -> None:
    done = geols("--seeds", "region")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(scans / "soft.zarr")
    for seed, case in enumerate("ab"):
        expected = oracle(blobs(SHAPE, 4, seed), image_of(seed)[None])
        np.testing.assert_allclose(store[case].read(), expected, atol=5e-4)
    assert store["a"].info.details["geols"]["deterministic"] is True
    assert [source.role for source in store["a"].sources] == ["label", "image"]
    assert verify_store(scans / "soft.zarr") == []


@pytest.mark.parametrize("seeds", SEED_STRATEGIES)
def test_every_kind_of_seeds(geols, scans, seeds) -> None:
    assert geols("--seeds", seeds).exit_code == 0
    assert verify_store(scans / "soft.zarr") == []
    parameters = softlab_cli.open_store(scans / "soft.zarr").info.parameters
    assert parameters["seeds"] == seeds


@pytest.mark.parametrize("options", [("--workers", 2), ("--threads", 3)])
def test_workers_and_threads_change_no_byte(geols, scans, options) -> None:
    geols(out="one.zarr")
    assert geols(*options, out="other.zarr").exit_code == 0
    assert tree(scans / "one.zarr") == tree(scans / "other.zarr")


def test_scratch_on_disk_changes_no_byte_and_is_removed(geols, scans, monkeypatch) -> None:
    geols(out="one.zarr")
    # As if nothing were left: maps of these small cases fit into any real limit.
    monkeypatch.setattr("softlab_cli.methods.geols.geols.GeoLS._spare", lambda *_: 0)
    assert geols("--workers", 1, out="other.zarr").exit_code == 0
    assert tree(scans / "one.zarr") == tree(scans / "other.zarr")
    left = [path.name for path in (scans / "other.zarr").iterdir()]
    assert sorted(left) == ["a", "b", "zarr.json"]
    facts = softlab_cli.open_store(scans / "other.zarr")["a"].info.details["geols"]
    assert facts["scratch_bytes"] > 0


def test_scratch_of_a_case_that_fails_is_removed(geols, scans, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("softlab_cli.methods.geols.geols.GeoLS._spare", lambda *_: 0)
    monkeypatch.setattr("softlab_cli.methods.geols.maps.GeodesicMaps.workspace", fail)
    assert geols("--workers", 1).exit_code == 1
    assert [path.name for path in (scans / "soft.zarr").iterdir()] == ["zarr.json"]


def test_channels_are_files_or_volumes(geols, scans) -> None:
    for seed, case in enumerate("ab"):
        write_image(scans / "images" / f"{case}_0001.nii.gz", image_of(seed + 5), SPACING_MM)
    assert geols("--seeds", "region").exit_code == 0
    expected = oracle(blobs(SHAPE, 4, 0), np.stack([image_of(0), image_of(5)]))
    found = softlab_cli.open_store(scans / "soft.zarr")["a"].read()
    np.testing.assert_allclose(found, expected, atol=5e-4)
    assert geols("--seeds", "region", "--channel-mode", "vector", out="v.zarr").exit_code == 0
    vector = softlab_cli.open_store(scans / "v.zarr")["a"].read()
    assert np.abs(vector.astype(float) - found).max() > 1e-3


def test_a_channel_that_some_cases_lack_is_said(geols, scans) -> None:
    assert "image files" not in geols("--seeds", "region").stderr
    write_image(scans / "images" / "b_0001.nii.gz", image_of(6), SPACING_MM)
    found = geols("--seeds", "region", out="other.zarr")
    assert found.exit_code == 0
    assert "cases have different numbers of image files: a has 1, b has 2" in found.stderr


def test_what_is_odd_with_label_map_and_image_is_said_once(softlab, tmp_path) -> None:
    for kind in ("labels", "images"):
        write_image(tmp_path / kind / "a.png", blobs((14, 16), 3))
    folders = ("--in", tmp_path / "labels", "--images", tmp_path / "images")
    found = softlab("geols", *folders, "--out", tmp_path / "soft.zarr")
    assert found.exit_code == 0, found.output
    assert found.stderr.count("how large its pixels are") == 1


def test_parity_is_recorded(geols, scans) -> None:
    assert geols("--parity", "repository").exit_code == 0
    store = softlab_cli.open_store(scans / "soft.zarr")
    assert store.info.sums_to_one is False
    assert store.info.parameters["parity"] == "repository"
    assert np.abs(store["a"].read().astype(float).sum(axis=0) - 1).max() > 0.01
    assert verify_store(scans / "soft.zarr") == []
    refused = geols()
    assert refused.exit_code == 1
    assert "sums_to_one" in refused.stderr


def test_engines_that_give_the_same_bits_share_a_store(geols) -> None:
    assert geols("--engine", "numba").exit_code == 0
    assert "skipped      2" in geols("--engine", "auto").output


def test_fastgeodis_takes_its_own_metric(geols, scans) -> None:
    refused = geols("--engine", "fastgeodis")
    assert refused.exit_code == 2
    assert "metric" in refused.stderr
    done = geols("--engine", "fastgeodis", "--metric", "fastgeodis")
    assert done.exit_code == 0, done.output
    parameters = softlab_cli.open_store(scans / "soft.zarr").info.parameters
    assert parameters["distances"] == "fastgeodis, 4 iterations"
    more = geols("--engine", "fastgeodis", "--metric", "fastgeodis", "--iterations", 8)
    assert more.exit_code == 1
    assert "8 iterations" in more.stderr


def test_a_changed_image_is_a_changed_case(geols, scans) -> None:
    geols()
    write_image(scans / "images" / "b_0000.nii.gz", image_of(9), SPACING_MM)
    again = geols("-v")
    assert "done: b (its files have changed)" in again.stderr
    assert "skipped      1" in again.output


def test_small_masses_are_dropped_on_request(geols, scans) -> None:
    assert geols("--min-mass", 0.03).exit_code == 0
    values = softlab_cli.open_store(scans / "soft.zarr")["a"].read()
    assert values[values > 0].min() >= 0.029
    assert verify_store(scans / "soft.zarr") == []


def test_without_smoothing_it_is_one_hot(geols, softlab, scans) -> None:
    assert geols("--smoothing", 0).exit_code == 0
    softlab("onehot", "--in", scans / "labels", "--out", scans / "hard.zarr")
    for case in "ab":
        expected = softlab_cli.open_store(scans / "hard.zarr")[case].read()
        found = softlab_cli.open_store(scans / "soft.zarr")[case].read()
        np.testing.assert_array_equal(found, expected)


# What cannot be done


def test_images_are_needed(softlab, scans) -> None:
    refused = softlab("geols", "--in", scans / "labels", "--out", scans / "o.zarr")
    assert refused.exit_code == 1
    assert "has no image, and this method follows the image" in refused.stderr
    assert "--images" in refused.stderr


def test_an_image_on_another_grid(geols, scans) -> None:
    write_image(scans / "images" / "a_0000.nii.gz", image_of(0), (2.0, 1.0, 1.0))
    refused = geols()
    assert refused.exit_code == 1
    assert "lie on different grids" in refused.stderr
    assert list(softlab_cli.open_store(scans / "soft.zarr")) == ["b"]


def test_intensities_that_are_no_numbers(geols, scans) -> None:
    image = image_of(0)
    image[1, 2, 3] = np.nan
    write_image(scans / "images" / "a_0000.nii.gz", image, SPACING_MM)
    refused = geols()
    assert refused.exit_code == 1
    assert "a_0000.nii.gz: 1 intensity is NaN or infinite" in refused.stderr
    assert "(z 1, y 2, x 3)" in refused.stderr
    assert list(softlab_cli.open_store(scans / "soft.zarr")) == ["b"]


def test_a_constant_image_is_said(geols, scans) -> None:
    write_image(scans / "images" / "a_0000.nii.gz", np.full(SHAPE, 7, np.int16), SPACING_MM)
    done = geols()
    assert done.exit_code == 0
    assert "warning: a: image channel 0 is constant" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--labels-only",), "leave out the image"),
        (("--smoothing", 2), "from 0 to 1"),
        (("--intensity-weight", -1), "from 0 to 1"),
        (("--min-mass", 0.95), "from 0 to 0.9"),
        (("--parity", "repository", "--metric", "fastgeodis"), "does not know the metric"),
        (("--random-voxels", 0), "random"),
        (("--iterations", 8), "takes no iterations"),
    ],
)
def test_options_without_meaning(geols, scans, options, words) -> None:
    refused = geols(*options)
    assert refused.exit_code == 2
    assert words in refused.stderr
    assert not (scans / "soft.zarr").exists()


# Plain arrays


def test_geols_on_plain_arrays(geols, scans) -> None:
    geols("--seeds", "region")
    stored = softlab_cli.open_store(scans / "soft.zarr")["a"].read()
    labels, image = blobs(SHAPE, 4, 0), image_of(0)
    found = softlab_cli.geols(labels, image, spacing_mm=SPACING_MM, seeds="region", threads=2)
    np.testing.assert_array_equal(found, stored)
    flat = softlab_cli.geols(
        labels[3], np.stack([image[3], image[4]]), spacing_mm=(1, 1), labels=range(4)
    )
    assert flat.shape == (4, *SHAPE[1:])
    with pytest.raises(InputError, match="the image has the shape"):
        softlab_cli.geols(labels, image[1:], spacing_mm=SPACING_MM)


@pytest.mark.parametrize(
    ("idle", "needs"), [("--erosion-voxels", "erosion"), ("--random-seed", "random")]
)
def test_options_of_other_seeds_are_refused(geols, idle, needs) -> None:
    found = geols(idle, 3)
    assert found.exit_code == 2
    assert f"{idle} has no effect here. It is for --seeds {needs}" in found.stderr


@pytest.mark.parametrize("ending", ["nii.gz", "nrrd"])
@pytest.mark.filterwarnings("error")
def test_intensities_beyond_float32_are_one_clear_error(softlab, scans, ending) -> None:
    (scans / "images" / "a_0000.nii.gz").unlink()
    write_image(scans / "images" / f"a.{ending}", image_of(0).astype(float) * 1e300, SPACING_MM)
    folders = ("--in", scans / "labels", "--images", scans / "images")
    found = softlab("geols", *folders, "--out", scans / "soft.zarr", "--workers", 1)
    assert found.exit_code == 1
    assert "NaN or infinite as float32" in found.stderr
    assert "RuntimeWarning" not in found.stderr
