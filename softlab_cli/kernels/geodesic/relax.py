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
from softlab_cli.kernels.geodesic.pending import Queue, Visit, offer
from softlab_cli.kernels.geodesic.rows import EMPTY, Field, bits_of, push, settle
from softlab_cli.kernels.geodesic.tiles import HALO_SIDE, Blocks, find_rows, row_of
from softlab_cli.kernels.lanes import Lanes, after, before
from softlab_cli.kernels.sizes import LANES, ROWS, SIDE, WORD

__all__ = ["relax", "sow"]

BANDS_OF_A_VISIT = np.float32(4)
"""How many times narrower than a band those in a visit are; with 1, it takes 1.6 times as long."""


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
def _mark_due(queue: Queue, block: Int, end: Any, due: Any) -> None:
    """Mark the block's rows whose keys are in the band."""
    first = (block + 1) * ROWS
    for w in range(ROWS // WORD):
        word = np.uint64(0)
        # All bits are set without a branch, and stay in one register; a row is found later by its
        # lowest bit, without looking at those that are not due.
        for i in range(WORD):
            is_due = queue.keys[Unsigned(first + w * WORD + i)] < end
            word |= np.uint64(is_due) << np.uint64(i)
        due[Unsigned(w)] = word


@bare_inlined
def _least_key(queue: Queue, block: Int) -> Any:
    """Least key of a block's rows."""
    first = (block + 1) * ROWS
    least = EMPTY
    for i in range(ROWS):
        # No branch, and whole numbers: the minimum of a block is a few vector instructions.
        key = queue.keys[Unsigned(first + i)]
        least = key if key < least else least
    return least


@bare_inlined
def _push_around(
    field: Field, queue: Queue, visit: Visit, corner: Int, p: Int, here: Lanes, block: Int, end: Any
) -> None:
    """Push the row at p, with its distances, to the eight around it, from ``rows[corner]`` on.

    Whether distances fell is not foreseeable, so the processor often goes on the wrong
    way there: it costs least when all of the pushing is done.
    """
    left, right = before(here), after(here)
    for dz in range(3):
        for dy in range(3):
            i = 3 * dz + dy
            visit.leasts[Unsigned(i)] = EMPTY
            if i != 4:
                q = visit.rows[Unsigned(corner + dz * HALO_SIDE + dy)] * LANES
                visit.leasts[Unsigned(i)] = push(field, p, q, 3 * i, here, left, right)
    # A loop of its own: offering each row at once takes 1.15 times as long.
    for dz in range(3):
        for dy in range(3):
            row = visit.rows[Unsigned(corner + dz * HALO_SIDE + dy)]
            offer(queue, row, visit.leasts[Unsigned(3 * dz + dy)], block, end, visit.due)


@bare_inlined
def _take(
    place: Int, block: Int, blocks: Blocks, end: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Settle a row of a block and push it to all rows that it touches."""
    corner = (place >> 4) * HALO_SIDE + (place & 15)
    row = visit.rows[Unsigned(corner + HALO_SIDE + 1)]
    queue.keys[Unsigned(row)] = EMPTY
    here = settle(field, row * LANES)
    _push_around(field, queue, visit, corner, row * LANES, here, block, end)
    visit.taken[Unsigned(place >> 4)] = True


@bare_inlined
def _take_due(
    block: Int, blocks: Blocks, end: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Take the rows of a block that are due, and those that become so."""
    w, idle = 0, 0
    while idle < ROWS // WORD:
        word = visit.due[Unsigned(w)]
        if word == 0:
            w = (w + 1) % (ROWS // WORD)
            idle += 1
        else:
            idle = 0
            # Its bit is off before it is taken, so that a row that becomes due again is taken
            # again.
            visit.due[Unsigned(w)] = word & (word - np.uint64(1))
            place = w * WORD + np.int64(lowest_bit(word))
            _take(place, block, blocks, end, field, queue, visit)


@bare_kernel
def _visit_block(
    block: Int, blocks: Blocks, end: Any, band: Any, field: Field, queue: Queue, visit: Visit
) -> None:
    """Take rows of a block until none has a key before the end."""
    find_rows(block, blocks, visit.firsts, visit.rows)
    for z in range(SIDE):
        visit.taken[Unsigned(z)] = False
    least = _least_key(queue, block)
    while least < end:
        end_here = min(end, _end_of_band(least, band / BANDS_OF_A_VISIT))
        _mark_due(queue, block, end_here, visit.due)
        _take_due(block, blocks, end_here, field, queue, visit)
        least = _least_key(queue, block)
    queue.block_keys[Unsigned(block)] = least
    cross(block, blocks, field, queue, visit)


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
        for i in range(_take_turns(queue, end)):
            block = np.int64(queue.turns[Unsigned(i)])
            _visit_block(block, blocks, end, band, field, queue, visit)
