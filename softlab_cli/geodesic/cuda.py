"""Engine ``cuda``: converged distances on a CUDA device, many classes at once, without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Shape
from softlab_cli.errors import EngineError
from softlab_cli.geodesic.base import Seeds, StepCost
from softlab_cli.memory import MIB, format_bytes

__all__ = ["CudaEngine"]

USABLE = 0.9
"""Share of the free device memory that is taken; allocations are rounded up."""

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
        from softlab_cli.kernels.cuda_maps import check_device

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
        from softlab_cli.kernels.cuda_maps import DeviceMaps, block_side, open_device
        from softlab_cli.kernels.geodesic_cuda import Rule

        self.check()
        if not seeds:
            return
        device = open_device()
        side = self.side or block_side(image.shape[0], device.shared_bytes())
        group = self._group_size(device.free_bytes(), image, seeds, side)
        rule = Rule(cost.metric == "geodistk", cost.linear, *cost.shares)
        maps = DeviceMaps(device, image, group, cost.coefficients(spacing_mm), rule, side)
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
        from softlab_cli.kernels.cuda_maps import bytes_per_class

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
