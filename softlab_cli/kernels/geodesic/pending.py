"""What is pending while distances are relaxed, and what a visit of a block works in."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined
from softlab_cli.kernels.sizes import ROWS, WORD

__all__ = ["Queue", "Visit", "offer"]


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
    due
        (ROWS // WORD,) bits of the block's rows whose keys are in the band.
    leasts
        (9,) bits of the least distance that fell in each row around the one taken.
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
    due: NDArray[np.uint64]
    leasts: NDArray[np.int32]
    taken: NDArray[np.bool_]
    fallen: NDArray[np.bool_]
    ends: NDArray[np.float32]


@bare_inlined
def offer(queue: Queue, row: Int, key: Any, block: Int, end: Any, due: Any) -> None:
    """Make a row pending with a key, if it has none as small.

    Rows of the block that is visited become due at once; other blocks learn their least key.
    """
    if key < queue.keys[Unsigned(row)]:
        queue.keys[Unsigned(row)] = key
        owner = row // ROWS - 1
        if owner != block:
            if key < queue.block_keys[Unsigned(owner)]:
                queue.block_keys[Unsigned(owner)] = key
        elif key < end:
            bit = np.uint64(1) << np.uint64(row % WORD)
            due[Unsigned(row % ROWS // WORD)] |= bit
