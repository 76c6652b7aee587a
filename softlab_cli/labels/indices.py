"""From label values, as files have them, to class indices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.classes import LARGEST_LABEL_VALUE, ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.kernels.sizes import read_only

__all__ = [
    "IndexedLabelMap",
    "distinct_values",
    "foreground_box",
    "index_label_map",
    "replace_values",
]

NAMED_AT_MOST = 10


class IndexedLabelMap(NamedTuple):
    """A label map in class indices.

    Parameters
    ----------
    class_indices
        (Z, Y, X) uint8 or uint16 (`ClassTable.index_dtype`); ignored voxels have
        the table's ignore index. It is the memory of the label map itself where
        its values are the indices already.
    hard_voxels
        (C,) int64, voxels of each class.
    ignored
        Voxels that are not labelled.
    """

    class_indices: NDArray[np.unsignedinteger[Any]]
    hard_voxels: NDArray[np.int64]
    ignored: int


def distinct_values(values: NDArray[Any]) -> dict[int, int]:
    """Label values that occur, with their voxels.

    Parameters
    ----------
    values
        Label values of any shape and integer type.

    Returns
    -------
    voxels
        Label value to number of voxels, ascending.

    Raises
    ------
    ClassError
        For values outside 0..65535.
    """
    counts = _count(values)
    return {int(value): int(counts[value]) for value in np.flatnonzero(counts)}


def replace_values(values: NDArray[Any], wanted: Mapping[int, int]) -> NDArray[np.uint16]:
    """Other label values in place of some.

    Parameters
    ----------
    values
        (Z, Y, X) label values of any integer type; they are not changed.
    wanted
        Label value to the one that takes its place, both 0..65535.

    Raises
    ------
    ClassError
        For values outside 0..65535.
    """
    from softlab_cli.kernels.labels import map_values

    lookup = np.arange(LARGEST_LABEL_VALUE + 1, dtype=np.uint16)
    lookup[list(wanted)] = list(wanted.values())
    replaced = np.empty(values.shape, np.uint16)
    if values.size:
        _check_range(values)
        map_values(_flat(values), lookup, replaced.reshape(-1))
    return replaced


def index_label_map(values: NDArray[Any], classes: ClassTable) -> IndexedLabelMap:
    """Replace label values by class indices.

    Parameters
    ----------
    values
        (Z, Y, X) label values of any integer type; they are not changed.
    classes
        The class table.

    Raises
    ------
    ClassError
        For values that are neither a class nor ignored; names them with their
        number of voxels.
    """
    counts = _count(values)
    present = np.flatnonzero(counts)
    indices = classes.lookup[present]
    if (indices < 0).any():
        raise _no_class(present[indices < 0], counts)
    hard_voxels = counts[list(classes.values)]
    ignored = int(counts[list(classes.ignore_values)].sum())
    if values.dtype.itemsize == classes.index_dtype.itemsize and (indices == present).all():
        return IndexedLabelMap(values.view(classes.index_dtype), hard_voxels, ignored)
    return IndexedLabelMap(_map(values, classes), hard_voxels, ignored)


def foreground_box(class_indices: NDArray[Any], classes: ClassTable) -> Region | None:
    """Smallest region that holds all classes but the background, or None without any.

    Parameters
    ----------
    class_indices
        (Z, Y, X) from `index_label_map`.
    classes
        The class table.
    """
    from softlab_cli.kernels.labels import find_box

    wanted = np.zeros(classes.ignore_index + 1, np.bool_)
    wanted[: len(classes)] = True
    if classes.background_index is not None:
        wanted[classes.background_index] = False
    box = np.array([[n, -1] for n in class_indices.shape], np.int64)
    find_box(read_only(class_indices), wanted, box)
    if box[0, 1] < 0:
        return None
    z, y, x = (slice(int(first), int(last) + 1) for first, last in box)
    return z, y, x


def _count(values: NDArray[Any]) -> NDArray[np.int64]:
    """(65536,) voxels of each label value."""
    from softlab_cli.kernels.labels import count_values

    counts = np.zeros(LARGEST_LABEL_VALUE + 1, np.int64)
    if values.size:
        _check_range(values)
        count_values(_flat(values), counts)
    return counts


def _map(values: NDArray[Any], classes: ClassTable) -> NDArray[np.unsignedinteger[Any]]:
    from softlab_cli.kernels.labels import map_values

    out = np.empty(values.shape, classes.index_dtype)
    # Values without a class do not occur, so what -1 becomes does not matter.
    map_values(_flat(values), classes.lookup.astype(classes.index_dtype), out.reshape(-1))
    return out


def _check_range(values: NDArray[Any]) -> None:
    if values.dtype in (np.uint8, np.uint16, np.bool_):
        return
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > LARGEST_LABEL_VALUE:
        outside = np.count_nonzero((values < 0) | (values > LARGEST_LABEL_VALUE))
        raise ClassError(
            f"label values run from {low} to {high}; those of {outside} voxels "
            f"are outside 0..{LARGEST_LABEL_VALUE}.",
            remedy="Renumber the labels.",
        )


def _flat(values: NDArray[Any]) -> NDArray[Any]:
    """All values in one row, of an unsigned type; none is negative, so their bits are the same."""
    native = np.ascontiguousarray(values, values.dtype.newbyteorder("="))
    return read_only(native.reshape(-1).view(f"u{native.dtype.itemsize}"))


def _no_class(unknown: NDArray[np.intp], counts: NDArray[np.int64]) -> ClassError:
    named = [f"{v} ({_voxels(counts[v])})" for v in unknown[:NAMED_AT_MOST]]
    if len(unknown) > NAMED_AT_MOST:
        named.append(f"{len(unknown) - NAMED_AT_MOST} more")
    listed = ", ".join(named[:-1]) + (" and " if len(named) > 1 else "") + named[-1]
    one = len(unknown) == 1
    return ClassError(
        f"label {'value' if one else 'values'} {listed} {'is' if one else 'are'} no class.",
        remedy="Make it one with --labels, or leave its voxels out with --ignore-label."
        if one
        else "Make them classes with --labels, or leave their voxels out with --ignore-label.",
    )


def _voxels(count: int) -> str:
    return f"{count} voxel" if count == 1 else f"{count} voxels"
