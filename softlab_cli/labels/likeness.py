"""Whether a label map looks like an image: many values, and hardly two neighbours alike.

A label map of 1210 classes is made of regions, so that most neighbours are equal: more
than 9 in 10 in real ones, 2 in 3 where every region is 3x3x3 voxels. In scans of 900 to
1700 values it is 1 to 26 in 1000. A picture of 8 bits has up to 6 in 10, but where values
change there, they change by a small step. Voxels of value 0 do not count, lest the background
of a scan, or thin and scattered labels, decide.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import ClassError
from softlab_cli.core.folders import files_in, folders_in

__all__ = ["check_no_image", "looks_like_image"]

LABELS = re.compile("label|mask|seg|annot|truth", re.IGNORECASE)
"""What folders of label maps are called."""

FEW_VALUES = 32
"""Label maps of no more values are not looked at."""

MANY_VALUES = 200
"""With more values, no regions are enough; with fewer, values must run smoothly as well."""

LEAST_SHARE_EQUAL = 0.3
"""Of neighbours along the axes that are both labelled; below it, there are no regions."""

SMALL_STEP = 1 / 64
"""Of the range of values: by no more, most unequal neighbours in a smooth picture differ."""

MOST_SHARE_EQUAL = 0.62
"""In a smooth picture; regions of 3 x 3 pixels have 2 in 3."""

LEAST_SHARE_SMALL = 0.6
"""Of unequal neighbours in a smooth picture."""

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
        that run smoothly or are more than `MANY_VALUES`; or small regions, and steps
        between them that are small.
    """
    if not looks_like_image(values, voxels):
        return
    found = _neighbours(values, _step(voxels))
    share = found.equal / found.pairs
    nearly = " and most others nearly so" if share >= LEAST_SHARE_EQUAL else ""
    raise ClassError(
        f"looks like an image, not like a label map: {len(voxels)} values, and of neighbouring "
        f"voxels only {100 * share:.2g} % are equal{nearly}.",
        remedy=f"Give the label map{_elsewhere(path)}. If this is one, insist with --image-like "
        "ok, or name its classes with --labels.",
        path=path,
    )


def _elsewhere(path: Path) -> str:
    """The folder beside an image that label maps lie in, by its name, if there is one."""
    try:
        beside = [
            folder
            for folder in sorted(folders_in(path.parent))
            if LABELS.search(folder.name) and any(image_suffix(f.name) for f in files_in(folder))
        ]
    except OSError:
        return ""
    return f": --in {beside[0]} holds some" if beside else ""


def looks_like_image(values: NDArray[Any], voxels: Mapping[int, int]) -> bool:
    """Whether there are many values and no regions; parameters as for `check_no_image`."""
    if len(voxels) <= FEW_VALUES:
        return False
    found = _neighbours(values, _step(voxels))
    # Scattered points hardly touch one another; in an image every voxel has neighbours.
    if found.pairs < max(1, found.labelled):
        return False
    # Neighbours that have nothing to do with one another differ by twice the variance.
    smooth = found.squares / found.pairs < _variance(voxels)
    if found.equal < LEAST_SHARE_EQUAL * found.pairs:
        return smooth or len(voxels) > MANY_VALUES
    unequal = found.pairs - found.equal
    return (
        smooth
        and found.equal < MOST_SHARE_EQUAL * found.pairs
        and found.small >= (LEAST_SHARE_SMALL * unequal)
    )


@dataclass
class _Neighbours:
    """Pairs of neighbours along the axes that are both labelled, and what these differ by."""

    labelled: int = 0
    pairs: int = 0
    equal: int = 0
    small: int = 0
    squares: float = 0.0


def _step(voxels: Mapping[int, int]) -> float:
    """What counts as a small difference of values."""
    return max(1.0, (max(voxels) - min(voxels)) * SMALL_STEP)


def _variance(voxels: Mapping[int, int]) -> float:
    """Variance of the values of labelled voxels."""
    found = np.array([(value, n) for value, n in voxels.items() if value], np.float64)
    mean = np.average(found[:, 0], weights=found[:, 1])
    return float(np.average((found[:, 0] - mean) ** 2, weights=found[:, 1]))


def _neighbours(values: NDArray[Any], step: float) -> _Neighbours:
    found = _Neighbours()
    for z in range(0, len(values), -(-len(values) // PLANES)):
        plane = values[z]
        found.labelled += int(np.count_nonzero(plane))
        sides = [(plane[1:], plane[:-1]), (plane[:, 1:], plane[:, :-1])]
        if z + 1 < len(values):
            sides.append((plane, values[z + 1]))
        for one, other in sides:
            both = (one != 0) & (other != 0)
            difference = np.abs(one[both].astype(np.float64) - other[both])
            found.pairs += len(difference)
            found.equal += int(np.count_nonzero(difference == 0))
            found.small += int(np.count_nonzero((difference > 0) & (difference <= step)))
            found.squares += float(difference @ difference)
    return found
