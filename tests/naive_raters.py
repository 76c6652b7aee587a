"""Fusion of raters by the papers' formulas, voxel by voxel: slow, dense, and easy to read.

Label maps are (R, Z, Y, X) class indices with -1 where a rater ignored the voxel;
soft labels are (C, Z, Y, X) float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -1

Array = NDArray[Any]
Reals = NDArray[np.float64]


def share(raters: Array, class_count: int, weights: Reals | None = None) -> Array:
    """Mean one-hot label (mOH) over the raters that labelled the voxel; 0 where none did."""
    weights = np.ones(len(raters)) if weights is None else weights
    votes = np.zeros((class_count, *raters.shape[1:]))
    for rater, weight in zip(raters, weights, strict=True):
        for c in range(class_count):
            votes[c] += weight * (rater == c)
    total = votes.sum(axis=0)
    return np.divide(votes, total, out=np.zeros_like(votes), where=total > 0)


def smooth(soft: Array, kernel: Array) -> Array:
    """Convolve each class under replicate padding, over the weights of voxels with a label.

    The kernel is that of `tests.naive.svls_kernel`.
    """
    radius = [n // 2 for n in kernel.shape]
    pad = [(0, 0), *((r, r) for r in radius)]
    padded = np.pad(soft, pad, mode="edge")
    valid = np.pad(soft.sum(axis=0) > 0, pad[1:], mode="edge")
    z, y, x = soft.shape[1:]
    found, total = np.zeros_like(soft), np.zeros(soft.shape[1:])
    for i, j, k in np.ndindex(kernel.shape):
        part = (slice(i, i + z), slice(j, j + y), slice(k, k + x))
        found += kernel[i, j, k] * padded[(slice(None), *part)]
        total += kernel[i, j, k] * valid[part]
    own = soft.sum(axis=0) > 0
    return np.where(own, found / np.where(own, total, 1), 0)


def svls(label_map: Array, class_count: int, kernel: Array) -> Array:
    """SVLS of one rater."""
    return smooth(share(label_map[None], class_count), kernel)


def mean_of_svls(raters: Array, class_count: int, kernel: Array) -> Array:
    """The paper's way: SVLS of each rater, then the mean."""
    return np.mean([svls(rater, class_count, kernel) for rater in raters], axis=0)


def majority(raters: Array, class_count: int) -> tuple[Array, int]:
    """Class with most votes, the lowest among equals; and how many voxels have equals."""
    votes = np.array([(raters == c).sum(axis=0) for c in range(class_count)])
    winner = np.where(votes.sum(axis=0) > 0, votes.argmax(axis=0), IGNORED)
    tied = ((votes == votes.max(axis=0)).sum(axis=0) > 1) & (winner != IGNORED)
    return winner, int(tied.sum())


def confusable(raters: Array, class_count: int) -> Array:
    """(C, C) whether two raters named both classes at some voxel; always, for one class."""
    found = np.eye(class_count, dtype=bool)
    for one in raters:
        for other in raters:
            both = (one != IGNORED) & (other != IGNORED)
            found[one[both], other[both]] = True
    return found


def staple(
    raters: Array, class_count: int, iterations: int, pairs: Array | None = None
) -> tuple[Array, Array]:
    """Posterior (C, Z, Y, X), and confusion (R, said, true), by dense EM over voxels.

    Of the confusions, those that are not among `pairs` stay 0.
    """
    labels = raters.reshape(len(raters), -1)
    prior = np.array([(labels == c).sum() for c in range(class_count)], float)
    prior /= max(1, prior.sum())
    wrong = 1e-5 / max(1, np.count_nonzero(prior) - 1)
    confusion = np.full((len(labels), class_count, class_count), wrong)
    confusion[:, range(class_count), range(class_count)] = 1 - 1e-5
    if pairs is not None:
        confusion *= pairs
    for step in range(iterations + 1):
        posterior = np.repeat(prior[:, None], labels.shape[1], axis=1)
        for rater, theta in zip(labels, confusion, strict=True):
            factors = theta[rater].T
            posterior *= np.where(rater == IGNORED, 1, factors)
        heard = (labels != IGNORED).any(axis=0)
        total = posterior.sum(axis=0)
        posterior = np.where(heard, posterior / np.where(heard, total, 1), 0)
        if step == iterations:
            break
        for j, rater in enumerate(labels):
            mass = posterior[:, rater != IGNORED].sum(axis=1)
            for c in range(class_count):
                said = posterior[:, rater == c].sum(axis=1)
                confusion[j, c] = np.where(mass > 0, said / np.maximum(mass, 1e-300), 0)
    return posterior.reshape(class_count, *raters.shape[1:]), confusion


def dice(a: Array, b: Array, c: int) -> float:
    """Dice of class c over the voxels that both labelled; NaN when neither has it."""
    both = (a != IGNORED) & (b != IGNORED)
    one, other = (a == c) & both, (b == c) & both
    size = one.sum() + other.sum()
    return 2 * (one & other).sum() / size if size else float("nan")


def fleiss(raters: Array, class_count: int) -> tuple[Array, float]:
    """Kappa of each class and overall, from agreement and chance agreement as Fleiss has them."""
    complete = (raters != IGNORED).all(axis=0)
    votes = np.array([(raters[:, complete] == c).sum(axis=0) for c in range(class_count)]).T
    voxels, n = len(votes), len(raters)
    share = votes.sum(axis=0) / (voxels * n)
    agreement = (votes * (votes - 1)).sum(axis=0) / (voxels * n * (n - 1) * share)
    per_class = (agreement - share) / (1 - share)
    mean = (votes * (votes - 1)).sum(axis=1).mean() / (n * (n - 1))
    chance = (share**2).sum()
    return per_class, float((mean - chance) / (1 - chance))
