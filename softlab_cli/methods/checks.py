"""Parameters and images that methods cannot work with, in words for the user."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError, UsageError

__all__ = ["check_choice", "check_finite", "check_share"]


def check_share(name: str, value: float, most: float) -> None:
    """Raise `UsageError` unless a value lies from 0 to `most`; the name has its article."""
    if not 0 <= value <= most:
        raise UsageError(
            f"{name} of {value:g} has no meaning.",
            remedy=f"Choose a number from 0 to {most:g}.",
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise `UsageError`, with the choices, unless a value is one of them."""
    if value not in choices:
        raise UsageError(
            f"there is no {name} {value!r}.", remedy=f"Choose one of {', '.join(choices)}."
        )


def check_finite(image: NDArray[np.float32]) -> tuple[float, float]:
    """Smallest and largest intensity of an image, (channels, Z, Y, X).

    Raises
    ------
    InputError
        Where any intensity is NaN or infinite.
    """
    # Smallest and largest need no memory, and are not finite where any voxel is not.
    lowest, highest = float(image.min()), float(image.max())
    if not (isfinite(lowest) and isfinite(highest)):
        raise _not_finite(image)
    return lowest, highest


def _not_finite(image: NDArray[np.float32]) -> InputError:
    planes = image.reshape(-1, *image.shape[2:])
    counts = [int(np.count_nonzero(~np.isfinite(plane))) for plane in planes]
    first = int(np.flatnonzero(counts)[0])
    channel, z = divmod(first, image.shape[1])
    y, x = np.argwhere(~np.isfinite(planes[first]))[0].tolist()
    return InputError(
        f"{sum(counts)} {'intensity is' if sum(counts) == 1 else 'intensities are'} NaN or "
        f"infinite as float32; the first is that of voxel (z {z}, y {y}, x {x}) in channel "
        f"{channel}.",
        remedy="Replace them by finite numbers.",
    )
