"""What files with soft labels hold: their volumes, and which class each of them is.

Files of one class each have the names that a pattern of file names tells; a store has
those of its classes; the volumes of other files have none, and go by their order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.folders import is_probabilities
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.core.volume import Geometry, describe_both, with_spacing
from softlab_cli.labels.read import image_grid
from softlab_cli.labels.stores import is_store_case, open_store_case
from softlab_cli.readers import FileProbe
from softlab_cli.readers.label_values import BUFFER_BYTES
from softlab_cli.readers.lattice import find_turn
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.soft import SoftFile, in_agreement, open_soft_file, turned

__all__ = ["BACKGROUND", "SoftInput", "SoftPart", "open_soft_input", "probe_soft_input"]

BACKGROUND = "background"
"""A file of this class, in small or capital letters, is background: nothing is left as rest."""

BYTES_PER_VOXEL = 16
"""While sums are looked at: the sum, a volume, its turned copy, and what is compared."""


@dataclass(frozen=True)
class SoftPart:
    """One volume of a file: its class by name and number, where it has them."""

    file: SoftFile
    volume: int
    name: str = ""
    value: int = -1


@dataclass(frozen=True)
class SoftInput:
    """The files of a case with soft labels, opened; no voxel is read yet.

    Parameters
    ----------
    path
        The first of them, for messages.
    geometry
        The grid of the case: that of its image, or of its first file.
    parts
        Its volumes, one for each class.
    has_background
        Whether the volumes are all classes, background among them, and not those alone
        that leave it as the rest. None where that is to be found out.
    is_store
        Whether a store holds them, where voxels that are not labelled have no class.
    warnings
        What is odd about the headers.
    """

    path: Path
    geometry: Geometry
    parts: tuple[SoftPart, ...]
    has_background: bool | None = None
    is_store: bool = False

    @property
    def files(self) -> list[SoftFile]:
        """Each file once."""
        return list({id(part.file): part.file for part in self.parts}.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is odd about the headers."""
        return tuple(dict.fromkeys(w for file in self.files for w in file.warnings))

    @property
    def is_named(self) -> bool:
        """Whether the volumes have names of their own."""
        return bool(self.parts[0].name)

    def read(self, index: int) -> NDArray[np.float32]:
        """(Z, Y, X) float32 of a volume as stored, the caller's own."""
        part = self.parts[index]
        return part.file.read(part.volume)


def open_soft_input(case: Case, options: ReadingOptions, *, agree: bool = False) -> SoftInput:
    """Open the files of a case with soft labels.

    Parameters
    ----------
    case
        The case: one file with the volumes of all its classes, one file for each class, or
        a case of a store.
    options
        How to read.
    agree
        Whether to read nnU-Net's probabilities once, and hold them against the
        segmentation beside them; see `softlab_cli.readers.soft.in_agreement`.

    Raises
    ------
    InputError
        When a file cannot be read, or is no file of one class.
    GeometryError
        When the files, or their image, lie on different grids.
    StoreError
        When a store is damaged.
    """
    path = case.label_maps[0]
    if is_store_case(path):
        return _of_store(case, options)
    files = [with_spacing(_opened(file, agree), options.spacing_mm) for file in case.label_maps]
    grid = image_grid(case.images, options)
    geometry = grid or files[0].geometry
    other = "image" if grid else path.name
    files = [_on_grid(file, geometry, other) for file in files]
    if case.class_names:
        return _of_classes(path, geometry, files, case.class_names, options)
    (file,) = files
    if file.count > LARGEST_LABEL_VALUE:
        raise InputError(
            f"holds {file.count:,} volumes; there are at most {LARGEST_LABEL_VALUE} classes.",
            remedy="Leave some of them out.",
            path=file.path,
        )
    parts = tuple(SoftPart(file, volume) for volume in range(file.count))
    return SoftInput(path, geometry, parts, _has_background(file, options))


def _opened(path: Path, agree: bool) -> SoftFile:
    file = open_soft_file(path)
    return in_agreement(file) if agree and is_probabilities(path) else file


def _on_grid(file: SoftFile, geometry: Geometry, other: str) -> SoftFile:
    turn = find_turn(file.geometry, geometry)
    if turn is None:
        raise GeometryError(
            describe_both(file.geometry, geometry, ("soft label", other)),
            remedy="Resample one of them onto the other's grid.",
            path=file.path,
        )
    if turn.is_identity:
        return turned(file, turn, geometry)
    note = (
        f"turned from {file.geometry.orientation} to {geometry.orientation}, "
        "the orientation of the grid it belongs to."
    )
    return replace(turned(file, turn, geometry), warnings=(*file.warnings, note))


def _has_background(file: SoftFile, options: ReadingOptions) -> bool | None:
    if file.count == 1:
        return False
    if options.background is not None:
        return options.background == "first"
    return True if is_probabilities(file.path) else None


def _of_classes(
    path: Path,
    geometry: Geometry,
    files: list[SoftFile],
    names: tuple[str, ...],
    options: ReadingOptions,
) -> SoftInput:
    for file in files:
        if file.count > 1:
            raise InputError(
                f"holds {file.count} volumes, and should hold one class.",
                remedy="Leave --class-pattern out: its volumes are classes.",
                path=file.path,
            )
    names = _without_numbers(names)
    others = [name for name in names if name.casefold() != BACKGROUND]
    has_background = len(others) < len(names)
    if options.background is not None and (options.background == "first") != has_background:
        there = "there is one" if has_background else "there is none"
        raise InputError(
            f"a file of the class {BACKGROUND!r} is background, and {there}.",
            remedy="Leave --background out.",
            path=path,
        )
    value = {name: i for i, name in enumerate(others, 1)}
    parts = tuple(
        SoftPart(file, 0, name, value.get(name, 0)) for file, name in zip(files, names, strict=True)
    )
    return SoftInput(path, geometry, parts, has_background)


def _without_numbers(names: tuple[str, ...]) -> tuple[str, ...]:
    """Names of classes without the label values before them, as softlab export writes both.

    They stay where a file has no number, or no file has the number of background: then
    they are no label values.
    """
    fits = [re.fullmatch(r"([0-9]+)_(.+)", name) for name in names]
    told = [(int(fit[1]), fit[2]) for fit in fits if fit]
    numbers, bare = {number for number, _ in told}, tuple(name for _, name in told)
    if 0 in numbers and len(numbers) == len(set(bare)) == len(names):
        return bare
    return names


def _of_store(case: Case, options: ReadingOptions) -> SoftInput:
    path = case.label_maps[0]
    file, classes = open_store_case(path)
    grid = image_grid(case.images, options)
    file = _on_grid(file, grid or file.geometry, "image")
    parts = tuple(SoftPart(file, c.index, c.name, c.value) for c in classes.classes)
    return SoftInput(path, file.geometry, parts, has_background=True, is_store=True)


def probe_soft_input(case: Case, options: ReadingOptions) -> FileProbe:
    """What the headers say of a case with soft labels; see `open_soft_input`."""
    source = open_soft_input(case, options)
    held = sum(file.bytes_held for file in source.files)
    return FileProbe(
        source.path,
        source.geometry,
        source.files[0].dtype,
        len(source.parts),
        bytes_held=held,
        bytes_on_read=held + BUFFER_BYTES + BYTES_PER_VOXEL * prod(source.geometry.shape),
        warnings=source.warnings,
    )
