"""Calibration as the definitions have it, voxel by voxel, and its NLL."""

from __future__ import annotations

import numpy as np

CLIP = 1e-7


def isotonic(p: np.ndarray, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that occur, and what they become: the max-min formula of isotonic regression.

    Parameters
    ----------
    p
        (n,) probabilities of a class.
    votes
        (R, n), whether a rater says that it is the class.
    """
    x = np.concatenate([np.tile(p, len(votes)), [p.min(), p.max()]]).astype(float)
    y = np.concatenate([votes.astype(float).ravel(), [1.0, 0.0]])
    weight = np.concatenate([np.ones(votes.size), [0.5, 0.5]])
    places = np.unique(x)
    total = np.array([weight[x == place].sum() for place in places])
    said = np.array([(weight * y)[x == place].sum() for place in places])
    n = len(places)
    found = [
        max(
            min(said[a : b + 1].sum() / total[a : b + 1].sum() for b in range(i, n))
            for a in range(i + 1)
        )
        for i in range(n)
    ]
    return places, np.array(found)


def apply_isotonic(maps: list[tuple[np.ndarray, np.ndarray]], p: np.ndarray) -> np.ndarray:
    """(C, n) after maps, divided by the sum over classes."""
    q = np.stack([np.interp(row.astype(float), *one) for one, row in zip(maps, p, strict=True)])
    return q / q.sum(axis=0)


def apply_temperature(temperature: float, p: np.ndarray) -> np.ndarray:
    """(C, n) after a temperature."""
    logits = np.log(np.maximum(p.astype(float), CLIP)) / temperature
    return np.exp(logits) / np.exp(logits).sum(axis=0)


def nll(q: np.ndarray, votes: np.ndarray) -> float:
    """Mean over (R, n) votes."""
    chance = [q[row, np.arange(q.shape[1])] for row in votes]
    return float(-np.log(np.maximum(chance, CLIP)).mean())
