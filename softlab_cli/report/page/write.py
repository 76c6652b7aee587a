"""The page of a store: plan it, draw the cases, write it whole."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from softlab_cli.api import open_store
from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import CaseFinished, Listener, RunFinished, ignore
from softlab_cli.core.failures import failure
from softlab_cli.core.memory import PROCESS_BYTES
from softlab_cli.core.places import refuse_url
from softlab_cli.core.provenance import size_and_mtime
from softlab_cli.report.page.cases import CaseFacts, gather_cases
from softlab_cli.report.page.content import page_of
from softlab_cli.report.page.drawing import DrawTask, draw_case
from softlab_cli.report.page.environment import check_packages, stream
from softlab_cli.report.page.pieces import Pieces, replace_page
from softlab_cli.running.crew import hire
from softlab_cli.running.executors import make_executor
from softlab_cli.running.isolation import may_crash_on
from softlab_cli.running.request import Request
from softlab_cli.running.runner import run_cases
from softlab_cli.store.files import refuse_in_store
from softlab_cli.store.reader import Case, Store
from softlab_cli.version import __version__

__all__ = ["write_report"]

FORMAT = 1
"""Of pieces: another one draws all cases anew."""

PAGE_BYTES = 17 * 10**6
"""What the pictures of all cases may take together, so that a page stays below 20 MB."""

MOST_BYTES = 384_000
"""What those of one case may take, however few there are. Divided by the square root of two seven
times, it is the share of each of 500 cases."""

IMAGE_BYTES_PER_VOXEL = 12
LABEL_BYTES_PER_VOXEL = 4
BLOCKS_BYTES = 100 * 2**20
"""What drawing holds: the image as it is stored and as numbers, labels, some blocks."""


def write_report(
    store: Store | str | Path,
    out: str | Path = "report.html",
    *,
    overwrite: bool = False,
    workers: int | None = None,
    max_memory: int | None = None,
    case_timeout: float | None = None,
    dask: str | None = None,
    listen: Listener = ignore,
) -> RunFinished:
    """Write a page that shows a store: what ``softlab report`` does.

    The page is one file that loads nothing. Pictures of cases that have not changed since the
    last page of this name, or since a run that was interrupted, are taken over.

    Parameters
    ----------
    store
        A store, or its folder.
    out
        The page.
    overwrite
        Draw all cases anew.
    workers
        Processes; by default what cores and memory allow.
    max_memory
        Bytes for all workers together; by default what is free.
    case_timeout
        Seconds that the pictures of a case may take; by default any.
    dask
        Address of a Dask scheduler, whose workers see the same files.
    listen
        Is told of every event.

    Returns
    -------
    RunFinished
        An outcome for each case. A case that cannot be read or drawn is named on the page, and
        changes nothing of the others.

    Raises
    ------
    PackageError
        Without jinja2 or Pillow, which the extra ``plot`` brings.
    UsageError
        When `out` is a folder, or lies in a store.
    StoreError
        When `store` is no store, or `out` is another file than a page, or cannot be written;
        when another run has removed what this one had drawn.

    Examples
    --------
    ::

        from softlab_cli.report.page.write import write_report

        report = write_report("soft.zarr", "report.html")
        assert not report.failed
    """
    started = time.perf_counter()
    check_packages()
    page = Path(out)
    refuse_url(page)
    opened = store if isinstance(store, Store) else open_store(store)
    refuse_in_store(page)
    pieces = Pieces(page)
    pieces.check()
    if overwrite:
        pieces.remove()
    found = gather_cases(opened)
    request = Request([], page, workers=workers, max_memory=max_memory)
    draft = _plan(opened, found, pieces, request, listen, anew=overwrite)
    for outcome in draft.ended:
        listen(outcome)
    executor = make_executor(draft.workers, dask, isolated=draft.may_crash, seconds=case_timeout)
    report = run_cases("draw", draw_case, draft.tasks, executor, listen, draft.ended, started)
    failed = {o.case_id: o.message for o in report.outcomes if o.status == "failed"}
    pieces.check_whole(key for case_id, key in draft.keys.items() if case_id not in failed)
    content = page_of(opened, found, failed, pieces, draft.keys)
    replace_page(page, stream("store.html", page=content, **content.frame))
    pieces.remove()
    return replace(report, seconds=time.perf_counter() - started)


@dataclass(frozen=True)
class _Plan:
    """What is to be drawn, and by how many processes.

    Parameters
    ----------
    keys
        Case id to the key of its piece, of all cases that can be read.
    ended
        Cases that are there already, that cannot be read, or that memory has no room for.
    tasks
        The others.
    workers
        Processes.
    may_crash
        Whether an image of theirs may take a process down.
    """

    keys: Mapping[str, str]
    ended: Sequence[CaseFinished]
    tasks: Sequence[DrawTask]
    workers: int
    may_crash: bool


def _plan(
    store: Store, found: Sequence[CaseFacts], pieces: Pieces, request: Request, listen: Listener,
    *, anew: bool,
) -> _Plan:  # fmt: skip
    readable = {case.case_id: store[case.case_id] for case in found if not case.problem}
    most_bytes = share_of(len(readable))
    keys = {case_id: _key(case, most_bytes) for case_id, case in readable.items()}
    there = pieces.take_over([] if anew else keys.values())
    todo = {case_id: case for case_id, case in readable.items() if keys[case_id] not in there}
    crew, too_large = hire(todo, request, _bytes_of, listen)
    ended = [CaseFinished(c.case_id, "failed", c.problem) for c in found if c.problem]
    ended += [CaseFinished(case_id, "skipped") for case_id in readable if case_id not in todo]
    ended += [failure(case_id, error) for case_id, error in too_large.items()]
    tasks = [
        DrawTask(store.path.absolute(), case_id, pieces.page.absolute(), keys[case_id], most_bytes)
        for case_id in todo
        if case_id not in too_large
    ]
    return _Plan(keys, ended, tasks, crew.workers, any(map(_may_crash, todo.values())))


def share_of(cases: int) -> int:
    """Bytes that the pictures of each of some cases may take.

    A power of the square root of two, so that a few cases more draw no others anew.
    """
    share = MOST_BYTES
    while share * cases > PAGE_BYTES:
        share = int(share / 2**0.5)
    return share


def _key(case: Case, most_bytes: int) -> str:
    """What the pictures of a case depend on, as a checksum."""
    images = [_state(Path(s.path)) for s in case.sources if s.role == "image"]
    known = [
        FORMAT, __version__, case.fingerprint, case.classes.to_json(colours=True), images,
        list(case.raters), most_bytes,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _state(path: Path) -> list[Any]:
    try:
        return [str(path), *size_and_mtime(path)]
    except (OSError, SoftlabError):
        return [str(path)]


def _bytes_of(case: Case, threads: int) -> int:
    """Upper bound of what drawing a case takes."""
    per_voxel = LABEL_BYTES_PER_VOXEL
    if any(source.role == "image" for source in case.sources):
        per_voxel += IMAGE_BYTES_PER_VOXEL
    return PROCESS_BYTES + BLOCKS_BYTES + prod(case.geometry.shape) * per_voxel


def _may_crash(case: Case) -> bool:
    return any(may_crash_on(Path(s.path)) for s in case.sources if s.role == "image")
