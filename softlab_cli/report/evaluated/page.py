"""Writes the page of an evaluation: draw the worst cases, put everything together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softlab_cli.core.events import CaseFinished, Listener, RunFinished, ignore
from softlab_cli.core.failures import failure
from softlab_cli.core.memory import PROCESS_BYTES
from softlab_cli.evaluation.plan import EvaluationPlan
from softlab_cli.evaluation.summary import Summary
from softlab_cli.evaluation.tables import notes, one_sided_text
from softlab_cli.report.evaluated.charts import reliability_charts
from softlab_cli.report.evaluated.drawing import PictureTask, draw_pictures, picture_of
from softlab_cli.report.evaluated.lines import CaseLine, case_lines, worst_of
from softlab_cli.report.evaluated.tables import (
    calibration_table,
    case_table,
    class_table,
    difference_table,
    overlap_table,
    rater_table,
    reason_table,
    warning_table,
    worst_table,
)
from softlab_cli.report.page.charts import Chart
from softlab_cli.report.page.environment import check_packages, stream, trusted
from softlab_cli.report.page.pieces import replace_page
from softlab_cli.report.page.tables import Table
from softlab_cli.report.page.write import share_of
from softlab_cli.report.tables import counted
from softlab_cli.running.crew import hire
from softlab_cli.running.executors import make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.runner import run_cases
from softlab_cli.version import __version__

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["PAGE", "THUMBNAILS", "write_evaluation_page"]

PAGE = "report.html"

THUMBNAILS = 24
"""Cases of each run that are drawn where nobody says how many."""

BYTES_PER_VOXEL = 24
"""Labels, where it is wrong, an image as it is stored and as numbers, and a slice of it all."""

BLOCK_BYTES = 300 * 2**20
"""A block of all classes, and slices of them."""


def write_evaluation_page(
    plan: EvaluationPlan, summary: Summary, *, thumbnails: int = THUMBNAILS,
    listen: Listener = ignore,
) -> RunFinished:  # fmt: skip
    """Write ``report.html`` beside the tables of an evaluation.

    Parameters
    ----------
    plan
        What was done.
    summary
        What came out of it.
    thumbnails
        Of how many cases of each run, the worst, pictures are drawn; their files are read once
        more for that. Pictures that still hold are kept.
    listen
        Is told of every event.

    Returns
    -------
    RunFinished
        An outcome for each case whose pictures were drawn, or could not be.

    Raises
    ------
    PackageError
        Without jinja2, Pillow or matplotlib, which the extra ``plot`` brings.
    StoreError
        When the page cannot be written.
    """
    check_packages()
    lines = case_lines(summary.kept)
    worst = worst_of(lines, thumbnails)
    tasks = _tasks(plan, worst)
    report = _draw(plan, tasks, listen)
    failed = {o.case_id: o.message for o in report.outcomes if o.status == "failed"}
    content = _page(plan, summary, lines, tasks, failed)
    replace_page(plan.request.out / PAGE, stream("evaluation.html", page=content, **content.frame))
    return report


def _tasks(plan: EvaluationPlan, worst: Sequence[CaseLine]) -> dict[str, PictureTask]:
    """Anchor to what is to be drawn."""
    by_name = {(task.reference.case_id, task.run): task for task in plan.every}
    share = share_of(len(worst))
    return {
        line.anchor: PictureTask.of(by_name[line.case_id, line.run], line.kept.sources, share)
        for line in worst
        if (line.case_id, line.run) in by_name
    }


def _draw(plan: EvaluationPlan, tasks: Mapping[str, PictureTask], listen: Listener) -> RunFinished:
    started = time.perf_counter()
    todo = {task.case_id: task for task in tasks.values() if picture_of(task) is None}
    outcomes = [
        CaseFinished(task.case_id, "skipped") for task in tasks.values() if task.case_id not in todo
    ]
    sizes = {name: PROCESS_BYTES + BLOCK_BYTES + BYTES_PER_VOXEL * task.task.voxels
             for name, task in todo.items()}  # fmt: skip
    cases = {name: replace(task.task.reference, case_id=name) for name, task in todo.items()}
    request = plan.request.run
    crew, too_large = hire(cases, request, lambda case, _: sizes[case.case_id], listen)
    outcomes += [failure(case_id, error) for case_id, error in too_large.items()]
    for outcome in outcomes[len(outcomes) - len(too_large) :]:
        listen(outcome)
    fitting = [task for name, task in todo.items() if name not in too_large]
    executor = make_executor(
        crew.workers, request.dask, seconds=request.case_timeout,
        isolated=any(may_crash(c) for t in fitting for c in (t.task.reference, *t.task.members)),
    )  # fmt: skip
    return run_cases("draw", draw_pictures, fitting, executor, listen, outcomes, started)


@dataclass(frozen=True)
class EvaluationPage:
    """What the template ``evaluation.html`` shows.

    Parameters
    ----------
    title, summary
        The folder of results, and one line about them.
    facts
        Term, value, and whether that comes from a file.
    remarks, oddities
        How to read the figures; classes that only one side has.
    overlap, several, by_class, calibration, differences, cases, failed, warnings
        Tables; None where there is nothing to tell.
    baseline
        The run that others are compared with, or empty.
    charts
        Reliability diagrams.
    lines
        Cases, worst first.
    pictures
        Anchor to what is drawn of a case.
    broken
        Anchors and names of cases whose pictures could not be drawn.
    problems
        Anchor to why not.
    """

    title: str
    summary: str
    facts: Sequence[tuple[str, str, bool]]
    remarks: Sequence[str]
    oddities: Sequence[str]
    overlap: Table
    several: Table | None
    calibration: Table | None
    by_class: Table | None
    differences: Table | None
    baseline: str
    cases: Table
    failed: Table | None
    warnings: Table | None
    charts: Sequence[Chart]
    lines: Sequence[CaseLine]
    pictures: Mapping[str, PictureTask]
    broken: Sequence[tuple[str, str]]
    problems: Mapping[str, str]

    def pieces(self) -> Iterator[tuple[CaseLine, Table, Markup]]:
        """Each case with its worst classes and its pictures."""
        for line in self.lines:
            task = self.pictures.get(line.anchor)
            text = picture_of(task) if task else None
            yield line, worst_table(line), trusted(text or "")

    @property
    def frame(self) -> dict[str, Any]:
        """What the frame of any page needs."""
        sections = [("figures", "Figures")]
        if self.calibration:
            sections.append(("calibrated", "Calibration"))
        if self.differences:
            sections.append(("against", "Differences"))
        sections.append(("cases-judged", "Cases"))
        sections.append(("warnings-told", "Warnings"))
        return {"title": self.title, "version": __version__, "sections": sections}


def _page(
    plan: EvaluationPlan, summary: Summary, lines: Sequence[CaseLine],
    tasks: Mapping[str, PictureTask], failed: Mapping[str, str],
) -> EvaluationPage:  # fmt: skip
    content = summary.content
    several = len(content["runs"]) > 1
    anchors = {(line.case_id, line.run): line.anchor for line in lines}
    titles = {
        f"{case_id} ({run})" if len(plan.request.runs) > 1 else case_id: anchor
        for (case_id, run), anchor in anchors.items()
    }
    problems = {
        anchor: failed[task.case_id] for anchor, task in tasks.items() if task.case_id in failed
    }
    drawn = {anchor for anchor in tasks if anchor not in problems}
    cases, runs = len(content["cases"]), len(content["runs"])
    return EvaluationPage(
        title=plan.request.out.resolve().name,
        summary=f"{counted(cases, 'case')}, {counted(runs, 'run')}, "
        f"{counted(len(plan.classes), 'class', 'classes')}",
        facts=_facts(plan, content),
        remarks=list(notes(content)),
        oddities=[one_sided_text(entry) for entry in content["one_sided"]],
        overlap=overlap_table(content),
        several=rater_table(content),
        calibration=calibration_table(content),
        by_class=class_table(content),
        differences=difference_table(content),
        baseline=content["baseline"] or "",
        cases=case_table(lines, drawn, several),
        failed=reason_table(content),
        warnings=warning_table(content, lambda name: titles.get(name, "")),
        charts=reliability_charts(summary.diagrams),
        lines=lines,
        pictures=tasks,
        broken=[(a, tasks[a].case_id) for a in problems],
        problems=problems,
    )


def _facts(plan: EvaluationPlan, content: Mapping[str, Any]) -> list[tuple[str, str, bool]]:
    settings = content["settings"]
    predictions = [
        f"{run}: {', '.join(map(str, paths))}" for run, paths in plan.request.runs.items()
    ]
    references = ", ".join(map(str, plan.request.run.inputs))
    patients = content["patients"] if content["grouped"] else 0
    facts = [
        ("predictions", "; ".join(predictions), True),
        ("references", references, True),
        ("judged by", "soft labels" if content["soft_references"] else "label maps", False),
        ("cases", str(len(content["cases"])), False),
        ("patients", str(patients) if patients else "", False),
        ("not in the figures", str(len(content["failed"])) if content["failed"] else "", False),
        ("surface DSC at", ", ".join(f"{t:g} mm" for t in settings["tolerances_mm"]), False),
        ("bins", str(settings["bins"]), False),
        ("regions", ", ".join(["all", *settings["regions"]]), False),
    ]
    return [fact for fact in facts if fact[1]]
