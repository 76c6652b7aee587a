"""Steps of geodesic distance between voxels of one row and of neighbouring rows.

Where voxels lie is in `softlab_cli.kernels.geodesic.tiles`, which rows are treated
when in `softlab_cli.kernels.geodesic.relax`, what a step costs in `StepCost`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Real, Unsigned, bare_inlined
from softlab_cli.kernels.lanes import (
    Lanes,
    after,
    ask_for,
    before,
    load,
    nearer,
    root,
    spread,
    store,
)

__all__ = [
    "EMPTY",
    "STEPS",
    "Field",
    "Rule",
    "ask_for_row",
    "bits_of",
    "push",
    "settle",
    "step_costs",
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
    faces
        Its ends of rows likewise, in faces.
    steps
        (2 * 27,), `StepCost.coefficients`.
    rule
        See there.
    """

    distance: Reals
    image: Reals
    faces: Reals
    steps: Reals
    rule: Rule


LENGTHWISE = 12
"""Place of the step (0, 0, -1) in a flattened table of 3 x 3 x 3 steps."""
STEPS = 27
"""Steps of the table."""

ROUNDS = 3
"""How often the steps along a row are relaxed when it is taken; 2 or 4 take as long."""


@bare_inlined
def bits_of(value: Real) -> Any:
    """Bits of a float; those of non-negative floats order like the floats."""
    return np.float32(value).view(np.int32)


@bare_inlined
def step_costs(image: Reals, p: Int, q: Int, a: Real, b: Real, rule: Rule) -> Lanes:
    """Costs of the steps from the voxels at p on to those at q on, each to its own."""
    if image.ndim == 1:
        return abs(load(image, q) - load(image, p)) * spread(a) + spread(b)
    voxels = image.shape[1]
    total = spread(np.float32(0))
    for c in range(len(image)):
        e = load(image, c * voxels + q) - load(image, c * voxels + p)
        total = total + (e * e if rule.euclidean else abs(e))
    difference = root(total) if rule.euclidean else total
    if rule.linear:
        return difference * spread(a) + spread(b)
    t = difference + spread(EPSILON)
    length, intensity = spread(rule.share_of_length), spread(rule.share_of_intensity)
    return (spread(a) * t) / (length * t + intensity)


@bare_inlined
def ask_for_row(field: Field, p: Int) -> None:
    """Have the row at p brought into the cache."""
    ask_for(field.distance, p)
    q = p
    while q < field.image.size:  # all channels
        ask_for(field.image, q)
        q += len(field.distance)


@bare_inlined
def settle(field: Field, p: Int) -> Any:
    """Relax the steps along the row at p, both ways; returns its distances, and those a round ago.

    Where they differ, the row may not be settled yet, and is to be taken again: few are, while
    to go on here until nothing falls would be a branch that is not foreseeable.
    """
    steps = field.steps
    a, b = steps[Unsigned(LENGTHWISE)], steps[Unsigned(STEPS + LENGTHWISE)]
    # A step costs the same both ways. That of the last voxel to the next row is missing, and not
    # needed: beside the ends of a row, distances are infinite here.
    rising = step_costs(field.image, p - 1, p, a, b, field.rule)
    falling = after(rising)
    here = load(field.distance, p)
    last = here
    for _ in range(ROUNDS):
        last = here
        here = nearer(before(here) + rising, here)
        here = nearer(after(here) + falling, here)
    store(field.distance, p, here)
    return here, last


@bare_inlined
def push(field: Field, p: Int, q: Int, step: Int, here: Lanes, left: Lanes, right: Lanes) -> Any:
    """Relax the steps from the row at p to a neighbour at q, each voxel to three.

    Returns the neighbour's distances, and those before.

    Parameters
    ----------
    field, p, q
        See the type; places of the rows.
    step
        Place of the step (dz, dy, -1) in the table, with the rows dz and dy apart.
    here, left, right
        Distances of the row at p, and those of the voxels before and after each.
    """
    distance, image, steps, rule = field.distance, field.image, field.steps, field.rule
    a_aside, a = steps[Unsigned(step)], steps[Unsigned(step + 1)]
    b_aside, b = steps[Unsigned(STEPS + step)], steps[Unsigned(STEPS + step + 1)]
    # All three steps into a voxel at once: its distance is read and written once.
    old = load(distance, q)
    new = nearer(here + step_costs(image, p, q, a, b, rule), old)
    new = nearer(left + step_costs(image, p - 1, q, a_aside, b_aside, rule), new)
    new = nearer(right + step_costs(image, p + 1, q, a_aside, b_aside, rule), new)
    store(distance, q, new)
    return new, old
