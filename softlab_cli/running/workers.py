"""A worker: a process that does one task after the other, and ends with its parent.

Tasks and results travel through a pipe. There is no lock and no shared memory, so
a worker needs nothing of the system but processes (``/dev/shm`` may be read-only),
and whoever dies takes nothing along. It is a new Python, which inherits no lock
that is held; the user's script runs again in it only where a task comes from there.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import runpy
import signal
import subprocess
import sys
import threading
import time
import types
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
    ended_behind,
    held,
)
from softlab_cli.core.errors import EngineError
from softlab_cli.core.memory import kills_for_memory

__all__ = ["CLEANING_SECONDS", "Answer", "Worker", "serve"]

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

IDLE_SECONDS = 60.0
"""How long a worker waits for a task; when it has ended, its parent begins another."""

NO_RESULT = 70
"""Exit status of a worker that could not say how its task went."""

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
        if _script.is_running:
            raise EngineError(
                "the script that runs starts workers while it is imported by one.",
                remedy='Call softlab below `if __name__ == "__main__":`.',
            )
        self.connection, theirs = multiprocessing.Pipe()
        self.began: float | None = None
        self._kills = kills_for_memory()
        in_main = threading.current_thread() is threading.main_thread()
        with held(), theirs:  # until it can handle them, signals would make it print tracebacks
            code = (
                f"import sys; sys.path[:] = {sys.path!r}; "
                "from softlab_cli.running.workers import serve; "
                f"serve({theirs.fileno()}, {os.getpid()}, {in_main}, {_script_of_this()!r})"
            )
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", code],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )

    def give(self, function: Callable[[Any], Any], task: Any) -> None:
        """Have a task done; `answer` tells how it went."""
        self.began = time.monotonic()
        folder = _folder()
        with suppress(OSError):  # it has died: `answer` says so
            self.connection.send((folder, function, task))

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
        return self._exit_code() == 0

    def why_dead(self) -> str:
        """How a process ended that should not have, and what to do about it."""
        code = self._exit_code()
        if code in CRASHES:
            return (
                f"its process crashed ({CRASHES[code]}): one of its files is damaged in a way that "
                "its decoder does not survive. Get it again, or convert it to NIfTI."
            )
        if code == -signal.SIGKILL:
            by_system = kills_for_memory() > self._kills
            who = "by the system" if by_system else "from outside, most likely"
            return f"its process was killed {who} for want of memory. {LESS_MEMORY}"
        number = -code if code < 0 else code - 128
        if number in SIGNALS:
            return f"its process was asked to end ({signal.Signals(number).name})."
        return f"its process ended with the status {code} and no result."

    def dismiss(self) -> None:
        """Let an idle process end, and wait for it."""
        self.connection.close()
        self.kill(after=CLEANING_SECONDS)

    def interrupt(self) -> None:
        """Ask the process to end; it cleans up what it has begun."""
        self._process.terminate()

    def kill(self, after: float = 0.0) -> None:
        """End the process, in any case, when it has not ended after so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(after)
        self._process.kill()
        self._process.wait()
        self.connection.close()

    def _exit_code(self) -> int:
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(CLEANING_SECONDS)
        return self._process.returncode or 0


def _folder() -> str:
    """Where relative paths count from; empty where somebody has removed that folder."""
    try:
        return os.getcwd()
    except OSError:
        return ""


@dataclass
class _Script:
    """The user's script in a worker: where it is, and whether it runs, or has run."""

    name: str = ""
    path: str = ""
    is_running: bool = False
    was_run: bool = False


_script = _Script()


def _script_of_this() -> tuple[str, str]:
    """Name (for ``python -m``) and path of what this Python runs, as far as it has them."""
    main = sys.modules["__main__"]
    spec = getattr(main, "__spec__", None)
    path = getattr(main, "__file__", None)
    return (spec.name if spec else ""), os.path.abspath(path) if path else ""


def _import_script() -> None:
    """Run the user's script as a module, since a task needs something that it defines."""
    if _script.was_run or not (_script.name or _script.path):
        return
    _script.was_run = True
    module = types.ModuleType("__mp_main__")
    _script.is_running = True
    if _script.name:
        found = runpy.run_module(_script.name, run_name="__mp_main__", alter_sys=True)
    else:
        found = runpy.run_path(_script.path, run_name="__mp_main__")
    _script.is_running = False
    module.__dict__.update(found)
    sys.modules["__main__"] = sys.modules["__mp_main__"] = module


def serve(handle: int, parent: int, in_main: bool, script: tuple[str, str]) -> None:
    """Do tasks until the parent closes its end, or dies, or a signal comes.

    Parameters
    ----------
    handle
        File descriptor of the pipe.
    parent
        Process id of the parent.
    in_main
        Whether the parent's main thread has begun this process.
    script
        Name and path of what the parent runs.
    """
    status = 0
    try:
        die_with_parent(parent, by_kernel=in_main)
        end_worker_on_signals()
        connection: Connection = Connection(handle)
        _script.name, _script.path = script
        while connection.poll(IDLE_SECONDS):
            message = connection.recv_bytes()
            status = NO_RESULT
            answer = _do(message)
            status = 0  # whoever is ended while it answers has its task done again
            _send(connection, answer)
    except (EOFError, OSError):  # the parent needs us no longer
        pass
    except Ended as ended:
        status = status and 128 + ended.number
    finally:
        os._exit(status)  # what was begun is cleaned up; threads that hang would keep it


def _do(message: bytes) -> Answer:
    try:
        if b"__main__" in message:
            _import_script()
        folder, function, task = pickle.loads(message)
        if folder:
            os.chdir(folder)  # a worker that was kept may have begun in another one
        return Answer(function(task))
    except BaseException as error:
        if ended := ended_behind(error):
            raise ended from None
        return Answer(error=error)


def _send(connection: Connection, answer: Answer) -> None:
    try:
        connection.send(answer)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        connection.send(Answer(error=RuntimeError(f"{error}, as a result of a worker")))
