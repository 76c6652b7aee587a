"""What ``softlab tune`` will do, worked out before anything is written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, NoReturn

from softlab_cli.cases import Case, discover_cases
from softlab_cli.cases.copies import copied_raters
from softlab_cli.core.caseid import natural_order
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.events import CaseFinished, Listener, Notice
from softlab_cli.core.failures import failure
from softlab_cli.core.folders import some_of
from softlab_cli.fusion.patterns import pattern_bytes
from softlab_cli.labels.case import rater_grid
from softlab_cli.labels.images import check_images
from softlab_cli.labels.numbering import Occurring, common_classes
from softlab_cli.labels.read import ReadingOptions, probe_labels
from softlab_cli.methods.base import Fitting
from softlab_cli.readers import FileProbe
from softlab_cli.running.checks import refuse_own_output, refuse_unknown_raters
from softlab_cli.running.crew import Crew, hire
from softlab_cli.running.isolation import call_for
from softlab_cli.running.request import (
    Request,
    given_classes,
    ignored_values,
    with_names,
    with_unlabelled,
)
from softlab_cli.running.scan import ScanTask, case_files, scan_cases
from softlab_cli.tuning.case import TuneTask
from softlab_cli.tuning.grid import Setting
from softlab_cli.tuning.request import TuneRequest
from softlab_cli.tuning.results import FOLDER, FORMAT, Kept, read_kept

__all__ = ["TunePlan", "plan_tuning"]

FILES_CHANGED, OPTIONS_CHANGED = "its files have changed", "its options have changed"

BYTES_PER_VOXEL = 24
"""What voxels count (1), their distances (8), their numbers (8), and what numpy needs."""

COUNTING_BYTES = 16 * 2**20
BLOCK_VOXELS = 64**3


@dataclass(frozen=True)
class TunePlan:
    """What will be done.

    Parameters
    ----------
    request
        What was asked for.
    classes
        The class table.
    alone
        Whether there is one rater in each case, so that nothing can be left out.
    tasks
        Cases to do.
    kept
        Results that are there already, and still hold.
    every
        Tasks of all parts, those that are done among them.
    failed
        Cases of this part that cannot be done.
    failed_anywhere
        The same of all parts.
    crew
        Who does it.
    """

    request: TuneRequest
    classes: ClassTable
    alone: bool
    tasks: tuple[TuneTask, ...]
    kept: tuple[Kept, ...]
    every: tuple[TuneTask, ...]
    failed: tuple[CaseFinished, ...]
    failed_anywhere: tuple[CaseFinished, ...]
    crew: Crew


def plan_tuning(request: TuneRequest, listen: Listener) -> TunePlan:
    """Work out what will be done; writes nothing.

    Raises
    ------
    UsageError
        For options that make no sense together.
    InputError
        When no case is found, or --groups leaves one out.
    StoreError
        When the output is something else.
    """
    FOLDER.refuse_foreign(request.run.out)
    run = with_unlabelled(request.run)
    known = given_classes(run)
    run = with_names(run, known) if known else run
    draft = _Draft.find(request, run, listen)
    draft.check_raters(listen)
    draft.check_models(request)
    draft.open_headers(run.reading)
    draft.check_groups(request)
    classes = known or draft.scan(run, listen)
    run = with_names(run, classes)
    learned = _learned_by(request, classes, listen)
    crew = draft.hire(request, run, classes, listen)
    every = draft.tasks(request, run.reading, classes, crew, learned)
    kept, todo = _sorted([task for task in every if task.case_id in draft.part], request)
    if other := [task.case_id for task in todo if task.reason == OPTIONS_CHANGED]:
        listen(Notice(f"options have changed, so that results are made anew: {some_of(other, 3)}"))
    return TunePlan(
        request, classes, draft.alone, tuple(todo), tuple(kept), tuple(every),
        tuple(one for one in draft.failed if one.case_id in draft.part), tuple(draft.failed), crew,
    )  # fmt: skip


def _sorted(tasks: Sequence[TuneTask], request: TuneRequest) -> tuple[list[Kept], list[TuneTask]]:
    """Results that still hold, and what is to be done."""
    if request.run.overwrite:
        return [], list(tasks)
    kept, todo = [], []
    for task in tasks:
        found = read_kept(request.run.out, task.case_id)
        if found is None:
            todo.append(task)
        elif found.is_current(task.options, task.files):
            kept.append(found)
        else:
            changed = FILES_CHANGED if found.options == task.options else OPTIONS_CHANGED
            todo.append(replace(task, reason=changed))
    return kept, todo


@dataclass
class _Draft:
    """Cases while they are looked at."""

    cases: dict[str, Case]
    part: set[str]
    settings: tuple[Setting, ...]
    alone: bool = False
    failed: list[CaseFinished] = field(default_factory=list)
    probes: dict[str, FileProbe] = field(default_factory=dict)

    @classmethod
    def find(cls, request: TuneRequest, run: Request, listen: Listener) -> _Draft:
        """Discover all cases."""
        cases = discover_cases(
            run.inputs, run.images, series=run.reading.series, rater_pattern=run.rater_pattern,
            class_pattern=run.class_pattern, tell=lambda message: listen(Notice(message)),
        )  # fmt: skip
        refuse_own_output((p for case in cases for p, _ in case_files(case)), run.out)
        refuse_unknown_raters(run.reading.value_map, cases)
        cases = sorted(cases, key=lambda case: natural_order(case.case_id))
        part, parts = run.part or (1, 1)
        ids = [case.case_id for case in cases]
        by_id = {case.case_id: case for case in cases}
        return cls(by_id, set(ids[part - 1 :: parts]), request.settings)

    @property
    def follow_images(self) -> bool:
        """Whether any method needs an image."""
        return any(setting.follows_image for setting in self.settings)

    def check_raters(self, listen: Listener) -> None:
        """Whether there are raters to leave out; cases of one rater fail where others have more."""
        counts = {case_id: len(case.drawings) for case_id, case in self.cases.items()}
        self.alone = all(count < 2 for count in counts.values())
        if self.alone:
            listen(
                Notice(
                    "no case has more than one rater: how well a soft label predicts another one "
                    "cannot be known, nor which is best; repeat --in for others, or say with "
                    "--rater-pattern how file names tell case and rater"
                )
            )
            return
        for case_id, count in counts.items():
            if count < 2:
                error = InputError(
                    f"has one rater ({', '.join(self.cases[case_id].drawings)}), and one is to be "
                    "left out and predicted by the others.",
                    remedy="Add a rater to it, or leave the case out.",
                    path=self.cases[case_id].label_maps[0],
                )
                self._fail(failure(case_id, error))
        for one, other, count in copied_raters(list(self.cases.values())):
            listen(
                Notice(
                    f"the label maps of the raters {one!r} and {other!r} are copies of one another "
                    f"in {count} cases: each predicts the other too well"
                )
            )

    def check_models(self, request: TuneRequest) -> None:
        """Refuse models of raters who are nowhere; of one rater any name will do."""
        raters = sorted({rater for case in self.cases.values() for rater in case.drawings})
        strange = [rater for rater in request.model if rater not in raters]
        if strange and not (self.alone and len(request.model) == 1):
            said = f"{strange[0]!r}, which is no rater of any case" if strange[0] else "no rater"
            raise UsageError(
                f"--model is given for {said}.",
                remedy="Say whose labels it learned from, --model RATER=DIR; the raters are: "
                f"{some_of(list(map(repr, raters)), 5)}.",
            )

    def open_headers(self, reading: ReadingOptions) -> None:
        """How large each case is; those without usable files fail here."""
        for case_id, case in list(self.cases.items()):
            try:
                if case.problem is not None:
                    raise case.problem
                if self.follow_images:
                    check_images(case)
                self.probes[case_id] = call_for(case, _header, case, reading)
            except Exception as error:  # an unforeseen one is its own case's matter, too
                self._fail(failure(case_id, error))

    def check_groups(self, request: TuneRequest) -> None:
        """Refuse groups that leave a case out."""
        without = [case_id for case_id in self.cases if case_id not in request.groups]
        if request.groups and without:
            raise InputError(
                f"--groups gives {len(without)} cases no patient ({some_of(without, 3)}).",
                remedy="Add a row for each, with the columns case_id and patient.",
            )

    def scan(self, run: Request, listen: Listener) -> ClassTable:
        """The classes that occur; cases that cannot be read fail here."""
        tasks = [
            ScanTask(case, run.reading, False, run.image_like == "ok")
            for case in self.cases.values()
        ]
        found: list[Occurring] = []
        for _, result in scan_cases(tasks, run, run.workers or 1, listen):
            if isinstance(result, tuple):
                found.extend(result)
            else:
                self._fail(result)
        classes, note = common_classes(
            found, ignored_values(run), loose_names=run.reading.loose_names
        )
        if note:
            listen(Notice(note))
        return classes

    def hire(
        self, request: TuneRequest, run: Request, classes: ClassTable, listen: Listener
    ) -> Crew:
        """Who does it; cases that no worker has the memory for fail here."""
        model = next(iter(request.model.values()), None)
        methods = [setting.make(model) for setting in self.settings]

        def needed(case: Case, threads: int) -> int:
            seen = self.probes[case.case_id]
            most = max(m.needs(case, seen, classes, threads).memory for m in methods)
            return most + _beside(case, seen, classes, threads)

        crew, too_large = hire(self.cases, run, needed, listen)
        for case_id, error in too_large.items():
            self._fail(failure(case_id, error))
        return crew

    def _fail(self, outcome: CaseFinished) -> None:
        if self.cases.pop(outcome.case_id, None):
            self.failed.append(outcome)

    def tasks(
        self, request: TuneRequest, reading: ReadingOptions, classes: ClassTable, crew: Crew,
        learned: Mapping[str, Any],
    ) -> list[TuneTask]:  # fmt: skip
        """A task for each case."""
        options = {
            "format": FORMAT, **request.to_json(), "alone": self.alone,
            "classes": classes.to_json(), "ignore": list(classes.ignore_values),
            "reading": reading.to_json(), "images": self.follow_images,
        }  # fmt: skip
        if learned:
            options["learned"] = learned
        plain = json.loads(json.dumps(options))
        return [
            TuneTask(case, request, classes, reading, self.alone, plain, crew.threads, crew.memory)
            for case in self.cases.values()
        ]


def _learned_by(request: TuneRequest, classes: ClassTable, listen: Listener) -> dict[str, Any]:
    """The parameters of the learned methods, by the rater of their model.

    Raises
    ------
    SoftlabError
        When a model cannot be read, or is of other classes.
    """

    def nothing_to_do(*_: Any) -> NoReturn:
        raise UsageError("a model that is there learns nothing more.")

    found = {}
    for rater, folder in request.model.items():
        fitting = Fitting(
            (), classes, folder, 1, 0, nothing_to_do, lambda message: listen(Notice(message))
        )
        methods = [s.make(folder) for s in request.settings if s.is_learned]
        found[rater] = [method.fit(fitting).parameters() for method in methods]
    return found


def _header(case: Case, reading: ReadingOptions) -> FileProbe:
    """The grid of all raters, and the most memory that one of them takes."""
    onto = rater_grid(case, reading) if len(case.drawings) > 1 else None
    probes = [
        probe_labels(source, case.images, reading, onto=onto) for source in case.drawings.values()
    ]
    return replace(
        probes[0],
        bytes_on_read=max(seen.bytes_on_read for seen in probes),
        bytes_held=max(seen.bytes_held for seen in probes),
    )


def _beside(case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> int:
    """Upper bound of what all raters of a case take, beside what a method needs of some."""
    raters, voxels = len(case.drawings), prod(seen.geometry.shape)
    labels = raters * classes.index_dtype.itemsize + 3 * pattern_bytes(len(classes), raters)
    # A block's soft labels as they come, in order, and of two blocks a thread that wait.
    block = min(voxels, BLOCK_VOXELS) * len(classes) * 2
    return COUNTING_BYTES + voxels * (labels + BYTES_PER_VOXEL) + (2 + 2 * threads) * block
