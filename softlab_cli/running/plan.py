"""What a run will do, worked out before anything is written."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version

from softlab_cli.cases import Case, discover_cases, select_part
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.events import CaseFinished, Listener, Notice
from softlab_cli.core.failures import failure
from softlab_cli.core.memory import PROCESS_BYTES, format_bytes
from softlab_cli.core.provenance import same_content
from softlab_cli.labels.case import probe_raters
from softlab_cli.labels.fractions import probe_fractions
from softlab_cli.labels.numbering import Occurring, common_classes
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.methods.base import Method, Needs
from softlab_cli.readers import FileProbe, path_of
from softlab_cli.running.checks import (
    check_case,
    check_request,
    oddities,
    refuse_own_output,
    refuse_unknown_raters,
)
from softlab_cli.running.crew import Crew, hire
from softlab_cli.running.isolation import call_for
from softlab_cli.running.names import (
    FileNames,
    lacking_files,
    note_of_taken,
    notes_of_ignored,
    notes_of_names,
    refuse_absent,
    refuse_mixed,
)
from softlab_cli.running.prepare import CaseTask
from softlab_cli.running.request import (
    Request,
    given_classes,
    ignored_values,
    kept_classes,
    notes_of_stores,
    stored_classes,
    with_names,
    with_unlabelled,
)
from softlab_cli.running.scan import ScanTask, case_files, scan_cases
from softlab_cli.store.documents import read_store_info
from softlab_cli.store.files import METADATA
from softlab_cli.store.root import refuse_foreign
from softlab_cli.store.schema import SCHEMA, StoreInfo
from softlab_cli.store.writer import StoreWriter

__all__ = ["Plan", "Request", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Parameters
    ----------
    request
        What was asked for.
    method
        What makes the soft labels.
    info
        What the store's root says: method, parameters, classes, configuration.
    tasks
        Cases to soften.
    skipped
        Ids of cases that are complete and unchanged.
    failed
        Cases that cannot be done, found out while planning.
    probes
        What the headers say of each case's label map.
    crew
        Who does it.
    every
        All cases, those of other parts included: what a method learns from.
    """

    request: Request
    method: Method
    info: StoreInfo
    tasks: tuple[CaseTask, ...]
    skipped: tuple[str, ...]
    failed: tuple[CaseFinished, ...]
    probes: Mapping[str, FileProbe]
    crew: Crew
    every: tuple[Case, ...]


def make_plan(method: Method, request: Request, listen: Listener) -> Plan:
    """Work out what a run will do; writes nothing.

    Raises
    ------
    UsageError
        For options that make no sense together, or no memory for a single case.
    InputError
        When no case is found.
    StoreError
        When the output is something else, or was made with other parameters.
    """
    check_request(method, request)
    existing = _existing_store(request)
    request = with_unlabelled(request)
    known = given_classes(request) or kept_classes(request, existing) or stored_classes(request)
    for note in notes_of_stores(request):
        listen(Notice(note))
    request = with_names(request, known) if known else request
    draft = _Draft.find(method, request, existing, listen)
    for oddity in oddities(method, draft.every):
        listen(Notice(oddity))
    draft.check_names(request, listen)
    if known:
        refuse_mixed(draft.names, known, request.reading.names)
    classes = known or draft.scan(request, listen)
    request = with_names(request, classes)
    for said in notes_of_ignored(draft.names, classes, request.reading.names):
        listen(Notice(said))
    if existing is not None:  # further cases have the colours of those that are there
        classes = classes.coloured(existing.info.classes.colours)
    info = StoreInfo(
        method.name,
        method.parameters(),
        classes,
        labels_only=request.labels_only,
        sums_to_one=method.sums_to_one,
        keep_raters=request.keep_raters,
        software=_software(),
        config=request.config,
        reading=request.reading.to_json(),
        schema=SCHEMA if existing is None else existing.info.schema,
        ome=request.ome,
    )
    if existing is not None and not method.fits:  # what it will have learned is not known yet
        existing.check(info)
    crew = draft.hire_for(classes, request, listen)
    tasks = tuple(
        CaseTask(
            case, method, info, request.out, crew.threads, draft.reasons.get(case.case_id, ""),
            request.reading, crew.memory, request.sync,
        )
        for case in draft.todo.values()
    )  # fmt: skip
    return Plan(
        request, method, info, tasks, tuple(draft.skipped), tuple(draft.failed), draft.probes,
        crew, draft.every,
    )  # fmt: skip


def _existing_store(request: Request) -> StoreWriter | None:
    """The store that is there already and goes on; None when it is new or replaced."""
    refuse_foreign(request.out)
    if request.overwrite or not (request.out / METADATA).exists():
        return None
    return StoreWriter(request.out, read_store_info(request.out))


def _software() -> dict[str, str]:
    packages = ("numba", "numpy", "SimpleITK", "zstandard")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _probe_case(case: Case, options: ReadingOptions) -> tuple[FileProbe, list[FileNames]]:
    """What the headers say of a case's label maps: the first one's grid, the most memory.

    Then the names of the segments of each file that has any.
    """
    drawings = case.drawings
    probes = probe_raters(case, options)
    most = replace(
        probes[0],
        bytes_on_read=max(seen.bytes_on_read for seen in probes),
        bytes_held=max(seen.bytes_held for seen in probes),
    )
    files = zip(map(path_of, drawings.values()), probes, strict=True)
    return most, [FileNames(case.case_id, path, p.names) for path, p in files if p.names]


def _probe_fractions(case: Case, options: ReadingOptions) -> tuple[FileProbe, list[FileNames]]:
    """The same of a case whose soft label is wanted."""
    seen = probe_fractions(case, options)
    return seen, [FileNames(case.case_id, seen.path, seen.names)] if seen.names else []


@dataclass
class _Draft:
    """Cases while they are being sorted into to do, complete and failed."""

    method: Method
    every: tuple[Case, ...]
    todo: dict[str, Case]
    probes: dict[str, FileProbe] = field(default_factory=dict)
    names: list[FileNames] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[CaseFinished] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(
        cls, method: Method, request: Request, existing: StoreWriter | None, listen: Listener
    ) -> _Draft:
        """All cases of the request; complete ones are set aside, headers are read."""
        cases = discover_cases(
            request.inputs,
            request.images,
            series=request.reading.series,
            rater_pattern=request.rater_pattern,
            class_pattern=request.class_pattern,
            soft=method.takes == "fractions",
            kept_raters=method.takes == "raters",
            kept_images=method.takes == "label map and image",
            tell=lambda message: listen(Notice(message)),
        )
        refuse_own_output((p for c in cases for p, _ in case_files(c)), request.out)
        refuse_unknown_raters(request.reading.value_map, cases)
        part = select_part(cases, *request.part) if request.part else cases
        draft = cls(method, tuple(cases), {case.case_id: case for case in part})
        if existing is not None:
            draft.set_complete_aside(existing)
        draft.read_headers(request)
        return draft

    def set_complete_aside(self, existing: StoreWriter) -> None:
        """Skip cases that are in the store and whose files have not changed."""
        for case_id, case in list(self.todo.items()):
            kept = existing.completed(case_id)
            if kept is None:
                continue
            if same_content(kept.sources, case_files(case)):
                del self.todo[case_id]
                self.skipped.append(case_id)
            else:
                self.reasons[case_id] = "its files have changed"

    def read_headers(self, request: Request) -> None:
        """Learn the label maps' shape and type; cases without usable ones fail here."""
        for case_id, case in list(self.todo.items()):
            try:
                check_case(case, self.method, request.min_raters)
                soft = self.method.takes == "fractions"
                probe = _probe_fractions if soft else _probe_case
                self.probes[case_id], names = call_for(case, probe, case, request.reading)
                self.names += names
            except Exception as error:  # an unforeseen one is its own case's matter, too
                self.fail(failure(case_id, error))

    def check_names(self, request: Request, listen: Listener) -> None:
        """Say which names mean no class, or may mean one; cases that lack a class fail here.

        Raises
        ------
        ClassError
            When a pattern means nothing in any of all cases.
        """
        rule = request.reading.names
        if rule is not None or not request.reading.loose_names:
            for note in notes_of_names(self.names, rule):
                listen(Notice(note))
        if rule is None:
            return
        named = {file.case_id for file in self.names}
        if named == {case.case_id for case in self.every}:  # what others have is not known
            refuse_absent(self.names, rule)
        for case_id, error in lacking_files(self.names, rule):
            self.fail(failure(case_id, error))

    def fail(self, outcome: CaseFinished) -> None:
        """Take a case out and remember why; a case of another part is its own part's matter."""
        if self.todo.pop(outcome.case_id, None):
            self.failed.append(outcome)

    def scan(self, request: Request, listen: Listener) -> ClassTable:
        """The classes that occur in all cases, those of other parts included.

        Unreadable cases fail here; those of other parts are theirs to report.
        """
        workers = self.hire(request, listen, lambda case, _: self._reading_bytes(case)).workers
        soft = self.method.takes == "fractions"
        tasks = [
            ScanTask(case, request.reading, soft, request.image_like == "ok") for case in self.every
        ]
        found: list[tuple[str, Occurring]] = []
        for case_id, result in scan_cases(tasks, request, workers, listen):
            if isinstance(result, tuple):
                found.extend((case_id, one) for one in result)
            else:
                self.fail(result)
        occurring = [one for _, one in found]
        classes, note = common_classes(
            occurring, ignored_values(request), loose_names=request.reading.loose_names
        )
        for said in filter(None, [note, *note_of_taken(found, classes)]):
            listen(Notice(said))
        colours = {name: c for case in reversed(occurring) for name, c in case.colours.items()}
        return classes.coloured(colours)

    def hire(self, request: Request, listen: Listener, needed: Callable[[Case, int], int]) -> Crew:
        """Who does it; cases that no worker has the memory for fail here."""
        crew, too_large = hire(self.todo, request, needed, listen)
        for case_id, error in too_large.items():
            self.fail(failure(case_id, error))
        return crew

    def hire_for(self, classes: ClassTable, request: Request, listen: Listener) -> Crew:
        """Who softens; says so where much waits on disk meanwhile."""
        needs: dict[str, Needs] = {}

        def needed(case: Case, threads: int) -> int:
            seen = self.probes[case.case_id]
            needs[case.case_id] = self.method.needs(case, seen, classes, threads)
            return needs[case.case_id].memory

        crew = self.hire(request, listen, needed)
        scratch = max((needs[case_id].scratch for case_id in self.todo), default=0)
        if scratch and crew.bytes_per_worker + scratch > crew.memory:
            listen(
                Notice(
                    f"the maps of a case wait on disk beside the store: up to "
                    f"{format_bytes(scratch)} for each of {crew.workers} workers"
                )
            )
        return crew

    def _reading_bytes(self, case: Case) -> int:
        seen = self.probes.get(case.case_id)
        return PROCESS_BYTES + (seen.bytes_on_read if seen else 0)
