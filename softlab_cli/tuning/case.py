"""The way of one case through ``softlab tune``; runs in any process, and raises nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from softlab_cli.cases import Case
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import naming
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.failures import failure
from softlab_cli.core.provenance import Role, describe_sources
from softlab_cli.core.volume import Image
from softlab_cli.evaluation.folders import CASES
from softlab_cli.labels.case import RaterLabels, rater_grid, read_rater_labels
from softlab_cli.labels.images import read_images
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.running.scan import case_files
from softlab_cli.tuning.measure import Judged, measure_moved, measure_votes
from softlab_cli.tuning.request import TuneRequest
from softlab_cli.tuning.results import Kept, keep
from softlab_cli.tuning.subset import Surroundings

__all__ = ["TuneTask", "around_of", "tune_case"]


@dataclass(frozen=True)
class TuneTask:
    """Everything that one case takes; travels to a worker process.

    Parameters
    ----------
    case
        The case with its raters.
    request
        What is tried, and how it is judged.
    classes
        The class table.
    reading
        How files are read.
    alone
        Whether there is one rater in each case.
    options
        What the results depend on besides the files.
    threads
        Threads in this process.
    max_memory
        Bytes for it.
    reason
        Why it is done again, if it is.
    """

    case: Case
    request: TuneRequest
    classes: ClassTable
    reading: ReadingOptions
    alone: bool
    options: Mapping[str, Any]
    threads: int = 1
    max_memory: int | None = None
    reason: str = ""

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id

    @property
    def files(self) -> list[tuple[Path, Role]]:
        """Every file that the results are made from."""
        return case_files(self.case)


def tune_case(task: TuneTask) -> CaseFinished:
    """Try all settings on one case and keep what was found; never raises."""
    started = time.perf_counter()
    try:
        if task.case.problem is not None:
            raise task.case.problem
        with naming(task.case.label_maps[0]):
            sources = describe_sources(task.files)
            drawn = read_rater_labels(task.case, task.classes, task.reading)
            found, moved = _tried(task, drawn)
        kept = Kept(
            task.case_id, task.options, sources, drawn.names, found.voxels, found.votes, moved
        )
        size = keep(task.request.run.out, kept)
        return CaseFinished(
            task.case_id, "done", message=task.reason, warnings=found.warnings,
            seconds=time.perf_counter() - started,
            facts={"stored_bytes": size, "voxels": found.voxels}, raters=drawn.names,
        )  # fmt: skip
    except Exception as error:
        return failure(task.case_id, error, started)


def _tried(task: TuneTask, drawn: RaterLabels) -> tuple[Judged, Any]:
    request, around = task.request, around_of(task)
    if task.alone:
        model = next(iter(request.model.values()), None)
        moved = measure_moved(drawn, task.classes, request.settings, around, model)
        voxels = max((one.voxels for one in moved.values()), default=0)
        return Judged({}, voxels, drawn.warnings), moved
    found = measure_votes(
        drawn, task.classes, request.settings, around,
        reach=request.reach, bins=request.bins, clip=request.clip, models=request.model,
    )  # fmt: skip
    return found, {}


def around_of(task: TuneTask) -> Surroundings:
    """What methods may ask for besides the raters."""
    images = task.case.images

    @cache
    def image() -> Image:  # all raters lie on one grid, and all settings follow one image
        return read_images(task.case, rater_grid(task.case, task.reading), task.reading)

    return Surroundings(
        task.case_id,
        image if images else None,
        partial(naming, images[0]) if images else nullcontext,
        task.request.run.out / CASES,
        task.threads,
        task.max_memory,
    )
