"""Steps of geodesic distance between voxels of one row and of neighbouring rows.

Where voxels lie is in `softlab_cli.kernels.geodesic.tiles`, which rows are treated
when in `softlab_cli.kernels.geodesic.relax`, what a step costs in `StepCost`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_inlined
from softlab_cli.kernels.sizes import LANES

__all__ = [
    "EMPTY",
    "LINES",
    "STEPS",
    "Field",
    "Rule",
    "bits_of",
    "cost_between",
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


# Where things are in the array that a row is worked on in. It is one array, because
# loops over parts of it at fixed places are vectorised without a test for overlap.
COSTS = 0
"""Costs of 1 + LANES steps; the first and the last are not used."""
RISING, FALLING = 2 * LANES, 4 * LANES
"""1 + LANES + 1 distances by steps up or down the row; infinite at the ends."""
NEAREST = 6 * LANES
"""1 + LANES + 1 distances by steps of both kinds; infinite at the ends."""
LINES = 8 * LANES
"""Size of the array."""

LENGTHWISE = 12
"""Place of the step (0, 0, -1) in a flattened table of 3 x 3 x 3 steps."""
STEPS = 27
"""Steps of the table."""


@bare_inlined
def bits_of(value: Real) -> Any:
    """Bits of a float; those of non-negative floats order like the floats."""
    return np.float32(value).view(np.int32)


@bare_inlined
def _share(e: Real, rule: Rule) -> Any:
    """What one channel's difference adds to the norm."""
    return e * e if rule.euclidean else abs(e)


@bare_inlined
def _cost(total: Real, a: Real, b: Real, rule: Rule) -> Any:
    """Cost of a step, from the sum of the shares of the channels."""
    difference = np.float32(math.sqrt(total)) if rule.euclidean else total
    if rule.linear:
        return difference * a + b
    t = difference + EPSILON
    return (a * t) / ((rule.share_of_length * t) + rule.share_of_intensity)


@bare_inlined
def cost_between(image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule) -> Any:
    """Cost of a step between two voxels."""
    if image.ndim == 1:
        return abs(image[Unsigned(q)] - image[Unsigned(p)]) * a + b
    total = np.float32(0)
    for c in range(len(image)):
        total += _share(image[Unsigned(c), Unsigned(q)] - image[Unsigned(c), Unsigned(p)], rule)
    return _cost(total, a, b, rule)


@bare_inlined
def _fill_costs(image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule, lines: Reals) -> None:
    """Costs of the steps from the row at p to the row at q, voxel by voxel."""
    if image.ndim == 1:
        for x in range(LANES):
            lines[Unsigned(COSTS + x)] = cost_between(image, p + x, q + x, a, b, rule)
        return
    for x in range(LANES):
        lines[Unsigned(COSTS + x)] = 0
    # Channels outside, voxels inside: so the inner loop has a fixed length and is vectorised,
    # while each voxel's sum still has the order of the channels, which `StepCost` demands.
    for c in range(len(image)):
        for x in range(LANES):
            e = image[Unsigned(c), Unsigned(q + x)] - image[Unsigned(c), Unsigned(p + x)]
            lines[Unsigned(COSTS + x)] += _share(e, rule)
    for x in range(LANES):
        lines[Unsigned(COSTS + x)] = _cost(lines[Unsigned(COSTS + x)], a, b, rule)


@bare_inlined
def settle(field: Field, p: Int, lines: Reals) -> None:
    """Relax the steps along the row at p, both ways; `NEAREST` holds its distances then.

    No shortest path along a line turns back, so one pass each way reaches the fixpoint.
    """
    distance, image, steps, rule = field
    a, b = steps[Unsigned(LENGTHWISE)], steps[Unsigned(STEPS + LENGTHWISE)]
    _fill_costs(image, p - 1, p, a, b, rule, lines)
    up = down = np.float32(np.inf)
    # Choices are written `a if a < b else b`, here and below: where a is NaN, from a wall, b is
    # taken. `min` would hand the NaN on, or test for it.
    for x in range(LANES):
        up = up + lines[Unsigned(COSTS + x)]
        here = distance[Unsigned(p + x)]
        up = up if up < here else here
        lines[Unsigned(RISING + 1 + x)] = up
        down = down + lines[Unsigned(COSTS + LANES - x)]
        here = distance[Unsigned(p + LANES - 1 - x)]
        down = down if down < here else here
        lines[Unsigned(FALLING + LANES - x)] = down
    for x in range(LANES):
        up, down = lines[Unsigned(RISING + 1 + x)], lines[Unsigned(FALLING + 1 + x)]
        nearest = up if up < down else down
        lines[Unsigned(NEAREST + 1 + x)] = nearest
        distance[Unsigned(p + x)] = nearest


@bare_inlined
def push(field: Field, p: Int, q: Int, step: Int, lines: Reals) -> Any:
    """Relax the steps from the settled row at p to a neighbour at q, each voxel to three.

    Returns the bits of the least distance that fell, `EMPTY` if none did.

    Parameters
    ----------
    field, p, q, lines
        See the types; the row at p was settled last.
    step
        Place of the step (dz, dy, -1) in the table, with the rows dz and dy apart.
    """
    distance, image, steps, rule = field
    a_aside, a = steps[Unsigned(step)], steps[Unsigned(step + 1)]
    b_aside, b = steps[Unsigned(STEPS + step)], steps[Unsigned(STEPS + step + 1)]
    return _push(distance, image, p, q, a, b, a_aside, b_aside, rule, lines)


@bare_inlined
def _push(
    distance: Reals,
    image: Reals,
    p: Int,
    q: Int,
    a: Real,
    b: Real,
    a_aside: Real,
    b_aside: Real,
    rule: Rule,
    lines: Reals,
) -> Any:
    if image.ndim == 1:
        return _push_at_once(distance, image, p, q, a, b, a_aside, b_aside, lines)
    least = _push_aside(distance, image, p, q, -1, a_aside, b_aside, rule, lines)
    least = min(least, _push_aside(distance, image, p, q, 0, a, b, rule, lines))
    return min(least, _push_aside(distance, image, p, q, 1, a_aside, b_aside, rule, lines))


@bare_inlined
def _push_at_once(
    distance: Reals,
    image: Reals,
    p: Int,
    q: Int,
    a: Real,
    b: Real,
    a_aside: Real,
    b_aside: Real,
    lines: Reals,
) -> Any:
    """As `push`, for one channel and linear costs: half of the time is spent here."""
    least = EMPTY
    for x in range(LANES):
        # All three steps into a voxel at once, so its intensity is read and its distance written
        # once; step after step, as for other costs, it takes 3.7 times as long. The bits of what
        # fell are compared as whole numbers, in the same vectors.
        there = image[Unsigned(q + x)]
        old = distance[Unsigned(q + x)]
        cost = abs(there - image[Unsigned(p + x)]) * a + b
        t = lines[Unsigned(NEAREST + 1 + x)] + cost
        new = t if t < old else old
        cost = abs(there - image[Unsigned(p + x - 1)]) * a_aside + b_aside
        t = lines[Unsigned(NEAREST + x)] + cost
        new = t if t < new else new
        cost = abs(there - image[Unsigned(p + x + 1)]) * a_aside + b_aside
        t = lines[Unsigned(NEAREST + 2 + x)] + cost
        new = t if t < new else new
        bits = bits_of(new) if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least


@bare_inlined
def _push_aside(
    distance: Reals,
    image: Reals,
    p: Int,
    q: Int,
    aside: Int,
    a: Real,
    b: Real,
    rule: Rule,
    lines: Reals,
) -> Any:
    """As `push`, for one of the three steps, any number of channels and any cost."""
    _fill_costs(image, p + aside, q, a, b, rule, lines)
    least = EMPTY
    for x in range(LANES):
        old = distance[Unsigned(q + x)]
        t = lines[Unsigned(NEAREST + 1 + aside + x)] + lines[Unsigned(COSTS + x)]
        new = t if t < old else old
        bits = bits_of(new) if new < old else EMPTY
        least = bits if bits < least else least
        distance[Unsigned(q + x)] = new
    return least
