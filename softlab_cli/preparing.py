"""From a case's files to what is softened block by block.

Each kind of method sees its case in its own way (one label map; the label maps of
several raters), and leaves the same behind: hard labels for the store, and a
softener with the indices that it wants.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.classes import ClassTable
from softlab_cli.fusion.patterns import PatternBuilder, RaterPatterns
from softlab_cli.fusion.raters import rater_statistics
from softlab_cli.indexing import IndexedLabelMap, distinct_values, foreground_box, index_label_map
from softlab_cli.methods import LocalMethod, RaterMethod, takes_raters
from softlab_cli.methods.base import Softener
from softlab_cli.reading import ReadingOptions, number_as, read_labels
from softlab_cli.scanning import last_label_map, naming
from softlab_cli.store.schema import StoreInfo
from softlab_cli.store.statistics import LabelCounts
from softlab_cli.volume import Geometry

__all__ = ["Prepared", "count_labels", "fuse_raters", "prepare"]


@dataclass(frozen=True)
class Prepared:
    """A case before it is softened.

    Parameters
    ----------
    geometry
        The voxel grid.
    class_indices
        (Z, Y, X) hard labels for the store.
    counts
        What they hold.
    softener
        What makes the soft labels.
    indices
        (Z, Y, X) what the softener is given.
    warnings
        What was found odd.
    details
        Facts for the store, ready for JSON.
    raters
        Names of the raters, where the method takes several.
    patterns
        Their labels, where the store keeps them.
    """

    geometry: Geometry
    class_indices: NDArray[np.unsignedinteger[Any]]
    counts: LabelCounts
    softener: Softener
    indices: NDArray[np.unsignedinteger[Any]]
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    raters: tuple[str, ...] = ()
    patterns: RaterPatterns | None = None


def prepare(
    case: Case, method: LocalMethod | RaterMethod, info: StoreInfo, options: ReadingOptions
) -> Prepared:
    """Read a case, and do what the method has to do with the whole of it.

    Parameters
    ----------
    case
        The case.
    method
        What makes its soft labels.
    info
        What holds for the store: the classes, and whether it keeps the raters.
    options
        How its label maps are read.

    Raises
    ------
    SoftlabError
        When a file cannot be used.
    """
    if takes_raters(method):
        return _prepare_raters(case, method, info, options)
    return _prepare_one(case, cast(LocalMethod, method), info.classes, options)


def _prepare_one(
    case: Case, method: LocalMethod, classes: ClassTable, options: ReadingOptions
) -> Prepared:
    with naming(case.label_maps[0]):
        label_map = last_label_map.take(case, options)
        geometry, warnings = label_map.geometry, label_map.warnings
        label_map = number_as(label_map, classes, case.label_maps[0])
        indexed = index_label_map(label_map.values, classes)
        del label_map  # the indices may be the same memory, or may replace it
    indices = indexed.class_indices
    return Prepared(geometry, indices, _label_counts(indexed, classes), method, indices, warnings)


def _prepare_raters(
    case: Case, method: RaterMethod, info: StoreInfo, options: ReadingOptions
) -> Prepared:
    geometry, patterns, warnings = _read_raters(case, info.classes, options)
    return fuse_raters(method, patterns, case.raters, geometry, info, warnings)


def fuse_raters(
    method: RaterMethod,
    patterns: RaterPatterns,
    raters: tuple[str, ...],
    geometry: Geometry,
    info: StoreInfo,
    warnings: tuple[str, ...] = (),
) -> Prepared:
    """What a method makes of the raters of a case.

    Parameters
    ----------
    method
        How they are fused.
    patterns
        Their labels.
    raters
        Their names.
    geometry
        The voxel grid.
    info
        What holds for the store: the classes, and whether it keeps the raters.
    warnings
        What was found odd before.
    """
    classes = info.classes
    labels = method.fuse(patterns, raters, classes.background_index)
    statistics = rater_statistics(patterns, raters, classes.background_index)
    hard = labels.fused.hard_label(classes.index_dtype, classes.ignore_index)
    return Prepared(
        geometry,
        hard,
        count_labels(hard, classes),
        labels,
        labels.fused.indices,
        (*warnings, *statistics.warnings),
        {"raters": statistics.to_json(), "fusion": labels.facts},
        raters,
        patterns if info.keep_raters else None,
    )


def _read_raters(
    case: Case, classes: ClassTable, options: ReadingOptions
) -> tuple[Geometry, RaterPatterns, tuple[str, ...]]:
    """The raters' labels on one grid, that of the image or of the first rater."""
    builder = PatternBuilder(len(classes), classes.ignore_index)
    geometry: Geometry | None = None
    warnings: list[str] = []
    for path, rater in zip(case.label_maps, case.raters, strict=True):
        with naming(path):
            label_map = read_labels(path, case.images, options, rater=rater, onto=geometry)
            label_map = number_as(label_map, classes, path)
            builder.add(index_label_map(label_map.values, classes).class_indices)
        geometry = geometry or label_map.geometry
        warnings += [f"{rater}: {warning}" for warning in label_map.warnings]
        del label_map  # before the next one is read
    assert geometry is not None
    return geometry, builder.build(), tuple(warnings)


def count_labels(
    class_indices: NDArray[np.unsignedinteger[Any]], classes: ClassTable
) -> LabelCounts:
    """What a volume of class indices holds."""
    voxels = distinct_values(class_indices)  # indices are counted like label values
    hard = np.array([voxels.get(index, 0) for index in range(len(classes))], np.int64)
    ignored = voxels.get(classes.ignore_index, 0)
    return _label_counts(IndexedLabelMap(class_indices, hard, ignored), classes)


def _label_counts(indexed: IndexedLabelMap, classes: ClassTable) -> LabelCounts:
    box = foreground_box(indexed.class_indices, classes)
    inside = 0
    if box is not None and indexed.ignored:
        inside = int(np.count_nonzero(indexed.class_indices[box] == classes.ignore_index))
    return LabelCounts(indexed.hard_voxels, indexed.ignored, box, inside)
