"""Soft labels on read: a local method as the store's reader calls it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.base import LocalMethod

__all__ = ["SoftenOnRead"]


@dataclass(frozen=True)
class SoftenOnRead:
    """A local method with the classes of a store; workspaces are kept for each thread.

    See `softlab_cli.store.softening.LocalSoftener`.
    """

    method: LocalMethod
    classes: ClassTable
    _local: threading.local = field(
        default_factory=threading.local, init=False, repr=False, compare=False
    )

    def __reduce__(self) -> tuple[Any, ...]:
        return SoftenOnRead, (self.method, self.classes)

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """Neighbours that are needed on each side of a region, along (Z, Y, X)."""
        return self.method.halo(spacing_mm)

    def soften(
        self,
        class_indices: NDArray[np.unsignedinteger[Any]],
        region: Region,
        geometry: Geometry,
        block: Shape,
    ) -> Iterator[SoftBlock]:
        """Soft labels of a region, in one or several groups of classes."""
        workspace = self._workspace(geometry, block)
        return self.method.soften(class_indices, region, workspace)

    def _workspace(self, geometry: Geometry, block: Shape) -> Any:
        # A workspace serves all cases whose voxels have the same shape.
        key = (geometry.spacing_mm, geometry.ndim, block)
        if getattr(self._local, "key", None) != key:
            self._local.key = key
            self._local.workspace = self.method.workspace(self.classes, geometry, block)
        return self._local.workspace
