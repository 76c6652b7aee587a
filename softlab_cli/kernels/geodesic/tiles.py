"""Where the exact engine keeps voxels: in blocks, so that near voxels are near in memory.

A *row* is `LANES` neighbouring voxels along X: one line of the processor's cache, one
vector. A *block* is `SIDE` x `SIDE` rows. Rows are numbered block after block, inside a
block along Y first; voxel x of row r is at ``r * LANES + x``.

What lies outside the volume is *wall*: its intensity is NaN, so that a step that
touches it costs NaN and improves nothing, and no loop tests for the bounds. All blocks
outside the volume are one block of walls. It has one more on either side, as it takes
`ROWS` rows to step from a block to the next one along X.

A *face* has the ends of the rows in one column of blocks, those at the low or at the high
end of X, line by line along Y, with a margin of one wall around: what is at the ends of
neighbouring rows lies side by side. Faces are a copy, beside the blocks.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined, inlined, kernel
from softlab_cli.kernels.sizes import LANES, ROWS, SIDE

__all__ = [
    "HALO_SIDE",
    "Blocks",
    "enclose",
    "enclose_ends",
    "extract",
    "face_of",
    "face_strides",
    "find_rows",
    "row_of",
]

HALO_SIDE = SIDE + 2
"""Rows along Z and along Y of a block with those around it."""

Blocks = tuple[int, int, int]
"""Blocks of the volume along (Z, Y, X)."""


@bare_inlined
def row_of(blocks: Blocks, z: Int, y: Int, s: Int) -> Any:
    """Number of the row with the voxels from (z, y, s * LANES) on."""
    # SIDE is 16: a shift and a mask, while a division of signed numbers is several steps.
    block = 1 + ((z >> 4) * blocks[1] + (y >> 4)) * blocks[2] + s
    return block * ROWS + (z & 15) * SIDE + (y & 15)


@inlined
def _copy_line(source: Any, source_start: Int, out: Any, out_start: Int, count: Int) -> None:
    for x in range(count):
        out[Unsigned(out_start + x)] = source[Unsigned(source_start + x)]


@kernel
def enclose(image: NDArray[np.float32], blocks: Blocks, out: NDArray[np.float32]) -> float:
    """Copy an image of (Z, Y, X) into blocks; returns the mean difference along X."""
    depth, height, width = image.shape
    out[:] = np.nan
    total = 0.0
    for z in range(depth):
        for y in range(height):
            line = image[z, y]
            for x in range(0, width, LANES):
                start = row_of(blocks, z, y, x // LANES) * LANES
                _copy_line(line, x, out, start, min(LANES, width - x))
            # While the row is in the cache: the mean difference sets the width of the bands.
            for x in range(1, width):
                total += abs(line[Unsigned(x)] - line[Unsigned(x - 1)])
    return total / image.size


@inlined
def face_strides(blocks: Blocks) -> Any:
    """Voxels from one line of a face to the next, and those of a face."""
    stride = blocks[1] * SIDE + 2
    return stride, stride * (blocks[0] * SIDE + 2)


@inlined
def face_of(blocks: Blocks, block: Int, s: Int, side: Int) -> Any:
    """Place of a block's first row in a face: that of low (0) or high ends in column s."""
    stride, voxels = face_strides(blocks)
    by = block // blocks[2] % blocks[1]
    bz = block // (blocks[2] * blocks[1])
    return (2 * s + side) * voxels + (bz * SIDE + 1) * stride + by * SIDE + 1


@kernel
def enclose_ends(image: NDArray[np.float32], blocks: Blocks, out: NDArray[np.float32]) -> None:
    """Copy the ends of the rows of an image of (Z, Y, X) into faces."""
    depth, height, width = image.shape
    out[:] = np.nan
    stride, _ = face_strides(blocks)
    for s in range(blocks[2]):
        for side in range(2):
            x = s * LANES + side * (LANES - 1)
            first = face_of(blocks, 0, s, side)
            for z in range(depth if x < width else 0):
                for y in range(height):
                    out[Unsigned(first + z * stride + y)] = image[z, y, x]


@kernel
def extract(distance: NDArray[np.float32], blocks: Blocks, out: NDArray[np.float32]) -> None:
    """Copy blocks to (Z, Y, X), without walls."""
    depth, height, width = out.shape
    for z in range(depth):
        for y in range(height):
            line = out[z, y]
            for x in range(0, width, LANES):
                start = row_of(blocks, z, y, x // LANES) * LANES
                _copy_line(distance, start, line, x, min(LANES, width - x))


@bare_inlined
def _first_row(blocks: Blocks, bz: Int, by: Int, bx: Int) -> Any:
    """First row of a block, which may be outside along Z or Y."""
    depth, height, width = blocks
    inside = bz >= 0 and bz < depth and by >= 0 and by < height
    block = (bz * height + by) * width + bx if inside else depth * height * width + 1
    return (1 + block) * ROWS


@bare_inlined
def find_rows(
    block: Int, blocks: Blocks, firsts: NDArray[np.int64], rows: NDArray[np.int64]
) -> None:
    """Find the numbers of a block's rows and of those around it.

    Parameters
    ----------
    block
        Place of the block in the volume's, C order.
    blocks
        See the type.
    firsts
        (9,), for the first rows of the blocks around it along Z and Y.
    rows
        (HALO_SIDE * HALO_SIDE,), for the numbers; row (z, y) of the block at
        ``(z + 1) * HALO_SIDE + y + 1``.
    """
    _, height, width = blocks
    bx = block % width
    by = block // width % height
    bz = block // (width * height)
    for dz in range(3):
        for dy in range(3):
            firsts[Unsigned(3 * dz + dy)] = _first_row(blocks, bz + dz - 1, by + dy - 1, bx)
    # Once for a visit, in which rows are taken many times: to find a neighbour then costs one
    # look-up, in this block or in the next.
    for z in range(HALO_SIDE):
        for y in range(HALO_SIDE):
            first = firsts[Unsigned(3 * ((z + 15) >> 4) + ((y + 15) >> 4))]
            place = ((z - 1) & 15) * SIDE + ((y - 1) & 15)
            rows[Unsigned(z * HALO_SIDE + y)] = first + place
