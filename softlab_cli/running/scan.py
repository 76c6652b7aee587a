"""Which classes occur in a case, found out before the first one is done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.cases import Case
from softlab_cli.core.errors import naming
from softlab_cli.core.events import CaseFinished, Listener, StageStarted, StageStepped
from softlab_cli.core.failures import failure
from softlab_cli.core.folders import is_probabilities, segmentation_beside
from softlab_cli.core.provenance import Role
from softlab_cli.labels.fractions import occurring_fractions
from softlab_cli.labels.indices import check_range, wide_values
from softlab_cli.labels.likeness import check_no_image
from softlab_cli.labels.numbering import Occurring
from softlab_cli.labels.read import ReadingOptions, read_labels
from softlab_cli.labels.segments import choose_segments
from softlab_cli.readers import ClassFiles, LabelSource, open_label_object, path_of
from softlab_cli.running.executors import WorkerDied, make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.request import Request

__all__ = [
    "ScanTask",
    "case_files",
    "scan_case",
    "scan_cases",
]


def case_files(case: Case) -> list[tuple[Path, Role]]:
    """Every file that a case is made from, with its role."""
    beside = [segmentation_beside(p) for p in case.label_maps if is_probabilities(p)]
    files = [*case.label_maps, *(path for path in beside if path)]
    labels: list[tuple[Path, Role]] = [(path, "label") for path in files]
    return labels + [(path, "image") for path in case.images]


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
    images_too
        Whether a label map may look like an image.
    """

    case: Case
    reading: ReadingOptions
    soft: bool = False
    images_too: bool = False


def scan_case(task: ScanTask) -> tuple[Occurring, ...] | CaseFinished:
    """What occurs in each label map of a case, or why that cannot be told."""
    started = time.perf_counter()
    case = task.case
    try:
        if case.problem is not None:
            raise case.problem
        if task.soft:
            with naming(case.label_maps[0]):
                return (occurring_fractions(case, task.reading),)
        return tuple(_occurring(task, rater, drawn) for rater, drawn in case.drawings.items())
    except Exception as error:
        return failure(case.case_id, error, started)


def scan_cases(
    tasks: Sequence[ScanTask], request: Request, workers: int, listen: Listener
) -> Iterator[tuple[str, tuple[Occurring, ...] | CaseFinished]]:
    """What `scan_case` says of each case, by its id, while workers do them and listeners hear.

    The workers are kept for the next stage.
    """
    listen(StageStarted("scan", len(tasks)))
    executor = make_executor(
        workers, request.dask, isolated=any(may_crash(task.case) for task in tasks),
        seconds=request.case_timeout, keep=True,
    )  # fmt: skip
    for task, result in executor.run(scan_case, tasks):
        case_id = task.case.case_id
        listen(StageStepped("scan", case_id))
        if isinstance(result, WorkerDied):
            result = CaseFinished(case_id, "failed", result.reason)
        yield case_id, result


def _occurring(task: ScanTask, rater: str, drawn: LabelSource) -> Occurring:
    with naming(path := path_of(drawn)):
        # The names of files are their classes; reading them all would take as long as the case.
        if isinstance(drawn, ClassFiles):
            chosen = choose_segments(open_label_object(drawn), task.reading, path)
            return Occurring(frozenset(), chosen.classes)
        label_map = read_labels(drawn, task.case.images, task.reading, rater=rater)
        values = wide_values(label_map.values)
        if not task.images_too:  # an image is told from what it looks like, whatever its values
            check_no_image(label_map.values, values, path)
        check_range(label_map.values)
        facts = label_map.metadata
        return Occurring(frozenset(values), facts.get("names", {}), facts.get("colours", {}))
