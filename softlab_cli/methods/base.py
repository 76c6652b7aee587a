"""The contract that every local method keeps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Region, Shape
from softlab_cli.softblock import SoftBlock

__all__ = ["LocalMethod", "Workspace"]


class Workspace(Protocol):
    """Scratch memory of one thread; made by a method, used with that method only."""


class LocalMethod(Protocol):
    """A method whose soft label at a voxel depends on that voxel's neighbourhood only.

    A method is immutable, picklable and cheap to make; all memory that it needs
    lies in a workspace, one for each thread.
    """

    name: str
    """Name on the command line."""

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, ready for JSON."""
        ...

    def halo(self, spacing_mm: Shape | tuple[float, float, float]) -> Shape:
        """Neighbours that the method needs on each side of a block, along (Z, Y, X)."""
        ...

    def workspace(
        self,
        class_count: int,
        ignore_index: int,
        spacing_mm: tuple[float, float, float],
        block: Shape,
    ) -> Workspace:
        """Scratch memory for blocks of at most `block` voxels on a grid of this spacing."""
        ...

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""
        ...

    def soften(
        self, class_indices: NDArray[np.unsignedinteger[Any]], region: Region, workspace: Any
    ) -> Iterator[SoftBlock]:
        """Soft labels of one block, in one or several groups of classes.

        Parameters
        ----------
        class_indices
            (Z, Y, X) uint8 or uint16. The whole volume, or any part of it that
            holds `region` with its halo; where the array ends the edge voxels are
            repeated (replicate padding), so a part must end only where the volume
            does or beyond the halo.
        region
            The block, counted from the corner of `class_indices`.
        workspace
            From `workspace`; the blocks' values live in it until the next call
            or the next group.

        Yields
        ------
        SoftBlock
            Each class at most once over all groups; the sums add up over groups.
        """
        ...


Parameters = Mapping[str, Any]
