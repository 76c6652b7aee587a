"""What was found or stored, in lines for a person: what the commands that look at things print."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.text import shown_message
from softlab_cli.report.facts import gather_marginals
from softlab_cli.report.marginals import LabelMarginals, Of, Over
from softlab_cli.report.tables import counted, table
from softlab_cli.store.reader import Case, Store

if TYPE_CHECKING:
    from softlab_cli.report.inspected import Found, Label

__all__ = ["describe_case", "describe_found", "describe_marginals"]

MOST_LABELS = 200
"""Labels of a file that are listed."""


def describe_case(case: Case) -> Iterator[str]:
    """What the store keeps about a case, and its classes."""
    yield f"{case.case_id}: {case.geometry.describe()}"
    for source in case.sources:
        yield f"  {source.role:<6}{source.path}  sha256 {source.sha256[:12]}..."
    for warning in case.info.warnings:
        yield f"  warning: {warning}"
    statistics = case.statistics
    if statistics is None:
        return
    if statistics.mean_entropy_bits is not None:
        yield (
            f"  mean entropy {statistics.mean_entropy_bits:.5f} bits, {statistics.ties} ties, "
            f"{statistics.argmax_changes} voxels change their largest class"
        )
    yield ""
    soft: Sequence[float | None] = statistics.soft_mass or [None] * len(case.classes)
    rows = [
        (
            str(c.value),
            c.name,
            f"{hard}",
            "" if mass is None else f"{mass:.1f}",
            f"{mm3 / 1000:.2f}",
        )
        for c, hard, mass, mm3 in zip(
            case.classes.classes, statistics.hard_voxels, soft, statistics.hard_mm3, strict=True
        )
        if hard or mass
    ]
    yield from table(("value", "class", "hard voxels", "soft voxels", "hard ml"), rows)
    if "raters" in case.info.details:
        yield ""
        yield from _describe_raters(case.info.details["raters"], case.classes.background_index)


def _describe_raters(facts: Mapping[str, Any], background: int | None) -> Iterator[str]:
    """How far the raters agree, and each of them with the others."""
    kappa = facts["fleiss_kappa_overall"]
    agreement = "" if kappa is None else f", Fleiss' kappa {kappa:.3f}"
    yield f"  raters disagree on {facts['disputed_share']:.2%} of the voxels{agreement}"
    mean_dice = ["" if dice is None else f"{dice:.3f}" for dice in facts["mean_dice"]]
    yield from table(
        ("rater", "mean Dice", "sensitivity", "specificity"),
        [
            (name, dice, _mean(sensitivity, background), _mean(specificity, background))
            for name, dice, sensitivity, specificity in zip(
                facts["raters"],
                mean_dice,
                facts["sensitivity"],
                facts["specificity"],
                strict=True,
            )
        ],
    )


def _mean(figures: Sequence[float | None], background: int | None) -> str:
    """Mean over the classes for which there is a figure, without background."""
    known = [f for index, f in enumerate(figures) if f is not None and index != background]
    return f"{sum(known) / len(known):.3f}" if known else ""


def describe_marginals(store: Store, case_id: str | None = None) -> Iterator[str]:
    """A table of the classes that occur, over all cases or in one."""
    found = gather_marginals(store, case_id)
    hard, soft = found["hard"], found["soft"]
    every = hard["all"]
    cases = len(every.case_ids)
    yield f"{store.path}: {case_id or counted(cases, 'case')}"
    yield "  shares of all voxels, of the labelled ones, and of those in the foreground's box"
    yield ""
    titles = ["value", "class", "cases", "hard voxels", "hard ml", *_titles("hard")]
    if soft:
        titles += ["soft voxels", *_titles("soft")]
    used = _amounts(hard) + (_amounts(soft) if soft else 0) > 0
    rows = [
        [
            str(entry.value),
            entry.name,
            str(int((every.amounts[:, entry.index] > 0).sum())),
            f"{_amounts(hard)[entry.index]:.0f}",
            f"{every.mm3[:, entry.index].sum() / 1000:.2f}",
            *_shares(hard, entry.index),
            *([f"{_amounts(soft)[entry.index]:.1f}", *_shares(soft, entry.index)] if soft else []),
        ]
        for entry in store.classes.classes
        if used[entry.index]
    ]
    yield from table(titles, rows)
    absent = [c.name for c in store.classes.classes if not used[c.index]]
    if absent:
        yield f"  {len(absent)} of {len(store.classes)} classes do not occur"
    if not soft:
        yield "  soft labels are computed on read, so their mass is not kept"


def _amounts(parts: dict[Over, LabelMarginals]) -> NDArray[np.float64]:
    amounts: NDArray[np.float64] = parts["all"].amounts.sum(axis=0)
    return amounts


def _titles(source: Of) -> list[str]:
    return [f"{source}/{name}" for name in ("all", "labelled", "box")]


def _shares(parts: dict[Over, LabelMarginals], index: int) -> list[str]:
    """The shares of a class; empty where they are not kept."""
    return [f"{parts[over].pooled[index]:.3g}" if over in parts else "" for over in get_args(Over)]


def describe_found(found: Found, indent: str = "") -> Iterator[str]:
    """Lines about one thing that was found, and about its parts."""
    yield f"{indent}{found.path}: {found.kind}"
    inner = indent + "  "
    if found.geometry is not None:
        yield f"{inner}grid      {found.geometry.describe()}"
    yield from (f"{inner}fits      {line}" for line in _fits(found.facts.get("fits", ())))
    for name, value in found.facts.items():
        if value and name not in ("fits", "segments"):
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{inner}{name.replace('_', ' '):<9} {shown}"
    yield from (f"{indent}{line}" for line in _label_table(found.labels[:MOST_LABELS]))
    if len(found.labels) > MOST_LABELS:
        yield f"{inner}and {len(found.labels) - MOST_LABELS} more"
    for problem in found.problems:
        lines = shown_message(problem).split("\n")
        yield from (f"{inner}{' ' * 10 if i else 'problem   '}{e}" for i, e in enumerate(lines))
    for part in found.parts:
        yield from describe_found(part, inner)
    if found.unseen:
        yield f"{inner}{found.unseen} more files were not looked into; --all looks into them"


def _fits(fits: Sequence[Mapping[str, str]]) -> Iterator[str]:
    """The series that a SEG or RTSTRUCT fits, then the others by their reasons."""
    others: dict[str, list[Mapping[str, str]]] = {}
    for fit in fits:
        key = fit["series"] if fit["fits"] != "no" else fit["why"]
        others.setdefault(key, []).append(fit)
    for group in others.values():
        first = group[0]
        name = f" {first['description']!r}" if first["description"] else ""
        more = f" and {len(group) - 1} more series" if len(group) > 1 else ""
        yield f"{first['series']}{name}{more}: {first['fits']}: {first['why']}"


def _label_table(labels: Sequence[Label]) -> Iterator[str]:
    """The labels, with the columns that say anything."""
    titles = ("value", "name", "voxels", "contours")
    rows = [
        ["" if fact is None else str(fact) for fact in (e.value, e.name, e.voxels, e.contours)]
        for e in labels
    ]
    shown = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    if shown:
        yield from table([titles[i] for i in shown], [[row[i] for i in shown] for row in rows])
