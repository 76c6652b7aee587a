"""``softlab tune``: try all settings case by case, tell the listeners, and sum up."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from softlab_cli.core.events import CaseFinished, Listener, Notice, RunFinished, ignore
from softlab_cli.running.executors import make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.request import Request
from softlab_cli.running.runner import run_cases
from softlab_cli.tuning.case import TuneTask, tune_case
from softlab_cli.tuning.grid import Grid
from softlab_cli.tuning.plan import TunePlan, plan_tuning
from softlab_cli.tuning.request import TuneRequest
from softlab_cli.tuning.results import FOLDER, Kept, read_kept
from softlab_cli.tuning.summary import Summary, summarise
from softlab_cli.tuning.tables import write_tables

__all__ = ["execute_tuning", "tune"]


def tune(
    inputs: str | Path | Sequence[str | Path], out: str | Path, *, listen: Listener = ignore,
    **options: Any,
) -> tuple[RunFinished, Summary | None]:  # fmt: skip
    """Find out which soft label predicts a rater left out best: what ``softlab tune`` does.

    For each method and its parameters: the soft label of all raters but one, or of one rater,
    against each rater who has no part in it.

    Parameters
    ----------
    inputs
        Label maps of all raters, as for ``softlab msvls``.
    out
        Folder for the results.
    listen
        Is told of every event.
    **options
        Any field of `softlab_cli.tuning.grid.Grid` (``methods``, ``kernel_size``,
        ``sigma_voxels``, ``sigma_mm``, ``smoothing``, ``slicewise``, ``base``; tuples), of
        `softlab_cli.tuning.request.TuneRequest` (``metric``, ``regions``, ``bins``, ``clip``,
        ``groups``, ``model``) and of `softlab_cli.running.request.Request` (``images``,
        ``rater_pattern``, ``labels``, ``workers``, ...).

    Returns
    -------
    report
        One outcome for each case.
    summary
        What is written in ``summary.json``; None where no case has results, or where other
        parts are not done.

    Raises
    ------
    UsageError
        For options that make no sense.
    InputError
        When no case is found.
    StoreError
        When `out` is something else.
    """
    given = [inputs] if isinstance(inputs, str | Path) else inputs
    grid = {f.name: options.pop(f.name) for f in fields(Grid) if f.name in options}
    asked = ("metric", "regions", "bins", "clip", "groups", "model")
    how = {name: options.pop(name) for name in asked if name in options}
    run = Request([Path(path) for path in given], Path(out), **options)
    return execute_tuning(plan_tuning(TuneRequest(run, Grid(**grid), **how), listen), listen)


def execute_tuning(plan: TunePlan, listen: Listener = ignore) -> tuple[RunFinished, Summary | None]:
    """Do what a plan says; returns and raises what `tune` does."""
    started = time.perf_counter()
    run = plan.request.run
    outcomes = list(plan.failed)
    outcomes += [CaseFinished(kept.case_id, "skipped") for kept in plan.kept]
    for outcome in outcomes:
        listen(outcome)
    if run.overwrite:
        FOLDER.clear(run.out)
    if plan.tasks or plan.kept:
        FOLDER.create(run.out, alone=run.part is None)
    FOLDER.forget_tables(run.out)  # what they say may not hold any more
    executor = make_executor(
        plan.crew.workers, run.dask, isolated=any(may_crash(task.case) for task in plan.tasks),
        seconds=run.case_timeout,
    )  # fmt: skip
    report = run_cases("tune", tune_case, plan.tasks, executor, listen, outcomes, started)
    return report, _sum_up(plan, report, listen)


def _sum_up(plan: TunePlan, report: RunFinished, listen: Listener) -> Summary | None:
    failed = {o.case_id: o.message for o in report.outcomes if o.status == "failed"}
    failed = {o.case_id: o.message for o in plan.failed_anywhere} | failed
    there, waiting = _results(plan, failed)
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
    summary = summarise(plan.request, plan.classes, there, failed)
    write_tables(plan.request.run.out, there, summary)
    return summary


def _results(plan: TunePlan, failed: Any) -> tuple[list[Kept], list[TuneTask]]:
    """Results of all parts, and cases that have none yet and have not failed here."""
    there, waiting = [], []
    for task in plan.every:
        if task.case_id in failed:
            continue
        found = read_kept(plan.request.run.out, task.case_id)
        if found is not None and found.is_current(task.options, task.files):
            there.append(found)
        else:
            waiting.append(task)
    return there, waiting
