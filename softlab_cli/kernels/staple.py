"""Expectation maximisation for STAPLE, over patterns of labels.

A *pair* is a label and a truth that it may stand for; pairs are numbered label by
label, with rising truths. A *candidate* is a truth that a pattern allows: one that
makes a pair with the label of every rater.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, kernel

__all__ = ["Candidates", "Pairs", "add_posteriors", "count_candidates", "find_candidates",
           "posteriors"]  # fmt: skip

NONE = -1
"""In place of a pair, where a rater ignored the voxel."""

SMALLEST = 1e-250
"""Likelihoods below this are near what float64 cannot tell from 0."""


class Pairs(NamedTuple):
    """The pairs.

    Parameters
    ----------
    starts
        (C + 1,) int64, where the pairs of each label begin.
    truths
        (pairs,) int64.
    """

    starts: NDArray[np.int64]
    truths: NDArray[np.int64]


class Candidates(NamedTuple):
    """The candidates of some patterns.

    Parameters
    ----------
    starts
        (patterns + 1,) int64, where the candidates of each pattern begin.
    truths
        (candidates,) int64, rising for each pattern.
    pairs
        (candidates, raters) int32, pair of each rater's label and the truth, or
        `NONE`.
    """

    starts: NDArray[np.int64]
    truths: NDArray[np.int64]
    pairs: NDArray[np.int32]


@kernel
def _find_pair(label: int, truth: int, pairs: Pairs) -> int:
    # Halving: a class as large as the background may be confused with all others.
    low, high = pairs.starts[label], pairs.starts[label + 1]
    while low < high:
        middle = (low + high) // 2
        if pairs.truths[middle] < truth:
            low = middle + 1
        else:
            high = middle
    found = low < pairs.starts[label + 1] and pairs.truths[low] == truth
    return low if found else NONE


@kernel
def _choosiest(labels: NDArray[np.int32], pairs: Pairs) -> int:
    """The label with the fewest truths, of a pattern that has any label."""
    best = NONE
    for label in labels:
        if label >= 0 and (
            best == NONE
            or pairs.starts[label + 1] - pairs.starts[label]
            < pairs.starts[best + 1] - pairs.starts[best]
        ):
            best = label
    return best


@kernel
def count_candidates(labels: NDArray[np.int32], pairs: Pairs, counts: NDArray[np.int64]) -> None:
    """Count the candidates of each pattern.

    Parameters
    ----------
    labels
        (patterns, raters) class indices, below 0 for none; each pattern has some.
    pairs
        The pairs.
    counts
        (patterns,); is written.
    """
    for p in range(len(labels)):
        # A candidate pairs with the label of every rater, so those of one label hold all of them;
        # the label with the fewest truths leaves least to try.
        label = _choosiest(labels[p], pairs)
        counts[p] = 0
        for pair in range(pairs.starts[label], pairs.starts[label + 1]):
            possible = True
            for other in labels[p]:
                if other >= 0 and _find_pair(other, pairs.truths[pair], pairs) == NONE:
                    possible = False
                    break
            counts[p] += np.int64(possible)


@kernel
def find_candidates(labels: NDArray[np.int32], pairs: Pairs, candidates: Candidates) -> None:
    """Write the candidates of each pattern.

    Parameters
    ----------
    labels, pairs
        As for `count_candidates`.
    candidates
        Its starts are given; truths and pairs are written.
    """
    for p in range(len(labels)):
        end = candidates.starts[p]
        label = _choosiest(labels[p], pairs)
        for pair in range(pairs.starts[label], pairs.starts[label + 1]):
            # The rest are none: their number is known, and the next place is another pattern's.
            if end == candidates.starts[p + 1]:
                break
            truth = pairs.truths[pair]
            possible = True
            for j in range(labels.shape[1]):
                found = NONE if labels[p, j] < 0 else _find_pair(labels[p, j], truth, pairs)
                candidates.pairs[end, j] = found
                possible &= found != NONE or labels[p, j] < 0
            if possible:
                candidates.truths[end] = truth
                end += 1


@kernel
def posteriors(
    candidates: Candidates, prior: NDArray[np.float64], performance: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> None:  # fmt: skip
    """Probability of each candidate (the E-step).

    Parameters
    ----------
    candidates
        The candidates.
    prior
        (C,) probability of each truth.
    performance
        (raters, pairs) probability that the rater says the label, given the truth.
    weights
        (candidates,); is written, and adds up to 1 for each pattern.
    """
    raters = candidates.pairs.shape[1]
    for p in range(len(candidates.starts) - 1):
        start, stop = candidates.starts[p], candidates.starts[p + 1]
        total = 0.0
        for i in range(start, stop):
            weight = prior[candidates.truths[i]]
            for j in range(raters):
                pair = candidates.pairs[Unsigned(i), Unsigned(j)]
                if pair != NONE:
                    weight *= performance[Unsigned(j), Unsigned(pair)]
            weights[i] = weight
            total += weight
        # Products first, as logarithms cost far more: only where many raters make the product so
        # small that float64 cannot hold it are the weights taken by logarithms.
        if total < SMALLEST:
            total = _carefully(candidates, start, stop, prior, performance, weights)
        for i in range(start, stop):
            weights[i] /= total


@kernel
def _carefully(
    candidates: Candidates, start: int, stop: int, prior: NDArray[np.float64],
    performance: NDArray[np.float64], weights: NDArray[np.float64],
) -> float:  # fmt: skip
    """Weights by their logarithms, relative to the largest; returns their sum."""
    largest = -np.inf
    for i in range(start, stop):
        weights[i] = np.log(prior[candidates.truths[i]])
        for j in range(candidates.pairs.shape[1]):
            pair = candidates.pairs[i, j]
            if pair != NONE:
                weights[i] += np.log(performance[j, pair])
        largest = max(largest, weights[i])
    total = 0.0
    for i in range(start, stop):
        weights[i] = np.exp(weights[i] - largest)
        total += weights[i]
    return total


@kernel
def add_posteriors(
    candidates: Candidates, counts: NDArray[np.int64], prior: NDArray[np.float64],
    performance: NDArray[np.float64], weights: NDArray[np.float64],
    said: NDArray[np.float64], true: NDArray[np.float64],
) -> None:  # fmt: skip
    """Take `posteriors`, and add up what the M-step needs.

    Parameters
    ----------
    candidates, prior, performance, weights
        As for `posteriors`.
    counts
        (patterns,) voxels of each pattern.
    said
        (raters, pairs), to which the voxels of each pair are added.
    true
        (raters, C), to which the voxels of each truth are added, where the rater
        said anything.
    """
    posteriors(candidates, prior, performance, weights)
    for p in range(len(candidates.starts) - 1):
        for i in range(candidates.starts[p], candidates.starts[p + 1]):
            voxels = counts[p] * weights[i]
            for j in range(said.shape[0]):
                pair = candidates.pairs[Unsigned(i), Unsigned(j)]
                if pair != NONE:
                    said[Unsigned(j), Unsigned(pair)] += voxels
                    true[Unsigned(j), Unsigned(candidates.truths[i])] += voxels
