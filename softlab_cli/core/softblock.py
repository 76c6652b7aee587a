"""What a method hands to the store: soft labels of one block, and exact sums of them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region

__all__ = ["ENTROPY_UNIT", "MASS_UNIT", "SoftBlock", "SoftSums"]

MASS_UNIT = 2.0**-24
"""Smallest step of float16: every float16 in [0, 1] is a whole number of these."""

ENTROPY_UNIT = 2.0**-30
"""Step that entropies (nats) are rounded to before they are summed."""


@dataclass
class SoftSums:
    """Sums over soft labels, kept in whole numbers.

    Whole numbers add up to the same total in any order, so the statistics of a
    case do not depend on blocks, threads or workers.

    Parameters
    ----------
    mass
        (C,) int64, sum of each class's soft labels in units of `MASS_UNIT`.
    entropy
        Sum of the voxels' entropies in units of `ENTROPY_UNIT`.
    argmax_changes
        Voxels whose largest soft label is not that of their hard label.
    ties
        Voxels whose largest soft label is shared by two classes or more.
    mass_in_box
        (C,) int64, the part of `mass` inside the foreground box; None where that was
        not asked for.
    """

    mass: NDArray[np.int64]
    entropy: int = 0
    argmax_changes: int = 0
    ties: int = 0
    mass_in_box: NDArray[np.int64] | None = None

    @classmethod
    def zero(cls, class_count: int) -> SoftSums:
        """Nothing summed yet."""
        return cls(np.zeros(class_count, np.int64))

    def add(self, other: SoftSums) -> None:
        """Add another sum to this one."""
        self.mass += other.mass
        self.entropy += other.entropy
        self.argmax_changes += other.argmax_changes
        self.ties += other.ties
        if other.mass_in_box is not None:
            so_far = 0 if self.mass_in_box is None else self.mass_in_box
            self.mass_in_box = so_far + other.mass_in_box


@dataclass(frozen=True)
class SoftBlock:
    """Soft labels of one block, for the classes that have any there.

    Classes that are named neither in `class_indices` nor in `constants` are 0
    all over the block.

    Parameters
    ----------
    region
        Where the block lies in the volume.
    class_indices
        The k classes of `values`, each once.
    values
        (k, *block shape) float16, C-contiguous. The array always has the full
        shape of a block: beyond the region (at the far faces of the volume) it
        is 0. It belongs to the workspace that made it and is overwritten by the
        next block of that workspace.
    constants
        Classes with one value all over the block: class index to value.
    sums
        The block's share of the case's statistics.
    boxes
        (k, 4) int64, where each class of `values` has any: first and last z, first and last
        y, in the block. It belongs to the workspace, too. None where nobody knows.
    """

    region: Region
    class_indices: tuple[int, ...]
    values: NDArray[np.float16]
    constants: dict[int, float] = field(default_factory=dict)
    sums: SoftSums = field(default_factory=lambda: SoftSums.zero(0))
    boxes: NDArray[np.int64] | None = None
