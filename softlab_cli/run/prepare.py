"""From a case's files to what is softened block by block.

Each kind of method sees its case in its own way (one label map; the label maps of
several raters; label map and image), and leaves the same behind: hard labels for the
store, and a softener with the indices that it wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.memory import PROCESS_BYTES, SHARD_BUFFER_BYTES, blocks_bytes
from softlab_cli.core.volume import Geometry
from softlab_cli.fusion.patterns import PatternBuilder, RaterPatterns
from softlab_cli.fusion.raters import rater_statistics
from softlab_cli.labels.images import read_images
from softlab_cli.labels.indices import (
    IndexedLabelMap,
    distinct_values,
    foreground_box,
    index_label_map,
)
from softlab_cli.labels.numbering import number_as
from softlab_cli.labels.read import ReadingOptions, read_labels
from softlab_cli.methods import GeoLS, LocalMethod, OneHot, RaterMethod, takes_raters
from softlab_cli.methods.base import Softener
from softlab_cli.methods.imported import Import
from softlab_cli.run.scan import last_label_map, naming
from softlab_cli.store.schema import StoreInfo
from softlab_cli.store.statistics import LabelCounts
from softlab_cli.store.writer import StoreWriter

__all__ = [
    "AnyMethod",
    "CaseTask",
    "Prepared",
    "count_labels",
    "fuse_raters",
    "make_maps",
    "prepare",
]


AnyMethod = LocalMethod | RaterMethod | GeoLS | Import
"""Everything that a run can be made with."""


@dataclass(frozen=True)
class CaseTask:
    """Everything that softening one case takes.

    Parameters
    ----------
    case
        The case and its files.
    method
        What makes the soft labels.
    info
        What the store says of all its cases; its classes among it.
    store
        Path of the store; it exists.
    threads
        Threads that soften blocks.
    reason
        Why the case is computed again, if it is.
    reading
        How its label maps are read.
    max_memory
        Bytes for the process that does it; None for no limit.
    sync
        Wait until the case is on the disk before it counts as done.
    """

    case: Case
    method: AnyMethod
    info: StoreInfo
    store: Path
    threads: int
    reason: str = ""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    max_memory: int | None = None
    sync: bool = True

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id


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


@contextmanager
def prepare(task: CaseTask) -> Iterator[Prepared]:
    """Read a case, and do what the method has to do with the whole of it.

    Parameters
    ----------
    task
        The case, with any method but `Import`.

    Yields
    ------
    Prepared
        What waits on disk for it is removed when the context is left.

    Raises
    ------
    SoftlabError
        When a file cannot be used.
    """
    if takes_raters(task.method):
        yield _prepare_raters(task.case, task.method, task.info, task.reading)
    elif isinstance(task.method, GeoLS):
        with _prepare_maps(task, task.method) as ready:
            yield ready
    else:
        method = cast(LocalMethod, task.method)
        yield _prepare_one(task.case, method, task.info.classes, task.reading)


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


@contextmanager
def _prepare_maps(task: CaseTask, method: GeoLS) -> Iterator[Prepared]:
    case, store = task.case, StoreWriter(task.store, task.info)
    ready = _prepare_one(case, OneHot(), task.info.classes, task.reading)
    image = read_images(case, ready.geometry, task.reading)
    # A label map and its image are often odd in the same way; that is said once.
    warnings = tuple(dict.fromkeys((*ready.warnings, *image.warnings)))
    ready = replace(ready, warnings=warnings)
    with (
        naming(case.images[0]),
        make_maps(
            method, ready, image.intensities, store, case.case_id, task.threads,
            max_memory=task.max_memory,
        ) as made,
    ):  # fmt: skip
        del image  # the maps are made
        yield made


@contextmanager
def make_maps(
    method: GeoLS,
    ready: Prepared,
    intensities: NDArray[np.float32],
    store: StoreWriter,
    case_id: str,
    threads: int,
    *,
    max_memory: int | None = None,
    block: Shape | None = None,
) -> Iterator[Prepared]:
    """A case with the maps of GeoLS as its softener.

    Parameters
    ----------
    method
        GeoLS with its parameters.
    ready
        The case with its hard labels.
    intensities
        (channels, Z, Y, X) on the same grid.
    store
        Where maps wait that memory has no room for.
    case_id
        The case.
    threads
        Threads that compute.
    max_memory
        Bytes for the process that does it; None for no limit.
    block
        Blocks that will be softened; by default those of the store.
    """
    spare = _memory_for_maps(max_memory, method, ready, intensities, store, threads)
    with (
        store.scratch(case_id) as folder,
        method.prepare(
            ready.indices,
            intensities,
            store.info.classes,
            ready.geometry,
            case_id=case_id,
            scratch_folder=folder,
            threads=threads,
            max_memory=spare,
            block=block,
        ) as maps,
    ):
        warnings = (*ready.warnings, *maps.warnings)
        yield replace(ready, softener=maps, warnings=warnings, details={"geols": maps.facts})


def _memory_for_maps(
    max_memory: int | None,
    method: GeoLS,
    ready: Prepared,
    intensities: NDArray[np.float32],
    store: StoreWriter,
    threads: int,
) -> int | None:
    """Bytes that are left when label map, image and blocks have theirs."""
    if max_memory is None:
        return None
    block = Grid.for_volume(ready.geometry.shape, ready.geometry.ndim).block
    blocks = blocks_bytes(method.workspace_bytes(len(store.info.classes), block), threads)
    taken = PROCESS_BYTES + SHARD_BUFFER_BYTES + blocks
    return max(0, max_memory - taken - ready.indices.nbytes - intensities.nbytes)


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
    fused = labels.fused
    hard = fused.hard_label(classes.index_dtype, classes.ignore_index)
    *hard_voxels, unlabelled = fused.hard_voxels
    indexed = IndexedLabelMap(hard, np.array(hard_voxels), int(unlabelled))
    return Prepared(
        geometry,
        hard,
        _label_counts(indexed, classes),
        labels,
        fused.indices,
        (*warnings, *labels.warnings, *statistics.warnings),
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
