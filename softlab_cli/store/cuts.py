"""What users ask to read, checked: regions and classes."""

from __future__ import annotations

from collections.abc import Sequence

from softlab_cli.core.blocks import Region
from softlab_cli.core.errors import UsageError

__all__ = ["Cut", "parse_classes", "parse_region"]

Cut = tuple[slice, ...]
"""A region as users give it: one slice for each spatial axis."""


def parse_region(cut: Cut | None, shape: tuple[int, ...]) -> Region:
    """The region that a user's slices mean; in 2D it has the one slice that there is.

    Parameters
    ----------
    cut
        Slices without steps. Missing starts and stops mean the volume's; negative
        ones lie before the first voxel.
    shape
        Voxels of the volume, along (Z, Y, X) or (Y, X).

    Raises
    ------
    UsageError
        For another number of slices, steps, or a start behind its stop.
    """
    given = (slice(None),) * len(shape) if cut is None else tuple(cut)
    if len(given) != len(shape) or not all(isinstance(s, slice) for s in given):
        raise UsageError(
            f"region {cut!r} is not {len(shape)} slices.",
            remedy="Give one for each of (Z, Y, X), or (Y, X) in 2D.",
        )
    found = [
        slice(0 if s.start is None else int(s.start), n if s.stop is None else int(s.stop))
        for s, n in zip(given, shape, strict=True)
    ]
    if any(s.step not in (None, 1) for s in given) or any(s.stop < s.start for s in found):
        raise UsageError(
            f"region {cut!r} has a step, or runs backwards.",
            remedy="Give start <= stop, counted from the first voxel also when negative.",
        )
    z, y, x = [slice(0, 1)] * (3 - len(shape)) + found
    return z, y, x


def parse_classes(classes: Sequence[int] | None, count: int) -> dict[int, int]:
    """Class index to row of the result.

    Parameters
    ----------
    classes
        Class indices in the order wanted, or None for all.
    count
        Number of classes.

    Raises
    ------
    UsageError
        For indices outside the table, or given twice.
    """
    wanted = list(range(count)) if classes is None else [int(c) for c in classes]
    rows = {class_index: row for row, class_index in enumerate(wanted)}
    if len(rows) != len(wanted) or not all(0 <= c < count for c in wanted):
        raise UsageError(
            f"classes {wanted} are not different class indices of 0..{count - 1}.",
            remedy="ClassTable.find gives the index of a name or of a label value.",
        )
    return rows
