"""From label values, as files have them, to class indices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.kernels.sizes import read_only
from softlab_cli.readers.label_values import pieces_of

__all__ = [
    "IndexedLabelMap",
    "check_range",
    "distinct_values",
    "foreground_box",
    "index_label_map",
    "wide_values",
]

NAMED_AT_MOST = 10

SMALL_VALUES = 256

MOST_NUMBERS = 1 << 20
"""Different numbers that are counted; what has more is no label map."""


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


def wide_values(values: NDArray[Any], most: int = MOST_NUMBERS) -> dict[int, int]:
    """Numbers of any size that occur, with their voxels; no more than some.

    Parameters
    ----------
    values
        Of any shape and integer type.
    most
        Where there are more numbers, these are the first ones that were met.
    """
    if _in_range(values):
        return distinct_values(values)
    voxels: dict[int, int] = {}
    for piece in pieces_of(np.ascontiguousarray(values)):
        found, counts = np.unique(piece, return_counts=True)
        for number, count in zip(found.tolist(), counts.tolist(), strict=True):
            voxels[number] = voxels.get(number, 0) + count
        if len(voxels) > most:
            break
    return dict(sorted(voxels.items()))


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
    hard_voxels = _of_values(counts, classes.values)
    ignored = int(_of_values(counts, classes.ignore_values).sum())
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

    ignored = classes.ignore_index
    background = ignored if classes.background_index is None else classes.background_index
    box = np.array([[n, -1] for n in class_indices.shape], np.int64)
    find_box(read_only(np.ascontiguousarray(class_indices)), background, ignored, box)
    if box[0, 1] < 0:
        return None
    z, y, x = (slice(int(first), int(last) + 1) for first, last in box)
    return z, y, x


def _count(values: NDArray[Any]) -> NDArray[np.int64]:
    """Voxels of each label value, up to the largest that there may be."""
    from softlab_cli.kernels.labels import count_values

    # Of small files, it takes longer to get and to search half a megabyte than to count.
    most = SMALL_VALUES if values.dtype.itemsize == 1 else LARGEST_LABEL_VALUE + 1
    counts = np.zeros(most, np.int64)
    if values.size:
        check_range(values)
        count_values(_flat(values), counts)
    return counts


def _of_values(counts: NDArray[np.int64], values: Iterable[int]) -> NDArray[np.int64]:
    """The voxels of some label values."""
    return np.array([counts[v] if v < len(counts) else 0 for v in values], np.int64)


def _map(values: NDArray[Any], classes: ClassTable) -> NDArray[np.unsignedinteger[Any]]:
    from softlab_cli.kernels.labels import map_values

    out = np.empty(values.shape, classes.index_dtype)
    # Values without a class do not occur, so what -1 becomes does not matter.
    map_values(_flat(values), classes.lookup.astype(classes.index_dtype), out.reshape(-1))
    return out


def _in_range(values: NDArray[Any]) -> bool:
    """Whether all are label values that a class can have."""
    if values.dtype in (np.uint8, np.uint16, np.bool_) or not values.size:
        return True
    return int(values.min()) >= 0 and int(values.max()) <= LARGEST_LABEL_VALUE


def check_range(values: NDArray[Any]) -> None:
    """Raise `ClassError` for label values that no class can have, with what to do about them."""
    if _in_range(values):
        return
    low, high = int(values.min()), int(values.max())
    count = np.count_nonzero((values < 0) | (values > LARGEST_LABEL_VALUE))
    voxels = wide_values(values)
    outside = [n for n in voxels if not 0 <= n <= LARGEST_LABEL_VALUE]
    free = (n for n in range(1, LARGEST_LABEL_VALUE) if n not in voxels)
    pairs = [f"{n}={other}" for n, other in zip(outside[:NAMED_AT_MOST], free, strict=False)]
    more = ",..." if len(outside) > NAMED_AT_MOST else ""
    raise ClassError(
        f"label values run from {low} to {high}; those of {count} voxels are outside "
        f"0..{LARGEST_LABEL_VALUE}.",
        remedy=f"Read them as others with --map, such as --map {','.join(pairs)}{more}, or leave "
        f"voxels out with --ignore-label {outside[0]}.",
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
