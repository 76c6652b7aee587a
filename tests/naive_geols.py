"""Oracle of GeoLS, written from METHODS 5: Dijkstra's algorithm, and float64 throughout."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.float64]
Seeds = Mapping[int, NDArray[np.bool_]]

STEPS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


def step_costs(
    image: Volume, step: tuple[int, ...], spacing_mm: Any, metric: str, weight: float
) -> Volume:
    """(Z, Y, X) cost of one step away from each voxel; inf where it leaves the volume."""
    length = np.linalg.norm(np.array(step) * np.array(spacing_mm))
    beyond = np.pad(image, [(0, 0), (1, 1), (1, 1), (1, 1)], constant_values=np.nan)
    there = tuple(slice(1 + s, 1 + s + n) for s, n in zip(step, image.shape[1:], strict=True))
    difference = beyond[(slice(None), *there)] - image
    if metric == "fastgeodis":
        costs = weight * np.abs(difference).sum(axis=0) + (1 - weight) * length
    else:
        norm = np.sqrt((difference**2).sum(axis=0))
        costs = length / ((1 - weight) + weight / (norm + 1e-5))
    costs[np.isnan(difference[0])] = np.inf
    found: Volume = costs
    return found


def distance(
    image: NDArray[Any], seeds: NDArray[np.bool_], spacing_mm: Any, metric: str, weight: float
) -> Volume:
    """D of every voxel, (Z, Y, X); image is (channels, Z, Y, X)."""
    wide = image.astype(np.float64)
    costs = [step_costs(wide, step, spacing_mm, metric, weight).ravel().tolist() for step in STEPS]
    jumps = np.array(STEPS) @ [seeds.shape[1] * seeds.shape[2], seeds.shape[2], 1]
    found = np.where(seeds, 0.0, np.inf).ravel().tolist()
    queue = [(0.0, place) for place in np.flatnonzero(seeds).tolist()]
    while queue:
        d, p = heapq.heappop(queue)
        if d > found[p]:
            continue
        for jump, cost in zip(jumps.tolist(), costs, strict=True):
            if d + cost[p] < np.inf and d + cost[p] < found[p + jump]:
                found[p + jump] = d + cost[p]
                heapq.heappush(queue, (found[p + jump], p + jump))
    return np.array(found).reshape(seeds.shape)


def geodesic_map(d: Volume) -> Volume:
    """G of a class: exp(-D / mean D), stretched to [0, 1]; 1 where all distances are 0."""
    if d.max() == 0:
        return np.ones_like(d)
    g = np.exp(-d / d.mean())
    stretched: Volume = (g - g.min()) / (g.max() - g.min())
    return stretched


def maps(
    image: NDArray[Any], seeds: Seeds, spacing_mm: Any, *,
    metric: str = "geodistk", weight: float = 1.0, channel_mode: str = "mean",
) -> dict[int, Volume]:  # fmt: skip
    """G of each foreground class that has seeds; mean over channels, or one for all."""
    parts = [image] if channel_mode == "vector" else [channel[None] for channel in image]
    return {
        c: np.mean(
            [geodesic_map(distance(part, mask, spacing_mm, metric, weight)) for part in parts],
            axis=0,
        )
        for c, mask in seeds.items()
    }


def soften(
    indices: NDArray[Any],
    class_count: int,
    found: Mapping[int, Volume],
    *,
    smoothing: float,
    background: int | None = 0,
    normalise: bool = True,
    min_mass: float = 0.0,
    ignored: int = 255,
) -> Volume:
    """P, (C, Z, Y, X)."""
    g = np.zeros((class_count, *indices.shape))
    for c, values in found.items():
        g[c] = values
    if background is not None:
        g[background] = 1 - sum(found.values()) / len(found) if found else 1.0
    onehot = np.stack([(indices == c).astype(float) for c in range(class_count)])
    if normalise:
        whole = g.sum(axis=0)
        g = np.where(whole > 0, g / np.where(whole > 0, whole, 1), onehot)
    p = (1 - smoothing) * onehot + smoothing * g
    if min_mass:
        p = np.where(p < min_mass, 0, p)
        p = p / np.maximum(p.sum(axis=0), 1e-300)
    soft: Volume = np.where(indices == ignored, 0.0, p)
    return soft
