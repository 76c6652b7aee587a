"""The methods on plain api."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softlab_cli import api
from softlab_cli.api import label_smoothing, one_hot, svls
from softlab_cli.core.errors import ClassError, UsageError
from tests import naive

RNG = np.random.default_rng(0)
VOLUME = RNG.integers(0, 3, (70, 20, 80)).repeat(2, axis=1)


def test_the_examples_in_the_docstrings_run() -> None:
    assert doctest.testmod(api) == (0, 17)


@pytest.mark.parametrize("function", [one_hot, label_smoothing, svls])
def test_threads_change_nothing(function: Callable[..., Any]) -> None:
    one = function(VOLUME)
    assert one.shape == (3, *VOLUME.shape)
    assert one.dtype == np.float16
    np.testing.assert_array_equal(function(VOLUME, threads=3), one)


@pytest.mark.parametrize("threads", [1, 3])
def test_blocks_of_a_large_volume_fit_together(threads: int) -> None:
    soft = svls(VOLUME, threads=threads)
    np.testing.assert_array_equal(soft, naive.svls(VOLUME, [0, 1, 2]).astype(np.float16))


def test_label_values_become_classes_in_their_order() -> None:
    label_map = np.array([[[500, 7], [7, 0]]])
    assert one_hot(label_map)[:, 0].tolist() == [
        [[0, 0], [0, 1]], [[0, 1], [1, 0]], [[1, 0], [0, 0]],
    ]  # fmt: skip
    assert one_hot(label_map, labels=(0, 1, 7, 500)).shape == (4, 1, 2, 2)
    with pytest.raises(ClassError, match=r"label value 500 \(1 voxel\) is no class"):
        one_hot(label_map, labels=(0, 7))


def test_ignored_voxels_are_no_class() -> None:
    label_map = np.array([[0, 9, 1]])
    soft = svls(label_map, ignore_value=9)
    np.testing.assert_array_equal(soft[:, 0], [[1, 0, 0], [0, 0, 1]])
    assert one_hot(label_map, labels=(0, 1, 9), ignore_value=9).shape == (2, 1, 3)
    assert label_smoothing(label_map, ignore_value=9)[:, 0, 1].tolist() == [0, 0]


@pytest.mark.parametrize("kernel_size", [3, 5])
def test_pictures_are_softened_in_two_dimensions(kernel_size: int) -> None:
    picture = RNG.integers(0, 4, (13, 600))
    soft = svls(picture, kernel_size=kernel_size)
    assert soft.shape == (4, 13, 600)
    flat = svls(picture[np.newaxis], kernel_size=kernel_size, slicewise=True)
    np.testing.assert_array_equal(soft, flat[:, 0])


def test_sigma_in_millimetres_follows_the_spacing() -> None:
    small = VOLUME[:6, :6, :6]
    in_mm = svls(small, sigma_mm=2, spacing_mm=(4, 2, 1))
    np.testing.assert_array_equal(in_mm, svls(small, sigma_voxels=(0.5, 1, 2)))
    picture = svls(small[0], sigma_mm=2, spacing_mm=(2, 1))
    np.testing.assert_array_equal(picture, svls(small[0], sigma_voxels=(1, 1, 2)))


def test_truth_values_are_label_values() -> None:
    np.testing.assert_array_equal(svls(VOLUME == 1), svls((VOLUME == 1).astype(np.uint8)))


def test_the_label_map_is_not_changed() -> None:
    label_map = VOLUME[:4, :4].astype(np.uint8)
    before = label_map.copy()
    label_map.flags.writeable = False
    svls(label_map)
    np.testing.assert_array_equal(label_map, before)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: svls(np.zeros((2, 2))), "of type float64 are no integers. Convert"),
        (lambda: svls(np.zeros(4, int)), "an array of shape (4,) is no label map"),
        (lambda: svls(np.zeros((0, 4), int)), "an array of shape (0, 4) is no label map"),
        (lambda: svls(VOLUME, sigma_mm=1), "sigma_mm is given without spacing_mm"),
        (lambda: svls(VOLUME, spacing_mm=(1, 1)), "a spacing of (1, 1) mm does not fit 3 axes"),
        (lambda: svls(VOLUME, spacing_mm=(1, 0, 1)), "a spacing of (1, 0, 1) mm does not fit"),
        (lambda: svls(VOLUME, kernel_size=2), "a kernel size of 2 has no meaning"),
        (lambda: label_smoothing(VOLUME, smoothing=2), "a smoothing of 2 has no meaning"),
    ],
)
def test_what_has_no_meaning_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert message in str(caught.value)
