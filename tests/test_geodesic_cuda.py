"""The CUDA engine on numba's simulator, and what it says where there is no device."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from softlab_cli.core.errors import EngineError
from softlab_cli.geodesic.cuda import CudaEngine
from softlab_cli.kernels.geodesic import cuda_maps

HERE = Path(__file__).parent


def test_on_the_simulator() -> None:
    """Numba simulates CUDA for a whole process, so a new one runs the tests."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, str(HERE / "device_geodesic_cuda.py")],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_maps, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"needs.*'numba-cuda'.*'softlab-cli\[cuda\]'"):
        CudaEngine().check()


def test_a_missing_device_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_maps, "find_spec", lambda name: object())
    monkeypatch.setattr(cuda_maps.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match=r"no CUDA device.*engine 'numba'"):
        CudaEngine().check()


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (2, 14), (4, 11), (16, 6)])
def test_the_largest_block_that_fits_into_shared_memory(channels: int, side: int) -> None:
    assert cuda_maps.block_side(channels) == side


def test_more_channels_than_shared_memory_holds() -> None:
    with pytest.raises(EngineError, match="500 channels"):
        cuda_maps.block_side(500)


def test_held_bytes_count_one_map() -> None:
    engine = pickle.loads(pickle.dumps(CudaEngine(side=8)))
    assert engine == CudaEngine(side=8)
    volume = engine.held_bytes((100, 100, 100), 1, 1) - engine.held_bytes((0, 0, 0), 1, 1)
    assert volume == np.float32().nbytes * 100**3
