"""What a page says of raters: each pair's Dice, sensitivity and specificity, who differs most."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from softlab_cli.core.caseid import natural_order
from softlab_cli.fusion.raters import RaterStatistics
from softlab_cli.report.page.cases import CaseFacts
from softlab_cli.report.page.charts import Matrix, matrix
from softlab_cli.report.page.tables import Column, Row, Table, without_empty
from softlab_cli.report.tables import counted

__all__ = ["RaterPart", "rater_part"]

MOST_IN_MATRIX = 40


@dataclass(frozen=True)
class RaterPart:
    """The part of a page on raters.

    Parameters
    ----------
    rater
        Who agrees least with the others; empty where nobody can be compared.
    said
        How much, as the rest of the sentence.
    pairs
        Dice of each two; None of very many raters.
    table
        A row for each rater.
    """

    rater: str
    said: str
    pairs: Matrix | None
    table: Table


def rater_part(cases: Sequence[CaseFacts], background: int | None) -> RaterPart | None:
    """What the kept statistics say of raters, over all cases; None without raters.

    Parameters
    ----------
    cases
        All cases.
    background
        The class that is no foreground, if there is one.
    """
    kept = [(case, case.raters) for case in cases if case.raters is not None]
    names = sorted({name for _, found in kept for name in found.raters}, key=natural_order)
    if len(names) < 2:
        return None
    columns = [
        Column("rater", "name"), Column("cases", "number"),
        Column("Dice", "number", 3, "Mean Dice with the other raters of a case, without "
               "background, over its cases."),
        Column("sensitivity", "number", 3, "As STAPLE estimates it, mean over classes without "
               "background and cases."),
        Column("specificity", "number", 3, "Likewise."),
        Column("does not belong in", "link", explained="Cases in which the rater agrees with "
               "the others less than half as much as they do among themselves."),
    ]  # fmt: skip
    rows = [_row(name, kept, background) for name in names]
    table = Table("raters", "Raters over all cases", *without_empty(columns, rows))
    rater, said = _least(rows)
    return RaterPart(rater, said, _pairs(names, [found for _, found in kept]), table)


def _row(
    name: str, kept: Sequence[tuple[CaseFacts, RaterStatistics]], background: int | None
) -> Row:
    own = [(case, found, found.raters.index(name)) for case, found in kept if name in found.raters]
    odd = tuple((case.anchor, case.case_id) for case, found, _ in own if name in found.outliers)
    return Row(
        [
            name, len(own), _mean(found.mean_dice[i] for _, found, i in own),
            _mean(v for _, found, i in own for v in _without(found.sensitivity[i], background)),
            _mean(v for _, found, i in own for v in _without(found.specificity[i], background)),
            odd or None,
        ],
        marked=bool(odd),
    )  # fmt: skip


def _without(values: Sequence[float | None], background: int | None) -> Iterator[float | None]:
    return (v for i, v in enumerate(values) if i != background)


def _mean(values: Iterator[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known else None


def _least(rows: Sequence[Row]) -> tuple[str, str]:
    """Who agrees least with the others, and how much."""
    known = [row.cells for row in rows if row.cells[2] is not None]
    if len(known) < 3:  # two agree as little with one another
        return "", ""
    name, cases, dice = min(known, key=lambda cells: float(cells[2]))[:3]
    others = [float(cells[2]) for cells in known if cells[0] != name]
    return str(name), (
        f"agrees least with the others: mean Dice {dice:.3f} in {counted(int(cases), 'case')}; "
        f"the other raters have {sum(others) / len(others):.3f}."
    )


def _pairs(names: Sequence[str], kept: Sequence[RaterStatistics]) -> Matrix | None:
    if len(names) > MOST_IN_MATRIX:
        return None
    found: dict[frozenset[str], list[float]] = {}
    for pair in (pair for statistics in kept for pair in statistics.pairs):
        found.setdefault(frozenset(pair.raters), []).append(pair.mean_dice)
    means = {pair: sum(dice) / len(dice) for pair, dice in found.items()}
    values = [[means.get(frozenset((a, b))) if a != b else None for b in names] for a in names]
    least = min(means.values(), default=0.0)
    return matrix(
        "Dice of each two raters, mean over the cases that both drew", names, names, values,
        low=min(least, 0.9), high=1.0,
        told=f"Dice of each two of {len(names)} raters; the least is {least:.3f}.",
    )  # fmt: skip
