"""What makes soft labels block by block, and the scratch memory of one thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE, SEGMENT

__all__ = ["InWorkspace", "Softener", "Workspace", "scratch_bytes"]


class Workspace(Protocol):
    """Scratch memory of one thread; made by a method, used with that method only."""

    def soften(
        self, class_indices: NDArray[np.unsignedinteger[Any]], region: Region
    ) -> Iterator[SoftBlock]:
        """As `Softener.soften`."""
        ...


class Softener(Protocol):
    """Makes soft labels block by block, from indices that it is given.

    A local method is one; a method that has to see the whole case first makes one.
    All memory that it needs on the way lies in a workspace, one for each thread.
    """

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Workspace:
        """Scratch memory for blocks of at most `block` voxels.

        Parameters
        ----------
        classes
            The class table; of it, the number of classes and the ignore index matter.
        geometry
            The grid; of it, the spacing matters, and whether it is a picture
            (``ndim`` 2): a picture has no neighbours along Z.
        block
            Voxels of the largest block.
        """
        ...

    def soften(
        self, class_indices: NDArray[np.unsignedinteger[Any]], region: Region, workspace: Any
    ) -> Iterator[SoftBlock]:
        """Soft labels of one block, in one or several groups of classes.

        Parameters
        ----------
        class_indices
            (Z, Y, X) unsigned integers. The whole volume, or any part of it that
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
            With `region` as given. Each class at most once over all groups; the
            sums add up over groups.
        """
        ...


class InWorkspace:
    """What softens in its workspace, and needs nothing else for it."""

    def soften(
        self,
        class_indices: NDArray[np.unsignedinteger[Any]],
        region: Region,
        workspace: Workspace,
    ) -> Iterator[SoftBlock]:
        """Soft labels of one block; see `Softener.soften`."""
        return workspace.soften(class_indices, region)


def scratch_bytes(class_count: int, block: Shape, halo: Shape) -> int:
    """What the scratch memory that all methods need occupies.

    Parameters
    ----------
    class_count
        Classes of the table.
    block
        Voxels of the largest block.
    halo
        Neighbours on each side of it.
    """
    z, y = block[0] + 2 * halo[0], block[1] + 2 * halo[1]
    segments = -(-block[2] // SEGMENT)
    width = segments * SEGMENT + 2 * halo[2]
    values = (min(class_count, MAX_CLASSES_AT_ONCE) + 1) * block[0] * block[1] * block[2] * 2
    index_bytes, indices = (1, 2**8) if class_count <= 255 else (2, 2**16)
    per_class = 48 * (class_count + MAX_CLASSES_AT_ONCE)
    rows = 8 * z * y * segments
    return values + z * y * width * index_bytes + rows + 16 * indices + per_class
