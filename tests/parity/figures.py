"""How far two results lie apart, and the table that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Row", "Ulps", "close", "same_halves", "table"]


@dataclass(frozen=True)
class Row:
    """One comparison.

    Parameters
    ----------
    what
        What was compared.
    cases
        On what.
    apart
        How far the results lie apart.
    is_good
        Whether that is as near as it must be.
    """

    what: str
    cases: str
    apart: str
    is_good: bool = True


@dataclass
class Ulps:
    """Differences of float16 values of 0 or more, in units of the last place."""

    values: int = 0
    different: int = 0
    by_one: int = 0
    largest: int = 0
    farthest: float = 0.0

    def add(self, ours: NDArray[Any], theirs: NDArray[Any]) -> Ulps:
        """Count two arrays of one shape; those that are no float16 are rounded to it."""
        one, other = (np.ascontiguousarray(a).astype(np.float16) for a in (ours, theirs))
        apart = np.abs(one.view(np.int16).astype(int) - other.view(np.int16))
        self.values += apart.size
        self.different += int(np.count_nonzero(apart))
        self.by_one += int(np.count_nonzero(apart == 1))
        self.largest = max(self.largest, int(apart.max()))
        self.farthest = max(self.farthest, float(np.abs(one.astype(float) - other).max()))
        return self

    def __str__(self) -> str:
        if not self.different:
            return f"0 of {self.values} float16 values differ"
        return (
            f"{100 * self.different / self.values:.2g} % of {self.values} float16 values differ, "
            f"{self.different - self.by_one} of them by more than 1 ulp; at most "
            f"{self.largest} ulp, {self.farthest:.1e}"
        )


def same_halves(what: str, cases: str, pairs: Iterable[Sequence[NDArray[Any]]]) -> Row:
    """A comparison in which no float16 value may differ."""
    ulps = Ulps()
    for ours, theirs in pairs:
        ulps.add(ours, theirs)
    return Row(what, cases, str(ulps), not ulps.different)


def close(what: str, cases: str, pairs: Iterable[Sequence[Any]], limit: float) -> Row:
    """A comparison of numbers that may differ by `limit`."""
    farthest = max(abs(float(ours) - float(theirs)) for ours, theirs in pairs)
    return Row(what, cases, f"{farthest:.1e}" if farthest else "0", farthest <= limit)


def table(rows: Iterable[Row]) -> str:
    """The comparisons in Markdown."""
    lines = ["| what | cases | apart |", "| --- | --- | --- |"]
    for row in rows:
        apart = row.apart if row.is_good else f"**{row.apart}**"
        lines.append(f"| {row.what} | {row.cases} | {apart} |")
    return "\n".join(lines)
