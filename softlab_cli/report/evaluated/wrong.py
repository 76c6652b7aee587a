"""Where a prediction is sure and wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region
from softlab_cli.evaluation.case import OpenCase

__all__ = ["WRONG", "worst_place", "wrongness"]

WRONG = "sure and wrong (probability of what is not so)"

CELL = 8
"""Voxels along each side of the cells among which the worst is looked for: one that is wrong
alone is less than many side by side."""


def wrongness(opened: OpenCase) -> NDArray[np.float16]:
    """(Z, Y, X) the probability of the most probable class, times the share that it is not.

    Of one rater that is 0 where the prediction is right, and its probability where it is wrong;
    of several, and of soft labels, the share of the votes that say something else. A label map is
    sure everywhere.

    Parameters
    ----------
    opened
        The case.
    """
    found = np.zeros(opened.geometry.shape, np.float16)
    for region in Grid.for_volume(opened.geometry.shape, opened.geometry.ndim).regions():
        against = _against(opened, region)
        if opened.soft is not None and against.any():
            values = opened.soft.read(region)
            against *= _of_class(values, opened.hard[region])
        found[region] = against
    return found


def _against(opened: OpenCase, region: Region) -> NDArray[np.float32]:
    """Share of the votes for other classes than the predicted one; 0 where there are none."""
    hard = opened.hard[region]
    if opened.shares is not None:
        shares = opened.shares.read(region)
        said = _of_class(shares, hard)
        return np.where(shares.any(axis=0), 1 - said, np.float32(0))
    raters = opened.scene.raters[(slice(None), *region)]
    labelled = raters != opened.scene.ignore_index
    other = ((raters != hard) & labelled).sum(axis=0, dtype=np.float32)
    votes = labelled.sum(axis=0, dtype=np.float32)
    return np.asarray(other / np.maximum(votes, 1), np.float32)


def _of_class(values: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float32]:
    """(z, y, x) of (C, z, y, x), the value of each voxel's class; of no class, any value."""
    known = np.minimum(classes, len(values) - 1).astype(np.int64)
    found = np.take_along_axis(values, known[np.newaxis], axis=0)[0]
    return np.asarray(found, np.float32)


def worst_place(wrong: NDArray[np.float16]) -> tuple[int, int, int] | None:
    """The voxel (z, y, x) around which most is sure and wrong; None where nothing is.

    Parameters
    ----------
    wrong
        From `wrongness`.
    """
    depth, rows, columns = wrong.shape
    slabs = [wrong[z : z + CELL].sum(axis=0, dtype=np.float32) for z in range(0, depth, CELL)]
    sums = np.add.reduceat(np.stack(slabs), np.arange(0, rows, CELL), axis=1)
    sums = np.add.reduceat(sums, np.arange(0, columns, CELL), axis=2)
    if not sums.any():
        return None
    cell = np.unravel_index(int(sums.argmax()), sums.shape)
    inside = tuple(slice(int(c) * CELL, int(c) * CELL + CELL) for c in cell)
    part = wrong[inside].astype(np.float32)
    z, y, x = (
        span.start + int(part.sum(axis=tuple(a for a in range(3) if a != axis)).argmax())
        for axis, span in enumerate(inside)
    )
    return z, y, x
