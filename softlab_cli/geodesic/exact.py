"""The engine of the processor: converged geodesic distance, one class per thread."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.geodesic.aligned import aligned_empty
from softlab_cli.geodesic.base import Seeds, StepCost
from softlab_cli.kernels.sizes import BLOCK, LANES, SIDE, WALLS

__all__ = ["ExactEngine"]

BAND = 1.0
"""Width of a band of distance, in mean costs of a step along X; half of it costs about
as much time, twice it up to a quarter more."""


@dataclass(frozen=True)
class ExactEngine:
    """Distances at the float32 fixpoint that `StepCost` defines.

    Bit-identical for any number of threads. Against Dijkstra in float64 the distances
    are off by the rounding of float32 along the shortest path: less than 1e-5 of their mean.
    """

    name: ClassVar[str] = "numba"
    deterministic: ClassVar[bool] = True

    def check(self) -> None:
        """Do nothing: this engine needs nothing that softlab does not need."""

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """See `Engine`."""
        blocks = _Blocks(shape)
        image = 4 * channels * (blocks.voxels + blocks.face_voxels)
        rows = blocks.voxels // LANES
        thread = 4 * (blocks.voxels + rows + 2 * blocks.face_voxels + 2 * blocks.count)
        result = 4 * shape[0] * shape[1] * shape[2]
        return image + threads * thread + (threads + 2) * result

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """See `Engine`; as many classes at a time as there are threads."""
        field = _Field(image, spacing_mm, cost)
        if threads <= 1 or len(seeds) <= 1:
            scratch, out = _Scratch(field.blocks), field.result()
            yield from (field.solve(places, scratch, out) for places in seeds)
            return
        idle: SimpleQueue[_Scratch] = SimpleQueue()
        for _ in range(min(threads, len(seeds))):
            idle.put(_Scratch(field.blocks))
        # One more than are computed is with the caller. Each is used again: the system takes
        # longer to clear new memory than we take to fill it.
        spare: SimpleQueue[NDArray[np.float32]] = SimpleQueue()
        for _ in range(threads + 1):
            spare.put(field.result())

        def solve(places: Seeds) -> NDArray[np.float32]:
            scratch = idle.get()
            try:
                return field.solve(places, scratch, spare.get())
            finally:
                idle.put(scratch)

        pool = ThreadPoolExecutor(threads)
        try:
            in_flight: deque[Future[NDArray[np.float32]]] = deque()
            for places in seeds:
                in_flight.append(pool.submit(solve, places))
                if len(in_flight) > threads:
                    distance = in_flight.popleft().result()
                    yield distance
                    spare.put(distance)
            while in_flight:
                yield in_flight.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


class _Blocks:
    """How many blocks a volume has, and what they hold."""

    def __init__(self, shape: Shape) -> None:
        depth, height, width = shape
        self.shape = shape
        self.along = (-(-depth // SIDE), -(-height // SIDE), -(-width // LANES))
        self.count = math.prod(self.along)
        self.voxels = (self.count + WALLS) * BLOCK
        z, y, x = self.along
        self.face_voxels = 2 * x * (z * SIDE + 2) * (y * SIDE + 2)


class _Scratch:
    """What one thread works in."""

    def __init__(self, blocks: _Blocks) -> None:
        from softlab_cli.kernels.geodesic.pending import Queue, Visit
        from softlab_cli.kernels.geodesic.tiles import HALO_SIDE

        self.distance = aligned_empty(blocks.voxels)
        rows = blocks.voxels // LANES
        self.queue = Queue(
            np.empty(rows, np.int32),
            np.empty(blocks.count, np.int32),
            np.empty(blocks.face_voxels, np.float32),
            np.empty(blocks.face_voxels, np.float32),
            np.empty(blocks.count, np.int32),
        )
        self.visit = Visit(
            np.empty(9, np.int64),
            np.empty(HALO_SIDE**2, np.int64),
            np.empty(HALO_SIDE**2 + 1, np.int32),
            np.empty(HALO_SIDE, np.uint64),
            np.empty(SIDE, np.bool_),
            np.zeros(SIDE + 4, np.bool_),
            np.empty(SIDE * LANES, np.float32),
        )


class _Field:
    """An image in blocks, and what steps through it cost; shared by the threads."""

    def __init__(
        self, image: NDArray[np.float32], spacing_mm: tuple[float, float, float], cost: StepCost
    ) -> None:
        from softlab_cli.kernels.geodesic.rows import Rule
        from softlab_cli.kernels.geodesic.tiles import enclose, enclose_ends

        shape: Any = image.shape[1:]
        self.blocks = _Blocks(shape)
        self.image = aligned_empty(len(image), self.blocks.voxels)
        difference = sum(
            enclose(channel, self.blocks.along, out)
            for channel, out in zip(image, self.image, strict=True)
        )
        self.faces = np.empty((len(image), self.blocks.face_voxels), np.float32)
        for channel, out in zip(image, self.faces, strict=True):
            enclose_ends(channel, self.blocks.along, out)
        self.steps = cost.coefficients(spacing_mm)
        # Of one channel the norm is the difference itself, which has no square to overflow.
        is_norm = cost.metric == "geodistk" and len(image) > 1
        self.rule = Rule(cost.linear, is_norm, *cost.shares)
        self.band = _mean_cost(difference, self.steps[:, 1, 1, 0], cost)

    def result(self) -> NDArray[np.float32]:
        """(Z, Y, X) for the distances of a class, uninitialised."""
        return np.empty(self.blocks.shape, np.float32)

    def solve(
        self, seeds: Seeds, scratch: _Scratch, out: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """(Z, Y, X) distance to one class's seeds, in `out`."""
        from softlab_cli.kernels.geodesic.relax import relax, sow
        from softlab_cli.kernels.geodesic.rows import Field
        from softlab_cli.kernels.geodesic.tiles import extract

        along = self.blocks.along
        sow(seeds, self.blocks.shape, along, scratch.distance, scratch.queue)
        image, faces = self.image, self.faces
        if len(image) == 1 and self.rule.linear:
            image, faces = image[0], faces[0]
        field = Field(scratch.distance, image, faces, self.steps.ravel(), self.rule)
        relax(field, along, scratch.queue, np.float32(self.band), scratch.visit)
        extract(scratch.distance, along, out)
        return out


def _mean_cost(difference: float, step: NDArray[np.float32], cost: StepCost) -> float:
    """Cost of a step along X between voxels of the mean difference."""
    a, b = map(float, step)
    if cost.linear:
        return BAND * (a * difference + b)
    share_of_length, share_of_intensity = map(float, cost.shares)
    return BAND * a * difference / (share_of_length * difference + share_of_intensity)
