"""`geodesic_distance` and the registry of engines."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.errors import EngineError, GeometryError, InputError, SoftlabError, UsageError
from softlab_cli.geodesic import ENGINES, engines, geodesic_distance, resolve_engine
from softlab_cli.geodesic.exact import ExactEngine

SPACING = (2.0, 1.0, 0.5)


@pytest.fixture
def image() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 50, (4, 5, 6)).astype(np.float32)


@pytest.fixture
def seeds() -> np.ndarray:
    seeds = np.zeros((4, 5, 6), np.int16)
    seeds[0, 0, 0] = seeds[3, 4, 5] = 1
    seeds[2, 2, 2] = 3
    return seeds


def distance(image: Any, seeds: Any, spacing: Any = SPACING, **options: Any) -> np.ndarray:
    return geodesic_distance(image, seeds, spacing, engine="numba", **options)


def test_integer_seeds_and_a_stack_are_the_same(image: np.ndarray, seeds: np.ndarray) -> None:
    found = distance(image, seeds)
    stack = np.stack([seeds == k for k in (1, 2, 3)])
    assert found.shape == (3, 4, 5, 6)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, distance(image, stack))
    assert np.isinf(found[1]).all()
    assert (found[0] == 0).sum() == 2


@pytest.mark.parametrize("kind", ["u1", "i2", "f2", "f8", ">i2", "?"])
def test_any_real_type_and_layout(kind: str, image: np.ndarray, seeds: np.ndarray) -> None:
    typed = np.asfortranarray(abs(image).astype(kind))
    expected = distance(typed.astype(np.float32), seeds)
    np.testing.assert_array_equal(distance(typed, seeds), expected)
    np.testing.assert_array_equal(distance(typed[None], seeds), expected)


def test_a_picture_is_one_slice(image: np.ndarray, seeds: np.ndarray) -> None:
    volume = distance(image[:1], seeds[:1])
    picture = distance(image[0], seeds[0], SPACING[1:])
    np.testing.assert_array_equal(picture, volume[:, 0])
    channels = distance(np.stack([image[0]] * 2), seeds[0], SPACING[1:])
    assert channels.shape == picture.shape


def test_no_class_gives_no_distance(image: np.ndarray) -> None:
    assert distance(image, np.zeros(image.shape, int)).shape == (0, 4, 5, 6)


def test_parity_takes_iterations(image: np.ndarray, seeds: np.ndarray) -> None:
    one, many = (
        geodesic_distance(image, seeds, SPACING, engine="parity", iterations=n) for n in (1, 30)
    )
    converged = distance(image, seeds)
    reached = np.isfinite(converged)
    np.testing.assert_allclose(many[reached], converged[reached], rtol=1e-5)
    assert (one > many).any()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"seeds": np.zeros((4, 5, 7), int)}, GeometryError, "(4, 5, 7)"),
        ({"seeds": np.zeros((4, 5, 6), bool)}, GeometryError, "bool"),
        ({"seeds": np.zeros((4, 5, 6))}, UsageError, "float64"),
        ({"seeds": np.full((4, 5, 6), -2)}, UsageError, "-2"),
        ({"image": np.zeros((4, 5, 6), complex)}, UsageError, "complex128"),
        ({"image": np.full((4, 5, 6), 1e20)}, InputError, "1e+20"),
        ({"image": np.zeros((0, 5, 6)), "seeds": np.zeros((0, 5, 6), int)}, GeometryError, "(0,"),
        ({"spacing": (1, 0, 1)}, UsageError, "(1.0, 0.0, 1.0)"),
        ({"spacing": (1, 1e30, 1)}, InputError, "1, 1e+30, 1 mm"),
        ({"spacing": (1, 1)}, GeometryError, "2 axes"),
        ({"spacing": (1,)}, UsageError, "3 finite numbers"),
        ({"spacing": (1, 1, np.nan)}, UsageError, "nan"),
        ({"intensity_weight": 1.5}, UsageError, "1.5"),
        ({"intensity_weight": np.nan}, UsageError, "nan"),
        ({"metric": "manhattan"}, UsageError, "geodistk, fastgeodis"),
        ({"iterations": 3}, UsageError, "takes no iterations"),
    ],
)
def test_what_is_refused(
    change: dict[str, Any],
    error: type[SoftlabError],
    message: str,
    image: np.ndarray,
    seeds: np.ndarray,
) -> None:
    with pytest.raises(error) as caught:
        distance(**{"image": image, "seeds": seeds, **change})
    assert message in str(caught.value)
    assert caught.value.remedy


def test_nan_and_infinity_are_counted_and_located(image: np.ndarray, seeds: np.ndarray) -> None:
    image[1, 2, 3], image[3, 0, 0] = np.inf, np.nan
    with pytest.raises(InputError, match=r"2 of 120 .* voxel \(1, 2, 3\)"):
        distance(image, seeds)
    with pytest.raises(InputError, match=r"channel 1, voxel \(1, 2, 3\)"):
        distance(np.stack([np.zeros_like(image), image]), seeds)


def test_an_unknown_engine_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="auto, numba, cuda, fastgeodis, parity"):
        resolve_engine("gpu")


def test_auto_takes_cuda_when_it_works(monkeypatch: pytest.MonkeyPatch) -> None:
    class Working(ExactEngine):
        pass

    class Broken(ExactEngine):
        def check(self) -> None:
            raise EngineError("no device.")

    monkeypatch.setattr(engines, "ENGINES", {"cuda": Working, "numba": ExactEngine})
    assert type(resolve_engine("auto")) is Working
    monkeypatch.setattr(engines, "ENGINES", {"cuda": Broken, "numba": ExactEngine})
    assert type(resolve_engine("auto")) is ExactEngine


def test_names_in_the_registry_are_the_classes_own() -> None:
    for name in ("numba", "parity"):
        assert ENGINES[name].name == name


def test_importing_is_cheap() -> None:
    code = "import sys, softlab_cli.geodesic; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
