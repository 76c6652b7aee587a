"""The contract that every geodesic engine keeps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import InputError

__all__ = [
    "EPSILON",
    "UNREACHABLE",
    "Engine",
    "Metric",
    "Seeds",
    "StepCost",
    "step_lengths",
]

EPSILON = 1e-5
"""What GeodisTK adds to a difference of intensity, so that no step is free."""

LARGEST_SPACING_MM = 1e6
"""With it and the largest intensities, no sum of steps leaves the range of float32."""

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

    Engines that say that they converge return the same bits, because all of them
    round like this. Every operation below takes float32 and rounds its result to
    float32, to nearest, subnormal numbers kept; a product and the sum that takes it
    are two operations, never one fused multiply-add; ``/`` and ``sqrt`` are the
    correctly rounded ones. Parentheses give the order.

    - i, one channel: ``abs(I_p - I_q)``. Several: s = 0, then for c = 0, 1, ...
      ``s = s + (e * e)`` with ``e = I_p[c] - I_q[c]``, and ``i = sqrt(s)`` (geodistk);
      ``s = s + abs(e)`` and ``i = s`` (fastgeodis).
    - cost, when `linear` (fastgeodis, and geodistk with w = 0 or w = 1):
      ``(a * i) + b``, where ``a, b = coefficients(spacing_mm)[:, dz + 1, dy + 1, dx + 1]``
      for the step (dz, dy, dx).
    - cost otherwise (geodistk with 0 < w < 1): ``t = i + 1e-5``, then
      ``(a * t) / ((v * t) + w)``, where a = ``coefficients(spacing_mm)[0, ...]`` and
      v, w = `shares`; ``1e-5`` is the float32 nearest to it.
    - D_q = min over the neighbours p of ``D_p + cost(p, q)``; 0 at the seeds,
      `UNREACHABLE` where no seed leads to. Because float32 addition is monotone and
      no cost is negative, exactly one D is reached by relaxing steps, in any order,
      until none improves it.

    Parameters
    ----------
    metric
        Which of the two.
    intensity_weight
        w, the papers' lambda, from 0 to 1.
    """

    metric: Metric = "geodistk"
    intensity_weight: float = 1.0

    @property
    def linear(self) -> bool:
        """Whether a step's cost is linear in the difference of intensity."""
        return self.metric == "fastgeodis" or self.intensity_weight in (0, 1)

    @property
    def shares(self) -> tuple[np.float32, np.float32]:
        """1 - w and w, each computed in float64 and rounded to float32."""
        return np.float32(1 - self.intensity_weight), np.float32(self.intensity_weight)

    def coefficients(self, spacing_mm: tuple[float, float, float]) -> NDArray[np.float32]:
        """The numbers a and b of every step's cost.

        Computed in float64 and rounded once. Steps of equal length have equal
        coefficients for any order of the axes.

        Returns
        -------
        numpy.ndarray
            (2, 3, 3, 3) float32; a and b at [:, dz + 1, dy + 1, dx + 1].
        """
        length = step_lengths(spacing_mm)
        weight = self.intensity_weight
        if self.metric == "fastgeodis":
            a, b = np.full_like(length, weight), (1 - weight) * length
        elif weight == 0:
            a, b = np.zeros_like(length), length
        else:
            a, b = length, length * EPSILON
        return np.stack([a, b]).astype(np.float32)


def step_lengths(spacing_mm: tuple[float, float, float]) -> NDArray[np.float64]:
    """Length in mm of each step, (3, 3, 3) float64 at [dz + 1, dy + 1, dx + 1].

    Raises
    ------
    InputError
        For voxels above `LARGEST_SPACING_MM`.
    """
    if max(spacing_mm) > LARGEST_SPACING_MM:
        raise InputError(
            f"the spacing is {', '.join(f'{s:g}' for s in spacing_mm)} mm; distances through "
            f"voxels above {LARGEST_SPACING_MM:g} mm leave the range of float32.",
            remedy="Correct the spacing in the file's header.",
        )
    lengths = np.zeros((3, 3, 3))
    for step in product((-1, 0, 1), repeat=3):
        # fsum does not depend on the order of its terms, so axes can be permuted.
        squares = [(n * s) ** 2 for n, s in zip(step, spacing_mm, strict=True)]
        lengths[step[0] + 1, step[1] + 1, step[2] + 1] = math.sqrt(math.fsum(squares))
    return lengths


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
