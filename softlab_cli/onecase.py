"""The way of one case: read, index, soften block by block, write, rename.

Runs in any process; everything that it needs travels in a `CaseTask`. It
returns what happened and raises nothing, so that one bad case never stops the
others.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Region, Shape
from softlab_cli.cases import Case
from softlab_cli.classes import ClassTable
from softlab_cli.errors import SoftlabError
from softlab_cli.events import CaseFinished
from softlab_cli.executors import ordered_map
from softlab_cli.importing import Import, open_fractions, write_fractions
from softlab_cli.indexing import (
    IndexedLabelMap,
    count_indices,
    distinct_values,
    foreground_box,
    index_label_map,
)
from softlab_cli.methods.base import LocalMethod
from softlab_cli.readers import read_label_map
from softlab_cli.reading import (
    Occurring,
    ReadingOptions,
    is_object,
    number_as,
    read_labels,
    segment_names,
)
from softlab_cli.softblock import SoftBlock, SoftSums
from softlab_cli.sources import Role, describe_source
from softlab_cli.store.schema import CaseInfo, StoreInfo
from softlab_cli.store.statistics import LabelCounts, case_statistics
from softlab_cli.store.writer import CaseWriter, EncodedBlock, StoreWriter
from softlab_cli.volume import Geometry, LabelMap

__all__ = [
    "CaseTask",
    "ScanTask",
    "Softener",
    "case_files",
    "failure",
    "label_counts",
    "process_case",
    "scan_case",
    "write_blocks",
]


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
        How its label map is read.
    """

    case: Case
    method: LocalMethod | Import
    info: StoreInfo
    store: Path
    threads: int
    reason: str = ""
    reading: ReadingOptions = field(default_factory=ReadingOptions)

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id


class Softener(Protocol):
    """A local method, or the fused raters of a case: what softens block by block."""

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread."""
        ...

    def soften(
        self, class_indices: NDArray[np.unsignedinteger[Any]], region: Region, workspace: Any
    ) -> Iterator[SoftBlock]:
        """Soft labels of one block, as `softlab_cli.methods.base.LocalMethod.soften`."""
        ...


def case_files(case: Case) -> list[tuple[Path, Role]]:
    """Every file that a case is made from, with its role."""
    labels: list[tuple[Path, Role]] = [(path, "label") for path in case.label_maps]
    return labels + [(path, "image") for path in case.images]


class _LastLabelMap:
    """The label map that was read last, so that a scan of one case is not read again."""

    def __init__(self) -> None:
        self.key: tuple[Any, ...] = ()
        self.label_map: LabelMap | None = None

    def read(self, case: Case, options: ReadingOptions) -> LabelMap:
        files = [path for path, _ in case_files(case)]
        facts = [path.stat() if path.exists() else None for path in files]
        key = (options, *files, *((f.st_size, f.st_mtime_ns) for f in facts if f))
        if self.label_map is None or key != self.key:
            self.label_map = None  # two maps at once would double the memory
            self.label_map = read_labels(case.label_maps[0], case.images, options)
            self.key = key
        return self.label_map

    def take(self, case: Case, options: ReadingOptions) -> LabelMap:
        label_map = self.read(case, options)
        self.label_map = None
        return label_map


_last = _LastLabelMap()


@dataclass(frozen=True)
class ScanTask:
    """A case whose classes are looked for."""

    case: Case
    reading: ReadingOptions
    soft: bool = False


def scan_case(task: ScanTask) -> Occurring | CaseFinished:
    """Label values that occur in a case, or why that cannot be told."""
    started = time.perf_counter()
    case = task.case
    try:
        if case.problem is not None:
            raise case.problem
        with _naming(case.label_maps[0]):
            return _occurring(task)
    except Exception as error:
        return failure(case.case_id, error, started)


def _occurring(task: ScanTask) -> Occurring:
    path = task.case.label_maps[0]
    if task.soft and is_object(path):
        return Occurring(frozenset(), segment_names(path, task.reading.rois))
    label_map = read_label_map(path) if task.soft else _last.read(task.case, task.reading)
    values = distinct_values(label_map.values)
    return Occurring(frozenset(values), label_map.metadata.get("names", {}))


def process_case(task: CaseTask) -> CaseFinished:
    """Soften one case and store it; never raises."""
    started = time.perf_counter()
    try:
        if task.case.problem is not None:
            raise task.case.problem
        with _naming(task.case.label_maps[0]):
            outcome = _import_case(task) if isinstance(task.method, Import) else _soften_case(task)
        return replace(outcome, seconds=time.perf_counter() - started)
    except Exception as error:
        return failure(task.case.case_id, error, started)


def failure(case_id: str, error: Exception, started: float | None = None) -> CaseFinished:
    """The outcome of a case that could not be done, in words for the user."""
    seconds = 0.0 if started is None else time.perf_counter() - started
    if isinstance(error, SoftlabError):
        return CaseFinished(case_id, "failed", str(error), seconds=seconds)
    if isinstance(error, MemoryError):
        message = "not enough memory. Lower --workers or --threads."
    else:
        message = f"unforeseen {type(error).__name__}: {error} (--debug shows where)"
    trace = "".join(traceback.format_exception(error))
    return CaseFinished(case_id, "failed", message, seconds=seconds, traceback=trace)


def _soften_case(task: CaseTask) -> CaseFinished:
    classes, path = task.info.classes, task.case.label_maps[0]
    sources = tuple(describe_source(file, role) for file, role in case_files(task.case))
    label_map = _last.take(task.case, task.reading)
    geometry, warnings = label_map.geometry, label_map.warnings
    label_map = number_as(label_map, classes, path)
    indexed = index_label_map(label_map.values, classes)
    del label_map  # the indices may be the same memory, or may replace it
    with StoreWriter(task.store, task.info).case(task.case.case_id, geometry) as writer:
        assert not isinstance(task.method, Import)
        sums = write_blocks(
            task.method, indexed.class_indices, task.info, geometry, writer, task.threads
        )
        statistics = case_statistics(
            label_counts(indexed, classes),
            None if task.info.labels_only else sums,
            background_index=classes.background_index,
            spacing_mm=geometry.spacing_mm,
        )
        size = writer.complete(CaseInfo(geometry, sources, statistics, warnings))
    return CaseFinished(
        task.case.case_id, "done", task.reason, warnings,
        stored_bytes=size, voxels=indexed.class_indices.size,
    )  # fmt: skip


def _import_case(task: CaseTask) -> CaseFinished:
    case, classes = task.case, task.info.classes
    assert isinstance(task.method, Import)
    sources = tuple(describe_source(file, role) for file, role in case_files(case))
    soft = open_fractions(case.label_maps[0], case.images, task.method, classes, task.reading)
    with StoreWriter(task.store, task.info).case(case.case_id, soft.geometry) as writer:
        made = write_fractions(soft, classes, task.reading, writer, task.threads)
        statistics = case_statistics(
            label_counts(count_indices(made.class_indices, classes), classes),
            made.sums,
            background_index=classes.background_index,
            spacing_mm=soft.geometry.spacing_mm,
        )
        kept = {k: v for k, v in soft.metadata.items() if k in ("type", "fractional_type")}
        info = CaseInfo(soft.geometry, sources, statistics, soft.warnings, kept)
        size = writer.complete(info)
    return CaseFinished(
        case.case_id, "done", task.reason, soft.warnings,
        stored_bytes=size, voxels=made.class_indices.size,
    )  # fmt: skip


def write_blocks(
    method: Softener,
    class_indices: NDArray[Any],
    info: StoreInfo,
    geometry: Geometry,
    writer: CaseWriter,
    threads: int,
    *,
    hard: NDArray[Any] | None = None,
) -> SoftSums:
    """Soften and write block by block; threads soften and compress, this one writes.

    Parameters
    ----------
    method
        What softens.
    class_indices
        (Z, Y, X), what `method` takes.
    info
        What the store says of all its cases.
    geometry
        The case's voxel grid.
    writer
        The case, begun.
    threads
        Threads that soften.
    hard
        (Z, Y, X) class indices of the hard label, where `class_indices` are not that.
    """
    local = threading.local()
    classes, hard = info.classes, class_indices if hard is None else hard

    def encode(region: Region) -> tuple[list[EncodedBlock], list[SoftSums]]:
        encoded, sums = [writer.encode_label(region, hard[region])], []
        if not info.labels_only:
            if not hasattr(local, "workspace"):
                local.workspace = method.workspace(classes, geometry, writer.grid.block)
            for block in method.soften(class_indices, region, local.workspace):
                encoded.append(writer.encode(block))
                sums.append(block.sums)
        return encoded, sums

    total = SoftSums.zero(len(classes))
    for encoded, sums in ordered_map(encode, writer.grid.regions(), threads):
        for block in encoded:
            writer.append(block)
        for part in sums:
            total.add(part)
    return total


def label_counts(indexed: IndexedLabelMap, classes: ClassTable) -> LabelCounts:
    """What the statistics of a case need to know of its hard label."""
    box = foreground_box(indexed.class_indices, classes)
    inside = 0
    if box is not None and indexed.ignored:
        inside = int(np.count_nonzero(indexed.class_indices[box] == classes.ignore_index))
    return LabelCounts(indexed.hard_voxels, indexed.ignored, box, inside)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an error that does not know which file it is about."""
    try:
        yield
    except SoftlabError as error:
        if error.path is None:
            error.path = path
        raise
