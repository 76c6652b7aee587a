"""Small kernels that tests write around what kernels are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """As a `bare_kernel`, but compiled anew in each run.

    Machine code that is kept on the disk knows nothing of a change in what it calls: a test
    around it would go on passing.
    """
    return numba.njit(nogil=True, error_model="numpy", _nrt=False)(function)


def compiled_with_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same of a function that makes arrays."""
    return numba.njit(nogil=True, error_model="numpy")(function)
