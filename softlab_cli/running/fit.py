"""The stage before the cases, for methods that learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from softlab_cli.core.events import Listener, Notice, StageStarted, StageStepped
from softlab_cli.methods.base import Fitting
from softlab_cli.running.executors import make_executor
from softlab_cli.running.plan import Plan
from softlab_cli.running.prepare import FileCase
from softlab_cli.store.writer import StoreWriter

__all__ = ["fit", "folder_for", "runner_of"]


def folder_for(out: Path) -> Path:
    """Where what a method learns for a store lies: beside it, so that --overwrite keeps it."""
    return out.with_name(f"{out.name}.fit")


def fit(plan: Plan, listen: Listener) -> Plan:
    """The plan with a method that has learned from its cases.

    Raises
    ------
    SoftlabError
        When nothing can be learned, or the store was made with something else.
    """
    request, crew, classes = plan.request, plan.crew, plan.info.classes
    folder = folder_for(request.out)
    folder.mkdir(parents=True, exist_ok=True)
    beside = StoreWriter(request.out, plan.info)
    cases = [
        FileCase(case, classes, request.reading, beside, crew.threads, crew.memory)
        for case in plan.every
    ]
    method = plan.method.fit(
        Fitting(
            cases,
            classes,
            folder,
            crew.threads,
            crew.memory * crew.workers,
            runner_of(crew.workers, request.dask, listen),
            lambda message: listen(Notice(message)),
        )
    )
    info = replace(plan.info, parameters=method.parameters())
    tasks = tuple(replace(task, method=method, info=info) for task in plan.tasks)
    return replace(plan, method=method, info=info, tasks=tasks)


def runner_of(
    workers: int, dask: str | None, listen: Listener
) -> Callable[[str, Callable[[Any], Any], Sequence[Any]], Iterator[tuple[Any, Any]]]:
    """What does tasks in the run's workers and tells the listeners; see `Fitting`."""

    def run(
        stage: str, function: Callable[[Any], Any], tasks: Sequence[Any]
    ) -> Iterator[tuple[Any, Any]]:
        listen(StageStarted(stage, len(tasks)))
        for task, result in make_executor(workers, dask).run(function, tasks):
            listen(StageStepped(stage, str(task)))
            yield task, result

    return run
