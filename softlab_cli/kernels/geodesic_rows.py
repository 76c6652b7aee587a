"""Steps of geodesic distance between voxels of one row and of neighbouring rows.

Where voxels lie is in `softlab_cli.kernels.geodesic_blocks`, which rows are treated
when in `softlab_cli.kernels.geodesic_relax`, what a step costs in `StepCost`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_inlined
from softlab_cli.kernels.geodesic_sizes import LANES

__all__ = [
    "EMPTY",
    "LINES",
    "Field",
    "Rule",
    "bits_of",
    "cost_between",
    "prepare",
    "push",
    "settle",
]

EMPTY = np.int32(0x7F800000)
"""The bits of infinity: key of a row that has nothing to push."""

EPSILON = np.float32(1e-5)

Reals = NDArray[np.float32]


class Rule(NamedTuple):
    """How `StepCost` reckons, beside its coefficients.

    Parameters
    ----------
    linear
        The cost is linear in the difference.
    euclidean
        Several channels differ by their L2 norm, else by L1.
    share_of_length, share_of_intensity
        1 - w and w.
    """

    linear: bool
    euclidean: bool
    share_of_length: np.float32
    share_of_intensity: np.float32


class Field(NamedTuple):
    """Distances and what steps between them cost.

    Parameters
    ----------
    distance
        Of every voxel, in blocks.
    image
        (voxels,) of one channel, if the rule is linear, else (channels, voxels); in blocks.
    steps
        (2 * 27,), `StepCost.coefficients`.
    rule
        See there.
    """

    distance: Reals
    image: Reals
    steps: Reals
    rule: Rule


# Places in the one array that a row is worked on in. Loops over parts of one array, at
# fixed distances, need no test for overlap before they are vectorised.
COSTS = 0
"""Costs of 1 + LANES steps."""
RISING, FALLING = 2 * LANES, 4 * LANES
"""Distances of 2 + LANES voxels by steps one way and the other, infinite at the ends."""
NEAR = 6 * LANES
"""Distances of the row, three times: that of each voxel's neighbour below, its own, and
that of the neighbour above."""
SEEN = 9 * LANES
"""Intensities likewise, of the first channel."""
LINES = 12 * LANES
"""Size."""


@bare_inlined
def bits_of(value: Real) -> Any:
    """Bits of a float; those of non-negative floats order like the floats."""
    return np.float32(value).view(np.int32)


@bare_inlined
def _difference(image: Reals, p: Int, q: Int, rule: Rule) -> Any:
    """Difference of intensity between two voxels."""
    if image.ndim == 1:
        return abs(image[Unsigned(q)] - image[Unsigned(p)])
    total = np.float32(0)
    for c in range(len(image)):
        e = image[Unsigned(c), Unsigned(q)] - image[Unsigned(c), Unsigned(p)]
        total += e * e if rule.euclidean else abs(e)
    return np.float32(math.sqrt(total)) if rule.euclidean else total


@bare_inlined
def cost_between(image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule) -> Any:
    """Cost of a step between two voxels."""
    difference = _difference(image, p, q, rule)
    if image.ndim == 1 or rule.linear:
        return difference * a + b
    t = difference + EPSILON
    return (a * t) / ((rule.share_of_length * t) + rule.share_of_intensity)


@bare_inlined
def _fill_costs(image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule, lines: Reals) -> None:
    """Costs of the steps from the row at p to the row at q, voxel by voxel."""
    for x in range(LANES):
        lines[Unsigned(COSTS + x)] = cost_between(image, p + x, q + x, a, b, rule)


@bare_inlined
def settle(distance: Reals, p: Int, lines: Reals) -> None:
    """Relax the steps along the row at p, both ways.

    No shortest path along a line turns back, so one pass each way reaches the fixpoint.
    """
    up = down = np.float32(np.inf)
    for x in range(LANES):
        up = up + lines[Unsigned(COSTS + x)]
        here = distance[Unsigned(p + x)]
        up = up if up < here else here
        lines[Unsigned(RISING + 1 + x)] = up
        down = down + lines[Unsigned(COSTS + LANES - x)]
        here = distance[Unsigned(p + LANES - 1 - x)]
        down = down if down < here else here
        lines[Unsigned(FALLING + LANES - x)] = down
    for shift in range(3):
        for x in range(LANES):
            up = lines[Unsigned(RISING + shift + x)]
            down = lines[Unsigned(FALLING + shift + x)]
            lines[Unsigned(NEAR + shift * LANES + x)] = up if up < down else down
    for x in range(LANES):
        distance[Unsigned(p + x)] = lines[Unsigned(NEAR + LANES + x)]


@bare_inlined
def prepare(image: Reals, p: Int, steps: Reals, rule: Rule, lines: Reals) -> None:
    """Fill in costs along the row and the intensities."""
    _fill_costs(image, p - 1, p, steps[Unsigned(12)], steps[Unsigned(27 + 12)], rule, lines)
    if image.ndim == 1:
        for shift in range(3):
            for x in range(LANES):
                lines[Unsigned(SEEN + shift * LANES + x)] = image[Unsigned(p - 1 + shift + x)]


@bare_inlined
def push(
    distance: Reals, image: Reals, p: Int, q: Int, step: Int, steps: Reals, rule: Rule, lines: Any
) -> Any:
    """Relax the steps from a settled row to a neighbour, each voxel to three.

    Returns the bits of the least distance that fell, `EMPTY` if none did.
    """
    a, a_aside = steps[Unsigned(step + 1)], steps[Unsigned(step)]
    b, b_aside = steps[Unsigned(27 + step + 1)], steps[Unsigned(27 + step)]
    if image.ndim == 1:
        return _push(distance, image, q, a, b, a_aside, b_aside, lines)
    least = _push_any(distance, image, p - 1, q, a_aside, b_aside, rule, 0, lines)
    least = min(least, _push_any(distance, image, p, q, a, b, rule, 1, lines))
    return min(least, _push_any(distance, image, p + 1, q, a_aside, b_aside, rule, 2, lines))


@bare_inlined
def _push(
    distance: Reals,
    image: Reals,
    q: Int,
    a: Real,
    b: Real,
    a_aside: Real,
    b_aside: Real,
    lines: Reals,
) -> Any:
    """As `push`, for one channel and linear costs: most time is spent here."""
    least = EMPTY
    for x in range(LANES):
        there = image[Unsigned(q + x)]
        old = distance[Unsigned(q + x)]
        cost = abs(there - lines[Unsigned(SEEN + LANES + x)]) * a + b
        t = lines[Unsigned(NEAR + LANES + x)] + cost
        new = t if t < old else old
        cost = abs(there - lines[Unsigned(SEEN + x)]) * a_aside + b_aside
        t = lines[Unsigned(NEAR + x)] + cost
        new = t if t < new else new
        cost = abs(there - lines[Unsigned(SEEN + 2 * LANES + x)]) * a_aside + b_aside
        t = lines[Unsigned(NEAR + 2 * LANES + x)] + cost
        new = t if t < new else new
        bits = bits_of(new) if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least


@bare_inlined
def _push_any(
    distance: Reals, image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule, shift: Int, lines: Any
) -> Any:
    """As `push`, for one of the three steps, any number of channels and any cost."""
    _fill_costs(image, p, q, a, b, rule, lines)
    least = EMPTY
    for x in range(LANES):
        old = distance[Unsigned(q + x)]
        t = lines[Unsigned(NEAR + shift * LANES + x)] + lines[Unsigned(COSTS + x)]
        new = t if t < old else old
        bits = bits_of(new) if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least
