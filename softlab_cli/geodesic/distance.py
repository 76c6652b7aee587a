"""Geodesic distance from arrays to an array, with every argument checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softlab_cli.core.errors import GeometryError, InputError, UsageError
from softlab_cli.core.memory import available_cores
from softlab_cli.geodesic.base import Metric, Seeds, StepCost
from softlab_cli.geodesic.engines import AUTO, resolve_engine

__all__ = ["MAX_INTENSITY", "check_image", "geodesic_distance"]

MAX_INTENSITY = 1e15
"""Largest absolute intensity: squares and sums of steps must stay within float32."""


def geodesic_distance(
    image: ArrayLike,
    seeds: ArrayLike,
    spacing_mm: Sequence[float],
    *,
    metric: Metric = "geodistk",
    intensity_weight: float = 1.0,
    engine: str = AUTO,
    iterations: int | None = None,
    threads: int | None = None,
) -> NDArray[np.float32]:
    """Distance of every voxel to the seeds of each class, through an image.

    The shortest path over the 26-neighbourhood (8 in a picture); what a step costs says
    `StepCost`.

    Parameters
    ----------
    image
        (Z, Y, X) or (channels, Z, Y, X) of any real type; a picture without Z.
    seeds
        (Z, Y, X) of integers, 0 where there is no seed and k at the seeds of the k-th
        class; or (n, Z, Y, X) of bool, the seeds of each class. A picture without Z.
    spacing_mm
        Of the voxels, one for each axis of the grid, in array order.
    metric
        ``geodistk`` or ``fastgeodis``.
    intensity_weight
        The papers' lambda, from 0 (length only) to 1 (intensity only).
    engine
        One of `ENGINES`, or ``auto``.
    iterations
        For engines that stop after some iterations; None is the engine's own default.
    threads
        None is all cores; the result does not depend on it.

    Returns
    -------
    numpy.ndarray
        (n, Z, Y, X) float32, (n, Y, X) of a picture, in the unit of the step's cost;
        infinite for a class without seeds.

    Raises
    ------
    UsageError
        An argument has no meaning.
    GeometryError
        The image and the seeds are not on one grid.
    InputError
        The image has values without a distance.
    EngineError
        The engine cannot work here.
    """
    cost = _step_cost(metric, intensity_weight)
    spacing = _spacing(spacing_mm)
    channels, stack = _on_one_grid(np.asarray(image), np.asarray(seeds), len(spacing_mm))
    check_image(channels)
    shape = (1, *channels.shape[1:])[-3:]
    volume = np.ascontiguousarray(channels, np.float32).reshape(len(channels), *shape)
    places = [_places(stack, k) for k in range(_class_count(stack))]
    chosen = resolve_engine(engine, iterations)
    out = np.empty((len(places), *channels.shape[1:]), np.float32)
    found = chosen.distances(
        volume, places, spacing, cost, threads=available_cores() if threads is None else threads
    )
    for into, distance in zip(out, found, strict=True):
        into[...] = distance.reshape(into.shape)
    return out


def check_image(image: NDArray[Any]) -> None:
    """Refuse intensities through which there is no distance.

    Parameters
    ----------
    image
        Of any shape and real type.

    Raises
    ------
    InputError
        Values that are not finite, or larger than `MAX_INTENSITY`.
    """
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        bad = ~np.isfinite(image)
        raise InputError(
            f"{np.count_nonzero(bad)} of {image.size} intensities are NaN or infinite, "
            f"the first at {_first(bad)}.",
            remedy="Replace them, for instance by the image's minimum.",
        )
    if image.size and max(abs(float(image.min())), abs(float(image.max()))) > MAX_INTENSITY:
        raise InputError(
            f"intensities reach from {image.min()} to {image.max()}; distances through more "
            f"than {MAX_INTENSITY:g} leave the range of float32.",
            remedy="Scale the image down; clip fill values before.",
        )


def _first(bad: NDArray[np.bool_]) -> str:
    where = tuple(map(int, np.unravel_index(int(bad.argmax()), bad.shape)))
    return f"{'channel ' + str(where[0]) + ', ' if len(bad) > 1 else ''}voxel {where[1:]}"


def _step_cost(metric: str, intensity_weight: float) -> StepCost:
    if metric not in get_args(Metric):
        raise UsageError(
            f"there is no metric {metric!r}.",
            remedy=f"Choose one of {', '.join(get_args(Metric))}.",
        )
    if not 0 <= intensity_weight <= 1:
        raise UsageError(
            f"intensity_weight is {intensity_weight}: it shares 1 between intensity and length.",
            remedy="Give a number from 0 to 1.",
        )
    return StepCost(metric, float(intensity_weight))  # type: ignore[arg-type]


def _on_one_grid(
    image: NDArray[Any], seeds: NDArray[Any], axes: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """The image with its channels first, and the seeds; on grids of one shape."""
    if image.dtype.kind not in "buif":
        raise UsageError(f"the image is of type {image.dtype}.", remedy="Give real numbers.")
    if seeds.dtype.kind not in "bui":
        raise UsageError(
            f"the seeds are of type {seeds.dtype}.", remedy="Give integers, or bool for each class."
        )
    grid = seeds.shape[1:] if seeds.dtype.kind == "b" else seeds.shape
    channels = image[None] if image.ndim == axes else image
    if len(grid) != axes or channels.shape[1:] != grid or 0 in channels.shape:
        raise GeometryError(
            f"the image of shape {image.shape} and the seeds of shape {seeds.shape} "
            f"({seeds.dtype}) are not on one grid of {axes} axes, as spacing_mm has.",
            remedy="Give (Z, Y, X) or (channels, Z, Y, X), with seeds (Z, Y, X) of integers "
            "or (n, Z, Y, X) of bool; pictures without Z.",
        )
    return channels, seeds


def _spacing(spacing_mm: Sequence[float]) -> tuple[float, float, float]:
    values = [float(s) for s in spacing_mm]
    if len(values) not in (2, 3) or not all(0 < s < np.inf for s in values):
        raise UsageError(
            f"spacing_mm is {tuple(values)}: it needs 3 finite numbers above 0, 2 for a picture.",
            remedy="Give the voxel's size along each axis of the array.",
        )
    z, y, x = [1.0, *values][-3:]
    return z, y, x


def _class_count(seeds: NDArray[Any]) -> int:
    if seeds.dtype.kind == "b":
        return len(seeds)
    if seeds.min() < 0:
        raise UsageError(
            f"a seed has the class {seeds.min()}.", remedy="Classes count from 1; 0 is no seed."
        )
    return int(seeds.max())


def _places(seeds: NDArray[Any], class_number: int) -> Seeds:
    """Places in the flattened volume of a class's seeds; classes count from 0 here."""
    marks = seeds[class_number] if seeds.dtype.kind == "b" else seeds == class_number + 1
    return np.flatnonzero(marks).astype(np.int64)
