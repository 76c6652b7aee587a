"""Calibration and scores as their formulas have them, in float64, for small arrays.

`p` is (C, n); `votes` is (C, n), how many raters chose the class.
"""

from __future__ import annotations

import math

import numpy as np


def bin_of(values: np.ndarray, bins: int) -> np.ndarray:
    found = np.zeros(values.shape, int)
    for k in range(1, bins):
        found[values > k / bins] = k
    return found


def gaps(values: np.ndarray, true: np.ndarray, n: np.ndarray, bins: int) -> list[tuple]:
    """Votes, and confidence minus accuracy, of each bin that is not empty."""
    found = []
    for k in range(bins):
        inside = bin_of(values, bins) == k
        count = n[inside].sum()
        if count:
            gap = ((values * n)[inside].sum() - true[inside].sum()) / count
            found.append((count, gap))
    return found


def expected(pairs: list[tuple]) -> float:
    total = sum(n for n, _ in pairs)
    return sum(n * abs(g) for n, g in pairs) / total if total else math.nan


def top_gaps(p: np.ndarray, votes: np.ndarray, bins: int) -> list[tuple]:
    top, n = p.argmax(axis=0), votes.sum(axis=0)
    every = np.arange(p.shape[1])
    return gaps(p[top, every], votes[top, every], n, bins)


def equal_count(values: np.ndarray, true: np.ndarray, bins: int) -> list[tuple]:
    """For one rater; equal values have their mean outcome each, so their order is nothing."""
    order = np.argsort(values, kind="stable")
    values, true = values[order], true[order].astype(float)
    for value in np.unique(values):
        true[values == value] = true[values == value].mean()
    size = len(values) // bins
    found = []
    for k in range(bins):
        part = slice(k * size, (k + 1) * size if k < bins - 1 else len(values))
        if len(values[part]):
            found.append((len(values[part]), (values[part] - true[part]).mean()))
    return found


def shares(votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n = votes.sum(axis=0)
    return votes / np.maximum(n, 1), n


def brier(p: np.ndarray, votes: np.ndarray) -> float:
    s, n = shares(votes)
    return (((p - s) ** 2).sum(axis=0) * n).sum() / n.sum()


def nll(p: np.ndarray, votes: np.ndarray) -> float:
    return -(votes * np.log(np.maximum(p, 1e-7))).sum() / votes.sum()


def rps(p: np.ndarray, votes: np.ndarray) -> float:
    s, n = shares(votes)
    steps = (p.cumsum(axis=0) - s.cumsum(axis=0))[:-1] ** 2
    return (steps.sum(axis=0) * n).sum() / n.sum()


def entropy(p: np.ndarray, n: np.ndarray) -> float:
    parts = -p * np.log(np.where(p > 0, p, 1.0))
    return (parts.sum(axis=0) * n).sum() / n.sum()


def soft_dice(p: np.ndarray, votes: np.ndarray) -> list[float]:
    s, n = shares(votes)
    return [2 * (n * a * b).sum() / (n * (a + b)).sum() for a, b in zip(p, s, strict=True)]


def semimetric(p: np.ndarray, votes: np.ndarray) -> list[float]:
    s, n = shares(votes)
    return [1 - (n * abs(a - b)).sum() / (n * (a + b)).sum() for a, b in zip(p, s, strict=True)]


def tempered(p: np.ndarray, votes: np.ndarray, temperature: float) -> float:
    q = np.maximum(p, 1e-7) ** (1 / temperature)
    return -(votes * np.log(q / q.sum(axis=0))).sum() / votes.sum()
