"""Geodesic distance of one class, relaxed row by row to the float32 fixpoint.

A row is *pending* while some of its distances have not been pushed to its neighbours;
its key is the least of them, in bits, which order like the floats. Rows are taken in
bands of distance, so that most are nearly settled when they are taken. All blocks with
a key in the band are visited in turns, until no key is in the band; in a visit, the
block's rows are taken in narrower bands of their own. The order decides the speed only:
the fixpoint does not depend on it (`StepCost`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, bare_kernel, lowest_bit
from softlab_cli.kernels.geodesic.crossing import cross
from softlab_cli.kernels.geodesic.pending import Queue, Visit, borrow_keys, return_keys
from softlab_cli.kernels.geodesic.rows import EMPTY, Field, ask_for_row, bits_of, push, settle
from softlab_cli.kernels.geodesic.tiles import HALO_SIDE, Blocks, find_rows, row_of
from softlab_cli.kernels.lanes import Lanes, after, before, offer_keys, smaller
from softlab_cli.kernels.sizes import LANES, ROWS, SIDE

__all__ = ["relax", "sow"]

BANDS_OF_A_VISIT = np.float32(4)
"""How many times narrower than a band those in a visit are; with 1, it takes 1.6 times as long."""

OWN = np.uint64((1 << SIDE) - 1 << 1)
"""Bits of a line of rows that are the block's, not those around it."""


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
    queue.crossed[:] = np.inf
    queue.known[:] = np.inf
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
def _end_of_band(least: Any, width: Any) -> Any:
    """First key that is not in a band; the least key always is, and `EMPTY` never."""
    end = bits_of(np.int32(least).view(np.float32) + width)
    return np.int32(min(max(end, least + 1), EMPTY))


@bare_inlined
def _mark_due(visit: Visit, end: Any) -> None:
    """Mark the block's rows whose keys are in the band."""
    for z in range(1, SIDE + 1):
        visit.due[Unsigned(z)] = smaller(visit.keys, z * HALO_SIDE + 1, end) << np.uint64(1)


@bare_inlined
def _least_key(visit: Visit) -> Any:
    """Least key of the block's rows."""
    least = EMPTY
    for z in range(1, SIDE + 1):
        for y in range(1, SIDE + 1):
            # No branch, and whole numbers: the minimum of a block is a few vector instructions.
            key = visit.keys[Unsigned(z * HALO_SIDE + y)]
            least = key if key < least else least
    return least


@bare_inlined
def _push_line(
    dz: Int, corner: Int, p: Int, here: Lanes, last: Lanes, end: Any, field: Field, visit: Visit
) -> Any:
    """Push the row at p, with its distances, to three in a line along Y from ``rows[corner]`` on.

    Returns bits of those that are due now. The row itself, amid the middle line, is one of them
    if it fell in the last round of its settling.
    """
    rows, step = visit.rows, 9 * dz
    left, right = before(here), after(here)
    q = rows[Unsigned(corner)] * LANES
    new_low, old_low = push(field, p, q, step, here, left, right)
    new, old = here, last
    if dz != 1:
        q = rows[Unsigned(corner + 1)] * LANES
        new, old = push(field, p, q, step + 3, here, left, right)
    q = rows[Unsigned(corner + 2)] * LANES
    new_high, old_high = push(field, p, q, step + 6, here, left, right)
    return offer_keys(visit.keys, corner, (new_low, new, new_high), (old_low, old, old_high), end)


@bare_inlined
def _take(z: Int, y: Int, end: Any, field: Field, visit: Visit) -> None:
    """Settle a row of a block and push it to all rows that it touches.

    Whether distances fall is not foreseeable, and a branch on it would cost as much as two
    pushes: there is none.
    """
    corner = z * HALO_SIDE + y
    own = corner + HALO_SIDE + 1
    visit.keys[Unsigned(own)] = EMPTY
    p = visit.rows[Unsigned(own)] * LANES
    here, last = settle(field, p)
    for dz in range(3):
        bits = _push_line(dz, corner + dz * HALO_SIDE, p, here, last, end, field, visit)
        visit.due[Unsigned(z + dz)] |= bits << np.uint64(y)
    visit.taken[Unsigned(z)] = True


@bare_inlined
def _take_due(end: Any, field: Field, visit: Visit) -> None:
    """Take the rows of a block that are due, and those that become so."""
    z, idle = 0, 0
    while idle < SIDE:
        bits = visit.due[Unsigned(z + 1)] & OWN
        if bits == 0:
            z = (z + 1) % SIDE
            idle += 1
        else:
            idle = 0
            # Its bit is off before it is taken, so that a row that becomes due again is taken
            # again.
            visit.due[Unsigned(z + 1)] = bits & (bits - np.uint64(1))
            _take(z, np.int64(lowest_bit(bits)) - 1, end, field, visit)


@bare_kernel
def _visit_block(
    block: Int, blocks: Blocks, end: Any, band: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Take rows of a block until none has a key before the end."""
    find_rows(block, blocks, visit.firsts, visit.rows)
    for i in range(HALO_SIDE * HALO_SIDE):
        ask_for_row(field, visit.rows[Unsigned(i)] * LANES)
    borrow_keys(queue, block, visit.keys)
    for z in range(SIDE):
        visit.taken[Unsigned(z)] = False
    least = _least_key(visit)
    while least < end:
        end_here = min(end, _end_of_band(least, band / BANDS_OF_A_VISIT))
        _mark_due(visit, end_here)
        _take_due(end_here, field, visit)
        least = _least_key(visit)
    queue.block_keys[Unsigned(block)] = least
    return_keys(queue, block, visit)
    cross(block, blocks, field, queue, visit)


@bare_inlined
def _ask_for_block(block: Int, field: Field) -> None:
    """Have a block brought into the cache: half of the time was waiting for memory."""
    for row in range((block + 1) * ROWS, (block + 2) * ROWS):
        ask_for_row(field, row * LANES)


@bare_inlined
def _take_turns(queue: Queue, end: Any) -> Any:
    """List the blocks with keys before the end; returns how many.

    They are listed before the first is visited: a block that a visit gives work to has
    more of it in the next round, and is visited once.
    """
    block_keys, turns = queue.block_keys, queue.turns
    count = 0
    for block in range(len(block_keys)):
        # Written in any case, and counted if it is to stay: there is no branch to foresee.
        turns[Unsigned(count)] = block
        count += block_keys[Unsigned(block)] < end
    return count


@bare_kernel
def relax(field: Field, blocks: Blocks, queue: Queue, band: Any, visit: Visit) -> None:
    """Relax steps until none improves a distance.

    Parameters
    ----------
    field, queue
        Distance and queue as `sow` left them.
    blocks, visit
        See the types.
    band
        Width of a band of distance, float32.
    """
    end = np.int32(0)
    while True:
        least = EMPTY
        for i in range(len(queue.block_keys)):
            least = min(least, queue.block_keys[Unsigned(i)])
        if least == EMPTY:
            return
        # Without bands, rows are taken before they are settled, and again and again: 3.5 times
        # as long. A band ends only when no block has a key in it.
        if least >= end:
            end = _end_of_band(least, band)
        count = _take_turns(queue, end)
        for i in range(count):
            block = np.int64(queue.turns[Unsigned(i)])
            _ask_for_block(np.int64(queue.turns[Unsigned(min(i + 1, count - 1))]), field)
            _visit_block(block, blocks, end, band, field, queue, visit)
