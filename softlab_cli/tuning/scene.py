"""Where a case is looked at: the voxels that count, and the part of it that those need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import ceil

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape, clip, grow, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.volume import Geometry
from softlab_cli.evaluation.metrics.regions import Reach, dilated_union
from softlab_cli.fusion.patterns import UNLABELLED, RaterPatterns, find_patterns
from softlab_cli.labels.case import RaterLabels

__all__ = ["Place", "Scene"]


@dataclass(frozen=True, eq=False)
class Place:
    """The voxels of one block that count.

    Parameters
    ----------
    voxels
        (n,) their numbers in a block of full size.
    labels
        (raters, n) class indices.
    """

    voxels: NDArray[np.int64]
    labels: NDArray[np.unsignedinteger]


@dataclass(frozen=True)
class Scene:
    """The raters of a case, and the voxels that count.

    These are the same whoever is left out: within a distance of any rater's foreground, and
    labelled by all of them. They and the neighbours that methods need are cut out, which is
    exact: a local method sees no further than its halo, and what is learned of all voxels
    (the weights of raters) is learned from the counts of the whole case.

    Parameters
    ----------
    drawn
        The raters' labels.
    classes
        The class table.
    reach
        The distance from foreground; None for all voxels.
    halo
        Neighbours that the methods need at most.
    """

    drawn: RaterLabels
    classes: ClassTable
    reach: Reach | None
    halo: Shape

    @property
    def patterns(self) -> RaterPatterns:
        """The raters' labels, of the whole case."""
        return self.drawn.patterns

    @cached_property
    def _core(self) -> tuple[Region, NDArray[np.bool_]]:
        """The part of the case where voxels may count, and which of them do."""
        every = _whole(self.patterns.indices.shape)
        labelled = (self.patterns.labels != UNLABELLED).all(axis=1)
        if self.reach is None:
            return every, labelled[self.patterns.indices]
        spacing_mm = self.drawn.geometry.spacing_mm
        inside = self._foreground()[self.patterns.indices]
        box = _box(inside)
        if box is None:
            return every, np.zeros(inside.shape, np.bool_)
        region = clip(grow(box, _steps(self.reach, spacing_mm)), inside.shape)
        near = dilated_union(inside[region].astype(np.uint8), self.reach, spacing_mm)
        return region, near & labelled[self.patterns.indices[region]]

    def _foreground(self) -> NDArray[np.bool_]:
        """(patterns,) whether any rater has a class other than background."""
        named = self.patterns.labels != UNLABELLED
        background = self.classes.background_index
        if background is not None:
            named &= self.patterns.labels != background
        return np.asarray(named.any(axis=1), np.bool_)

    @cached_property
    def crop(self) -> Region:
        """What is softened by local methods."""
        return clip(grow(self._core[0], self.halo), self.patterns.indices.shape)

    @cached_property
    def cut(self) -> NDArray[np.unsignedinteger]:
        """The patterns of `crop`."""
        return np.ascontiguousarray(self.patterns.indices[self.crop])

    @property
    def voxels(self) -> int:
        """How many voxels count."""
        return int(np.count_nonzero(self._core[1]))

    def geometry(self, region: Region) -> Geometry:
        """The grid of a part of the case; of it, spacing and shape matter."""
        return replace(self.drawn.geometry, shape=region_shape(region))

    @cached_property
    def local_grid(self) -> Grid:
        """The blocks of `crop`."""
        return _grid(region_shape(self.crop), self.drawn.geometry.ndim)

    @cached_property
    def whole_grid(self) -> Grid:
        """The blocks of the whole case, for methods that have to see it."""
        return _grid(self.drawn.geometry.shape, self.drawn.geometry.ndim)

    @cached_property
    def local_places(self) -> dict[Shape, Place]:
        """The voxels that count, by the first voxel of their block of `crop`."""
        return dict(self._places(self.local_grid, self.crop))

    @cached_property
    def whole_places(self) -> dict[Shape, Place]:
        """The same of the whole case."""
        return dict(self._places(self.whole_grid, _whole(self.patterns.indices.shape)))

    def _places(self, grid: Grid, part: Region) -> Iterator[tuple[Shape, Place]]:
        core, mask = self._core
        labels = np.ascontiguousarray(self.patterns.labels.T).astype(self.classes.index_dtype)
        for block in grid.regions():
            z, y, x = (
                slice(b.start + p.start, b.stop + p.start) for b, p in zip(block, part, strict=True)
            )
            inner = _meet((z, y, x), core)
            if inner is None:
                continue
            held = mask[_from(inner, core)]
            places = np.argwhere(held)
            if not len(places):
                continue
            found = self.patterns.indices[inner][held]
            offset = [a.start - b.start for a, b in zip(inner, (z, y, x), strict=True)]
            voxels = np.ravel_multi_index(tuple((places + offset).T), grid.block)
            start = (block[0].start, block[1].start, block[2].start)
            yield start, Place(voxels.astype(np.int64), np.ascontiguousarray(labels[:, found]))

    @property
    def foreground_voxels(self) -> int:
        """How many of them some rater gave a class other than background."""
        core, mask = self._core
        return int(np.count_nonzero(self._foreground()[self.patterns.indices[core]] & mask))

    def patterns_of(self, raters: tuple[int, ...]) -> RaterPatterns:
        """The patterns of some raters on `crop`, with counts of the whole case.

        They are found as if these were all that there are, so that whatever fuses them finds
        what it would find then, to the bit.
        """
        mark = self.classes.ignore_index
        volumes = (self.patterns.rater(r, self.classes.index_dtype, mark) for r in raters)
        found = find_patterns(volumes, len(self.classes), mark)
        return replace(found, indices=np.ascontiguousarray(found.indices[self.crop]))

    def label_map(self, rater: int) -> NDArray[np.unsignedinteger]:
        """The class indices of one rater on `crop`."""
        there = replace(self.patterns, indices=self.cut)
        return there.rater(rater, self.classes.index_dtype, self.classes.ignore_index)


def _grid(shape: Shape, ndim: int) -> Grid:
    grid = Grid.for_volume(shape, ndim)
    z, y, x = (min(pair) for pair in zip(grid.block, shape, strict=True))
    return Grid(shape, (z, y, x), (z, y, x))


def _whole(shape: tuple[int, ...]) -> Region:
    z, y, x = (slice(0, n) for n in shape)
    return z, y, x


def _box(inside: NDArray[np.bool_]) -> Region | None:
    """The smallest region that holds all that is inside."""
    sides = []
    for axis in range(3):
        others = tuple(a for a in range(3) if a != axis)
        places = np.flatnonzero(inside.any(axis=others))
        if not len(places):
            return None
        sides.append(slice(int(places[0]), int(places[-1]) + 1))
    return sides[0], sides[1], sides[2]


def _steps(reach: Reach, spacing_mm: tuple[float, float, float]) -> Shape:
    """Voxels along each axis that a distance may span."""
    if reach.mm is None:
        return (reach.voxels or 0,) * 3
    z, y, x = (ceil(reach.mm / step) for step in spacing_mm)
    return z, y, x


def _meet(one: Region, other: Region) -> Region | None:
    z, y, x = (
        slice(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(one, other, strict=True)
    )
    return (z, y, x) if all(s.start < s.stop for s in (z, y, x)) else None


def _from(region: Region, origin: Region) -> Region:
    z, y, x = (
        slice(s.start - o.start, s.stop - o.start) for s, o in zip(region, origin, strict=True)
    )
    return z, y, x
