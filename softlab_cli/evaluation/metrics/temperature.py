"""The temperature that would be best, and what the NLL is after it.

A temperature T turns probabilities p into q_c = p_c^(1/T) / Z, Z = sum_k p_k^(1/T). The
NLL after it is the mean over votes of

    L(T) = ln Z(T) - ln(p_y) / T

(Guo et al., On calibration of modern neural networks, ICML 2017, section 4.2; there of
logits, from which this differs in nothing but that stored probabilities are rounded).
Probabilities below 1e-7 count as 1e-7 here, also in Z, where the class is not y.

ln p_y follows from the counts. ln Z does not, as it takes all classes of a voxel
together; so its sum is added up at 24 temperatures from 1/4 to 8, which are Chebyshev's
nodes in ln T, and L between them is their polynomial. What that is off by has been
measured over the whole range: below 1e-6 nats for networks' predictions of 117 classes,
below 1e-8 for 2 classes, and 2e-4 for the worst there is, one class above 116 equal
ones. `Tempering.error` estimates it for what is at hand.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.cells import CLIP, Cells, exact_sums
from softlab_cli.evaluation.metrics.tallies import Tallies
from softlab_cli.kernels.forecasts import FIXED

__all__ = [
    "HIGHEST",
    "LOWEST",
    "CrossFit",
    "Tempering",
    "best_of_sums",
    "cross_fitted",
    "halves",
    "partition_table",
    "tempering",
    "tempering_sums",
]

LOWEST, HIGHEST = 0.25, 8.0
"""Temperatures that are searched."""

NODES = 24
MIDDLE = (math.log(LOWEST) + math.log(HIGHEST)) / 2
HALF_WIDTH = (math.log(HIGHEST) - math.log(LOWEST)) / 2
SEARCH_STEPS = 200
THIRDS = 40
"""Steps of a search of many at once; (2/3)^40 of the range of ln T is 3e-7."""


def node_temperatures() -> NDArray[np.float64]:
    """(K,) the temperatures that sums are made at."""
    return np.exp(MIDDLE + HALF_WIDTH * chebyshev.chebpts1(NODES))


def chances(cells: Cells) -> NDArray[np.float64]:
    """(cells,) the probability that a cell stands for: of a range, its middle."""
    lower = np.concatenate([[0.0], cells.upper[:-1]])
    found = (cells.upper + lower) / 2 if cells.single else cells.upper
    return np.maximum(found, CLIP)


@lru_cache(maxsize=4)
def partition_table(
    cells: Cells, class_count: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What `softlab_cli.kernels.tempered.add_partitions` looks up; the same arrays each time.

    Returns
    -------
    table, base
        (cells, K) and (K,) float32.
    """
    powers = chances(cells)[:, np.newaxis] ** (1.0 / node_temperatures())
    least = CLIP ** (1.0 / node_temperatures())
    return (powers - least).astype(np.float32), (class_count * least).astype(np.float32)


@dataclass(frozen=True)
class Tempering:
    """What the best temperature of some cases is found from; added with ``+``.

    Parameters
    ----------
    votes
        Voxels times raters.
    partitions
        (K,) sums over votes of ln Z at the temperatures of the nodes, in steps of 2^-32.
    logarithms
        Sum over votes of ln p_y, in steps of 2^-32.
    """

    votes: int
    partitions: tuple[int, ...]
    logarithms: int

    def __add__(self, other: Tempering) -> Tempering:
        """Of two sets of voxels."""
        pairs = zip(self.partitions, other.partitions, strict=True)
        return Tempering(
            self.votes + other.votes,
            tuple(a + b for a, b in pairs),
            self.logarithms + other.logarithms,
        )

    @cached_property
    def coefficients(self) -> NDArray[np.float64]:
        """(K,) of the polynomials of Chebyshev that make up the mean of ln Z."""
        means = np.array([value / (FIXED * max(self.votes, 1)) for value in self.partitions])
        return np.asarray(chebyshev.chebfit(chebyshev.chebpts1(NODES), means, NODES - 1))

    @property
    def error(self) -> float:
        """Estimate of what `nll` is off by, in nats: the last coefficients."""
        return float(np.abs(self.coefficients[-3:]).sum())

    def nll(self, temperature: float) -> float:
        """Mean NLL in nats after a temperature from 1/4 to 8; NaN without votes."""
        if not self.votes:
            return math.nan
        place = (math.log(temperature) - MIDDLE) / HALF_WIDTH
        partition = float(chebyshev.chebval(place, self.coefficients))
        return partition - self.logarithms / (FIXED * self.votes) / temperature

    def best(self) -> float:
        """Temperature of the least NLL; NaN without votes.

        At `LOWEST` or `HIGHEST` the least may lie outside; then say so.
        """
        if not self.votes:
            return math.nan
        # The NLL is convex in 1/T, so it falls and then rises, in ln T as well.
        low, high = math.log(LOWEST), math.log(HIGHEST)
        for _ in range(SEARCH_STEPS):
            third = (high - low) / 3
            if third < 1e-10:
                break
            if self.nll(math.exp(low + third)) <= self.nll(math.exp(high - third)):
                high -= third
            else:
                low += third
        return min([LOWEST, HIGHEST, math.exp((low + high) / 2)], key=self.nll)


def tempering(tallies: Tallies) -> Tempering:
    """Take from the tallies of a region what its temperature is found from.

    Raises
    ------
    UsageError
        When temperatures were not asked for in the pass.
    """
    if tallies.tempered is None:
        raise UsageError(
            "temperatures were not gathered, and cannot be found from counts afterwards.",
            remedy="Ask for them in the pass over the predictions.",
        )
    by_cell = tallies.positive.sum(axis=0)
    steps = np.rint(-np.log(chances(tallies.cells)) * FIXED).astype(np.int64)
    (surprise,) = exact_sums(by_cell[np.newaxis], steps)
    partitions = tuple(int(n) for n in tallies.tempered)
    return Tempering(tallies.votes, partitions, -surprise // tallies.unit)


def tempering_sums(found: Tempering) -> NDArray[np.float64]:
    """(K + 2,) what a case adds: sums of ln Z, the sum of ln p_y, and votes; in nats."""
    parts = [*found.partitions, found.logarithms]
    return np.array([*(part / FIXED for part in parts), found.votes], np.float64)


def best_of_sums(sums: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The best temperature of each of many sums, and the NLL after it; see `Tempering.best`.

    Parameters
    ----------
    sums
        (n, K + 2), as `tempering_sums` has them, added over cases.
    """
    votes = sums[:, -1]
    means = np.where(votes > 0, sums.T / np.maximum(votes, 1), np.nan).T
    # Of many polynomials the coefficients are one product with those of the nodes alone.
    fitted = chebyshev.chebfit(chebyshev.chebpts1(NODES), np.eye(NODES), NODES - 1)
    coefficients = fitted @ np.nan_to_num(means[:, :NODES]).T

    def nll(places: NDArray[np.float64]) -> NDArray[np.float64]:
        partition = chebyshev.chebval(places, coefficients, tensor=False)
        found: NDArray[np.float64] = partition - means[:, -2] / np.exp(MIDDLE + HALF_WIDTH * places)
        return found

    low, high = -np.ones(len(sums)), np.ones(len(sums))
    for _ in range(THIRDS):
        third = (high - low) / 3
        first, second = low + third, high - third
        falls = nll(first) > nll(second)
        low, high = np.where(falls, first, low), np.where(falls, high, second)
    ends = np.array([np.full(len(sums), place) for place in (-1.0, 1.0)] + [(low + high) / 2])
    values = np.array([nll(places) for places in ends])
    best = ends[np.nan_to_num(values, nan=np.inf).argmin(axis=0), np.arange(len(sums))]
    temperature = np.exp(MIDDLE + HALF_WIDTH * best)
    return np.where(votes > 0, temperature, np.nan), values.min(axis=0)


@dataclass(frozen=True)
class CrossFit:
    """Temperatures that were fitted on other cases than they are judged on.

    Parameters
    ----------
    temperature
        Case to the temperature that was fitted on the other half.
    nll
        Case to its NLL after that, in nats.
    pooled_nll
        Over all votes.
    """

    temperature: Mapping[str, float]
    nll: Mapping[str, float]
    pooled_nll: float


def cross_fitted(
    cases: Mapping[str, Tempering], groups: Mapping[str, Hashable] | None = None
) -> CrossFit:
    """Fit a temperature on one half of the cases and judge it on the other, both ways.

    Halves are those of `halves`, so they do not depend on the order of the cases.

    Parameters
    ----------
    cases
        Case to what was gathered of it.
    groups
        Case to its patient, so that no patient is in both halves; by default each case is one.

    Raises
    ------
    UsageError
        For fewer than two groups.
    """
    half_of = halves({case: case if groups is None else groups[case] for case in cases})
    if not half_of:
        raise UsageError(
            "a temperature for one case cannot be fitted on others.",
            remedy="Give two cases (patients) or more, or look at the best temperature only.",
        )
    parts: list[list[str]] = [[], []]
    for case in sorted(cases):
        parts[half_of[case]].append(case)
    fitted = [_pool([cases[case] for case in half]).best() for half in parts]
    temperature, nll, total = {}, {}, []
    for half, other in ((0, 1), (1, 0)):
        for case in parts[half]:
            temperature[case] = fitted[other]
            nll[case] = cases[case].nll(fitted[other])
            total.append(nll[case] * cases[case].votes if cases[case].votes else 0.0)
    votes = sum(case.votes for case in cases.values())
    return CrossFit(temperature, nll, math.fsum(total) / votes if votes else math.nan)


def halves(groups: Mapping[str, Hashable]) -> dict[str, int]:
    """Case to 0 or 1, by every second group in the order of the groups' names.

    Parameters
    ----------
    groups
        Case to its group.

    Returns
    -------
    half
        Empty for fewer than two groups.
    """
    names = sorted({str(group) for group in groups.values()})
    if len(names) < 2:
        return {}
    half_of = {name: place % 2 for place, name in enumerate(names)}
    return {case: half_of[str(group)] for case, group in groups.items()}


def _pool(parts: Sequence[Tempering]) -> Tempering:
    pooled = parts[0]
    for part in parts[1:]:
        pooled += part
    return pooled
