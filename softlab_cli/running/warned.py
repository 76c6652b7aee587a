"""Warnings of many cases, each told once: how many cases it is about, and the first of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.folders import some_of

__all__ = ["Warned", "WarningGroup"]

SPECIFIC = re.compile(r"""'[^']*'|"[^"]*"|\S*\d\S*|\S+[./\\]\S+""")
"""What differs from case to case in one warning: names in quotes, numbers, files."""

LISTS = re.compile(r"\*(?:,? (?:and )?\*)+")
NAMED_AT_MOST = 3


@dataclass
class WarningGroup:
    """One warning: its texts, and who they are about; dicts keep the order and forget repeats."""

    cases: dict[str, None] = field(default_factory=dict)
    texts: dict[str, dict[str, None]] = field(default_factory=dict)

    def add(self, case_id: str, rater: str, text: str) -> None:
        """Take in the warning of a case; `rater` is empty where it is about none."""
        self.cases[case_id] = None
        self.texts.setdefault(text, {})[rater] = None

    def lines(self) -> Iterator[str]:
        """One line; where a single case has several texts, a line for each."""
        case_ids: list[str] = sorted(self.cases, key=natural_order)
        named = some_of(case_ids, NAMED_AT_MOST)
        if len(self.cases) == 1:
            yield from (f"{named}: {_of(raters)}{text}" for text, raters in self.texts.items())
            return
        text = next(iter(self.texts))
        raters = {rater: None for found in self.texts.values() for rater in found}
        such = "" if len(self.texts) == 1 else ", the first"
        yield f"{len(self.cases)} cases ({named}){such}: {_of(raters)}{text}"


def _of(raters: dict[str, None]) -> str:
    known = [rater for rater in raters if rater]
    return f"{', '.join(known)}: " if known else ""


class Warned:
    """Collects the warnings of a run; those that differ in numbers and names are one."""

    def __init__(self) -> None:
        self._groups: dict[str, WarningGroup] = {}

    def add(self, event: CaseFinished) -> None:
        """Take in the warnings of a case."""
        for warning in event.warnings:
            rater, text = _split(warning, event.raters)
            key = LISTS.sub("*", SPECIFIC.sub("*", text))
            self._groups.setdefault(key, WarningGroup()).add(event.case_id, rater, text)

    @property
    def groups(self) -> list[WarningGroup]:
        """The warnings so far, in the order in which they came up."""
        return [*self._groups.values()]

    def take(self) -> list[str]:
        """What is to be said, in the order in which it came up; forgets it."""
        lines = [line for group in self._groups.values() for line in group.lines()]
        self._groups.clear()
        return lines


def _split(warning: str, raters: tuple[str, ...]) -> tuple[str, str]:
    """The rater whose label map a warning is about, if it is about one, and the rest."""
    rater = next((r for r in raters if warning.startswith(f"{r}: ")), "")
    return rater, warning.removeprefix(f"{rater}: ") if rater else warning
