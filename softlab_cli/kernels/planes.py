"""What the kernels of SVLS look up, and the planes that they write: one a class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, bare_inlined
from softlab_cli.kernels.half import ONE

__all__ = ["Planes", "Tables", "fill", "plane_size", "put"]


class Tables(NamedTuple):
    """What the kernel looks up.

    Parameters
    ----------
    sums
        (CODES,) float64 from `softlab_cli.kernels.neighbours.code_sums`.
    pairs
        (CODES * 4,) uint32, for a voxel with one other class around it, by the code of its
        own: both soft labels (its own in the lower half, as float16), the entropy of both,
        and what each adds to the mass of its class.
    mass, entropy
        (ONE + 1,) int64 from `softlab_cli.kernels.half`.
    """

    sums: NDArray[np.float64]
    pairs: NDArray[np.uint32]
    mass: NDArray[np.int64]
    entropy: NDArray[np.int64]


class Planes(NamedTuple):
    """Where soft labels go.

    Parameters
    ----------
    values
        (planes, z, y, x) uint16, all 0.
    flat
        The same memory in one row.
    plane_of
        Class index to plane; several classes may share one that nobody reads.
    mass
        (planes,) int64, to which the soft labels' sums are added.
    """

    values: NDArray[np.uint16]
    flat: NDArray[np.uint16]
    plane_of: NDArray[np.int64]
    mass: NDArray[np.int64]


@bare_inlined
def plane_size(planes: Planes) -> int:
    """Voxels of a plane."""
    return int(planes.values.shape[1] * planes.values.shape[2] * planes.values.shape[3])


@bare_inlined
def fill(index: Int, there: int, count: int, planes: Planes) -> None:
    """Write soft labels of 1 to some voxels of a row, and add them to the class's mass."""
    # One index into flat memory: the place in the plane is known to the caller and the same for
    # all classes; by four, SVLS takes 1.15 times as long. A class that nobody reads has a plane
    # as well, so that nothing is tested here.
    plane = planes.plane_of[Unsigned(index)]
    start = plane * plane_size(planes) + there
    for x in range(count):
        planes.flat[Unsigned(start + x)] = ONE
    planes.mass[Unsigned(plane)] += count << 24


@bare_inlined
def put(index: Int, there: int, value: Int, tables: Tables, planes: Planes) -> int:
    """Write one soft label, add to its class's mass, return its entropy."""
    plane = planes.plane_of[Unsigned(index)]
    planes.flat[Unsigned(plane * plane_size(planes) + there)] = value
    planes.mass[Unsigned(plane)] += tables.mass[Unsigned(value)]
    return int(tables.entropy[Unsigned(value)])
