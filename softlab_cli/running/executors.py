"""Where cases run: in this process, in worker processes, or on a Dask cluster.

Every executor has one method, ``run(function, tasks)``, that yields
``(task, result)`` pairs as they finish. A task that takes its process down with
it yields a `WorkerDied` in place of a result; the other tasks still run.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import connection
from typing import Any, Protocol, TypeVar

from softlab_cli.core.errors import EngineError, InputError, UsageError
from softlab_cli.core.extras import require
from softlab_cli.running.workers import CLEANING_SECONDS, Worker

__all__ = [
    "DaskExecutor",
    "Executor",
    "ProcessExecutor",
    "SerialExecutor",
    "WorkerDied",
    "call_apart",
    "make_executor",
]

DASK_TIMEOUT = "20s"

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class WorkerDied:
    """Stands for the result of a task whose worker process ended without one."""

    reason: str


class Executor(Protocol):
    """Runs a function over tasks."""

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield each task with its result, in the order in which they finish."""
        ...


class SerialExecutor:
    """One task after the other, in this process."""

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield each task with its result, in the given order."""
        for task in tasks:
            yield task, function(task)


@dataclass(frozen=True)
class ProcessExecutor:
    """Worker processes on this machine, each with one task at a time.

    Parameters
    ----------
    workers
        Number of processes.
    seconds
        How long a task may take; its process is ended then.
    keep
        Keep the workers for whoever runs tasks next.
    """

    workers: int
    seconds: float | None = None
    keep: bool = False

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield each task with its result, in the order in which they finish.

        A worker that dies costs its own task only; another takes its place. When
        this ends early, workers clean up what they have begun, and end.
        """
        waiting = deque(tasks)
        crew: dict[Worker, Task] = {}
        idle, _kept[:] = _kept[:], []
        try:
            while waiting or crew:
                while waiting and len(crew) < self.workers:
                    worker = idle.pop() if idle else Worker()
                    crew[worker] = task = waiting.popleft()
                    worker.give(function, task)
                for worker in self._ended(crew):
                    task = crew.pop(worker)
                    result = self._result(worker, task, waiting, idle)
                    if result is not AGAIN:
                        yield task, result
        except BaseException:
            _interrupt(crew)
            raise
        finally:
            if self.keep:
                _kept.extend(idle)
            else:
                _dismiss(idle)

    def _ended(self, crew: Collection[Worker]) -> list[Worker]:
        """Workers whose task has ended, one way or the other, or taken too long."""
        by_connection: dict[Any, Worker] = {worker.connection: worker for worker in crew}
        patience = None
        if self.seconds is not None:
            first = min(worker.began or 0.0 for worker in crew)
            patience = max(0.0, first + self.seconds - time.monotonic())
        ready = connection.wait(list(by_connection), patience)
        return [by_connection[c] for c in ready] or [w for w in crew if self._is_late(w)]

    def _is_late(self, worker: Worker) -> bool:
        late = time.monotonic() - (worker.began or 0.0)
        return self.seconds is not None and late >= self.seconds

    def _result(self, worker: Worker, task: Task, waiting: deque[Task], idle: list[Worker]) -> Any:
        if not worker.connection.poll():
            worker.interrupt()
            worker.kill(after=CLEANING_SECONDS)
            return WorkerDied(
                f"was not done after {self.seconds:g} seconds (--case-timeout), and was given up."
            )
        answer = worker.answer()
        if answer is None:
            reason = "" if worker.was_idle() else worker.why_dead()
            worker.kill()
            if reason:
                return WorkerDied(reason)
            waiting.appendleft(task)
            return AGAIN
        idle.append(worker)
        if answer.error is not None:
            raise answer.error
        return answer.result


AGAIN: Any = object()
"""In place of a result: the task was not begun."""

_kept: list[Worker] = []
"""Idle workers, which have imported already what a task needs."""


def _dismiss(idle: Collection[Worker]) -> None:
    for worker in idle:
        worker.connection.close()
    for worker in idle:
        worker.dismiss()


def call_apart(
    function: Callable[..., Result], *arguments: Any, seconds: float | None = None
) -> Result:
    """Call a function in a process of its own, which may crash or hang.

    Parameters
    ----------
    function
        What to call; a function of a module.
    arguments
        What it is given; they must be picklable, like the result.
    seconds
        How long it may take.

    Raises
    ------
    InputError
        When the process ended without a result; says why.
    """
    executor = ProcessExecutor(1, seconds, keep=True)
    spread: Callable[[tuple[Any, ...]], Result] = _Spread(function)
    ((_, result),) = executor.run(spread, [arguments])
    if isinstance(result, WorkerDied):
        raise InputError(result.reason)
    return result


@dataclass(frozen=True)
class _Spread:
    """A function of several arguments as one of a tuple."""

    function: Callable[..., Any]

    def __call__(self, arguments: tuple[Any, ...]) -> Any:
        return self.function(*arguments)


def _interrupt(crew: Collection[Worker]) -> None:
    """End workers; all of them clean up at the same time."""
    end = time.monotonic() + CLEANING_SECONDS
    for worker in crew:
        worker.interrupt()
    for worker in crew:
        worker.kill(after=max(0.0, end - time.monotonic()))


@dataclass(frozen=True)
class DaskExecutor:
    """A Dask cluster.

    Parameters
    ----------
    address
        The scheduler, for instance ``tcp://node1:8786``.
    """

    address: str

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield each task with its result, in the order in which they finish."""
        problem = "--dask needs the package 'distributed'."
        with require("distributed", extra="dask", problem=problem):
            from distributed import Client, as_completed
        try:
            client = Client(self.address, timeout=DASK_TIMEOUT)
        except (OSError, ValueError) as error:
            raise EngineError(
                f"no Dask scheduler answers at {self.address} ({error}).",
                remedy="Check --dask, or leave it out.",
            ) from error
        with client:
            futures = {client.submit(function, task, pure=False): task for task in tasks}
            for future in as_completed(list(futures)):
                task = futures.pop(future)
                broken = future.exception()
                yield task, WorkerDied(str(broken)) if broken else future.result()
                future.release()


def make_executor(
    workers: int,
    dask: str | None = None,
    *,
    isolated: bool = False,
    seconds: float | None = None,
    keep: bool = False,
) -> Executor:
    """Where tasks run.

    Parameters
    ----------
    workers
        Number of processes.
    dask
        Address of a Dask scheduler, which has workers of its own.
    isolated
        Whether a task may take its process with it: one worker is a process of its
        own then, and otherwise this process.
    seconds
        How long a task may take.
    keep
        Keep the worker processes for whoever runs tasks next.

    Raises
    ------
    UsageError
        For a time limit on a Dask cluster.
    """
    if dask and seconds is not None:
        raise UsageError(
            "--case-timeout has no effect on the workers of --dask.", remedy="Leave it out."
        )
    if dask:
        return DaskExecutor(dask)
    if workers > 1 or isolated or seconds is not None:
        return ProcessExecutor(workers, seconds, keep)
    return SerialExecutor()
