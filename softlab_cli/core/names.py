"""Which name of a file is which class: patterns, other names, and spellings that are one.

A pattern is a name, or has ``*``, ``?`` and ``[sets]`` as file names have them.
Alternatives are separated by ``|``; an empty one says that a file may lack the class.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import ClassError

__all__ = [
    "NameRule",
    "NamedClass",
    "alternatives",
    "is_pattern",
    "matches",
    "spelled_alike",
    "spelling",
    "title_of",
    "to_the_letter",
]

SET = re.compile(r"\[!?(.)[^\]]*\]")
"""A set of characters; the first of them stands for it in a class name."""


def spelling(name: str) -> str:
    """A name without what loose names ignore: case, spaces and underscores."""
    return re.sub(r"[\s_]", "", name.casefold())


def spelled_alike(names: Iterable[str]) -> list[list[str]]:
    """Names that differ only in case, spaces and underscores, group by group, sorted."""
    groups: dict[str, list[str]] = {}
    for name in sorted(set(names)):
        groups.setdefault(spelling(name), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def is_pattern(text: str) -> bool:
    """Whether a text stands for more than the one name that it is."""
    return re.search(r"[*?|\[]", text) is not None


def alternatives(pattern: str) -> tuple[str, ...]:
    """The alternatives of a pattern, in its order; spaces around them do not count."""
    return tuple(part.strip() for part in pattern.split("|"))


def to_the_letter(name: str) -> str:
    """A pattern that fits this name; where ``--labels`` has a meaning for a character, any."""
    return re.sub(r"[|,]", "?", escape(name))


def title_of(pattern: str) -> str:
    """What a class is called whose names a pattern gives.

    The first alternative that is a name; else the first without its ``*`` and ``?``,
    with the first character of each set (``[Ll]ung*`` is ``Lung``), or the pattern
    where nothing is left.
    """
    if not is_pattern(pattern):
        return pattern
    named = [part for part in alternatives(pattern) if part]
    plain = next((part for part in named if not is_pattern(part)), "")
    rest = SET.sub(r"\1", named[0]) if named else ""
    return plain or re.sub(r"[*?]", "", rest).strip(" _-") or pattern


def matches(names: Sequence[str], pattern: str, *, loose: bool = False) -> list[int]:
    """Places of the names that one pattern (without alternatives) means.

    Parameters
    ----------
    names
        Names of a file. Those that the pattern is to the letter go before those that
        it fits, so that ``node [12]`` can be named.
    pattern
        A name or a pattern.
    loose
        Whether case, spaces and underscores are ignored.
    """
    seen = [spelling(name) if loose else name for name in names]
    wanted = spelling(pattern) if loose else pattern
    return [i for i, name in enumerate(seen) if name == wanted] or [
        i for i, name in enumerate(seen) if fnmatch.fnmatchcase(name, wanted)
    ]


@dataclass(frozen=True)
class NamedClass:
    """A class and the names that mean it.

    Parameters
    ----------
    value
        Its label value.
    name
        Its name in the class table.
    patterns
        Names and patterns, without alternatives.
    needed
        Whether each file must have one of them.
    """

    value: int
    name: str
    patterns: tuple[str, ...]
    needed: bool = False

    def __str__(self) -> str:
        return f"{self.value} ({'|'.join(self.patterns)})"

    def places(self, names: Sequence[str], loose: bool) -> set[int]:
        """Places of the names that mean it."""
        return {i for pattern in self.patterns if pattern
                for i in matches(names, pattern, loose=loose)}  # fmt: skip


@dataclass(frozen=True)
class NameRule:
    """Which name of a file is which class, the same for all files of a run.

    Parameters
    ----------
    classes
        Classes that names mean.
    numbers
        Label values of classes without a name of their own: a segment with such a
        number that no name claims is that class.
    loose
        Whether case, spaces and underscores are ignored.
    partial
        Whether names that mean no class are left out, rather than refused.
    """

    classes: tuple[NamedClass, ...]
    numbers: frozenset[int] = frozenset()
    loose: bool = False
    partial: bool = True

    @property
    def titles(self) -> dict[int, str]:
        """Label value to class name."""
        named = {c.value: c.name for c in self.classes}
        return {**{number: f"label_{number}" for number in self.numbers}, **named}

    def assign(self, names: Mapping[int, str], path: Path | None = None) -> dict[int, int]:
        """Label values of the class that each numbered name means.

        Parameters
        ----------
        names
            Numbers and names of a file.
        path
            The file, for messages.

        Returns
        -------
        values
            Number in the file to label value, for names that mean a class.

        Raises
        ------
        ClassError
            For names that mean two classes.
        """
        numbers, texts = list(names), list(names.values())
        found: dict[int, NamedClass] = {}
        for named in self.classes:
            for place in sorted(named.places(texts, self.loose)):
                other = found.setdefault(place, named)
                if other.value != named.value:
                    raise ClassError(
                        f"the name {texts[place]!r} means two classes, {other} and {named}.",
                        remedy="Change the patterns, so that each name fits one.",
                        path=path,
                    )
        values = {n: n for n in numbers if n in self.numbers}
        return {**values, **{numbers[place]: named.value for place, named in found.items()}}

    def missing(self, names: Sequence[str]) -> list[NamedClass]:
        """Classes that a file needs and none of its names means."""
        return [c for c in self.classes if c.needed and not c.places(names, self.loose)]

    def to_json(self) -> dict[str, Any]:
        """The rule as the store keeps it."""
        return {str(c.value): "|".join(c.patterns) for c in self.classes}
