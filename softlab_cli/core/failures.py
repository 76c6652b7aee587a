"""How a case ends that could not be done."""

from __future__ import annotations

import time
import traceback

from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.system import explained
from softlab_cli.core.text import shown

__all__ = ["failure", "unforeseen"]


def unforeseen(error: Exception) -> str:
    """What is said of an error that nobody raised on purpose."""
    if isinstance(error, OSError) and (known := explained(error)) is not None:
        return str(known)
    if isinstance(error, MemoryError):
        return "not enough memory. Lower --workers or --threads."
    return f"unforeseen {type(error).__name__}: {shown(error)} (--debug shows where)"


def failure(case_id: str, error: Exception, started: float | None = None) -> CaseFinished:
    """The outcome of a case that could not be done, in words for the user."""
    seconds = 0.0 if started is None else time.perf_counter() - started
    if isinstance(error, SoftlabError):
        return CaseFinished(case_id, "failed", str(error), seconds=seconds)
    is_known = isinstance(error, OSError) and explained(error) is not None
    trace = "" if is_known else "".join(traceback.format_exception(error))
    return CaseFinished(case_id, "failed", unforeseen(error), seconds=seconds, traceback=trace)
