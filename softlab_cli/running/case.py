"""The way of one case: prepare, soften block by block, write, rename.

Runs in any process; everything that it needs travels in a `CaseTask`. It
returns what happened and raises nothing, so that one bad case never stops the
others.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any

from softlab_cli.core.errors import naming
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.failures import failure
from softlab_cli.core.provenance import Source, describe_sources
from softlab_cli.methods.base import CaseInput, Method
from softlab_cli.running.prepare import CaseTask
from softlab_cli.running.scan import case_files
from softlab_cli.store.schema import CaseInfo
from softlab_cli.store.statistics import case_statistics
from softlab_cli.store.writer import StoreWriter

__all__ = ["process_case", "write_case"]


def process_case(task: CaseTask) -> CaseFinished:
    """Soften one case and store it; never raises."""
    started = time.perf_counter()
    try:
        if task.case.problem is not None:
            raise task.case.problem
        with naming(task.case.label_maps[0]):
            sources = describe_sources(case_files(task.case))
            case = task.case_input()
            outcome = write_case(task.method, case, case.store, sources)
        seconds = time.perf_counter() - started
        return replace(outcome, message=task.reason, seconds=seconds)
    except Exception as error:
        return failure(task.case.case_id, error, started)


def write_case(
    method: Method,
    case: CaseInput,
    store: StoreWriter,
    sources: tuple[Source, ...],
    details: Mapping[str, Any] | None = None,
) -> CaseFinished:
    """Make the soft labels of a case, and store them.

    Parameters
    ----------
    method
        What makes the soft labels.
    case
        The case.
    store
        The store; it exists.
    sources
        The files that the case was made from.
    details
        Further facts of the case for the store, ready for JSON.

    Raises
    ------
    SoftlabError
        When the case cannot be used, or the store cannot be written.
    """
    info = store.info
    with method.prepare(case) as ready:
        geometry = ready.geometry
        grid = case.grid(geometry)
        with store.case(case.case_id, geometry, len(ready.raters), grid) as writer:
            written = ready.write(writer, soft=not info.labels_only, threads=case.threads)
            statistics = case_statistics(
                written.counts,
                None if info.labels_only else written.sums,
                background_index=info.classes.background_index,
                spacing_mm=geometry.spacing_mm,
            )
            kept = CaseInfo(
                geometry, sources, statistics, ready.warnings,
                {**ready.details, **(details or {})}, ready.raters,
            )  # fmt: skip
            size = writer.complete(kept)
    facts = {"stored_bytes": size, "voxels": prod(geometry.shape)}
    return CaseFinished(
        case.case_id, "done", warnings=ready.warnings, facts=facts, raters=ready.raters
    )
