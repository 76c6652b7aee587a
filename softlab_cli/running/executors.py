"""Where cases run: in this process, in worker processes, or on a Dask cluster.

Every executor has one method, ``run(function, tasks)``, that yields
``(task, result)`` pairs as they finish. A task that takes its process down with
it yields a `WorkerDied` in place of a result; the other tasks still run.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor
from concurrent.futures import wait as wait_for
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Protocol, TypeVar

from softlab_cli.core.errors import EngineError
from softlab_cli.core.extras import require

__all__ = [
    "DaskExecutor",
    "Executor",
    "ProcessExecutor",
    "SerialExecutor",
    "WorkerDied",
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
    """

    workers: int

    def run(
        self, function: Callable[[Task], Result], tasks: Sequence[Task]
    ) -> Iterator[tuple[Task, Result | WorkerDied]]:
        """Yield each task with its result, in the order in which they finish.

        A worker that dies breaks the whole pool, and nobody can say which task
        did it: those in flight are run again, each in a process of its own, so
        that only the guilty one fails.
        """
        waiting = deque(tasks)
        while waiting:
            suspects: list[Task] = []
            yield from self._run_until_broken(function, waiting, suspects)
            for task in suspects:
                yield task, _run_alone(function, task)

    def _run_until_broken(
        self,
        function: Callable[[Task], Result],
        waiting: deque[Task],
        suspects: list[Task],
    ) -> Iterator[tuple[Task, Result]]:
        with _pool(self.workers) as pool:
            running: dict[Future[Result], Task] = {}
            while waiting or running:
                while waiting and len(running) < self.workers:
                    task = waiting.popleft()
                    try:
                        running[pool.submit(_interruptible, function, task)] = task
                    except BrokenProcessPool:
                        waiting.appendleft(task)
                        suspects.extend(running.values())
                        return
                for future in wait_for(running, return_when=FIRST_COMPLETED).done:
                    task = running.pop(future)
                    if isinstance(future.exception(), BrokenProcessPool):
                        suspects.extend([task, *running.values()])
                        return
                    yield task, future.result()


def _pool(workers: int) -> ProcessPoolExecutor:
    # "spawn" behaves the same everywhere and never inherits a lock that is held.
    return ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_ignore_interrupts
    )


def _ignore_interrupts() -> None:
    """Leave Ctrl-C to the main process: a worker without a task has nothing to clean up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _interruptible(function: Callable[[Task], Result], task: Task) -> Result:
    """Do a task, which Ctrl-C ends as it does without workers: cleaning up behind it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return function(task)
    finally:
        _ignore_interrupts()


def _run_alone(function: Callable[[Task], Result], task: Task) -> Result | WorkerDied:
    with _pool(1) as pool:
        try:
            return pool.submit(_interruptible, function, task).result()
        except BrokenProcessPool:
            return WorkerDied("its worker process was killed, most likely for want of memory")


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


def make_executor(workers: int, dask: str | None = None) -> Executor:
    """The executor for a number of workers, or for a Dask scheduler's address."""
    if dask:
        return DaskExecutor(dask)
    return ProcessExecutor(workers) if workers > 1 else SerialExecutor()
