"""What a page says of each class of a store: its volumes over the cases, soft against hard."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.report.page.boxes import Box, box_of, fences
from softlab_cli.report.page.cases import CaseFacts
from softlab_cli.report.page.charts import Chart, Place, histogram, scatter
from softlab_cli.report.page.tables import Column, Row, Table, as_text, without_empty

__all__ = ["class_charts", "class_table"]

MOST_HISTOGRAMS = 4
LEAST_FOR_BOX = 3
MOST_NAMED = 20
"""Cases that stand out in one class and are named in its row."""

Floats = NDArray[np.float64]


def class_table(cases: Sequence[CaseFacts], classes: ClassTable) -> Table:
    """A row for each class that occurs.

    Parameters
    ----------
    cases
        All cases.
    classes
        The store's classes.
    """
    known = [case for case in cases if case.statistics is not None]
    hard, soft = _millilitres(known, "hard_mm3"), _millilitres(known, "soft_mm3")
    seen = hard[:, _foreground(classes)] if hard.size else hard
    ends = (float(seen[seen > 0].min()), float(seen.max())) if (seen > 0).any() else (1.0, 10.0)
    columns = [
        Column("class", "name"), Column("label value", "number"), Column("cases", "number"),
        Column("median, ml", "number"),
        Column("volumes over the cases", "box", explained=
               f"From {as_text(ends[0], 3)} to {as_text(ends[1], 3)} ml on a logarithmic axis, "
               "the same for all classes: box from quartile to quartile, line at the median, "
               "diamonds for volumes that stand out."),
        Column("soft against hard", "share", 2, "How much more mass the soft label has than the "
               "hard one, all cases together: above 0 the class grows by softening."),
        Column("least", "share", 2, "The same in the case where it is least."),
        Column("most", "share", 2, "The same in the case where it is most."),
        Column("stands out in", "link"),
    ]  # fmt: skip
    rows = [
        _row(entry.index, classes, known, hard, soft, ends)
        for entry in classes.classes
        if hard.size and hard[:, entry.index].any()
    ]
    columns, rows = without_empty(columns, rows)
    things = ("class", "classes")
    return Table("classes", "Classes that occur", columns, rows, len(rows) > 12, things=things)


def _foreground(classes: ClassTable) -> list[int]:
    return [i for i in range(len(classes)) if i != classes.background_index]


def _millilitres(cases: Sequence[CaseFacts], name: str) -> Floats:
    """(cases, classes); empty where a case does not keep it."""
    found = [getattr(case.statistics, name) for case in cases]
    if not found or any(row is None for row in found):
        return np.zeros((0, 0))
    return np.array(found, np.float64) / 1000


def _row(
    index: int, classes: ClassTable, cases: Sequence[CaseFacts], hard: Floats, soft: Floats,
    ends: tuple[float, float],
) -> Row:  # fmt: skip
    there = hard[:, index] > 0
    volumes = hard[there, index]
    is_background = index == classes.background_index
    least, most = fences(volumes.tolist(), log=True)
    odd = [
        (case.anchor, case.case_id)
        for case, volume in zip(cases, hard[:, index], strict=True)
        if volume > 0 and not least <= volume <= most and not is_background
    ]
    ratios: list[float | None] = [None, None, None]
    if soft.size:
        own = soft[there, index] / volumes - 1
        ratios[0] = float(soft[:, index].sum() / volumes.sum() - 1)
        if len(own) > 1:
            ratios[1:] = [float(own.min()), float(own.max())]
    more = [("", f"and {len(odd) - MOST_NAMED} more")] if len(odd) > MOST_NAMED else []
    return Row(
        [
            classes.names[index], classes.values[index], int(there.sum()),
            float(np.median(volumes)),
            None if is_background or len(cases) < LEAST_FOR_BOX else _box(volumes, ends),
            *ratios, (*odd[:MOST_NAMED], *more) or None,
        ],
        marked=bool(odd),
    )  # fmt: skip


def _box(volumes: Floats, ends: tuple[float, float]) -> Box:
    first, middle, third = np.quantile(volumes, [0.25, 0.5, 0.75])
    numbers = [as_text(float(v), 3) for v in (volumes.min(), first, middle, third, volumes.max())]
    told = (
        f"{len(volumes)} volumes, ml: least {numbers[0]}, quartiles {numbers[1]} and "
        f"{numbers[3]}, median {numbers[2]}, most {numbers[4]}"
    )
    return box_of(volumes.tolist(), *ends, told)


def class_charts(cases: Sequence[CaseFacts], classes: ClassTable) -> list[Chart]:
    """Entropy over the cases; volumes of few classes, or soft against hard mass of many."""
    known = [case for case in cases if case.statistics is not None]
    hard, soft = _millilitres(known, "hard_mm3"), _millilitres(known, "soft_mm3")
    charts = []
    entropies = [case.entropy_bits for case in known if case.entropy_bits is not None]
    if len(entropies) > 2:
        charts.append(histogram("Mean entropy of the cases", entropies, "bits"))
    used = [i for i in _foreground(classes) if hard.size and hard[:, i].any()]
    if len(known) > 2:
        charts += [
            histogram("Volumes of", hard[hard[:, i] > 0, i].tolist(), "ml", name=classes.names[i])
            for i in (used if len(used) <= MOST_HISTOGRAMS else [])
        ]
    if soft.size and len(used) > 1:
        pooled = {i: (float(hard[:, i].sum()), float(soft[:, i].sum())) for i in used}
        places = [Place(h, 100 * (s / h - 1), classes.names[i]) for i, (h, s) in pooled.items()]
        charts.append(
            scatter(
                "Soft against hard mass of each class", {"classes": places},
                "volume of the hard label in all cases, ml", "change by softening, %", log_x=True,
                level=0.0,
                told=_ratios(places),
            )
        )  # fmt: skip
    return charts


def _ratios(places: Sequence[Place]) -> str:
    low, high = min(places, key=lambda p: p.y), max(places, key=lambda p: p.y)
    return (
        f"How much more mass soft labels have than hard ones, {len(places)} classes: from "
        f"{as_text(low.y)} % ({low.name}) to {as_text(high.y)} % ({high.name})."
    )
