"""What one case adds to the pooled figures of a region, and the figures of such sums.

All of it adds up over cases, so that a bootstrap draws cases and adds, and looks at no voxel
again. Values of figures are exact ones of the counts; these sums are of float64 and make their
intervals. Bins of equal count are those of all cases together, also in a draw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.figures import Key
from softlab_cli.evaluation.metrics.calibration import Reliability, class_reliability, reliability
from softlab_cli.evaluation.metrics.cells import TACE_THRESHOLD
from softlab_cli.evaluation.metrics.scores import (
    brier,
    brier_by_class,
    confidence,
    entropy,
    nll,
    rps,
    sharpness,
)
from softlab_cli.evaluation.metrics.tallies import ALL, Tallies
from softlab_cli.evaluation.metrics.temperature import best_of_sums, tempering, tempering_sums
from softlab_cli.evaluation.rows import MEAN
from softlab_cli.kernels.forecasts import FIXED

__all__ = ["Edges", "Sums", "adaptive_sums", "edges_of", "figures_of", "sums_of"]

Array = NDArray[np.float64]

Sums = Mapping[str, Array]
"""Name to an array; with a first axis of cases or draws where there are several."""

MEANS: Mapping[str, Callable[[Tallies], float]] = {
    "brier": brier, "nll": nll, "sharpness": sharpness, "entropy": entropy,
    "confidence": confidence,
}  # fmt: skip
"""Means over votes."""


def sums_of(tallies: Tallies, bins: int, *, temperatures: bool, ordered: bool) -> Sums:
    """What a case adds, but for bins of equal count.

    Parameters
    ----------
    tallies
        Of the case, in a region.
    bins
        Bins of the calibration errors.
    temperatures, ordered
        Whether the best temperature, and the ranked probability score, were counted.
    """
    votes = float(tallies.votes)
    scores = dict(MEANS) | ({"rps": rps} if ordered else {})
    means = [score(tallies) if votes else 0.0 for score in scores.values()]
    sums = {
        "votes": np.array(votes),
        "means": np.array(means) * votes,
        "top": _stacked(reliability(tallies, bins)),
        "classes": np.array([_stacked(part) for part in class_reliability(tallies, bins)]),
        "overlaps": _overlaps(tallies),
        "present": tallies.class_votes + tallies.predicted,
    }
    if temperatures:
        sums["tempered"] = tempering_sums(tempering(tallies))
    return sums


def _stacked(found: Reliability) -> Array:
    """(3, bins) votes, their probabilities, and those that came true."""
    rows = (found.count, map(float, found.confidence), map(float, found.accuracy))
    return np.array([list(row) for row in rows], np.float64)


def _overlaps(tallies: Tallies) -> Array:
    """(C, 6) sums of p, s, p s, n abs(p - s), (p - s)^2, and of n s (1 - s)."""
    squared = np.nan_to_num(brier_by_class(tallies)) * tallies.votes
    columns = [
        [float(mass) for mass in tallies.mass], tallies.class_votes,
        [float(part) for part in tallies.overlap],
        [gap / FIXED for gap in tallies.absolute.tolist()], squared,
        [float(spread) for spread in tallies.spread.tolist()],
    ]  # fmt: skip
    return np.array(columns, np.float64).T


@dataclass(frozen=True)
class Edges:
    """Ends of bins of equal count, in cells; a fraction of a cell is that share of its votes.

    Parameters
    ----------
    ace, tace
        (C, bins + 1) of all probabilities, and of those above the threshold.
    """

    ace: Array
    tace: Array


def edges_of(pooled: Tallies, bins: int) -> Edges:
    """The bins of equal count of all cases together."""
    first = int(np.searchsorted(pooled.cells.upper, TACE_THRESHOLD, side="right"))
    return Edges(_edges(pooled.count, bins, 0), _edges(pooled.count, bins, first))


def _edges(count: NDArray[np.int64], bins: int, first: int) -> Array:
    found = np.empty((len(count), bins + 1))
    for row, votes in zip(found, count, strict=True):
        used = first + np.flatnonzero(votes[first:])
        ends = np.concatenate([[0], np.cumsum(votes[used])])
        ranks = np.append(ends[-1] // bins * np.arange(bins), ends[-1])
        place = np.maximum(np.searchsorted(ends, ranks, side="left") - 1, 0)
        if len(used):
            inside = (ranks - ends[place]) / votes[used[place]]
            row[:] = np.where(ranks == 0, first, used[place] + inside)
        else:
            row[:] = first
    return found


def adaptive_sums(tallies: Tallies, edges: Edges) -> Sums:
    """What a case adds in bins of equal count: (C, 2, bins) votes, and confidence - accuracy."""
    steps = tallies.cells.steps / tallies.cells.scale
    found: dict[str, list[Array]] = {"ace": [], "tace": []}
    for c in range(tallies.class_count):
        gaps = tallies.count[c] * steps - tallies.positive[c] / tallies.unit
        if tallies.single is not None:
            gaps = gaps - tallies.single.residual[c] / tallies.cells.scale
        for name in found:
            ends = getattr(edges, name)[c]
            found[name].append(np.array([_between(tallies.count[c], ends), _between(gaps, ends)]))
    return {name: np.array(parts) for name, parts in found.items()}


def _between(values: NDArray[Any], ends: Array) -> Array:
    """Sums of cells between ends."""
    sums = np.concatenate([[0.0], np.cumsum(values, dtype=np.float64)])
    return np.diff(np.interp(ends, np.arange(len(sums)), sums))


def figures_of(
    sums: Sums, class_names: Sequence[str], *, foreground: bool, ordered: bool
) -> dict[Key, Array]:
    """Pooled figures of added sums, without the region of their keys.

    Parameters
    ----------
    sums
        With a first axis of n draws.
    class_names
        All classes.
    foreground
        Whether class 0 is background, and left out of some means.
    ordered
        Whether there is a ranked probability score.

    Returns
    -------
    figures
        Class, ``""`` and metric to (n,); NaN where there is none.
    """
    found: dict[Key, Array] = {}
    votes = sums["votes"]
    names = [*MEANS, *(["rps"] if ordered else [])]
    for place, name in enumerate(names):
        found[ALL, "", name] = _ratio(sums["means"][:, place], votes)
    found |= {(ALL, "", name): value for name, value in _of_top(sums["top"]).items()}
    found |= {(ALL, "", name): value for name, value in _brier_parts(sums).items()}
    if "tempered" in sums:
        best, after = best_of_sums(sums["tempered"])
        found[ALL, "", "temperature"], found[ALL, "", "nll_at_temperature"] = best, after
    present = sums["present"] > 0
    for name, (values, kept) in _by_class(sums, foreground).items():
        if name != "brier":  # of absent classes it is 0, as of all that is right
            values = np.where(present, values, np.nan)
        for c, title in enumerate(class_names):
            found[title, "", name] = values[:, c]
        if name != "brier":
            found[MEAN, "", name] = _mean(values[:, kept:])
    return found


def _of_top(top: Array) -> dict[str, Array]:
    """Figures of the most probable class; top is (n, 3, bins)."""
    count, gaps = top[:, 0], top[:, 1] - top[:, 2]
    votes = count.sum(axis=-1)
    return {
        "ece": _ratio(np.abs(gaps).sum(axis=-1), votes),
        "mce": np.where(votes > 0, np.nan_to_num(_ratio(np.abs(gaps), count)).max(axis=-1), np.nan),
        "overconfidence": _ratio(gaps.sum(axis=-1), votes),
    }


def _by_class(sums: Sums, foreground: bool) -> dict[str, tuple[Array, int]]:
    """Metric to (n, C) figures, and the first class that is in their mean."""
    count, confident, true = (sums["classes"][:, :, i] for i in range(3))
    gaps = np.abs(confident - true).sum(axis=-1)
    mass, shares, both, apart, squared, _ = (sums["overlaps"][..., i] for i in range(6))
    first = int(foreground)
    found = {
        "sce": (_ratio(gaps, count.sum(axis=-1)), 0),
        "soft_dice": (_ratio(2 * both, mass + shares), first),
        "semimetric_dice": (1 - _ratio(apart, mass + shares), first),
        "brier": (_ratio(squared, sums["votes"][:, None]), 0),
    }
    if "ace" in sums:
        count, gaps = sums["ace"][:, :, 0], np.abs(sums["ace"][:, :, 1])
        found["ace"] = (_mean(_ratio(gaps, count)), 0)
        count, gaps = sums["tace"][:, :, 0], np.abs(sums["tace"][:, :, 1])
        found["tace"] = (_ratio(gaps.sum(axis=-1), count.sum(axis=-1)), first)
    return found


def _brier_parts(sums: Sums) -> dict[str, Array]:
    """The parts of the Brier score; see `softlab_cli.evaluation.metrics.scores.BrierParts`."""
    count, confident, true = (sums["classes"][:, :, i] for i in range(3))
    votes = sums["votes"]
    rate = _ratio(true.sum(axis=-1), count.sum(axis=-1))
    gaps = np.nan_to_num(_ratio((confident - true) ** 2, count))
    apart = np.nan_to_num(count * (_ratio(true, count) - rate[..., None]) ** 2)
    parts = {
        "brier_reliability": _ratio(gaps.sum(axis=(1, 2)), votes),
        "brier_resolution": _ratio(apart.sum(axis=(1, 2)), votes),
        "brier_uncertainty": (rate * (1 - rate)).sum(axis=1),
        "brier_disagreement": _ratio(sums["overlaps"][..., 5].sum(axis=1), votes),
    }
    score = _ratio(sums["means"][:, 0], votes)
    parts["brier_within_bins"] = (
        score - parts["brier_reliability"] + parts["brier_resolution"]
        - parts["brier_uncertainty"] + parts["brier_disagreement"]
    )  # fmt: skip
    return parts


def _ratio(a: Array, b: Array) -> Array:
    """A / b; NaN where there is nothing to divide by."""
    a, b = np.broadcast_arrays(a, b)
    found = np.full(a.shape, np.nan)
    np.divide(a, b, out=found, where=b > 0)
    return found


def _mean(values: Array) -> Array:
    """Mean over the last axis of what is no NaN."""
    there = ~np.isnan(values)
    return _ratio(np.where(there, values, 0.0).sum(axis=-1), there.sum(axis=-1).astype(np.float64))
