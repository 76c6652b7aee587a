"""What the names of all files together say, before the first case is done."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.core.folders import some_of
from softlab_cli.core.names import (
    NamedClass,
    NameRule,
    is_pattern,
    spelled_alike,
    spelling,
    to_the_letter,
)
from softlab_cli.labels.numbering import Occurring
from softlab_cli.labels.segments import check_needed, lacking

__all__ = [
    "FileNames",
    "lacking_files",
    "merging_hint",
    "note_of_taken",
    "notes_of_ignored",
    "notes_of_names",
    "refuse_absent",
    "refuse_mixed",
]

NAMED_AT_MOST = 10

MOST_IN_HINT = 30
"""Classes that a hint writes out; more do not fit a command line that a person reads."""


@dataclass(frozen=True)
class FileNames:
    """The names of the segments of one file; those of one case may be of several raters."""

    case_id: str
    path: Path
    names: Mapping[int, str]


def notes_of_names(found: Sequence[FileNames], rule: NameRule | None) -> Iterator[str]:
    """What the user should know of the names, one sentence each."""
    if rule is None:
        yield from merging_hint([list(file.names.values()) for file in found])
        return
    left_out: dict[str, int] = {}
    for file in found:
        means = rule.assign(file.names)
        for name in {name for number, name in file.names.items() if number not in means}:
            left_out[name] = left_out.get(name, 0) + 1
    if left_out:
        listed = [f"{name!r} in {_files(count)}" for name, count in sorted(left_out.items())]
        names = "1 name means" if len(left_out) == 1 else f"{len(left_out)} names mean"
        yield f"{names} no class, and what has it is left out: {some_of(listed, NAMED_AT_MOST)}"
    if absent := [str(c) for c in _absent(found, rule) if not c.needed]:
        yield f"no file has a segment for {some_of(absent, NAMED_AT_MOST)}"


def note_of_taken(found: Sequence[tuple[str, Occurring]], classes: ClassTable) -> Iterator[str]:
    """That label maps without names take those of others, where no user has said so.

    Parameters
    ----------
    found
        Case and what occurs in each of its label maps.
    classes
        The classes that follow from it.
    """
    named = {c.value: c.name for c in classes.classes if c.name != f"label_{c.value}" and c.value}
    takers = [(case_id, one.values) for case_id, one in found if not one.names]
    taken = sorted(set(named) & {value for _, values in takers for value in values})
    givers = [case_id for case_id, one in found if set(taken) & set(one.names)]
    if not taken or not givers:
        return
    cases = list(dict.fromkeys(case_id for case_id, values in takers if values & set(taken)))
    pairs = some_of([f"{value}={named[value]}" for value in taken])
    yield (
        f"label maps without names ({'case' if len(cases) == 1 else 'cases'} {some_of(cases)}) "
        f"take the names that others give their numbers ({pairs}, as in case {givers[0]}); "
        "--labels says which names are meant"
    )


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count} files"


def merging_hint(found: Sequence[Sequence[str]]) -> Iterator[str]:
    """That names differ only in their spelling, and the options that would make them one.

    Parameters
    ----------
    found
        The names of each file.
    """
    every = sorted({name for names in found for name in names})
    alike = spelled_alike(every)
    if not alike:
        return
    listed = some_of([" and ".join(map(repr, group)) for group in alike], NAMED_AT_MOST)
    hint = f"names differ only in case, spaces or underscores: {listed}; --loose-names makes one "
    hint += "class of each"
    grouped = {name for group in alike for name in group}
    groups = sorted([*alike, *([name] for name in every if name not in grouped)])
    if len(groups) <= MOST_IN_HINT:
        classes = [f"{n}={_pattern(group, found)}" for n, group in enumerate(groups, 1)]
        hint += f", or --labels {shlex.quote(','.join(['0', *classes]))}"
    yield hint


def _pattern(group: Sequence[str], found: Sequence[Sequence[str]]) -> str:
    """What fits some names, for ``--labels``; it ends with | where files lack all of them."""
    pattern = "|".join(map(to_the_letter, group))
    everywhere = all(set(group) & set(names) for names in found)
    return pattern if everywhere or not is_pattern(pattern) else f"{pattern}|"


def refuse_absent(found: Sequence[FileNames], rule: NameRule) -> None:
    """Raise `ClassError` when a class that each file needs is in none of them."""
    missing = [named for named in _absent(found, rule) if named.needed]
    if not missing:
        return
    names = {name: None for file in found for name in file.names.values()}
    problem = f"no segment of any file means class {missing[0]}"
    raise lacking(missing[0], problem, list(names), None)


def refuse_mixed(found: Sequence[FileNames], classes: ClassTable, rule: NameRule | None) -> None:
    """Raise `ClassError` when a class without a name is different segments in different files.

    Parameters
    ----------
    found
        The names of each file.
    classes
        The class table; a number that it gives no name, or ignores, takes the segment that
        has it in a file, unless a class has the segment's name.
    rule
        Which name is which class, where that is not by the letter alone.
    """
    first: dict[int, FileNames] = {}
    for file in found:
        for number, name in _by_number(file, classes, rule).items():
            other = first.setdefault(number, file)
            before = other.names[number]
            if name == before or (rule and rule.loose and spelling(name) == spelling(before)):
                continue
            raise ClassError(
                f"the label value {number} is {before!r} here and {name!r} in {file.path}; as one "
                "class they would be mixed.",
                remedy=f"Name the classes: --labels {_naming(found, classes, rule)}.",
                path=other.path,
            )


def notes_of_ignored(
    found: Sequence[FileNames], classes: ClassTable, rule: NameRule | None
) -> Iterator[str]:
    """Which segments are not labelled since their number is ignored, one sentence each."""
    ignored: dict[int, str] = {}
    for file in found:
        for number, name in _by_number(file, classes, rule).items():
            if number in classes.ignore_values:
                ignored.setdefault(number, name)
    for number, name in sorted(ignored.items()):
        yield (
            f"the ignored label value {number} is the segment {name!r}, whose voxels count as not "
            "labelled"
        )


def _by_number(file: FileNames, classes: ClassTable, rule: NameRule | None) -> dict[int, str]:
    """Numbers and names of the segments of a file that are a class by their number alone."""
    unnamed = {c.value for c in classes.classes if c.name == f"label_{c.value}"}
    unnamed |= set(classes.ignore_values)
    taken = set(classes.names)
    names = {n: name for n, name in file.names.items() if n in unnamed and name not in taken}
    if rule is None:
        return names
    means = rule.assign(file.names, file.path)
    return {n: name for n, name in names.items() if n in rule.numbers and means.get(n) == n}


def _naming(found: Sequence[FileNames], classes: ClassTable, rule: NameRule | None) -> str:
    """Classes for ``--labels``, each with a name: those of the table, then what files have."""
    named = {c.value: c.name for c in classes.classes if c.name != f"label_{c.value}" and c.value}
    for file in found:
        for name in _by_number(file, classes, rule).values():
            if name not in named.values():
                named[next(n for n in range(1, len(named) + 2) if n not in named)] = name
    pairs = [f"{n}={to_the_letter(name)}" for n, name in sorted(named.items())]
    return shlex.quote(",".join(["0", *pairs]))


def lacking_files(found: Sequence[FileNames], rule: NameRule) -> Iterator[tuple[str, ClassError]]:
    """Cases with a file that lacks a class that each file needs, and the error of each."""
    for file in found:
        try:
            check_needed(rule, file.names, file.path)
        except ClassError as error:
            yield file.case_id, error


def _absent(found: Sequence[FileNames], rule: NameRule) -> list[NamedClass]:
    """Classes but the background that no name means; none where there are no names."""
    names = sorted({name for file in found for name in file.names.values()})
    return [c for c in rule.classes if c.value and names and not c.places(names, rule.loose)]
