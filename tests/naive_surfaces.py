"""Surfaces written from the definition, corner by corner and pair by pair: slow and obvious."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Figures = dict[str, float]


def corners(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(n, 3) places of the corners on the surface of a mask, and (n,) their codes."""
    flat = mask.ndim == 2
    padded = np.pad(mask, 1)
    places, codes = [], []
    for place in product(*(range(n + 1) for n in mask.shape)):
        around = padded[tuple(slice(i, i + 2) for i in place)].ravel()
        if flat:
            around = np.tile(around, 2)
        code = sum(int(has) << 7 - bit for bit, has in enumerate(around))
        if 0 < code < 255:
            places.append((0, *place) if flat else place)
            codes.append(code)
    return np.array(places, np.int64).reshape(-1, 3), np.array(codes, np.int64)


def directed(one: NDArray[Any], other: NDArray[Any], spacing_mm: Sequence[float]) -> NDArray[Any]:
    """Distance of each corner to the nearest of the others."""
    if not len(other):
        return np.full(len(one), np.inf)
    apart = (one[:, None] - other) * np.array([1.0, *spacing_mm][-3:])
    distances: NDArray[Any] = np.sqrt((apart**2).sum(axis=-1).min(axis=1, initial=np.inf))
    return distances


def percentile(distances: NDArray[Any], areas: NDArray[Any]) -> float:
    """The least distance at which the area up to it reaches 95 %."""
    if not len(distances):
        return math.nan
    for distance in np.unique(distances):
        if areas[distances <= distance].sum() >= 0.95 * areas.sum() * (1 - 1e-12):
            return float(distance)
    raise AssertionError("the largest distance reaches all of the area")


def figures(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    areas: NDArray[np.float64],
    tolerance_mm: float,
) -> Figures:
    """All figures of two masks; one without the other is infinitely far."""
    (one, codes), (two, others) = corners(reference), corners(prediction)
    there, back = directed(one, two, spacing_mm), directed(two, one, spacing_mm)
    weights, other_weights = areas[codes], areas[others]
    near = weights[there <= tolerance_mm].sum() + other_weights[back <= tolerance_mm].sum()
    total = weights.sum() + other_weights.sum()
    both = np.concatenate([there, back])
    moment = (both * np.concatenate([weights, other_weights])).sum() if total else math.nan
    ends = [percentile(there, weights), percentile(back, other_weights)]
    return {
        "surface_dice": near / total if total else 1.0,
        "hausdorff_mm": both.max(initial=-1.0) if len(both) else math.nan,
        "hausdorff_95_mm": float(np.nanmax(ends)) if len(both) else math.nan,
        "assd_mm": moment / total if total else math.nan,
    }
