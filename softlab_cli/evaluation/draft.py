"""Cases of all runs while they are paired and looked at."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from softlab_cli.cases import Case, discover_cases
from softlab_cli.core.caseid import natural_order
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.events import CaseFinished, Listener, Notice
from softlab_cli.core.failures import failure
from softlab_cli.core.folders import some_of
from softlab_cli.evaluation.case import EvaluationTask
from softlab_cli.evaluation.headers import (
    ReferenceHeader,
    prediction_header,
    rater_count,
    reference_header,
)
from softlab_cli.evaluation.kinds import Kind
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.needs import CaseSize, needed_bytes
from softlab_cli.evaluation.request import EvaluationRequest
from softlab_cli.labels.numbering import Occurring, common_classes
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers import FileProbe
from softlab_cli.running.checks import refuse_own_output, refuse_unknown_raters
from softlab_cli.running.crew import Crew, hire
from softlab_cli.running.isolation import call_for
from softlab_cli.running.names import FileNames
from softlab_cli.running.request import (
    Request,
    ignored_values,
)
from softlab_cli.running.scan import ScanTask, scan_cases
from softlab_cli.store.documents import read_store_info

__all__ = ["Draft"]

FORMAT = 1
"""Of what figures mean: another one makes all results anew."""


@dataclass(frozen=True)
class Pair:
    """The files of one case in one run."""

    run: str
    reference: Case
    members: tuple[Case, ...]


@dataclass
class Draft:
    """Cases of all runs while they are paired and looked at."""

    pairs: list[Pair]
    several: bool
    part: set[str]
    failed: list[tuple[str, CaseFinished]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    kinds: dict[tuple[str, str], set[Kind]] = field(default_factory=dict)
    references: dict[str, ReferenceHeader] = field(default_factory=dict)
    names: list[FileNames] = field(default_factory=list)
    probes: dict[str, FileProbe] = field(default_factory=dict)

    @classmethod
    def find(cls, request: EvaluationRequest, run: Request, listen: Listener) -> Draft:
        """Discover predictions and references, and pair them by case id."""

        def tell(message: str) -> None:
            listen(Notice(message))

        references = discover_cases(
            request.run.inputs, run.images, series=run.reading.series,
            rater_pattern=run.rater_pattern, tell=tell,
        )  # fmt: skip
        refuse_own_output(_sources(request), request.out)
        by_id = {case.case_id: case for case in references}
        found = {name: _predictions(paths, run, tell) for name, paths in request.runs.items()}
        ids = sorted({*by_id, *(i for one in found.values() for i in one)}, key=natural_order)
        part, parts = run.part or (1, 1)
        draft = cls([], len(request.runs) > 1, set(ids[part - 1 :: parts]))
        for name, cases in found.items():
            draft._pair(name, cases, by_id, len(request.runs[name]), tell)
        if not draft.pairs:
            missing = [said.removesuffix(".") for said in draft.missing]
            raise InputError(
                f"no case has both a prediction and a reference (references are, for instance, "
                f"{some_of(list(by_id), 3)}; of predictions: {some_of(missing, 2)}).",
                remedy="Give prediction and reference of a case the same file name.",
            )
        judged = [case for p in draft.pairs for case in (p.reference, *p.members)]
        refuse_unknown_raters(run.reading.value_map, judged)
        draft.pairs.sort(key=lambda pair: natural_order(pair.reference.case_id))
        return draft

    def title(self, run: str, case_id: str) -> str:
        """What a case of a run is called."""
        return f"{case_id} ({run})" if self.several else case_id

    def _pair(
        self, run: str, found: Mapping[str, tuple[Case, ...]], references: Mapping[str, Case],
        paths: int, tell: Any,
    ) -> None:  # fmt: skip
        for case_id in sorted({*found, *references}, key=natural_order):
            lacks = "prediction" if case_id in references else "reference"
            if case_id in found and case_id in references:
                self.pairs.append(Pair(run, references[case_id], found[case_id]))
                continue
            have = "reference" if lacks == "prediction" else "prediction"
            message = f"has a {have}, and no {lacks}."
            self.missing.append(f"{self.title(run, case_id)} {message}")
            self._fail(run, case_id, message)
        few = [case_id for case_id, members in found.items() if len(members) < paths]
        if few and paths > 1:
            tell(
                f"{run}: {len(few)} of {len(found)} cases are in some of the {paths} predictions "
                f"only, which are averaged ({some_of(few, 3)})"
            )

    def check_groups(self, request: EvaluationRequest) -> None:
        """Refuse groups that leave a case out."""
        ids = {pair.reference.case_id for pair in self.pairs}
        without = sorted(ids - set(request.groups), key=natural_order)
        if request.groups and without:
            raise InputError(
                f"--groups gives {len(without)} cases no patient ({some_of(without, 3)}).",
                remedy="Add a row for each, with the columns case_id and patient.",
            )

    def stored_classes(self, run: Request) -> ClassTable | None:
        """The classes of the first store among predictions and references; None without one."""
        for pair in self.pairs:
            for case in (*pair.members, pair.reference):
                path = case.label_maps[0]
                if is_store_case(path):
                    classes = read_store_info(path.parent).classes
                    return replace(classes, ignore_values=tuple(sorted(ignored_values(run))))
        return None

    def scan(self, run: Request, listen: Listener) -> ClassTable:
        """The classes that occur in predictions and references."""
        self.open_headers(run.reading)
        tasks = [
            ScanTask(case, run.reading, self._is_soft(pair), run.image_like == "ok")
            for pair in self.pairs
            for case in pair.members
        ]
        references = {p.reference.case_id: p.reference for p in self.pairs}
        tasks += [
            ScanTask(
                case, run.reading, self.references[case.case_id].is_soft, run.image_like == "ok"
            )
            for case in references.values()
        ]
        found: list[Occurring] = []
        for case_id, result in scan_cases(tasks, run, run.workers or 1, listen):
            if isinstance(result, tuple):
                found.extend(result)
            else:
                self._fail_case(case_id, result.message)
        classes, note = common_classes(
            found, ignored_values(run), loose_names=run.reading.loose_names
        )
        if note:
            listen(Notice(note))
        return classes

    def _is_soft(self, pair: Pair) -> bool:
        return "hard" not in self.kinds[pair.run, pair.reference.case_id]

    def open_headers(self, reading: ReadingOptions) -> None:
        """What each prediction is, and how large; cases without usable files fail here."""
        for pair in list(self.pairs):
            key = (pair.run, pair.reference.case_id)
            if key in self.kinds:
                continue
            try:
                for case in (*pair.members, pair.reference):
                    if case.problem is not None:
                        raise case.problem
                seen = [call_for(case, prediction_header, case, reading) for case in pair.members]
                if key[1] not in self.references:
                    case = pair.reference
                    self.references[key[1]] = call_for(case, reference_header, case, reading)
                    self.names += self.references[key[1]].names
            except Exception as error:  # an unforeseen one is its own case's matter, too
                self.pairs.remove(pair)
                self.failed.append((key[1], failure(self.title(*key), error)))
                continue
            self.kinds[key] = {kind for kind, _ in seen}
            probes = [probe for _, probe in seen]
            self.names += [FileNames(key[1], p.path, p.names) for p in probes if p.names]
            if (other := self.probes.get(pair.reference.case_id)) is not None:
                probes.append(other)  # of another run
            self.probes[pair.reference.case_id] = max(probes, key=lambda p: p.bytes_on_read)

    def _fail_case(self, case_id: str, message: str) -> None:
        for pair in [p for p in self.pairs if p.reference.case_id == case_id]:
            self.pairs.remove(pair)
            self._fail(pair.run, case_id, message)

    def _fail(self, run: str, case_id: str, message: str) -> None:
        outcome = CaseFinished(self.title(run, case_id), "failed", message)
        self.failed.append((case_id, outcome))

    def hire(
        self, request: EvaluationRequest, run: Request, classes: ClassTable, listen: Listener
    ) -> Crew:
        """Who does it; cases that no worker has the memory for fail here."""
        cases = {pair.reference.case_id: pair.reference for pair in self.pairs}

        settings = request.settings
        shares = any(reference.is_soft for reference in self.references.values())
        singles = self._singles(request)

        def needed(case: Case, threads: int) -> int:
            pairs = [pair for pair in self.pairs if pair.reference.case_id == case.case_id]
            kinds = {kind for p in pairs for kind in self.kinds[p.run, case.case_id]}
            reference = self.references[case.case_id]
            size = CaseSize(
                self.probes[case.case_id].geometry.shape, self.probes[case.case_id].geometry.ndim,
                len(classes), rater_count(case), max(len(pair.members) for pair in pairs),
                is_soft=bool(kinds - {"hard"}), is_single=any(singles[p.run] for p in pairs),
                has_shares=shares, normalised=run.reading.sums == "normalise",
                calibrated=any(p.run in request.calibrations for p in pairs),
            )  # fmt: skip
            reading = max(self.probes[case.case_id].bytes_on_read, reference.bytes_on_read)
            return needed_bytes(size, settings, reading, threads)

        crew, too_large = hire(cases, run, needed, listen)
        for case_id, error in too_large.items():
            self._fail_case(case_id, str(error))
        return crew

    def tasks(
        self, request: EvaluationRequest, reading: ReadingOptions, classes: ClassTable, crew: Crew
    ) -> list[EvaluationTask]:
        """A task for each pair."""
        found = []
        singles = self._singles(request)
        if any(singles.values()):
            Cells.ranges(request.settings.bin_counts)  # says so where bins cannot be counted
        shares = any(self.references[pair.reference.case_id].is_soft for pair in self.pairs)
        for pair in self.pairs:
            single, calibration = singles[pair.run], request.calibrations.get(pair.run)
            options = {
                "format": FORMAT, "settings": request.settings.to_json(), "single": single,
                "classes": classes.to_json(), "ignore": list(classes.ignore_values),
                "reading": reading.to_json(), "members": len(pair.members), "shares": shares,
            }  # fmt: skip
            if calibration is not None:
                options["calibration"] = calibration.digest
            found.append(
                EvaluationTask(
                    pair.reference,
                    pair.run,
                    pair.members,
                    classes,
                    reading,
                    request.settings,
                    single,
                    shares,
                    self.references[pair.reference.case_id].is_soft,
                    prod(self.probes[pair.reference.case_id].geometry.shape),
                    request.out,
                    json.loads(json.dumps(options)),
                    crew.threads,
                    title=self.title(pair.run, pair.reference.case_id),
                    calibration=calibration,
                )
            )
        return found

    def _singles(self, request: EvaluationRequest) -> dict[str, bool]:
        """Whether probabilities of a run are counted as float32; what is calibrated always is."""
        return {run: self._is_single(run) or run in request.calibrations for run in request.runs}

    def _is_single(self, run: str) -> bool:
        """Whether any case of a run has other numbers than float16; all are counted alike."""
        pairs = [pair for pair in self.pairs if pair.run == run]
        kinds = {kind for p in pairs for kind in self.kinds[run, p.reference.case_id]}
        return "single" in kinds or any(len(pair.members) > 1 for pair in pairs)


def _sources(request: EvaluationRequest) -> list[Path]:
    """Everything that is read."""
    return [*request.run.inputs, *(path for paths in request.runs.values() for path in paths)]


def _predictions(paths: Sequence[Any], run: Request, tell: Any) -> dict[str, tuple[Case, ...]]:
    """The cases of each prediction of a run, by case id."""
    found: dict[str, tuple[Case, ...]] = {}
    for path in paths:
        cases = discover_cases(
            [path], run.images, series=run.reading.series, class_pattern=run.class_pattern,
            soft=True, tell=tell,
        )  # fmt: skip
        for case in cases:
            found[case.case_id] = (*found.get(case.case_id, ()), case)
    return found
