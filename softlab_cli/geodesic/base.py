"""The contract that every geodesic engine keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Shape

__all__ = ["UNREACHABLE", "Engine", "Metric", "Seeds", "StepCost"]

Metric = Literal["geodistk", "fastgeodis"]

Seeds = NDArray[np.int64]
"""(n,) places of a class's seeds in the flattened volume (C order), without repeats."""

UNREACHABLE = np.float32(np.inf)
"""Distance everywhere from a class without seeds."""


@dataclass(frozen=True)
class StepCost:
    """What one step between neighbouring voxels p and q costs.

    With the length d = ||p - q|| in mm and the difference of intensity
    i = |I_p - I_q| (L2 norm over channels for ``geodistk``, L1 for ``fastgeodis``):

    - ``geodistk``: d / ((1 - w) + w / (i + 1e-5)), the cost of GeodisTK and of the
      GeoLS repository; w = 1 gives d (i + 1e-5), w = 0 the Euclidean chamfer distance;
    - ``fastgeodis``: w i + (1 - w) d, the cost of FastGeodis.

    Parameters
    ----------
    metric
        Which of the two.
    intensity_weight
        w, the papers' lambda, from 0 to 1.
    """

    metric: Metric = "geodistk"
    intensity_weight: float = 1.0


class Engine(Protocol):
    """Computes geodesic distance over the 26-neighbourhood; cheap to make, picklable."""

    name: ClassVar[str]
    """Name on the command line."""

    deterministic: ClassVar[bool]
    """Whether two runs give the same bits."""

    def check(self) -> None:
        """Raise `EngineError`, with what to install, when the engine cannot work here."""
        ...

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """Upper bound of what `distances` holds, the distances that it yields among it.

        Parameters
        ----------
        shape
            Voxels along (Z, Y, X).
        channels
            Channels of the image.
        threads
            As for `distances`.
        """
        ...

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """Distance of every voxel to the seeds of each class.

        Parameters
        ----------
        image
            (channels, Z, Y, X) float32, finite, C-contiguous.
        seeds
            The seeds of each class.
        spacing_mm
            Of the voxels, along (Z, Y, X).
        cost
            What a step costs.
        threads
            Threads that compute; the result does not depend on it.

        Yields
        ------
        numpy.ndarray
            (Z, Y, X) float32, one for each class in the order of `seeds`, in the unit
            of the step's cost. Each is the caller's until the next one is asked for.
        """
        ...
