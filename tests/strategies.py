"""Hypothesis strategies: label maps of all shapes and kinds, blocks, sigmas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape

IGNORED = 255

sigmas = st.sampled_from([0.3, 0.5, 1.0, 2.0, 5.0])
"""Standard deviations in voxels, narrow to wide."""


@dataclass(frozen=True)
class Labels:
    """Class indices (ignored voxels are 255) and the number of classes."""

    indices: NDArray[np.uint8]
    class_count: int


def shapes(largest: int = 20) -> st.SearchStrategy[Shape]:
    """Shapes with sides from 1 on."""
    side = st.integers(1, largest)
    return st.tuples(side, side, side)


def blocks() -> st.SearchStrategy[Shape]:
    """Small blocks, so that a small volume has many."""
    return st.sampled_from([(4, 8, 8), (1, 5, 70), (7, 3, 4), (20, 20, 20)])


@st.composite
def label_maps(draw: st.DrawFn, largest: int = 20, classes: int = 6, ignore: bool = True) -> Labels:
    """Noise, or boxes of one class each; some with ignored voxels."""
    shape = draw(shapes(largest))
    class_count = draw(st.integers(1, classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    side = draw(st.sampled_from([1, 1, 3, 6]))
    indices = _boxes(rng, shape, side, class_count)
    if ignore and draw(st.booleans()):
        indices[_boxes(rng, shape, draw(st.sampled_from([1, 4, 20])), 3) == 0] = IGNORED
    return Labels(indices, class_count)


def _boxes(rng: np.random.Generator, shape: Shape, side: int, count: int) -> NDArray[Any]:
    coarse = rng.integers(0, count, [-(-n // side) for n in shape]).astype(np.uint8)
    for axis in range(3):
        coarse = coarse.repeat(side, axis)
    z, y, x = shape
    return np.ascontiguousarray(coarse[:z, :y, :x])
