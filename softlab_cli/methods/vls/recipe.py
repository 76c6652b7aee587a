"""What a model is trained with: all that its weights depend on beside its cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, Literal, Self

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import UsageError

__all__ = ["LEVELS", "Device", "Recipe", "Sizes", "checked_patch", "default_sizes"]

LEVELS = 4
"""Resolutions of a network; each halves the one before."""

STEP = 2 ** (LEVELS - 1)
"""What the sides of a patch are multiples of."""

SMALLEST = 2 * STEP
"""Side of the smallest patch: at the lowest resolution a mean needs two voxels."""

Device = Literal["cpu", "cuda"]


@dataclass(frozen=True)
class Sizes:
    """How large networks and batches are, where nobody says it.

    Parameters
    ----------
    width
        Channels of the first level.
    patch
        Voxels along each side.
    batch
        Patches of a step.
    steps
        Steps of a fold.
    """

    width: int
    patch: int
    batch: int
    steps: int


SIZES: dict[tuple[str, int], Sizes] = {
    ("cpu", 2): Sizes(16, 64, 16, 1500),
    ("cpu", 3): Sizes(8, 48, 2, 1500),
    ("cuda", 2): Sizes(32, 128, 32, 5000),
    ("cuda", 3): Sizes(32, 96, 2, 5000),
}


def default_sizes(device: str, dims: int) -> Sizes:
    """What is trained on a device (``cpu``, ``cuda``) in slices (2) or in space (3)."""
    return SIZES[device, dims]


def checked_patch(patch: tuple[int, ...], dims: int) -> tuple[int, ...]:
    """A patch's sides along (Z, Y, X) or (Y, X), of one number or one for each axis.

    Raises
    ------
    UsageError
        Unless they are multiples of `STEP` from `SMALLEST` on.
    """
    sides = patch * dims if len(patch) == 1 else patch
    if len(sides) != dims or any(side < SMALLEST or side % STEP for side in sides):
        raise UsageError(
            f"a patch of {' x '.join(map(str, patch))} does not fit a network of {LEVELS} levels "
            f"in {dims}D.",
            remedy=f"Choose one number, or {dims}: multiples of {STEP} from {SMALLEST} on.",
        )
    return sides


@dataclass(frozen=True)
class Recipe:
    """What a model is trained with.

    Parameters
    ----------
    engine
        ``vls`` or ``crossfit``; see `softlab_cli.methods.vls.vls.VLS`.
    parity
        ``poster``, or None.
    dims
        2 where patches are slices, 3 where they are cubes.
    patch
        Voxels along (Y, X) or (Z, Y, X).
    width
        Channels of the first level.
    batch
        Patches of a step.
    steps
        Steps of each fold.
    latent
        Dimensions of z.
    image_weight
        Weight of the image in the loss.
    kl_weight
        Weight of the divergence in the loss, when it has risen; 1 is the paper's.
    folds
        Number of folds.
    seed
        What all draws begin with.
    device
        Where it is trained: on ``cpu`` in float32, on ``cuda`` in bfloat16.
    class_count
        Classes of the table.
    channels
        Channels of the images.
    spacing_mm
        Distance of voxels along (Z, Y, X): the cases' median.
    """

    engine: str
    parity: str | None
    dims: int
    patch: tuple[int, ...]
    width: int
    batch: int
    steps: int
    latent: int
    image_weight: float
    kl_weight: float
    folds: int
    seed: int
    device: str
    class_count: int
    channels: int
    spacing_mm: tuple[float, float, float]

    @property
    def has_latent(self) -> bool:
        """Whether there is a z."""
        return self.engine == "vls"

    @property
    def has_image_head(self) -> bool:
        """Whether there are features of the image, which alone can tell classes."""
        return self.parity is None

    @property
    def block(self) -> Shape:
        """Voxels of a patch along (Z, Y, X)."""
        z, y, x = (1, *self.patch) if self.dims == 2 else self.patch
        return z, y, x

    @property
    def patch_voxels(self) -> int:
        """Voxels of a patch."""
        return prod(self.patch)

    def to_json(self) -> dict[str, Any]:
        """The recipe as a model keeps it."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """The recipe that `to_json` wrote."""
        z, y, x = facts["spacing_mm"]
        return cls(**{**facts, "patch": tuple(facts["patch"]), "spacing_mm": (z, y, x)})
