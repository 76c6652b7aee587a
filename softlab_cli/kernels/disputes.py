"""Soft labels of disputed voxels, one class after the other.

See `softlab_cli.kernels.blends` for what a disputed voxel is. For a class, the
numbers of a row become *parts* (how much of the class each voxel has); the rows
around a segment are added up by their distance; then the weights come in.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Unsigned, inlined, kernel
from softlab_cli.kernels.half import to_half
from softlab_cli.kernels.planes import Planes, Tables
from softlab_cli.kernels.sizes import SEGMENT

__all__ = [
    "ROW",
    "Entries",
    "Largest",
    "Parts",
    "Weighing",
    "count_ties",
    "find_wholes",
    "soften_disputed",
]

ROW = SEGMENT + 2
"""Voxels of a segment with its halo."""

UNKNOWN, EMPTY, PRESENT = 0, 1, 2
"""What is known of a class in a row of a segment."""


class Entries(NamedTuple):
    """Which numbers of a block have parts of which class.

    Parameters
    ----------
    starts
        (classes + 1,) int64, where the entries of each class begin.
    numbers, parts
        (entries,) int64 and int32.
    """

    starts: NDArray[np.int64]
    numbers: NDArray[np.int64]
    parts: NDArray[np.int32]


class Weighing(NamedTuple):
    """The kernel 3 voxels wide.

    Parameters
    ----------
    weights
        (7,) float64, weight of a neighbour that lies one step away along X, Y, Z,
        XY, XZ, YZ and XYZ.
    centre
        (1,) float64, weight of the centre: as much as all neighbours have.
    total
        Parts that make a whole.
    """

    weights: NDArray[np.float64]
    centre: NDArray[np.float64]
    total: int


class Parts(NamedTuple):
    """Scratch memory for one class.

    Parameters
    ----------
    part_of
        (numbers,) int32, parts of each number; 0 all over between calls.
    rows
        (3 * y with halo * segments * ROW,) int32, rows of the last slices that were met.
    known
        (z with halo, y with halo, segments) uint8, see `UNKNOWN`.
    around
        (4 * ROW,) int32, sums of rows.
    sums
        (SEGMENT,) float64.
    wholes
        (z, y, x) float64, what makes a whole where some neighbours are ignored.
    """

    part_of: NDArray[np.int32]
    rows: NDArray[np.int32]
    known: NDArray[np.uint8]
    around: NDArray[np.int32]
    sums: NDArray[np.float64]
    wholes: NDArray[np.float64]


class Largest(NamedTuple):
    """What is known of the disputed voxels of a block, over the classes so far.

    Parameters
    ----------
    value
        (z, y, x) uint16, largest soft label.
    shared
        (z, y, x) bool, whether several classes have it.
    hard
        (z, y, x) uint16, soft label of the hard label's class.
    hard_of
        (numbers,) int64, class with the largest share of each number.
    """

    value: NDArray[np.uint16]
    shared: NDArray[np.bool_]
    hard: NDArray[np.uint16]
    hard_of: NDArray[np.int64]


@kernel
def find_wholes(
    padded: NDArray[Any], disputed: NDArray[np.uint64], slicewise: bool,
    ignore_index: int, box: NDArray[np.int64], weighing: Weighing, parts: Parts,
) -> None:  # fmt: skip
    """Find what the weights of each disputed voxel's labelled neighbours make together.

    Parameters
    ----------
    padded, disputed, slicewise, weighing, parts
        As for `soften_disputed`.
    ignore_index
        The number of voxels that nobody labelled.
    box
        First and last z, first and last y of these in `padded`.
    """
    parts.part_of[ignore_index] = weighing.total
    # Ignored voxels are summed as a class would be; what they weigh is missing from the whole.
    parts.known[:] = UNKNOWN
    parts.wholes[:] = _whole(weighing)
    reach = 0 if slicewise else 2
    for z in range(max(0, box[0] - reach), min(disputed.shape[0], box[1] + 1)):
        for y in range(max(0, box[2] - 2), min(disputed.shape[1], box[3] + 1)):
            for s in range(disputed.shape[2]):
                if disputed[z, y, s] == 0:
                    continue
                if _sum_around(padded, z, y, s, slicewise, weighing, parts):
                    row = parts.wholes[z, y, s * SEGMENT : (s + 1) * SEGMENT]
                    for i in range(len(row)):
                        row[i] -= parts.sums[i]
    parts.part_of[ignore_index] = 0


@inlined
def _whole(weighing: Weighing) -> Any:
    return np.float64(2 * weighing.total) * weighing.centre[0]


@kernel
def soften_disputed(
    padded: NDArray[Any], disputed: NDArray[np.uint64], slicewise: bool, has_ignored: bool,
    classes: NDArray[np.int64], boxes: NDArray[np.int64], entries: Entries,
    weighing: Weighing, parts: Parts, largest: Largest, tables: Tables, planes: Planes,
) -> int:  # fmt: skip
    """SVLS of the disputed voxels of a fused block.

    Parameters
    ----------
    padded
        (z, y, x) numbers with a halo of 1 (along Z none if `slicewise`).
    disputed
        From `softlab_cli.kernels.svls.soften_block`.
    slicewise
        Whether neighbours in the same slice are the only ones.
    has_ignored
        Whether `find_wholes` has been called for the block.
    classes, boxes
        The classes to write, and where each occurs in `padded`: first and last z,
        first and last y.
    entries
        The numbers that have parts of each.
    weighing
        The kernel.
    parts
        Scratch memory.
    largest
        Is carried on from class to class.
    tables
        What to look up.
    planes
        Where the soft labels go.

    Returns
    -------
    entropy
        Sum over these voxels and classes.
    """
    entropy = 0
    for i in range(len(classes)):
        for e in range(entries.starts[i], entries.starts[i + 1]):
            # The table is filled and emptied entry by entry: it has a place for each number of
            # the label map, and a class has parts in a few of them.
            parts.part_of[entries.numbers[e]] = entries.parts[e]
        entropy += _soften_class(
            padded, disputed, slicewise, has_ignored, classes[i], boxes[i],
            weighing, parts, largest, tables, planes,
        )  # fmt: skip
        for e in range(entries.starts[i], entries.starts[i + 1]):
            parts.part_of[entries.numbers[e]] = 0
    return entropy


@kernel
def _soften_class(
    padded: NDArray[Any], disputed: NDArray[np.uint64], slicewise: bool, has_ignored: bool,
    index: int, box: NDArray[np.int64], weighing: Weighing, parts: Parts,
    largest: Largest, tables: Tables, planes: Planes,
) -> int:  # fmt: skip
    # Numba counts references to arrays at each call; in the inner loops that would
    # cost more than all the rest, so they have none.
    sums, wholes, hard_of = parts.sums, parts.wholes, largest.hard_of
    best, shared, hard = largest.value, largest.shared, largest.hard
    values = planes.values[planes.plane_of[index]]
    halo_z = 0 if slicewise else 1
    whole = _whole(weighing)
    mass = entropy = 0
    parts.known[:] = UNKNOWN
    for z in range(max(0, box[0] - 2 * halo_z), min(disputed.shape[0], box[1] + 1)):
        for y in range(max(0, box[2] - 2), min(disputed.shape[1], box[3] + 1)):
            for s in range(disputed.shape[2]):
                bits = disputed[z, y, s]
                # Most segments have nothing that is disputed, or nothing of the class around it.
                if bits == 0 or not _sum_around(padded, z, y, s, slicewise, weighing, parts):
                    continue
                for i in range(SEGMENT):
                    total = sums[Unsigned(i)]
                    if bits >> np.uint64(i) & np.uint64(1) == 0 or total == 0:
                        continue
                    x = s * SEGMENT + i
                    # `wholes` has the very same number where no neighbour is ignored: a voxel's
                    # quotient does not depend on what else is in its block.
                    if has_ignored:
                        whole = wholes[z, y, x]
                    value = to_half(total / whole)
                    values[z, y, x] = value
                    mass += tables.mass[Unsigned(value)]
                    entropy += tables.entropy[Unsigned(value)]
                    if value >= best[z, y, x]:
                        shared[z, y, x] = value == best[z, y, x]
                        best[z, y, x] = value
                    if hard_of[Unsigned(padded[z + halo_z, y + 1, x + 1])] == index:
                        hard[z, y, x] = value
    planes.mass[planes.plane_of[index]] += mass
    return entropy


@inlined
def _sum_around(
    padded: NDArray[Any], z: int, y: int, s: int, slicewise: bool,
    weighing: Weighing, parts: Parts,
) -> bool:  # fmt: skip
    """Weigh the class around each voxel of a segment; returns whether there is any.

    Rows of parts are looked up when they are first needed.
    """
    known, rows, around, part_of = parts.known, parts.rows, parts.around, parts.part_of
    found = False
    for dz in range(1 if slicewise else 3):
        for dy in range(3):
            row = ((z + dz) * known.shape[1] + y + dy) * known.shape[2] + s
            # A ring of three slices, as nothing further back is looked at again. Each row is
            # around nine others, and is looked up once: each time anew takes 1.3 times as long.
            start = row % (len(rows) // ROW) * ROW
            if known[z + dz, y + dy, s] == UNKNOWN:
                any_parts = np.int32(0)
                for x in range(ROW):
                    number = padded[Unsigned(z + dz), Unsigned(y + dy), Unsigned(s * SEGMENT + x)]
                    part = part_of[Unsigned(number)]
                    rows[Unsigned(start + x)] = part
                    # No test in the loop: whether there are any parts is asked of all of them
                    # together.
                    any_parts |= part
                known[z + dz, y + dy, s] = PRESENT if any_parts else EMPTY
            if known[z + dz, y + dy, s] == EMPTY:
                continue
            if not found:
                for x in range(4 * ROW):
                    around[Unsigned(x)] = 0
                found = True
            # How far the row is: 0 here, 1 along Y, 2 along Z, 3 along both.
            far = np.int64(dy != 1) + 2 * np.int64(not slicewise and dz != 1)
            # Whole numbers first: rows at one distance weigh the same, so four sums replace
            # nine rows, and whole numbers add up to the same in any order.
            for x in range(ROW):
                around[Unsigned(far * ROW + x)] += rows[Unsigned(start + x)]
    if found:
        _weigh(weighing, parts)
    return found


@inlined
def _weigh(weighing: Weighing, parts: Parts) -> None:
    """Sum of all parts around each voxel of a segment, its own included, times weights."""
    weights, centre, sums = weighing.weights, weighing.centre[0], parts.sums
    here, at_y = parts.around[:ROW], parts.around[ROW : 2 * ROW]
    at_z, at_yz = parts.around[2 * ROW : 3 * ROW], parts.around[3 * ROW :]
    # Neighbours left and right are read where they lie, not carried from voxel to voxel, so
    # that voxels do not wait for one another and the loop is vectorised.
    for i in range(SEGMENT):
        left, x, right = Unsigned(i), Unsigned(i + 1), Unsigned(i + 2)
        total = np.float64(here[left] + here[right]) * weights[0]
        total += np.float64(at_y[x]) * weights[1]
        total += np.float64(at_z[x]) * weights[2]
        total += np.float64(at_y[left] + at_y[right]) * weights[3]
        total += np.float64(at_z[left] + at_z[right]) * weights[4]
        total += np.float64(at_yz[x]) * weights[5]
        total += np.float64(at_yz[left] + at_yz[right]) * weights[6]
        sums[Unsigned(i)] = total + np.float64(here[x]) * centre


@kernel
def count_ties(disputed: NDArray[np.uint64], largest: Largest) -> tuple[int, int]:
    """Count disputed voxels once all classes are done, and forget them.

    Parameters
    ----------
    disputed, largest
        As for `soften_disputed`; the entries of `largest` are 0 again afterwards.

    Returns
    -------
    ties, changes
        Voxels whose largest soft label is shared, and those where it is not that of
        their hard label.
    """
    ties = changes = 0
    for z in range(disputed.shape[0]):
        for y in range(disputed.shape[1]):
            for s in range(disputed.shape[2]):
                if disputed[z, y, s] == 0:
                    continue
                for x in range(s * SEGMENT, min((s + 1) * SEGMENT, largest.value.shape[2])):
                    ties += int(largest.shared[z, y, x])
                    changes += int(largest.hard[z, y, x] < largest.value[z, y, x])
                    # Forgotten as it is read: clearing whole blocks would touch far more than
                    # was written.
                    largest.shared[z, y, x] = False
                    largest.value[z, y, x] = largest.hard[z, y, x] = 0
    return ties, changes
