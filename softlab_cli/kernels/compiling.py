"""How kernels are compiled; decided here, once.

Numba compiles a kernel again when its own file has changed, and not when a kernel
that it calls has changed in another file. Whoever works on kernels removes
``__pycache__`` (``make clean``) after such a change.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numba.cpython.unsafe.numbers import trailing_zeros

from softlab_cli.kernels.machine_code import keep_machine_code
from softlab_cli.kernels.registries import load_registries

__all__ = [
    "Int",
    "Real",
    "Unsigned",
    "bare_inlined",
    "bare_kernel",
    "inlined",
    "kernel",
    "lowest_bit",
]

Function = TypeVar("Function", bound=Callable[..., Any])

load_registries()

Int = int | np.integer[Any]
Real = float | np.floating[Any]
"""What kernels take for a number; between kernels it has one of numpy's types."""

Unsigned = np.uintp
"""Type of array indices in inner loops.

Numba lets a signed index count from the array's end; the test for it keeps loops
from being vectorised. With signed indices SVLS takes 7 times as long, the exact geodesic
engine 3.8 times, the raster scan, which has few indices to reckon, 1.15 times.
"""

lowest_bit: Callable[[Any], Any] = trailing_zeros
"""Place of the lowest bit of an integer, for use in kernels; one instruction."""


def inlined(function: Function) -> Function:
    """As `kernel`, for a small step of an inner loop: a call costs more than the step.

    Left to the compiler, which calls some of them, SVLS takes 1.1 times as long.
    """
    return _compiled(function, forceinline=True)


def kernel(function: Function) -> Function:
    """Compile on first use, keep the machine code on disk, run without the interpreter lock."""
    return _compiled(function)


def bare_inlined(function: Function) -> Function:
    """As `inlined`, without reference counts; for use in a `bare_kernel`."""
    return _compiled(function, forceinline=True, _nrt=False)


def bare_kernel(function: Function) -> Function:
    """As `kernel`, without reference counts, so it cannot make arrays.

    Numba counts references to arrays atomically around every inlined function that
    branches: with them, SVLS takes 1.2 times as long. A copy from slice to slice needs
    memory where they might overlap, so it cannot be in such a kernel either.
    """
    return _compiled(function, _nrt=False)


def _compiled(function: Function, **options: bool) -> Function:
    # NumPy's error model: a division by 0 gives infinity or NaN. Python's raises, and the test
    # for it keeps loops from being vectorised. Compiling takes seconds, hence the cache.
    compiled = numba.njit(nogil=True, error_model="numpy", **options)(function)
    keep_machine_code(compiled)
    return cast(Function, compiled)
