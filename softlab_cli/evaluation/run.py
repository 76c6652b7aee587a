"""An evaluation: do it case by case, tell the listeners, and sum up."""

from __future__ import annotations

import time
from collections.abc import Sequence

from softlab_cli.core.events import CaseFinished, Listener, Notice, RunFinished, ignore
from softlab_cli.evaluation.case import EvaluationTask, evaluate_case
from softlab_cli.evaluation.plan import EvaluationPlan
from softlab_cli.evaluation.results import FOLDER, Kept, read_kept
from softlab_cli.evaluation.summary import Summary, summarise
from softlab_cli.evaluation.tables import write_tables
from softlab_cli.running.executors import make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.runner import run_cases

__all__ = ["execute_evaluation"]


def execute_evaluation(
    plan: EvaluationPlan, listen: Listener = ignore
) -> tuple[RunFinished, Summary | None]:
    """Do what a plan says.

    Returns
    -------
    report
        One outcome for each case of each run.
    summary
        What is written in ``summary.json``; None while other parts are not done, or where
        no case has results.

    Raises
    ------
    StoreError
        When the results cannot be written.
    """
    started = time.perf_counter()
    outcomes = list(plan.failed)
    titles = {(task.reference.case_id, task.run): task.case_id for task in plan.every}
    outcomes += [CaseFinished(titles[k.case_id, k.run], "skipped") for k in plan.kept]
    for outcome in outcomes:
        listen(outcome)
    if plan.request.run.overwrite:
        FOLDER.clear(plan.request.out)
    if plan.tasks or plan.kept:
        FOLDER.create(plan.request.out, alone=plan.request.run.part is None)
    FOLDER.forget_tables(plan.request.out)  # what they say may not hold any more
    executor = make_executor(
        plan.crew.workers, plan.request.run.dask,
        isolated=any(may_crash(c) for task in plan.tasks for c in (task.reference, *task.members)),
        seconds=plan.request.run.case_timeout,
    )  # fmt: skip
    report = run_cases("evaluate", evaluate_case, plan.tasks, executor, listen, outcomes, started)
    return report, _sum_up(plan, report, listen)


def _sum_up(plan: EvaluationPlan, report: RunFinished, listen: Listener) -> Summary | None:
    failed = {o.case_id for o in report.outcomes if o.status == "failed"}
    there, waiting = _results(plan.every, plan, failed)
    if waiting and plan.request.run.part is not None:
        listen(
            Notice(
                f"{len(there)} of {len(there) + len(waiting)} cases have results; the part that "
                "does the last one sums up, or a run without --part, whatever there is"
            )
        )
        return None
    if not there:
        return None
    outcomes = (*plan.failed_anywhere, *report.outcomes)
    reasons = {o.case_id: o.message for o in outcomes if o.status == "failed"}
    summary = summarise(plan.request, plan.classes, there, reasons, plan.missing)
    write_tables(plan.request.out, there, summary)
    return summary


def _results(
    every: Sequence[EvaluationTask], plan: EvaluationPlan, failed: set[str]
) -> tuple[list[Kept], list[EvaluationTask]]:
    """Results of all parts, and cases that have none yet and have not failed here."""
    there, waiting = [], []
    for task in every:
        if task.case_id in failed:
            continue
        found = read_kept(plan.request.out, task.reference.case_id, task.run)
        if found is not None and found.is_current(task.options, task.files):
            there.append(found)
        else:
            waiting.append(task)
    return there, waiting
