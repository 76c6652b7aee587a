"""Whether a prediction is made of probabilities, and what makes it so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.evaluation.metrics.tallies import Faults

__all__ = ["SUM_TOLERANCE", "find_faults", "renormalised"]

SUM_TOLERANCE = 2.0**-10
"""Rounding to float16 moves a sum by less than half of this."""


def find_faults(prediction: NDArray[Any], sum_tolerance: float = SUM_TOLERANCE) -> Faults:
    """Count the voxels whose probabilities are none.

    Parameters
    ----------
    prediction
        (C, ...) of any floating type.
    sum_tolerance
        How far from 1 a sum may be.
    """
    values = prediction.reshape(len(prediction), -1)
    not_a_number = np.isnan(values).any(axis=0)
    infinite = np.isinf(values).any(axis=0) & ~not_a_number
    bad = not_a_number | infinite
    negative = (values < 0).any(axis=0) & ~bad
    above = (values > 1).any(axis=0) & ~bad & ~negative
    bad |= negative | above
    gap = np.abs(values[:, ~bad].sum(axis=0, dtype=np.float64) - 1.0)
    return Faults(
        int(not_a_number.sum()),
        int(infinite.sum()),
        int(negative.sum()),
        int(above.sum()),
        int((gap > sum_tolerance).sum()),
        float(gap.max(initial=0.0)),
    )


def renormalised(prediction: NDArray[Any]) -> NDArray[np.float32]:
    """Probabilities divided by their sum, for whoever asks for it.

    Parameters
    ----------
    prediction
        (C, ...), 0 or more.

    Raises
    ------
    InputError
        Where a sum is 0 or no number, or something is negative.
    """
    values = prediction.astype(np.float64)
    total = values.sum(axis=0)
    if not (np.all(np.isfinite(total)) and np.all(total > 0) and np.all(values >= 0)):
        raise InputError(
            "a prediction that cannot be divided by its sum over classes: somewhere that is 0 or "
            "no number, or something is negative.",
            remedy="Write probabilities from 0 to 1.",
        )
    return np.asarray(values / total, np.float32)
