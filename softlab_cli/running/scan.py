"""Which classes occur in a case, found out before the first one is done."""

from __future__ import annotations

import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.cases import Case
from softlab_cli.core.errors import SoftlabError, naming
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.provenance import Role
from softlab_cli.core.volume import LabelMap
from softlab_cli.labels.indices import distinct_values
from softlab_cli.labels.numbering import Occurring
from softlab_cli.labels.read import (
    ReadingOptions,
    is_object,
    read_labels,
    segment_names,
)
from softlab_cli.readers import read_label_map

__all__ = [
    "Handover",
    "ScanTask",
    "case_files",
    "failure",
    "scan_case",
]


def case_files(case: Case) -> list[tuple[Path, Role]]:
    """Every file that a case is made from, with its role."""
    labels: list[tuple[Path, Role]] = [(path, "label") for path in case.label_maps]
    return labels + [(path, "image") for path in case.images]


class Handover:
    """The one label map of a run of one case: read for its classes, and not read again.

    It belongs to the run, which is in one process then. Runs of more cases read each
    label map once to see its classes and once to soften it: kept until then, they
    would fill the memory.
    """

    def __init__(self) -> None:
        self._kept: tuple[list[tuple[int, int]], LabelMap] | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return Handover, ()  # a label map does not travel to another process

    def keep(self, case: Case, label_map: LabelMap) -> None:
        """Keep the label map of a case; it must not be changed until it is taken."""
        self._kept = _state(case), label_map

    def take(self, case: Case) -> LabelMap | None:
        """The label map, unless there is none or the files have changed; it is kept no longer."""
        kept, self._kept = self._kept, None
        return kept[1] if kept is not None and kept[0] == _state(case) else None


def _state(case: Case) -> list[tuple[int, int]]:
    """What tells a case's files from what they were before."""
    facts = [path.stat() for path, _ in case_files(case) if path.exists()]
    return [(fact.st_size, fact.st_mtime_ns) for fact in facts]


@dataclass(frozen=True)
class ScanTask:
    """A case whose classes are looked for.

    Parameters
    ----------
    case
        The case and its files.
    reading
        How its label maps are read.
    soft
        Whether its soft labels are wanted as they are, and no label map on the grid.
    handover
        Where to leave the label map, in a run of one case.
    """

    case: Case
    reading: ReadingOptions
    soft: bool = False
    handover: Handover | None = None


def scan_case(task: ScanTask) -> tuple[Occurring, ...] | CaseFinished:
    """What occurs in each label map of a case, or why that cannot be told."""
    started = time.perf_counter()
    case = task.case
    try:
        if case.problem is not None:
            raise case.problem
        return tuple(_occurring(task, number) for number in range(len(case.label_maps)))
    except Exception as error:
        return failure(case.case_id, error, started)


def _occurring(task: ScanTask, number: int) -> Occurring:
    path = task.case.label_maps[number]
    with naming(path):
        if task.soft and is_object(path):
            return Occurring(frozenset(), segment_names(path, task.reading.rois))
        label_map = _read(task, number)
        values = distinct_values(label_map.values)
        return Occurring(frozenset(values), label_map.metadata.get("names", {}))


def _read(task: ScanTask, number: int) -> LabelMap:
    case, path = task.case, task.case.label_maps[number]
    if task.soft:
        return read_label_map(path)
    label_map = read_labels(path, case.images, task.reading, rater=case.raters[number])
    if task.handover is not None and len(case.label_maps) == 1:
        task.handover.keep(case, label_map)
    return label_map


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
