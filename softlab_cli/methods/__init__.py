"""Methods: a module or a room each, all behind the contract in `softlab_cli.methods.base`.

To add one, write its module, its command, and its row in `softlab_cli.methods.registry`.
Names are imported when they are first used, and numba when a workspace is made.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softlab_cli.methods.registry import METHODS, method_class

if TYPE_CHECKING:
    from softlab_cli.methods.base import LocalMethod, Method
    from softlab_cli.methods.geols.geols import GeoLS
    from softlab_cli.methods.imported import Import
    from softlab_cli.methods.onehot import OneHot
    from softlab_cli.methods.raters.base import RaterMethod
    from softlab_cli.methods.raters.fuse import Fuse
    from softlab_cli.methods.raters.msvls import MSVLS
    from softlab_cli.methods.svls.svls import SVLS
    from softlab_cli.methods.uniform import UniformSmoothing
    from softlab_cli.methods.vls.vls import VLS

__all__ = [
    "METHODS",
    "MSVLS",
    "SVLS",
    "VLS",
    "Fuse",
    "GeoLS",
    "Import",
    "LocalMethod",
    "Method",
    "OneHot",
    "RaterMethod",
    "UniformSmoothing",
    "method_class",
]

_HOMES = {
    "Fuse": "raters.fuse",
    "GeoLS": "geols.geols",
    "Import": "imported",
    "LocalMethod": "base",
    "MSVLS": "raters.msvls",
    "Method": "base",
    "OneHot": "onehot",
    "RaterMethod": "raters.base",
    "SVLS": "svls.svls",
    "UniformSmoothing": "uniform",
    "VLS": "vls.vls",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softlab_cli.methods' has no attribute {name!r}")
    return getattr(importlib.import_module(f"softlab_cli.methods.{_HOMES[name]}"), name)
