"""How reports put counts, names and columns into words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from softlab_cli.core.text import shown

__all__ = ["counted", "first_names", "table"]


def counted(count: int, noun: str, many: str = "") -> str:
    """A number of things: ``1 case``, ``2 cases``; `many` where no s makes the plural."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or noun + 's'}"


def first_names(names: Sequence[str], most: int = 8) -> str:
    """The first names, and how many more there are."""
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of columns, each as wide as its widest entry."""
    rows = [list(map(shown, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  " + "  ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)).rstrip()
