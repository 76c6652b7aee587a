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
from softlab_cli.kernels.sizes import CLASS_LANES

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
        # Bounds in place of tests: the steps that leave the volume keep the infinite cost which
        # they had, and the scan needs no test either.
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
    """
    depth, height, width = size
    for _ in range(iterations):
        for z in range(1, depth + 1):
            for y in range(1, height + 1):
                p = (z * (height + 2) + y) * (width + 2) + 1
                for x in range(width):
                    _visit(distance, costs, offsets, p + x, False)
        for z in range(depth, 0, -1):
            for y in range(height, 0, -1):
                p = (z * (height + 2) + y) * (width + 2) + 1
                for x in range(width - 1, -1, -1):
                    _visit(distance, costs, offsets, p + x, True)


@bare_inlined
def _visit(
    distance: NDArray[np.float32],
    costs: NDArray[np.float32],
    offsets: NDArray[np.int64],
    p: Int,
    backward: bool,
) -> None:
    """Relax the steps from 13 neighbours of a voxel, one of them twice, for all classes."""
    # Seven and seven of 13: both halves have one shape, and a minimum may be taken twice. One
    # loop over all 13 for each class is not vectorised and takes 4 times as long.
    _relax_seven(distance, costs, offsets, p, backward, 0)
    _relax_seven(distance, costs, offsets, p, backward, 6)


@bare_inlined
def _step(
    costs: NDArray[np.float32], offsets: NDArray[np.int64], p: Int, k: Int, backward: bool
) -> Any:
    """Where the k-th neighbour of a voxel lies, and what the step from it costs."""
    if backward:
        # Costs are the same both ways, so that of a step back is kept at the voxel it leads from.
        q = p - offsets[Unsigned(k)]
        return q, costs[Unsigned(k), Unsigned(q)]
    return p + offsets[Unsigned(k)], costs[Unsigned(k), Unsigned(p)]


@bare_inlined
def _relax_seven(
    distance: NDArray[np.float32],
    costs: NDArray[np.float32],
    offsets: NDArray[np.int64],
    p: Int,
    backward: bool,
    k: Int,
) -> None:
    """Relax the steps from seven neighbours, the k-th and after, for all classes.

    Written out: the compiler makes vector instructions of a loop over classes when the
    loop is too long to be unrolled and touches no more than eight other voxels.
    """
    q0, c0 = _step(costs, offsets, p, k + 0, backward)
    q1, c1 = _step(costs, offsets, p, k + 1, backward)
    q2, c2 = _step(costs, offsets, p, k + 2, backward)
    q3, c3 = _step(costs, offsets, p, k + 3, backward)
    q4, c4 = _step(costs, offsets, p, k + 4, backward)
    q5, c5 = _step(costs, offsets, p, k + 5, backward)
    q6, c6 = _step(costs, offsets, p, k + 6, backward)
    # Sixteen classes at once: eight at a time take 2.3 times as long, one at a time 5 times.
    for lane in range(CLASS_LANES):
        best = distance[Unsigned(p), Unsigned(lane)]
        t = distance[Unsigned(q0), Unsigned(lane)] + c0
        best = t if t < best else best
        t = distance[Unsigned(q1), Unsigned(lane)] + c1
        best = t if t < best else best
        t = distance[Unsigned(q2), Unsigned(lane)] + c2
        best = t if t < best else best
        t = distance[Unsigned(q3), Unsigned(lane)] + c3
        best = t if t < best else best
        t = distance[Unsigned(q4), Unsigned(lane)] + c4
        best = t if t < best else best
        t = distance[Unsigned(q5), Unsigned(lane)] + c5
        best = t if t < best else best
        t = distance[Unsigned(q6), Unsigned(lane)] + c6
        best = t if t < best else best
        distance[Unsigned(p), Unsigned(lane)] = best
