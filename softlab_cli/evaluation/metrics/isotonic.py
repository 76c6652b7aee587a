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

from dataclasses import dataclass

import numpy as np

from softlab_cli.evaluation.metrics.tallies import Tallies
from softlab_cli.kernels.forecasts import FIXED

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
        _knots(*_levels(tallies, c)) if seen[c] else IDENTITY for c in range(tallies.class_count)
    )


def _levels(tallies: Tallies, class_index: int) -> tuple[list[float], list[int], list[int]]:
    """Probabilities that occur, rising; votes for the class, and all votes, of each."""
    count = tallies.count[class_index]
    used = np.flatnonzero(count)
    places = tallies.cells.upper[used]
    if tallies.single is not None:  # the mean of a cell's numbers
        lacking = tallies.single.residual[class_index, used] / FIXED
        places = np.maximum(places - lacking / count[used], 0.0)
        places = np.maximum.accumulate(places)  # equal ones may be rounded apart
    # Twice as many, in parts of a vote, so that half a vote is a whole number.
    votes_for = [2 * n for n in tallies.positive[class_index, used].tolist()]
    votes = [2 * tallies.unit * n for n in count[used].tolist()]
    votes_for[0] += tallies.unit
    votes[0] += tallies.unit
    votes[-1] += tallies.unit
    return places.tolist(), votes_for, votes


def _knots(places: list[float], votes_for: list[int], votes: list[int]) -> Knots:
    """Pool neighbours that are out of order, or equal, or of one probability."""
    first, last, said, total = [places[0]], [places[0]], [votes_for[0]], [votes[0]]
    for place, k, n in zip(places[1:], votes_for[1:], votes[1:], strict=True):
        begin = place
        # As long as the level before has no smaller share, or is not wholly before this one.
        while first and (said[-1] * n >= k * total[-1] or last[-1] >= begin):
            begin = first.pop()
            last.pop()
            k, n = k + said.pop(), n + total.pop()
        first.append(begin)
        last.append(place)
        said.append(k)
        total.append(n)
    knots: dict[float, float] = {}
    for low, high, k, n in zip(first, last, said, total, strict=True):
        knots |= {low: k / n, high: k / n}
    return Knots(tuple(knots), tuple(knots.values()))
