"""The way of one case: prepare, soften block by block, write, rename.

Runs in any process; everything that it needs travels in a `CaseTask`. It
returns what happened and raises nothing, so that one bad case never stops the
others.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from softlab_cli.cases import Case
from softlab_cli.core.blocks import Grid, Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.provenance import Source, describe_source
from softlab_cli.core.softblock import SoftSums
from softlab_cli.core.threads import ordered_map
from softlab_cli.fusion.patterns import UNLABELLED
from softlab_cli.methods.imported import Import, open_fractions, write_fractions
from softlab_cli.run.prepare import CaseTask, Prepared, count_labels, prepare
from softlab_cli.run.scan import case_files, failure, naming
from softlab_cli.store.schema import CaseInfo, StoreInfo
from softlab_cli.store.statistics import LabelCounts, case_statistics, sums_with_box
from softlab_cli.store.writer import CaseWriter, EncodedBlock, StoreWriter

__all__ = ["process_case", "write_case"]


def process_case(task: CaseTask) -> CaseFinished:
    """Soften one case and store it; never raises."""
    started = time.perf_counter()
    try:
        if task.case.problem is not None:
            raise task.case.problem
        with naming(task.case.label_maps[0]):
            outcome = _import_case(task) if isinstance(task.method, Import) else _soften_case(task)
        return replace(outcome, seconds=time.perf_counter() - started)
    except Exception as error:
        return failure(task.case.case_id, error, started)


def _soften_case(task: CaseTask) -> CaseFinished:
    sources = _sources(task.case)
    store = StoreWriter(task.store, task.info, sync=task.sync)
    with prepare(task) as ready:
        outcome = write_case(ready, store, task.case_id, sources, task.threads)
    return replace(outcome, message=task.reason)


def write_case(
    ready: Prepared,
    store: StoreWriter,
    case_id: str,
    sources: tuple[Source, ...],
    threads: int,
    grid: Grid | None = None,
) -> CaseFinished:
    """Soften a case that is prepared, and store it.

    Parameters
    ----------
    ready
        The case.
    store
        The store; it exists.
    case_id
        Name of the case in the store.
    sources
        The files that the case was made from.
    threads
        Threads that soften blocks.
    grid
        How the volume is cut; by default as all volumes are.
    """
    with store.case(case_id, ready.geometry, len(ready.raters), grid) as writer:
        sums = _write_blocks(ready, store.info, writer, threads)
        kept = CaseInfo(
            ready.geometry, sources, warnings=ready.warnings, details=ready.details,
            raters=ready.raters,
        )  # fmt: skip
        return _complete(case_id, store.info, writer, kept, ready.counts, sums)


def _import_case(task: CaseTask) -> CaseFinished:
    case, classes = task.case, task.info.classes
    assert isinstance(task.method, Import)
    sources = _sources(case)
    soft = open_fractions(case.label_maps[0], case.images, task.method, classes, task.reading)
    store = StoreWriter(task.store, task.info, sync=task.sync)
    with store.case(case.case_id, soft.geometry) as writer:
        made = write_fractions(soft, classes, task.reading, writer, task.threads)
        details = {k: v for k, v in soft.metadata.items() if k in ("type", "fractional_type")}
        kept = CaseInfo(soft.geometry, sources, warnings=soft.warnings, details=details)
        counts = count_labels(made.class_indices, classes)
        outcome = _complete(case.case_id, task.info, writer, kept, counts, made.sums)
    return replace(outcome, message=task.reason)


def _sources(case: Case) -> tuple[Source, ...]:
    return tuple(describe_source(file, role) for file, role in case_files(case))


def _complete(
    case_id: str,
    info: StoreInfo,
    writer: CaseWriter,
    kept: CaseInfo,
    counts: LabelCounts,
    sums: SoftSums,
) -> CaseFinished:
    statistics = case_statistics(
        counts,
        None if info.labels_only else sums,
        background_index=info.classes.background_index,
        spacing_mm=kept.geometry.spacing_mm,
    )
    size = writer.complete(replace(kept, statistics=statistics))
    return CaseFinished(
        case_id, "done", warnings=kept.warnings, stored_bytes=size,
        voxels=int(np.prod(kept.geometry.shape)),
    )  # fmt: skip


def _write_blocks(ready: Prepared, info: StoreInfo, writer: CaseWriter, threads: int) -> SoftSums:
    """Soften and write block by block; threads soften and compress, this one writes."""
    local = threading.local()
    classes, softener = info.classes, ready.softener
    encode_raters = _rater_encoder(ready, classes, writer) if info.keep_raters else None

    def encode(region: Region) -> tuple[list[EncodedBlock], list[SoftSums]]:
        encoded, sums = [writer.encode_label(region, ready.class_indices[region])], []
        if encode_raters is not None:
            encoded += encode_raters(region)
        if not info.labels_only:
            if not hasattr(local, "workspace"):
                local.workspace = softener.workspace(classes, ready.geometry, writer.grid.block)
            for block in softener.soften(ready.indices, region, local.workspace):
                encoded.append(writer.encode(block))
                sums.append(sums_with_box(block, ready.counts.box))
        return encoded, sums

    total = SoftSums.zero(len(classes))
    for encoded, sums in ordered_map(encode, writer.grid.regions(), threads):
        for block in encoded:
            writer.append(block)
        for part in sums:
            total.add(part)
    return total


def _rater_encoder(
    ready: Prepared, classes: ClassTable, writer: CaseWriter
) -> Callable[[Region], list[EncodedBlock]]:
    """What encodes the labels of each rater in a block, from the patterns."""
    patterns = ready.patterns
    assert patterns is not None
    labels = np.where(patterns.labels == UNLABELLED, classes.ignore_index, patterns.labels)
    tables = labels.astype(classes.index_dtype)

    def encode(region: Region) -> list[EncodedBlock]:
        block = patterns.indices[region]
        every = enumerate(tables.T)
        return [writer.encode_label(region, table[block], rater) for rater, table in every]

    return encode
