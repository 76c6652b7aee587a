"""Distance maps in the memory of a CUDA device, and the launches that relax them."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numba import config, cuda
from numba.core.errors import NumbaPerformanceWarning
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.errors import EngineError, PackageError
from softlab_cli.core.extras import pip_install
from softlab_cli.kernels.geodesic.cuda import (
    Rule,
    clear,
    list_marked,
    place_seeds,
    relax_blocks,
    shared_bytes,
)

__all__ = ["DeviceMaps", "block_side", "bytes_per_class", "check_device", "free_bytes"]

LAUNCH = (1024, 256)
"""Groups, and threads in a group, of the kernels whose threads stride over an array."""

LARGEST_SIDE = 16
SHARED_BYTES = 48 * 1024
"""Shared memory that every device gives a group of threads without being asked to."""

# The last launches have few blocks left to relax; that is no fault.
warnings.filterwarnings("ignore", "Grid size", NumbaPerformanceWarning)


def check_device() -> None:
    """Raise `EngineError` when no CUDA device can be used; numba's simulator counts as one."""
    if config.ENABLE_CUDASIM:
        return
    if find_spec("numba_cuda") is None:
        raise PackageError(
            "The engine 'cuda' needs the package 'numba-cuda'.", remedy=pip_install("cuda")
        )
    if not cuda.is_available():
        reason = " ".join(str(cuda.cuda_error() or "NVVM is missing").split()).rstrip(" .:")
        raise EngineError(
            f"The engine 'cuda' finds no CUDA device ({reason}).",
            remedy=f"Install NVIDIA's driver and {pip_install('cuda')}, "
            "or take the engine 'numba'.",
        )


def free_bytes() -> float:
    """Free memory of the current device; infinite on the simulator."""
    return float(cuda.current_context().get_memory_info()[0])


def block_side(channels: int) -> int:
    """Edge of the largest block that fits into shared memory with its halo."""
    side = LARGEST_SIDE
    while side > 2 and shared_bytes(channels, side) > SHARED_BYTES:
        side -= 1
    if shared_bytes(channels, side) > SHARED_BYTES:
        raise EngineError(
            f"The engine 'cuda' has no room for an image with {channels} channels.",
            remedy="Take the engine 'numba'.",
        )
    return side


def bytes_per_class(shape: Shape, side: int) -> int:
    """Device memory of one class: its distances, and its blocks marked and listed."""
    blocks = Grid(shape, (side,) * 3, (side,) * 3).blocks
    return 4 * _size(shape) + 5 * _size(blocks)


def _size(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]


class DeviceMaps:
    """Distance maps of a group of classes.

    Parameters
    ----------
    image
        (channels, Z, Y, X) float32.
    classes
        How many classes a group has at most.
    steps
        (2, 3, 3, 3) float32, `StepCost.coefficients`.
    rule
        How a difference of intensity becomes a cost.
    side
        Voxels along each edge of a block.
    """

    def __init__(
        self,
        image: NDArray[np.float32],
        classes: int,
        steps: NDArray[np.float32],
        rule: Rule,
        side: int,
    ) -> None:
        shape = image.shape[1:]
        blocks = Grid(shape, (side,) * 3, (side,) * 3).blocks
        self._image = cuda.to_device(image)
        self._steps = cuda.to_device(steps.reshape(2, 27))
        self._distances = cuda.device_array((classes, *shape), np.float32)
        self._marked = cuda.device_array((classes, *blocks), np.uint8)
        self._listed = cuda.device_array(self._marked.size, np.int32)
        self._rule = rule
        self._side = side

    def compute(self, seeds: Iterable[NDArray[np.int64]]) -> None:
        """Compute the maps of a group of classes from the seeds of each."""
        clear[LAUNCH](self._distances.ravel(), self._marked.ravel())
        for index, places in enumerate(seeds):
            if places.size:
                device_places = cuda.to_device(places)
                place_seeds[LAUNCH](
                    device_places, self._distances[index], self._marked[index], self._side
                )
        while count := self._list_marked():
            self._relax(count)

    def read(self, index: int, out: NDArray[np.float32]) -> None:
        """Copy the map of one class of the group to (Z, Y, X) float32 on the host."""
        self._distances[index].copy_to_host(out)

    def _list_marked(self) -> int:
        count = cuda.to_device(np.zeros(1, np.int32))
        list_marked[LAUNCH](self._marked.ravel(), self._listed, count)
        return int(count.copy_to_host()[0])

    def _relax(self, count: int) -> None:
        threads = (self._side, self._side)
        shared = shared_bytes(self._image.shape[0], self._side)
        relax: Any = relax_blocks[count, threads, 0, shared]
        relax(
            self._listed,
            self._image,
            self._distances,
            self._marked,
            self._steps,
            self._rule,
            self._side,
        )
