"""A run: plan it, do it case by case, tell the listeners, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import (
    CaseFinished,
    Listener,
    RunFinished,
    StageStarted,
    ignore,
)
from softlab_cli.methods.base import Method
from softlab_cli.running.case import process_case
from softlab_cli.running.executors import Executor, SerialExecutor, WorkerDied, make_executor
from softlab_cli.running.fit import fit
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.plan import Plan, Request, make_plan
from softlab_cli.store.root import remove_abandoned
from softlab_cli.store.writer import StoreWriter

__all__ = ["execute", "run", "run_cases"]


class OneCase(Protocol):
    """A task that does one case."""

    @property
    def case_id(self) -> str:
        """The case's id."""
        ...


Task = TypeVar("Task", bound=OneCase)


def run(
    method: Method,
    inputs: str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    listen: Listener = ignore,
    **options: Any,
) -> RunFinished:
    """Make a store of soft labels, or complete it: what ``softlab svls`` does.

    Parameters
    ----------
    method
        What makes the soft labels, for instance ``SVLS()``.
    inputs
        Label maps: folders, files, datasets, datalists or manifests.
    out
        The store.
    listen
        Is told of every event.
    **options
        Any other field of `softlab_cli.running.plan.Request`.

    Returns
    -------
    RunFinished
        How many cases were done, skipped and failed, with an outcome for each.

    Raises
    ------
    UsageError
        For options that make no sense together.
    InputError
        When no case is found.
    StoreError
        When `out` is something else, or was made with other parameters.
    """
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    request = Request([Path(p) for p in given], Path(out), **options)
    return execute(make_plan(method, request, listen), listen)


def execute(plan: Plan, listen: Listener = ignore) -> RunFinished:
    """Do what a plan says.

    Returns
    -------
    RunFinished
        One outcome for each case of the plan.
    """
    started = time.perf_counter()
    outcomes = list(plan.failed)
    outcomes += [CaseFinished(case_id, "skipped") for case_id in plan.skipped]
    for outcome in outcomes:
        listen(outcome)
    if plan.tasks and plan.method.fits:
        plan = fit(plan, listen)
    if plan.request.train_only:
        return run_cases("soften", process_case, [], SerialExecutor(), listen, outcomes, started)
    if plan.tasks:  # a run that can do nothing leaves no store with the wrong classes
        out = plan.request.out
        StoreWriter.create_or_open(
            out, plan.info, overwrite=plan.request.overwrite, sync=plan.request.sync
        )
    executor = make_executor(
        plan.crew.workers, plan.request.dask,
        isolated=any(may_crash(task.case) for task in plan.tasks),
        seconds=plan.request.case_timeout,
    )  # fmt: skip
    try:
        report = run_cases("soften", process_case, plan.tasks, executor, listen, outcomes, started)
    except BaseException:
        with suppress(SoftlabError):  # workers that were too busy to clean up are dead by now
            remove_abandoned(plan.request.out)
        raise
    if plan.tasks:
        remove_abandoned(plan.request.out)  # of workers that were killed
    return report


def run_cases(
    stage: str,
    function: Callable[[Task], CaseFinished],
    tasks: Sequence[Task],
    executor: Executor,
    listen: Listener,
    outcomes: Sequence[CaseFinished],
    started: float,
) -> RunFinished:
    """Do tasks, one for each case, and report.

    Parameters
    ----------
    stage
        What is done to the cases, for the listeners; see `softlab_cli.running.progress.VERBS`.
    function
        Does one task; raises nothing.
    tasks
        The cases that are to be done.
    executor
        Where they run.
    listen
        Is told of every case as it ends.
    outcomes
        Cases that have ended before.
    started
        When the run began, of `time.perf_counter`.
    """
    outcomes = list(outcomes)
    listen(StageStarted(stage, len(tasks)))
    for task, result in executor.run(function, tasks):
        if isinstance(result, WorkerDied):
            result = CaseFinished(task.case_id, "failed", message=result.reason)
        listen(result)
        outcomes.append(result)
    report = RunFinished(
        done=_count(outcomes, "done"),
        skipped=_count(outcomes, "skipped"),
        failed=_count(outcomes, "failed"),
        seconds=time.perf_counter() - started,
        outcomes=tuple(outcomes),
    )
    listen(report)
    return report


def _count(outcomes: Sequence[CaseFinished], status: str) -> int:
    return sum(outcome.status == status for outcome in outcomes)
