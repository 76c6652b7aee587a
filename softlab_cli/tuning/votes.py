"""How well soft labels predict a rater: whole numbers that add up over voxels, raters, cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.kernels.votes import ScoreTables

__all__ = ["FIGURES", "STEP", "SURPRISE", "Votes", "brier", "ece", "nll", "score_tables"]

STEP = 2.0**-24
"""What probabilities are counted in: the smallest float16."""

SURPRISE = 2.0**-32
"""What squares and logarithms are rounded to before they are added up."""


@lru_cache(maxsize=4)
def score_tables(bins: int, clip: float) -> ScoreTables:
    """What each float16 from 0 to 1 adds.

    Parameters
    ----------
    bins
        Bins of equal width, (lower, upper], 0 in the first, as everywhere in evaluations.
    clip
        Least probability in a logarithm.
    """
    cells = Cells.half()
    p = cells.upper
    parts = ((1 - p) ** 2, p**2, -np.log(np.maximum(p, clip)), -np.log(np.maximum(1 - p, clip)))
    whole = [np.rint(part / SURPRISE).astype(np.int64) for part in parts]
    return ScoreTables(cells.steps, cells.bins(bins), *whole)


@dataclass(frozen=True, eq=False)
class Votes:
    """What soft labels of one setting are worth in one case.

    A vote is a voxel and a rater that it was tested with, who has no part in the soft label.
    Rows are all classes together (the most probable one counts in the bins), then each class
    against all others.

    Parameters
    ----------
    votes
        How many there are.
    sources
        Soft labels that each rater's labels were tested with: of one rater, as many as there
        are others. A vote weighs 1 / sources, so that every rater of a case weighs alike.
    sums
        (C + 1, 2) whole numbers in steps of 2^-32: squares and surprises.
    bins
        (C + 1, 3, bins) int64: votes, their probabilities in steps of 2^-24, those come true.
    """

    votes: int
    sources: int
    sums: NDArray[np.object_]
    bins: NDArray[np.int64]

    def weighed(self) -> NDArray[np.float64]:
        """(C + 1, 3 + 3 bins): votes, squares, surprises; then the bins, all of weight 1 a rater.

        Of all cases these are added up, and `FIGURES` turn them into figures.
        """
        rows = len(self.sums)
        head = np.empty((rows, 3))
        head[:, 0] = self.votes
        head[:, 1:] = self.sums.astype(np.float64) * SURPRISE
        bins = self.bins * np.array([1.0, STEP, 1.0])[:, None]
        return np.concatenate([head, bins.reshape(rows, -1)], axis=1) / self.sources

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "votes": self.votes, "sources": self.sources, "sums": self.sums.tolist(),
            "bins": self.bins.tolist(),
        }  # fmt: skip

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Votes:
        """What `to_json` wrote."""
        return cls(
            int(facts["votes"]), int(facts["sources"]), np.array(facts["sums"], object),
            np.array(facts["bins"], np.int64),
        )  # fmt: skip


def nll(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of -ln p of what came true, p clipped, in nats; of a class: of p or 1 - p.

    Parameters
    ----------
    counts
        (n, 3 + 3 bins) sums of `Votes.weighed`.
    """
    return _divided(counts[:, 2], counts[:, 0])


def brier(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Brier score, summed over classes, 0 to 2; of a class: its own part. See `nll`."""
    return _divided(counts[:, 1], counts[:, 0])


def ece(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected calibration error of the most probable class, or of a class. See `nll`."""
    bins = counts[:, 3:].reshape(len(counts), 3, -1)
    return _divided(np.abs(bins[:, 1] - bins[:, 2]).sum(axis=1), counts[:, 0])


FIGURES = {"nll": nll, "brier": brier, "ece": ece}
"""Figures by their name; of all of them, less is better."""


def _divided(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    found = np.full(len(a), np.nan)
    np.divide(a, b, out=found, where=b > 0)
    return found
