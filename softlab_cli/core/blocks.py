"""Blocks, halos and shards: integer arithmetic only, no arrays.

A volume is cut into *shards* (one file each), a shard into *blocks* (one Zarr
chunk for each class, and the unit of computing). A local method needs a *halo*
of neighbouring voxels around a block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product

__all__ = ["Grid", "Region", "Shape", "clip", "grow", "region_shape", "shift"]

Shape = tuple[int, int, int]
Region = tuple[slice, slice, slice]
"""Where something lies along (Z, Y, X); starts and stops are given, steps are not."""

BLOCK_3D: Shape = (64, 64, 64)
SHARD_3D: Shape = (256, 256, 256)
BLOCK_2D: Shape = (1, 512, 512)
SHARD_2D: Shape = (1, 2048, 2048)
BLOCK_OF_SLICE: Shape = (1, 256, 256)
SHARD_OF_SLICES: Shape = (64, 2048, 2048)

SMALLEST_BLOCK: Shape = (16, 16, 64)
"""Rows stay as long as what the kernels take at once."""


def region_shape(region: Region) -> Shape:
    """Voxels along each axis of a region."""
    z, y, x = region
    return z.stop - z.start, y.stop - y.start, x.stop - x.start


def grow(region: Region, halo: Shape) -> Region:
    """The region with its halo; it may reach outside the volume."""
    z, y, x = (slice(s.start - h, s.stop + h) for s, h in zip(region, halo, strict=True))
    return z, y, x


def clip(region: Region, shape: Shape) -> Region:
    """The part of a region that lies inside a volume; empty parts have start == stop."""
    z, y, x = (
        slice(min(max(s.start, 0), n), max(min(s.stop, n), min(max(s.start, 0), n)))
        for s, n in zip(region, shape, strict=True)
    )
    return z, y, x


def overlap(region: Region, other: Region) -> Region:
    """The part of a region that lies inside another; empty parts have start == stop."""
    z, y, x = (
        slice(max(a.start, b.start), max(min(a.stop, b.stop), a.start, b.start))
        for a, b in zip(region, other, strict=True)
    )
    return z, y, x


def shift(region: Region, origin: tuple[int, int, int]) -> Region:
    """The same region counted from another origin."""
    z, y, x = (slice(s.start - o, s.stop - o) for s, o in zip(region, origin, strict=True))
    return z, y, x


@dataclass(frozen=True)
class Grid:
    """How a volume is cut into blocks and shards.

    Parameters
    ----------
    shape
        Voxels of the volume.
    block
        Voxels of a block; the blocks at the far faces may reach past the volume.
    shard
        Voxels of a shard, a multiple of `block`.
    """

    shape: Shape
    block: Shape
    shard: Shape

    @classmethod
    def for_volume(cls, shape: Shape, ndim: int = 3) -> Grid:
        """The layout of the store: 64^3 blocks in shards of up to 256^3 (512^2 in 2D).

        A smaller volume has smaller blocks: what reaches past it is compressed, and inflated
        whenever it is read. Their sides are powers of 2, so that few sizes occur.
        """
        usual, largest = (BLOCK_2D, SHARD_2D) if ndim == 2 else (BLOCK_3D, SHARD_3D)
        block = _block_of_small(shape, usual)
        z, y, x = (
            min(most, -(-n // b) * b) for n, b, most in zip(shape, block, largest, strict=True)
        )
        return cls(shape, block, (z, y, x))

    @classmethod
    def for_slices(cls, shape: Shape) -> Grid:
        """For volumes that are read slice by slice: no block reaches past its slice."""
        z, y, x = (
            min(most, -(-n // b) * b)
            for n, b, most in zip(shape, BLOCK_OF_SLICE, SHARD_OF_SLICES, strict=True)
        )
        return cls(shape, BLOCK_OF_SLICE, (z, y, x))

    @property
    def shards(self) -> Shape:
        """Shards along each axis."""
        z, y, x = (-(-n // s) for n, s in zip(self.shape, self.shard, strict=True))
        return z, y, x

    @cached_property  # each chunk is placed by it
    def blocks_per_shard(self) -> Shape:
        """Blocks along each axis of a shard."""
        z, y, x = (s // b for s, b in zip(self.shard, self.block, strict=True))
        return z, y, x

    @property
    def blocks(self) -> Shape:
        """Blocks along each axis of the volume."""
        z, y, x = (-(-n // b) for n, b in zip(self.shape, self.block, strict=True))
        return z, y, x

    def locate(self, region: Region) -> tuple[Shape, Shape]:
        """Shard of a block, and place of the block inside that shard.

        Parameters
        ----------
        region
            A region that this grid made: it starts where a block starts.
        """
        index = [s.start // b for s, b in zip(region, self.block, strict=True)]
        per = self.blocks_per_shard
        shard = (index[0] // per[0], index[1] // per[1], index[2] // per[2])
        inside = (index[0] % per[0], index[1] % per[1], index[2] % per[2])
        return shard, inside

    def regions(self) -> Iterator[Region]:
        """Every block of the volume once, one shard after another."""
        per = self.blocks_per_shard
        for shard in product(*map(range, self.shards)):
            for inside in product(*map(range, per)):
                start = [
                    (s * p + i) * b
                    for s, p, i, b in zip(shard, per, inside, self.block, strict=True)
                ]
                if all(a < n for a, n in zip(start, self.shape, strict=True)):
                    z, y, x = (
                        slice(a, min(a + b, n))
                        for a, b, n in zip(start, self.block, self.shape, strict=True)
                    )
                    yield z, y, x


def _block_of_small(shape: Shape, usual: Shape) -> Shape:
    z, y, x = (
        min(most, max(least, 1 << (n - 1).bit_length()))
        for n, most, least in zip(shape, usual, SMALLEST_BLOCK, strict=True)
    )
    return z, y, x
