"""How much of a reference and a prediction is the same: DSC, IoU, volumes.

All is reckoned from counts of voxels, which are whole numbers: blocks and threads give the same
bits, and the counts of cases may be added up. Voxels that the reference ignores count nowhere;
a prediction of no class counts for none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.core.threads import ordered_map
from softlab_cli.evaluation.metrics.grids import on_one_grid

__all__ = ["Confusion", "Mean", "Overlap", "class_mean", "confusion", "finite_mean"]

MOST_CLASSES = 4096
"""A table of all pairs of these takes 128 MiB."""


@dataclass(frozen=True)
class Overlap:
    """The voxels of one class of one case, or of several.

    Parameters
    ----------
    class_index
        The class.
    reference_voxels, prediction_voxels, common_voxels
        Of the class in the reference, in the prediction, and in both.
    """

    class_index: int
    reference_voxels: int
    prediction_voxels: int
    common_voxels: int

    def __add__(self, other: Overlap) -> Overlap:
        """The voxels of the class in both: pooled figures of several cases."""
        return Overlap(
            self.class_index,
            self.reference_voxels + other.reference_voxels,
            self.prediction_voxels + other.prediction_voxels,
            self.common_voxels + other.common_voxels,
        )

    @property
    def is_absent(self) -> bool:
        """Whether neither has the class; it is left out of means over classes then."""
        return self.reference_voxels == 0 == self.prediction_voxels

    @property
    def dice(self) -> float:
        """DSC: ``2 |R & P| / (|R| + |P|)``; 1 where both are empty, 0 where one is.

        Dice, 1945. nnU-Net has nan where both are empty.
        """
        total = self.reference_voxels + self.prediction_voxels
        return 2 * self.common_voxels / total if total else 1.0

    @property
    def iou(self) -> float:
        """IoU: ``|R & P| / |R | P|``; 1 where both are empty, 0 where one is. Jaccard, 1912."""
        union = self.reference_voxels + self.prediction_voxels - self.common_voxels
        return self.common_voxels / union if union else 1.0

    def reference_volume_mm3(self, voxel_mm3: float) -> float:
        """Volume of the reference, given that of a voxel (mm^2 of a picture)."""
        return self.reference_voxels * voxel_mm3

    def prediction_volume_mm3(self, voxel_mm3: float) -> float:
        """Volume of the prediction, given that of a voxel (mm^2 of a picture)."""
        return self.prediction_voxels * voxel_mm3

    def volume_difference_mm3(self, voxel_mm3: float) -> float:
        """Volume of the prediction less that of the reference."""
        return (self.prediction_voxels - self.reference_voxels) * voxel_mm3

    @property
    def relative_volume_difference(self) -> float:
        """RVD: ``(|P| - |R|) / |R|``, with sign.

        Where the reference is empty there is none: 0 where the prediction is empty as well,
        otherwise infinite, to be left out of means and counted.
        """
        difference = self.prediction_voxels - self.reference_voxels
        if self.reference_voxels:
            return difference / self.reference_voxels
        return math.inf if difference else 0.0


@dataclass(frozen=True, eq=False)
class Confusion:
    """How often each class of a reference meets each class of a prediction.

    Parameters
    ----------
    counts
        (C + 1, C + 1) int64, reference by prediction; the last of each are voxels of no class.
        Ignored voxels are not in it.
    """

    counts: NDArray[np.int64]

    def __add__(self, other: Confusion) -> Confusion:
        """Both together: of blocks, or of cases."""
        return Confusion(self.counts + other.counts)

    @property
    def class_count(self) -> int:
        """C, the number of classes."""
        return len(self.counts) - 1

    @property
    def voxels(self) -> int:
        """All that were counted."""
        return int(self.counts.sum())

    def overlap(self, class_index: int) -> Overlap:
        """The voxels of one class."""
        row, column = self.counts[class_index], self.counts[:, class_index]
        return Overlap(class_index, int(row.sum()), int(column.sum()), int(row[class_index]))


def confusion(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    class_count: int,
    *,
    ignore_index: int | None = None,
    threads: int = 1,
) -> Confusion:
    """Count all pairs of classes in one pass.

    Parameters
    ----------
    reference, prediction
        (Z, Y, X) class indices, uint8 or uint16; a picture without Z. A block of a volume, too:
        the results of blocks are added up.
    class_count
        Indices below it are classes; others are none.
    ignore_index
        Where the reference has it, nothing is counted.
    threads
        The result does not depend on it.

    Raises
    ------
    GeometryError
        The arrays have different shapes.
    UsageError
        There are more classes than `MOST_CLASSES`, or the arrays are of another type.
    """
    from softlab_cli.kernels.overlap import count_pairs

    if not 0 < class_count <= MOST_CLASSES:
        raise UsageError(
            f"a table of all pairs of {class_count} classes is not made.",
            remedy=f"Compare 1 to {MOST_CLASSES} classes.",
        )
    first, second = (a.reshape(-1) for a in on_one_grid(reference, prediction, ()))
    ignored = -1 if ignore_index is None else ignore_index
    parts = max(1, min(threads, len(first)))
    edges = [len(first) * part // parts for part in range(parts + 1)]
    tables = np.zeros((parts, class_count + 2, class_count + 1), np.int64)

    def count(part: int) -> None:
        inside = slice(edges[part], edges[part + 1])
        count_pairs(first[inside], second[inside], ignored, tables[part])

    for _ in ordered_map(count, range(parts), threads):
        pass
    return Confusion(tables.sum(axis=0)[:-1])


@dataclass(frozen=True)
class Mean:
    """A mean of figures, and what it does not tell.

    Parameters
    ----------
    value
        Mean of those that count; nan where none does.
    count
        How many count.
    left_out
        How many do not: classes that neither has, or figures that are nan or infinite.
    """

    value: float
    count: int
    left_out: int


def finite_mean(values: Iterable[float]) -> Mean:
    """The mean of those values that are finite, and how many are not."""
    every = list(values)
    kept = [v for v in every if math.isfinite(v)]
    mean = math.fsum(kept) / len(kept) if kept else math.nan
    return Mean(mean, len(kept), len(every) - len(kept))


def class_mean(overlaps: Sequence[Overlap], figure: Callable[[Overlap], float]) -> Mean:
    """The mean of a figure over the classes that one of both has.

    Classes that neither has would count as perfect, and make a mean over many classes say
    little; they are left out, and counted.

    Parameters
    ----------
    overlaps
        One for each class.
    figure
        For instance ``lambda overlap: overlap.dice``.
    """
    return finite_mean(math.nan if o.is_absent else figure(o) for o in overlaps)
