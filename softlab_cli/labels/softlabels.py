"""The soft label of a case that its files have: checked, and class by class.

Of each voxel the classes sum to 1. Where the volumes of the files do not, `SoftLabels`
refuses or divides, and says at how many voxels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, InputError
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.numbering import Occurring, class_values
from softlab_cli.labels.shares import ShareReader
from softlab_cli.labels.softfiles import SoftInput, open_soft_input
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.segments import choose

__all__ = ["SoftLabels", "occurring_in_soft"]

KEPT_HALF = 2.0**-10
"""Sums of float16 numbers this close to 1 are rounding: the numbers stay as they are."""

KEPT = 2.0**-12
"""The same for other numbers, which are rounded to float16 yet (by 2^-11 of a sum)."""


def occurring_in_soft(case: Case, options: ReadingOptions) -> Occurring:
    """The classes of a case with soft labels, and what its files say of background.

    Parameters
    ----------
    case
        The case.
    options
        How to read.

    Raises
    ------
    SoftlabError
        When its files cannot be used, as far as that shows.
    """
    source = open_soft_input(case, options)
    if source.is_named:
        kept = _chosen(source, options)
        parts = [source.parts[i] for i in kept]
        return Occurring(frozenset(), {p.value: p.name for p in parts if p.value})
    _refuse_rois(source, options)
    count = len(source.parts)
    if count == 1:
        if source.files[0].is_integer and options.scale is None:
            ShareReader(source, None).read(0)
        return Occurring(frozenset({0, 1}), note=UNNAMED)
    first, note = source.has_background, ""
    if first is None:
        reader = ShareReader(source, options.scale)
        first = _first_is_background(reader, _total(reader, range(count)))
        note = FIRST if first else REST
    values = frozenset(range(count if first else count + 1))
    return Occurring(values, background="first" if first else "rest", note=note)


UNNAMED = (
    "each map is a case, and its class is called label_1; --labels 0,1=NAME names it, and "
    "--class-pattern makes files the classes of one case"
)
FIRST = (
    "the volumes of a file sum to 1 everywhere, so the first one is background; "
    "--background rest says otherwise"
)
REST = (
    "the volumes of a file do not sum to 1 everywhere, so background is what they leave; "
    "--background first says otherwise"
)


class SoftLabels:
    """The soft label of a case, read class by class; two volumes are held at a time.

    Parameters
    ----------
    source
        The opened files.
    table
        The classes.
    options
        How to read.

    Attributes
    ----------
    geometry
        The voxel grid.
    table
        The classes; `read` goes by their indices.
    warnings
        What was found odd, with counts.
    metadata
        What kind of soft label it is.

    Raises
    ------
    InputError
        For numbers outside 0..1, and sums that are not 1, unless they are to be divided.
    ClassError
        When the volumes are not the classes of the table.
    """

    def __init__(self, source: SoftInput, table: ClassTable, options: ReadingOptions) -> None:
        self.geometry: Geometry = source.geometry
        self.table = table
        _refuse_turns(source, options)
        self._reader = ShareReader(source, options.scale)
        total, has_background = None, source.has_background
        if has_background is None:  # by the file alone, so that no case is read as others are
            total = _total(self._reader, range(len(source.parts)))
            has_background = _first_is_background(self._reader, total)
        self._parts, self._is_complete = _assigned(source, table, options, has_background)
        self._sum: NDArray[np.float32] = (
            _total(self._reader, self._volumes()) if total is None else total
        )
        self._kept = KEPT_HALF if options.scale is None and _all_half(source) else KEPT
        self._divides = options.sums == "normalise" or options.on_overlap == "highest"
        self._may_lack_labels = source.is_store or bool(table.ignore_values)
        self._fills = self._is_complete and self._divides and not self._may_lack_labels
        self.warnings: tuple[str, ...] = (
            *source.warnings,
            *self._checked(),
            *self._reader.notes(),
        )
        among = "named" if source.is_named else "first"
        self.metadata: dict[str, Any] = {"background": among if self._is_complete else "rest"}

    @classmethod
    def open(cls, case: Case, table: ClassTable, options: ReadingOptions) -> SoftLabels:
        """Open the files of a case; each is read once, so that the sums are known."""
        return cls(open_soft_input(case, options, agree=True), table, options)

    def read(self, class_index: int) -> NDArray[np.float32]:
        """(Z, Y, X) float32 of a class, in 0..1; 0 where the case has none of it."""
        is_background = class_index == self.table.background_index
        if is_background and not self._is_complete:
            left: NDArray[np.float32] = np.float32(1) - self._sum
            return np.maximum(left, np.float32(0), out=left)
        values = _total(self._reader, self._parts.get(class_index, ()))
        for plane, total in zip(values, self._sum, strict=True):
            self._divide(plane, total)
            if is_background and self._fills:
                plane[total == 0] = 1
        return values

    def classes(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Label value and soft label of each class that the case has, in their order."""
        for entry in self.table.classes:
            is_rest = entry.value == 0 and not self._is_complete
            if entry.index in self._parts or is_rest:
                yield entry.value, self.read(entry.index)

    def _volumes(self) -> list[int]:
        return [part for parts in self._parts.values() for part in parts]

    def _divide(self, plane: NDArray[np.float32], total: NDArray[np.float32]) -> None:
        """Divide by the sums that are too far from 1, in place."""
        far = total > 1 + self._kept
        if self._is_complete:
            far |= (total < 1 - self._kept) & (total > 0)
        np.divide(plane, total, out=plane, where=far)

    def _checked(self) -> Iterator[str]:
        """What there is to say of sums; raises `InputError` where they are refused."""
        source, allowed = self._reader.source, self._reader.tolerance
        above = int(np.count_nonzero(self._sum > 1 + allowed))
        if above:
            most = float(self._sum.max())
            yield self._divided(f"at {above:,} voxels the classes sum to more than 1 (to {most:.4g}"
                                " at most)")  # fmt: skip
        if self._is_complete:
            low = self._sum < 1 - allowed
            none = int(np.count_nonzero(self._sum == 0))
            if self._may_lack_labels:
                low &= self._sum > 0
                if none and not source.is_store:
                    yield f"at {none:,} voxels all classes are 0: they are not labelled."
            below, least = int(np.count_nonzero(low)), float(self._sum.min(where=low, initial=1))
            if below:
                zero = f", which is at {none:,}" if least == 0 else ""
                yield self._divided(f"at {below:,} voxels the classes sum to less than 1 (to "
                                    f"{least:.4g} at least{zero})")  # fmt: skip
        if self._reader.is_hard:
            yield "holds 0 and 1 alone: a hard label, stored as it is."

    def _divided(self, said: str) -> str:
        if self._divides:
            return f"{said}; divided by the sum{FILLED if self._fills else ''}."
        source, remedy = self._reader.source, "Divide by the sum with --sums normalise"
        if self._is_complete and not source.is_named:
            remedy += ", or say with --background rest that the first volume is no background"
        elif self._is_complete and not source.has_background:
            remedy += (
                f", or name another class in --labels where {self.table.names[0]!r} has label "
                "value 0 and is no background"
            )
        if self._is_complete and not self._may_lack_labels and float(self._sum.min()) == 0:
            remedy += "; --ignore-label 255 says that voxels whose classes are all 0 have no label"
        raise InputError(f"{said}.", remedy=f"{remedy}.", path=source.path)


FILLED = ", and where it is 0 background"


def _total(reader: ShareReader, volumes: Sequence[int]) -> NDArray[np.float32]:
    """(Z, Y, X) sum of volumes."""
    if not volumes:
        return np.zeros(reader.source.geometry.shape, np.float32)
    total = reader.read(volumes[0])
    for index in volumes[1:]:
        total += reader.read(index)
    return total


def _first_is_background(reader: ShareReader, total: NDArray[np.float32]) -> bool:
    """Whether the volumes of a file without names sum to 1; refuses what may be either.

    A voxel of a background that is given may have been left without a label; and classes
    without background may fill most of a volume, or be hard.
    """
    ones = int(np.count_nonzero(np.abs(total - 1) <= reader.tolerance))
    none = int(np.count_nonzero(total <= reader.tolerance))
    if 0 < ones < total.size and (2 * ones >= total.size or ones + none == total.size):
        raise InputError(
            f"the volumes sum to 1 at {ones:,} of {total.size:,} voxels, and to 0 at {none:,}: "
            "the first may be background, or background what they leave.",
            remedy="Say which it is with --background first or rest.",
            path=reader.source.path,
        )
    return ones == total.size


def _all_half(source: SoftInput) -> bool:
    return all(file.dtype == np.float16 for file in source.files)


def _refuse_turns(source: SoftInput, options: ReadingOptions) -> None:
    if options.on_overlap in ("first", "last"):
        raise InputError(
            f"holds soft labels of 0 to 1, of which --on-overlap {options.on_overlap} takes none "
            "before another.",
            remedy="Leave it out; --sums normalise divides by the sum.",
            path=source.path,
        )


def _refuse_rois(source: SoftInput, options: ReadingOptions) -> None:
    if options.rois:
        raise InputError(
            "holds classes without names, of which --roi can choose none.",
            remedy="Leave it out.",
            path=source.path,
        )


def _chosen(source: SoftInput, options: ReadingOptions) -> list[int]:
    """Volumes whose names --roi keeps."""
    names = [part.name for part in source.parts]
    return choose(names, options.rois, source.path, what="class")


def _assigned(
    source: SoftInput, table: ClassTable, options: ReadingOptions, has_background: bool
) -> tuple[dict[int, list[int]], bool]:
    """The volumes of each class index, and whether they are all there is."""
    has_zero = any(part.value == 0 for part in source.parts)
    if table.background_index is None and (has_zero or not source.is_store):
        raise ClassError(
            "has background, and label value 0 is no class.",
            remedy="Name 0 among --labels.",
            path=source.path,
        )
    if source.is_named:
        return _assigned_by_name(source, table, options)
    _refuse_rois(source, options)
    classes = [c.index for c in table.classes if has_background or c.value != 0]
    if len(classes) != len(source.parts):
        raise _misfit(source, table, has_background)
    return {index: [volume] for volume, index in enumerate(classes)}, has_background


def _misfit(source: SoftInput, table: ClassTable, has_background: bool) -> ClassError:
    """The error for volumes that are not as many as there are classes."""
    count = len(source.parts)
    volumes = "1 volume" if count == 1 else f"{count} volumes"
    why = ""
    if source.has_background is None:
        why = " (they sum to 1 everywhere)" if has_background else " (they do not sum to 1)"
    return ClassError(
        f"holds {volumes}, which is {count if has_background else count + 1} classes with "
        f"background{why}, and there are {len(table)} ({', '.join(table.names)}).",
        remedy="Name as many with --labels, say with --background first or rest which is "
        "background, or start again with --overwrite.",
        path=source.path,
    )


def _assigned_by_name(
    source: SoftInput, table: ClassTable, options: ReadingOptions
) -> tuple[dict[int, list[int]], bool]:
    """By the names of the volumes; of a complete source what is not kept is background."""
    kept = _chosen(source, options)
    index_of = {c.value: c.index for c in table.classes}
    names = {p.value: p.name for p in (source.parts[i] for i in kept) if p.value}
    # The files of a case are numbered here; those of another may have other numbers.
    values = class_values(names, table, source.path, by_number=source.is_store) | {0: 0}
    # A file may be of the class that has label value 0, whatever that is called.
    is_complete = bool(source.has_background) or any(values[number] == 0 for number in names)
    assigned: dict[int, list[int]] = {}
    for number, part in enumerate(source.parts):
        if number in kept and part.value:
            assigned.setdefault(index_of[values[part.value]], []).append(number)
        elif is_complete:
            assigned.setdefault(index_of[0], []).append(number)
    return assigned, is_complete
