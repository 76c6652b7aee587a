"""Whether a label map looks like an image: many values, and hardly two neighbours alike.

A label map of 1210 classes is made of regions, so that most neighbours are equal: more
than 9 in 10 in real ones, 2 in 3 where every region is 3x3x3 voxels. In scans of 900 to
1700 values it is 1 to 26 in 1000. Voxels of value 0 do not count, lest the background of a
scan, or thin and scattered labels, decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError

__all__ = ["check_no_image", "looks_like_image"]

FEW_VALUES = 64
"""Label maps of no more values are not looked at."""

MANY_VALUES = 200
"""With more values, no regions are enough; with fewer, values must run smoothly as well."""

LEAST_SHARE_EQUAL = 0.3
"""Of neighbours along the axes that are both labelled; below it, there are no regions."""

PLANES = 64
"""Planes looked at, evenly spread: enough to tell, whatever the size."""


def check_no_image(values: NDArray[Any], voxels: Mapping[int, int], path: Path) -> None:
    """Refuse what looks like an image.

    Parameters
    ----------
    values
        (Z, Y, X) label values.
    voxels
        Label value to the number of its voxels.
    path
        The file, for messages.

    Raises
    ------
    ClassError
        When there are more than `FEW_VALUES` values, no regions of one value, and values
        that run smoothly or are more than `MANY_VALUES`.
    """
    if not looks_like_image(values, voxels):
        return
    pairs, equal, _, _ = _neighbours(values)
    raise ClassError(
        f"looks like an image, not like a label map: {len(voxels)} values, and of neighbouring "
        f"voxels only {100 * equal / pairs:.2g} % are equal.",
        remedy="Give the label map. If this is one, insist with --image-like ok, or name its "
        "classes with --labels.",
        path=path,
    )


def looks_like_image(values: NDArray[Any], voxels: Mapping[int, int]) -> bool:
    """Whether there are many values and no regions; parameters as for `check_no_image`."""
    if len(voxels) <= FEW_VALUES:
        return False
    pairs, equal, labelled, squares = _neighbours(values)
    # Scattered points hardly touch one another; in an image every voxel has neighbours.
    if pairs < max(1, labelled) or equal >= LEAST_SHARE_EQUAL * pairs:
        return False
    # Neighbours that have nothing to do with one another differ by twice the variance.
    return len(voxels) > MANY_VALUES or squares / pairs < _variance(voxels)


def _variance(voxels: Mapping[int, int]) -> float:
    """Variance of the values of labelled voxels."""
    found = np.array([(value, n) for value, n in voxels.items() if value], np.float64)
    mean = np.average(found[:, 0], weights=found[:, 1])
    return float(np.average((found[:, 0] - mean) ** 2, weights=found[:, 1]))


def _neighbours(values: NDArray[Any]) -> tuple[int, int, int, float]:
    """Neighbours along the axes that are both labelled, and of these how many are equal.

    Then the labelled voxels, and the sum of the squared differences of neighbours.
    """
    pairs = equal = labelled = 0
    squares = 0.0
    for z in range(0, len(values), -(-len(values) // PLANES)):
        plane = values[z]
        labelled += int(np.count_nonzero(plane))
        sides = [(plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])]
        if z + 1 < len(values):
            sides.append((plane, values[z + 1]))
        for one, other in sides:
            both = (one != 0) & (other != 0)
            pairs += int(np.count_nonzero(both))
            difference = one[both].astype(np.float64) - other[both]
            equal += int(np.count_nonzero(difference == 0))
            squares += float(difference @ difference)
    return pairs, equal, labelled, squares
