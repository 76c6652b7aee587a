"""GeodisTK's raster scan for many classes side by side, bit for bit.

The distances of `CLASS_LANES` classes at one voxel are one vector of the processor, and
a step costs the same for all of them: costs are computed once. Volumes have a border of
one voxel, unreached, which costs stand in for: a step out of the volume costs infinity.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, bare_kernel, kernel
from softlab_cli.kernels.geodesic_sizes import CLASS_LANES

__all__ = ["fill_step_costs", "scan"]

EPSILON = 1e-5


@kernel
def fill_step_costs(
    image: NDArray[np.float32],
    steps: NDArray[np.int64],
    lengths: NDArray[np.float32],
    intensity_weight: np.float32,
    costs: NDArray[np.float32],
) -> None:
    """Cost of each step from each voxel, in GeodisTK's mix of float32 and float64.

    Parameters
    ----------
    image
        (channels, Z, Y, X) float32.
    steps, lengths
        (13, 3) and (13,), of the forward neighbours.
    intensity_weight
        lambda.
    costs
        (13, Z + 2, Y + 2, X + 2) float32, infinite where nothing is written.
    """
    _, depth, height, width = image.shape
    weight = np.float64(intensity_weight)
    for k in range(len(steps)):
        dz, dy, dx = steps[k]
        for z in range(max(0, -dz), min(depth, depth - dz)):
            for y in range(max(0, -dy), min(height, height - dy)):
                for x in range(max(0, -dx), min(width, width - dx)):
                    i = np.float64(_difference(image, z, y, x, z + dz, y + dy, x + dx))
                    speed = np.float32((1.0 - weight) + weight / (i + EPSILON))
                    costs[k, z + 1, y + 1, x + 1] = lengths[k] / speed


@bare_inlined
def _difference(image: NDArray[np.float32], z: Int, y: Int, x: Int, w: Int, v: Int, u: Int) -> Any:
    first = image[Unsigned(0), Unsigned(z), Unsigned(y), Unsigned(x)]
    e = first - image[Unsigned(0), Unsigned(w), Unsigned(v), Unsigned(u)]
    if len(image) == 1:
        return abs(e)
    total = e * e
    for c in range(1, len(image)):
        e = image[c, z, y, x] - image[c, w, v, u]
        total = total + e * e
    return np.float32(math.sqrt(total))


@bare_kernel
def scan(
    distance: NDArray[np.float32],
    costs: NDArray[np.float32],
    offsets: NDArray[np.int64],
    size: tuple[int, int, int],
    iterations: int,
    best: NDArray[np.float32],
) -> None:
    """Scan forward and backward, so many times.

    Parameters
    ----------
    distance
        (n, CLASS_LANES) float32, a volume with its border.
    costs
        (13, n) float32; of a backward step, the cost of the forward step that it undoes.
    offsets
        (13,) how far the forward neighbours lie in such a volume; the last one is the
        neighbour along X.
    size
        (Z, Y, X) of the volume within the border.
    iterations
        Of a forward and a backward scan each.
    best
        (CLASS_LANES,) float32, scratch.
    """
    depth, height, width = size
    for _ in range(iterations):
        for z in range(1, depth + 1):
            for y in range(1, height + 1):
                p = (z * (height + 2) + y) * (width + 2) + 1
                for x in range(width):
                    _visit(distance, costs, offsets, p + x, False, best)
        for z in range(depth, 0, -1):
            for y in range(height, 0, -1):
                p = (z * (height + 2) + y) * (width + 2) + 1
                for x in range(width - 1, -1, -1):
                    _visit(distance, costs, offsets, p + x, True, best)


@bare_inlined
def _visit(
    distance: NDArray[np.float32],
    costs: NDArray[np.float32],
    offsets: NDArray[np.int64],
    p: Int,
    backward: bool,
    best: NDArray[np.float32],
) -> None:
    """Relax the steps from 13 neighbours of a voxel, for all classes."""
    for lane in range(CLASS_LANES):
        best[Unsigned(lane)] = distance[Unsigned(p), Unsigned(lane)]
    for k in range(13):
        q = p - offsets[Unsigned(k)] if backward else p + offsets[Unsigned(k)]
        cost = costs[Unsigned(k), Unsigned(q if backward else p)]
        for lane in range(CLASS_LANES):
            t = distance[Unsigned(q), Unsigned(lane)] + cost
            best[Unsigned(lane)] = t if t < best[Unsigned(lane)] else best[Unsigned(lane)]
    for lane in range(CLASS_LANES):
        distance[Unsigned(p), Unsigned(lane)] = best[Unsigned(lane)]
