"""Arrays on a finer or coarser grid of the same extent: images linear, labels nearest.

A target voxel i of n' lies at (i + 1/2) n / n' - 1/2 in voxels of the source, so that both
grids end at the same faces; beyond the outermost centres the edge is repeated.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape

__all__ = ["neighbours", "resample_linear", "resample_nearest", "shape_at"]


def shape_at(shape: Shape, factors: tuple[float, float, float]) -> Shape:
    """Voxels of a grid whose voxels are smaller by these factors."""
    z, y, x = (max(1, round(n * factor)) for n, factor in zip(shape, factors, strict=True))
    return z, y, x


def _places(source: int, target: int) -> NDArray[np.float64]:
    """Where each target voxel lies along an axis, in voxels of the source."""
    return np.clip((np.arange(target) + 0.5) * (source / target) - 0.5, 0, source - 1)


def neighbours(
    source: int, target: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two source voxels around each target voxel, and the weight of the upper one."""
    places = _places(source, target)
    low = np.floor(places).astype(np.int64)
    return low, np.minimum(low + 1, source - 1), (places - low).astype(np.float32)


def resample_linear(array: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """The last axes of an array on another grid, with linear weights.

    Parameters
    ----------
    array
        (..., *source shape).
    shape
        Voxels along the last axes.
    """
    for axis, target in enumerate(shape, array.ndim - len(shape)):
        if array.shape[axis] == target:
            continue
        low, high, share = neighbours(array.shape[axis], target)
        weight = share.reshape([-1 if i == axis else 1 for i in range(array.ndim)])
        below, above = array.take(low, axis), array.take(high, axis)
        array = below + weight * (above - below)
    return array


def resample_nearest(array: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The same of numbers that cannot be mixed: the nearest voxel's."""
    for axis, target in enumerate(shape, array.ndim - len(shape)):
        if array.shape[axis] != target:
            places = np.floor(_places(array.shape[axis], target) + 0.5).astype(np.int64)
            array = array.take(np.minimum(places, array.shape[axis] - 1), axis)
    return array
