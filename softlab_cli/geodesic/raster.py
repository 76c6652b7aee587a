"""The engine of parity: the distances that the GeodisTK package returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError
from softlab_cli.geodesic.aligned import aligned_empty
from softlab_cli.geodesic.base import UNREACHABLE, Seeds, StepCost
from softlab_cli.kernels.sizes import CLASS_LANES

__all__ = ["FORWARD_STEPS", "RasterEngine"]

UNREACHED = np.float32(1e10)
"""What GeodisTK starts from."""

FORWARD_STEPS = (
    (-1, -1, -1), (-1, -1, 0), (-1, -1, 1), (-1, 0, -1), (-1, 0, 0),
    (0, -1, -1), (0, -1, 0), (0, -1, 1),
    (1, -1, -1), (1, -1, 0), (1, -1, 1), (1, 0, -1),
    (0, 0, -1),
)  # fmt: skip
"""(dz, dy, dx) of the neighbours that a forward scan looks at; a backward scan looks at
the opposite ones. Of each opposite pair GeodisTK looks at one along the way in Y, then
X, then Z: also at voxels of the next slice, which the scan has not come to."""


@dataclass(frozen=True)
class RasterEngine:
    """GeodisTK's ``geodesic3d_raster_scan``, bit for bit, `CLASS_LANES` classes at once.

    Not converged: four iterations leave errors of a third of the mean distance on real
    images. For comparison with published work only.

    Parameters
    ----------
    iterations
        Of a forward and a backward scan each; the GeoLS repository uses 4.
    """

    name: ClassVar[str] = "parity"
    deterministic: ClassVar[bool] = True
    iterations: int = 4

    def check(self) -> None:
        """Do nothing: this engine needs nothing that softlab does not need."""

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """See `Engine`; it does not depend on the channels and the threads."""
        depth, height, width = shape
        bordered = (depth + 2) * (height + 2) * (width + 2)
        return 4 * (len(FORWARD_STEPS) + CLASS_LANES) * bordered + 8 * depth * height * width

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """See `Engine`; memory is the limit, so one thread does as well as more.

        Raises
        ------
        UsageError
            The metric is not ``geodistk``.
        """
        if cost.metric != "geodistk":
            raise UsageError(
                f"the engine 'parity' knows the metric geodistk only, not {cost.metric!r}.",
                remedy="Choose another engine or another metric.",
            )
        shape: Any = image.shape[1:]
        costs = _step_costs(image, spacing_mm, cost)
        distance = aligned_empty(*(n + 2 for n in shape), CLASS_LANES)
        for first in range(0, len(seeds), CLASS_LANES):
            group = seeds[first : first + CLASS_LANES]
            self._scan(distance, costs, group, shape)
            for lane, places in enumerate(group):
                found = np.ascontiguousarray(distance[1:-1, 1:-1, 1:-1, lane])
                if not len(places):
                    found[...] = UNREACHABLE
                yield found

    def _scan(
        self,
        distance: NDArray[np.float32],
        costs: NDArray[np.float32],
        seeds: Sequence[Seeds],
        shape: Shape,
    ) -> None:
        from softlab_cli.kernels.geodesic.raster import scan

        distance[...] = UNREACHED
        for lane, places in enumerate(seeds):
            z, y, x = np.unravel_index(places, shape)
            distance[z + 1, y + 1, x + 1, lane] = 0
        _, height, width, _ = distance.shape
        offsets = np.array(FORWARD_STEPS) @ np.array([height * width, width, 1])
        flat = distance.reshape(-1, CLASS_LANES)
        scan(flat, costs.reshape(len(costs), -1), offsets, shape, self.iterations)


def _step_costs(
    image: NDArray[np.float32], spacing_mm: tuple[float, float, float], cost: StepCost
) -> NDArray[np.float32]:
    """(13, Z + 2, Y + 2, X + 2) cost of each forward step; infinite out of the volume."""
    from softlab_cli.kernels.geodesic.raster import fill_step_costs

    squares = np.asarray(spacing_mm, np.float32) ** 2
    steps = np.array(FORWARD_STEPS)
    lengths = np.zeros(len(steps), np.float32)
    for axis in range(3):  # in float32, and in this order, as GeodisTK does
        lengths = np.where(steps[:, axis] != 0, lengths + squares[axis], lengths)
    costs = np.full((len(steps), *(n + 2 for n in image.shape[1:])), np.inf, np.float32)
    fill_step_costs(image, steps, np.sqrt(lengths), np.float32(cost.intensity_weight), costs)
    return costs
