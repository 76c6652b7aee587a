"""A CUDA device that there is not: the kernels as they are, compiled for the processor.

`emulated_cuda.h` says how. Whoever has a C++ compiler can run them.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.geodesic.cuda import Variant

HERE = Path(__file__).parent
COMPILER = which("c++")
OPTIONS = ("-std=c++17", "-O1", "-fPIC", "-shared", "-ffp-contract=off", "-Wno-unknown-pragmas")

KEPT = tempfile.TemporaryDirectory(prefix="softlab-kernels-")
"""Of this process."""


@cache
def library(variant: Variant) -> ctypes.CDLL:
    """The kernels of a variant."""
    assert COMPILER is not None
    built = Path(KEPT.name) / f"{'-'.join(str(int(number)) for number in variant)}.so"
    with as_file(files("softlab_cli.kernels.geodesic") / "cuda.cu") as kernels:
        subprocess.run(
            [COMPILER, *OPTIONS, *variant.definitions, f'-DGEODESIC_CUDA="{kernels}"',
             str(HERE / "emulated_cuda.cpp"), "-o", str(built)],
            check=True,
        )  # fmt: skip
    return ctypes.CDLL(str(built))


class EmulatedDevice:
    """See `softlab_cli.kernels.geodesic.cuda_device.Device`.

    New memory holds what would be noticed: NaN, and large numbers.
    """

    def __init__(self) -> None:
        self.taken = 0

    def free_bytes(self) -> float:
        return float("inf")

    def shared_bytes(self) -> int:
        return 48 * 1024

    def compile(self, variant: Variant) -> None:
        self.kernels = library(variant)

    def empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        taken = np.empty(shape, kind)
        self.taken += taken.nbytes
        taken.view(np.uint8).fill(0xFF)
        return taken

    def put(self, array: NDArray[Any]) -> NDArray[Any]:
        taken = self.empty(array.shape, array.dtype.type)
        taken[...] = array
        return taken

    def zero(self, array: NDArray[Any]) -> None:
        array.view(np.uint8).fill(0)

    def launch(self, name: str, groups: int, threads: int, *arguments: Any) -> None:
        passed = [_passed(argument) for argument in arguments]
        getattr(self.kernels, f"launch_{name}")(groups, threads, *passed)

    def staging(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        return np.empty(shape, kind)

    def get(self, array: NDArray[Any], out: NDArray[Any]) -> None:
        out[...] = array


def _passed(argument: Any) -> Any:
    """A number or the address of an array, as C takes it."""
    if isinstance(argument, np.ndarray):
        assert argument.flags.c_contiguous
        return ctypes.c_void_p(argument.ctypes.data)
    kinds = {np.int32: ctypes.c_int32, np.int64: ctypes.c_int64, np.float32: ctypes.c_float}
    return kinds[type(argument)](argument.item())
