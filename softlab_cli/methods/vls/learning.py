"""A run learns: its cases are read, shared out to folds, and each fold is trained."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.methods.base import CaseInput, Fitting
from softlab_cli.methods.vls.cases import (
    CaseFacts,
    ReadTask,
    TrainingCase,
    dims_of,
    fits_spacing,
    median_spacing,
    read_case,
)
from softlab_cli.methods.vls.folds import (
    FEW_GROUPS,
    assign_folds,
    group_cases,
    inner_groups,
    join_copies,
    write_folds,
)
from softlab_cli.methods.vls.model import KnownCase, Model, write_model
from softlab_cli.methods.vls.parameters import VLSParameters
from softlab_cli.methods.vls.recipe import Recipe, checked_patch, default_sizes
from softlab_cli.methods.vls.soundness import FEW_STEPS, check_skill, doubts, sentence
from softlab_cli.store.files import system_errors

__all__ = ["learn"]

NAMED_AT_MOST = 5


def learn(parameters: VLSParameters, fitting: Fitting, device: str) -> Model:
    """Train the model of a run; what a run before has finished of it is not done again.

    Parameters
    ----------
    parameters
        What was asked for.
    fitting
        The cases, and where to keep what is learned.
    device
        ``cpu`` or ``cuda``.

    Raises
    ------
    InputError
        For cases that nothing can be learned from: too few of them, of several kinds,
        with classes that a fold never sees, or images that tell nothing.
    """
    known = _read_all(fitting)
    groups, how = group_cases({f.case_id: f.patient for f in known}, parameters.group_by)
    groups = join_copies(groups, {f.case_id: f.image for f in known})
    folds = assign_folds(groups, parameters.folds, parameters.seed)
    _tell_groups(groups, how, fitting)
    recipe = _recipe(parameters, known, device, fitting.classes)
    training = _Training(fitting, recipe, _on_one_spacing(known, recipe, fitting), groups, folds)
    training.check_classes()
    with system_errors(fitting.folder, "written"):
        write_folds(fitting.folder / "folds.csv", groups, folds)
    model = training.run(parameters.min_skill)
    write_model(model)
    shutil.rmtree(_cases_folder(fitting), ignore_errors=True)
    return model


def _cases_folder(fitting: Fitting) -> Path:
    return fitting.folder / "cases"


def _read_all(fitting: Fitting) -> list[CaseFacts]:
    """The cases that can be learned from, by case id; the run will say why others cannot."""
    tasks = {case.case_id: ReadTask(case, _cases_folder(fitting)) for case in fitting.cases}
    found = [facts for _, facts in fitting.run("read", read_case, tasks)]
    found.sort(key=lambda facts: facts.case_id)
    bad = [facts for facts in found if facts.problem]
    good = [facts for facts in found if not facts.problem]
    if bad:
        fitting.tell(f"nothing is learned from {_some([f.case_id for f in bad])}: {bad[0].problem}")
    if not good:
        raise InputError("there is no case to learn from.", remedy="See what is said of the cases.")
    if constant := [facts.case_id for facts in good if facts.constant]:
        fitting.tell(f"an image channel is constant in {_some(constant)}")
    counts = {facts.channels: facts.case_id for facts in reversed(good)}
    if len(counts) > 1:
        named = ", ".join(f"{counts[n]} has {n}" for n in sorted(counts))
        raise InputError(
            f"images have different numbers of channels: {named}.",
            remedy="Give the same channels for every case.",
        )
    return good


def _tell_groups(groups: Mapping[str, str], how: str, fitting: Fitting) -> None:
    count = len(set(groups.values()))
    fitting.tell(f"{len(groups)} cases are {count} groups, by {how}")
    if count < FEW_GROUPS:
        fitting.tell(f"{count} groups are few to learn from: svls may do as well")


def _recipe(
    parameters: VLSParameters, known: Sequence[CaseFacts], device: str, classes: ClassTable
) -> Recipe:
    grids = [facts.grid for facts in known]
    dims = dims_of(grids) if parameters.dims == "auto" else parameters.dims
    sizes = default_sizes(device, dims)
    return Recipe(
        engine=parameters.engine,
        parity=parameters.parity,
        dims=dims,
        patch=checked_patch(parameters.sides or (sizes.patch,), dims),
        width=parameters.width or sizes.width,
        batch=parameters.batch or sizes.batch,
        steps=parameters.steps or sizes.steps,
        latent=parameters.latent,
        image_weight=float(parameters.image_weight),
        kl_weight=float(parameters.kl_weight),
        folds=parameters.folds,
        seed=parameters.seed,
        device=device,
        class_count=len(classes),
        channels=known[0].channels,
        spacing_mm=median_spacing(grids),
    )


def _on_one_spacing(
    known: Sequence[CaseFacts], recipe: Recipe, fitting: Fitting
) -> list[CaseFacts]:
    """The cases, of which those of another spacing are brought to the median one."""
    other = set()
    for facts in known:
        try:
            if not fits_spacing(facts.grid, recipe.spacing_mm, recipe.dims):
                other.add(facts.case_id)
        except InputError as error:
            raise InputError(f"case {facts.case_id} {error.problem}", remedy=error.remedy) from None
    if not other:
        return list(known)
    spacing = " x ".join(f"{s:.4g}" for s in recipe.spacing_mm)
    fitting.tell(f"spacings differ; learned from at {spacing} mm: {_some(sorted(other))}")
    inputs: dict[str, CaseInput] = {case.case_id: case for case in fitting.cases}
    tasks = {
        case_id: ReadTask(inputs[case_id], _cases_folder(fitting), recipe.spacing_mm, recipe.dims)
        for case_id in sorted(other)
    }
    for case_id, facts in fitting.run("read", read_case, tasks):
        if facts.problem:
            raise InputError(f"case {case_id}: {facts.problem}")
    return list(known)


@dataclass(frozen=True)
class _Training:
    """All folds of a run."""

    fitting: Fitting
    recipe: Recipe
    known: Sequence[CaseFacts]
    groups: Mapping[str, str]
    folds: Mapping[str, int]

    def _outside(self, fold: int) -> list[CaseFacts]:
        """The cases that a fold may learn from."""
        return [facts for facts in self.known if self.folds[facts.case_id] != fold]

    def check_classes(self) -> None:
        """Raise `InputError` where a fold would never see a class."""
        names = self.fitting.classes.names
        for fold in range(self.recipe.folds):
            seen = {index for facts in self._outside(fold) for index in facts.classes}
            missing = [index for index in range(len(names)) if index not in seen]
            if not missing:
                continue
            having = [f.case_id for f in self.known if missing[0] in f.classes]
            where = f"only in {_some(having)}" if having else "in no case"
            named = ", ".join(repr(names[index]) for index in missing[:NAMED_AT_MOST])
            raise InputError(
                f"fold {fold} would never see the class {named}, which occurs {where}.",
                remedy="Leave it out with --labels, read it as another with --map, or choose other "
                "--folds or another --seed.",
            )

    def _inner(self, fold: int) -> set[str]:
        classes_of: dict[str, set[int]] = {}
        for facts in self._outside(fold):
            classes_of.setdefault(self.groups[facts.case_id], set()).update(facts.classes)
        return inner_groups(classes_of, self.recipe.seed, fold)

    def run(self, min_skill: float) -> Model:
        """Train what is not trained yet, and judge it."""
        from softlab_cli.methods.vls.training import FoldTask, train_fold

        tasks: dict[str, FoldTask] = {}
        for fold in range(self.recipe.folds):
            inner, outside = self._inner(fold), self._outside(fold)
            tasks[f"fold {fold}"] = FoldTask(
                self.recipe, fold, self.fitting.folder,
                tuple(_kept(f) for f in outside if self.groups[f.case_id] not in inner),
                tuple(_kept(f) for f in outside if self.groups[f.case_id] in inner),
                self.fitting.classes.ignore_index,
            )  # fmt: skip
        if self.recipe.steps < FEW_STEPS:
            self.fitting.tell(
                f"{self.recipe.steps} steps are few: a prototype gained nothing over svls with 300"
            )
        results = {}
        for name, result in self.fitting.run("train", train_fold, tasks):
            results[result.fold] = result
            judged_on = (
                "on groups set aside" if tasks[name].inner else "on what it has learned from"
            )
            self.fitting.tell(sentence(result.fold, result.figures, judged_on))
        done = [results[fold] for fold in range(self.recipe.folds)]
        figures = {result.fold: result.figures for result in done}
        check_skill(figures, min_skill)
        for doubt in doubts(figures, self.fitting.classes.names):
            self.fitting.tell(doubt)
        report = {
            str(r.fold): {"figures": r.figures.to_json(), "losses": [list(x) for x in r.losses]}
            for r in done
        }
        return Model(
            self.fitting.folder, self.recipe, self.fitting.classes, dict(self._cases()),
            tuple(result.checksum for result in done), tuple(f.skill for f in figures.values()),
            report, _software(),
        )  # fmt: skip

    def _cases(self) -> Iterator[tuple[str, KnownCase]]:
        for facts in self.known:
            case_id = facts.case_id
            yield (
                facts.image,
                KnownCase(case_id, self.groups[case_id], self.folds[case_id], facts.label),
            )


def _kept(facts: CaseFacts) -> TrainingCase:
    return TrainingCase(facts.case_id, Path(facts.file), facts.image, facts.label)


def _software() -> dict[str, Any]:
    return {"python": platform.python_version(), **{n: version(n) for n in ("numpy", "torch")}}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more
