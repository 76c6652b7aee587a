"""The references of a case, on the grid of its prediction.

Label maps are read as everywhere; a case of a store gives the raters that it keeps, or its
hard label. `softlab_cli.evaluation.shares` has references that are soft labels.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import GeometryError, naming
from softlab_cli.core.volume import Geometry, LabelMap, describe_both
from softlab_cli.labels.indices import index_label_map
from softlab_cli.labels.numbering import class_values, number_as
from softlab_cli.labels.read import ReadingOptions, read_labels
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers import LabelSource, path_of
from softlab_cli.readers.lattice import find_turn
from softlab_cli.readers.regrid import to_grid
from softlab_cli.store.reader import Case as StoredCase
from softlab_cli.store.reader import Store

__all__ = [
    "References",
    "elsewhere",
    "hard_label_of_store",
    "index_in_table",
    "read_references",
]


@dataclass(frozen=True, eq=False)
class References:
    """Label maps of raters.

    Parameters
    ----------
    raters
        (R, Z, Y, X) class indices.
    names
        Of the R raters.
    warnings
        What was found odd.
    """

    raters: NDArray[Any]
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _One:
    name: str
    indices: NDArray[Any]
    warnings: tuple[str, ...] = ()


def read_references(
    case: Case, classes: ClassTable, reading: ReadingOptions, onto: Geometry
) -> References:
    """All raters of a case.

    Parameters
    ----------
    case
        The case.
    classes
        The class table.
    reading
        How to read.
    onto
        The grid of the prediction.

    Raises
    ------
    SoftlabError
        When a file cannot be used, or lies on another grid in more than orientation.
    """
    found: list[_One] = []
    for rater, source in case.drawings.items():
        with naming(path_of(source)):
            found += _of_source(case, rater, source, classes, reading, onto)
    warnings = [f"{one.name}: {warning}" for one in found for warning in one.warnings]
    raters = np.empty((len(found), *onto.shape), classes.index_dtype)
    names = tuple(one.name for one in found)
    for place in range(len(found)):
        raters[place] = found[place].indices
        found[place] = _One(names[place], np.empty(0))  # let go of it before the next is copied
    return References(raters, names, tuple(warnings))


def _of_source(
    case: Case, rater: str, source: LabelSource, classes: ClassTable, reading: ReadingOptions,
    onto: Geometry,
) -> Iterator[_One]:  # fmt: skip
    if isinstance(source, Path) and is_store_case(source):
        yield from _of_store(source, rater, classes, onto)
        return
    label_map = read_labels(source, case.images, reading, rater=rater)
    turn = find_turn(label_map.geometry, onto)
    if turn is None or not turn.is_identity:
        if case.images:  # an image has the last word, and it is not theirs
            raise elsewhere(label_map.geometry, onto, path_of(source))
        label_map = _placed(label_map, onto, reading, path_of(source))
    numbered = number_as(label_map, classes, path_of(source))
    indexed = index_label_map(numbered.values, classes)
    yield _One(rater, indexed.class_indices, label_map.warnings)


def _placed(label_map: LabelMap, onto: Geometry, reading: ReadingOptions, path: Path) -> LabelMap:
    """A reference on the grid of the prediction; none of it may lie outside of that.

    Left out, it would count for no miss, and a prediction of a crop would look perfect.
    """
    names, resample = ("reference", "prediction"), reading.resample_labels
    placed = to_grid(label_map, onto, resample=resample, names=names, path=path)
    lost = int(np.count_nonzero(label_map.values)) - int(np.count_nonzero(placed.values))
    if lost > 0 and resample is None:
        raise GeometryError(
            f"reaches out of the grid of the prediction, with {lost:,} labelled voxels, which it "
            "would not miss.",
            remedy="Pad the prediction to the grid of the reference, with background.",
            path=path,
        )
    return placed


def _of_store(path: Path, rater: str, classes: ClassTable, onto: Geometry) -> Iterator[_One]:
    stored = Store(path.parent)[path.name]
    if stored.rater_array is None or not stored.raters:
        yield _One(rater, hard_label_of_store(path, classes, onto))
        return
    for number, name in enumerate(stored.raters):
        yield _One(name, _placed_indices(stored, stored.read_rater(number), classes, onto))


def hard_label_of_store(path: Path, classes: ClassTable, onto: Geometry) -> NDArray[Any]:
    """(Z, Y, X) class indices of the table: the hard label of a case in a store.

    Raises
    ------
    SoftlabError
        As `read_references`.
    """
    stored = Store(path.parent)[path.name]
    return _placed_indices(stored, stored.read_label(), classes, onto)


def _placed_indices(
    stored: StoredCase, indices: NDArray[Any], classes: ClassTable, onto: Geometry
) -> NDArray[Any]:
    turn = find_turn(stored.geometry, onto)
    if turn is None:
        raise elsewhere(stored.geometry, onto, stored.path)
    table = index_in_table(stored.classes, classes, stored.path)
    return turn.apply(table[indices.reshape(stored.geometry.shape)])


def index_in_table(stored: ClassTable, classes: ClassTable, path: Path) -> NDArray[Any]:
    """Class indices of a store to those of a table, the ignore index among them.

    Raises
    ------
    ClassError
        When a class of the store is none of the table.
    """
    values = class_values({c.value: c.name for c in stored.classes}, classes, path)
    index_of = {value: index for index, value in enumerate(classes.values)}
    found = np.full(stored.ignore_index + 1, classes.ignore_index, classes.index_dtype)
    for entry in stored.classes:
        found[entry.index] = index_of.get(values[entry.value], classes.ignore_index)
    return found


def elsewhere(reference: Geometry, onto: Geometry, path: Path) -> GeometryError:
    """The error for a reference on another grid than the prediction."""
    return GeometryError(
        describe_both(reference, onto, ("reference", "prediction")),
        remedy="Resample one of them onto the other's grid, or say --resample-labels nearest.",
        path=path,
    )
