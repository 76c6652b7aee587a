"""What a reader of the results should know besides the figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.events import CaseFinished
from softlab_cli.evaluation.figures import Figures, Key
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.results import Kept
from softlab_cli.running.warned import Warned, WarningGroup

__all__ = ["one_sided", "warnings_of"]


def one_sided(
    run: str, values: Mapping[Key, Figures], class_names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Classes that the predictions of a run have and no reference has, and the reverse.

    Of such a class DSC is 0 wherever it counts: it may be a number or a name that means
    another class on one side.

    Parameters
    ----------
    run
        The run.
    values
        Its figures.
    class_names
        All classes.

    Yields
    ------
    Ready for JSON: ``run``, ``class``, ``side`` (who has it), ``cases`` (how many).
    """
    cases = {
        (name, side): _cases_with(values, name, side)
        for name in class_names
        for side in ("prediction", "reference")
    }
    for (name, side), count in cases.items():
        other = "reference" if side == "prediction" else "prediction"
        if count and not cases[name, other]:
            yield {"run": run, "class": name, "side": side, "cases": count}


def _cases_with(values: Mapping[Key, Figures], class_name: str, side: str) -> int:
    for unit in ("mm3", "mm2"):
        found = values.get((class_name, ALL, f"{side}_volume_{unit}"))
        if found is not None:
            return int(np.count_nonzero(np.nan_to_num(found.values)))
    return 0


def warnings_of(kept: Sequence[Kept], *, several: bool) -> list[dict[str, Any]]:
    """The warnings of all cases; those that differ in numbers and names are one.

    Parameters
    ----------
    kept
        Results of cases.
    several
        Whether there are several runs, whose names stand behind those of cases then.
    """
    found = Warned()
    for one in kept:
        title = f"{one.case_id} ({one.run})" if several else one.case_id
        judged = one.evaluation
        found.add(CaseFinished(title, "done", warnings=judged.warnings, raters=judged.raters))
    return [
        {
            "text": _first(group),
            "cases": sorted(group.cases, key=natural_order),
            "texts": len(group.texts),
        }
        for group in found.groups
    ]


def _first(group: WarningGroup) -> str:
    text, raters = next(iter(group.texts.items()))
    named = ", ".join(filter(None, raters))
    return f"{named}: {text}" if named else text
