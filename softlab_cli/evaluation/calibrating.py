"""``softlab calibrate``: count all cases, fit, and write the calibration."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryFile

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, UsageError, naming
from softlab_cli.core.events import (
    CaseFinished,
    Listener,
    Notice,
    RunFinished,
    StageStarted,
    StageStepped,
    ignore,
)
from softlab_cli.core.failures import failure
from softlab_cli.core.provenance import describe_sources
from softlab_cli.evaluation.calibrations import Calibration, refuse_existing
from softlab_cli.evaluation.case import EvaluationTask, fingerprints_of, opened, refuses_sums
from softlab_cli.evaluation.fitting import (
    Likelihood,
    Pool,
    Votes,
    likelihood,
    oddities,
    settings_for,
)
from softlab_cli.evaluation.kinds import kind_of
from softlab_cli.evaluation.measure import count_soft
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.metrics.temperature import halves
from softlab_cli.evaluation.plan import plan_tasks
from softlab_cli.evaluation.request import UNNAMED, EvaluationRequest
from softlab_cli.evaluation.settings import Settings
from softlab_cli.running.crew import Crew
from softlab_cli.running.executors import Executor, WorkerDied, make_executor
from softlab_cli.running.isolation import may_crash
from softlab_cli.running.request import Request
from softlab_cli.store.files import system_errors

__all__ = ["CalibrationPlan", "CalibrationRequest", "execute_calibration", "plan_calibration"]


@dataclass(frozen=True)
class CalibrationRequest:
    """What a user asks of ``softlab calibrate``; the fields are named like its options.

    Parameters
    ----------
    predictions
        Of cases that the network was not trained on; several are averaged.
    run
        The references as inputs, images, classes, reading, workers and memory; its `out` is
        the JSON file.
    method
        ``temperature`` or ``isotonic``.
    region
        Where voxels count: ``all``, ``union[=10mm]``, ``band[=3mm]``.
    groups
        Case id to patient.

    Raises
    ------
    UsageError
        For an unknown method or region, or one part of the cases.
    """

    predictions: Sequence[Path]
    run: Request
    method: str = "temperature"
    region: str = ALL
    groups: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what makes no sense."""
        settings_for(self.method, self.region)
        if self.run.part is not None:
            raise UsageError(
                "a calibration is fitted on all cases together, and --part is a share of them.",
                remedy="Leave it out; --workers and --dask share the work.",
            )

    def as_evaluation(self) -> EvaluationRequest:
        """The same as a request of one run, which is paired and read in the same way."""
        return EvaluationRequest(
            {UNNAMED: tuple(self.predictions)}, self.run, settings_for(self.method, self.region),
            groups=self.groups,
        )  # fmt: skip


@dataclass(frozen=True)
class _Scoring:
    """A case whose NLL after calibrations is wanted."""

    task: EvaluationTask
    calibrations: tuple[Calibration, ...]

    @property
    def case_id(self) -> str:
        return self.task.case_id


@dataclass(frozen=True)
class CalibrationPlan:
    """What ``softlab calibrate`` will do.

    Parameters
    ----------
    request
        What was asked for.
    classes
        The class table.
    tasks
        The cases to count.
    failed
        Cases that cannot be done.
    crew
        Who does it.
    """

    request: CalibrationRequest
    classes: ClassTable
    tasks: tuple[EvaluationTask, ...]
    failed: tuple[CaseFinished, ...]
    crew: Crew


def plan_calibration(request: CalibrationRequest, listen: Listener = ignore) -> CalibrationPlan:
    """Pair and look at the cases of a calibration; writes nothing.

    Raises
    ------
    SoftlabError
        When nothing can be paired, or the file is there already.
    """
    out = request.run.out
    refuse_existing(out, overwrite=request.run.overwrite)
    planned = plan_tasks(request.as_evaluation(), listen)
    beside = out.absolute().parent  # where scratch goes
    tasks = tuple(replace(task, out=beside) for task in planned.every)
    failed = tuple(outcome for _, outcome in planned.failed)
    return CalibrationPlan(request, planned.classes, tasks, failed, planned.crew)


def execute_calibration(
    plan: CalibrationPlan, listen: Listener = ignore
) -> tuple[RunFinished, Calibration | None]:
    """Fit a calibration and write it.

    Returns
    -------
    report
        One outcome for each case.
    calibration
        What is in the file; None, and no file, where no case could be used.

    Raises
    ------
    SoftlabError
        When nothing can be fitted, or the file cannot be written.
    """
    started = time.perf_counter()
    request, run = plan.request, plan.request.run
    for outcome in plan.failed:
        listen(outcome)
    with system_errors(run.out, "written"):
        run.out.absolute().parent.mkdir(parents=True, exist_ok=True)
        TemporaryFile(dir=run.out.absolute().parent).close()  # said before cases are counted
    ids = [task.case_id for task in plan.tasks]
    pool = Pool(request.method, plan.classes, halves({i: request.groups.get(i, i) for i in ids}))
    outcomes = [*plan.failed, *_counted(plan, pool, listen)]
    found = None
    if pool.tallies:
        found = _fitted(plan, pool, listen)
        found.save(run.out, overwrite=run.overwrite)
    report = _report(outcomes, started)
    listen(report)
    return report, found


def _report(outcomes: Sequence[CaseFinished], started: float) -> RunFinished:
    failed = sum(outcome.status == "failed" for outcome in outcomes)
    seconds = time.perf_counter() - started
    return RunFinished(len(outcomes) - failed, 0, failed, seconds, tuple(outcomes))


def _executor(plan: CalibrationPlan, *, keep: bool) -> Executor:
    return make_executor(
        plan.crew.workers, plan.request.run.dask,
        isolated=any(may_crash(c) for t in plan.tasks for c in (t.reference, *t.members)),
        seconds=plan.request.run.case_timeout, keep=keep,
    )  # fmt: skip


def _counted(plan: CalibrationPlan, pool: Pool, listen: Listener) -> list[CaseFinished]:
    """Count all cases into a pool, and tell how each went."""
    outcomes = []
    listen(StageStarted("calibrate", len(plan.tasks)))
    executor = _executor(plan, keep=pool.method == "isotonic")  # which has a second pass
    for task, result in executor.run(count_case, plan.tasks):
        if isinstance(result, Votes):
            pool.add(task.case_id, result)
            result = CaseFinished(task.case_id, "done", warnings=result.warnings)
        elif isinstance(result, WorkerDied):
            result = CaseFinished(task.case_id, "failed", message=result.reason)
        listen(result)
        outcomes.append(result)
    return outcomes


def _fitted(plan: CalibrationPlan, pool: Pool, listen: Listener) -> Calibration:
    request = plan.request
    fitted, others = pool.fit(pool.whole), pool.fit_others()
    if request.method == "temperature":
        after, crossed = pool.tempered(fitted, others)
    else:
        again = [
            _Scoring(task, (fitted, *([others[pool.half_of[task.case_id]]] if others else [])))
            for task in plan.tasks
            if task.case_id in pool.case_ids
        ]
        after, crossed = _scored(again, _executor(plan, keep=False), listen)
    for oddity in oddities(pool, fitted, request.region):
        listen(Notice(oddity))
    return pool.finish(fitted, request.region, request.groups, after, crossed)


def _scored(
    tasks: Sequence[_Scoring], executor: Executor, listen: Listener
) -> tuple[float, float | None]:
    """The NLL after the fitted calibration, and after that of the other half."""
    listen(StageStarted("evaluate", len(tasks)))
    sums = [Likelihood()] * len(tasks[0].calibrations)
    for task, result in executor.run(score_case, tasks):
        listen(StageStepped("evaluate", task.case_id))
        if isinstance(result, CaseFinished | WorkerDied):
            reason = result.message if isinstance(result, CaseFinished) else result.reason
            raise InputError(
                f"the case {task.case_id!r} could be read once, and not again: {reason}",
                remedy="Leave its files alone while it runs, and run it again.",
            )
        sums = [a + b for a, b in zip(sums, result, strict=True)]
    return sums[0].mean, sums[1].mean if len(sums) > 1 else None


def count_case(task: EvaluationTask) -> Votes | CaseFinished:
    """Count the votes of one case; never raises."""
    started = time.perf_counter()
    try:
        sources = describe_sources(task.files)
        _check_soft(task)
        path = task.members[0].label_maps[0]
        with opened(task, task.out) as found, naming(path):
            counts, _, silent = count_soft(
                found.scene, found.prediction, task.settings, task.single, None, None, task.threads
            )
            if refuses_sums(task, found.prediction) and counts.faults.wrong_sum:
                raise InputError(
                    f"the prediction has {counts.faults}.",
                    remedy="Divide by the sum with --sums normalise.",
                )
        warnings = found.warnings
        if silent:
            warnings += (f"the prediction says nothing of {silent:,} voxels; they are left out.",)
        tallies = counts.within(_region(task.settings))
        return Votes(tallies, fingerprints_of(task, sources), warnings)
    except Exception as error:
        return failure(task.case_id, error, started)


def _check_soft(task: EvaluationTask) -> None:
    for case in (task.reference, *task.members):
        if case.problem is not None:
            raise case.problem
    if task.soft_reference:
        raise UsageError(
            "the reference has soft labels, and a calibration is fitted to what raters labelled.",
            remedy="Give the raters' label maps, each with --ref.",
            path=task.reference.label_maps[0],
        )
    for case in task.members:
        if kind_of(case, task.reading) == "hard":
            raise UsageError(
                "a label map has no probabilities that could be calibrated.",
                remedy="Give probabilities.",
                path=case.label_maps[0],
            )


def _region(settings: Settings) -> str:
    return next(iter(settings.regions), ALL)


def score_case(scoring: _Scoring) -> list[Likelihood] | CaseFinished:
    """The NLL of one case after each of some calibrations; never raises."""
    task, started = scoring.task, time.perf_counter()
    try:
        with opened(task, task.out) as found:
            return likelihood(found.scene, found.prediction, scoring.calibrations, task.settings)
    except Exception as error:
        return failure(task.case_id, error, started)
