"""Warnings of all cases, grouped, with counts and the cases."""

from __future__ import annotations

from collections.abc import Sequence

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.events import CaseFinished
from softlab_cli.report.page.cases import CaseFacts
from softlab_cli.report.page.tables import Column, Row, Table, without_empty
from softlab_cli.running.warned import Warned, WarningGroup

__all__ = ["warning_table"]

MOST_NAMED = 50
"""Cases of one warning that are named."""


def warning_table(cases: Sequence[CaseFacts]) -> Table | None:
    """A row for each warning; those that differ only in numbers and names are one.

    Parameters
    ----------
    cases
        All cases.

    Returns
    -------
    Table or None
        None without any warning.
    """
    warned = Warned()
    anchors = {case.case_id: case.anchor for case in cases}
    for case in cases:
        warned.add(
            CaseFinished(case.case_id, "done", warnings=case.warnings, raters=case.rater_names)
        )
    groups = sorted(warned.groups, key=lambda group: -len(group.cases))
    if not groups:
        return None
    columns = [
        Column("cases", "number"), Column("warning", explained="The first, where several differ "
               "in numbers or names only."), Column("texts", "number"), Column("raters", "link"),
        Column("in", "link"),
    ]  # fmt: skip
    rows = [_row(group, anchors) for group in groups]
    return Table("warnings", "Warnings, the most frequent first", *without_empty(columns, rows))


def _row(group: WarningGroup, anchors: dict[str, str]) -> Row:
    named = [(anchors[i], i) for i in sorted(group.cases, key=natural_order)]
    more = [("", f"and {len(named) - MOST_NAMED} more")] if len(named) > MOST_NAMED else []
    raters = {name: None for found in group.texts.values() for name in found if name}
    return Row(
        [
            len(group.cases), next(iter(group.texts)), len(group.texts),
            tuple(("", name) for name in raters) or None, (*named[:MOST_NAMED], *more),
        ]
    )  # fmt: skip
