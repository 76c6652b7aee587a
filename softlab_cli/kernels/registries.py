"""What numba loads before it runs its first kernel, without what no kernel needs."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["load_registries"]


def load_registries() -> None:
    """Let numba load its functions on arrays now, and leave scipy.linalg where it is.

    As they load, ``numba.np.arraymath`` asks once whether there is a BLAS, by importing
    scipy.linalg: 0.15 s of processor time in every process, a sixth of softening a small
    case. No kernel here multiplies matrices; where another's does, numba asks again.
    """
    try:
        from numba.core.compiler_lock import global_compiler_lock
        from numba.core.registry import cpu_target
        from numba.np import linalg
    except ImportError:  # these are numba's own affairs: another version loads all by itself
        return
    if "scipy.linalg" in sys.modules or not hasattr(linalg, "ensure_blas"):
        return
    with global_compiler_lock, _without_collection():
        ask: Any = linalg.ensure_blas
        linalg.ensure_blas = _assume_blas
        try:
            cpu_target.target_context.refresh()
        finally:
            linalg.ensure_blas = ask


def _assume_blas() -> None:
    """Stands for numba's question while its answer matters to nobody."""


@contextmanager
def _without_collection() -> Iterator[None]:
    """Look for no garbage for a moment in which there is none: 0.04 s."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
