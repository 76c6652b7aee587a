"""The labels of a case, read and put on one grid, in class indices and counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import naming
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.indices import (
    IndexedLabelMap,
    distinct_values,
    foreground_box,
    index_label_map,
)
from softlab_cli.labels.numbering import number_as
from softlab_cli.labels.read import ReadingOptions, probe_labels, read_labels
from softlab_cli.readers import FileProbe, path_of
from softlab_cli.store.statistics import LabelCounts

if TYPE_CHECKING:
    from softlab_cli.fusion.patterns import RaterPatterns

__all__ = [
    "HardLabels",
    "RaterLabels",
    "count_indexed",
    "count_labels",
    "probe_raters",
    "rater_grid",
    "read_hard_labels",
    "read_rater_labels",
]


@dataclass(frozen=True)
class HardLabels:
    """The hard labels of a case.

    Parameters
    ----------
    geometry
        The voxel grid.
    class_indices
        (Z, Y, X) uint8 or uint16; the table's ignore index where a voxel is not labelled.
    counts
        What they hold.
    warnings
        What was found odd.
    """

    geometry: Geometry
    class_indices: NDArray[np.unsignedinteger[Any]]
    counts: LabelCounts
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class RaterLabels:
    """The labels of several raters of a case, on one grid.

    Parameters
    ----------
    geometry
        The voxel grid.
    patterns
        Their labels.
    names
        Their names.
    warnings
        What was found odd.
    """

    geometry: Geometry
    patterns: RaterPatterns
    names: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read_hard_labels(case: Case, classes: ClassTable, options: ReadingOptions) -> HardLabels:
    """The one label map of a case.

    Parameters
    ----------
    case
        The case.
    classes
        The class table.
    options
        How to read.

    Raises
    ------
    SoftlabError
        When a file cannot be used; the error names it.
    """
    rater, source = next(iter(case.drawings.items()))
    with naming(path := path_of(source)):
        label_map = read_labels(source, case.images, options, rater=rater)
        geometry, warnings = label_map.geometry, label_map.warnings
        label_map = number_as(label_map, classes, path)
        indexed = index_label_map(label_map.values, classes)
        del label_map  # the indices may be the same memory, or may replace it
    return HardLabels(geometry, indexed.class_indices, count_indexed(indexed, classes), warnings)


def read_rater_labels(case: Case, classes: ClassTable, options: ReadingOptions) -> RaterLabels:
    """The raters' labels on one grid, that of the image or the largest of theirs.

    Raises
    ------
    SoftlabError
        When a file cannot be used; the error names it.
    """
    from softlab_cli.fusion.patterns import PatternBuilder

    builder = PatternBuilder(len(classes), classes.ignore_index)
    geometry = rater_grid(case, options)
    warnings: list[str] = []
    for rater, source in case.drawings.items():
        with naming(path := path_of(source)):
            label_map = read_labels(source, case.images, options, rater=rater, onto=geometry)
            label_map = number_as(label_map, classes, path)
            builder.add(index_label_map(label_map.values, classes).class_indices)
        warnings += [f"{rater}: {warning}" for warning in label_map.warnings]
        del label_map  # before the next one is read
    return RaterLabels(geometry, builder.build(), tuple(case.drawings), tuple(warnings))


def rater_grid(case: Case, options: ReadingOptions) -> Geometry:
    """The grid of all raters of a case: that of the image, or the largest of theirs.

    So a rater whose file is a crop is padded, whoever comes first.
    """
    return _largest_grid(_probe_each(case, options))


def probe_raters(case: Case, options: ReadingOptions) -> list[FileProbe]:
    """What the headers say of the raters' label maps, once they are on the grid of all."""
    probes = _probe_each(case, options)
    onto = _largest_grid(probes)
    return [
        seen
        if seen.geometry.equals(onto)
        else probe_labels(source, case.images, options, onto=onto)
        for source, seen in zip(case.drawings.values(), probes, strict=True)
    ]


def _probe_each(case: Case, options: ReadingOptions) -> list[FileProbe]:
    return [probe_labels(source, case.images, options) for source in case.drawings.values()]


def _largest_grid(probes: Sequence[FileProbe]) -> Geometry:
    return max((seen.geometry for seen in probes), key=lambda grid: prod(grid.shape))


def count_labels(
    class_indices: NDArray[np.unsignedinteger[Any]], classes: ClassTable
) -> LabelCounts:
    """What a volume of class indices holds."""
    voxels = distinct_values(class_indices)  # indices are counted like label values
    hard = np.array([voxels.get(index, 0) for index in range(len(classes))], np.int64)
    ignored = voxels.get(classes.ignore_index, 0)
    return count_indexed(IndexedLabelMap(class_indices, hard, ignored), classes)


def count_indexed(indexed: IndexedLabelMap, classes: ClassTable) -> LabelCounts:
    """What a label map holds whose voxels have been counted."""
    box = foreground_box(indexed.class_indices, classes)
    inside = 0
    if box is not None and indexed.ignored:
        inside = int(np.count_nonzero(indexed.class_indices[box] == classes.ignore_index))
    return LabelCounts(indexed.hard_voxels, indexed.ignored, box, inside)
