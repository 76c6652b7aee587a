"""STAPLE: what is true and how good each rater is, estimated together.

Voxels that all raters labelled alike have the same posterior, so expectation
maximisation runs over the distinct patterns, each weighted by its number of
voxels. That is exact, takes no memory for voxels, and all sums are float64: no
number of voxels saturates them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.fusion.options import StapleOptions
from softlab_cli.fusion.patterns import UNLABELLED, RaterPatterns
from softlab_cli.fusion.shares import FINEST, Shares, count_votes, to_parts
from softlab_cli.kernels.staple import (
    Candidates,
    Pairs,
    add_posteriors,
    count_candidates,
    find_candidates,
    posteriors,
)

__all__ = ["Staple", "run_staple"]

FIRST_DIAGONAL = 0.99999
"""Every rater's probability to be right, before the first step."""

SMALLEST = 0.5 / FINEST
"""Posteriors below this would round to no part at all."""

PATTERNS_AT_ONCE = 4096
"""Patterns whose candidates are found together."""

CANDIDATE_BYTES = 2**26
"""Candidates are kept from step to step up to this size."""


@dataclass(frozen=True)
class Staple:
    """What STAPLE found.

    Parameters
    ----------
    posterior
        A row for each pattern: probability of each class, in parts of
        `softlab_cli.fusion.shares.FINEST`; the soft label.
    sensitivity
        (raters, C) float64: probability that the rater says the class where it is
        true; NaN for classes that are nowhere true.
    specificity
        (raters, C) float64: probability that the rater says another class where
        another one is true; NaN where nothing else is true.
    prior
        (C,) float64, probability of each class before a rater is heard.
    ties
        Voxels where several classes are equally probable; the hard label is the
        one of the lowest label value.
    tolerance, iterations, change, converged
        Largest change of a parameter to stop at, steps done, that change in the
        last one, and whether it was within the tolerance.
    """

    posterior: Shares
    sensitivity: NDArray[np.float64]
    specificity: NDArray[np.float64]
    prior: NDArray[np.float64]
    ties: int
    tolerance: float
    iterations: int
    change: float
    converged: bool

    def to_json(self) -> dict[str, Any]:
        """How the estimation went, as the store keeps it."""
        return {
            "tolerance": self.tolerance,
            "iterations": self.iterations,
            "change": self.change,
            "converged": self.converged,
            "ties": self.ties,
        }


def run_staple(
    patterns: RaterPatterns,
    options: StapleOptions | None = None,
    *,
    prior: NDArray[np.float64] | None = None,
) -> Staple:
    """Estimate the true label and the raters' performance.

    Each rater has one confusion matrix; with two classes that is its sensitivity
    and specificity. A rater that ignored a voxel says nothing about it. Two
    classes that no two raters ever named at the same voxel are taken as never
    confused. Estimation without that restriction ends in the same place as long as
    each class has voxels that most raters agree on.

    Parameters
    ----------
    patterns
        The raters' labels.
    options
        The defaults of `StapleOptions` if not given.
    prior
        (C,) probability of each class, adding up to 1; by default the share of
        the class among all labels that are given to voxels in the estimation.

    Raises
    ------
    UsageError
        For a prior that is none, or that is 0 for a class that a rater named.

    References
    ----------
    Warfield, Zou, Wells, "Simultaneous truth and performance level estimation
    (STAPLE)", IEEE Transactions on Medical Imaging 23(7), 2004.
    """
    options = StapleOptions() if options is None else options
    labelled = (patterns.labels != UNLABELLED).any(axis=1) & (patterns.counts > 0)
    used = np.flatnonzero(patterns.disputed & labelled if options.restrict else labelled)
    labels, counts = patterns.labels[used], patterns.counts[used]
    frequencies = _label_frequencies(labels, counts, patterns.class_count)
    prior = frequencies if prior is None else _checked(prior, frequencies)
    model = _Model(labels, counts, prior)
    iterations, change = model.run(options.tolerance, options.max_iterations)
    posterior, ties = _all_rows(patterns, used, model)
    sensitivity, specificity = model.rates(posterior, used)
    return Staple(
        posterior, sensitivity, specificity, prior, ties,
        options.tolerance, iterations, change, change <= options.tolerance,
    )  # fmt: skip


def _checked(prior: NDArray[np.float64], frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    if prior.shape != frequencies.shape or prior.min() < 0 or abs(prior.sum() - 1) > 1e-6:
        raise UsageError(
            f"the prior of STAPLE has shape {prior.shape} and sum {prior.sum():g}.",
            remedy=f"Give {len(frequencies)} probabilities that add up to 1.",
        )
    excluded = np.flatnonzero((prior == 0) & (frequencies > 0))
    if len(excluded):
        raise UsageError(
            f"the prior of STAPLE is 0 for class {excluded[0]}, which a rater named.",
            remedy="Give it a probability above 0.",
        )
    return prior


def _label_frequencies(
    labels: NDArray[np.int32], counts: NDArray[np.int64], class_count: int
) -> NDArray[np.float64]:
    rows, _ = named = np.nonzero(labels != UNLABELLED)
    votes = np.bincount(labels[named], weights=counts[rows], minlength=class_count)
    return np.asarray(votes / max(1.0, votes.sum()))


class _Model:
    """The parameters, and the steps that improve them; see `softlab_cli.kernels.staple`.

    Parameters
    ----------
    labels
        (patterns, raters) int32, each with some label.
    counts
        (patterns,) int64, voxels of each.
    prior
        (C,) float64.
    """

    def __init__(
        self, labels: NDArray[np.int32], counts: NDArray[np.int64], prior: NDArray[np.float64]
    ) -> None:
        self.labels, self.counts, self.prior = labels, counts, prior
        classes = np.arange(len(prior) + 1)
        said, truths = _confusable(labels, len(prior))
        self.pairs = Pairs(np.searchsorted(said, classes).astype(np.int64), truths)
        self.said = said
        wrong = (1 - FIRST_DIAGONAL) / max(1, int(np.count_nonzero(prior)) - 1)
        first = np.where(said == truths, FIRST_DIAGONAL, wrong)
        self.performance = np.tile(first, (labels.shape[1], 1))
        self._found: dict[int, Candidates] = {}
        self._held = 0

    def run(self, tolerance: float, max_iterations: int) -> tuple[int, float]:
        """Improve the parameters; returns steps and the largest change in the last one."""
        iterations, change = 0, np.inf if len(self.labels) else 0.0
        while change > tolerance and iterations < max_iterations:
            before = self.performance
            self.performance = self._estimate()
            change = float(np.abs(self.performance - before).max())
            iterations += 1
        return iterations, change

    def _estimate(self) -> NDArray[np.float64]:
        said = np.zeros_like(self.performance)
        true = np.zeros((len(said), len(self.prior)))
        for chunk in self._chunks():
            candidates = self._candidates(chunk)
            weights = np.empty(len(candidates.truths))
            add_posteriors(
                candidates, self.counts[chunk], self.prior, self.performance, weights, said, true
            )
        mass = true[:, self.pairs.truths]
        return np.asarray(np.divide(said, mass, out=self.performance.copy(), where=mass > 0))

    def posteriors(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Patterns, classes and probabilities, all that are not next to nothing."""
        rows, classes, fractions = [], [], []
        for chunk in self._chunks():
            candidates = self._candidates(chunk)
            weights = np.empty(len(candidates.truths))
            posteriors(candidates, self.prior, self.performance, weights)
            kept = weights >= SMALLEST
            row = np.repeat(np.arange(chunk.start, chunk.stop), np.diff(candidates.starts))
            rows.append(row[kept])
            classes.append(candidates.truths[kept])
            fractions.append(weights[kept])
        if not rows:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        return np.concatenate(rows), np.concatenate(classes), np.concatenate(fractions)

    def _chunks(self) -> Iterator[slice]:
        for start in range(0, len(self.labels), PATTERNS_AT_ONCE):
            yield slice(start, min(start + PATTERNS_AT_ONCE, len(self.labels)))

    def _candidates(self, chunk: slice) -> Candidates:
        """Candidates of some patterns: kept while there is room, or found again each time."""
        if chunk.start in self._found:
            return self._found[chunk.start]
        labels = self.labels[chunk]
        counts = np.empty(len(labels), np.int64)
        count_candidates(labels, self.pairs, counts)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        truths = np.empty(starts[-1], np.int64)
        pairs = np.empty((starts[-1], labels.shape[1]), np.int32)
        candidates = Candidates(starts, truths, pairs)
        find_candidates(labels, self.pairs, candidates)
        if self._held + pairs.nbytes <= CANDIDATE_BYTES:
            self._held += pairs.nbytes
            self._found[chunk.start] = candidates
        return candidates

    def rates(
        self, posterior: Shares, used: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sensitivity and specificity; both (raters, C)."""
        class_count, raters = len(self.prior), self.labels.shape[1]
        mass = self._mass(posterior, used)
        right = self.said == self.pairs.truths
        sensitivity = np.full((raters, class_count), np.nan)
        sensitivity[:, self.said[right]] = self.performance[:, right]
        sensitivity[:, mass == 0] = np.nan
        weights = np.where(right, 0, self.performance * mass[self.pairs.truths])
        wrongly = np.stack([np.bincount(self.said, row, class_count) for row in weights])
        elsewhere = mass.sum() - mass
        with np.errstate(invalid="ignore", divide="ignore"):
            specificity = 1 - wrongly / elsewhere
        return sensitivity, np.where(elsewhere > 0, specificity, np.nan)

    def _mass(self, posterior: Shares, used: NDArray[np.int64]) -> NDArray[np.float64]:
        """(C,) voxels in which each class is true, of those in the estimation."""
        voxels = np.zeros(len(posterior))
        voxels[used] = self.counts
        weights = posterior.parts * voxels[posterior.rows]
        return np.asarray(np.bincount(posterior.classes, weights, len(self.prior)), np.float64)


def _confusable(
    labels: NDArray[np.int32], class_count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of classes that two raters named at one voxel, and each class with itself."""
    found = [np.arange(class_count, dtype=np.int64) * (class_count + 1)]
    columns = labels.T.astype(np.int64)
    for j, one in enumerate(columns[1:], 1):
        others = columns[:j]
        both = (one != UNLABELLED) & (others != UNLABELLED)
        codes = np.unique((one * class_count + others)[both])
        found += [codes, codes % class_count * class_count + codes // class_count]
    said, truths = np.divmod(np.unique(np.concatenate(found)), class_count)
    return said, truths


def _all_rows(
    patterns: RaterPatterns, used: NDArray[np.int64], model: _Model
) -> tuple[Shares, int]:
    """Posteriors of all patterns, those that are certain included; and the ties."""
    rows, classes, fractions = model.posteriors()
    is_certain = np.ones(len(patterns.labels), bool)
    is_certain[used] = False
    certain = np.flatnonzero(is_certain)
    winners, _ = count_votes(patterns.labels[certain]).largest()
    certain, winners = certain[winners != UNLABELLED], winners[winners != UNLABELLED]
    rows = np.concatenate([used[rows], certain])
    order = np.argsort(rows, kind="stable")
    classes = np.concatenate([classes, winners])[order]
    fractions = np.concatenate([fractions, np.ones(len(certain))])[order]
    starts = np.searchsorted(rows[order], np.arange(len(patterns.labels) + 1)).astype(np.int64)
    rounded = Shares(starts, classes, np.rint(fractions * FINEST).astype(np.int64))
    _, tied = rounded.largest()
    return to_parts(starts, classes, fractions), int(patterns.counts[tied].sum())
