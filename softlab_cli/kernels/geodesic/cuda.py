"""The CUDA kernels of ``cuda.cu``: what they are compiled for, and what they take.

They are compiled for one size of a block, one number of channels and one kind of cost,
so that all addresses in shared memory are constants.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "KERNELS",
    "LIST_BYTES",
    "Rule",
    "Variant",
    "shared_bytes",
    "source",
    "steps_and_shares",
]

KERNELS = ("clear", "list_marked", "place_seeds", "relax_blocks")

WARP = 32
SHARED_WORDS = 28
"""Beside its cells, what a group of threads shares."""

LIST_BYTES = 8
"""Shared memory of a group of threads of `list_marked`."""


class Rule(NamedTuple):
    """How a difference of intensity becomes a cost; see `StepCost`.

    Parameters
    ----------
    euclidean
        Several channels differ by their L2 norm, else by L1.
    linear
        The cost is linear in the difference.
    spatial_share, intensity_share
        1 - w and w of the cost that is not linear.
    """

    euclidean: bool
    linear: bool
    spatial_share: np.float32
    intensity_share: np.float32


class Variant(NamedTuple):
    """What the kernels are compiled for.

    Parameters
    ----------
    side
        Voxels along each edge of a block, from 2 to 16.
    channels
        Of the image.
    euclidean, linear
        See `Rule`.
    """

    side: int
    channels: int
    euclidean: bool
    linear: bool

    @property
    def threads(self) -> int:
        """Threads of a group of `relax_blocks`: whole warps with one for each cell of a plane."""
        return -(-(self.side**2) // WARP) * WARP

    @property
    def definitions(self) -> tuple[str, ...]:
        """Options of a compiler."""
        return (
            f"-DSIDE={self.side}",
            f"-DCHANNELS={self.channels}",
            f"-DEUCLIDEAN={int(self.euclidean)}",
            f"-DLINEAR={int(self.linear)}",
        )


def shared_bytes(channels: int, side: int) -> int:
    """Shared memory of a group of threads of `relax_blocks`."""
    edge = side + 2
    plane = edge * edge + (2 if side == 16 else 0)
    return 4 * ((channels + 1) * edge * plane + SHARED_WORDS)


def steps_and_shares(steps: NDArray[np.float32], rule: Rule) -> NDArray[np.float32]:
    """(56,) float32: `StepCost.coefficients` and the rule's shares, as the kernels take them."""
    shares = np.array([rule.spatial_share, rule.intensity_share], np.float32)
    return np.concatenate([steps.ravel(), shares])


def source() -> str:
    """The text of the kernels."""
    return files("softlab_cli.kernels.geodesic").joinpath("cuda.cu").read_text(encoding="utf-8")
