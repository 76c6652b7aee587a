"""Steps from the blocks of a column into those of the next one along X.

The rows of two blocks meet there end to end, so that nine single steps lead across from
each end, not whole rows. They are taken when a visit is over, once for a row however often
it was taken, and line by line in faces, where the ends of neighbouring rows are side by side.
"""

from __future__ import annotations

import numpy as np

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, lowest_bit
from softlab_cli.kernels.geodesic.pending import Queue, Visit, offer
from softlab_cli.kernels.geodesic.rows import STEPS, Field, bits_of, step_costs
from softlab_cli.kernels.geodesic.tiles import HALO_SIDE, Blocks, face_of, face_strides
from softlab_cli.kernels.lanes import below_only, fallen, gather, lane, load, nearer, store
from softlab_cli.kernels.sizes import LANES, ROWS, SIDE

__all__ = ["cross"]


@bare_inlined
def cross(block: Int, blocks: Blocks, field: Field, queue: Queue, visit: Visit) -> None:
    """Relax the steps from a block's rows that were taken into the next blocks along X."""
    stride, _ = face_strides(blocks)
    s = block % blocks[2]
    for side in range(2):
        aside = 2 * side - 1
        if 0 <= s + aside < blocks[2]:
            here = face_of(blocks, block, s, side)
            there = face_of(blocks, block, s + aside, 1 - side)
            if _find_fallen(here, stride, side, field, queue, visit):
                for z in range(-1, SIDE + 1):
                    _cross_into(z, here, there, stride, aside, field, queue, visit)


@bare_inlined
def _find_fallen(
    here: Int, stride: Int, side: Int, field: Field, queue: Queue, visit: Visit
) -> bool:
    """Find the ends that have fallen since they were last pushed across; whether any has."""
    found = False
    for z in range(SIDE):
        visit.fallen[Unsigned(z + 2)] = False
        if visit.taken[Unsigned(z)]:
            own = here + z * stride
            row = visit.rows[Unsigned((z + 1) * HALO_SIDE + 1)]
            ends = gather(field.distance, row * LANES + side * (LANES - 1))
            last = load(queue.crossed, own)
            if fallen(ends, last) != 0:
                found = True
                visit.fallen[Unsigned(z + 2)] = True
                store(visit.ends, z * LANES, below_only(ends, last))
                store(queue.crossed, own, ends)
                store(queue.known, own, nearer(ends, load(queue.known, own)))
    return found


@bare_inlined
def _cross_into(
    z: Int, here: Int, there: Int, stride: Int, aside: Int,
    field: Field, queue: Queue, visit: Visit,
) -> None:  # fmt: skip
    """Relax the steps into line z of the rows there, each from up to three lines."""
    for dy in range(3):
        q = there + z * stride + dy - 1
        known = load(queue.known, q)
        new = known
        for dz in range(3):
            source = z + 1 - dz
            if visit.fallen[Unsigned(source + 2)]:
                step = 9 * dz + 3 * dy
                a, b = field.steps[Unsigned(step)], field.steps[Unsigned(STEPS + step)]
                own = here + source * stride
                cost = step_costs(field.faces, own, q, a, b, field.rule)
                new = nearer(load(visit.ends, source * LANES) + cost, new)
        # Few get further. The distances themselves are each in a line of the cache of its own, in
        # another block: with a look at all of them, crossing took a quarter of the whole time.
        bits = fallen(new, known)
        if bits != 0:
            store(queue.known, q, new)
        while bits != 0:
            y = np.int64(lowest_bit(bits))
            bits &= bits - np.uint64(1)
            row = visit.rows[Unsigned((z + 1) * HALO_SIDE + y + dy)] + aside * ROWS
            _lower(field, queue, row, aside, lane(new, y))


@bare_inlined
def _lower(field: Field, queue: Queue, row: Int, aside: Int, distance: np.float32) -> None:
    """Lower the end of a row that is met in the direction `aside`, if it is farther."""
    end = row * LANES + (LANES - 1) * (aside < 0)
    if distance < field.distance[Unsigned(end)]:
        field.distance[Unsigned(end)] = distance
        offer(queue, row, bits_of(distance))
