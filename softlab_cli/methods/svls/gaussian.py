"""The Gaussian kernel of SVLS."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError

__all__ = ["Weights", "gaussian_weights", "neighbour_sum"]

Weights = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]
"""Weights along Z, Y and X, 1 in the middle; a voxel's weight is the product of three."""

SMALLEST_SUM = 1e-24
"""Neighbours that weigh less than this, together, cannot be told from nothing in float32."""


def gaussian_weights(
    kernel_size: int, sigma_voxels: tuple[float, float, float], *, slicewise: bool
) -> Weights:
    """The kernel, axis by axis.

    Parameters
    ----------
    kernel_size
        Voxels along each side.
    sigma_voxels
        Standard deviation along (Z, Y, X).
    slicewise
        Whether the kernel is one voxel thick along Z.

    Raises
    ------
    UsageError
        When the neighbours weigh nothing.
    """
    steps = np.arange(kernel_size) - kernel_size // 2
    z, y, x = (np.exp(-0.5 * (steps / sigma) ** 2) for sigma in sigma_voxels)
    weights = (np.ones(1) if slicewise else z, y, x)
    if not neighbour_sum(weights) > SMALLEST_SUM:
        sigmas = ", ".join(f"{sigma:g}" for sigma in sigma_voxels)
        raise UsageError(
            f"with a sigma of ({sigmas}) voxels along (z, y, x), neighbours weigh nothing.",
            remedy="Raise sigma above a tenth of the voxels' distance, or use one-hot labels.",
        )
    return weights


def neighbour_sum(weights: Weights) -> float:
    """Sum of the weights of all voxels but the centre.

    Added up without the centre, and not by taking it away: it may be so heavy that
    the difference would be lost.
    """
    total = 0.0
    for axis in weights:
        middle = len(axis) // 2
        others = float(axis[:middle].sum() + axis[middle + 1 :].sum())
        total = total * (others + 1) + others
    return total
