"""What looks like an image is refused as a label map; a map of many classes is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from softlab_cli.core.errors import ClassError
from softlab_cli.labels.indices import distinct_values
from softlab_cli.labels.likeness import check_no_image
from tests.conftest import write_image


def scan(shape: tuple[int, int, int], values: int = 1165) -> np.ndarray:
    """A smooth object with the noise of a scan, in air of value 0."""
    rng = np.random.default_rng(0)
    z, y, x = ((2 * i + 1) / n - 1 for i, n in zip(np.indices(shape), shape, strict=True))
    inside = z**2 + y**2 + x**2 < 1
    smooth = values * (0.5 + 0.2 * np.sin(3 * x) + 0.2 * y)
    noisy = smooth + rng.normal(0, values / 50, shape)
    return np.where(inside, np.clip(noisy, 0, values), 0).astype(np.uint16)


def check(values: np.ndarray) -> None:
    check_no_image(values, distinct_values(values), Path("case.nii.gz"))


@pytest.mark.parametrize("shape", [(20, 24, 28), (1, 90, 90), (150, 20, 20)])
def test_a_scan_is_refused_by_its_neighbours(shape: tuple[int, int, int]) -> None:
    values = scan(shape)
    count = len(np.unique(values))
    with pytest.raises(ClassError, match=f"looks like an image.*: {count} values") as raised:
        check(values)
    assert "--image-like ok" in str(raised.value)


def test_maps_of_many_classes_pass() -> None:
    blocks = np.arange(1, 11**3 + 1, dtype=np.uint16).reshape(11, 11, 11)
    check(blocks.repeat(3, 0).repeat(3, 1).repeat(3, 2))  # 1331 regions of 27 voxels
    check(blocks[:5, :5, :5].repeat(2, 0).repeat(4, 1).repeat(4, 2))
    check(np.arange(70, dtype=np.uint8).repeat(9).reshape(1, 7, 90))
    points = np.zeros((20, 20, 20), np.uint16)
    points[::4, ::4, ::4] = np.arange(1, 126).reshape(5, 5, 5)
    check(points)
    threads = np.zeros((30, 40, 40), np.uint16)  # one voxel thick
    threads[:, ::4, ::4] = np.arange(1, 101).reshape(10, 10)
    check(threads)


def test_noise_is_refused_where_it_has_hundreds_of_values() -> None:
    noise = np.random.default_rng(0)
    check(noise.integers(0, 150, (9, 9, 9)).astype(np.uint8))
    with pytest.raises(ClassError, match="looks like an image"):
        check(noise.integers(0, 1000, (12, 12, 12)).astype(np.uint16))
    with pytest.raises(ClassError, match="looks like an image"):
        check(scan((20, 24, 28), 120))


def test_a_smooth_picture_of_8_bits_is_refused_though_half_its_neighbours_are_equal() -> None:
    y, x = np.indices((200, 200)) / 60
    smooth = 120 + 100 * np.sin(x) * np.cos(y)
    picture = np.round(smooth).astype(np.uint8)[None]
    equal = np.mean(picture[..., 1:] == picture[..., :-1])
    assert 0.3 < equal < 0.6
    with pytest.raises(ClassError, match="looks like an image"):
        check(picture)


def test_an_image_of_few_values_is_a_label_map() -> None:
    check(np.random.default_rng(0).integers(0, 30, (9, 9, 9)).astype(np.uint8))


def test_the_command_refuses_and_lets_one_insist(softlab, tmp_path: Path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", scan((12, 14, 16), 200), (1, 1, 1))
    refused = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "no.zarr")
    assert refused.exit_code == 1
    assert "looks like an image, not like a label map" in refused.output
    for number, insist in enumerate((("--image-like", "ok"), ("--labels", "0-200"))):
        out = tmp_path / f"{number}.zarr"
        done = softlab("onehot", "--in", tmp_path / "in", "--out", out, *insist)
        assert done.exit_code == 0, done.output


def test_inspect_calls_it_an_image_whatever_its_values(softlab, tmp_path: Path) -> None:
    write_image(tmp_path / "scan.nii.gz", scan((12, 14, 16), 200), (1, 1, 1))
    blocks = np.arange(1, 11**3 + 1, dtype=np.uint16).reshape(11, 11, 11)
    write_image(tmp_path / "many.nii.gz", blocks.repeat(3, 0).repeat(3, 1).repeat(3, 2), (1, 1, 1))
    assert "scan.nii.gz: image" in softlab("inspect", tmp_path / "scan.nii.gz").output
    assert "many.nii.gz: label map" in softlab("inspect", tmp_path / "many.nii.gz").output


def test_the_folder_of_label_maps_beside_images_is_named(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", scan((20, 24, 28)).astype(np.int16))
    (tmp_path / "in" / "masks").mkdir()
    write_image(tmp_path / "in" / "labelled" / "a.nii.gz", np.eye(9, dtype=np.uint8)[None])
    found = softlab("svls", "--in", tmp_path / "in", "--out", tmp_path / "s.zarr")
    assert found.exit_code == 1
    assert f"Give the label map: --in {tmp_path / 'in' / 'labelled'} holds some." in found.output
    dry = softlab("svls", "--in", tmp_path / "in", "--out", tmp_path / "s.zarr", "--dry-run")
    assert dry.exit_code == 1
    assert "class" not in dry.stdout.split("0 to do")[0].replace("classes with --labels", "")
    assert "1 classes" not in dry.output
