"""From what files say about their grid to one affine: voxel (x, y, z) to RAS+ millimetres."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError

__all__ = [
    "LPS_TO_RAS",
    "affine_from_itk",
    "largest_move_voxels",
    "shear_warnings",
    "sound_affine",
]

Affine = NDArray[np.float64]

LPS_TO_RAS: Affine = np.diag([-1.0, -1.0, 1.0, 1.0])
"""ITK and DICOM count to the left and to the back, NIfTI and softlab to the right and front."""

LARGEST_SHEAR_DEGREES = 0.1
"""Angles between axes that differ less from 90 degrees are rounding."""

SMALLEST_VOLUME = 1e-6
"""Volume of a voxel over the product of its edges, below which the axes lie in one plane."""


def affine_from_itk(
    spacing: Sequence[float], origin: Sequence[float], direction: Sequence[float]
) -> Affine:
    """The RAS+ affine of an ITK image; further axes than three are left out.

    Parameters
    ----------
    spacing, origin
        Millimetres along ITK's (x, y[, z]), in LPS.
    direction
        Square matrix in row order; its columns point along the axes.
    """
    size = len(spacing)
    n = min(size, 3)
    columns = np.reshape(np.asarray(direction, float), (size, size)) * np.asarray(spacing, float)
    affine = np.eye(4)
    affine[:n, :n] = columns[:n, :n]
    affine[:n, 3] = origin[:n]
    return LPS_TO_RAS @ affine


def sound_affine(affine: Affine, ndim: int, path: Path | None = None) -> Affine:
    """The affine, when it places voxels at all.

    A picture (`ndim` 2) may lack the axis across it: it gets one of 1 mm.

    Raises
    ------
    InputError
        For values that are not finite, axes of length 0 and axes in one plane.
    """
    axes = affine[:3, :3]
    if ndim == 2 and not axes[:, 2].any():
        normal = np.cross(axes[:, 0], axes[:, 1])
        affine = affine.copy()
        affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
        axes = affine[:3, :3]
    if not np.isfinite(affine).all():
        raise _unusable("has a position that is not a number", affine, path)
    lengths = np.linalg.norm(axes, axis=0)
    if not lengths.all():
        axis = "xyz"[int(np.argmin(lengths))]
        raise _unusable(f"has voxels of size 0 along {axis}", affine, path)
    if abs(np.linalg.det(axes / lengths)) < SMALLEST_VOLUME:
        raise _unusable("has axes that lie in one plane", affine, path)
    return affine


def _unusable(problem: str, affine: Affine, path: Path | None) -> InputError:
    rows = "; ".join(" ".join(f"{v:g}" for v in row) for row in affine[:3])
    return InputError(
        f"{problem} (affine [{rows}]).",
        remedy="Correct the header, or convert the original scan again.",
        path=path,
    )


def shear_warnings(affine: Affine) -> tuple[str, ...]:
    """A warning when the axes are not perpendicular, else nothing."""
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    cosines = axes.T @ axes
    worst = max(((0, 1), (0, 2), (1, 2)), key=lambda pair: abs(cosines[pair]))
    angle = float(np.degrees(np.arccos(np.clip(cosines[worst], -1, 1))))
    if abs(angle - 90) <= LARGEST_SHEAR_DEGREES:
        return ()
    names = " and ".join("xyz"[i] for i in worst)
    return (
        f"the grid is sheared: its axes {names} are {angle:.2f} degrees apart; "
        "distances are computed as if they were perpendicular.",
    )


def largest_move_voxels(a: Affine, b: Affine, shape: tuple[int, int, int]) -> float:
    """How far the corner voxels move between two affines, in voxels of the first.

    Parameters
    ----------
    a, b
        (4, 4) affines; `a` can be inverted.
    shape
        Voxels along (Z, Y, X).
    """
    ends = [(0, n - 1) for n in reversed(shape)]
    corners = np.array([[*corner, 1.0] for corner in product(*ends)]).T
    moved = np.linalg.solve(a[:3, :3], ((b - a) @ corners)[:3])
    return float(np.abs(moved).max())
