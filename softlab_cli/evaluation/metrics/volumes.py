"""The volume of a soft prediction against the volumes that raters found.

The predicted volume of a class is the sum of its soft labels times the volume of a voxel; it is
judged as one number against the distribution of the raters' volumes by the continuous ranked
probability score, ``CRPS(F, v) = integral (F(x) - [x >= v])^2 dx`` (Matheson and Winkler, 1976;
Gneiting and Raftery, 2007), in mm^3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError

__all__ = ["crps_empirical", "crps_gaussian", "crps_saturating", "soft_volume_mm3"]

BLOCK = 2**18


def soft_volume_mm3(soft: NDArray[Any], voxel_mm3: float) -> float:
    """``sum(p)`` times the volume of a voxel.

    Parameters
    ----------
    soft
        Soft labels of one class, of any shape and real type. The sum is in float64: exact for
        float16, whatever the order of blocks, since all of its values are multiples of 2^-24.
    voxel_mm3
        Volume of a voxel; mm^2 of a picture.
    """
    flat = soft.reshape(-1)
    parts = (flat[i : i + BLOCK].sum(dtype=np.float64) for i in range(0, len(flat), BLOCK))
    return math.fsum(map(float, parts)) * voxel_mm3


def crps_empirical(volumes_mm3: Sequence[float], predicted_mm3: float) -> float:
    """CRPS of the raters' volumes as they are: each has the same weight.

    ``mean |v_i - v| - 1/2 mean |v_i - v_j|``, the second over all pairs, a volume and itself among
    them. With one rater, it is the absolute difference.

    Parameters
    ----------
    volumes_mm3
        Of the raters.
    predicted_mm3
        Of the prediction.
    """
    volumes = _volumes(volumes_mm3)
    spread = np.abs(volumes[:, None] - volumes).mean() / 2
    return float(np.abs(volumes - predicted_mm3).mean() - spread)


def crps_gaussian(volumes_mm3: Sequence[float], predicted_mm3: float) -> float:
    """CRPS of a Gaussian with the raters' mean and standard deviation (ddof 0), closed form.

    ``s (z (2 Phi(z) - 1) + 2 phi(z) - 1 / sqrt(pi))`` with ``z = (v - mean) / s``; where all raters
    have one volume (s is 0), the absolute difference. Parameters as `crps_empirical`.
    """
    volumes = _volumes(volumes_mm3)
    mean, deviation = float(volumes.mean()), float(volumes.std())
    if deviation == 0:
        return abs(predicted_mm3 - mean)
    z = (predicted_mm3 - mean) / deviation
    normal = NormalDist()
    return deviation * (z * (2 * normal.cdf(z) - 1) + 2 * normal.pdf(z) - 1 / math.sqrt(math.pi))


def crps_saturating(volumes_mm3: Sequence[float], predicted_mm3: float) -> float:
    """What CURVAS 2024 and CURVAS-PDACVI 2025 report as CRPS, for comparison only.

    As `crps_gaussian`, with these faults: it is integrated from 3 standard deviations
    below the mean to 3 above, so that any volume further out scores like one at the end (raters
    100, 104 and 110: 10.04 for 130, 200 and 500 alike); where all raters have one volume, there
    is nothing to integrate over, and every prediction scores 0. The distribution is linear
    between 100 of its values, and 0 and 1 outside of its 1st and 99th percentile.
    Parameters as `crps_empirical`.
    """
    volumes = _volumes(volumes_mm3)
    mean, deviation = float(volumes.mean()), float(volumes.std())
    if deviation == 0:
        return 0.0
    normal = NormalDist()
    reach = normal.inv_cdf(0.99)
    places = np.linspace(-reach, reach, 100)
    shares = np.array([normal.cdf(float(place)) for place in places])
    step = min(max((predicted_mm3 - mean) / deviation, -3.0), 3.0)
    return deviation * (
        _square_below(places, shares, step) + _square_below(-places[::-1], 1 - shares[::-1], -step)
    )


def _square_below(places: NDArray[Any], shares: NDArray[Any], end: float) -> float:
    """Integral of the squared distribution up to a place, from 3 deviations below the mean.

    It is 0 below the first place and 1 above the last, and linear between two of them.
    """
    total = max(end - float(places[-1]), 0.0)
    for a, b, low, high in zip(places, places[1:], shares, shares[1:], strict=False):
        part = min(max((end - a) / (b - a), 0.0), 1.0)
        top = low + part * (high - low)
        total += part * (b - a) * (low * low + low * top + top * top) / 3
    return float(total)


def _volumes(volumes_mm3: Sequence[float]) -> NDArray[np.float64]:
    volumes = np.asarray(volumes_mm3, np.float64)
    if volumes.ndim != 1 or not len(volumes) or not np.isfinite(volumes).all():
        raise UsageError(
            f"volumes of raters are {volumes.tolist()}.", remedy="Give one finite number for each."
        )
    return volumes
