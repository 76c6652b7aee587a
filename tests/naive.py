"""Oracles written from METHODS: slow, obvious, in float64. They judge every fast variant."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Sigma = float | tuple[float, float, float]


def one_hot(label_map: NDArray[Any], classes: list[int]) -> NDArray[np.float64]:
    """p_c = [y = c], (C, Z, Y, X)."""
    return np.stack([(label_map == c).astype(np.float64) for c in classes])


def label_smoothing(
    label_map: NDArray[Any], classes: list[int], smoothing: float, ignore: int | None = None
) -> NDArray[np.float64]:
    """p_c = (1 - alpha) [y = c] + alpha / C; 0 where ignored."""
    soft = (1 - smoothing) * one_hot(label_map, classes) + smoothing / len(classes)
    return np.where(label_map == ignore, 0.0, soft) if ignore is not None else soft


def svls_kernel(kernel_size: int, sigma_voxels: Sigma, slicewise: bool) -> NDArray[np.float64]:
    """Gaussian, centre replaced by the sum of all other weights, then divided by the centre."""
    sigma = np.broadcast_to(np.asarray(sigma_voxels, float), 3)
    radius = kernel_size // 2
    kernel = np.zeros((kernel_size,) * 3)
    for z, y, x in product(range(kernel_size), repeat=3):
        if slicewise and z != radius:
            continue
        steps = np.array([z - radius, y - radius, x - radius])
        kernel[z, y, x] = np.exp(-((steps / sigma) ** 2).sum() / 2)
    kernel[radius, radius, radius] = 0
    kernel[radius, radius, radius] = kernel.sum()
    kernel /= kernel[radius, radius, radius]
    return kernel


def svls(
    label_map: NDArray[Any],
    classes: list[int],
    kernel_size: int = 3,
    sigma_voxels: Sigma = 1.0,
    slicewise: bool = False,
    ignore: int | None = None,
) -> NDArray[np.float64]:
    """One-hot maps convolved under replicate padding, relative to the valid weights."""
    kernel = svls_kernel(kernel_size, sigma_voxels, slicewise)
    padded = np.pad(label_map, kernel_size // 2, mode="edge")
    sums = np.zeros((len(classes), *label_map.shape))
    total = np.zeros(label_map.shape)
    for z, y, x in product(range(kernel_size), repeat=3):
        depth, height, width = label_map.shape
        seen = padded[z : z + depth, y : y + height, x : x + width]
        sums += kernel[z, y, x] * one_hot(seen, classes)
        total += kernel[z, y, x] * ((seen != ignore) if ignore is not None else 1)
    soft = sums / total
    return np.where(label_map == ignore, 0.0, soft) if ignore is not None else soft


def entropy(soft: NDArray[np.floating[Any]]) -> float:
    """Sum over all voxels of -sum_c p_c ln p_c, in nats."""
    p = soft[soft > 0].astype(np.float64)
    return float(-(p * np.log(p)).sum())


def ties(soft: NDArray[np.floating[Any]]) -> int:
    """Voxels whose largest soft label is shared."""
    largest = soft.max(axis=0)
    shared = (soft == largest).sum(axis=0) > 1
    return int((shared & (largest > 0)).sum())


def argmax_changes(
    soft: NDArray[np.floating[Any]], label_map: NDArray[Any], classes: list[int]
) -> int:
    """Voxels where another class has more than the hard one."""
    own = (soft * one_hot(label_map, classes)).max(axis=0)
    return int((soft.max(axis=0) > own).sum())
