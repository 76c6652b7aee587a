"""What the page of a store shows, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from softlab_cli.core.classes import LabelClass
from softlab_cli.core.memory import format_bytes
from softlab_cli.report.facts import config_toml
from softlab_cli.report.page.cases import ORDER, RULE, CaseFacts, case_table, with_signs
from softlab_cli.report.page.charts import Chart
from softlab_cli.report.page.classes import class_charts, class_table
from softlab_cli.report.page.environment import trusted
from softlab_cli.report.page.pieces import Pieces
from softlab_cli.report.page.raters import RaterPart, rater_part
from softlab_cli.report.page.tables import Table, as_text
from softlab_cli.report.page.warned import warning_table
from softlab_cli.report.tables import counted
from softlab_cli.store.files import find_partials
from softlab_cli.store.reader import Store
from softlab_cli.version import __version__

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["StorePage", "page_of"]


@dataclass(frozen=True)
class StorePage:
    """What the template ``store.html`` shows.

    Parameters
    ----------
    title, summary
        The store's name, and one line about it.
    facts
        What it is: term, value, and whether that comes from a file.
    classes
        Its classes.
    config
        The configuration that made it, as TOML.
    cases
        All cases, worst first.
    broken, unfinished
        Anchors and names of cases that could not be read or drawn, and of unfinished ones.
    case_table, class_table, warnings
        Tables.
    class_notes
        What is to be said before the classes.
    charts
        Of the classes.
    raters
        The part on raters, where there are any.
    drawn
        Where the pictures are.
    keys
        Case id to the key of its piece.
    """

    title: str
    summary: str
    facts: Sequence[tuple[str, str, bool]]
    classes: Sequence[LabelClass]
    config: str
    cases: Sequence[CaseFacts]
    broken: Sequence[tuple[str, str]]
    unfinished: Sequence[tuple[str, str]]
    case_table: Table
    class_table: Table
    class_notes: Sequence[str]
    charts: Sequence[Chart]
    raters: RaterPart | None
    warnings: Table | None
    drawn: Pieces
    keys: Mapping[str, str]
    order: str = ORDER
    rule: str = RULE

    def pieces(self) -> Iterator[tuple[CaseFacts, Markup]]:
        """Each case with its pictures, one after the other."""
        for case in self.cases:
            key = self.keys.get(case.case_id, "")
            yield case, trusted(self.drawn.marked(key) if key else "")

    @property
    def frame(self) -> dict[str, Any]:
        """What the frame of any page needs."""
        sections = [("store", "The store"), ("cases-of-store", "Cases")]
        if self.cases:
            sections.append(("classes-of-store", "Classes"))
        if self.raters:
            sections.append(("raters-of-store", "Raters"))
        if self.cases:
            sections.append(("warnings-of-store", "Warnings"))
        return {"title": self.title, "version": __version__, "sections": sections}


def page_of(
    store: Store, found: Sequence[CaseFacts], failed: Mapping[str, str], pieces: Pieces,
    keys: Mapping[str, str],
) -> StorePage:  # fmt: skip
    """Everything that the page shows.

    Parameters
    ----------
    store
        The store.
    found
        From `softlab_cli.report.page.cases.gather_cases`.
    failed
        Why cases could not be read or drawn, by case id.
    pieces
        Where the pictures are.
    keys
        Case id to the key of its piece.
    """
    told = [replace(case, problem=failed.get(case.case_id, "")) for case in found]
    info, classes = store.info, store.classes
    cases = with_signs(told, classes.names, classes.background_index)
    notes = []
    if info.labels_only:
        notes.append("Soft labels are computed on read, so their mass is not kept.")
    return StorePage(
        title=store.path.name,
        summary=f"{counted(len(cases), 'case')}, {counted(len(classes), 'class', 'classes')}, "
        f"{info.method}",
        facts=_facts(store, cases),
        classes=classes.classes,
        config=config_toml(info.config),
        cases=cases,
        broken=[(case.anchor, case.case_id) for case in cases if case.problem],
        unfinished=[("", path.name) for path in find_partials(store.path)],
        case_table=case_table(cases, classes.names, classes.background_index),
        class_table=class_table(cases, classes),
        class_notes=notes,
        charts=class_charts(cases, classes),
        raters=rater_part(cases, classes.background_index),
        warnings=warning_table(cases),
        drawn=pieces,
        keys=keys,
    )


def _facts(store: Store, cases: Sequence[CaseFacts]) -> list[tuple[str, str, bool]]:
    info = store.info
    parameters = ", ".join(f"{k} = {v}" for k, v in info.parameters.items() if v is not None)
    reading = ", ".join(f"{k} = {v}" for k, v in info.reading.items())
    foreground = [i for i in range(len(info.classes)) if i != info.classes.background_index]
    known = [case.statistics.hard_mm3 for case in cases if case.statistics is not None]
    volume = sum(mm3[i] for mm3 in known for i in foreground)
    size = sum(case.stored_bytes for case in cases)
    kept = "hard labels; soft labels are computed on read" if info.labels_only else "soft labels"
    marked = sum(case.is_marked for case in cases)
    facts = [
        ("place", str(store.path), True),
        ("method", info.method, True),
        ("parameters", parameters or "none", bool(parameters)),
        ("reading", reading, True),
        ("not labelled", ", ".join(map(str, info.classes.ignore_values)), False),
        ("stored", kept + (", labels of each rater" if info.keep_raters else ""), False),
        ("cases", f"{len(cases)}, {marked} with signs", False),
        ("labelled", f"{as_text(volume / 1000)} ml of foreground in all cases", False),
        ("size", format_bytes(size) if size else "", False),
        ("made by", f"softlab {info.version}", True),
        ("with", ", ".join(f"{k} {v}" for k, v in info.software.items()), True),
    ]
    return [fact for fact in facts if fact[1]]
