"""Every engine by its name; modules are imported when they are asked for.

Who needs it, and what would be lost without it (figures: docs/BENCHMARKS.md):

- ``numba``: everyone, as it runs wherever softlab does. Without it, converged distances
  (off by 3e-7 to 4e-7 of their mean) would need a CUDA device.
- ``cuda``: whoever has such a device and many classes or cases. Without it, only time: its
  bits are those of numba: 0.8 s on an H200 for 116 classes that take 16 cores 7.5 s.
- ``fastgeodis``: whoever repeats what was made with that package, whose distances are off by
  5e-4 to 4e-3 of their mean after 4 iterations, or checks us against it. Without it, only
  that: numba converges in the same metric, in a twelfth of its processor time or less.
- ``parity``: whoever repeats the numbers of the GeoLS authors, which are off by 0.06 to 0.15
  of the mean distance. Without it they could not be had here, as no converged engine has them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, cast

from softlab_cli.core.errors import EngineError, PackageError, UsageError
from softlab_cli.geodesic.base import Engine

__all__ = ["AUTO", "ENGINES", "resolve_engine"]

AUTO = "auto"
"""Stands for cuda where there is a device, else for numba."""


class _Engines(Mapping[str, type[Any]]):
    """Name to class; a class is imported when it is looked up."""

    def __init__(self, places: Mapping[str, tuple[str, str]]) -> None:
        self._places = places

    def __getitem__(self, name: str) -> type[Any]:
        module, kind = self._places[name]
        try:
            return cast(type[Any], getattr(import_module(module), kind))
        except ImportError as error:
            raise PackageError(
                f"the engine {name!r} cannot be imported: {error}.",
                remedy="Install what is missing, or choose the engine 'numba'.",
            ) from error

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


ENGINES: Mapping[str, type[Any]] = _Engines(
    {
        "numba": ("softlab_cli.geodesic.exact", "ExactEngine"),
        "cuda": ("softlab_cli.geodesic.cuda", "CudaEngine"),
        "fastgeodis": ("softlab_cli.geodesic.fastgeodis", "FastGeodisEngine"),
        "parity": ("softlab_cli.geodesic.raster", "RasterEngine"),
    }
)
"""Every engine, by its name on the command line."""


def resolve_engine(name: str = AUTO, iterations: int | None = None) -> Engine:
    """An engine that works here.

    Parameters
    ----------
    name
        One of `ENGINES`, or ``auto``: cuda where there is a device, else numba.
    iterations
        For engines that stop after some iterations; None is the engine's own default.

    Raises
    ------
    UsageError
        There is no such engine, or it converges and takes no iterations.
    EngineError
        The engine cannot work here.
    """
    if name == AUTO:
        name = "cuda" if _works("cuda") else "numba"
    if name not in iter(ENGINES):
        raise UsageError(
            f"there is no engine {name!r}.", remedy=f"Choose one of {', '.join([AUTO, *ENGINES])}."
        )
    kind = ENGINES[name]
    if iterations is None:
        engine = kind()
    elif not hasattr(kind, "iterations"):
        raise UsageError(
            f"the engine {name!r} runs until it has converged: it takes no iterations.",
            remedy="Leave iterations out, or choose the engine 'parity' or 'fastgeodis'.",
        )
    elif iterations < 1:
        raise UsageError(f"iterations is {iterations}.", remedy="Give 1 or more.")
    else:
        engine = kind(iterations=iterations)
    engine.check()
    return cast(Engine, engine)


def _works(name: str) -> bool:
    try:
        ENGINES[name]().check()
    except EngineError:
        return False
    return True
