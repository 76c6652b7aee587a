"""What a run will do, worked out before anything is written."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from math import prod

from softlab_cli.cases import Case, discover_cases, select_part
from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, SoftlabError, UsageError
from softlab_cli.core.events import CaseFinished, Listener, Notice, StageStarted, StageStepped
from softlab_cli.core.memory import (
    PROCESS_BYTES,
    SHARD_BUFFER_BYTES,
    CaseMemory,
    available_bytes,
    available_cores,
    blocks_bytes,
    format_bytes,
)
from softlab_cli.core.provenance import same_content
from softlab_cli.core.volume import Geometry
from softlab_cli.fusion.patterns import pattern_bytes
from softlab_cli.labels.images import check_images, probe_images
from softlab_cli.labels.numbering import Occurring, common_classes
from softlab_cli.labels.read import ReadingOptions, probe_labels
from softlab_cli.methods import Fuse, GeoLS, takes_raters
from softlab_cli.methods.imported import Import
from softlab_cli.readers import FileProbe
from softlab_cli.run.executors import WorkerDied, make_executor
from softlab_cli.run.prepare import AnyMethod, CaseTask
from softlab_cli.run.request import Request, given_classes, ignored_values, kept_classes
from softlab_cli.run.scan import ScanTask, case_files, failure, scan_case
from softlab_cli.store.files import METADATA
from softlab_cli.store.root import refuse_foreign
from softlab_cli.store.schema import StoreInfo, read_store_info
from softlab_cli.store.writer import StoreWriter

__all__ = ["Plan", "Request", "make_plan"]


@dataclass(frozen=True)
class Crew:
    """Processes, threads in each, the memory that one of them needs, and may have."""

    workers: int
    threads: int
    bytes_per_worker: int
    memory: int


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Parameters
    ----------
    request
        What was asked for.
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
    """

    request: Request
    info: StoreInfo
    tasks: tuple[CaseTask, ...]
    skipped: tuple[str, ...]
    failed: tuple[CaseFinished, ...]
    probes: Mapping[str, FileProbe]
    crew: Crew


def make_plan(method: AnyMethod, request: Request, listen: Listener) -> Plan:
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
    if request.overwrite and request.part:
        raise UsageError(
            "--overwrite with --part would remove what the other parts have done.",
            remedy="Remove the store first, or leave --overwrite out.",
        )
    if request.labels_only:
        _check_labels_only(method)
    existing = _existing_store(request)
    draft = _Draft.find(method, request, existing, listen)
    _tell_raters(method, draft.every, listen)
    _tell_channels(method, draft.every, listen)
    classes = (
        given_classes(request)
        or kept_classes(request, existing)
        or draft.scan(request, listen, soft=isinstance(method, Import))
    )
    info = StoreInfo(
        method.name,
        method.parameters(),
        classes,
        labels_only=request.labels_only,
        sums_to_one=getattr(method, "sums_to_one", True),
        keep_raters=request.keep_raters,
        software=_software(),
        config=request.config,
        reading=request.reading.to_json(),
    )
    if existing is not None:
        existing.check(info)
    crew = draft.hire(request, listen, partial(draft.softening_bytes, method, classes))
    _tell_scratch(method, classes, draft, crew, listen)
    tasks = tuple(
        CaseTask(
            case, method, info, request.out, crew.threads, draft.reasons.get(case.case_id, ""),
            request.reading, crew.memory, request.sync,
        )
        for case in draft.todo.values()
    )  # fmt: skip
    return Plan(request, info, tasks, tuple(draft.skipped), tuple(draft.failed), draft.probes, crew)


def _existing_store(request: Request) -> StoreWriter | None:
    """The store that is there already and goes on; None when it is new or replaced."""
    refuse_foreign(request.out)
    if request.overwrite or not (request.out / METADATA).exists():
        return None
    return StoreWriter(request.out, read_store_info(request.out))


def _software() -> dict[str, str]:
    packages = ("numba", "numpy", "SimpleITK", "zstandard")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def _check_labels_only(method: AnyMethod) -> None:
    """Raise unless the soft labels can be computed from the hard ones that are stored."""
    if isinstance(method, Import):
        raise UsageError(
            "--labels-only would leave out the very soft labels that are imported.",
            remedy="Leave it out.",
        )
    if isinstance(method, GeoLS):
        raise UsageError(
            "--labels-only would leave out the image that the soft labels follow.",
            remedy="Leave it out.",
        )
    if takes_raters(method) and not (isinstance(method, Fuse) and method.on_labels()):
        raise UsageError(
            "--labels-only would leave out where the raters disagree, and the soft labels "
            "cannot be computed without that.",
            remedy="Leave it out, or fuse with --method majority.",
        )


def _check_usable(case: Case, method: AnyMethod, min_raters: int) -> None:
    """Raise what is known to be wrong with a case before its files are opened."""
    if case.problem is not None:
        raise case.problem
    count, names = len(case.label_maps), ", ".join(case.raters)
    if takes_raters(method):
        if count < min_raters:
            raise InputError(
                f"has {count} of the {min_raters} raters that --min-raters asks for ({names}).",
                path=case.label_maps[0],
            )
    elif count > 1:
        raise InputError(
            f"has {count} label maps ({names}), and this method takes one.",
            remedy="Several --in are raters of the same cases: softlab msvls and softlab fuse "
            "take them.",
            path=case.label_maps[0],
        )


def _too_large(needed: int, budget: int) -> InputError:
    return InputError(
        f"needs {format_bytes(needed)}, and only {format_bytes(budget)} may be used.",
        remedy="Raise --max-memory, or lower --threads.",
    )


def _maps_bytes(
    method: GeoLS, classes: ClassTable, case: Case, seen: FileProbe, threads: int
) -> int:
    """Upper bound of the memory that GeoLS takes when its maps wait on disk."""
    geometry = seen.geometry
    image = probe_images(case, geometry)
    block = Grid.for_volume(geometry.shape, geometry.ndim).block
    distances = method.case_bytes(geometry.shape, image.channels, len(classes), threads)
    indices = prod(geometry.shape) * classes.index_dtype.itemsize
    blocks = blocks_bytes(method.workspace_bytes(len(classes), block), threads)
    return (
        PROCESS_BYTES
        + SHARD_BUFFER_BYTES
        + blocks
        + max(
            seen.bytes_on_read,
            seen.bytes_held + max(indices, image.bytes_on_read),
            indices + image.bytes_held + distances,
        )
    )


def _tell_raters(method: AnyMethod, cases: tuple[Case, ...], listen: Listener) -> None:
    """Say so when a method of several raters is given one for each case."""
    if takes_raters(method) and all(len(case.label_maps) < 2 for case in cases):
        listen(
            Notice(
                "no case has more than one rater; repeat --in for others, or say with "
                "--rater-pattern how file names tell case and rater"
            )
        )


def _tell_channels(method: AnyMethod, cases: tuple[Case, ...], listen: Listener) -> None:
    """Say so when cases follow different numbers of images: a channel may be missing."""
    counts = {len(case.images): case.case_id for case in reversed(cases) if case.images}
    if isinstance(method, GeoLS) and len(counts) > 1:
        named = ", ".join(f"{counts[n]} has {n}" for n in sorted(counts))
        listen(Notice(f"cases have different numbers of image files: {named}"))


def _tell_scratch(
    method: AnyMethod, classes: ClassTable, draft: _Draft, crew: Crew, listen: Listener
) -> None:
    """Say how much disk GeoLS may need on the way, where that is not little."""
    if not isinstance(method, GeoLS) or not draft.todo:
        return
    shapes = [draft.probes[case_id].geometry.shape for case_id in draft.todo]
    largest = max(method.scratch_bytes(shape, len(classes)) for shape in shapes)
    if crew.bytes_per_worker + largest > crew.memory:
        listen(
            Notice(
                f"the maps of a case wait on disk beside the store: up to {format_bytes(largest)} "
                f"for each of {crew.workers} workers"
            )
        )


def _probe_case(case: Case, options: ReadingOptions) -> FileProbe:
    """What the headers say of a case's label maps: the first one's grid, the most memory."""
    onto: Geometry | None = None
    probes = []
    for path in case.label_maps:
        probes.append(probe_labels(path, case.images, options, onto=onto))
        onto = onto or probes[0].geometry
    return replace(
        probes[0],
        bytes_on_read=max(seen.bytes_on_read for seen in probes),
        bytes_held=max(seen.bytes_held for seen in probes),
    )


@dataclass
class _Draft:
    """Cases while they are being sorted into to do, complete and failed."""

    method: AnyMethod
    every: tuple[Case, ...]
    todo: dict[str, Case]
    probes: dict[str, FileProbe] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    failed: list[CaseFinished] = field(default_factory=list)
    reasons: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(
        cls, method: AnyMethod, request: Request, existing: StoreWriter | None, listen: Listener
    ) -> _Draft:
        """All cases of the request; complete ones are set aside, headers are read."""
        cases = discover_cases(
            request.inputs,
            request.images,
            series=request.reading.series,
            rater_pattern=request.rater_pattern,
            tell=lambda message: listen(Notice(message)),
        )
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
                _check_usable(case, self.method, request.min_raters)
                self.probes[case_id] = _probe_case(case, request.reading)
                if isinstance(self.method, GeoLS):
                    check_images(case)
            except SoftlabError as error:
                self.fail(failure(case_id, error))

    def fail(self, outcome: CaseFinished) -> None:
        """Take a case out and remember why; a case of another part is its own part's matter."""
        if self.todo.pop(outcome.case_id, None):
            self.failed.append(outcome)

    def scan(self, request: Request, listen: Listener, *, soft: bool) -> ClassTable:
        """The classes that occur in all cases, those of other parts included.

        Unreadable cases fail here; those of other parts are theirs to report.
        """
        workers = self.hire(request, listen, lambda case, _: self._reading_bytes(case)).workers
        listen(StageStarted("scan", len(self.every)))
        tasks = [ScanTask(case, request.reading, soft) for case in self.every]
        found: list[Occurring] = []
        executor = make_executor(workers, request.dask)
        for task, result in executor.run(scan_case, tasks):
            listen(StageStepped("scan", task.case.case_id))
            if isinstance(result, tuple):
                found.extend(result)
            elif isinstance(result, WorkerDied):
                self.fail(CaseFinished(task.case.case_id, "failed", result.reason))
            else:
                self.fail(result)
        classes, note = common_classes(found, ignored_values(request))
        if note:
            listen(Notice(note))
        return classes

    def hire(self, request: Request, listen: Listener, needed: Callable[[Case, int], int]) -> Crew:
        """Workers and threads that fit into memory; cases that never will fail here.

        Parameters
        ----------
        request
            What was asked for.
        listen
            Is told when fewer workers fit than were wanted.
        needed
            Bytes that a case needs with a number of threads.
        """
        budget = request.max_memory or available_bytes()
        cores = available_cores()
        wanted = request.workers or (cores if len(self.todo) >= 2 * cores else 1)
        threads = request.threads or max(1, cores // wanted)
        sizes = {case_id: needed(case, threads) for case_id, case in self.todo.items()}
        for case_id in [c for c, size in sizes.items() if size > budget]:
            self.fail(failure(case_id, _too_large(sizes.pop(case_id), budget)))
        largest = max(sizes.values(), default=1)
        workers = min(wanted, budget // largest, max(1, len(self.todo)))
        if workers < min(wanted, len(self.todo)):
            listen(
                Notice(
                    f"{workers} workers instead of {wanted}: each may need "
                    f"{format_bytes(largest)}, and {format_bytes(budget)} may be used"
                )
            )
        return Crew(workers, threads, largest, budget // max(1, workers))

    def softening_bytes(
        self, method: AnyMethod, classes: ClassTable, case: Case, threads: int
    ) -> int:
        """Upper bound of the memory of a process that softens a case."""
        seen = self.probes[case.case_id]
        if isinstance(method, Import):
            return method.case_bytes(seen)
        shape, ndim = seen.geometry.shape, seen.geometry.ndim
        if isinstance(method, GeoLS):
            return _maps_bytes(method, classes, case, seen, threads)
        raters = len(case.label_maps) if takes_raters(method) else 0
        return CaseMemory(
            prod(shape),
            seen.bytes_on_read,
            seen.bytes_held,
            classes.index_dtype.itemsize,
            method.workspace_bytes(len(classes), Grid.for_volume(shape, ndim).block),
            threads,
            pattern_bytes(len(classes), raters) if raters else 0,
        ).total

    def _reading_bytes(self, case: Case) -> int:
        seen = self.probes.get(case.case_id)
        return PROCESS_BYTES + (seen.bytes_on_read if seen else 0)
