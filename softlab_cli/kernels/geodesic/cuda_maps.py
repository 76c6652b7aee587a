"""Distance maps in the memory of a CUDA device, and the launches that relax them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.errors import EngineError
from softlab_cli.kernels.geodesic.cuda import Rule, Variant, shared_bytes, steps_and_shares
from softlab_cli.kernels.geodesic.cuda_device import CupyDevice, Device, check_device

__all__ = ["DeviceMaps", "block_side", "bytes_per_class", "check_device", "open_device"]

LAUNCH = (1024, 256)
"""Groups, and threads in a group, of the kernels whose threads stride over an array."""

LARGEST_SIDE = 16


def open_device() -> Device:
    """The device that is computed on."""
    return CupyDevice()


def block_side(channels: int, available: int) -> int:
    """Edge of the largest block that fits into shared memory with its halo."""
    side = LARGEST_SIDE
    while side > 2 and shared_bytes(channels, side) > available:
        side -= 1
    if shared_bytes(channels, side) > available:
        raise EngineError(
            f"The engine 'cuda' has no room for an image with {channels} channels.",
            remedy="Take the engine 'numba'.",
        )
    return side


def bytes_per_class(shape: Shape, side: int) -> int:
    """Device memory of one class: its distances, and its blocks marked and listed."""
    blocks = Grid(shape, (side,) * 3, (side,) * 3).blocks
    return 4 * _size(shape) + 16 * _size(blocks)


def _size(shape: Shape) -> int:
    return shape[0] * shape[1] * shape[2]


class DeviceMaps:
    """Distance maps of a group of classes.

    Parameters
    ----------
    device
        Where they are.
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
    band
        How much farther than the nearest marked block others are relaxed with it; only
        the speed depends on it.

    Attributes
    ----------
    launches, blocks_relaxed
        What was done so far.
    """

    def __init__(
        self,
        device: Device,
        image: NDArray[np.float32],
        classes: int,
        steps: NDArray[np.float32],
        rule: Rule,
        side: int,
        band: float = math.inf,
    ) -> None:
        shape: Shape = image.shape[1:]
        blocks = Grid(shape, (side,) * 3, (side,) * 3).blocks
        self._variant = Variant(side, len(image), rule.euclidean, rule.linear)
        self.launches = self.blocks_relaxed = 0
        self._device = device
        self._band = np.float32(band)
        self._shape = tuple(map(np.int32, shape))
        device.compile(self._variant)
        self._image = device.put(image)
        self._steps = device.put(steps_and_shares(steps, rule))
        self._distances = device.empty((classes, *shape), np.float32)
        self._sides = device.empty((classes, _size(blocks)), np.uint32)
        self._keys = device.empty(self._sides.shape, np.uint32)
        self._listed = device.empty((self._sides.size, 2), np.int32)
        self._count = device.empty((1,), np.int32)
        self._counted = device.staging((1,), np.int32)

    def compute(self, seeds: Sequence[NDArray[np.int64]]) -> None:
        """Compute the maps of a group of classes from the seeds of each."""
        distances = self._distances[: len(seeds)]
        self._device.zero(self._sides)
        self._launch("clear", self._keys, np.int64(self._keys.size))
        self._launch("clear", distances, np.int64(distances.size))
        self._place_seeds(seeds)
        while count := self._list_marked(len(seeds)):
            self._relax(count)

    def staging(self) -> NDArray[np.float32]:
        """(Z, Y, X) float32 on the host, for `read`."""
        return self._device.staging(self._distances.shape[1:], np.float32)

    def read(self, index: int, out: NDArray[np.float32]) -> None:
        """Copy the map of one class of the group to (Z, Y, X) float32 on the host."""
        self._device.get(self._distances[index], out)

    def _launch(self, name: str, *arguments: Any) -> None:
        self._device.launch(name, *LAUNCH, *arguments)

    def _place_seeds(self, seeds: Sequence[NDArray[np.int64]]) -> None:
        """All are copied at once: taking memory and giving it back waits for the device."""
        held = self._device.put(np.concatenate(seeds))
        stop = 0
        for index, places in enumerate(seeds):
            first, stop = stop, stop + places.size
            if places.size:
                into = self._distances[index], self._sides[index], self._keys[index]
                size = np.int64(places.size)
                self._launch("place_seeds", held[first:stop], size, *into, *self._shape)

    def _list_marked(self, classes: int) -> int:
        """List marked blocks of the first classes; returns how many, 0 when there are none."""
        self._device.zero(self._count)
        listed = self._sides, self._keys, self._band, self._listed, self._count
        self._device.launch("list_marked", classes, LAUNCH[1], *listed, *self._shape)
        self._device.get(self._count, self._counted)
        return int(self._counted[0])

    def _relax(self, count: int) -> None:
        arrays = self._listed, self._image, self._distances, self._sides, self._keys, self._steps
        threads = self._variant.threads
        self._device.launch("relax_blocks", count, threads, *arrays, *self._shape)
        self.launches += 1
        self.blocks_relaxed += count
