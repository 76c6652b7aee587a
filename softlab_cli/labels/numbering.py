"""Label values of named segments: the same in all cases, as the class table has them.

The numbers that files give to segments are label values as long as they mean the
same in all cases; class names settle it where they do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.core.names import spelling
from softlab_cli.core.volume import LabelMap

__all__ = ["Occurring", "class_values", "common_classes", "no_such_class", "number_as"]


@dataclass(frozen=True)
class Occurring:
    """Label values that occur in a case, and the names and colours that its file gives them.

    Parameters
    ----------
    values
        Label values.
    names
        Label value to name, of named segments.
    colours
        Name to colour, six hex digits, where the file has colours.
    background
        Of soft labels without names: whether their first volume is background
        (``first``) or what they leave (``rest``).
    note
        What the user should know, once for a run.
    """

    values: frozenset[int]
    names: Mapping[int, str] = field(default_factory=dict)
    colours: Mapping[str, str] = field(default_factory=dict)
    background: str = ""
    note: str = ""


def common_classes(
    found: Iterable[Occurring], ignore_values: Iterable[int], *, loose_names: bool = False
) -> tuple[ClassTable, str]:
    """One class table for cases that may number the same names differently.

    The numbers of the files are the label values when each name has one number
    in all cases and no number has two names; otherwise names get 1, 2, 3... in
    their order.

    Parameters
    ----------
    found
        What occurs in each case.
    ignore_values
        Label values that are no class.
    loose_names
        Whether names that differ only in case, spaces and underscores are one class.

    Returns
    -------
    classes
        The table; named segments are classes even where they are empty.
    note
        What the user should know, or nothing.

    Raises
    ------
    ClassError
        When names disagree and other cases have label values without names, or a number
        is to be ignored.
    """
    plain, numbers = {0}, dict[str, set[int]]()
    found = list(found)
    notes = [*dict.fromkeys(case.note for case in found if case.note)]
    if len({case.background for case in found if case.background}) > 1:
        raise ClassError(
            "in some cases the volumes sum to 1 everywhere, so that the first is background, and "
            "in others they do not.",
            remedy="Say which it is with --background first or rest.",
        )
    for case in _one_spelling(found) if loose_names else found:
        plain |= case.values - set(case.names)
        for value, name in case.names.items():
            numbers.setdefault(name, set()).add(value)
    ignored = set(ignore_values)
    pairs = {(v, name) for name, values in numbers.items() for v in values}
    if len({v for v, _ in pairs}) == len(pairs) == len(numbers):
        names = dict(pairs)
        return ClassTable.from_values({*plain, *names}, names, ignored), "; ".join(notes)
    if plain - {0} - ignored:
        raise ClassError(
            "some cases have label values without names, and in others the same names have "
            "different numbers.",
            remedy="Say which value each name has, such as --labels 0,1=liver,2=spleen.",
        )
    _refuse_ignored(ignored & {v for v, _ in pairs}, pairs)
    names = {i: name for i, name in enumerate(sorted(numbers), 1)}
    notes.append(
        "segments are numbered differently in different cases; label values go by their names"
    )
    return ClassTable.from_values({0, *names}, names, ignored), "; ".join(notes)


def _refuse_ignored(ignored: Iterable[int], pairs: Iterable[tuple[int, str]]) -> None:
    """Raise `ClassError` where a number to ignore is one of several that names have."""
    for number in sorted(ignored):
        names = sorted(name for value, name in pairs if value == number)
        raise ClassError(
            f"--ignore-label {number} means {' or '.join(map(repr, names))}, and segments are "
            "numbered differently in different cases.",
            remedy="Leave --ignore-label out, and say with --labels which names are classes; a "
            "pattern such as '0,1=liver*' leaves out what it does not fit.",
        )


def number_as(label_map: LabelMap, classes: ClassTable, path: Path) -> LabelMap:
    """A label map whose named segments have the label values of the class table.

    Parameters
    ----------
    label_map
        Unchanged where its file has no names.
    classes
        A class with a segment's name gives its value; a class with its number
        and no name of its own takes the segment as it is.
    path
        The file, for messages.

    Raises
    ------
    ClassError
        When a segment is no class.
    """
    names: Mapping[int, str] = label_map.metadata.get("names", {})
    values = class_values(names, classes, path)
    if all(value == number for number, value in values.items()):
        return label_map
    lookup = np.arange(max(int(label_map.values.max()), *values) + 1, dtype=np.uint16)
    lookup[list(values)] = list(values.values())
    return replace(label_map, values=lookup[label_map.values])


def class_values(
    names: Mapping[int, str], classes: ClassTable, path: Path, *, by_number: bool = True
) -> dict[int, int]:
    """Label value in the class table of each numbered name; see `number_as`.

    Without `by_number` a name must be that of a class.
    """
    by_name = {c.name: c.value for c in classes.classes}
    unnamed = {c.value for c in classes.classes if by_number and c.name == f"label_{c.value}"}
    unnamed |= set(classes.ignore_values)
    values = {n: by_name.get(name, n if n in unnamed else -1) for n, name in names.items()}
    if strange := [names[n] for n, value in values.items() if value < 0]:
        raise no_such_class(strange, classes.names, path)
    return values


def no_such_class(strange: Sequence[str], known: Sequence[str], path: Path) -> ClassError:
    """The error for names that are no class."""
    return ClassError(
        f"{', '.join(map(repr, strange))}: no such class.",
        remedy=f"There are: {', '.join(known)}. Choose segments with --roi, name the classes "
        "with --labels (patterns such as '1=liver*' leave out what they do not fit), or start "
        "again with --overwrite.",
        path=path,
    )


def _one_spelling(found: Sequence[Occurring]) -> list[Occurring]:
    """Names that are spelled alike under one name: the most frequent, or the first of these."""
    counts = Counter(name for case in found for name in case.names.values())
    ordered = sorted(counts, key=lambda name: (-counts[name], name))
    first: dict[str, str] = {}
    for name in ordered:
        first.setdefault(spelling(name), name)
    return [
        replace(case, names={v: first[spelling(n)] for v, n in case.names.items()})
        for case in found
    ]
