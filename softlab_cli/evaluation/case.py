"""The way of one case of an evaluation; runs in any process, and raises nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError, naming
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.failures import failure
from softlab_cli.core.provenance import Role, Source, describe_sources
from softlab_cli.core.volume import Geometry
from softlab_cli.evaluation.calibrated import Calibrated
from softlab_cli.evaluation.calibrations import Calibration, fingerprint
from softlab_cli.evaluation.folders import CASES
from softlab_cli.evaluation.kinds import kind_of
from softlab_cli.evaluation.measure import (
    Evaluation,
    Shares,
    SoftPrediction,
    hard_label,
    measure_hard,
    measure_soft,
)
from softlab_cli.evaluation.predictions import Prediction, open_prediction
from softlab_cli.evaluation.references import References, read_references
from softlab_cli.evaluation.results import keep
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings
from softlab_cli.evaluation.shares import OneHot, open_soft_reference
from softlab_cli.labels.case import read_hard_labels
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.running.scan import case_files

__all__ = [
    "EvaluationTask",
    "OpenCase",
    "Opened",
    "evaluate_case",
    "fingerprints_of",
    "open_case",
    "opened",
    "refuses_sums",
]

FITTED_HERE = (
    "the calibration was fitted on this case, so that figures of calibration are too good."
)


@dataclass(frozen=True)
class EvaluationTask:
    """Everything that one case of one run takes; travels to a worker process.

    Parameters
    ----------
    reference
        The case with its references.
    run
        Name of the run.
    members
        The case of each of the run's predictions, which are averaged.
    classes
        The class table.
    reading
        How files are read.
    settings
        What is measured.
    single
        Whether probabilities are counted as float32, in all cases of the run.
    shares
        Whether probabilities are judged by soft labels, in all cases.
    soft_reference
        Whether the reference of this case has soft labels.
    voxels
        How many the prediction has.
    out
        The folder of the results; it exists.
    options
        What the results depend on besides the files.
    threads
        Threads in this process.
    reason
        Why it is done again, if it is.
    title
        What it is called in messages.
    calibration
        What is applied to the predictions before anything else.
    """

    reference: Case
    run: str
    members: tuple[Case, ...]
    classes: ClassTable
    reading: ReadingOptions
    settings: Settings
    single: bool
    shares: bool
    soft_reference: bool
    voxels: int
    out: Path
    options: Mapping[str, Any]
    threads: int = 1
    reason: str = ""
    title: str = ""
    calibration: Calibration | None = None

    @property
    def case_id(self) -> str:
        """What it is called in messages: the case, and the run where there are several."""
        return self.title or self.reference.case_id

    @property
    def files(self) -> list[tuple[Path, Role]]:
        """Every file that the results are made from."""
        cases: Sequence[Case] = (self.reference, *self.members)
        return list(dict.fromkeys(file for case in cases for file in case_files(case)))


def evaluate_case(task: EvaluationTask) -> CaseFinished:
    """Judge one case and keep what was found; never raises."""
    started = time.perf_counter()
    try:
        sources = describe_sources(task.files)
        found = _evaluated(task)
        if task.calibration is not None and task.calibration.knows(fingerprints_of(task, sources)):
            found = replace(found, warnings=(*found.warnings, FITTED_HERE))
        case_id = task.reference.case_id
        size = keep(task.out, case_id, task.run, task.options, sources, found)
        return CaseFinished(
            task.case_id, "done", message=task.reason, warnings=found.warnings,
            seconds=time.perf_counter() - started, facts={"stored_bytes": size},
            raters=found.raters,
        )  # fmt: skip
    except Exception as error:
        return failure(task.case_id, error, started)


def fingerprints_of(task: EvaluationTask, sources: Sequence[Source]) -> frozenset[str]:
    """Of the files with its labels and predictions, by which a calibration knows it again."""
    case_id = task.reference.case_id
    return frozenset(fingerprint(case_id, s.sha256) for s in sources if s.role == "label")


@dataclass(frozen=True, eq=False)
class OpenCase:
    """A case as it is judged, for whoever shows it.

    Parameters
    ----------
    scene
        The references, on the grid of the prediction.
    geometry
        That grid.
    hard
        (Z, Y, X) predicted class indices.
    soft
        The probabilities; None of a label map.
    shares
        Soft labels that they are judged by, if they are.
    """

    scene: Scene
    geometry: Geometry
    hard: NDArray[Any]
    soft: SoftPrediction | None
    shares: Shares | None


@contextmanager
def open_case(task: EvaluationTask) -> Iterator[OpenCase]:
    """Open the files of a case once more.

    Raises
    ------
    SoftlabError
        When a file cannot be used.
    """
    beside, table = task.out / CASES, task.classes
    if not _is_soft(task):
        labels = read_hard_labels(task.members[0], table, task.reading)
        with _judged_by(task, labels.geometry, beside) as (references, _):
            scene = _scene(task, references, labels.geometry)
            yield OpenCase(scene, labels.geometry, labels.class_indices, None, None)
        return
    with opened(task, beside) as found:
        soft = _calibrated(task, found.prediction) or found.prediction
        geometry = found.prediction.geometry
        hard = hard_label(soft, geometry.shape, table.index_dtype, table.ignore_index)
        yield OpenCase(found.scene, geometry, hard, soft, found.shares)


def _is_soft(task: EvaluationTask) -> bool:
    """Whether a case has probabilities; raises what is wrong with it before a voxel is read."""
    for case in (task.reference, *task.members):
        if case.problem is not None:
            raise case.problem
    if "hard" not in {kind_of(case, task.reading) for case in task.members}:
        return True
    if task.calibration is not None:
        raise UsageError(
            "label maps have no probabilities that could be calibrated.",
            remedy="Give probabilities, or leave --calibration out.",
            path=task.members[0].label_maps[0],
        )
    if len(task.members) > 1:
        raise UsageError(
            "label maps cannot be averaged.",
            remedy="Give probabilities, or each run a name of its own: --pred NAME=PATH.",
            path=task.members[0].label_maps[0],
        )
    return False


def _evaluated(task: EvaluationTask) -> Evaluation:
    if _is_soft(task):
        return _soft(task)
    labels = read_hard_labels(task.members[0], task.classes, task.reading)
    with _judged_by(task, labels.geometry, task.out / CASES) as (references, _):
        scene = _scene(task, references, labels.geometry)
        found = measure_hard(scene, labels.class_indices, task.settings, task.threads)
    return replace(found, warnings=(*labels.warnings, *references.warnings))


@dataclass(frozen=True, eq=False)
class Opened:
    """A soft prediction, and what it is judged against.

    Parameters
    ----------
    prediction
        The probabilities as they are in the files.
    scene
        The references on their grid.
    shares
        Soft labels that they are judged by, if they are.
    warnings
        What is odd.
    """

    prediction: Prediction
    scene: Scene
    shares: Shares | None
    warnings: tuple[str, ...]


@contextmanager
def opened(task: EvaluationTask, beside: Path) -> Iterator[Opened]:
    """The soft prediction of a task and its references; scratch files lie in ``beside``."""
    with (
        open_prediction(task.members, task.classes, task.reading, beside) as prediction,
        _judged_by(task, prediction.geometry, beside) as (references, shares),
    ):
        scene = _scene(task, references, prediction.geometry)
        yield Opened(prediction, scene, shares, (*prediction.warnings, *references.warnings))


def _soft(task: EvaluationTask) -> Evaluation:
    with opened(task, task.out / CASES) as found:
        calibrated, warnings = _calibrated(task, found.prediction), found.warnings
        subject: SoftPrediction = calibrated or found.prediction
        with naming(task.members[0].label_maps[0]):
            measured = measure_soft(
                found.scene, subject, task.settings, single=task.single, shares=found.shares,
                refuse_sums=calibrated is None and refuses_sums(task, found.prediction),
                threads=task.threads,
            )  # fmt: skip
            if calibrated is not None:
                calibrated.check()
                warnings += tuple(calibrated.warnings)
    return replace(measured, warnings=(*warnings, *measured.warnings))


def _calibrated(task: EvaluationTask, prediction: Prediction) -> Calibrated | None:
    if task.calibration is None:
        return None
    return Calibrated(prediction, task.calibration, refuse_sums=refuses_sums(task, prediction))


def refuses_sums(task: EvaluationTask, prediction: Prediction) -> bool:
    """Whether sums over classes have to be looked at yet, and must be 1."""
    return task.reading.sums == "error" and not prediction.is_checked


@contextmanager
def _judged_by(
    task: EvaluationTask, onto: Geometry, beside: Path
) -> Iterator[tuple[References, Shares | None]]:
    """The references of a case, and where probabilities are judged by soft labels, these."""
    if task.soft_reference:
        with open_soft_reference(
            task.reference, task.classes, task.reading, onto, beside
        ) as reference:
            yield reference.hard, reference.shares
        return
    references = read_references(task.reference, task.classes, task.reading, onto)
    if not task.shares:
        yield references, None
        return
    if len(references.names) > 1:
        raise UsageError(
            f"has {len(references.names)} raters, and other cases have soft labels as reference.",
            remedy="Judge them apart, each kind with an --out of its own.",
            path=task.reference.label_maps[0],
        )
    yield references, OneHot(references.raters[0], len(task.classes))


def _scene(task: EvaluationTask, references: References, geometry: Geometry) -> Scene:
    classes = task.classes
    return Scene(
        references.raters, references.names, classes.names, classes.background_index,
        classes.ignore_index, geometry.spacing_mm, geometry.ndim,
    )  # fmt: skip
