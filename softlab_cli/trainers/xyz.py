"""Soft labels the way MONAI and TorchIO hold arrays: (C, X, Y, Z) with an affine in RAS+.

Files and stores have (Z, Y, X) in C order, which is (X, Y, Z) in Fortran order:
nothing has to move in memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.api import open_store
from softlab_cli.core.errors import UsageError
from softlab_cli.core.extras import require
from softlab_cli.store.files import METADATA
from softlab_cli.store.reader import Case, Store

with require("torch", extra="torch", problem="softlab's adapters need torch."):
    import torch

__all__ = ["SEPARATOR", "CaseName", "fill_background", "find_case", "label_xyz", "soft_xyz"]

SEPARATOR = "::"
"""Between the store and the case in the text ``soft.zarr::s01``."""

STORES_KEPT_OPEN = 16

CaseName = str | tuple[str | Path | Store, str] | Case
"""``"soft.zarr::s01"``, ``(store, "s01")``, an open case, or ``"s01"`` of a known store."""


def find_case(name: CaseName, store: Store | None = None) -> Case:
    """The case that something names.

    Parameters
    ----------
    name
        See `CaseName`.
    store
        The store, where `name` names none.

    Raises
    ------
    UsageError
        When the name makes no sense.
    StoreError
        When there is no such store or case.
    """
    if isinstance(name, Case):
        return name
    if isinstance(name, str):
        path, mark, case_id = name.rpartition(SEPARATOR)
        if mark:
            return opened(path)[case_id]
        if store is not None:
            return store[name]
    elif len(name) == 2:
        return opened(name[0])[name[1]]
    raise UsageError(
        f"{name!r} names no case.",
        remedy=f"Write 'soft.zarr{SEPARATOR}case_id' or (store, case_id).",
    )


def opened(store: str | Path | Store) -> Store:
    """An open store; the same one again in this process, as long as it is not made anew."""
    if isinstance(store, Store):
        return store
    metadata = Path(store) / METADATA
    return _open(str(store), metadata.stat().st_mtime_ns if metadata.exists() else 0)


@lru_cache(STORES_KEPT_OPEN)
def _open(path: str, made_ns: int) -> Store:
    return open_store(path)


def soft_xyz(case: Case, classes: Sequence[int] | None = None) -> NDArray[np.float16]:
    """Soft label of a whole case.

    Parameters
    ----------
    case
        An open case.
    classes
        Class indices in the order wanted; None for all.

    Returns
    -------
    soft
        (C, X, Y, Z) float16, or (C, X, Y) in 2D; a view of an array in file order.
    """
    soft = case.read(classes=classes)
    return soft.transpose(0, *range(soft.ndim - 1, 0, -1))


def label_xyz(case: Case) -> NDArray[np.unsignedinteger[Any]]:
    """Hard label of a whole case: (1, X, Y, Z) class indices, or (1, X, Y) in 2D."""
    return case.read_label().T[None]


def fill_background(soft: torch.Tensor, background_index: int = 0) -> torch.Tensor:
    """Give what is missing to a sum of 1 to the background class.

    Where a spatial transform looked outside the volume, or partly so, all classes
    are 0, or add up to less than 1. That is background, unless the store has
    ignored voxels: these are 0 for all classes as well and cannot be told apart
    afterwards.

    Parameters
    ----------
    soft
        (C, ...) of a floating type, none below 0.
    background_index
        Index of the background class.

    Returns
    -------
    soft
        A tensor of the same kind whose sums over classes are at least 1.
    """
    filled = soft.clone()
    filled[background_index] += (1 - soft.sum(dim=0)).clamp(min=0)
    return filled
