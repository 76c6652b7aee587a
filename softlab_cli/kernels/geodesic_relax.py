"""Geodesic distance of one class, relaxed row by row to the float32 fixpoint.

A row is *pending* while some of its distances have not been pushed to its neighbours;
its key is the least of them, in bits. Blocks are visited in bands of distance: a visit
takes pending rows until none has a key in the band, then the next block follows, and
the next band once there is no such row anywhere. So most rows are nearly settled when
they are taken. The order decides the speed only: the fixpoint does not depend on it
(`StepCost`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, bare_kernel, lowest_bit
from softlab_cli.kernels.geodesic_blocks import HALO_SIDE, Blocks, find_rows, row_of
from softlab_cli.kernels.geodesic_rows import (
    EMPTY,
    Field,
    bits_of,
    cost_between,
    prepare,
    push,
    settle,
)
from softlab_cli.kernels.geodesic_sizes import LANES, ROWS, SIDE

__all__ = ["Queue", "Visit", "relax", "sow"]

WORD = 64
"""Rows whose bits are in one word."""


class Queue(NamedTuple):
    """What is pending.

    Parameters
    ----------
    keys
        Of every row.
    block_keys
        A lower bound of the keys of each block of the volume.
    """

    keys: NDArray[np.int32]
    block_keys: NDArray[np.int32]


class Visit(NamedTuple):
    """What a block is visited with.

    Parameters
    ----------
    rows
        (HALO_SIDE * HALO_SIDE,) rows of the block and around it, as `find_rows` fills it.
    due
        (ROWS // 64,) bits of the block's rows whose keys are in the band.
    lines
        (LINES,), infinite; a row is worked on in it.
    """

    rows: NDArray[np.int64]
    firsts: NDArray[np.int64]
    due: NDArray[np.uint64]
    lines: NDArray[np.float32]


@bare_kernel
def sow(
    seeds: NDArray[np.int64],
    shape: tuple[int, int, int],
    blocks: Blocks,
    distance: NDArray[np.float32],
    queue: Queue,
) -> None:
    """Set all distances to unreached, the seeds' to 0, and make their rows pending."""
    distance[:] = np.inf
    queue.keys[:] = EMPTY
    queue.block_keys[:] = EMPTY
    _, height, width = shape
    for i in range(len(seeds)):
        line = seeds[i] // width
        x = seeds[i] - line * width
        z = line // height
        row = row_of(blocks, z, line - z * height, x // LANES)
        distance[row * LANES + x % LANES] = 0
        queue.keys[row] = 0
        queue.block_keys[row // ROWS - 1] = 0


@bare_inlined
def _offer(queue: Queue, row: Int, bits: Any, block: Int, limit: Any, due: Any) -> None:
    """Make a row pending with a key, if it has no smaller one; due if it is in the band."""
    keys, block_keys = queue
    if bits < keys[Unsigned(row)]:
        keys[Unsigned(row)] = bits
        owner = (row >> 8) - 1
        if owner != block:
            if bits < block_keys[Unsigned(owner)]:
                block_keys[Unsigned(owner)] = bits
        elif bits < limit:
            due[Unsigned((row & 255) >> 6)] |= np.uint64(1) << np.uint64(row & 63)


@bare_inlined
def _mark_due(queue: Queue, block: Int, limit: Any, due: Any) -> None:
    """Mark the block's rows whose keys are in the band."""
    start = (block + 1) * ROWS
    for w in range(ROWS // WORD):
        word = np.uint64(0)
        for i in range(WORD):
            is_due = queue.keys[Unsigned(start + w * WORD + i)] < limit
            word |= np.uint64(is_due) << np.uint64(i)
        due[Unsigned(w)] = word


@bare_inlined
def _least_key(queue: Queue, block: Int) -> Any:
    """Least key of a block."""
    start = (block + 1) * ROWS
    least = EMPTY
    for i in range(ROWS):
        key = queue.keys[Unsigned(start + i)]
        least = key if key < least else least
    return least


@bare_inlined
def _cross(
    field: Field, queue: Queue, visit: Visit, corner: Int, p: Int, aside: Int, block: Int
) -> None:
    """Relax the nine steps from an end voxel of a row, at p, into the next block along X."""
    distance, image, steps, rule = field
    here = distance[Unsigned(p)]
    for dz in range(3):
        for dy in range(3):
            row = visit.rows[Unsigned(corner + dz * HALO_SIDE + dy)] + aside * ROWS
            q = row * LANES + (LANES - 1) * (aside < 0)
            step = dz * 9 + dy * 3
            a, b = steps[Unsigned(step)], steps[Unsigned(27 + step)]
            t = here + cost_between(image, p, q, a, b, rule)
            if t < distance[Unsigned(q)]:
                distance[Unsigned(q)] = t
                _offer(queue, row, bits_of(t), block, EMPTY, visit.due)


@bare_inlined
def _push_around(
    field: Field, queue: Queue, visit: Visit, corner: Int, p: Int, block: Int, limit: Any
) -> None:
    """Push a row to the eight rows around it; `corner` is the place of the first of them."""
    distance, image, steps, rule = field
    for dz in range(3):
        for dy in range(3):
            if dz != 1 or dy != 1:
                row = visit.rows[Unsigned(corner + dz * HALO_SIDE + dy)]
                step = dz * 9 + dy * 3
                least = push(
                    distance, image, p, row * LANES, step, steps, rule, visit.lines
                )
                _offer(queue, row, least, block, limit, visit.due)


@bare_inlined
def _take(
    place: Int, block: Int, blocks: Blocks, limit: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Settle a row of a block and push it to all rows that it touches."""
    distance, image, steps, rule = field
    corner = (place >> 4) * HALO_SIDE + (place & 15)
    row = visit.rows[Unsigned(corner + HALO_SIDE + 1)]
    p = row * LANES
    # What has changed since the row was taken is not below its key.
    key = queue.keys[Unsigned(row)]
    queue.keys[Unsigned(row)] = EMPTY
    prepare(image, p, steps, rule, visit.lines)
    settle(distance, p, visit.lines)
    _push_around(field, queue, visit, corner, p, block, limit)
    s = block % blocks[2]
    for end in range(2):
        q = p + end * (LANES - 1)
        aside = 2 * end - 1
        if 0 <= s + aside < blocks[2] and bits_of(distance[Unsigned(q)]) >= key:
            _cross(field, queue, visit, corner, q, aside, block)


@bare_kernel
def _visit_block(
    block: Int, blocks: Blocks, limit: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Take the rows of a block until none has a key in the band."""
    find_rows(block, blocks, visit.firsts, visit.rows)
    _mark_due(queue, block, limit, visit.due)
    idle = 0
    w = 0
    while idle < ROWS // WORD:
        word = visit.due[Unsigned(w)]
        if word == 0:
            idle += 1
            w = (w + 1) % (ROWS // WORD)
        else:
            idle = 0
            visit.due[Unsigned(w)] = word & (word - np.uint64(1))
            place = w * WORD + np.int64(lowest_bit(word))
            _take(place, block, blocks, limit, field, queue, visit)
    queue.block_keys[Unsigned(block)] = _least_key(queue, block)


@bare_kernel
def relax(field: Field, blocks: Blocks, queue: Queue, band: float, visit: Visit) -> None:
    """Relax steps until none improves a distance.

    Parameters
    ----------
    field, queue
        Distance and queue as `sow` left them.
    blocks, visit
        See the types.
    band
        Width of a band of distance.
    """
    block_keys = queue.block_keys
    forward = False
    limit = np.int32(0)
    while True:
        least = EMPTY
        for i in range(len(block_keys)):
            least = min(least, block_keys[Unsigned(i)])
        if least == EMPTY:
            return
        if least >= limit:
            limit = max(bits_of(np.int32(least).view(np.float32) + band), least + 1)
        forward = not forward
        for i in range(len(block_keys)):
            block = i if forward else len(block_keys) - 1 - i
            if block_keys[Unsigned(block)] < limit:
                _visit_block(block, blocks, limit, field, queue, visit)
