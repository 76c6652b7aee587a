"""What an evaluation will do, worked out before anything is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.events import CaseFinished, Listener, Notice
from softlab_cli.core.folders import some_of
from softlab_cli.evaluation.case import EvaluationTask
from softlab_cli.evaluation.draft import Draft
from softlab_cli.evaluation.request import EvaluationRequest
from softlab_cli.evaluation.results import FOLDER, Kept, read_kept
from softlab_cli.running.crew import Crew
from softlab_cli.running.names import refuse_mixed
from softlab_cli.running.request import (
    Request,
    given_classes,
    with_names,
    with_unlabelled,
)

__all__ = ["EvaluationPlan", "PlannedTasks", "plan_evaluation", "plan_tasks"]

FILES_CHANGED, OPTIONS_CHANGED = "its files have changed", "its options have changed"


BY_SOFT_LABELS = (
    "references are soft labels: scores and calibration are by their shares, overlap and surfaces "
    "by their hard label"
)


@dataclass(frozen=True)
class EvaluationPlan:
    """What an evaluation will do.

    Parameters
    ----------
    request
        What was asked for.
    classes
        The class table.
    tasks
        Cases to judge, one for each run.
    kept
        Results that are there already, and still hold.
    every
        Tasks of all parts, those that are done among them.
    failed
        Cases of this part that cannot be done, those that lack a file on one side among them.
    failed_anywhere
        The same of all parts.
    missing
        Why each case that lacks something cannot be done.
    crew
        Who does it.
    """

    request: EvaluationRequest
    classes: ClassTable
    tasks: tuple[EvaluationTask, ...]
    kept: tuple[Kept, ...]
    every: tuple[EvaluationTask, ...]
    failed: tuple[CaseFinished, ...]
    failed_anywhere: tuple[CaseFinished, ...]
    missing: tuple[str, ...]
    crew: Crew


def plan_evaluation(request: EvaluationRequest, listen: Listener) -> EvaluationPlan:
    """Work out what an evaluation will do; writes nothing.

    Raises
    ------
    UsageError
        For options that make no sense together.
    InputError
        When no case has both a prediction and a reference.
    StoreError
        When the output is something else.
    """
    FOLDER.refuse_foreign(request.out)
    planned = plan_tasks(request, listen)
    mine = [task for task in planned.every if task.reference.case_id in planned.part]
    kept, todo = _sorted(mine, request)
    if other := [task.case_id for task in todo if task.reason == OPTIONS_CHANGED]:
        listen(Notice(f"options have changed, so that results are made anew: {some_of(other, 3)}"))
    return EvaluationPlan(
        request, planned.classes, tuple(todo), tuple(kept), planned.every,
        tuple(outcome for case_id, outcome in planned.failed if case_id in planned.part),
        tuple(outcome for _, outcome in planned.failed), planned.missing, planned.crew,
    )  # fmt: skip


@dataclass(frozen=True)
class PlannedTasks:
    """All cases of all runs, paired and looked at, whatever has been done of them.

    Parameters
    ----------
    classes
        The class table.
    every
        A task for each case of each run that can be done.
    part
        Case ids of this part.
    failed
        Case ids of those that cannot be done, and why.
    missing
        Why each case that lacks something cannot be done.
    crew
        Who does it.
    """

    classes: ClassTable
    every: tuple[EvaluationTask, ...]
    part: frozenset[str]
    failed: tuple[tuple[str, CaseFinished], ...]
    missing: tuple[str, ...]
    crew: Crew


def plan_tasks(request: EvaluationRequest, listen: Listener) -> PlannedTasks:
    """Pair predictions and references and look at their headers; see `plan_evaluation`."""
    run = with_unlabelled(_with_all_inputs(request))
    known = given_classes(run)
    run = with_names(run, known) if known else run
    draft = Draft.find(request, run, listen)
    classes = known or draft.stored_classes(run)
    if classes is None:
        classes = draft.scan(run, listen)
        run = with_names(run, classes)
        draft.open_headers(run.reading)
    else:
        run = with_names(run, classes)
        draft.open_headers(run.reading)
        refuse_mixed(draft.names, classes, run.reading.names)
    request.check_calibrations(classes)
    draft.check_groups(request)
    crew = draft.hire(request, run, classes, listen)
    every = draft.tasks(request, run.reading, classes, crew)
    if any(task.soft_reference for task in every):
        listen(Notice(BY_SOFT_LABELS))
    return PlannedTasks(
        classes, tuple(every), frozenset(draft.part), tuple(draft.failed), tuple(draft.missing),
        crew,
    )  # fmt: skip


def _with_all_inputs(request: EvaluationRequest) -> Request:
    """A request whose inputs are predictions and references, for what they say of classes."""
    predictions = [path for paths in request.runs.values() for path in paths]
    return replace(request.run, inputs=[*predictions, *request.run.inputs])


def _sorted(
    tasks: Sequence[EvaluationTask], request: EvaluationRequest
) -> tuple[list[Kept], list[EvaluationTask]]:
    """Results that still hold, and what is to be done."""
    if request.run.overwrite:
        return [], list(tasks)
    kept, todo = [], []
    for task in tasks:
        found = read_kept(request.out, task.reference.case_id, task.run)
        if found is None:
            todo.append(task)
        elif found.is_current(task.options, task.files):
            kept.append(found)
        else:
            changed = FILES_CHANGED if found.options == task.options else OPTIONS_CHANGED
            todo.append(replace(task, reason=changed))
    return kept, todo
