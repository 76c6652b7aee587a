"""Who does a run: processes, threads in each, and the memory that they may have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from softlab_cli.core.errors import InputError
from softlab_cli.core.events import Listener, Notice
from softlab_cli.core.memory import available_bytes, available_cores, format_bytes
from softlab_cli.running.request import Request

__all__ = ["Crew", "hire"]

Case = TypeVar("Case")
"""Whatever has to be done: files, or a case of a store."""


@dataclass(frozen=True)
class Crew:
    """Processes, threads in each, the memory that one of them needs, and may have."""

    workers: int
    threads: int
    bytes_per_worker: int
    memory: int


def hire(
    cases: Mapping[str, Case],
    request: Request,
    needed: Callable[[Case, int], int],
    listen: Listener,
) -> tuple[Crew, dict[str, InputError]]:
    """Workers and threads that fit into memory.

    Parameters
    ----------
    cases
        What they have to do.
    request
        What was asked for: workers, threads, memory.
    needed
        Bytes that a case needs with a number of threads.
    listen
        Is told when fewer workers fit than were wanted.

    Returns
    -------
    crew
        One worker at least.
    too_large
        Cases that no worker has the memory for, and why.
    """
    budget = request.max_memory or available_bytes()
    cores = available_cores()
    wanted = request.workers or (cores if len(cases) >= 2 * cores else 1)
    threads = request.threads or max(1, cores // wanted)
    sizes = {case_id: needed(case, threads) for case_id, case in cases.items()}
    too_large = {
        case_id: _too_large(size, budget) for case_id, size in sizes.items() if size > budget
    }
    fitting = [size for case_id, size in sizes.items() if case_id not in too_large]
    largest = max(fitting, default=1)
    workers = min(wanted, budget // largest, max(1, len(fitting)))
    if workers < min(wanted, len(fitting)):
        listen(
            Notice(
                f"{workers} workers instead of {wanted}: each may need "
                f"{format_bytes(largest)}, and {format_bytes(budget)} may be used"
            )
        )
    return Crew(workers, threads, largest, budget // max(1, workers)), too_large


def _too_large(needed: int, budget: int) -> InputError:
    return InputError(
        f"needs {format_bytes(needed)}, and only {format_bytes(budget)} may be used.",
        remedy="Raise --max-memory, or lower --threads.",
    )
