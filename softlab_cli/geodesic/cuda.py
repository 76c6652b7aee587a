"""Engine ``cuda``: converged distances on a CUDA device, many classes at once, without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.errors import EngineError
from softlab_cli.core.memory import MIB, format_bytes
from softlab_cli.geodesic.base import Seeds, StepCost

__all__ = ["CudaEngine", "band_of"]

USABLE = 0.9
"""Share of the free device memory that is taken; allocations are rounded up."""

WIDE, NARROW = 12.0, 4.0
"""How much farther than the nearest block others are relaxed with it, in mean costs of a
step along X. A narrow band relaxes less that falls again, in more launches; it pays where
so many blocks are in play that a launch takes far longer than to begin it. Measured on a
T1 volume and an H200: for one class a band of 8 takes 1.13 times as long as the wide one,
none at all 1.08 times; for 116 classes the wide band takes 1.22 times as long as the narrow
one, none at all 1.7 times."""

MANY_BLOCKS = 100_000
"""Blocks of all classes from which on the band is narrow."""

SAMPLED_ROWS = 64
"""Rows along Z and along Y from which the mean is taken."""

DRIVER_BYTES = 512 * MIB
"""Host memory that the driver, its context, cupy and the compiled kernels are given."""


@dataclass(frozen=True)
class CudaEngine:
    """Relaxes blocks of the volume on the device until no distance falls.

    Returns the bits that `StepCost` defines, as every engine that converges.

    Parameters
    ----------
    side
        Voxels along each edge of a block; None for the largest that fits.
    device_bytes
        Device memory to take; None for what is free.
    """

    name: ClassVar[str] = "cuda"
    deterministic: ClassVar[bool] = True

    side: int | None = None
    device_bytes: int | None = None

    def check(self) -> None:
        """Raise `EngineError` when cupy or a CUDA device is missing."""
        from softlab_cli.kernels.geodesic.cuda_maps import check_device

        check_device()

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """See `Engine`: of the volume only the map that is yielded is on the host."""
        return 4 * shape[0] * shape[1] * shape[2] + DRIVER_BYTES

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """See `Engine`; as many classes at once as the device's memory takes."""
        from softlab_cli.kernels.geodesic.cuda import Rule
        from softlab_cli.kernels.geodesic.cuda_maps import DeviceMaps, block_side, open_device

        self.check()
        if not seeds:
            return
        device = open_device()
        side = self.side or block_side(image.shape[0], device.shared_bytes())
        group = self._group_size(device.free_bytes(), image, seeds, side)
        rule = Rule(cost.metric == "geodistk", cost.linear, *cost.shares)
        steps = cost.coefficients(spacing_mm)
        band = band_of(image, group, steps, cost, side)
        maps = DeviceMaps(device, image, group, steps, rule, side, band)
        out = maps.staging()
        for first in range(0, len(seeds), group):
            classes = seeds[first : first + group]
            maps.compute(classes)
            for index in range(len(classes)):
                maps.read(index, out)
                yield out

    def _group_size(
        self, free: float, image: NDArray[np.float32], seeds: Sequence[Seeds], side: int
    ) -> int:
        """How many classes the device's memory takes at once."""
        from softlab_cli.kernels.geodesic.cuda_maps import bytes_per_class

        available = free * USABLE
        if self.device_bytes is not None:
            available = min(available, self.device_bytes)
        shape: Shape = image.shape[1:]
        shared = image.nbytes + sum(places.nbytes for places in seeds) + MIB
        each = bytes_per_class(shape, side)
        if available < shared + each:
            raise EngineError(
                f"The device has {format_bytes(available)} to give, and an image of "
                f"{' x '.join(map(str, shape))} voxels needs {format_bytes(shared + each)}.",
                remedy="End what else uses the device, or take the engine 'numba'.",
            )
        return int(min(len(seeds), (available - shared) / each))


def band_of(
    image: NDArray[np.float32], classes: int, steps: NDArray[np.float32], cost: StepCost, side: int
) -> float:
    """How much farther than the nearest block others are relaxed with it.

    Parameters
    ----------
    image
        (channels, Z, Y, X).
    classes
        That are computed together.
    steps
        `StepCost.coefficients`.
    cost
        What a step costs.
    side
        Voxels along each edge of a block.
    """
    shape: Shape = image.shape[1:]
    blocks = classes * math.prod(Grid(shape, (side,) * 3, (side,) * 3).blocks)
    width = WIDE if blocks < MANY_BLOCKS else NARROW
    return width * _mean_cost(image, steps[:, 1, 1, 0], cost)


def _mean_cost(image: NDArray[np.float32], step: NDArray[np.float32], cost: StepCost) -> float:
    """About what a step along X costs; infinite where there is none, or where it is free."""
    depth, height, width = image.shape[1:]
    if width == 1:
        return math.inf
    rows = image[:, :: -(-depth // SAMPLED_ROWS), :: -(-height // SAMPLED_ROWS)]
    difference = float(np.abs(np.diff(rows, axis=-1)).mean(dtype=np.float64)) * len(image)
    a, b = map(float, step)
    if cost.linear:
        mean = a * difference + b
    else:
        share_of_length, share_of_intensity = map(float, cost.shares)
        mean = a * difference / (share_of_length * difference + share_of_intensity)
    return mean or math.inf
