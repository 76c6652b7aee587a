"""One case of one run, as a line of the page, and which of them is worse."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softlab_cli.evaluation.measure import is_headline
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.results import Kept
from softlab_cli.evaluation.rows import MEAN, Row

__all__ = ["BY_CLASS", "CaseLine", "case_lines", "worst_of"]

MOST_CLASSES = 12
"""Classes of a case that its details list, the worst ones."""

BY_CLASS = ("dice", "iou", "hausdorff_95_mm", "assd_mm", "relative_volume_difference")


@dataclass(frozen=True)
class CaseLine:
    """One case of one run.

    Parameters
    ----------
    kept
        Its results.
    anchor
        Its id in the page.
    values
        Metric to its figure: the mean over classes, or that of all voxels.
    worst
        Classes with their figures, the lowest DSC first; a row each of class and `BY_CLASS`.
    """

    kept: Kept
    anchor: str
    values: dict[str, float]
    worst: tuple[tuple[str, tuple[float | None, ...]], ...]

    @property
    def case_id(self) -> str:
        """The case."""
        return self.kept.case_id

    @property
    def run(self) -> str:
        """The run."""
        return self.kept.run

    @property
    def badness(self) -> tuple[float, float]:
        """Sorts the worst first: by DSC, then by Brier score; where neither is, last."""
        dice, score = self.values.get("dice", math.nan), self.values.get("brier", math.nan)
        return (
            math.inf if math.isnan(dice) else dice,
            math.inf if math.isnan(score) else -score,
        )


def case_lines(kept: Sequence[Kept]) -> list[CaseLine]:
    """All cases of all runs, the worst first.

    Parameters
    ----------
    kept
        The results.
    """
    lines = [_line(f"case-{number}", one) for number, one in enumerate(kept, 1)]
    return sorted(lines, key=lambda line: line.badness)


def worst_of(lines: Sequence[CaseLine], most: int) -> list[CaseLine]:
    """The first lines of each run."""
    found: list[CaseLine] = []
    for run in dict.fromkeys(line.run for line in lines):
        found += [line for line in lines if line.run == run][:most]
    return found


def _line(anchor: str, kept: Kept) -> CaseLine:
    rows = [
        row
        for row in kept.evaluation.rows
        if row.region == ALL and is_headline(row, kept.evaluation.raters)
    ]
    values = {row.metric: row.value for row in rows if row.class_name == ALL}
    values |= {row.metric: row.value for row in rows if row.class_name == MEAN}
    # A score that has a figure of each class and of all voxels: the latter.
    values |= {row.metric: row.value for row in rows if row[1:4:2] == (ALL, "brier")}
    return CaseLine(kept, anchor, values, _worst(rows))


def _worst(rows: Sequence[Row]) -> tuple[tuple[str, tuple[float | None, ...]], ...]:
    of_class: dict[str, dict[str, Row]] = {}
    for row in rows:
        if row.class_name not in (ALL, MEAN):
            of_class.setdefault(row.class_name, {})[row.metric] = row
    judged = {
        name: found
        for name, found in of_class.items()
        if "dice" in found and found["dice"].left_out != "absent"
    }
    ordered = sorted(judged, key=lambda name: judged[name]["dice"].value)[:MOST_CLASSES]
    return tuple((name, tuple(_number(judged[name], m) for m in BY_CLASS)) for name in ordered)


def _number(found: Mapping[str, Row], metric: str) -> float | None:
    row = found.get(metric)
    return None if row is None or math.isnan(row.value) else row.value
