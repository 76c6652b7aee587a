"""Geodesic distance of one class, relaxed row by row to the float32 fixpoint.

A *row* is `LANES` neighbouring voxels along X, one vector of the processor. Voxels lie
in C order between *walls*: lines, planes and line ends whose intensity is NaN. A step
that touches a wall costs NaN and improves nothing, so no loop tests for the bounds.

A row is *pending* while some of its distances have not been offered to its neighbours;
its key is the smallest of them. Keys are the bits of non-negative floats, which order
like the floats, with the place of the row in its *block* of 16 x 16 rows in the lowest
8 bits: the least key says which row it is. Rows are taken least key first inside a
block, and blocks in bands of distance, so that most rows are settled when they are
taken. The order decides the speed only: the fixpoint does not depend on it (`StepCost`).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_inlined, bare_kernel, kernel
from softlab_cli.kernels.geodesic_sizes import LANES, ROWS, SIDE

__all__ = ["enclose", "extract", "relax", "sow"]

EMPTY = np.int32(0x7F800000)
"""Key of what is not pending: the bits of infinity."""

PLACE = np.int32(ROWS - 1)
LEFT, RIGHT = np.uint8(1), np.uint8(2)
EPSILON = np.float32(1e-5)

Layout = tuple[int, int, int, int, int]
"""(first, plane, pitch, blocks_y, blocks_x): voxel (z, y, x) lies at
``first + z * plane + y * pitch + x``; there are so many blocks along Y and X."""

Rule = tuple[bool, bool, np.float32, np.float32]
"""(linear, euclidean, 1 - w, w): how `StepCost` reckons, beside its coefficients."""

Queue = tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.uint8]]
"""(keys, block_keys, ends): (blocks, KEYS), (blocks,), and (blocks, ROWS) for which of a
row's end voxels changed since the row was taken."""


@kernel
def enclose(image: NDArray[np.float32], layout: Layout, out: NDArray[np.float32]) -> float:
    """Copy an image of (Z, Y, X) between walls; returns the mean difference along X."""
    first, plane, pitch, _, _ = layout
    depth, height, width = image.shape
    out[:] = np.nan
    total = 0.0
    for z in range(depth):
        for y in range(height):
            p = first + z * plane + y * pitch
            before = image[z, y, 0]
            for x in range(width):
                here = image[Unsigned(z), Unsigned(y), Unsigned(x)]
                out[Unsigned(p + x)] = here
                total += abs(here - before)
                before = here
    return total / image.size


@kernel
def extract(distance: NDArray[np.float32], layout: Layout, out: NDArray[np.float32]) -> None:
    """Copy what lies between the walls to (Z, Y, X)."""
    first, plane, pitch, _, _ = layout
    depth, height, width = out.shape
    for z in range(depth):
        for y in range(height):
            p = first + z * plane + y * pitch
            for x in range(width):
                out[Unsigned(z), Unsigned(y), Unsigned(x)] = distance[Unsigned(p + x)]


@bare_inlined
def _bits(value: Real) -> Any:
    return np.float32(value).view(np.int32)


@bare_inlined
def _offer(queue: Queue, layout: Layout, z: Int, y: Int, s: Int, bits: Any, changed: Any) -> None:
    """Make row s of line (z, y) pending with a key, if it has no smaller one."""
    keys, block_keys, ends = queue
    _, _, _, blocks_y, blocks_x = layout
    block = Unsigned(((z >> 4) * blocks_y + (y >> 4)) * blocks_x + s)
    slab = z & 15
    place = slab * SIDE + (y & 15)
    key = np.int32((bits & ~PLACE) | place)
    ends[block, Unsigned(place)] |= changed
    if key < keys[block, Unsigned(place)]:
        keys[block, Unsigned(place)] = key
        if key < keys[block, Unsigned(ROWS + slab)]:
            keys[block, Unsigned(ROWS + slab)] = key
        if key < block_keys[block]:
            block_keys[block] = key


@bare_kernel
def sow(
    seeds: NDArray[np.int64],
    shape: tuple[int, int, int],
    layout: Layout,
    distance: NDArray[np.float32],
    queue: Queue,
) -> None:
    """Set all distances to unreached, the seeds' to 0, and make their rows pending."""
    first, plane, pitch, _, _ = layout
    keys, block_keys, ends = queue
    distance[:] = np.inf
    keys[:] = EMPTY
    block_keys[:] = EMPTY
    ends[:] = 0
    _, height, width = shape
    for i in range(len(seeds)):
        line = seeds[i] // width
        x = seeds[i] - line * width
        z = line // height
        y = line - z * height
        distance[first + z * plane + y * pitch + x] = 0
        _offer(queue, layout, z, y, x // LANES, np.int32(0), LEFT | RIGHT)


@bare_inlined
def _difference(image: NDArray[np.float32], p: Int, q: Int, rule: Rule) -> Any:
    """Difference of intensity between two voxels."""
    e = image[Unsigned(0), Unsigned(q)] - image[Unsigned(0), Unsigned(p)]
    if len(image) == 1:
        return abs(e)
    _, euclidean, _, _ = rule
    total = e * e if euclidean else abs(e)
    for c in range(1, len(image)):
        e = image[Unsigned(c), Unsigned(q)] - image[Unsigned(c), Unsigned(p)]
        total += e * e if euclidean else abs(e)
    return np.float32(math.sqrt(total)) if euclidean else total


@bare_inlined
def _cost(difference: Real, a: Real, b: Real, rule: Rule) -> Any:
    linear, _, share_of_length, share_of_intensity = rule
    if linear:
        return difference * a + b
    t = difference + EPSILON
    return (a * t) / ((share_of_length * t) + share_of_intensity)


@bare_inlined
def _fill_costs(
    image: NDArray[np.float32], p: Int, q: Int, a: Real, b: Real, rule: Rule, out: Any
) -> None:
    """Cost of the steps from the row at p to the row at q, voxel by voxel."""
    if len(image) == 1:
        for x in range(LANES):
            difference = abs(
                image[Unsigned(0), Unsigned(q + x)] - image[Unsigned(0), Unsigned(p + x)]
            )
            out[Unsigned(x)] = _cost(difference, a, b, rule)
    else:
        for x in range(LANES):
            out[Unsigned(x)] = _cost(_difference(image, p + x, q + x, rule), a, b, rule)


@bare_inlined
def _settle(distance: NDArray[np.float32], p: Int, left: Any, right: Any, rising: Any) -> Any:
    """Relax the steps along a row, both ways; returns the ends that changed.

    No path along a line turns back, so one pass each way reaches the fixpoint.
    """
    first, last = distance[Unsigned(p)], distance[Unsigned(p + LANES - 1)]
    best = distance[Unsigned(p - 1)]
    for x in range(LANES):
        best = best + left[Unsigned(x)]
        here = distance[Unsigned(p + x)]
        best = best if best < here else here
        rising[Unsigned(x)] = best
    best = distance[Unsigned(p + LANES)]
    for x in range(LANES - 1, -1, -1):
        best = best + right[Unsigned(x)]
        here = distance[Unsigned(p + x)]
        best = best if best < here else here
        other = rising[Unsigned(x)]
        distance[Unsigned(p + x)] = best if best < other else other
    return _changed(distance, p, first, last)


@bare_inlined
def _changed(distance: NDArray[np.float32], p: Int, first: Real, last: Real) -> Any:
    """Which end voxels of a row are nearer than they were."""
    return np.uint8(
        (distance[Unsigned(p)] < first) * LEFT | (distance[Unsigned(p + LANES - 1)] < last) * RIGHT
    )


@bare_inlined
def _push(
    distance: NDArray[np.float32],
    image: NDArray[np.float32],
    p: Int,
    q: Int,
    a: Real,
    b: Real,
    a_aside: Real,
    b_aside: Real,
) -> Any:
    """Relax the steps from row p to row q, each voxel to three; returns the least bits.

    For one channel and linear costs, which are reckoned on the fly: nearly all the
    time is spent here.
    """
    least = EMPTY
    for x in range(LANES):
        here = image[Unsigned(0), Unsigned(q + x)]
        old = distance[Unsigned(q + x)]
        new = old
        cost = abs(here - image[Unsigned(0), Unsigned(p + x)]) * a + b
        t = distance[Unsigned(p + x)] + cost
        new = t if t < new else new
        cost = abs(here - image[Unsigned(0), Unsigned(p + x - 1)]) * a_aside + b_aside
        t = distance[Unsigned(p + x - 1)] + cost
        new = t if t < new else new
        cost = abs(here - image[Unsigned(0), Unsigned(p + x + 1)]) * a_aside + b_aside
        t = distance[Unsigned(p + x + 1)] + cost
        new = t if t < new else new
        bits = _bits(new)
        bits = bits if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least


@bare_inlined
def _push_shifted(distance: NDArray[np.float32], p: Int, q: Int, costs: Any) -> Any:
    """Relax the steps from row p to row q, each voxel to one; returns the least bits."""
    least = EMPTY
    for x in range(LANES):
        old = distance[Unsigned(q + x)]
        t = distance[Unsigned(p + x)] + costs[Unsigned(x)]
        new = t if t < old else old
        bits = _bits(new)
        bits = bits if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least


@bare_inlined
def _push_any(
    distance: NDArray[np.float32],
    image: NDArray[np.float32],
    p: Int,
    q: Int,
    a: Real,
    b: Real,
    a_aside: Real,
    b_aside: Real,
    rule: Rule,
    costs: Any,
) -> Any:
    """As `_push`, for any number of channels and any cost."""
    _fill_costs(image, p, q, a, b, rule, costs)
    least = _push_shifted(distance, p, q, costs)
    for aside in range(-1, 2, 2):
        _fill_costs(image, p + aside, q, a_aside, b_aside, rule, costs)
        least = min(least, _push_shifted(distance, p + aside, q, costs))
    return least


@bare_inlined
def _push_around(
    field: Any, layout: Layout, rule: Rule, queue: Queue, costs: Any, z: Int, y: Int, s: Int
) -> None:
    """Push a row to the eight rows around it."""
    distance, image, steps = field
    first, plane, pitch, _, _ = layout
    linear, _, _, _ = rule
    p = first + z * plane + y * pitch + s * LANES
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            if dz == 0 and dy == 0:
                continue
            q = p + dz * plane + dy * pitch
            i, j = Unsigned(dz + 1), Unsigned(dy + 1)
            a, a_aside = (
                steps[Unsigned(0), i, j, Unsigned(1)],
                steps[Unsigned(0), i, j, Unsigned(0)],
            )
            b, b_aside = (
                steps[Unsigned(1), i, j, Unsigned(1)],
                steps[Unsigned(1), i, j, Unsigned(0)],
            )
            left_end, right_end = distance[Unsigned(q)], distance[Unsigned(q + LANES - 1)]
            if linear and len(image) == 1:
                least = _push(distance, image, p, q, a, b, a_aside, b_aside)
            else:
                least = _push_any(
                    distance, image, p, q, a, b, a_aside, b_aside, rule, costs[Unsigned(0)]
                )
            if least < EMPTY:
                ends = _changed(distance, q, left_end, right_end)
                _offer(queue, layout, z + dz, y + dy, s, least, ends)


@bare_inlined
def _cross(
    field: Any, layout: Layout, rule: Rule, queue: Queue, z: Int, y: Int, x: Int, aside: Int
) -> None:
    """Relax the nine steps from an end voxel of a row into the next row along X."""
    distance, image, steps = field
    first, plane, pitch, _, _ = layout
    p = first + z * plane + y * pitch + x
    s = (x + aside) >> 4
    end = LEFT if aside > 0 else RIGHT
    for dz in range(-1, 2):
        for dy in range(-1, 2):
            q = p + dz * plane + dy * pitch + aside
            a = steps[Unsigned(0), Unsigned(dz + 1), Unsigned(dy + 1), Unsigned(0)]
            b = steps[Unsigned(1), Unsigned(dz + 1), Unsigned(dy + 1), Unsigned(0)]
            t = distance[Unsigned(p)] + _cost(_difference(image, p, q, rule), a, b, rule)
            if t < distance[Unsigned(q)]:
                distance[Unsigned(q)] = t
                _offer(queue, layout, z + dz, y + dy, s, _bits(t), end)


@bare_inlined
def _least(keys: NDArray[np.int32], block: Int, start: Int) -> Any:
    """Least of `SIDE` keys of a block."""
    least = EMPTY
    for i in range(SIDE):
        key = keys[Unsigned(block), Unsigned(start + i)]
        least = key if key < least else least
    return least


@bare_kernel
def _work_on(
    block: Int, limit: Any, field: Any, layout: Layout, rule: Rule, queue: Queue, scratch: Any
) -> None:
    """Take the rows of a block, least key first, until all keys reach the limit."""
    distance, image, steps = field
    first, plane, pitch, blocks_y, blocks_x = layout
    keys, block_keys, ends = queue
    left, right, rising = scratch[Unsigned(0)], scratch[Unsigned(1)], scratch[Unsigned(2)]
    s = block % blocks_x
    least = _least(keys, block, ROWS)
    while least < limit:
        place = np.int64(least & PLACE)
        slab = place >> 4
        keys[Unsigned(block), Unsigned(place)] = EMPTY
        keys[Unsigned(block), Unsigned(ROWS + slab)] = _least(keys, block, slab * SIDE)
        z = block // (blocks_y * blocks_x) * SIDE + slab
        y = block // blocks_x % blocks_y * SIDE + (place & 15)
        p = first + z * plane + y * pitch + s * LANES
        changed = ends[Unsigned(block), Unsigned(place)]
        ends[Unsigned(block), Unsigned(place)] = 0
        a, b = steps[0, 1, 1, 0], steps[1, 1, 1, 0]
        _fill_costs(image, p - 1, p, a, b, rule, left)
        _fill_costs(image, p + 1, p, a, b, rule, right)
        changed |= _settle(distance, p, left, right, rising)
        _push_around(field, layout, rule, queue, scratch, z, y, s)
        if changed & LEFT and s > 0:
            _cross(field, layout, rule, queue, z, y, s * LANES, -1)
        if changed & RIGHT and s + 1 < blocks_x:
            _cross(field, layout, rule, queue, z, y, s * LANES + LANES - 1, 1)
        least = _least(keys, block, ROWS)
    block_keys[Unsigned(block)] = least


@bare_kernel
def relax(
    distance: NDArray[np.float32],
    image: NDArray[np.float32],
    steps: NDArray[np.float32],
    layout: Layout,
    rule: Rule,
    queue: Queue,
    band: float,
    scratch: NDArray[np.float32],
) -> None:
    """Relax steps until none improves a distance.

    Parameters
    ----------
    distance
        (n,) float32 and its queue as `sow` left them.
    image
        (channels, n) float32 between walls.
    steps
        (2, 3, 3, 3) float32, `StepCost.coefficients`.
    layout, rule, queue
        See the types.
    band
        Blocks whose keys lie within so much of the least one are worked on in turns.
    scratch
        (3, LANES) float32.
    """
    _, block_keys, _ = queue
    forward = False
    limit = np.int32(0)
    while True:
        least = EMPTY
        for i in range(len(block_keys)):
            least = min(least, block_keys[Unsigned(i)])
        if least == EMPTY:
            return
        if least >= limit:
            limit = max(_bits(np.int32(least).view(np.float32) + band), least | PLACE) + 1
        forward = not forward
        for i in range(len(block_keys)):
            block = i if forward else len(block_keys) - 1 - i
            if block_keys[Unsigned(block)] < limit:
                _work_on(block, limit, (distance, image, steps), layout, rule, queue, scratch)
