"""What one pass over a case leaves behind: whole numbers that add up over cases.

`Counts` keeps voxels by the combination of regions that they lie in; `Counts.within`
gives the `Tallies` of one region, which every metric takes. Both are added with ``+``,
and the sum is the same to the last bit in whatever order it is made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fractions import Fraction
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.cells import Cells, exact_sums

__all__ = ["ALL", "Counts", "Faults", "Single", "Tallies", "merge"]

ALL = "all"
"""The region of all voxels that a rater labelled."""

Whole = NDArray[np.int64]
Wide = NDArray[np.object_]
"""Python's whole numbers, which have no limit."""


@dataclass(frozen=True)
class Faults:
    """Probabilities that are none, in voxels (each once, under the first that holds).

    Parameters
    ----------
    not_a_number, infinite, negative, above_one
        Voxels with such a probability.
    wrong_sum
        Voxels whose probabilities do not sum to 1 within the tolerance.
    largest_gap
        Largest distance of a sum from 1; of voxels whose probabilities are in order.
    """

    not_a_number: int = 0
    infinite: int = 0
    negative: int = 0
    above_one: int = 0
    wrong_sum: int = 0
    largest_gap: float = 0.0

    def __add__(self, other: Faults) -> Faults:
        """Of two sets of voxels."""
        return Faults(
            self.not_a_number + other.not_a_number,
            self.infinite + other.infinite,
            self.negative + other.negative,
            self.above_one + other.above_one,
            self.wrong_sum + other.wrong_sum,
            max(self.largest_gap, other.largest_gap),
        )

    @property
    def unusable(self) -> int:
        """Voxels that nothing can be made of."""
        return self.not_a_number + self.infinite + self.negative + self.above_one

    def __str__(self) -> str:
        kinds = {
            "NaN": self.not_a_number,
            "infinite probabilities": self.infinite,
            "negative probabilities": self.negative,
            "probabilities above 1": self.above_one,
            f"a sum that is not 1 (off by {self.largest_gap:.3g} at most)": self.wrong_sum,
        }
        return ", ".join(f"{n:,} voxels with {kind}" for kind, n in kinds.items() if n) or "none"


@dataclass(frozen=True)
class Single:
    """What has to be added up beside the counts where a cell is a range of float32.

    Parameters
    ----------
    residual, top_residual
        As `Tallies.count` and `Tallies.top_count`: what the probabilities lack to the upper
        ends of their cells, in steps of 2^-32.
    squares, positive_residual
        (C,), squares of the probabilities, and what those of the voters' classes lack, a vote.
    surprise
        -ln p of the voters' classes, p at least `cells.CLIP`, a vote.
    """

    residual: Whole
    top_residual: Whole
    squares: Wide
    positive_residual: Wide
    surprise: int


@dataclass(frozen=True)
class Tallies:
    """Votes by class and cell, in one region. A voxel has a vote for each rater.

    Parameters
    ----------
    cells
        What the cells are.
    unit
        Parts of a vote that `positive` and `top_correct` are given in: 1, or 2^24 where
        references are soft labels.
    count
        (C, cells) votes of the voxels by their probability of the class.
    positive
        (C, cells) of these, the votes for the class.
    top_count, top_correct
        (R, cells) voxels by the probability of their most probable class (the first of
        several), and of these, those where the rater agrees. Soft labels are one rater.
    predicted
        (C,) votes of the voxels whose most probable class it is.
    spread
        (C,) sum over voxels of n s (1 - s), s the share of the n votes that the class has: 0
        for one rater. Fractions.
    absolute
        (C,) sum over voxels of n abs(p - s) in steps of 2^-32.
    ranked
        Sum over voxels of n times the ranked probability score, in steps of 2^-32; None where
        that was not asked for.
    tempered
        (K,) what `softlab_cli.evaluation.metrics.temperature` needs; None where that was not
        asked for.
    single
        What is added where cells are ranges.
    """

    cells: Cells
    unit: int
    count: Whole
    positive: Whole
    top_count: Whole
    top_correct: Whole
    predicted: Whole
    spread: Wide
    absolute: Wide
    ranked: int | None = None
    tempered: Wide | None = None
    single: Single | None = None

    @property
    def class_count(self) -> int:
        """C."""
        return len(self.count)

    @property
    def rater_count(self) -> int:
        """R, the most that a voxel may have had."""
        return len(self.top_count)

    @cached_property
    def votes(self) -> int:
        """All votes: voxels times raters, without ignored ones."""
        return int(self.top_count.sum())

    @cached_property
    def class_votes(self) -> NDArray[np.float64]:
        """(C,) votes that each class has."""
        return np.asarray(self.positive.sum(axis=1) / self.unit, np.float64)

    @cached_property
    def absent(self) -> NDArray[np.bool_]:
        """(C,) classes that no rater saw and that are nowhere the most probable.

        They are left out of means over classes; say how many there are.
        """
        return np.asarray((self.class_votes == 0) & (self.predicted == 0), np.bool_)

    @cached_property
    def mass(self) -> list[Fraction]:
        """Sum of each class's probabilities, a vote."""
        found = exact_sums(self.count, self.cells.steps)
        if self.single is not None:
            lacking = self.single.residual.sum(axis=1).tolist()
            found = [a - b for a, b in zip(found, lacking, strict=True)]
        return [Fraction(value, self.cells.scale) for value in found]

    @cached_property
    def squares(self) -> list[Fraction]:
        """Sum of their squares."""
        if self.single is not None:
            return [Fraction(value, self.cells.scale) for value in self.single.squares.tolist()]
        found = exact_sums(self.count, self.cells.steps, power=2)
        return [Fraction(value, self.cells.scale**2) for value in found]

    @cached_property
    def overlap(self) -> list[Fraction]:
        """Sum of each class's probability times its share of the votes."""
        found = exact_sums(self.positive, self.cells.steps)
        sums = [Fraction(value, self.unit * self.cells.scale) for value in found]
        if self.single is None:
            return sums
        lacking = self.single.positive_residual.tolist()
        return [a - Fraction(b, self.cells.scale) for a, b in zip(sums, lacking, strict=True)]

    def without_raters(self) -> Tallies:
        """All raters as one, for what is pooled over them."""
        single = self.single
        if single is not None:
            single = replace(single, top_residual=single.top_residual.sum(axis=0, keepdims=True))
        return replace(
            self,
            top_count=self.top_count.sum(axis=0, keepdims=True),
            top_correct=self.top_correct.sum(axis=0, keepdims=True),
            single=single,
        )

    def rater(self, index: int) -> Tallies:
        """The top-label part of one rater; the rest stays that of all."""
        single = self.single
        if single is not None:
            single = replace(single, top_residual=single.top_residual[index : index + 1])
        return replace(
            self,
            top_count=self.top_count[index : index + 1],
            top_correct=self.top_correct[index : index + 1],
            single=single,
        )

    def __add__(self, other: Tallies) -> Tallies:
        """Of two sets of voxels.

        Raises
        ------
        UsageError
            When they were counted in different ways.
        """
        self.check_alike(other)
        return Tallies(self.cells, self.unit, **_added(self, other, skip=2))

    def check_alike(self, other: Tallies) -> None:
        """Raise `UsageError` when both were counted in different ways."""
        for name in ("cells", "unit", "class_count"):
            mine, others = getattr(self, name), getattr(other, name)
            if mine != others:
                raise UsageError(
                    f"cases that were counted in different ways cannot be pooled ({name}: {mine} "
                    f"and {others}).",
                    remedy="Count all cases of a run in the same way.",
                )


def _added(one: Any, other: Any, skip: int = 0) -> dict[str, Any]:
    names = [f.name for f in fields(one)[skip:]]
    return {name: _sum(getattr(one, name), getattr(other, name), name) for name in names}


def _sum(one: Any, other: Any, name: str) -> Any:
    if one is None or other is None:
        if one is not other:
            raise UsageError(
                f"cases cannot be pooled where some have {name!r} and some have not.",
                remedy="Count all cases of a run in the same way.",
            )
        return None
    if isinstance(one, Single):
        return Single(**_added(one, other))
    if isinstance(one, np.ndarray) and name.startswith("top_") and len(one) != len(other):
        one, other = sorted((one, other), key=len)
        more = other.copy()
        more[: len(one)] += one
        return more
    return one + other


@dataclass(frozen=True)
class Counts:
    """What one pass over a case found; added up, over cases.

    Parameters
    ----------
    regions
        Names of the regions besides `ALL`, the first one has bit 0 of a code.
    by_code
        Combination of regions to the tallies of its voxels; combinations that do not occur are
        left out.
    empty
        Tallies of no voxel.
    voxels
        Voxels that a rater labelled, and `ignored` those that nobody did.
    faults
        What was found wrong with the probabilities.
    """

    regions: tuple[str, ...]
    by_code: Mapping[int, Tallies]
    empty: Tallies
    voxels: int = 0
    ignored: int = 0
    faults: Faults = field(default_factory=Faults)

    def within(self, region: str = ALL) -> Tallies:
        """What was counted in a region.

        Raises
        ------
        UsageError
            For a name that is none of the regions.
        """
        if region == ALL:
            return reduce(Tallies.__add__, self.by_code.values(), self.empty)
        if region not in self.regions:
            raise UsageError(
                f"{region!r} is no region that was counted.",
                remedy=f"There are {', '.join([ALL, *self.regions])}.",
            )
        bit = 1 << self.regions.index(region)
        inside = [tallies for code, tallies in self.by_code.items() if code & bit]
        return reduce(Tallies.__add__, inside, self.empty)

    def __add__(self, other: Counts) -> Counts:
        """Of two cases, or of two parts of one."""
        if self.regions != other.regions:
            raise UsageError(
                f"cases with different regions cannot be pooled ({self.regions} and "
                f"{other.regions}).",
                remedy="Count all cases of a run with the same regions.",
            )
        # One of both empty ones does: to add zeros of all cells takes as long as to add counts.
        self.empty.check_alike(other.empty)
        found = dict(self.by_code)
        for code, tallies in other.by_code.items():
            found[code] = found[code] + tallies if code in found else tallies
        return Counts(
            self.regions,
            dict(sorted(found.items())),
            max(self.empty, other.empty, key=lambda empty: empty.rater_count),
            self.voxels + other.voxels,
            self.ignored + other.ignored,
            self.faults + other.faults,
        )


def merge(counts: Iterable[Counts]) -> Counts:
    """Pool cases, in any order; one at least.

    Raises
    ------
    UsageError
        When there are none, or they were counted in different ways.
    """
    pooled: Counts | None = None
    for more in counts:
        pooled = more if pooled is None else pooled + more
    if pooled is None:
        raise UsageError("there is no case to pool.")
    return pooled
