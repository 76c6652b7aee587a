"""The monotone map of a class's probabilities to the raters' mean, from counts.

Of all maps that never fall, the one with the least squared distance to the votes
(Zadrozny and Elkan, Transforming classifier scores into accurate multiclass probability
estimates, KDD 2002) is found by pooling neighbours that are out of order (Ayer et al., An
empirical distribution function for sampling with incomplete information, 1955). Counts
of votes by probability say all that it needs, so that it is exact, and the same in
whatever order cases come.

Half a vote for the class is put at the lowest probability that occurs, and half a vote
against it at the highest: else voxels that all raters agree on would make probabilities
of 0 and 1, which one vote elsewhere contradicts without bound.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from softlab_cli.evaluation.metrics.tallies import Tallies

__all__ = ["IDENTITY", "Knots", "isotonic"]


@dataclass(frozen=True)
class Knots:
    """A map that never falls: straight between its knots, level before and after them.

    Parameters
    ----------
    probability
        Rising, from 0 to 1.
    becomes
        What each is mapped to, 0 to 1, never falling.
    """

    probability: tuple[float, ...]
    becomes: tuple[float, ...]


IDENTITY = Knots((0.0, 1.0), (0.0, 1.0))


@dataclass
class _Level:
    """Neighbouring probabilities that are mapped to one number, votes for by votes."""

    first: float
    last: float
    votes_for: int
    votes: int


def isotonic(tallies: Tallies) -> tuple[Knots, ...]:
    """The map of each class.

    Parameters
    ----------
    tallies
        Votes by class and probability.

    Returns
    -------
    maps
        One a class; `IDENTITY` for a class that no rater saw, of which nothing is known.
    """
    seen = tallies.class_votes > 0
    return tuple(
        _knots(_levels(tallies, c)) if seen[c] else IDENTITY for c in range(tallies.class_count)
    )


def _levels(tallies: Tallies, class_index: int) -> list[_Level]:
    # Twice as many, in parts of a vote, so that half a vote is a whole number.
    found: list[_Level] = []
    for place, votes_for, votes in _by_probability(tallies, class_index):
        if found and place <= found[-1].last:  # cells of float32 whose means are one number
            found[-1].votes_for += 2 * votes_for
            found[-1].votes += 2 * votes
        else:
            found.append(_Level(place, place, 2 * votes_for, 2 * votes))
    found[0].votes_for += tallies.unit
    found[0].votes += tallies.unit
    found[-1].votes += tallies.unit
    return found


def _by_probability(tallies: Tallies, class_index: int) -> Iterator[tuple[float, int, int]]:
    """Probability, votes for the class and all votes, in parts of a vote."""
    count, positive = tallies.count[class_index], tallies.positive[class_index]
    for cell in np.flatnonzero(count).tolist():
        votes, step = int(count[cell]), int(tallies.cells.steps[cell])
        total = votes * step
        if tallies.single is not None:
            total -= int(tallies.single.residual[class_index, cell])
        place = float(Fraction(total, votes * tallies.cells.scale))
        yield place, int(positive[cell]), votes * tallies.unit


def _knots(levels: list[_Level]) -> Knots:
    """Pool levels that are out of order, or equal."""
    pooled: list[_Level] = []
    for level in levels:
        pooled.append(level)
        while len(pooled) > 1 and not _rises(pooled[-2], pooled[-1]):
            last = pooled.pop()
            pooled[-1] = _Level(
                pooled[-1].first, last.last,
                pooled[-1].votes_for + last.votes_for, pooled[-1].votes + last.votes,
            )  # fmt: skip
    knots: dict[float, float] = {}
    for level in pooled:
        share = level.votes_for / level.votes
        knots |= {level.first: share, level.last: share}
    return Knots(tuple(knots), tuple(knots.values()))


def _rises(low: _Level, high: _Level) -> bool:
    return low.votes_for * high.votes < high.votes_for * low.votes
