"""Check soft labels against the hard ones that they follow from, one block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, clip, grow, region_shape, shift
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.store.arrays import ArrayReader, corner
from softlab_cli.store.defects import Defect
from softlab_cli.store.reader import Case
from softlab_cli.store.softening import LocalSoftener
from softlab_cli.store.verify_data import WrongVoxels

__all__ = ["check_against_label"]


def check_against_label(case: Case, softener: LocalSoftener) -> Iterator[Defect]:
    """Compute the soft labels of a case anew, and compare every bit.

    Parameters
    ----------
    case
        A case with hard and soft labels that can be read.
    softener
        What computes soft labels from hard ones.
    """
    soft, wrong = case.soft_array, WrongVoxels()
    assert soft is not None
    grid, halo = soft.layout.grid, softener.halo(case.geometry.spacing_mm)
    for region in grid.regions():
        outer = clip(grow(region, halo), grid.shape)
        indices, rest = case.label_array.read(outer), set(range(soft.layout.count))
        inner = shift(region, corner(outer))
        for block in softener.soften(indices, inner, case.geometry, grid.block):
            expected = _by_class(block, region)
            rest -= expected.keys()
            _compare(soft, region, expected, wrong)
        zeros = np.zeros(region_shape(region), np.float16)
        _compare(soft, region, dict.fromkeys(rest, zeros), wrong)
    if wrong.count:
        yield wrong.defect(case.case_id, "soft labels do not follow from the hard ones", "value")


def _by_class(block: SoftBlock, region: Region) -> dict[int, NDArray[np.float16]]:
    z, y, x = shape = region_shape(region)
    values = dict(zip(block.class_indices, block.values[:, :z, :y, :x], strict=True))
    for class_index, value in block.constants.items():
        values[class_index] = np.broadcast_to(np.float16(value), shape)
    return values


def _compare(
    soft: ArrayReader,
    region: Region,
    expected: dict[int, NDArray[np.float16]],
    wrong: WrongVoxels,
) -> None:
    z, y, x = shape = region_shape(region)
    absent = dict(expected)
    for class_index, chunk in soft.chunks(region, dict.fromkeys(expected, 0)):
        stored = chunk[:z, :y, :x]
        wrong.add(stored != absent.pop(class_index), region, stored)
    zeros = np.zeros(shape, np.float16)
    for values in absent.values():
        if values.any():
            wrong.add(values != zeros, region, zeros)
