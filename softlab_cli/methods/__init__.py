"""Methods: one file each, all behind the contract in `softlab_cli.methods.base`.

Importing them is cheap; numba is imported when a workspace is made.
"""

from __future__ import annotations

from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.svls import SVLS
from softlab_cli.methods.uniform import UniformSmoothing

__all__ = ["METHODS", "SVLS", "LocalMethod", "OneHot", "UniformSmoothing"]

METHODS: dict[str, type[LocalMethod]] = {
    method.name: method for method in (OneHot, UniformSmoothing, SVLS)
}
"""Every local method, by its name on the command line."""
