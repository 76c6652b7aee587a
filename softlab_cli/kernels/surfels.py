"""Surface elements of all classes of a label map, found in one pass.

A *corner* is a point at which voxels meet: 8 in a volume, 4 in a picture. Where some of
them have a class and some have not, the class's surface passes, and the corner is a
*surfel* of the class. Which of the 8 have it is the surfel's code:

- 128, 64, 32, 16: the four in the slice before, (y - 1, x - 1), (y - 1, x), (y, x - 1), (y, x);
- 8, 4, 2, 1: the four in the slice behind, in the same order.

There are (Z + 1) x (Y + 1) x (X + 1) corners; what lies outside the volume has no class, so
that surfaces are closed at its border. A picture stands for a slice like its neighbours.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel, lowest_bit

__all__ = ["Surfels", "walk_surfels"]

RUN = 32
"""Corners of a row that are looked at together."""

EVERYWHERE = 255
"""Code of a corner all of whose voxels have the class."""


class Surfels(NamedTuple):
    """Places and codes of surfels, those of a class side by side, in the order of the volume.

    Parameters
    ----------
    rows
        (n,) int32, ``z * (Y + 1) + y`` of the corner.
    columns
        (n,) int32, x of the corner.
    codes
        (n,) uint8.
    """

    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    codes: NDArray[np.uint8]


@kernel
def walk_surfels(
    class_indices: NDArray[Any], blank: NDArray[Any], wanted: NDArray[np.bool_],
    first_plane: int, last_plane: int, flat: bool,
    places: NDArray[np.int64], surfels: Surfels,
) -> None:  # fmt: skip
    """Count the surfels of each class in some planes of corners, or write them.

    Parameters
    ----------
    class_indices
        (Z, Y, X) of an unsigned type, each below ``len(wanted)``.
    blank
        (X,) of an index that is not wanted: what lies outside.
    wanted
        Class index to whether its surfels are wanted.
    first_plane, last_plane
        The planes from the first to before the last, of 0 to Z.
    flat
        Whether it is a picture: plane 0 alone, between slice 0 and itself.
    places
        (indices,) place of the next surfel of each class; is changed.
    surfels
        Where they are written; nothing is where it is empty.
    """
    height, width = class_indices.shape[1:]
    around = np.empty(8, np.int64)
    for z in range(first_plane, last_plane):
        before, behind = (0, 0) if flat else (z - 1, z)
        for y in range(height + 1):
            a = _row(class_indices, blank, before, y - 1)
            b = _row(class_indices, blank, before, y)
            c = _row(class_indices, blank, behind, y - 1)
            d = _row(class_indices, blank, behind, y)
            row = z * (height + 1) + y
            _list(a, b, c, d, 0, row, wanted, around, places, surfels)
            for start in range(1, width, RUN):
                stop = min(start + RUN, width)
                # Most corners lie inside of something: all of a run at once, or one by one takes
                # 3 times as long.
                if not _is_one(a, b, c, d, start - 1, stop):
                    for x in range(start, stop):
                        if not _is_one(a, b, c, d, x - 1, x + 1):
                            _list(a, b, c, d, x, row, wanted, around, places, surfels)
            _list(a, b, c, d, width, row, wanted, around, places, surfels)


@inlined
def _row(class_indices: NDArray[Any], blank: NDArray[Any], z: int, y: int) -> NDArray[Any]:
    inside = 0 <= z < class_indices.shape[0] and 0 <= y < class_indices.shape[1]
    return class_indices[z, y] if inside else blank


@inlined
def _is_one(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any], start: int, stop: int
) -> bool:
    """Whether the voxels of four rows have one label, from the first to before the last."""
    first = a[Unsigned(start)]
    difference = first ^ first
    for i in range(start, stop):
        x = Unsigned(i)
        difference |= (a[x] ^ first) | (b[x] ^ first) | (c[x] ^ first) | (d[x] ^ first)
    return bool(difference == 0)


@inlined
def _list(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any], x: int, row: int,
    wanted: NDArray[np.bool_], around: NDArray[np.int64],
    places: NDArray[np.int64], surfels: Surfels,
) -> None:  # fmt: skip
    """Count or write the surfels of a corner: one for each wanted label that some voxels have."""
    _look_around(a, b, c, d, x, around)
    rest = EVERYWHERE
    while rest:
        label = around[Unsigned(lowest_bit(rest))]
        code = 0
        for bit in range(8):
            code |= int(around[Unsigned(bit)] == label) << bit
        rest &= ~code
        # A corner inside of a label has no surface.
        if label >= 0 and code != EVERYWHERE and wanted[Unsigned(label)]:
            place = Unsigned(places[Unsigned(label)])
            places[Unsigned(label)] += 1
            if len(surfels.codes) > 0:
                surfels.rows[place] = row
                surfels.columns[place] = x
                surfels.codes[place] = code


@inlined
def _look_around(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any], x: int,
    around: NDArray[np.int64],
) -> None:  # fmt: skip
    """The labels around a corner, each where its bit is in the code; -1 outside."""
    around[:] = -1
    if x > 0:
        left = Unsigned(x - 1)
        around[7], around[5], around[3], around[1] = a[left], b[left], c[left], d[left]
    if x < len(a):
        right = Unsigned(x)
        around[6], around[4], around[2], around[0] = a[right], b[right], c[right], d[right]
