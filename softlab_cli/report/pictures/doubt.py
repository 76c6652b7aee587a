"""How doubtful voxels are, and the place of a case where there is most doubt.

The doubt of a voxel is the sum over classes of p (1 - p): the chance that two draws from the
soft label differ. Where raters are kept, the share of them that differ from the hard label is
added, since a fused label (STAPLE) may be sure of what they dispute.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, clip, grow, overlap, region_shape, shift
from softlab_cli.report.pictures.subject import Subject
from softlab_cli.store.sparse import SoftPart

__all__ = ["Place", "borders_of", "doubt_of", "find_place", "softness"]

Place = tuple[int, int, int]

CELL = 8
"""Voxels of a cell along the finest axis; the most doubtful 3 x 3 x 3 cells decide, so that
one odd voxel does not."""

HAZE = 1 / 3
"""Share of the voxels from which doubt says nothing about where to look: uniform smoothing
doubts everything alike, and GeoLS all that looks like its class."""

SOFT = 0.02
"""Doubt of a voxel that is soft: 2 percent of another class."""


def softness(part: SoftPart) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Where a class is neither 0 nor 1, in the flattened part, and p there."""
    values = part.values
    if values.dtype == np.float16:
        # Between 0 and 1, numbers of float16 are in the order of their bits.
        bits = np.ravel(values).view(np.uint16)
        soft = np.flatnonzero((bits - np.uint16(1)) < np.uint16(0x3C00 - 1))
    else:
        soft = np.flatnonzero((values > 0) & (values < 1))
    return soft, np.ravel(values)[soft].astype(np.float32)


def doubt_of(subject: Subject, region: Region) -> NDArray[np.float32]:
    """(z, y, x) doubt of each voxel of a region."""
    doubt = np.zeros(region_shape(region), np.float32)
    start = [s.start for s in region]
    for part in subject.soft(region, None) if subject.soft else ():
        where, p = softness(part)
        if len(where):
            part_of = doubt[shift(part.region, (start[0], start[1], start[2]))]
            part_of[np.unravel_index(where, part_of.shape)] += p * (1 - p)
    others = [*subject.raters.values(), *subject.references.values()]
    if others:
        hard = subject.hard(region)
        for read in others:
            doubt += (read(region) != hard) * np.float32(1 / len(others))
    return doubt


def borders_of(subject: Subject, region: Region) -> NDArray[np.float32]:
    """(z, y, x) number of axes along which a voxel's label is not that of the next one."""
    size = region_shape(region)
    labels = subject.hard(clip(grow(region, (1, 1, 1)), subject.geometry.shape))
    first = [min(1, s.start) for s in region]
    borders = np.zeros(size, np.float32)
    for axis in range(3):
        here = [slice(f, f + n) for f, n in zip(first, size, strict=True)]
        there = list(here)
        last = min(first[axis] + size[axis] + 1, labels.shape[axis])
        here[axis] = slice(first[axis], last - 1)
        there[axis] = slice(first[axis] + 1, last)
        differ = labels[tuple(here)] != labels[tuple(there)]
        borders[tuple(slice(0, n) for n in differ.shape)] += differ
    return borders


@dataclass
class _Cells:
    """Doubt in cells of some voxels each, and soft voxels, summed block by block."""

    sizes: Place
    sums: NDArray[np.float64]
    soft_voxels: int = 0
    voxels: int = 0

    @classmethod
    def of(cls, subject: Subject) -> _Cells:
        spacing = subject.geometry.spacing_mm
        sizes = [max(1, round(CELL * min(spacing) / mm)) for mm in spacing]
        counts = [-(-n // size) for n, size in zip(subject.geometry.shape, sizes, strict=True)]
        return cls((sizes[0], sizes[1], sizes[2]), np.zeros(counts))

    def add(self, region: Region, doubt: NDArray[np.float32]) -> None:
        summed: NDArray[np.float64] = doubt.astype(np.float64)
        spans = []
        for axis, (span, size) in enumerate(zip(region, self.sizes, strict=True)):
            first, last = span.start // size, -(-span.stop // size)
            starts = [max(0, cell * size - span.start) for cell in range(first, last)]
            summed = np.add.reduceat(summed, starts, axis)
            spans.append(slice(first, last))
        self.sums[tuple(spans)] += summed
        self.soft_voxels += int(np.count_nonzero(doubt > SOFT))
        self.voxels += doubt.size

    def most(self) -> Place:
        """The cell with most doubt in it and its neighbours."""
        padded = np.pad(self.sums, 1)
        around = sum(
            padded[tuple(slice(o, o + n) for o, n in zip(offset, self.sums.shape, strict=True))]
            for offset in product(range(3), repeat=3)
        )
        z, y, x = np.unravel_index(int(np.argmax(around)), self.sums.shape)
        return int(z), int(y), int(x)

    def around(self, cell: Place) -> Region:
        """Voxels of a cell and of its neighbours; may reach outside the volume."""
        z, y, x = (
            slice((c - 1) * size, (c + 2) * size) for c, size in zip(cell, self.sizes, strict=True)
        )
        return z, y, x


def find_place(subject: Subject, within: Sequence[int | None] = (None, None, None)) -> Place:
    """The voxel (z, y, x) around which there is most doubt.

    Where there is no doubt, or nearly everywhere some, it lies in the slices that have most
    borders between labels.

    Parameters
    ----------
    subject
        The case; it is read block by block.
    within
        Along each axis: the slice in which to look, or None for all.
    """
    limits = _limits(subject, within)
    cells = _Cells.of(subject)
    for region in _blocks(subject, limits):
        cells.add(region, doubt_of(subject, region))
    if not cells.sums.any() or cells.soft_voxels > HAZE * cells.voxels:
        return _busiest(subject, limits)
    near = overlap(clip(cells.around(cells.most()), subject.geometry.shape), limits)
    doubt = doubt_of(subject, near)
    return _peak([_profile(doubt, axis) for axis in range(3)], near)


def _limits(subject: Subject, within: Sequence[int | None]) -> Region:
    z, y, x = (
        slice(0, n) if index is None else slice(index, index + 1)
        for n, index in zip(subject.geometry.shape, within, strict=True)
    )
    return z, y, x


def _blocks(subject: Subject, limits: Region) -> Iterator[Region]:
    for region in subject.grid.regions():
        inside = overlap(region, limits)
        if prod(region_shape(inside)):
            yield inside


def _busiest(subject: Subject, limits: Region) -> Place:
    """Where the slices with most borders between labels meet, one along each axis."""
    profiles = [np.zeros(n) for n in region_shape(limits)]
    for region in _blocks(subject, limits):
        borders = borders_of(subject, region)
        for axis, (span, limit) in enumerate(zip(region, limits, strict=True)):
            first = span.start - limit.start
            profiles[axis][first : first + borders.shape[axis]] += _profile(borders, axis)
    if not profiles[0].any():  # one label only: the middle
        z, y, x = ((span.start + span.stop) // 2 for span in limits)
        return z, y, x
    return _peak(profiles, limits)


def _profile(values: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """Sum of each slice along an axis."""
    others = tuple(other for other in range(3) if other != axis)
    profile: NDArray[np.float64] = values.sum(axis=others, dtype=np.float64)
    return profile


def _peak(profiles: Sequence[NDArray[np.float64]], region: Region) -> Place:
    z, y, x = (
        span.start + int(np.argmax(profile)) for span, profile in zip(region, profiles, strict=True)
    )
    return z, y, x
