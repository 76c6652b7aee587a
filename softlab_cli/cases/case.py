"""A case, and how findings from several places become cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from softlab_cli.core.caseid import check_case_id
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.readers.class_files import ClassFiles, KeptRater, LabelSource

__all__ = ["Case", "Finding", "gather", "select_part"]


@dataclass(frozen=True)
class Case:
    """One subject or scan, and its files; they may turn out not to exist.

    Parameters
    ----------
    case_id
        Name of the case, unique in a run.
    label_maps
        One label map for each rater, normally one.
    images
        Images of the case, one for each channel or several channels in one; a
        DICOM series is the folder that holds it.
    raters
        Where each label map comes from, in the order of `label_maps`.
    class_names
        The class of each label map, where each holds one class; empty otherwise. A rater
        has several label maps then.
    kept_raters
        Of each label map that is a case of a store, the rater who is meant there, or nothing for
        the hard label; empty where none is.
    problem
        Why the case cannot be done although it was found, if so; whoever does
        the case raises it.
    """

    case_id: str
    label_maps: tuple[Path, ...]
    images: tuple[Path, ...] = ()
    raters: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    kept_raters: tuple[str, ...] = ()
    problem: InputError | None = field(default=None, compare=False)

    @cached_property  # all that is done with a case asks for it
    def drawings(self) -> dict[str, LabelSource]:
        """What each rater drew: one label map, or the files of its classes together."""
        nothing = ("",) * len(self.label_maps)
        files = zip(
            self.raters, self.label_maps, self.class_names or nothing, self.kept_raters or nothing,
            strict=True,
        )  # fmt: skip
        found: dict[str, list[tuple[Path, str, str]]] = {}
        for rater, path, name, kept in files:
            found.setdefault(rater, []).append((path, name, kept))
        return {rater: _drawing(files) for rater, files in found.items()}


def _drawing(files: Sequence[tuple[Path, str, str]]) -> LabelSource:
    paths, names, kept = zip(*files, strict=True)
    if kept[0]:
        return KeptRater(paths[0], kept[0])
    return ClassFiles(paths, names) if any(names) else paths[0]


@dataclass(frozen=True)
class Finding:
    """One label map that was found, with what belongs to it, or why it cannot be used."""

    case_id: str
    label_map: Path
    rater: str
    images: tuple[Path, ...] = ()
    problem: InputError | None = None
    class_name: str = ""
    kept_rater: str = ""


def select_part(cases: Sequence[Case], part: int, parts: int) -> list[Case]:
    """Every `parts`-th case, from the `part`-th on; the parts share nothing and miss nothing.

    Parameters
    ----------
    cases
        All cases, in the same order for each part.
    part
        1 to `parts`.
    parts
        Number of parts.

    Raises
    ------
    UsageError
        When there is no such part.
    """
    if not 1 <= part <= parts:
        raise UsageError(
            f"there is no part {part}/{parts}.",
            remedy=f"Parts go from 1/{parts} to {parts}/{parts}.",
        )
    return list(cases[part - 1 :: parts])


def gather(findings: Iterable[Finding]) -> list[Case]:
    """Cases from findings: those with one id are one case with several raters."""
    by_id: dict[str, dict[tuple[Path, str], Finding]] = {}
    for finding in findings:
        place = (finding.label_map, finding.kept_rater)
        by_id.setdefault(finding.case_id, {}).setdefault(place, finding)
    return [_case(tuple(group.values())) for group in by_id.values()]


def _case(group: tuple[Finding, ...]) -> Case:
    return Case(
        case_id=group[0].case_id,
        label_maps=tuple(f.label_map for f in group),
        images=next((f.images for f in group if f.images), ()),
        raters=tuple(f.rater for f in group),
        class_names=tuple(f.class_name for f in group) if any(f.class_name for f in group) else (),
        kept_raters=tuple(f.kept_rater for f in group) if any(f.kept_rater for f in group) else (),
        problem=_problem(group),
    )


def _problem(group: tuple[Finding, ...]) -> InputError | None:
    """Why these findings make no case: a bad id, or two label maps of one rater."""
    try:
        check_case_id(group[0].case_id)
    except InputError as error:
        return InputError(error.problem, remedy=error.remedy, path=group[0].label_map)
    seen: dict[tuple[str, str], Path] = {}
    for finding in group:
        drawn = (finding.rater, finding.class_name)
        if drawn in seen and finding.class_name:
            return InputError(
                f"is of the case {finding.case_id!r} and the class {finding.class_name!r}, like "
                f"{seen[drawn]}.",
                remedy="Rename or remove one of the two files, or check --class-pattern.",
                path=finding.label_map,
            )
        if drawn in seen:
            return InputError(
                f"has the case id {finding.case_id!r}, like {seen[drawn]}.",
                remedy="Rename or remove one of the two files. If two raters drew them, say so: "
                "with --rater-pattern, or in the column rater of a manifest.",
                path=finding.label_map,
            )
        seen[drawn] = finding.label_map
    return next((finding.problem for finding in group if finding.problem), None)
