"""What is pending while distances are relaxed, and what a visit of a block works in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined
from softlab_cli.kernels.geodesic.rows import EMPTY
from softlab_cli.kernels.geodesic.tiles import HALO_SIDE
from softlab_cli.kernels.sizes import ROWS, SIDE

__all__ = ["Queue", "Visit", "borrow_keys", "offer", "return_keys"]


class Queue(NamedTuple):
    """What is pending.

    Parameters
    ----------
    keys
        Of every row, int32.
    block_keys
        Least key of each block of the volume.
    crossed
        Distances with which the ends of rows were last pushed into the next blocks along
        X; (voxels of all faces,), see `softlab_cli.kernels.geodesic.tiles`.
    known
        Bounds that the distances there are not above, as far as crossings tell; likewise.
    turns
        (blocks,) int32, for those to visit.
    """

    keys: NDArray[np.int32]
    block_keys: NDArray[np.int32]
    crossed: NDArray[np.float32]
    known: NDArray[np.float32]
    turns: NDArray[np.int32]


class Visit(NamedTuple):
    """What a visit of a block works in.

    Parameters
    ----------
    firsts, rows
        As `find_rows` fills them in.
    keys
        (HALO_SIDE * HALO_SIDE + 1,) keys of the rows, as `rows` has them, and one more that
        nobody has. A row around the block has what this visit found.
    due
        (HALO_SIDE,) for each line along Y, bits of its rows whose keys are in the band; those
        of rows around the block mean nothing.
    taken
        (SIDE,) for each line of rows along Y, whether one of them has been taken.
    fallen
        (SIDE + 4,) whether an end of the line's rows has fallen; nothing has in the two
        lines before and after those of the block.
    ends
        (SIDE * LANES,) the ends that have fallen, infinite where they have not.
    """

    firsts: NDArray[np.int64]
    rows: NDArray[np.int64]
    keys: NDArray[np.int32]
    due: NDArray[np.uint64]
    taken: NDArray[np.bool_]
    fallen: NDArray[np.bool_]
    ends: NDArray[np.float32]


@bare_inlined
def offer(queue: Queue, row: Int, key: Any) -> None:
    """Make a row pending with a key, if it has none as small; its block learns its least key."""
    if key < queue.keys[Unsigned(row)]:
        queue.keys[Unsigned(row)] = key
        owner = row // ROWS - 1
        if key < queue.block_keys[Unsigned(owner)]:
            queue.block_keys[Unsigned(owner)] = key


@bare_inlined
def borrow_keys(queue: Queue, block: Int, keys: Any) -> None:
    """Copy the keys of a block's rows for a visit; those around them get none."""
    keys[:] = EMPTY
    first = (block + 1) * ROWS
    for z in range(SIDE):
        for y in range(SIDE):
            place = (z + 1) * HALO_SIDE + y + 1
            keys[Unsigned(place)] = queue.keys[Unsigned(first + z * SIDE + y)]


@bare_inlined
def return_keys(queue: Queue, block: Int, visit: Visit) -> None:
    """Put the keys of a block's rows back, and offer those around it what a visit found."""
    first = (block + 1) * ROWS
    end = HALO_SIDE - 1
    for z in range(SIDE):
        line = (z + 1) * HALO_SIDE
        for y in range(SIDE):
            queue.keys[Unsigned(first + z * SIDE + y)] = visit.keys[Unsigned(line + y + 1)]
        _offer_found(queue, visit, line)
        _offer_found(queue, visit, line + end)
    for y in range(HALO_SIDE):
        _offer_found(queue, visit, y)
        _offer_found(queue, visit, end * HALO_SIDE + y)


@bare_inlined
def _offer_found(queue: Queue, visit: Visit, place: Int) -> None:
    key = visit.keys[Unsigned(place)]
    if key < EMPTY:
        offer(queue, visit.rows[Unsigned(place)], key)
