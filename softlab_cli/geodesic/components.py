"""Parts of a class that hang together over the 26-neighbourhood, and their deepest voxels."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape

__all__ = ["deepest_voxel", "emptied_components"]


def emptied_components(
    mask: NDArray[np.bool_], kept: NDArray[np.bool_]
) -> Iterator[tuple[Region, NDArray[np.bool_]]]:
    """Components of a class that nothing is kept of.

    Parameters
    ----------
    mask
        (z, y, x) voxels of the class; all of them, and nothing around them.
    kept
        (z, y, x) voxels that are kept, among those of the mask.

    Yields
    ------
    region, component
        The component's box in `mask`, and its voxels inside that box.
    """
    from scipy.ndimage import find_objects, label

    numbers, count = label(mask, np.ones((3, 3, 3), np.bool_))
    has_seeds = np.zeros(count + 1, np.bool_)
    has_seeds[numbers[kept]] = True
    missing = np.flatnonzero(~has_seeds[1:]) + 1
    regions = find_objects(numbers) if len(missing) else []
    for number in missing.tolist():
        region = regions[number - 1]
        yield region, numbers[region] == number


def deepest_voxel(
    component: NDArray[np.bool_], spacing_mm: tuple[float, float, float], shape: Shape
) -> tuple[int, int, int]:
    """The voxel of a component that is farthest from its outside, the first of several.

    What lies beyond the volume is outside; but an axis along which the volume has one
    voxel only has no outside.

    Parameters
    ----------
    component
        (z, y, x) voxels of the component in its box.
    spacing_mm
        Distance of voxels along (Z, Y, X).
    shape
        Voxels of the volume.
    """
    from scipy.ndimage import distance_transform_edt

    margin = [int(n > 1) for n in shape]
    padded = np.pad(component, [(m, m) for m in margin])
    nearest = distance_transform_edt(
        padded, sampling=spacing_mm, return_distances=False, return_indices=True
    )
    best, place = -1.0, (0, 0, 0)
    for z in range(padded.shape[0]):
        depth = _squared_depth(nearest, z, spacing_mm)
        y, x = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth[y, x] > best:
            best = float(depth[y, x])
            place = (z - margin[0], int(y) - margin[1], int(x) - margin[2])
    return place


def _squared_depth(
    nearest: NDArray[np.int32], z: int, spacing_mm: tuple[float, float, float]
) -> NDArray[np.float64]:
    """Squared distance, mm^2, from each voxel of a slice to the nearest one outside."""
    own = np.indices(nearest.shape[2:])
    offsets = (nearest[0, z] - z, nearest[1, z] - own[0], nearest[2, z] - own[1])
    squares = [(o * s) ** 2 for o, s in zip(offsets, spacing_mm, strict=True)]
    depth: NDArray[np.float64] = squares[0] + squares[1] + squares[2]
    return depth
