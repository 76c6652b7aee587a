"""Cases of stores as an input: their soft labels, read class by class."""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.readers.soft import SoftFile
from softlab_cli.store.files import METADATA

if TYPE_CHECKING:
    from softlab_cli.store.reader import Case

__all__ = ["is_store_case", "open_store_case"]

CHUNK_BYTES = 1 << 26
"""Chunks that are decoded on the way."""


def is_store_case(path: Path) -> bool:
    """Whether a path is the folder of a case in a store."""
    return (path / METADATA).is_file()


def open_store_case(path: Path) -> tuple[SoftFile, ClassTable]:
    """The soft labels of a case in a store, and the store's classes.

    Parameters
    ----------
    path
        The case's folder in the store.

    Raises
    ------
    InputError
        When the store holds hard labels only.
    StoreError
        When it is damaged.
    """
    from softlab_cli.store.reader import Store

    store = Store(path.parent)
    if store.info.labels_only:
        raise InputError(
            "holds hard labels only: there is no soft label to import.",
            remedy="Give the store's sources to the method that made it, without --labels-only.",
            path=path.parent,
        )
    case = store[path.name]
    voxels = prod(case.geometry.shape)
    file = SoftFile(
        path, case.geometry, np.dtype(np.float16), len(store.classes), _Classes(case).read,
        bytes_held=2 * voxels + CHUNK_BYTES,
    )  # fmt: skip
    return file, store.classes


class _Classes:
    """The classes of a case, each as (Z, Y, X) float32."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def read(self, index: int) -> NDArray[np.float32]:
        values = self._case.read(classes=[index]).astype(np.float32)
        return values.reshape(self._case.geometry.shape)
