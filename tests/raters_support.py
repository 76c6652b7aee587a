"""Raters for tests: hypothesis strategies, and raters that differ as real ones do."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.fusion.patterns import RaterPatterns, find_patterns

from . import naive_raters
from .strategies import IGNORED, label_maps


@dataclass(frozen=True)
class Raters:
    """Class indices (R, Z, Y, X) with 255 for ignored voxels, and the number of classes."""

    indices: NDArray[np.uint8]
    class_count: int

    @property
    def signed(self) -> NDArray[np.int64]:
        """The same, as the oracles want it."""
        indices = self.indices.astype(np.int64)
        return np.where(indices == IGNORED, naive_raters.IGNORED, indices)

    @property
    def patterns(self) -> RaterPatterns:
        return find_patterns(self.indices, self.class_count, IGNORED)

    @property
    def names(self) -> list[str]:
        return [f"r{j}" for j in range(len(self.indices))]


def edited(
    truth: NDArray[np.uint8], class_count: int, errors: list[float], seed: int = 0
) -> Raters:
    """Raters that put a random class to a share of the voxels, `errors[j]` for rater j."""
    rng = np.random.default_rng(seed)
    raters = np.repeat(truth[None], len(errors), axis=0)
    for rater, error in zip(raters, errors, strict=True):
        wrong = rng.random(truth.shape) < error
        rater[wrong] = rng.integers(0, class_count, int(wrong.sum()))
    return Raters(raters, class_count)


@st.composite
def rater_sets(draw: st.DrawFn, largest: int = 12, most: int = 12, ignore: bool = True) -> Raters:
    """1 to `most` raters that agree, nearly agree, or do not agree at all."""
    truth = draw(label_maps(largest, ignore=False))
    count = draw(st.integers(1, most))
    share = draw(st.sampled_from([0.0, 0.02, 0.2, 1.0]))
    seed = draw(st.integers(0, 2**32 - 1))
    raters = edited(truth.indices, truth.class_count, [share] * count, seed)
    if ignore and draw(st.booleans()):
        rng = np.random.default_rng(seed + 1)
        raters.indices[rng.random(raters.indices.shape) < draw(st.sampled_from([0.1, 0.7]))] = (
            IGNORED
        )
    return raters
