"""A worker: a process that does one task after the other, and ends with its parent.

Tasks and results travel through a pipe. There is no lock and no shared memory, so
a worker needs nothing of the system but processes (``/dev/shm`` may be read-only),
and whoever dies takes nothing along.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from softlab_cli.core.ending import (
    SIGNALS,
    Ended,
    die_with_parent,
    end_worker_on_signals,
    held,
)
from softlab_cli.core.memory import kills_for_memory

__all__ = ["Answer", "Worker"]

CLEANING_SECONDS = 5.0
"""How long a worker may clean up after it was asked to end."""

CRASHES = {
    -signal.SIGSEGV: "segmentation fault",
    -signal.SIGBUS: "bus error",
    -signal.SIGABRT: "abort",
    -signal.SIGFPE: "arithmetic error",
    -signal.SIGILL: "illegal instruction",
}
"""Exit codes of a process that did what it may not."""

NO_RESULT = 70
"""Exit status of a worker that could not say how its task went."""

NOT_BEGUN = 1
"""Exit status of Python where it cannot begin what it should do."""

LESS_MEMORY = "Lower --workers or --threads, or set --max-memory."


@dataclass(frozen=True)
class Answer:
    """What a task gave: a result, or an error that it raised."""

    result: Any = None
    error: BaseException | None = None


class Worker:
    """A process that does tasks; it is started at once and idle.

    Attributes
    ----------
    connection
        Becomes readable when the task has ended, or the process has.
    began
        When the task in work was given, of `time.monotonic`; None when idle.
    """

    def __init__(self) -> None:
        self.connection, theirs = multiprocessing.Pipe()
        self.began: float | None = None
        self._kills = kills_for_memory()
        in_main = threading.current_thread() is threading.main_thread()
        # "spawn" behaves the same everywhere and never inherits a lock that is held.
        context = multiprocessing.get_context("spawn")
        self._process = context.Process(
            target=_serve, args=(theirs, os.getpid(), in_main), daemon=True
        )
        with held():  # until it can handle them, a signal would make it print a traceback
            self._process.start()
        theirs.close()

    def give(self, function: Callable[[Any], Any], task: Any) -> None:
        """Have a task done; `answer` tells how it went."""
        self.began = time.monotonic()
        with suppress(OSError):  # it has died: `answer` says so
            self.connection.send((function, task))

    def answer(self) -> Answer | None:
        """What the task gave, once `connection` is readable; None when the process has died."""
        try:
            answer: Answer = self.connection.recv()
        except (EOFError, OSError):
            return None
        self.began = None
        return answer

    def was_idle(self) -> bool:
        """Whether a process that has ended did so before it began its task."""
        self._process.join(CLEANING_SECONDS)
        return self._process.exitcode == 0

    def why_dead(self) -> str:
        """How a process ended that should not have, and what to do about it."""
        self._process.join(CLEANING_SECONDS)
        code = self._process.exitcode or 0
        if code in CRASHES:
            return (
                f"its process crashed ({CRASHES[code]}): one of its files is damaged in a way that "
                "its decoder does not survive. Get it again, or convert it to NIfTI."
            )
        if code == -signal.SIGKILL:
            by_system = kills_for_memory() > self._kills
            who = "by the system" if by_system else "from outside, most likely"
            return f"its process was killed {who} for want of memory. {LESS_MEMORY}"
        if code == NOT_BEGUN:
            return (
                "its process could not begin. A script that calls softlab with several workers "
                'does so below `if __name__ == "__main__":`.'
            )
        number = -code if code < 0 else code - 128
        if number in SIGNALS:
            return f"its process was asked to end ({signal.Signals(number).name})."
        return f"its process ended with the status {code} and no result."

    def dismiss(self) -> None:
        """Let an idle process end, and wait for it."""
        self.connection.close()
        self._process.join(CLEANING_SECONDS)
        self.kill()

    def interrupt(self) -> None:
        """Ask the process to end; it cleans up what it has begun."""
        if self.began is None:
            self._process.kill()
        else:
            self._process.terminate()

    def kill(self, after: float = 0.0) -> None:
        """End the process, in any case, when it has not ended after so many seconds."""
        self._process.join(after)
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection, parent: int, in_main: bool) -> None:
    """Do tasks until the parent closes its end, or dies, or a signal comes."""
    status = 0
    try:
        die_with_parent(parent, by_kernel=in_main)
        end_worker_on_signals()
        while True:
            message = connection.recv_bytes()
            status = NO_RESULT
            _send(connection, _do(message))
            status = 0
    except (EOFError, OSError):  # the parent needs us no longer
        pass
    except Ended as ended:
        status = status and 128 + ended.number
    finally:
        os._exit(status)  # what was begun is cleaned up; threads that hang would keep it


def _do(message: bytes) -> Answer:
    try:
        function, task = pickle.loads(message)
        return Answer(function(task))
    except Ended:
        raise
    except BaseException as error:
        return Answer(error=error)


def _send(connection: Connection, answer: Answer) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        connection.send(Answer(error=RuntimeError(f"{error}, as a result of a worker")))
