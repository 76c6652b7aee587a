"""Blocks cover the volume exactly once; regions behave at the edges."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.blocks import Grid, clip, grow, overlap, region_shape, shift

sizes = st.tuples(*[st.integers(1, 40)] * 3)
blocks = st.tuples(*[st.integers(1, 9)] * 3)
factors = st.tuples(*[st.integers(1, 3)] * 3)


@given(sizes, blocks, factors)
def test_regions_cover_each_voxel_once(shape, block, factor) -> None:
    grid = Grid(shape, block, tuple(b * f for b, f in zip(block, factor, strict=True)))
    seen = np.zeros(shape, int)
    places = set()
    for region in grid.regions():
        seen[region] += 1
        assert all(n <= b for n, b in zip(region_shape(region), block, strict=True))
        places.add(grid.locate(region))
    assert (seen == 1).all()
    assert len(places) == np.prod(grid.blocks)


@given(sizes, blocks, factors)
def test_shards_come_one_after_another(shape, block, factor) -> None:
    grid = Grid(shape, block, tuple(b * f for b, f in zip(block, factor, strict=True)))
    shards = [grid.locate(region)[0] for region in grid.regions()]
    changes = sum(a != b for a, b in itertools.pairwise(shards))
    assert changes + 1 == len(set(shards)) == np.prod(grid.shards)


def test_layout_of_the_store() -> None:
    assert Grid.for_volume((181, 217, 181)).shard == (192, 256, 192)
    assert Grid.for_volume((512, 512, 1500)).shard == (256, 256, 256)
    assert Grid.for_volume((1, 700, 5000), ndim=2).shard == (1, 1024, 2048)


def test_small_volumes_have_small_blocks() -> None:
    """What reaches past a volume is compressed with it; few sizes occur."""
    assert Grid.for_volume((181, 217, 181)).block == (64, 64, 64)
    assert Grid.for_volume((33, 512, 512)).block == (64, 64, 64)
    assert Grid.for_volume((20, 512, 512)).block == (32, 64, 64)
    assert Grid.for_volume((16, 17, 5)) == Grid((16, 17, 5), (16, 32, 64), (16, 32, 64))
    assert Grid.for_volume((1, 64, 65), ndim=2).block == (1, 64, 128)
    assert Grid.for_volume((1, 700, 5000), ndim=2).block == (1, 512, 512)


regions = st.tuples(*[st.tuples(st.integers(-20, 60), st.integers(0, 30))] * 3).map(
    lambda pairs: tuple(slice(a, a + n) for a, n in pairs)
)


@given(regions, sizes)
def test_clip_keeps_what_lies_inside(region, shape) -> None:
    inside = clip(region, shape)
    for s, r, n in zip(inside, region, shape, strict=True):
        assert 0 <= s.start <= s.stop <= n
        assert set(range(s.start, s.stop)) == set(range(r.start, r.stop)) & set(range(n))


@given(regions, regions)
def test_overlap_is_what_both_have(region, other) -> None:
    for s, a, b in zip(overlap(region, other), region, other, strict=True):
        assert s.start <= s.stop
        assert set(range(s.start, s.stop)) == {*range(a.start, a.stop)} & {*range(b.start, b.stop)}


def test_grow_and_shift() -> None:
    region = (slice(0, 4), slice(2, 3), slice(5, 9))
    assert grow(region, (1, 0, 2)) == (slice(-1, 5), slice(2, 3), slice(3, 11))
    assert shift(region, (1, 2, 3)) == (slice(-1, 3), slice(0, 1), slice(2, 6))
