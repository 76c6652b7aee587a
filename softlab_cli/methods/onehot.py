"""One-hot labels: the hard label as a soft one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.base import OwnClassOnly

__all__ = ["OneHot"]


@dataclass(frozen=True)
class OneHot(OwnClassOnly):
    """1 for a voxel's own class, 0 for the others."""

    name: ClassVar[str] = "onehot"

    def parameters(self) -> dict[str, Any]:
        """None."""
        return {}

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread."""
        from softlab_cli.methods.painting import Painter

        return Painter(len(classes), classes.ignore_index, block, 0.0, 1.0)
