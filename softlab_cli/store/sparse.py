"""Soft labels of a region class by class, and only of classes that have any there.

An array (C, Z, Y, X) of a region is mostly 0 with many classes. Whoever wants sums over
classes goes over the parts that are there instead.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, clip, grow, region_shape, shift
from softlab_cli.core.errors import StoreError
from softlab_cli.store.arrays import ArrayReader, common, corner
from softlab_cli.store.layout import blocks_touching
from softlab_cli.store.reader import Case
from softlab_cli.store.softening import LocalSoftener

__all__ = ["SoftPart", "soft_parts"]


class SoftPart(NamedTuple):
    """The soft label of one class in a part of the volume.

    Parameters
    ----------
    class_index
        The class.
    region
        Where, along (Z, Y, X).
    values
        (z, y, x) of that shape, float16 or float32; not to be written to.
    """

    class_index: int
    region: Region
    values: NDArray[Any]


def soft_parts(
    case: Case, region: Region, classes: Collection[int] | None = None
) -> Iterator[SoftPart]:
    """Soft labels that are not 0, one class and block of the store at a time.

    Parameters
    ----------
    case
        A case of an open store.
    region
        A region inside the volume, along (Z, Y, X); Z is one slice in 2D.
    classes
        The classes wanted; None for all.

    Yields
    ------
    SoftPart
        What is in none of them is 0. Its values hold until the next one is asked for.

    Raises
    ------
    StoreError
        When the files are damaged, or hold hard labels only and the store was opened
        without a way to compute soft ones.
    """
    wanted = range(len(case.classes)) if classes is None else classes
    if case.softener is not None:
        yield from _computed(case, case.softener, region, wanted)
    elif case.soft_array is not None:
        yield from _stored(case.soft_array, region, wanted)
    else:
        raise StoreError(
            "holds hard labels only; soft labels are computed on read.",
            remedy="Open it with softlab_cli.open_store.",
            path=case.path,
        )


def _stored(array: ArrayReader, region: Region, wanted: Collection[int]) -> Iterator[SoftPart]:
    rows = {index: 0 for index in wanted}
    for block in blocks_touching(array.layout.grid, region):
        shared = common(block, region)
        inside = shift(shared, corner(block))
        for class_index, values in array.chunks(block, rows):
            yield SoftPart(class_index, shared, values[inside])


def _computed(
    case: Case, softener: LocalSoftener, region: Region, wanted: Collection[int]
) -> Iterator[SoftPart]:
    grid, geometry = case.label_array.layout.grid, case.geometry
    for block in blocks_touching(grid, region):
        shared = common(block, region)
        outer = clip(grow(shared, softener.halo(geometry.spacing_mm)), grid.shape)
        part, (z, y, x) = shift(shared, corner(outer)), region_shape(shared)
        indices = case.label_array.read(outer)
        for soft in softener.soften(indices, part, geometry, grid.block):
            for row, class_index in enumerate(soft.class_indices):
                if class_index in wanted:
                    yield SoftPart(class_index, shared, soft.values[row, :z, :y, :x])
            for class_index, value in soft.constants.items():
                if class_index in wanted and value:
                    constant = np.broadcast_to(np.float16(value), (z, y, x))
                    yield SoftPart(class_index, shared, constant)
