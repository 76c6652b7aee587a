"""Whether a prediction is made of probabilities, and what makes it so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.evaluation.metrics.tallies import Faults
from softlab_cli.kernels.forecasts import survey_halves, survey_singles

__all__ = ["SUM_TOLERANCE", "check_soft", "find_faults", "most_probable", "renormalised", "survey"]

MOST_IN_32_BITS = 254
"""Classes whose probabilities, each 1 at most, add up to less than 2^32 steps of 2^-24."""

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


def survey(
    values: NDArray[Any], sum_tolerance: float
) -> tuple[NDArray[np.uint16], NDArray[Any], Faults]:
    """Look at probabilities before they are counted.

    Parameters
    ----------
    values
        (C, n) contiguous, float32 or float16.

    Returns
    -------
    top
        (n,) most probable class, the first of several.
    values
        The same, without -0.
    faults
        Sums that are not 1.

    Raises
    ------
    InputError
        For what is no probability.
    """
    top, sums, bad = _surveyed(values)
    if bad:
        faults = find_faults(values, sum_tolerance)
        if faults.unusable:
            raise InputError(
                f"the prediction has {faults}.",
                remedy="Write probabilities from 0 to 1 that sum to 1.",
            )
        return survey(np.abs(values), sum_tolerance)  # -0 was all
    gap = np.abs(sums - 1.0)
    wrong = int(np.count_nonzero(gap > sum_tolerance))
    return top, values, Faults(wrong_sum=wrong, largest_gap=float(gap.max(initial=0.0)))


def _surveyed(values: NDArray[Any]) -> tuple[NDArray[np.uint16], NDArray[np.float64], bool]:
    """(n,) most probable class and sum of (C, n) probabilities, and whether one is none."""
    top = np.empty(values.shape[1], np.uint16)
    if values.dtype == np.float32:
        sums = np.empty(len(top), np.float64)
        return top, sums, survey_singles(values, top, sums)
    steps: NDArray[Any] = np.empty(
        len(top), np.uint32 if len(values) <= MOST_IN_32_BITS else np.uint64
    )
    bad = survey_halves(values.view(np.uint16), top, steps)
    return top, steps * 2.0**-24, bad


def most_probable(values: NDArray[Any]) -> tuple[NDArray[np.uint16], NDArray[Any]]:
    """The most probable class, the first of several, and its probability.

    Parameters
    ----------
    values
        (C, z, y, x) probabilities of float16 or float32.

    Returns
    -------
    top, highest
        (z, y, x) each.
    """
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    top, _, bad = _surveyed(flat)
    if bad:  # -0, most likely
        top = flat.argmax(axis=0).astype(np.uint16)
    highest = np.take_along_axis(flat, top[np.newaxis].astype(np.intp), axis=0)[0]
    return top.reshape(values.shape[1:]), highest.reshape(values.shape[1:])


def check_soft(reference: NDArray[Any]) -> None:
    """Refuse soft labels that are no numbers from 0 to 1.

    Raises
    ------
    InputError
        With the number of values that are none.
    """
    odd = int(np.count_nonzero(~((reference >= 0) & (reference <= 1))))
    if odd:
        raise InputError(
            f"the reference has {odd:,} values that are no numbers from 0 to 1.",
            remedy="Give soft labels, or class indices.",
        )
