"""How a process ends when it is told to: by Ctrl-C, by a scheduler, or with its parent.

SIGINT and SIGTERM become `Ended`, raised where the main thread is, so that
whatever was begun is cleaned up on the way out. `Ended` is a `SystemExit`:
libraries let it pass, and no traceback is shown for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = [
    "SIGNALS",
    "Ended",
    "die_with_parent",
    "end_on_signals",
    "end_worker_on_signals",
    "ended_behind",
    "held",
]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Ctrl-C, and how schedulers ask a process to end."""

CLEANING_SECONDS = 10.0
"""How long cleaning up may take before the process ends as it is."""

SAME_SECONDS = 1.0
"""Signals that come this soon after another are the same: to a group and to each of it."""

RETRY_SECONDS = 0.05
"""Until an `Ended` that was lost in a callback is raised again."""

PR_SET_PDEATHSIG = 1


class Ended(SystemExit):
    """A signal asks the process to end.

    Parameters
    ----------
    number
        The signal that asked for it. The exit status is 128 more, as shells have it.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(128 + number)


class _State:
    """What has been asked of this process."""

    def __init__(self) -> None:
        self.asked_at: float | None = None
        self.holding = 0
        self.waiting: int | None = None
        self.handler: Callable[[int], None] | None = None


_state = _State()


def _on_signal(number: int, frame: Any = None) -> None:
    """Handler of a signal: ends the process, cleaning up; at once when asked again.

    Raises
    ------
    Ended
        Unless signals are held, or this one belongs to one that came just before.
    """
    if _state.holding:
        _state.waiting = number
        return
    now = time.monotonic()
    if _state.asked_at is None:
        _state.asked_at = now
        raise Ended(number)
    if now - _state.asked_at > SAME_SECONDS:
        os._exit(128 + number)


@contextmanager
def held() -> Iterator[None]:
    """Let signals wait until the block is over; processes begun in it start with them blocked."""
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    _state.holding += in_main
    try:
        yield
    finally:
        _state.holding -= in_main
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if in_main and not _state.holding and _state.waiting is not None:
            number, _state.waiting = _state.waiting, None
            (_state.handler or _on_signal)(number)


def end_worker_on_signals() -> None:
    """As `end_on_signals`, for a process whose parent waits for it: once, without a word."""
    sys.unraisablehook = lambda unraisable: None
    _state.handler = _once
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for the parent
            signal.signal(number, _once)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def _once(number: int, frame: Any = None) -> None:
    if _state.holding:  # another thread has taken the signal, which this one has blocked
        _state.waiting = number
        return
    for other in SIGNALS:  # the parent asks as well when a terminal asks all of them
        signal.signal(other, signal.SIG_IGN)
    raise Ended(number)


@contextmanager
def end_on_signals() -> Iterator[None]:
    """What a command runs in: a signal ends it with one line and the status 130 or 143."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup and & would have it
            signal.signal(number, _on_signal)
    sys.unraisablehook = _not_lost
    threading.Thread(target=_end_in_any_case, args=(_told_of_signals(),), daemon=True).start()
    try:
        yield
    except BaseException as error:
        ended = ended_behind(error)
        if ended is None:
            raise
        _say(ended)
        raise ended from None
    finally:
        for number in SIGNALS:  # what is left is the interpreter's end, which prints tracebacks
            signal.signal(number, signal.SIG_IGN)
        _report_nothing()


def ended_behind(error: BaseException) -> Ended | None:
    """The `Ended` that an error is, or that was made into one.

    Python raises a `RuntimeError` in place of what is raised while a class is made.
    """
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, Ended):
        seen = seen.__cause__
    return seen


def _told_of_signals() -> int:
    """A file descriptor to read the numbers of signals from, while the main thread is busy."""
    told, tell = os.pipe()
    os.set_blocking(tell, False)
    signal.set_wakeup_fd(tell, warn_on_full_buffer=False)
    return told


def _end_in_any_case(told: int) -> None:
    """End a while after a signal: some code neither returns nor lets errors pass."""
    while (number := os.read(told, 1)[0]) not in SIGNALS:
        pass
    time.sleep(CLEANING_SECONDS)
    os._exit(128 + number)


def _say(ended: Ended) -> None:
    name = signal.Signals(ended.number).name
    print(f"interrupted by {name}: what is finished is kept", file=sys.stderr, flush=True)


def _not_lost(unraisable: Any) -> None:
    """Raise an `Ended` again that came in a callback, where Python can only print it."""
    if not isinstance(unraisable.exc_value, Ended):
        sys.__unraisablehook__(unraisable)
        return
    number = unraisable.exc_value.number

    def again() -> None:
        _state.asked_at = None
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    timer = threading.Timer(RETRY_SECONDS, again)
    timer.daemon = True
    timer.start()


def _report_nothing() -> None:
    if _state.asked_at is not None:
        sys.unraisablehook = lambda unraisable: None


def die_with_parent(parent: int, *, by_kernel: bool) -> None:
    """End this process when its parent does, however that ends.

    Parameters
    ----------
    parent
        Process id of the parent, as the parent has it.
    by_kernel
        Let Linux do it as well, which no code that hangs can hinder. Linux takes the
        end of the *thread* that began this process for the parent's end, so only for
        processes that a main thread has begun.
    """
    threading.Thread(target=_outlive_not, args=(parent,), daemon=True).start()
    if by_kernel and sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before Linux was asked to tell
        os._exit(1)


def _outlive_not(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
