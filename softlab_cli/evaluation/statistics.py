"""How sure a mean over cases is: bootstrap intervals, paired differences, Holm's correction.

Cases are drawn with replacement; where several cases are of one patient, patients are drawn,
each with all its cases, because cases of one patient tell less than as many patients. All
figures use the same draws of a given seed: the same numbers come out again, and of two runs
each draw sees the same cases.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Difference", "Interval", "Resampling", "holm"]

DRAWS = 2000
LEVEL = 0.95
SEED = 20_240_229
FEWEST = 2
"""Groups of which an interval can be drawn at all."""

TOGETHER = 250
"""Draws whose sums are held at a time."""


@dataclass(frozen=True)
class Interval:
    """A figure over cases and its bootstrap interval.

    Parameters
    ----------
    value
        The figure over all cases; nan where no case has one.
    low, high
        Percentiles of the figure over the draws, at `LEVEL`; nan with fewer than two groups.
    cases
        Cases that have a value.
    """

    value: float
    low: float
    high: float
    cases: int


@dataclass(frozen=True)
class Difference:
    """The mean of paired differences, run minus baseline, over the cases that both have.

    Parameters
    ----------
    value, low, high, cases
        As for `Interval`.
    p
        Of Wilcoxon's signed-rank test, two-sided, over groups (the mean of each one's
        cases); 1 where all differences are 0, nan where there are no pairs.
    p_holm
        The same after Holm's correction over the family that `holm` was given.
    """

    value: float
    low: float
    high: float
    cases: int
    p: float
    p_holm: float = float("nan")

    @property
    def differs(self) -> bool:
        """Whether the interval leaves 0 out: otherwise nothing is to be called better."""
        return bool(self.low > 0 or self.high < 0)


class Resampling:
    """Draws of the cases of an evaluation, the same for every figure.

    Parameters
    ----------
    groups
        Whom each case belongs to, such as its patient; one entry for each case. Without
        patients, the case ids.
    draws
        Number of draws.
    seed
        Of the draws.
    """

    def __init__(self, groups: Sequence[Hashable], *, draws: int = DRAWS, seed: int = SEED) -> None:
        names = {name: index for index, name in enumerate(dict.fromkeys(groups))}
        self._group = np.array([names[name] for name in groups], np.intp)
        rng = np.random.default_rng(seed)
        equal = np.full(len(names), 1 / max(1, len(names)))
        drawn = rng.multinomial(len(names), equal, size=draws) if names else np.zeros((draws, 0))
        self.weights: NDArray[np.float64] = drawn[:, self._group].astype(np.float64)
        """(draws, cases) how often each case is drawn."""

    def mean(self, values: ArrayLike) -> Interval:
        """Mean over cases, with its interval; cases without a finite value are left out.

        Parameters
        ----------
        values
            (cases,) one figure each; nan or inf where it is not defined.
        """
        given = np.asarray(values, np.float64)
        there = np.isfinite(given)
        if not there.any():
            return Interval(float("nan"), float("nan"), float("nan"), 0)
        weights = self.weights[:, there]
        total = weights.sum(axis=1)
        with np.errstate(invalid="ignore"):
            drawn = weights @ given[there] / total  # nan where none of them was drawn
        low, high = self.bounds(drawn, there)
        return Interval(float(given[there].mean()), low, high, int(there.sum()))

    def added(
        self, sums: Mapping[str, NDArray[np.float64]], used: NDArray[np.bool_]
    ) -> Iterator[dict[str, NDArray[np.float64]]]:
        """Sums over all cases, and then over each draw of them, some draws at a time.

        Parameters
        ----------
        sums
            Name to (cases, ...) what each case adds.
        used
            (cases,) which of them count.

        Yields
        ------
        Name to (n, ...): first of all cases, then of draws.
        """
        every = np.concatenate([np.ones((1, len(used))), self.weights]) * used
        for start in range(0, len(every), TOGETHER):
            weights = every[start : start + TOGETHER]
            yield {
                name: (weights @ part.reshape(len(part), -1)).reshape(-1, *part.shape[1:])
                for name, part in sums.items()
            }

    def difference_of_drawn(
        self, drawn: NDArray[np.float64], used: NDArray[np.bool_]
    ) -> Difference:
        """A difference of pooled figures, of all cases and then of each draw; it has no p."""
        nan = float("nan")
        low, high = self.bounds(drawn[1:], used)
        return Difference(float(drawn[0]), low, high, int(used.sum()), nan)

    def difference(self, run: ArrayLike, baseline: ArrayLike) -> Difference:
        """Mean of paired differences, with interval and Wilcoxon's test.

        Parameters
        ----------
        run, baseline
            (cases,) figures of both, in the same order of cases.
        """
        with np.errstate(invalid="ignore"):  # inf - inf: no surface in either
            differences = np.asarray(run, np.float64) - np.asarray(baseline, np.float64)
        mean = self.mean(differences)
        return Difference(mean.value, mean.low, mean.high, mean.cases, self._wilcoxon(differences))

    def _wilcoxon(self, differences: NDArray[np.float64]) -> float:
        there = np.isfinite(differences)
        if not there.any():
            return float("nan")
        _, member = np.unique(self._group[there], return_inverse=True)
        means = np.bincount(member, differences[there]) / np.bincount(member)
        if not means.any():
            return 1.0
        from scipy.stats import wilcoxon  # takes a second to import

        return float(wilcoxon(means).pvalue)

    def bounds(self, drawn: NDArray[np.float64], there: NDArray[np.bool_]) -> tuple[float, float]:
        """Ends of the interval of a figure, from what it is in each draw.

        Parameters
        ----------
        drawn
            (n,); what is not finite counts for nothing.
        there
            (cases,) which of them have the figure.
        """
        drawn = drawn[np.isfinite(drawn)]
        if len(np.unique(self._group[there])) < FEWEST or not len(drawn):
            return float("nan"), float("nan")
        low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return float(low), float(high)


def holm(found: Mapping[Any, Difference]) -> dict[Any, Difference]:
    """Differences with Holm's correction over all of them; those without a p count as none.

    Parameters
    ----------
    found
        A family of tests, for instance one metric over all classes.

    References
    ----------
    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6
    (1979).
    """
    order = sorted((d.p, i) for i, d in enumerate(found.values()) if np.isfinite(d.p))
    corrected: dict[int, float] = {}
    highest = 0.0
    for rank, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, p * (len(order) - rank)))
        corrected[i] = highest
    return {
        key: Difference(d.value, d.low, d.high, d.cases, d.p, corrected.get(i, float("nan")))
        for i, (key, d) in enumerate(found.items())
    }
