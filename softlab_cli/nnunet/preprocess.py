"""The hook: soft labels of the cases that nnU-Net has preprocessed, on their own grid."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from softlab_cli.core.caseid import check_case_id
from softlab_cli.core.errors import InputError, SoftlabError, StoreError, UsageError
from softlab_cli.core.events import CaseFinished, Listener, Notice, RunFinished, ignore
from softlab_cli.core.failures import failure
from softlab_cli.core.memory import available_bytes, available_cores
from softlab_cli.core.provenance import describe_sources, same_content
from softlab_cli.methods.base import Fitting, Method
from softlab_cli.methods.registry import method_class
from softlab_cli.nnunet.case import HookCase, hook_methods, make_method
from softlab_cli.nnunet.paths import store_path
from softlab_cli.nnunet.plans import Configuration, read_configuration
from softlab_cli.nnunet.preprocessed import PreprocessedCase, case_ids, is_unchanged
from softlab_cli.nnunet.raters import Rater, name_raters, rater_files
from softlab_cli.running.case import write_case
from softlab_cli.running.executors import make_executor
from softlab_cli.running.fit import folder_for, runner_of
from softlab_cli.running.runner import run_cases
from softlab_cli.store.schema import CaseInfo, StoreInfo
from softlab_cli.store.writer import StoreWriter

__all__ = ["HookTask", "preprocess", "process_case"]


@dataclass(frozen=True)
class HookTask:
    """Everything that one case takes; travels to a worker process.

    Parameters
    ----------
    configuration
        The configuration.
    case_id
        The case.
    method
        What makes the soft labels.
    info
        What the store says of all its cases.
    store
        Path of the store; it exists.
    raters
        Label maps of the raters that the case has.
    threads
        Threads that soften blocks.
    max_memory
        Bytes for the process that does it.
    reason
        Why the case is computed again, if it is.
    """

    configuration: Configuration
    case_id: str
    method: Method
    info: StoreInfo
    store: Path
    raters: tuple[Rater, ...] = ()
    threads: int = 1
    max_memory: int = 0
    reason: str = ""


def preprocess(
    dataset: str,
    configurations: Sequence[str],
    method: str = "svls",
    *,
    plans: str = "nnUNetPlans",
    name: str | None = None,
    raters: Sequence[Path] = (),
    workers: int = 1,
    threads: int | None = None,
    overwrite: bool = False,
    listen: Listener = ignore,
    **parameters: Any,
) -> dict[Path, RunFinished]:
    """Make soft labels of nnU-Net's preprocessed cases: ``softlab nnunet preprocess``.

    Parameters
    ----------
    dataset
        Number or name of the data set.
    configurations
        Configurations that are preprocessed. Those that share their data share a store.
    method
        One of `softlab_cli.nnunet.case.hook_methods`; ``svls`` of several raters is
        ``msvls``.
    plans
        Name of the plans.
    name
        Name of the store; by default the method's.
    raters
        Folders with one rater's label maps each, named as in ``labelsTr``.
    workers, threads
        Processes, and threads in each; by default one process with all cores.
    overwrite
        Remove what the stores hold first.
    listen
        Is told of every event.
    **parameters
        The method's parameters.

    Returns
    -------
    reports
        Each store with how many cases were done, skipped and failed.

    Raises
    ------
    UsageError, InputError, StoreError
        When nothing can be done; problems of single cases are in the reports.
    """
    method = "msvls" if raters and method == "svls" else method
    _check_raters(method, raters)
    named = name_raters(raters)
    found = [read_configuration(dataset, wanted, plans) for wanted in configurations]
    made = {c: make_method(method, parameters, in_slices=c.is_2d) for c in _distinct(found)}
    reports = {}
    for configuration, one in made.items():
        task = HookTask(
            configuration, "", one, _store_info(configuration, method, one),
            store_path(configuration.dataset_folder, configuration.data_identifier, name or method),
            named, threads or max(1, available_cores() // workers), available_bytes() // workers,
        )  # fmt: skip
        reports[task.store] = _run(task, workers, overwrite, listen)
    return reports


def process_case(task: HookTask) -> CaseFinished:
    """Make one case and store it; never raises."""
    started = time.perf_counter()
    try:
        outcome = _make_case(task)
        return replace(outcome, seconds=time.perf_counter() - started)
    except Exception as error:
        return failure(task.case_id, error, started)


def _check_raters(method: str, raters: Sequence[Path]) -> None:
    if method not in hook_methods():
        raise UsageError(
            f"there is no method {method!r}.", remedy=f"There are {', '.join(hook_methods())}."
        )
    takes_raters = method_class(method).takes == "raters"
    if takes_raters and not raters:
        raise UsageError(f"{method} is made of several raters.", remedy="Add --raters DIR DIR ...")
    if raters and not takes_raters:
        every = hook_methods()
        fitting = " or ".join(name for name in every if method_class(name).takes == "raters")
        raise UsageError(
            f"{method} is made of one label map, and --raters names {len(raters)}.",
            remedy=f"Choose --method {fitting}, or leave --raters out.",
        )


def _distinct(configurations: Sequence[Configuration]) -> list[Configuration]:
    """Of those that share their data the first."""
    return list({c.data_identifier: c for c in reversed(configurations)}.values())[::-1]


def _store_info(configuration: Configuration, method: str, one: Method) -> StoreInfo:
    return StoreInfo(
        one.name,
        one.parameters(),
        configuration.classes,
        sums_to_one=one.sums_to_one,
        software={"nnunetv2": version("nnunetv2")},
        config={
            "command": "nnunet preprocess",
            "dataset": configuration.dataset_folder.name,
            "plans": configuration.plans,
            "configuration": configuration.name,
            "method": method,
        },
    )


def _run(task: HookTask, workers: int, overwrite: bool, listen: Listener) -> RunFinished:
    """Do the cases of one configuration; `task` is what they have in common."""
    started = time.perf_counter()
    every = case_ids(task.configuration.folder)
    if not every:
        raise InputError(
            "holds no preprocessed cases.",
            remedy="Run nnUNetv2_preprocess first.",
            path=task.configuration.folder,
        )
    if task.method.fits:
        task = _fit(task, every, workers, listen)
    try:
        store = StoreWriter.create_or_open(task.store, task.info, overwrite=overwrite)
    except StoreError as error:
        error.remedy = error.remedy.replace("--out", "--name")
        raise
    task = replace(task, info=replace(task.info, schema=store.info.schema))
    planned = [_plan_case(replace(task, case_id=case_id), store) for case_id in every]
    tasks = [one for one in planned if isinstance(one, HookTask)]
    ended = [one for one in planned if isinstance(one, CaseFinished)]
    for outcome in ended:
        listen(outcome)
    executor = make_executor(min(workers, max(1, len(tasks))))
    return run_cases("soften", process_case, tasks, executor, listen, ended, started)


def _plan_case(task: HookTask, store: StoreWriter) -> HookTask | CaseFinished:
    """The task of a case, or how it has ended: complete already, or not to be done."""
    try:
        task = _checked(task)
        kept = store.completed(task.case_id)
        if kept is None:
            return task
        if _is_unchanged(kept, task):
            return CaseFinished(task.case_id, "skipped")
        return replace(task, reason="its files have changed")
    except SoftlabError as error:
        return failure(task.case_id, error)


def _is_unchanged(kept: CaseInfo, task: HookTask) -> bool:
    case = PreprocessedCase(task.configuration, task.case_id)
    return (
        kept.geometry.spacing_mm == case.target_spacing_mm
        and same_content(kept.sources, [(file, "label") for _, file in task.raters])
        and is_unchanged(kept.details, task.configuration.folder, task.case_id)
    )


def _make_case(task: HookTask) -> CaseFinished:
    case = _case_input(task)
    sources = describe_sources([(file, "label") for _, file in task.raters])
    with_image = task.method.takes == "label map and image"
    details = case.case.describe(with_image=with_image)
    outcome = write_case(task.method, case, case.store, sources, details)
    return replace(outcome, message=task.reason)


def _case_input(task: HookTask) -> HookCase:
    return HookCase(
        PreprocessedCase(task.configuration, task.case_id), task.raters,
        StoreWriter(task.store, task.info), task.configuration.is_2d, task.threads,
        task.max_memory,
    )  # fmt: skip


def _fit(task: HookTask, every: Sequence[str], workers: int, listen: Listener) -> HookTask:
    """What the cases have in common, with a method that has learned from them."""
    folder = folder_for(task.store)
    if not task.method.has_learned:
        folder.mkdir(parents=True, exist_ok=True)
    usable = [one for case_id in every if (one := _with_files(replace(task, case_id=case_id)))]
    method = task.method.fit(
        Fitting(
            [_case_input(one) for one in usable],
            task.info.classes,
            folder,
            task.threads,
            task.max_memory * workers,
            runner_of(make_executor(workers), listen),
            lambda message: listen(Notice(message)),
        )
    )
    return replace(task, method=method, info=replace(task.info, parameters=method.parameters()))


def _with_files(task: HookTask) -> HookTask | None:
    """A case with its raters' files; None where it cannot be used, which its plan will say."""
    try:
        return _checked(task)
    except SoftlabError:
        return None


def _checked(task: HookTask) -> HookTask:
    check_case_id(task.case_id)
    if not task.raters:
        return task
    files = rater_files(task.raters, task.case_id, task.configuration.file_ending)
    return replace(task, raters=files)
