"""Label maps on another grid: nearest voxel, or linear weights of the eight around.

A target voxel (x, y, z) lies at ``matrix @ (x, y, z, 1)`` in voxels of the source.
A place belongs to the source up to half a voxel beyond the outermost centres;
there the edge voxels are repeated. Beyond that it is outside.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import kernel

__all__ = ["linear_fraction", "linear_labels", "nearest_labels"]

_TIE = 1e-6


@kernel
def nearest_labels(
    source: NDArray[Any], matrix: NDArray[np.float64], outside: int, out: NDArray[Any]
) -> None:
    """Label of the nearest source voxel.

    Parameters
    ----------
    source
        (Z, Y, X) label values.
    matrix
        (3, 4) target voxel to source voxel, both (x, y, z).
    outside
        Label where the source does not reach.
    out
        (Z, Y, X) label values on the target grid, filled.
    """
    nz, ny, nx = source.shape
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                # Each place is computed anew. Adding a step from voxel to voxel is shorter, but
                # its rounding errors add up along the row, and would decide where a place lies
                # at a half.
                i = _index(matrix, 0, x, y, z)
                j = _index(matrix, 1, x, y, z)
                k = _index(matrix, 2, x, y, z)
                if 0 <= i < nx and 0 <= j < ny and 0 <= k < nz:
                    out[z, y, x] = source[k, j, i]
                else:
                    out[z, y, x] = outside


@kernel
def _place(matrix: NDArray[Any], axis: int, x: int, y: int, z: int) -> float:
    """Place along one axis of the source, in voxels."""
    place: float = matrix[axis, 0] * x + matrix[axis, 1] * y + matrix[axis, 2] * z + matrix[axis, 3]
    return place


@kernel
def _index(matrix: NDArray[Any], axis: int, x: int, y: int, z: int) -> int:
    return int(np.floor(_place(matrix, axis, x, y, z) + 0.5))


@kernel
def _neighbours(place: float, size: int) -> tuple[int, int, float]:
    """Voxels below and above a place along one axis, and the weight of the upper one."""
    floor = np.floor(place)
    low = int(floor)
    return max(low, 0), min(low + 1, size - 1), place - floor


@kernel
def _gather(
    source: NDArray[Any], matrix: NDArray[Any], x: int, y: int, z: int,
    labels: NDArray[Any], weights: NDArray[Any],
) -> bool:  # fmt: skip
    """Labels and linear weights of the eight voxels around a place; False when outside."""
    nz, ny, nx = source.shape
    place_x = _place(matrix, 0, x, y, z)
    place_y = _place(matrix, 1, x, y, z)
    place_z = _place(matrix, 2, x, y, z)
    if not (
        -0.5 <= place_x < nx - 0.5 and -0.5 <= place_y < ny - 0.5 and -0.5 <= place_z < nz - 0.5
    ):
        return False
    x0, x1, share_x = _neighbours(place_x, nx)
    y0, y1, share_y = _neighbours(place_y, ny)
    z0, z1, share_z = _neighbours(place_z, nz)
    # Written to small arrays that stay in the cache, so that deciding (by label or by fraction)
    # is a function apart.
    for corner in range(8):
        up_x, up_y, up_z = corner & 1, corner & 2, corner & 4
        labels[corner] = source[z1 if up_z else z0, y1 if up_y else y0, x1 if up_x else x0]
        weights[corner] = (
            (share_x if up_x else 1.0 - share_x)
            * (share_y if up_y else 1.0 - share_y)
            * (share_z if up_z else 1.0 - share_z)
        )
    return True


@kernel
def _heaviest(labels: NDArray[Any], weights: NDArray[Any]) -> int:
    """The label with the largest weight; the lowest label value among equals."""
    # Inside a label all eight corners agree; adding up weights there, too, takes 1.4 times as
    # long. No early end: with one it is no faster.
    mixed = False
    for corner in range(1, 8):
        mixed |= labels[corner] != labels[0]
    best, best_weight = labels[0], -1.0
    if not mixed:
        return int(best)
    for corner in range(8):
        weight = 0.0
        for other in range(8):
            if labels[other] == labels[corner]:
                weight += weights[other]
        # Weights that differ by rounding only are equal: else the order of the corners, and with
        # it how the source is stored, would choose the label.
        lower = labels[corner] < best and weight > best_weight - _TIE
        if weight > best_weight + _TIE or lower:
            best, best_weight = labels[corner], weight
    return int(best)


@kernel
def linear_labels(
    source: NDArray[Any], matrix: NDArray[np.float64], outside: int, out: NDArray[Any]
) -> None:
    """Label with the largest linear weight; parameters as for `nearest_labels`."""
    labels = np.empty(8, np.int64)
    weights = np.empty(8)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                if _gather(source, matrix, x, y, z, labels, weights):
                    out[z, y, x] = _heaviest(labels, weights)
                else:
                    out[z, y, x] = outside


@kernel
def linear_fraction(
    source: NDArray[Any], matrix: NDArray[np.float64], label: int, outside: int,
    ignored: NDArray[np.int64], out: NDArray[np.float32],
) -> None:  # fmt: skip
    """Linear weight of one label among the labels that are not ignored.

    Parameters
    ----------
    source, matrix, outside
        As for `nearest_labels`.
    label
        The label value.
    ignored
        Label values that do not count. Where one of them is the heaviest, the
        result is 0 for every label.
    out
        (Z, Y, X) float32 on the target grid, filled with 0 to 1.
    """
    labels = np.empty(8, np.int64)
    weights = np.empty(8)
    for z in range(out.shape[0]):
        for y in range(out.shape[1]):
            for x in range(out.shape[2]):
                if _gather(source, matrix, x, y, z, labels, weights):
                    out[z, y, x] = _fraction(labels, weights, label, ignored)
                else:
                    out[z, y, x] = 1.0 if label == outside else 0.0


@kernel
def _fraction(
    labels: NDArray[Any], weights: NDArray[Any], label: int, ignored: NDArray[Any]
) -> float:
    valid, own = 0.0, 0.0
    for corner in range(8):
        if not _contains(ignored, labels[corner]):
            valid += weights[corner]
            if labels[corner] == label:
                own += weights[corner]
    if own == 0.0 or (valid < 1.0 - _TIE and _contains(ignored, _heaviest(labels, weights))):
        return 0.0
    return own / valid


@kernel
def _contains(values: NDArray[Any], value: int) -> bool:
    for i in range(values.size):  # noqa: SIM110 (numba compiles no generators)
        if values[i] == value:
            return True
    return False
