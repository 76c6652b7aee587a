"""Opening a store, with what computes soft labels where it holds hard ones only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.methods import METHODS, Fuse
from softlab_cli.methods.base import LocalMethod
from softlab_cli.store.reader import Case, Store

__all__ = ["Case", "Store", "open_store"]


def open_store(path: str | Path, *, from_label: bool = False) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        The folder that ``softlab svls`` or another method wrote.
    from_label
        Compute soft labels from the hard ones on read, although they are stored.
        With many classes this can be faster; the bits are the same. Stores of
        hard labels only are always read so.

    Returns
    -------
    Store
        A mapping of case ids to cases. It may be pickled, and used after a fork
        and from several threads.

    Raises
    ------
    StoreError
        When the folder is no store, or its method is not known here.

    Examples
    --------
    ::

        store = open_store("soft.zarr")
        patch = store["s01"].read((slice(0, 64), slice(-8, 56), slice(0, 64)))
    """
    store = Store(path)
    if not (from_label or store.info.labels_only):
        return store
    return Store(path, _Softener(_method_of(store), store.classes))


def _method_of(store: Store) -> LocalMethod:
    info = store.info
    if info.method in METHODS:
        return METHODS[info.method](**info.parameters)
    if info.method == Fuse.name and (method := Fuse.from_parameters(info.parameters).on_labels()):
        return method
    raise StoreError(
        f"its soft labels are those of {info.method!r}, which softlab cannot compute on read.",
        remedy=f"It can for {', '.join(METHODS)}, and for a majority of raters.",
        path=store.path,
    )


@dataclass(frozen=True)
class _Softener:
    """A local method as the store's reader calls it; workspaces are kept for each thread."""

    method: LocalMethod
    classes: ClassTable
    _local: threading.local = field(
        default_factory=threading.local, init=False, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return _Softener, (self.method, self.classes)

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        return self.method.halo(spacing_mm)

    def soften(
        self,
        class_indices: NDArray[np.unsignedinteger[Any]],
        region: Region,
        geometry: Geometry,
        block: Shape,
    ) -> Iterator[SoftBlock]:
        workspace = self._workspace(geometry, block)
        return self.method.soften(class_indices, region, workspace)

    def _workspace(self, geometry: Geometry, block: Shape) -> Any:
        # A workspace serves all cases whose voxels have the same shape.
        key = (geometry.spacing_mm, geometry.ndim, block)
        if getattr(self._local, "key", None) != key:
            self._local.key = key
            self._local.workspace = self.method.workspace(self.classes, geometry, block)
        return self._local.workspace
