"""Segments: their label values and names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import ClassError
from softlab_cli.core.folders import some_of
from softlab_cli.core.names import matches
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.readers.options import ReadingOptions

__all__ = ["Segment", "assign_values", "choose", "titled", "told_apart", "unique_names"]


@dataclass(frozen=True)
class Segment:
    """One segment, or one region of interest.

    Parameters
    ----------
    number
        Its number in the file.
    name
        Its label; made unique.
    value
        Its label value.
    meaning
        What the file says of it further, such as coded meanings.
    """

    number: int
    name: str
    value: int = 0
    meaning: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The segment as metadata."""
        return {"value": self.value, "name": self.name, "number": self.number, **self.meaning}


def assign_values(
    segments: Sequence[Segment],
    values: Mapping[str, int] | None,
    path: Path,
    *,
    what: str = "segment",
) -> tuple[list[Segment | None], list[str]]:
    """Give segments unique names and label values.

    Parameters
    ----------
    segments
        In the order of the file.
    values
        Name, or pattern (``GTV*``), to label value; other segments are left out.
        By default all segments are kept, with their numbers as label values, or
        with 1, 2, 3... where the numbers will not do.
    path
        The file.
    what
        What to call a segment in messages.

    Returns
    -------
    segments
        One for each of the input, None where it was left out.
    warnings
        What was left out or changed.

    Raises
    ------
    ClassError
        When a name or pattern fits no segment or several, or a value is no
        label value.
    """
    named = unique_names(segments)
    told = told_apart(segments, named, what)
    if values is None:
        kept, warnings = _numbered(named)
        return kept, [*told, *warnings]
    chosen: dict[int, int] = {}
    for pattern, value in values.items():
        if not 0 < value <= LARGEST_LABEL_VALUE:
            problem = f"{pattern!r} is given label value {value}."
            raise ClassError(problem, remedy=f"Give 1 to {LARGEST_LABEL_VALUE}.", path=path)
        index = _only_match(named, pattern, path, what)
        if chosen.setdefault(index, value) != value:
            problem = f"{what} {named[index].name!r} is given label values {chosen[index]} "
            raise ClassError(f"{problem}and {value}.", remedy="Give it one.", path=path)
    left_out = [s.name for i, s in enumerate(named) if i not in chosen]
    if left_out:
        told.append(f"{what}s without a label value were left out: {some_of(left_out)}.")
    return [_with_value(s, chosen[i]) if i in chosen else None for i, s in enumerate(named)], told


def told_apart(given: Sequence[Segment], named: Sequence[Segment], what: str) -> list[str]:
    """That a name was changed since another segment, or background, has it."""
    changed = [
        repr(b.name) for a, b in zip(given, named, strict=True) if a.name and a.name != b.name
    ]
    if not changed:
        return []
    return [
        f"several {what}s have one name, or that of background, and are classes of their own: "
        f"{some_of(changed)}."
    ]


def choose(names: Sequence[str], patterns: Sequence[str], path: Path, *, what: str) -> list[int]:
    """Which of some names are meant by names or patterns (``GTV*``); all without any.

    Parameters
    ----------
    names
        In the order of the file. A name that a pattern is to the letter goes before
        those that it fits.
    path, what
        As for `assign_values`.

    Returns
    -------
    places
        Indices into `names`, ascending.

    Raises
    ------
    ClassError
        When a pattern fits nothing; the message lists the names.
    """
    if not patterns:
        return list(range(len(names)))
    chosen: set[int] = set()
    for pattern in patterns:
        found = matches(names, pattern)
        if not found:
            raise ClassError(
                f"no {what} matches {pattern!r}.",
                remedy=f"There are: {some_of(names, 30) or 'none'}.",
                path=path,
            )
        chosen.update(found)
    return sorted(chosen)


def titled(segments: Sequence[Segment], options: ReadingOptions) -> list[Segment]:
    """Segments by the names of their classes, where several may be one class."""
    return [replace(s, name=options.class_name(s.value, s.name)) for s in segments]


def unique_names(segments: Sequence[Segment]) -> list[Segment]:
    """Segments with a name each, none of which is that of the background."""
    used = {"background"}
    result = []
    for segment in segments:
        name = segment.name or f"label_{segment.number}"
        if name in used:
            name = f"{name} ({segment.number})"
        while name in used:
            name += "'"
        used.add(name)
        result.append(Segment(segment.number, name, segment.value, segment.meaning))
    return result


def _numbered(segments: Sequence[Segment]) -> tuple[list[Segment | None], list[str]]:
    numbers = [s.number for s in segments]
    if len(set(numbers)) == len(numbers) and all(0 < n <= LARGEST_LABEL_VALUE for n in numbers):
        return [_with_value(s, s.number) for s in segments], []
    note = "the numbers in the file are no label values (1 to 65535, each once); 1, 2, 3... taken."
    return [_with_value(s, i) for i, s in enumerate(segments, 1)], [note]


def _with_value(segment: Segment, value: int) -> Segment:
    return Segment(segment.number, segment.name, value, segment.meaning)


def _only_match(segments: Sequence[Segment], pattern: str, path: Path, what: str) -> int:
    names = [s.name for s in segments]
    found = matches(names, pattern)
    if len(found) == 1:
        return found[0]
    matched = f"{len(found)} {what}s match" if found else f"no {what} matches"
    raise ClassError(
        f"{matched} {pattern!r}.",
        remedy=f"There are: {some_of([names[i] for i in found] or names, 30)}.",
        path=path,
    )
