"""All cases of a store at a glance: what ``softlab info STORE`` prints."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

from softlab_cli.core.errors import SoftlabError, UsageError
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.text import shown
from softlab_cli.report.tables import counted, first_names, table
from softlab_cli.store.files import find_partials, folder_bytes
from softlab_cli.store.reader import Store
from softlab_cli.store.schema import CaseInfo, StoreInfo

__all__ = ["COLUMNS", "Overview", "csv_of_store", "describe_store", "gather_overview"]

MOST_WARNINGS = 5
"""Warnings that are told in the summary."""

WARNING_LETTERS = 100

Fact = Callable[["CaseFacts"], Any]


@dataclass(frozen=True)
class CaseFacts:
    """What is known of one case.

    Parameters
    ----------
    case_id
        The case.
    info
        What the store keeps about it.
    foreground_ml
        Volume of all classes but background, of the hard label; None where it is not kept,
        and of pictures.
    """

    case_id: str
    info: CaseInfo
    foreground_ml: float | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (Z, Y, X), or (Y, X) in 2D."""
        return self.info.geometry.shape[3 - self.info.geometry.ndim :]

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Along the same axes."""
        return self.info.geometry.spacing_mm[3 - self.info.geometry.ndim :]

    @property
    def classes(self) -> int | None:
        """Classes that occur in the hard label."""
        statistics = self.info.statistics
        return None if statistics is None else sum(n > 0 for n in statistics.hard_voxels)

    def statistic(self, name: str) -> Any:
        """An entry of the statistics; None where there are none."""
        return getattr(self.info.statistics, name, None)


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Parameters
    ----------
    title
        What stands above it; in the CSV file its name.
    fact
        What is in it: a text or a number, or None.
    text
        How that is shown in the table.
    """

    title: str
    fact: Fact
    text: Callable[[Any], str] = str


def _joined(separator: str) -> Callable[[Any], str]:
    return lambda numbers: separator.join(str(n) if isinstance(n, int) else f"{n:g}"
                                          for n in numbers)  # fmt: skip


COLUMNS = {
    "case": Column("case_id", lambda case: case.case_id),
    "shape": Column("shape", lambda case: case.shape, _joined("x")),
    "spacing": Column("spacing_mm", lambda case: case.spacing_mm, _joined(" ")),
    "classes": Column("classes", lambda case: case.classes),
    "raters": Column("raters", lambda case: len(case.info.raters) or None),
    "volume": Column("foreground_ml", lambda case: case.foreground_ml, "{:.2f}".format),
    "entropy": Column(
        "mean_entropy_bits", lambda case: case.statistic("mean_entropy_bits"), "{:.4f}".format
    ),
    "ties": Column("ties", lambda case: case.statistic("ties")),
    "changes": Column("argmax_changes", lambda case: case.statistic("argmax_changes")),
    "warnings": Column("warnings", lambda case: len(case.info.warnings), lambda n: str(n or "")),
}
"""Columns by the name that they are sorted by; see `softlab_cli.store.statistics`."""

TITLES = {"spacing": "spacing mm", "volume": "ml", "entropy": "entropy bits"}
"""In the table for people, where they differ from the names."""


@dataclass(frozen=True)
class Overview:
    """All cases of a store.

    Parameters
    ----------
    store
        The store.
    cases
        Those that can be read.
    errors
        Case id to what is wrong with the others.
    """

    store: Store
    cases: Sequence[CaseFacts]
    errors: dict[str, SoftlabError]


def gather_overview(store: Store, sort: str | None = None) -> Overview:
    """What the metadata of all cases say; no array is opened.

    Parameters
    ----------
    store
        An open store.
    sort
        A name of `COLUMNS`: by it, the largest first (case ids from the first on); what is
        not known comes last. By default by case id.

    Raises
    ------
    UsageError
        When there is no such column.
    """
    if sort is not None and sort not in COLUMNS:
        raise UsageError(f"{sort!r} is no column.", remedy=f"Sort by one of {', '.join(COLUMNS)}.")
    cases: list[CaseFacts] = []
    errors: dict[str, SoftlabError] = {}
    for case_id in store:
        try:
            info = store.read_info(case_id)
        except SoftlabError as error:
            errors[case_id] = error
        else:
            cases.append(CaseFacts(case_id, info, _foreground_ml(info, store.info)))
    if sort not in (None, "case"):
        fact = COLUMNS[sort].fact
        cases.sort(key=lambda case: _rank(fact(case)))
    return Overview(store, cases, errors)


def _foreground_ml(info: CaseInfo, store: StoreInfo) -> float | None:
    if info.statistics is None or info.geometry.ndim == 2:
        return None
    background = store.classes.background_index
    return sum(v for i, v in enumerate(info.statistics.hard_mm3) if i != background) / 1000


def _rank(fact: Any) -> tuple[int, tuple[float, ...]]:
    """What sorts large facts first, and missing ones last; sizes by their product."""
    if fact is None:
        return 1, ()
    if isinstance(fact, tuple):
        product = 1.0
        for number in fact:
            product *= number
        return 0, (-product,)
    return 0, (-fact,)


def csv_of_store(overview: Overview) -> str:
    """All cases as CSV (RFC 4180), with a line of names first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(column.title for column in COLUMNS.values())
    for case in overview.cases:
        facts = (column.fact(case) for column in COLUMNS.values())
        writer.writerow(
            "x".join(map(str, fact)) if isinstance(fact, tuple) else fact for fact in facts
        )
    return text.getvalue()


def describe_store(overview: Overview, *, sizes: bool = False) -> Iterator[str]:
    """A few lines about the store, a summary of its cases, and their table.

    Parameters
    ----------
    overview
        Of `gather_overview`.
    sizes
        Tell how large the store is, for which all its files are looked at.
    """
    store, cases = overview.store, overview.cases
    yield from _describe_info(store)
    if sizes:
        yield f"  size      {format_bytes(folder_bytes(store.path))}"
    yield from _summary(overview)
    yield ""
    columns = {name: list(_texts(column, cases)) for name, column in COLUMNS.items()}
    told = [name for name, texts in columns.items() if name == "case" or any(texts)]
    rows = list(zip(*(columns[name] for name in told), strict=True))
    yield from table([TITLES.get(name, name) for name in told], rows)
    partials = find_partials(store.path)
    if partials:
        yield (
            f"{counted(len(partials), 'unfinished case')} (run the same command again): "
            + first_names(tuple(p.name for p in partials))
        )


def _texts(column: Column, cases: Sequence[CaseFacts]) -> Iterator[str]:
    for case in cases:
        fact = column.fact(case)
        yield "" if fact is None else column.text(fact)


def _describe_info(store: Store) -> Iterator[str]:
    info = store.info
    parameters = ", ".join(f"{k}={v}" for k, v in info.parameters.items() if v is not None)
    yield f"{store.path}"
    yield f"  method    {info.method}" + (f" ({parameters})" if parameters else "")
    if info.reading:
        yield "  reading   " + ", ".join(f"{k}={v}" for k, v in info.reading.items())
    yield f"  classes   {len(info.classes)}: {first_names(info.classes.names)}"
    if info.classes.ignore_values:
        yield f"  ignored   label value {', '.join(map(str, info.classes.ignore_values))}"
    if info.labels_only:
        yield "  stored    hard labels; soft labels are computed on read"
    yield f"  made by   softlab {info.version}"


def _summary(overview: Overview) -> Iterator[str]:
    """Ranges and totals over all cases, and what was odd."""
    cases = overview.cases
    yield f"  cases     {len(cases)}"
    if cases:
        yield f"  shape     {_ranges([case.shape for case in cases], 'x')}"
        yield f"  spacing   {_ranges([case.spacing_mm for case in cases], ' x ')} mm"
    for name, title, unit in (("classes", "present", " classes"), ("raters", "raters", ""),
                              ("volume", "volume", " ml"), ("entropy", "entropy", " bits"),
                              ("ties", "ties", ""), ("changes", "changes", "")):  # fmt: skip
        known = [f for case in cases if (f := COLUMNS[name].fact(case)) is not None]
        if known:
            yield f"  {title:<10}" + _span(known, unit, total=name in ("volume", "ties", "changes"))
    yield from _warnings(cases)
    for case_id, error in overview.errors.items():
        yield f"  unread    {shown(case_id)}: {shown(error)}"


def _span(known: Sequence[float], unit: str, *, total: bool) -> str:
    low, high = min(known), max(known)
    ends = list(dict.fromkeys((f"{low:.4g}", f"{high:.4g}")))
    each = " to ".join(ends) + unit
    if len(known) > 1:
        each += " a case"
    if low == high and (not total or len(known) == 1 or not high):
        return each
    return f"{each}, {sum(known):.6g} in all" if total else f"{each}, {mean(known):.4g} on average"


def _ranges(rows: Sequence[tuple[float, ...]], separator: str) -> str:
    """Smallest and largest along each axis; of pictures and volumes the last axes."""
    ndim = min(map(len, rows))
    axes = zip(*(row[-ndim:] for row in rows), strict=True)
    spans = [dict.fromkeys((_short(min(axis)), _short(max(axis)))) for axis in axes]
    return separator.join("..".join(span) for span in spans)


def _short(number: float) -> str:
    """A number in four digits, in which spacings that differ by rounding are alike."""
    return str(number) if isinstance(number, int) else f"{number:.4g}"


def _warnings(cases: Sequence[CaseFacts]) -> Iterator[str]:
    """How many there are, and the most frequent."""
    texts = Counter(text for case in cases for text in case.info.warnings)
    if not texts:
        return
    warned = sum(bool(case.info.warnings) for case in cases)
    yield f"  warnings  {texts.total()} in {counted(warned, 'case')}"
    for text, count in texts.most_common(MOST_WARNINGS):
        short = text if len(text) <= WARNING_LETTERS else f"{text[:WARNING_LETTERS]}..."
        yield f"            {counted(count, 'time')}: {shown(short)}"
    if len(texts) > MOST_WARNINGS:
        yield f"            and {len(texts) - MOST_WARNINGS} other texts"
