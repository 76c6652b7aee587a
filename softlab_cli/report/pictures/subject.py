"""What can be shown of one case: where its labels, soft labels, raters and image are read.

A case of a store is one; an evaluation makes another of a prediction and its references.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.volume import Geometry, check_same_grid
from softlab_cli.readers import read_image
from softlab_cli.store.reader import Case
from softlab_cli.store.sparse import SoftPart, soft_parts

__all__ = ["Layer", "Read", "Subject", "read_array", "soft_array", "subject_of"]

Read = Callable[[Region], NDArray[Any]]
"""(z, y, x) values of a region inside the volume."""

ReadSoft = Callable[[Region, Collection[int] | None], Iterable[SoftPart]]
"""Soft labels of a region, of some classes or all; what no part has is 0."""

ReadImage = Callable[[], NDArray[np.float32]]
"""(channels, Z, Y, X) intensities on the case's grid; called once."""


@dataclass(frozen=True)
class Layer:
    """A see-through layer of its own, such as where a prediction is sure and wrong.

    Parameters
    ----------
    name
        What it shows, with its unit.
    read
        (z, y, x) values, 0 where there is nothing to see.
    highest
        The value that is not see-through any more.
    """

    name: str
    read: Read
    highest: float


@dataclass(frozen=True)
class Subject:
    """What can be shown of one case.

    Parameters
    ----------
    case_id
        The case.
    geometry
        The voxel grid of everything.
    classes
        The class table.
    hard
        Class indices of the hard label, or of a hard prediction.
    soft
        Soft labels; None where there are none.
    image
        Reads the image; None without one. It raises `SoftlabError` where the image
        cannot be shown.
    raters, references
        Class indices of each, by name.
    layers
        What else lies over the image.
    """

    case_id: str
    geometry: Geometry
    classes: ClassTable
    hard: Read
    soft: ReadSoft | None = None
    image: ReadImage | None = None
    raters: Mapping[str, Read] = field(default_factory=dict)
    references: Mapping[str, Read] = field(default_factory=dict)
    layers: tuple[Layer, ...] = ()

    @property
    def grid(self) -> Grid:
        """The blocks in which the whole of it is looked at."""
        return Grid.for_volume(self.geometry.shape, self.geometry.ndim)


def subject_of(case: Case) -> Subject:
    """What can be shown of a case of an open store."""
    flat = 3 - case.geometry.ndim

    def volume(read: Callable[..., NDArray[Any]], *of: Any) -> Read:
        def of_region(region: Region) -> NDArray[Any]:
            values = read(*of, region[flat:])
            return values[np.newaxis] if flat else values

        return of_region

    kept = range(len(case.raters)) if case.rater_array is not None else ()
    images = [Path(source.path) for source in case.sources if source.role == "image"]
    return Subject(
        case.case_id,
        case.geometry,
        case.classes,
        volume(case.read_label),
        lambda region, classes: soft_parts(case, region, classes),
        (lambda: _read_image(images[0], case.geometry)) if images else None,
        {case.raters[i]: volume(case.read_rater, i) for i in kept},
    )


def _read_image(path: Path, geometry: Geometry) -> NDArray[np.float32]:
    image = read_image(path)
    grid = image.geometry.with_spacing(geometry.spacing_mm)
    check_same_grid(geometry, grid, names=("label map", "image"), path=path)
    return image.intensities


def read_array(array: NDArray[Any]) -> Read:
    """A reader of an array (Z, Y, X)."""
    return lambda region: array[region]


def soft_array(array: NDArray[Any]) -> ReadSoft:
    """A reader of an array of soft labels (C, Z, Y, X)."""

    def parts(region: Region, classes: Collection[int] | None) -> Iterator[SoftPart]:
        for index in range(len(array)) if classes is None else classes:
            yield SoftPart(index, region, array[(index, *region)])

    return parts
