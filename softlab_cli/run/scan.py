"""Which classes occur in a case; the label map that was read for it is kept for a moment."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.cases import Case
from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.provenance import Role
from softlab_cli.core.volume import LabelMap
from softlab_cli.labels.indices import distinct_values
from softlab_cli.labels.numbering import Occurring
from softlab_cli.labels.read import ReadingOptions, read_labels
from softlab_cli.readers import open_label_object, read_label_map

__all__ = [
    "LastLabelMap",
    "ScanTask",
    "case_files",
    "failure",
    "last_label_map",
    "naming",
    "scan_case",
]


def case_files(case: Case) -> list[tuple[Path, Role]]:
    """Every file that a case is made from, with its role."""
    labels: list[tuple[Path, Role]] = [(path, "label") for path in case.label_maps]
    return labels + [(path, "image") for path in case.images]


class LastLabelMap:
    """The label map that was read last, so that a scan of one case is not read again.

    Threads may share it (Dask runs several cases in one process): each gets the label
    map of its own case, whatever the others read meanwhile.
    """

    def __init__(self) -> None:
        self._kept: tuple[tuple[Any, ...], LabelMap] | None = None

    def read(self, case: Case, options: ReadingOptions) -> LabelMap:
        """The label map of a case that has one; it stays here, and must not be changed."""
        key, kept = _identity(case, options), self._kept
        if kept is not None and kept[0] == key:
            return kept[1]
        self._kept = kept = None  # two maps at once would double the memory
        path, rater = case.label_maps[0], case.raters[0]
        label_map = read_labels(path, case.images, options, rater=rater)
        self._kept = key, label_map
        return label_map

    def take(self, case: Case, options: ReadingOptions) -> LabelMap:
        """The same for a caller that may change it; it is kept no longer."""
        label_map = self.read(case, options)
        self._kept = None
        return label_map


def _identity(case: Case, options: ReadingOptions) -> tuple[Any, ...]:
    """What tells a case's label map from others, and from what its files were before."""
    files = [path for path, _ in case_files(case)]
    facts = [path.stat() if path.exists() else None for path in files]
    return options, *files, *((f.st_size, f.st_mtime_ns) for f in facts if f)


last_label_map = LastLabelMap()
"""Of this process; holds the only label map of a case that has one."""


@dataclass(frozen=True)
class ScanTask:
    """A case whose classes are looked for."""

    case: Case
    reading: ReadingOptions
    soft: bool = False


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
        names = open_label_object(path).names(task.reading.rois) if task.soft else None
        if names is not None:
            return Occurring(frozenset(), names)
        label_map = _read(task, number)
        values = distinct_values(label_map.values)
        return Occurring(frozenset(values), label_map.metadata.get("names", {}))


def _read(task: ScanTask, number: int) -> LabelMap:
    case, options = task.case, task.reading
    path = case.label_maps[number]
    if task.soft:
        return read_label_map(path)
    if len(case.label_maps) == 1:
        return last_label_map.read(case, options)
    return read_labels(path, case.images, options, rater=case.raters[number])


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


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error that does not know which file it is about."""
    try:
        yield
    except SoftlabError as error:
        if error.path is None:
            error.path = path
        raise
