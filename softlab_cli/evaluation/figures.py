"""The figures of a run side by side: one array over the cases for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.measure import is_headline
from softlab_cli.evaluation.results import Kept

__all__ = ["Figures", "Key", "values_of"]

Key = tuple[str, str, str]
"""Class, region and metric."""


@dataclass(frozen=True)
class Figures:
    """The values of one figure over the cases.

    Parameters
    ----------
    values
        (cases,), NaN where it is left out.
    left_out
        Why, with numbers of cases.
    """

    values: NDArray[np.float64]
    left_out: Counter[str]


def values_of(run: str, kept: Sequence[Kept], case_ids: Sequence[str]) -> dict[Key, Figures]:
    """The figures of a run, of all raters together, over the cases.

    Parameters
    ----------
    run
        The run.
    kept
        Results of all runs.
    case_ids
        The order of the values.
    """
    place = {case_id: i for i, case_id in enumerate(case_ids)}
    found: dict[Key, Figures] = {}
    for one in (one for one in kept if one.run == run):
        for row in one.evaluation.rows:
            if not is_headline(row, one.evaluation.raters):
                continue
            key = (row.class_name, row.region, row.metric)
            empty = Figures(np.full(len(case_ids), np.nan), Counter())
            figures = found.setdefault(key, empty)
            if row.left_out:
                figures.left_out[row.left_out] += 1
            else:
                figures.values[place[one.case_id]] = row.value
    return found
