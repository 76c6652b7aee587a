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

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel

__all__ = ["Surfels", "walk_surfels"]

RUN = 32
"""Corners of a row that are looked at together."""


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
    depth, height, width = class_indices.shape
    labels, codes = np.empty(8, np.int64), np.empty(8, np.int64)
    writes = len(surfels.codes) > 0
    for z in range(first_plane, last_plane):
        before, behind = (0, 0) if flat else (z - 1, z)
        for y in range(height + 1):
            a = _row(class_indices, blank, before, y - 1)
            b = _row(class_indices, blank, before, y)
            c = _row(class_indices, blank, behind, y - 1)
            d = _row(class_indices, blank, behind, y)
            x = 0
            while x <= width:
                # Most corners lie inside of something: all of a run at once, or one by one takes
                # 4 times as long.
                if x > 0 and x + RUN <= width and _is_one(a, b, c, d, x - 1):
                    x += RUN
                    continue
                stop = min(x + RUN, width + 1)
                for column in range(x, stop):
                    found = _codes(a, b, c, d, column, blank[0], labels, codes)
                    for i in range(found):
                        label = labels[Unsigned(i)]
                        if wanted[Unsigned(label)]:
                            place = places[Unsigned(label)]
                            places[Unsigned(label)] = place + 1
                            if writes:
                                surfels.rows[Unsigned(place)] = z * (height + 1) + y
                                surfels.columns[Unsigned(place)] = column
                                surfels.codes[Unsigned(place)] = codes[Unsigned(i)]
                x = stop


@inlined
def _row(class_indices: NDArray[Any], blank: NDArray[Any], z: int, y: int) -> NDArray[Any]:
    inside = 0 <= z < class_indices.shape[0] and 0 <= y < class_indices.shape[1]
    return class_indices[z, y] if inside else blank


@inlined
def _is_one(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any], start: int
) -> bool:
    """Whether the voxels of four rows around a run of corners have one label."""
    first = a[Unsigned(start)]
    difference = first ^ first
    for i in range(RUN + 1):
        x = Unsigned(start + i)
        difference |= (a[x] ^ first) | (b[x] ^ first) | (c[x] ^ first) | (d[x] ^ first)
    return bool(difference == 0)


@inlined
def _codes(
    a: NDArray[Any], b: NDArray[Any], c: NDArray[Any], d: NDArray[Any], x: int, outside: int,
    labels: NDArray[np.int64], codes: NDArray[np.int64],
) -> int:  # fmt: skip
    """The labels around a corner, each once, with their codes; how many, 0 inside of one."""
    width = len(a)
    left, right = Unsigned(x - 1), Unsigned(x)
    a0, b0, c0, d0 = outside, outside, outside, outside
    a1, b1, c1, d1 = outside, outside, outside, outside
    if x > 0:
        a0, b0, c0, d0 = a[left], b[left], c[left], d[left]
    if x < width:
        a1, b1, c1, d1 = a[right], b[right], c[right], d[right]
    if (a0 ^ a1) | (a0 ^ b0) | (a0 ^ b1) | (a0 ^ c0) | (a0 ^ c1) | (a0 ^ d0) | (a0 ^ d1) == 0:
        return 0
    found = 0
    bit = 128
    for label in (a0, a1, b0, b1, c0, c1, d0, d1):
        k = 0
        while k < found and labels[Unsigned(k)] != label:
            k += 1
        if k == found:
            labels[Unsigned(k)] = label
            codes[Unsigned(k)] = 0
            found += 1
        codes[Unsigned(k)] |= bit
        bit >>= 1
    return found
