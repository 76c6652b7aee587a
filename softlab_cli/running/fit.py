"""The stage before the cases, for methods that learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import EngineError
from softlab_cli.core.events import Listener, Notice, StageStarted, StageStepped
from softlab_cli.methods.base import Fitting
from softlab_cli.running.executors import Executor, WorkerDied, make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.plan import Plan
from softlab_cli.running.prepare import FileCase
from softlab_cli.store.writer import StoreWriter

__all__ = ["fit", "folder_for", "runner_of"]


def folder_for(out: Path) -> Path:
    """Where what a method learns for a store lies: beside it, so that --overwrite keeps it."""
    return out.with_name(f"{out.name}.fit")


def fit(plan: Plan, listen: Listener) -> Plan:
    """The plan with a method that has learned from its cases.

    Cases that are known to be of no use are left out; the run names them.

    Raises
    ------
    SoftlabError
        When nothing can be learned.
    """
    request, crew, classes = plan.request, plan.crew, plan.info.classes
    folder = folder_for(request.out)
    if not plan.method.has_learned:
        folder.mkdir(parents=True, exist_ok=True)
    beside = StoreWriter(request.out, plan.info)
    failed = {outcome.case_id for outcome in plan.failed}
    usable = [case for case in plan.every if not (case.problem or case.case_id in failed)]
    cases = [
        FileCase(case, classes, request.reading, beside, crew.threads, crew.memory)
        for case in usable
    ]
    # Workers are kept for the next stage: what they have imported may take seconds.
    executor = make_executor(
        crew.workers, request.dask, isolated=any(map(may_crash, usable)), keep=True
    )
    method = plan.method.fit(
        Fitting(
            cases,
            classes,
            folder,
            crew.threads,
            crew.memory * crew.workers,
            runner_of(executor, listen),
            lambda message: listen(Notice(message)),
        )
    )
    info = replace(plan.info, parameters=method.parameters())
    tasks = tuple(replace(task, method=method, info=info) for task in plan.tasks)
    return replace(plan, method=method, info=info, tasks=tasks)


def runner_of(
    executor: Executor, listen: Listener
) -> Callable[[str, Callable[[Any], Any], Mapping[str, Any]], Iterator[tuple[str, Any]]]:
    """What does named tasks in the run's workers and tells the listeners; see `Fitting`."""

    def run(
        stage: str, function: Callable[[Any], Any], tasks: Mapping[str, Any]
    ) -> Iterator[tuple[str, Any]]:
        listen(StageStarted(stage, len(tasks)))
        named = list(tasks.items())
        for (name, _), result in executor.run(partial(_of_named, function), named):
            if isinstance(result, WorkerDied):
                raise EngineError(f"{stage} {name}: {result.reason}")
            listen(StageStepped(stage, name))
            yield name, result

    return run


def _of_named(function: Callable[[Any], Any], named: tuple[str, Any]) -> Any:
    return function(named[1])
