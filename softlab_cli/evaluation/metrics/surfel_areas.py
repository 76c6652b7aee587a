"""Area of the surface at a corner, for each way in which a class can lie around it.

The surface between the 8 voxels around a corner is that of marching cubes (Lorensen and Cline,
1987): it cuts each edge between a voxel with the class and one without in its middle. Two rules
make it one surface for each of the 256 codes (`softlab_cli.kernels.surfels`):

- on a face where the class lies on one diagonal only, the rarer of the two (with or without)
  is cut off at each corner, so that a code and its complement have one surface;
- what is cut out is a ring of 3 to 6 points; it is filled by the triangles, among all ways to
  do so, whose area is the largest where voxels are cubes.

With these the areas are those of DeepMind's surface-distance for every code and spacing; tests
compare them. In a picture, there are the lengths of the cuts of one face.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

__all__ = ["contour_lengths", "surfel_areas"]

Point = tuple[int, int, int]
"""Twice the place inside the cube, so that the middle of an edge is a whole number as well."""

CORNERS: tuple[Point, ...] = tuple(
    (2 * z, 2 * y, 2 * x) for z, y, x in product((0, 1), (0, 1), (0, 1))
)
"""In the order of the bits of a code, the highest first."""

CODES = 256


def surfel_areas(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """(256,) mm^2 of surface at a corner of a volume, by code.

    Parameters
    ----------
    spacing_mm
        Of the voxels, along Z, Y and X.
    """
    z, y, x = (float(s) for s in spacing_mm)
    sides = _triangles() * np.array([y * x, z * x, z * y])
    areas: NDArray[np.float64] = np.sqrt((sides**2).sum(axis=-1)).sum(axis=-1)
    return areas


def contour_lengths(spacing_mm: Sequence[float]) -> NDArray[np.float64]:
    """(256,) mm of contour at a corner of a picture, by code; 0 for codes that it cannot have.

    Parameters
    ----------
    spacing_mm
        Of the pixels, along Y and X.
    """
    scale = np.array([0.0, *map(float, spacing_mm)]) / 2
    lengths = np.zeros(CODES)
    for half in range(16):
        code = half << 4 | half
        cuts = _cuts(_inside(code), CORNERS[:4])
        ends = np.array(cuts, float).reshape(-1, 2, 3) * scale
        lengths[code] = np.sqrt(((ends[:, 0] - ends[:, 1]) ** 2).sum(axis=-1)).sum()
    return lengths


@cache
def _triangles() -> NDArray[np.float64]:
    """(256, most triangles, 3) area of each triangle seen along Z, Y and X, for cubes of 1 mm."""
    found: list[list[NDArray[np.float64]]] = []
    for code in range(CODES):
        # A code and its complement have one surface.
        twin = CODES - 1 - code
        if twin < code:
            found.append(found[twin])
        else:
            found.append([area for ring in _rings(_inside(code)) for area in _fill(ring)])
    table = np.zeros((CODES, max(map(len, found)), 3))
    for code, areas in enumerate(found):
        table[code, : len(areas)] = np.array(areas).reshape(-1, 3)
    return table


def _inside(code: int) -> frozenset[Point]:
    """The corners of the cube that have the class, or those that have not where these are fewer."""
    has = frozenset(c for bit, c in enumerate(CORNERS) if code & 128 >> bit)
    return has if len(has) <= len(CORNERS) // 2 else frozenset(CORNERS) - has


def _faces() -> Iterator[tuple[Point, ...]]:
    for axis, side in product(range(3), (0, 2)):
        yield tuple(c for c in CORNERS if c[axis] == side)


def _cuts(inside: frozenset[Point], face: Sequence[Point]) -> list[tuple[Point, Point]]:
    """The lines in which the surface cuts a face, whose corners are in the order of CORNERS."""
    first, second, third, fourth = face
    around = (first, second, fourth, third)
    has = [corner in inside for corner in around]
    if sum(has) == 2 and has[0] == has[2]:
        alone = [i for i in range(4) if has[i]]
        return [
            (_middle(around[i - 1], around[i]), _middle(around[i], around[(i + 1) % 4]))
            for i in alone
        ]
    ends = [_middle(around[i - 1], around[i]) for i in range(4) if has[i - 1] != has[i]]
    return [(ends[0], ends[1])] if ends else []


def _middle(a: Point, b: Point) -> Point:
    z, y, x = ((i + j) // 2 for i, j in zip(a, b, strict=True))
    return z, y, x


def _rings(inside: frozenset[Point]) -> Iterator[list[Point]]:
    """The closed lines in which the surface cuts the faces of the cube."""
    neighbours: dict[Point, list[Point]] = {}
    for a, b in (cut for face in _faces() for cut in _cuts(inside, face)):
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    while neighbours:
        ring = [min(neighbours)]
        while following := [p for p in neighbours.pop(ring[-1]) if p in neighbours]:
            ring.append(following[0])
        yield ring


def _fill(ring: list[Point]) -> list[NDArray[np.float64]]:
    """Areas of the triangles that fill a ring."""
    points = np.array(ring) / 2
    ways = [
        [np.cross(points[b] - points[a], points[c] - points[a]) / 2 for a, b, c in way]
        for way in _ways(0, len(ring) - 1)
    ]
    return max(ways, key=lambda way: round(sum(float(np.linalg.norm(area)) for area in way), 9))


def _ways(first: int, last: int) -> list[list[tuple[int, int, int]]]:
    """All ways to fill the points from first to last with triangles."""
    if last - first < 2:
        return [[]]
    return [
        [*before, *after, (first, middle, last)]
        for middle in range(first + 1, last)
        for before in _ways(first, middle)
        for after in _ways(middle, last)
    ]
