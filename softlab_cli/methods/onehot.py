"""One-hot labels: the hard label as a soft one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Region, Shape
from softlab_cli.classes import ClassTable
from softlab_cli.methods.base import scratch_bytes
from softlab_cli.softblock import SoftBlock
from softlab_cli.volume import Geometry

__all__ = ["OneHot"]


@dataclass(frozen=True)
class OneHot:
    """1 for a voxel's own class, 0 for the others."""

    name: ClassVar[str] = "onehot"

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """None: a voxel's own class is all that matters."""
        return 0, 0, 0

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread."""
        from softlab_cli.methods.painting import Painter

        return Painter(len(classes), classes.ignore_index, block, 0.0, 1.0)

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""
        return scratch_bytes(class_count, block, (0, 0, 0))

    def soften(
        self, class_indices: NDArray[np.unsignedinteger[Any]], region: Region, workspace: Any
    ) -> Iterator[SoftBlock]:
        """Soft labels of one block."""
        blocks: Iterator[SoftBlock] = workspace.soften(class_indices, region)
        return blocks
