"""The maps of GeoLS: from distances to what is blended, class by class."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Geometry
from softlab_cli.geodesic.base import Engine, Seeds, StepCost
from softlab_cli.geodesic.seeds import ClassSeeds
from softlab_cli.methods.base import InWorkspace
from softlab_cli.methods.geols.map_scratch import MapScratch, places_of

__all__ = ["Blend", "GeodesicMaps", "MapMaker"]

PIECES_PER_THREAD = 4


@dataclass(frozen=True)
class Blend:
    """How maps become soft labels; see `softlab_cli.methods.geols.geols.GeoLS`.

    Parameters
    ----------
    smoothing, min_mass
        As for `GeoLS`.
    normalise
        Whether the maps of a voxel are divided by their sum.
    background_index
        The class that is no foreground, if there is one.
    """

    smoothing: float
    min_mass: float
    normalise: bool
    background_index: int | None


@dataclass(frozen=True)
class GeodesicMaps(InWorkspace):
    """The maps of one case, to be softened block by block; a context manager.

    Leaving it removes its scratch. Made by `softlab_cli.methods.geols.geols.GeoLS.prepare`.
    `soften` wants the whole volume that the maps were made of, and a block of the grid
    that they were made for.

    Parameters
    ----------
    blend
        How the maps become soft labels.
    written
        Classes that may have a soft label above 0, ascending.
    numbers
        Class index to the number of its map, for the foreground classes that have seeds.
    scratch
        Where the maps are.
    facts
        What was found out about the case, ready for JSON.
    warnings
        What the user should know, one sentence each.
    """

    blend: Blend
    written: tuple[int, ...]
    numbers: Mapping[int, int]
    scratch: MapScratch
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch; nothing can be softened any more."""
        self.scratch.close()

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread, as for a local method."""
        from softlab_cli.methods.geols.map_blending import MapBlender

        return MapBlender(self, len(classes), classes.ignore_index, block)


@dataclass(frozen=True)
class MapMaker:
    """Makes the maps g of the foreground classes.

    g = exp(-D / mean D) stretched to [0, 1], the mean over the whole volume; over
    several images, the mean of their maps.

    Parameters
    ----------
    engine
        Computes the distances.
    cost
        What a step costs.
    spacing_mm
        Distance of voxels along (Z, Y, X).
    images
        Each (channels, Z, Y, X) float32; the distances of one are computed together.
    grid
        How the maps are cut into blocks.
    threads
        Threads that compute; the result does not depend on it.
    classes_at_once
        Classes whose maps are held together when there are several images.
    """

    engine: Engine
    cost: StepCost
    spacing_mm: tuple[float, float, float]
    images: Sequence[NDArray[np.float32]]
    grid: Grid
    threads: int
    classes_at_once: int

    def write(
        self, seeds: Sequence[ClassSeeds], names: Sequence[str], scratch: MapScratch
    ) -> list[str]:
        """Write the map of each class; the scratch is closed when that fails.

        Parameters
        ----------
        seeds
            The seeds of each class.
        names
            Class names by class index.
        scratch
            Is given a map for each class, in their order.

        Returns
        -------
        flat
            Names of classes that all voxels are at distance 0 from; their map is 1.

        Raises
        ------
        InputError
            When distances are not finite.
        """
        if not seeds:
            return []
        halves = np.empty(math.prod(self.grid.shape), np.uint16)
        own_names = [names[found.class_index] for found in seeds]
        try:
            with ThreadPoolExecutor(self.threads) as pool:
                reducer = _Reducer(self.grid, self.threads, pool)
                for total in self._totals([s.places for s in seeds], own_names, reducer):
                    reducer.store(total, len(self.images), halves)
                    scratch.append(halves)
        except BaseException:
            scratch.close()
            raise
        return [name for name in own_names if name in reducer.flat]

    def _totals(
        self, seeds: Sequence[Seeds], names: Sequence[str], reducer: _Reducer
    ) -> Iterator[NDArray[np.float32]]:
        """The sum over images of each class's maps; each is overwritten by the next ones."""
        if len(self.images) == 1:
            total = np.empty(math.prod(self.grid.shape), np.float32)
            for distance, name in zip(self._distances(0, seeds), names, strict=True):
                total.fill(0)
                reducer.add(distance, total, name)
                yield total
            return
        for first in range(0, len(seeds), self.classes_at_once):
            group = slice(first, first + self.classes_at_once)
            totals = np.zeros((len(seeds[group]), math.prod(self.grid.shape)), np.float32)
            for i in range(len(self.images)):
                found = self._distances(i, seeds[group])
                for distance, total, name in zip(found, totals, names[group], strict=True):
                    reducer.add(distance, total, name)
            yield from totals

    def _distances(self, image: int, seeds: Sequence[Seeds]) -> Iterator[NDArray[np.float32]]:
        return self.engine.distances(
            self.images[image], seeds, self.spacing_mm, self.cost, threads=self.threads
        )


class _Reducer:
    """Turns distances into maps, over threads."""

    def __init__(self, grid: Grid, threads: int, pool: Executor) -> None:
        self.flat: set[str] = set()
        self._grid = grid
        self._threads = threads
        self._pool = pool

    def add(self, distance: NDArray[np.float32], total: NDArray[np.float32], name: str) -> None:
        """Add the map of a class to a sum of maps."""
        from softlab_cli.kernels.geodesic.maps import add_map

        distance = np.ascontiguousarray(distance)
        mean, farthest = self._statistics(distance)
        if not math.isfinite(mean):
            raise InputError(
                f"the geodesic distances of class {name} are not finite: intensities are too "
                "far apart for float32.",
                remedy="Rescale the image, to 0..1 for instance.",
            )
        if farthest == 0:
            self.flat.add(name)

        def add(block: tuple[Region, int]) -> None:
            (z, y, x), place = block
            shape = region_shape((z, y, x))
            piece = total[place : place + math.prod(shape)]
            start = (z.start, y.start, x.start)
            add_map(distance, start, shape, np.float32(mean), np.float32(farthest), piece)

        list(self._pool.map(add, places_of(self._grid)))

    def _statistics(self, distance: NDArray[np.float32]) -> tuple[float, float]:
        """Mean and maximum; the same for any number of threads, as rows are summed first."""
        from softlab_cli.kernels.geodesic.maps import sum_rows

        rows = distance.reshape(-1, distance.shape[-1])
        sums, farthest = np.empty(len(rows)), np.empty(len(rows), np.float32)
        self._in_pieces(len(rows), lambda a, b: sum_rows(rows, a, b, sums, farthest))
        return float(sums.cumsum()[-1]) / distance.size, float(farthest.max())

    def store(self, total: NDArray[np.float32], count: int, halves: NDArray[np.uint16]) -> None:
        """Round the mean of some maps to float16."""
        from softlab_cli.kernels.geodesic.maps import store_halves

        self._in_pieces(len(total), lambda a, b: store_halves(total, count, a, b, halves))

    def _in_pieces(self, count: int, function: Callable[[int, int], None]) -> None:
        """Call a function for all of 0..count, in pieces [first, stop)."""
        ends = np.linspace(0, count, PIECES_PER_THREAD * self._threads + 1).astype(int).tolist()
        list(self._pool.map(function, ends[:-1], ends[1:]))
