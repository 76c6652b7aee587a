"""Spatially varying label smoothing (SVLS): soft where classes meet, hard elsewhere."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.volume import Geometry
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.softener import scratch_bytes
from softlab_cli.methods.svls.gaussian import Weights, gaussian_weights

__all__ = ["SVLS", "Sigma"]

Sigma = float | Sequence[float]
"""One number, or three along (Z, Y, X)."""

TABLE_BYTES = 2**20
"""What all tables occupy, rounded up."""


@dataclass(frozen=True)
class SVLS(LocalMethod):
    """Spatially varying label smoothing.

    Each class's one-hot map is convolved with a Gaussian whose centre is replaced
    by the sum of all its other weights, and divided by the kernel's sum; where the
    volume ends, the edge is repeated. A voxel's own class never gets less than 1/2.
    Ignored voxels get nothing and count for no neighbour: the weights of the valid
    voxels are taken relative to their sum.

    Equation 2 of Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021
    (kernel size 3, sigma 1 voxel). Sigma in millimetres, kernels in the slice and
    ignored voxels are additions.

    Parameters
    ----------
    kernel_size
        Voxels along each side of the kernel, odd.
    sigma_voxels
        Standard deviation in voxels, one number or three along (Z, Y, X); 1 when
        neither sigma is given.
    sigma_mm
        The same in millimetres.
    slicewise
        Whether the kernel is one voxel thick along Z. It always is for pictures.

    Raises
    ------
    UsageError
        For an even kernel size or one below 3, for a sigma that is not above 0, or
        when both sigmas are given.
    """

    kernel_size: int = 3
    sigma_voxels: Sigma | None = None
    sigma_mm: Sigma | None = None
    slicewise: bool = False

    name: ClassVar[str] = "svls"

    def __post_init__(self) -> None:
        if self.kernel_size < 3 or self.kernel_size % 2 == 0:
            raise UsageError(
                f"a kernel size of {self.kernel_size} has no meaning.",
                remedy="Choose an odd number, 3 or larger.",
            )
        if self.sigma_voxels is not None and self.sigma_mm is not None:
            raise UsageError(
                f"sigma is given twice, as {self.sigma_voxels} voxels and {self.sigma_mm} mm.",
                remedy="Give one of the two.",
            )
        if self.sigma_mm is None:
            voxels = 1.0 if self.sigma_voxels is None else self.sigma_voxels
            object.__setattr__(self, "sigma_voxels", _checked(voxels, "voxels"))
        else:
            object.__setattr__(self, "sigma_mm", _checked(self.sigma_mm, "mm"))

    def parameters(self) -> dict[str, Any]:
        """Kernel size, both sigmas (one is None) and whether the kernel is flat."""
        return {
            "kernel_size": int(self.kernel_size),
            "sigma_voxels": _listed(self.sigma_voxels),
            "sigma_mm": _listed(self.sigma_mm),
            "slicewise": bool(self.slicewise),
        }

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """The kernel's radius; none along Z when `slicewise`."""
        radius = self.kernel_size // 2
        return 0 if self.slicewise else radius, radius, radius

    def weights(self, geometry: Geometry) -> Weights:
        """The Gaussian on a grid, along Z, Y and X, with 1 in the middle."""
        spacing_mm = (1.0, 1.0, 1.0) if self.sigma_mm is None else geometry.spacing_mm
        sigma = self.sigma_voxels if self.sigma_mm is None else self.sigma_mm
        z, y, x = (
            float(part / step)
            for part, step in zip(np.broadcast_to(np.asarray(sigma), 3), spacing_mm, strict=True)
        )
        flat = self.slicewise or geometry.ndim == 2
        return gaussian_weights(self.kernel_size, (z, y, x), slicewise=flat)

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread."""
        parts = len(classes), classes.ignore_index, block, self.weights(geometry)
        if self.kernel_size == 3:
            from softlab_cli.methods.svls.narrow import NarrowStencil

            return NarrowStencil(*parts)
        from softlab_cli.methods.svls.wide import WideStencil

        return WideStencil(*parts)

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""
        scratch = scratch_bytes(class_count, block, self.halo((1.0, 1.0, 1.0))) + TABLE_BYTES
        if self.kernel_size == 3:
            return scratch
        rows = block[1] + self.kernel_size
        padded_slice = rows * (block[2] + SEGMENT + self.kernel_size)
        slices = 4 + 2 * (1 if self.slicewise else self.kernel_size)
        return scratch + 4 * (slices * padded_slice + block[0] * block[1] * block[2])


def _checked(sigma: Sigma, unit: str) -> float | tuple[float, float, float]:
    parts = [float(s) for s in np.atleast_1d(np.asarray(sigma, dtype=float))]
    if len(parts) not in (1, 3):
        raise UsageError(
            f"a sigma of {len(parts)} numbers has no meaning.",
            remedy="Give one number, or three along (z, y, x).",
        )
    if not all(0 < part < math.inf for part in parts):
        raise UsageError(
            f"a sigma of {sigma} {unit} has no meaning.", remedy="Choose numbers above 0."
        )
    return parts[0] if len(parts) == 1 else (parts[0], parts[1], parts[2])


def _listed(sigma: Sigma | None) -> float | list[float] | None:
    if sigma is None or isinstance(sigma, float):
        return sigma
    return list(sigma)
