"""Methods: one file each, all behind the contract in `softlab_cli.methods.base`.

Importing them is cheap; numba is imported when a workspace is made.
"""

from __future__ import annotations

from typing import TypeGuard

from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.geols.geols import GeoLS
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.raters.fuse import Fuse, RaterMethod
from softlab_cli.methods.raters.msvls import MSVLS
from softlab_cli.methods.svls.svls import SVLS
from softlab_cli.methods.uniform import UniformSmoothing

__all__ = [
    "METHODS",
    "MSVLS",
    "RATER_METHODS",
    "SVLS",
    "Fuse",
    "GeoLS",
    "LocalMethod",
    "OneHot",
    "RaterMethod",
    "UniformSmoothing",
    "takes_raters",
]

METHODS: dict[str, type[LocalMethod]] = {
    method.name: method for method in (OneHot, UniformSmoothing, SVLS)
}
"""Every local method, by its name on the command line."""

RATER_METHODS: dict[str, type[RaterMethod]] = {method.name: method for method in (MSVLS, Fuse)}
"""Every method that takes several raters, by its name on the command line."""


def takes_raters(method: object) -> TypeGuard[RaterMethod]:
    """Whether a method takes several raters."""
    return isinstance(method, tuple(RATER_METHODS.values()))
