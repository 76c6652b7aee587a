"""Where an array lies, in the words of OME-NGFF.

NGFF 0.5 has one scale and one translation along each axis of an array, and no direction.
So its coordinates are lengths *along the array's own axes*, in millimetres: voxel i along
an axis has the coordinate ``scale i + translation``, and the point with the coordinates c
lies at ``U c`` in the world, where the columns of U are unit vectors along the axes in RAS+
millimetres. With the affine ``world = U S i + origin`` that makes ``scale`` the spacing
and ``translation`` = U^-1 origin.

Where axes run along those of the world, U has one 1 or -1 in each column, and RFC-4 names
it: "right-to-left" is an axis whose coordinates grow towards the left, so that each
coordinate is a coordinate of the world, or its negative. Oblique and sheared axes are
named by the nearest, which is all that 0.5 can say; images with the same axes (a crop,
other voxels, another sequence of the scan) still lie over each other exactly, as they
share U. NGFF 0.6 has affines (RFC-5), and U is one.

RFC-4 says that coordinates grow the way that an axis is named, and so it is here. Who takes
a translation for the origin of ITK instead, which is in LPS however the axes run (ngff-zarr
0.50 does, when it makes an image of ITK), is right for axes that run LPS only.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.volume import Geometry

__all__ = [
    "TOWARDS",
    "axes_of",
    "directions",
    "scale_of",
    "to_world",
    "translation_of",
    "world_axes",
]

SPATIAL = "zyx"
AFFINES_KEPT = 8
TOWARDS = (
    ("left-to-right", "right-to-left"),
    ("posterior-to-anterior", "anterior-to-posterior"),
    ("inferior-to-superior", "superior-to-inferior"),
)
"""RFC-4's names of an axis along x, y, z of the world (RAS+), and against it."""


def directions(geometry: Geometry) -> NDArray[np.float64]:
    """(3, 3) float64 U: unit vectors along the array's axes (x, y, z), in its columns."""
    columns: NDArray[np.float64] = geometry.affine[:3, :3] / geometry.spacing_mm[::-1]
    return columns


def scale_of(geometry: Geometry) -> list[float]:
    """Millimetres between voxels along (Z, Y, X), or (Y, X) in 2D."""
    return list(geometry.spacing_mm[3 - geometry.ndim :])


def translation_of(geometry: Geometry) -> list[float]:
    """Coordinates of the first voxel along (Z, Y, X), or (Y, X) in 2D, in millimetres."""
    _, along = _of_affine(geometry.affine.tobytes())
    return list(along[3 - geometry.ndim :])


def axes_of(geometry: Geometry) -> list[dict[str, Any]]:
    """Metadata of the axes (Z, Y, X), or (Y, X) in 2D, named by what they run towards.

    Where a file does not say how it lies, nobody knows what its axes run towards.
    """
    names = SPATIAL[3 - geometry.ndim :]
    if geometry.doubt:
        return [_axis(name) for name in names]
    towards, _ = _of_affine(geometry.affine.tobytes())
    return [_axis(name, towards["xyz".index(name)]) for name in names]


def _axis(name: str, towards: str = "") -> dict[str, Any]:
    plain: dict[str, Any] = {"name": name, "type": "space", "unit": "millimeter"}
    named = {"orientation": {"type": "anatomical", "value": towards}} if towards else {}
    return {**plain, **named}


@lru_cache(maxsize=AFFINES_KEPT)
def _of_affine(affine: bytes) -> tuple[list[str], list[float]]:
    """What the axes (x, y, z) run towards, and the coordinates of the first voxel, (Z, Y, X).

    Worked out once for all images with one affine (float64), such as the two of a case.
    """
    geometry = Geometry((1, 1, 1), np.frombuffer(affine).reshape(4, 4))
    first = np.linalg.solve(directions(geometry), geometry.affine[:3, 3])
    # Adding 0 makes -0 a 0.
    return _towards(geometry), [float(value) + 0.0 for value in first[::-1]]


def _towards(geometry: Geometry) -> list[str]:
    """What the axes (x, y, z) run towards; no two along one axis of the world."""
    columns = directions(geometry).tolist()
    # At 45 degrees two axes may be nearest to one of the world, and RFC-4 forbids that.
    every = [(sum(abs(columns[w][a]) for a, w in enumerate(p)), p) for p in permutations(range(3))]
    _, along = max(every)
    return [TOWARDS[world][int(columns[world][axis] < 0)] for axis, world in enumerate(along)]


def world_axes(geometry: Geometry) -> list[dict[str, Any]]:
    """Metadata of the world's axes that `to_world` leads to, in the order of its rows."""
    known = not geometry.doubt
    return [_axis("xyz"[world], TOWARDS[world][0] if known else "") for world in _rows(geometry)]


def to_world(geometry: Geometry) -> list[list[float]]:
    """Coordinates along the array's axes (Z, Y, X), or (Y, X), to RAS+ millimetres.

    Returns
    -------
    matrix
        A row for each of z, y, x of the world; a column for each axis of the array, then
        what is added. A picture whose axes stay in a slice has the rows y, x.
    """
    columns = directions(geometry)
    kept = [2, 1, 0][3 - geometry.ndim :]
    place = geometry.affine[:3, 3]
    # Nothing remains of a volume's place but rounding; of a picture's what lies across it.
    along = np.linalg.solve(columns, place)
    across = [axis for axis in range(3) if axis not in kept]
    added = columns[:, across] @ along[across]
    return [[*map(float, columns[world, kept] + 0.0), float(added[world]) + 0.0]
            for world in _rows(geometry)]  # fmt: skip


def _rows(geometry: Geometry) -> list[int]:
    """Axes of the world that are needed: z, y, x, or y, x for a picture in one slice."""
    in_slice = geometry.ndim == 2 and not directions(geometry)[2, :2].any()
    return [1, 0] if in_slice else [2, 1, 0]
