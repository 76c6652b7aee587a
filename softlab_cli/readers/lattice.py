"""Grids of one lattice: the same voxels of the world, in another order or another cut.

Two grids cover the same world when one is the other with its axes flipped or permuted.
They lie on one lattice when, besides, they begin or end a whole number of voxels apart,
as a cropped label map does. Both are found here, in integers, without any voxel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.volume import GRID_TOLERANCE_VOXELS, Geometry, corner_voxels

__all__ = ["Placement", "Turn", "find_placement", "find_turn", "target_to_source"]

Sizes = tuple[int, int, int]


@dataclass(frozen=True)
class Turn:
    """Axis order and flips that lead from one grid to another.

    Parameters
    ----------
    order
        Which source axis (Z, Y, X) becomes each target axis.
    flips
        Whether each target axis runs backwards along its source axis.
    """

    order: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    @property
    def is_identity(self) -> bool:
        """Whether nothing changes."""
        return self.order == (0, 1, 2) and not any(self.flips)

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """Turn the last three axes of an array; the array itself when nothing changes.

        Parameters
        ----------
        array
            (..., Z, Y, X) of any type.
        """
        return array if self.is_identity else np.ascontiguousarray(self.view(array))

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """The same without a copy."""
        lead = array.ndim - 3
        turned = array.transpose(*range(lead), *(lead + axis for axis in self.order))
        steps = tuple(slice(None, None, -1 if flip else None) for flip in self.flips)
        return turned[(..., *steps)]

    def shape(self, source: Sizes) -> Sizes:
        """Voxels along the axes of an array once it is turned."""
        z, y, x = (source[axis] for axis in self.order)
        return z, y, x


UNTURNED = Turn((0, 1, 2), (False, False, False))


@dataclass(frozen=True)
class Placement:
    """How one grid lies on another of the same lattice.

    Parameters
    ----------
    turn
        What turns the source first.
    shift
        Voxels along (Z, Y, X): a target voxel is the turned source's voxel at its own
        index plus this.
    source, target
        Voxels along (Z, Y, X) of the source once turned, and of the target.
    """

    turn: Turn
    shift: Sizes
    source: Sizes
    target: Sizes

    @property
    def is_turn(self) -> bool:
        """Whether nothing is cut or added."""
        return self.shift == (0, 0, 0) and self.source == self.target

    @property
    def added(self) -> tuple[tuple[int, int], ...]:
        """Voxels added before and behind, along (Z, Y, X); those cut count below zero."""
        return tuple(
            (-shift, target + shift - source)
            for shift, source, target in zip(self.shift, self.source, self.target, strict=True)
        )

    @property
    def overlaps(self) -> bool:
        """Whether any voxel is in both."""
        return all(start < stop for start, stop in self._shared())

    def _shared(self) -> list[tuple[int, int]]:
        """First voxel and the one after the last that both have, in the target's count."""
        return [
            (max(0, -shift), min(target, source - shift))
            for shift, source, target in zip(self.shift, self.source, self.target, strict=True)
        ]

    def apply(self, array: NDArray[Any]) -> NDArray[Any]:
        """The array (Z, Y, X) on the target grid, 0 where voxels were added."""
        if self.is_turn:
            return self.turn.apply(array)
        turned = self.turn.view(array)
        placed = np.zeros(self.target, array.dtype)
        shared = self._shared()
        inside = tuple(slice(start, stop) for start, stop in shared)
        taken = tuple(
            slice(start + shift, stop + shift)
            for (start, stop), shift in zip(shared, self.shift, strict=True)
        )
        placed[inside] = turned[taken]
        return placed


def find_placement(source: Geometry, target: Geometry) -> Placement | None:
    """How a grid lies on another of the same lattice; None for other lattices.

    Parameters
    ----------
    source, target
        The grids. The lattices count as one when, turned and moved by whole voxels, no
        corner of the target lies further than `GRID_TOLERANCE_VOXELS` from its
        counterpart. They need not overlap.
    """
    if source.equals(target):
        return Placement(UNTURNED, (0, 0, 0), source.shape, target.shape)
    matrix = target_to_source(source, target)
    if matrix is None or float(np.abs(matrix).max()) > np.iinfo(np.int32).max:
        return None
    exact = np.rint(matrix).astype(np.int64)
    rotation = exact[:, :3]
    if not (np.abs(rotation).sum(axis=0) == 1).all() or abs(np.linalg.det(rotation)) != 1:
        return None
    off = (matrix - exact) @ corner_voxels(target.shape)
    if float(np.abs(off).max()) > GRID_TOLERANCE_VOXELS:
        return None
    axes = np.argmax(np.abs(rotation), axis=0)  # source axis of each target axis, (x, y, z)
    back = rotation[axes, range(3)] < 0
    size = np.array(source.shape[::-1])[axes]
    start = exact[axes, 3]
    shift = [int(s) for s in np.where(back, size - 1 - start, start)]
    turn = Turn(
        (2 - int(axes[2]), 2 - int(axes[1]), 2 - int(axes[0])),
        (bool(back[2]), bool(back[1]), bool(back[0])),
    )
    placed = (shift[2], shift[1], shift[0])
    return Placement(turn, placed, turn.shape(source.shape), target.shape)


def find_turn(source: Geometry, target: Geometry) -> Turn | None:
    """How to turn one grid into another, or None when they differ in more.

    Parameters
    ----------
    source, target
        The grids, compared as in `find_placement`.
    """
    placement = find_placement(source, target)
    return placement.turn if placement is not None and placement.is_turn else None


def target_to_source(source: Geometry, target: Geometry) -> NDArray[np.float64] | None:
    """(3, 4) voxel (x, y, z) of the target to voxel of the source; None when there is none."""
    try:
        matrix = np.linalg.solve(source.affine, target.affine)[:3].astype(np.float64)
    except np.linalg.LinAlgError:
        return None
    return matrix if bool(np.isfinite(matrix).all()) else None
