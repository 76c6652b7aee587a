"""The page of a store: plan it, draw the cases, write it whole."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softlab_cli.api import open_store
from softlab_cli.core.classes import LabelClass
from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import CaseFinished, Listener, RunFinished, ignore
from softlab_cli.core.memory import PROCESS_BYTES, format_bytes
from softlab_cli.core.places import refuse_url
from softlab_cli.core.provenance import size_and_mtime
from softlab_cli.report.facts import config_toml
from softlab_cli.report.page.cases import (
    ORDER,
    RULE,
    CaseFacts,
    case_table,
    gather_cases,
    with_signs,
)
from softlab_cli.report.page.charts import Chart
from softlab_cli.report.page.classes import class_charts, class_table
from softlab_cli.report.page.drawing import DrawTask, draw_case
from softlab_cli.report.page.environment import check_packages, stream, trusted
from softlab_cli.report.page.pieces import Pieces, replace_page
from softlab_cli.report.page.raters import RaterPart, rater_part
from softlab_cli.report.page.tables import Table, as_text
from softlab_cli.report.page.warned import warning_table
from softlab_cli.report.tables import counted
from softlab_cli.running.crew import hire
from softlab_cli.running.executors import make_executor
from softlab_cli.running.isolation import may_crash_on
from softlab_cli.running.request import Request
from softlab_cli.running.runner import run_cases
from softlab_cli.running.scan import failure
from softlab_cli.store.files import find_partials
from softlab_cli.store.reader import Case, Store
from softlab_cli.version import __version__

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["write_report"]

FORMAT = 1
"""Of pieces: another one draws all cases anew."""

PAGE_BYTES = 17 * 10**6
"""What the pictures of all cases may take together, so that a page stays below 20 MB."""

MOST_BYTES = 400_000
"""What those of one case may take, however few there are."""

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
        When `out` is a folder.
    StoreError
        When `store` is no store, or `out` is another file than a page, or cannot be written.

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
    pieces = Pieces(page)
    pieces.check()
    found = gather_cases(opened)
    outcomes = [CaseFinished(c.case_id, "failed", c.problem) for c in found if c.problem]
    readable = {case.case_id: opened[case.case_id] for case in found if not case.problem}
    most_bytes = share_of(len(readable))
    keys = {case_id: _key(case, most_bytes) for case_id, case in readable.items()}
    if overwrite:
        pieces.remove()
    there = pieces.take_over([] if overwrite else keys.values())
    outcomes += [CaseFinished(name, "skipped") for name, key in keys.items() if key in there]
    todo = {name: case for name, case in readable.items() if keys[name] not in there}
    request = Request([], page, workers=workers, max_memory=max_memory)
    crew, too_large = hire(todo, request, _bytes_of, listen)
    outcomes += [failure(case_id, error) for case_id, error in too_large.items()]
    for outcome in outcomes:
        listen(outcome)
    executor = make_executor(
        crew.workers, dask, isolated=any(map(_may_crash, todo.values())), seconds=case_timeout
    )
    tasks = [
        DrawTask(opened.path, case_id, page, keys[case_id], most_bytes)
        for case_id in todo
        if case_id not in too_large
    ]
    report = run_cases("draw", draw_case, tasks, executor, listen, outcomes, started)
    content = _page(opened, found, report, pieces, keys)
    replace_page(page, stream("store.html", page=content, **content.frame))
    pieces.remove()
    return replace(report, seconds=time.perf_counter() - started)


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


# ---- the page --------------------------------------------------------------


@dataclass(frozen=True)
class StorePage:
    """What the template ``store.html`` shows.

    Parameters
    ----------
    title, summary
        The store's name, and one line about it.
    facts
        What it is: term, value, and whether that comes from a file.
    classes
        Its classes.
    config
        The configuration that made it, as TOML.
    cases
        All cases, worst first.
    broken, unfinished
        Anchors and names of cases that could not be read or drawn, and of unfinished ones.
    case_table, class_table, warnings
        Tables.
    class_notes
        What is to be said before the classes.
    charts
        Of the classes.
    raters
        The part on raters, where there are any.
    drawn
        Where the pictures are.
    keys
        Case id to the key of its piece.
    """

    title: str
    summary: str
    facts: Sequence[tuple[str, str, bool]]
    classes: Sequence[LabelClass]
    config: str
    cases: Sequence[CaseFacts]
    broken: Sequence[tuple[str, str]]
    unfinished: Sequence[tuple[str, str]]
    case_table: Table
    class_table: Table
    class_notes: Sequence[str]
    charts: Sequence[Chart]
    raters: RaterPart | None
    warnings: Table | None
    drawn: Pieces
    keys: dict[str, str]
    order: str = ORDER
    rule: str = RULE

    def pieces(self) -> Iterator[tuple[CaseFacts, Markup]]:
        """Each case with its pictures, one after the other."""
        for case in self.cases:
            key = self.keys.get(case.case_id, "")
            yield case, trusted(self.drawn.marked(key) if key else "")

    @property
    def frame(self) -> dict[str, Any]:
        """What the frame of any page needs."""
        sections = [("store", "The store"), ("cases-of-store", "Cases")]
        if self.cases:
            sections.append(("classes-of-store", "Classes"))
        if self.raters:
            sections.append(("raters-of-store", "Raters"))
        if self.cases:
            sections.append(("warnings-of-store", "Warnings"))
        return {"title": self.title, "version": __version__, "sections": sections}


def _page(
    store: Store, found: Sequence[CaseFacts], report: RunFinished, pieces: Pieces,
    keys: dict[str, str],
) -> StorePage:  # fmt: skip
    failed = {o.case_id: o.message for o in report.outcomes if o.status == "failed"}
    told = [replace(case, problem=failed.get(case.case_id, "")) for case in found]
    info, classes = store.info, store.classes
    cases = with_signs(told, classes.names, classes.background_index)
    notes = []
    if info.labels_only:
        notes.append("Soft labels are computed on read, so their mass is not kept.")
    return StorePage(
        title=store.path.name,
        summary=f"{counted(len(cases), 'case')}, {counted(len(classes), 'class', 'classes')}, "
        f"{info.method}",
        facts=_facts(store, cases),
        classes=classes.classes,
        config=config_toml(info.config),
        cases=cases,
        broken=[(case.anchor, case.case_id) for case in cases if case.problem],
        unfinished=[("", path.name) for path in find_partials(store.path)],
        case_table=case_table(cases, classes.names, classes.background_index),
        class_table=class_table(cases, classes),
        class_notes=notes,
        charts=class_charts(cases, classes),
        raters=rater_part(cases, classes.background_index),
        warnings=warning_table(cases),
        drawn=pieces,
        keys=keys,
    )


def _facts(store: Store, cases: Sequence[CaseFacts]) -> list[tuple[str, str, bool]]:
    info = store.info
    parameters = ", ".join(f"{k} = {v}" for k, v in info.parameters.items() if v is not None)
    reading = ", ".join(f"{k} = {v}" for k, v in info.reading.items())
    foreground = [i for i in range(len(info.classes)) if i != info.classes.background_index]
    known = [case.statistics.hard_mm3 for case in cases if case.statistics is not None]
    volume = sum(mm3[i] for mm3 in known for i in foreground)
    size = sum(case.stored_bytes for case in cases)
    kept = "hard labels; soft labels are computed on read" if info.labels_only else "soft labels"
    marked = sum(case.is_marked for case in cases)
    facts = [
        ("place", str(store.path), True),
        ("method", info.method, True),
        ("parameters", parameters or "none", bool(parameters)),
        ("reading", reading, True),
        ("not labelled", ", ".join(map(str, info.classes.ignore_values)), False),
        ("stored", kept + (", labels of each rater" if info.keep_raters else ""), False),
        ("cases", f"{len(cases)}, {marked} with signs", False),
        ("labelled", f"{as_text(volume / 1000)} ml of foreground in all cases", False),
        ("size", format_bytes(size) if size else "", False),
        ("made by", f"softlab {info.version}", True),
        ("with", ", ".join(f"{k} {v}" for k, v in info.software.items()), True),
    ]
    return [fact for fact in facts if fact[1]]
