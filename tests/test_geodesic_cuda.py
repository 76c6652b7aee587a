"""The CUDA engine with its kernels compiled for the processor, and what it says without a device.

The tests of `device_geodesic_cuda.py` are those of this file, too.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.errors import EngineError
from softlab_cli.geodesic import cuda as engine
from softlab_cli.geodesic.base import StepCost
from softlab_cli.geodesic.cuda import CudaEngine
from softlab_cli.kernels.geodesic import cuda_maps
from softlab_cli.kernels.geodesic.cuda import KERNELS, Variant, source
from softlab_cli.kernels.geodesic.cuda_device import OPTIONS, check_device

from .benchmarks.cuda import main
from .device_geodesic_cuda import *  # noqa: F403
from .device_geodesic_cuda import check, volume
from .emulated_cuda import COMPILER, EmulatedDevice


@pytest.fixture(autouse=True)
def _emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_maps, "check_device", lambda: None)
    monkeypatch.setattr(cuda_maps, "open_device", EmulatedDevice)
    monkeypatch.setattr(cuda_maps, "LAUNCH", (2, 3))
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")


def test_the_benchmark_finds_the_bits_of_the_exact_engine(monkeypatch, capsys) -> None:
    monkeypatch.setattr(cuda_maps, "LARGEST_SIDE", 2)
    main(["--blobs", "2", "--classes", "1", "--repeats", "1", "--no-brain"])
    table = [line.split(" | ") for line in capsys.readouterr().out.splitlines()]
    cuda = [line for line in table if len(line) > 3 and line[3] == "cuda"]
    assert [line[2] for line in cuda] == ["fastgeodis 0.5", "fastgeodis 1", "geodistk 1"]
    assert all(line[6:] == ["0", "yes", "yes |"] for line in cuda)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(EngineError, match=r"needs.*'cupy'.*pip install 'softlab-cli\[cuda\]'"):
        check_device()


@pytest.mark.parametrize("driver", ["without devices", "missing"])
def test_a_missing_device_is_said(driver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def count() -> int:
        if driver == "missing":
            raise RuntimeError("the driver is insufficient")
        return 0

    runtime = SimpleNamespace(getDeviceCount=count)
    cupy = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    with pytest.raises(EngineError, match=r"no CUDA device.*(insufficient|none).*engine 'numba'"):
        check_device()


@pytest.fixture
def nvrtc() -> Iterator[Any]:
    """The compiler of CUDA C++; it needs no device."""
    pytest.importorskip("cupy", exc_type=ImportError)
    from cupy_backends.cuda.libs import nvrtc

    try:
        nvrtc.getVersion()
    except RuntimeError:
        pytest.skip("there is no NVRTC")
    return nvrtc


@pytest.mark.parametrize("architecture", ["compute_75", "sm_90"])
@pytest.mark.parametrize(
    "variant", [Variant(16, 1, True, True), Variant(13, 2, False, True), Variant(5, 8, True, False)]
)
def test_nvrtc_compiles_the_kernels(nvrtc, variant: Variant, architecture: str) -> None:
    program = nvrtc.createProgram(source(), "cuda.cu", (), ())
    options = (*OPTIONS, *variant.definitions, f"-arch={architecture}")
    nvrtc.compileProgram(program, options)
    assert nvrtc.getProgramLog(program).strip() == ""
    assert all(f".entry {name}(" in nvrtc.getPTX(program).decode() for name in KERNELS)


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (2, 13), (4, 11), (16, 6)])
def test_the_largest_block_that_fits_into_shared_memory(channels: int, side: int) -> None:
    assert cuda_maps.block_side(channels, 48 * 1024) == side


def test_more_channels_than_shared_memory_holds() -> None:
    with pytest.raises(EngineError, match="500 channels"):
        cuda_maps.block_side(500, 48 * 1024)


@pytest.mark.parametrize("width", [0.0, 1.0, 4.0])
def test_bits_do_not_depend_on_the_band(width: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no width at all, only blocks at the very least distance are relaxed together."""
    monkeypatch.setattr(engine, "band_of", lambda *arguments: width)
    check(CudaEngine(side=3), volume((4, 7, 8)), [np.array([9, 100]), np.array([0])])


@pytest.mark.parametrize(("classes", "width"), [(1, engine.WIDE), (100_000, engine.NARROW)])
def test_the_band_is_in_mean_costs_of_a_step(classes: int, width: float) -> None:
    image = np.arange(8, dtype=np.float32).reshape(1, 1, 2, 4)
    cost = StepCost("fastgeodis", 0.75)
    steps = cost.coefficients((1.0, 1.0, 2.0))
    assert engine.band_of(image, classes, steps, cost, 4) == width * (0.75 * 1 + 0.25 * 2)


def test_there_is_no_band_where_steps_are_free_or_missing() -> None:
    cost = StepCost("fastgeodis", 1.0)
    steps = cost.coefficients((1.0, 1.0, 1.0))
    for shape in [(1, 2, 2, 4), (1, 2, 2, 1)]:
        assert engine.band_of(np.zeros(shape, np.float32), 1, steps, cost, 4) == np.inf


def test_held_bytes_count_one_map() -> None:
    same = pickle.loads(pickle.dumps(CudaEngine(side=8)))
    assert same == CudaEngine(side=8)
    held = same.held_bytes((100, 100, 100), 1, 1) - same.held_bytes((0, 0, 0), 1, 1)
    assert held == np.float32().nbytes * 100**3
