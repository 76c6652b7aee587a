"""``softlab info --marginals``: how much of each class there is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cli.wording import counted
from softlab_cli.report.marginals import LabelMarginals, Of, Over, stored_marginals

if TYPE_CHECKING:
    from softlab_cli.store.reader import Store

Marginals = dict[Of, dict[Over, LabelMarginals]]

NAMES: dict[Over, str] = {
    "all": "proportion",
    "valid": "proportion_valid",
    "box": "proportion_box",
}
"""Names of the proportions, as the statistics of a case have them."""


def _gather(store: Store, case_id: str | None) -> Marginals:
    """What the statistics of all cases, or of one, have."""
    case_ids = None if case_id is None else [case_id]
    return {
        source: {
            over: found
            for over in get_args(Over)
            if (found := stored_marginals(store, over, source, case_ids=case_ids)) is not None
        }
        for source in get_args(Of)
    }


def marginal_facts(store: Store, case_id: str | None) -> dict[str, Any]:
    """Marginals of each case and of all together, as JSON has them; lists are by class."""
    found = _gather(store, case_id)
    case_ids = found["hard"]["all"].case_ids
    return {
        "classes": store.classes.to_json(),
        "pooled": {source: _pooled(parts) for source, parts in found.items() if parts},
        "cases": {
            name: {source: _of_case(parts, row) for source, parts in found.items() if parts}
            for row, name in enumerate(case_ids)
        },
    }


def _pooled(parts: dict[Over, LabelMarginals]) -> dict[str, Any]:
    every = parts["all"]
    return {
        "voxels": every.amounts.sum(axis=0).tolist(),
        "mm3": every.mm3.sum(axis=0).tolist(),
        **{NAMES[over]: part.pooled.tolist() for over, part in parts.items()},
    }


def _of_case(parts: dict[Over, LabelMarginals], row: int) -> dict[str, Any]:
    every = parts["all"]
    shares = {
        # A case without a box has no shares of it.
        NAMES[over]: part.proportions[row].tolist() if part.voxels[row] else None
        for over, part in parts.items()
    }
    return {"voxels": every.amounts[row].tolist(), "mm3": every.mm3[row].tolist(), **shares}


def describe_marginals(store: Store, case_id: str | None) -> Iterator[str]:
    """A table of the classes that occur, over all cases or in one."""
    from softlab_cli.cli.info import table

    found = _gather(store, case_id)
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
