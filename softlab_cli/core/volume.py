"""Label maps and images with their place in the world.

Arrays are always ``(Z, Y, X)``, which is the order of the voxels in the files;
a 2D picture is a volume with one slice and ``ndim`` 2. Affines map voxel
indices in file order ``(x, y, z)``, counted from the centre of the first voxel,
to millimetres in RAS+ (x to the right, y to the front, z to the head).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError

__all__ = [
    "ASSUMED",
    "GRID_TOLERANCE_VOXELS",
    "NO_POSITION",
    "NO_SPACING",
    "Geometry",
    "Image",
    "LabelMap",
    "check_same_grid",
    "corner_voxels",
    "describe_both",
    "with_spacing",
]

NO_SPACING, NO_POSITION = "no spacing", "no position"
"""What `Geometry.missing` says."""

ASSUMED_MM = 1.0
ASSUMED = "1 mm is assumed."
"""What a warning ends with where a file does not say its spacing."""

GRID_TOLERANCE_VOXELS = 1e-2
"""Two grids are one when no corner voxel moves by more than this share of a voxel.

Headers that went through other tools differ by rounding: a few thousandths of a voxel are
common, and no label can be drawn so exactly."""


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in the world.

    Parameters
    ----------
    shape
        Voxels along (Z, Y, X).
    affine
        (4, 4) float64, voxel index (x, y, z) to RAS+ millimetres.
    ndim
        2 for a picture (then Z is 1), 3 for a volume.
    missing
        What the file does not say of its place, such as ``no spacing``; empty when it
        says all.
    """

    shape: tuple[int, int, int]
    affine: NDArray[np.float64]
    ndim: int = 3
    missing: str = ""

    def equals(self, other: Geometry) -> bool:
        """Whether two grids are the same to the last bit, whatever else is known of them."""
        if self is other:
            return True
        return self.shape == other.shape and np.array_equal(self.affine, other.affine)

    @property
    def is_default(self) -> bool:
        """Whether the affine is what tools write that know none: 1 mm from the origin on."""
        return bool(np.array_equal(np.abs(self.affine), np.eye(4)))

    def with_spacing(self, spacing_mm: Sequence[float] | None) -> Geometry:
        """The grid with a spacing along (Z, Y, X) where its file says none.

        Axes whose spacing the file does say (pages apart, but no pixels) stay what they are.
        """
        if spacing_mm is None or NO_SPACING not in self.missing:
            return self
        scales = [
            given if said == ASSUMED_MM else 1.0
            for given, said in zip(spacing_mm, self.spacing_mm, strict=True)
        ]
        affine = self.affine @ np.diag([*reversed(scales), 1.0])
        missing = NO_POSITION if NO_POSITION in self.missing else ""
        return replace(self, affine=affine, missing=missing)

    @property
    def doubt(self) -> str:
        """Why the file may have no geometry of its own; empty when it seems to."""
        return self.missing or ("identity affine" if self.is_default else "")

    @cached_property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxels along (Z, Y, X), in millimetres."""
        x, y, z = np.sqrt((self.affine[:3, :3] ** 2).sum(axis=0))
        return float(z), float(y), float(x)

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Centre of the first voxel, RAS+ millimetres (x, y, z)."""
        x, y, z = self.affine[:3, 3]
        return float(x), float(y), float(z)

    @property
    def orientation(self) -> str:
        """Where the array axes (x, y, z) point to, for instance ``RAS`` or ``LPS``."""
        letters = []
        for column in self.affine[:3, :3].T:
            axis = int(np.argmax(np.abs(column)))
            letters.append("LPI"[axis] if column[axis] < 0 else "RAS"[axis])
        return "".join(letters)

    def describe(self) -> str:
        """One line for messages: shape, spacing, origin and orientation."""
        shape = "x".join(str(n) for n in self.shape[-self.ndim :])
        spacing = " x ".join(f"{s:g}" for s in self.spacing_mm[-self.ndim :])
        origin = ", ".join(f"{o:g}" for o in self.origin_mm)
        return f"shape {shape}, spacing {spacing} mm, origin ({origin}) RAS mm, {self.orientation}"


class _OnGrid(Protocol):
    """What has a grid, and warnings about it."""

    @property
    def geometry(self) -> Geometry: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


Found = TypeVar("Found", bound=_OnGrid)


def with_spacing(found: Found, spacing_mm: Sequence[float] | None) -> Found:
    """What was read of a file, with a spacing where it says none: `Geometry.with_spacing`."""
    geometry = found.geometry.with_spacing(spacing_mm)
    if geometry is found.geometry:
        return found
    warnings = tuple(text for text in found.warnings if not text.endswith(ASSUMED))
    changed: Found = replace(found, geometry=geometry, warnings=warnings)  # type: ignore[type-var]
    return changed


def corner_voxels(shape: tuple[int, int, int]) -> NDArray[np.float64]:
    """(4, 8) homogeneous voxel coordinates (x, y, z, 1) of the corner voxels."""
    z, y, x = ((0, n - 1) for n in shape)
    return np.array([(*corner, 1) for corner in product(x, y, z)], dtype=np.float64).T


def _difference(a: Geometry, b: Geometry) -> str:
    """How far `b` lies from `a`, in millimetres and in voxels of `a`.

    Each corner is compared with the nearest one, whatever the order of the axes.
    """
    corners_a = (a.affine @ corner_voxels(a.shape))[:3]
    corners_b = (b.affine @ corner_voxels(b.shape))[:3]
    between = corners_b[:, :, None] - corners_a[:, None, :]  # (3, of b, of a)
    nearest = np.linalg.norm(between, axis=0).argmin(axis=1)
    apart = between[:, np.arange(8), nearest]
    voxels = np.linalg.lstsq(a.affine[:3, :3], apart, rcond=None)[0]
    if not np.isfinite(apart).all():
        return "their distance cannot be told"
    distance = float(np.linalg.norm(apart, axis=0).max())
    corners = f"corners lie up to {distance:.4g} mm apart"
    if a.shape == b.shape and float(np.ptp(voxels, axis=1).max()) <= GRID_TOLERANCE_VOXELS:
        shift = f"shifted by {_triple(apart[:, 0])} mm, that is {_triple(voxels[:, 0])} voxels"
        return f"{corners}, {shift}"
    return f"{corners}, that is {np.abs(voxels).max():.4g} voxels"


def _triple(values: NDArray[Any]) -> str:
    """(x, y, z) for messages, without the noise of rounding."""
    noise = 1e-6 * max(1.0, float(np.abs(values).max()))
    return "(" + ", ".join(f"{0.0 if abs(v) < noise else v:.4g}" for v in values) + ")"


def describe_both(a: Geometry, b: Geometry, names: tuple[str, str]) -> str:
    """That two grids differ, by how much, both of them, and which may have lost its place.

    Parameters
    ----------
    a, b
        The grids; the distance is that of `a` from `b`, in voxels of `b`.
    names
        What each grid belongs to.
    """
    doubts = "".join(
        f"  The {name} has no geometry of its own: {grid.doubt}.\n"
        for name, grid in zip(names, (a, b), strict=True)
        if grid.doubt
    )
    return (
        f"{names[0]} and {names[1]} lie on different grids ({_difference(b, a)}):\n"
        f"  {names[0]}: {a.describe()}\n"
        f"  {names[1]}: {b.describe()}\n{doubts}"
    )


def check_same_grid(a: Geometry, b: Geometry, *, names: tuple[str, str], path: Path) -> None:
    """Raise `GeometryError` unless both grids agree within `GRID_TOLERANCE_VOXELS`.

    Parameters
    ----------
    a, b
        The two grids.
    names
        What each grid belongs to, for the message.
    path
        The file to blame.
    """
    if a.shape == b.shape:
        moved = (b.affine - a.affine) @ corner_voxels(a.shape)
        # In voxels: what the inverse of one affine makes of the distance.
        in_voxels = np.linalg.lstsq(a.affine[:3, :3], moved[:3], rcond=None)[0]
        if float(np.abs(in_voxels).max()) <= GRID_TOLERANCE_VOXELS:
            return
    raise GeometryError(
        describe_both(a, b, names),
        remedy="Resample one of them onto the other's grid.",
        path=path,
    )


@dataclass(frozen=True)
class LabelMap:
    """A label map as its file has it.

    Parameters
    ----------
    values
        (Z, Y, X) label values, an unsigned or signed integer type.
    geometry
        The grid that the values lie on.
    warnings
        What the reader found odd but could settle; shown to the user and kept.
    metadata
        Facts about the file that a later step may want (never needed).
    """

    values: NDArray[Any]
    geometry: Geometry
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Image:
    """An image: one intensity for each voxel and channel.

    Parameters
    ----------
    intensities
        (channels, Z, Y, X) float32.
    geometry
        The grid that the intensities lie on.
    warnings
        As in `LabelMap`.
    """

    intensities: NDArray[np.float32]
    geometry: Geometry
    warnings: tuple[str, ...] = ()
