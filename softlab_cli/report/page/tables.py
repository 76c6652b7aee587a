"""Tables of a page: columns with a type, by which they are sorted and filtered."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

__all__ = ["Column", "ColumnKind", "Row", "Table", "as_text", "without_empty"]

ColumnKind = Literal["text", "short", "name", "number", "share", "signs", "link", "box"]
"""Words of ours; few of them, in one line; a name from a file; a number; a share, shown in per
cent; pairs of words and a name, which may be empty; pairs of an anchor in the page, which may be
empty, and a name; a box plot (a `softlab_cli.report.page.boxes.Box`)."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Parameters
    ----------
    title
        Its heading; a unit belongs into it.
    kind
        What its cells hold; None is an empty cell, sorted last.
    digits
        Significant digits of numbers.
    explained
        One sentence that says what the numbers are, where the heading does not.
    key
        Name by which the page's script finds the column, where it has to.
    """

    title: str
    kind: ColumnKind = "text"
    digits: int = 4
    explained: str = ""
    key: str = ""

    @property
    def is_number(self) -> bool:
        """Whether it is sorted as numbers."""
        return self.kind in ("number", "share", "box")

    def text(self, value: Any) -> str:
        """A cell as it is shown."""
        if self.kind == "share" and value is not None:
            return f"{_per_cent(100 * value, self.digits)} %"
        return as_text(value, self.digits)

    def sorted_by(self, value: Any) -> str:
        """What a cell is sorted by; empty where it has nothing, or is sorted as it reads."""
        if value is None or not self.is_number:
            return ""
        number = value.median if self.kind == "box" else value
        number = 100 * number if self.kind == "share" else number
        return "" if math.isnan(number) else f"{number:.9g}"


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Parameters
    ----------
    cells
        A value for each column.
    anchor
        Its id in the page, so that links lead to it; empty for none.
    marked
        Whether it is one of those that the filter "only ..." leaves.
    opens
        Id of the ``<template>`` that the row opens, on the button that its first cell then is.
    volumes
        Numbers of the column that a choice of class changes, by class.
    """

    cells: Sequence[Any]
    anchor: str = ""
    marked: bool = False
    opens: str = ""
    volumes: Sequence[float | None] = ()


@dataclass(frozen=True)
class Table:
    """A table of a page.

    Parameters
    ----------
    key
        Its id in the page.
    caption
        What it shows; read aloud before it.
    columns, rows
        What it holds.
    filters
        Whether fields above it filter its rows.
    only
        Label of the filter that leaves marked rows only; empty for none.
    choices
        Names of classes among which the column with the key ``volume`` chooses, the first of
        them shown; each row's `Row.volumes` has a number for each.
    things
        What one of its rows, and several, are called, for the count of those that are left.
    """

    key: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    filters: bool = False
    only: str = ""
    choices: Sequence[str] = ()
    things: tuple[str, str] = ("row", "rows")


def without_empty(columns: Sequence[Column], rows: Sequence[Row]) -> tuple[list[Column], list[Row]]:
    """Columns in which any row has something, and the rows without the others."""
    kept = [i for i in range(len(columns)) if any(row.cells[i] is not None for row in rows)]
    shorter = [replace(row, cells=[row.cells[i] for i in kept]) for row in rows]
    return [columns[i] for i in kept], shorter


def as_text(value: Any, digits: int = 4) -> str:
    """A number with so many digits, no power of ten where people would not write one."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return _plain(value, digits)
    return str(value)


def _per_cent(value: float, digits: int) -> str:
    """A share in per cent; below a thousandth of one it is only said on which side of 0."""
    if 0 < abs(value) < 0.001:
        return "<0.001" if value > 0 else ">-0.001"
    return as_text(value, digits)


def _plain(value: float, digits: int) -> str:
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    whole = math.floor(math.log10(abs(value))) + 1
    if whole < -4:
        return f"{value:.{digits}g}"
    if whole > digits:
        return f"{value:.0f}"
    text = f"{value:.{max(0, digits - max(whole, 0))}f}" if whole > 0 else f"{value:.{digits}g}"
    return text.rstrip("0").rstrip(".") if "." in text and "e" not in text else text
