"""Views of arrays as kernels take them; free of numba, which is slow to import."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

__all__ = ["read_only"]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, not to be written to.

    Numba compiles a kernel once for arrays that may be written and once for those that
    may not; a view that may not is always to be had.
    """
    view = array.view()
    view.flags.writeable = False
    return view
