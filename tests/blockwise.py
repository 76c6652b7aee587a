"""Runs a local method block by block and puts the blocks together, as a store would."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.base import LocalMethod

from . import naive

SPACING_MM = (2.5, 0.8, 0.9)


def geometry_of(shape: Shape, ndim: int = 3) -> Geometry:
    z, y, x = SPACING_MM
    return Geometry(shape, np.diag([x, y, z, 1.0]), ndim)


def soften(
    method: LocalMethod,
    indices: NDArray[Any],
    class_count: int,
    block: Shape = (64, 64, 64),
    ndim: int = 3,
) -> tuple[NDArray[np.float16], SoftSums, list[SoftBlock]]:
    """Soft labels of a volume, their sums, and the blocks (their values are gone)."""
    classes = ClassTable.from_values(range(class_count))
    workspace = method.workspace(classes, geometry_of(indices.shape, ndim), block)
    soft = np.full((class_count, *indices.shape), np.nan, np.float16)
    sums, blocks = SoftSums.zero(class_count), []
    for region in Grid(indices.shape, block, block).regions():
        soft[(slice(None), *region)] = 0
        seen: set[int] = set()
        for group in method.soften(indices, region, workspace):
            assert not seen & {*group.class_indices, *group.constants}
            seen |= {*group.class_indices, *group.constants}
            _put(group, soft, block)
            sums.add(group.sums)
            blocks.append(group)
    return soft, sums, blocks


def _put(group: SoftBlock, soft: NDArray[np.float16], block: Shape) -> None:
    assert group.values.shape == (len(group.class_indices), *block)
    assert group.values.dtype == np.float16
    assert group.values.flags.c_contiguous
    z, y, x = region_shape(group.region)
    outside = group.values.copy()
    outside[:, :z, :y, :x] = 0
    assert not outside.any()
    for i, index in enumerate(group.class_indices):
        assert group.values[i].any(), f"class {index} has nothing here"
        soft[(index, *group.region)] = group.values[i, :z, :y, :x]
    for index, value in group.constants.items():
        assert float(np.float16(value)) == value
        soft[(index, *group.region)] = value


def check_sums(sums: SoftSums, soft: NDArray[np.float16], indices: NDArray[Any]) -> None:
    """The sums must be those of the float16 values, to the last unit."""
    numbers = soft.astype(np.float64)
    class_count = len(soft)
    np.testing.assert_array_equal(sums.mass, numbers.sum(axis=(1, 2, 3)) / MASS_UNIT)
    logarithms = np.log(numbers, out=np.zeros_like(numbers), where=numbers > 0)
    assert sums.entropy == np.rint(-numbers * logarithms / ENTROPY_UNIT).sum()
    assert sums.ties == naive.ties(soft)
    valid = indices < class_count
    changes = naive.argmax_changes(soft * valid, indices, list(range(class_count)))
    assert sums.argmax_changes == changes


def half_steps(a: NDArray[np.float16], b: NDArray[np.float16]) -> int:
    """Largest distance of two arrays, in float16 numbers."""
    bits = [x.view(np.uint16).astype(np.int64) for x in (a, b)]
    return int(np.abs(bits[0] - bits[1]).max())
