"""How many labelled voxels a label map loses on its way to another grid, by label value.

A labelled voxel is one whose value is not 0. What falls off the grid is counted in voxels
of the file; a label that no voxel of the new grid has is lost whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.volume import Geometry, LabelMap, corner_voxels

__all__ = ["LostLabels", "lost_by_cutting", "lost_outside"]

SHARE_WORTH_SAYING = 1e-4
"""Of a label's voxels; less is the rim of a region at the edge of the scan."""

NAMED_AT_MOST = 10


@dataclass(frozen=True)
class LostLabels:
    """Labelled voxels that were lost.

    Parameters
    ----------
    before
        Voxels of each label value before, 0 left out.
    lost
        How many of them are lost; all where nothing of the label is left.
    names
        Names of label values, where the file has names.
    """

    before: Mapping[int, int]
    lost: Mapping[int, int]
    names: Mapping[int, str]

    @property
    def labelled(self) -> int:
        """Labelled voxels before."""
        return sum(self.before.values())

    @property
    def is_everything(self) -> bool:
        """Whether there were labelled voxels, and none is left."""
        return 0 < self.labelled == sum(self.lost.values())

    @property
    def is_worth_saying(self) -> bool:
        """Whether any label lost more than the rim of a region."""
        return any(n > SHARE_WORTH_SAYING * self.before[v] for v, n in self.lost.items())

    def describe(self) -> str:
        """How many of all were lost, and of each label that lost some."""
        total = sum(self.lost.values())
        if not total:
            return "no labelled voxel was lost"
        worst = sorted(self.lost, key=lambda v: -self.lost[v] / self.before[v])
        parts = [self._of_label(v) for v in worst if self.lost[v]]
        more = f", and {len(parts) - NAMED_AT_MOST} more" if len(parts) > NAMED_AT_MOST else ""
        each = ", ".join(parts[:NAMED_AT_MOST]) + more
        share = 100 * total / self.labelled
        return f"{total} of {self.labelled} labelled voxels ({share:.3g} %) were lost ({each})"

    def _of_label(self, value: int) -> str:
        name = self.names.get(value, f"label {value}")
        lost, before = self.lost[value], self.before[value]
        return f"{name}: {lost} of {before}, {100 * lost / before:.3g} %"


def lost_by_cutting(label_map: LabelMap, kept: NDArray[Any]) -> LostLabels:
    """What is lost where voxels are moved and cut, but none is changed.

    Parameters
    ----------
    label_map
        Before.
    kept
        (Z, Y, X) label values after.
    """
    before, after = _counts(label_map.values), _counts(kept)
    lost = {value: n - after.get(value, 0) for value, n in before.items()}
    return LostLabels(before, lost, label_map.metadata.get("names", {}))


def lost_outside(
    label_map: LabelMap,
    target: Geometry,
    matrix: NDArray[np.float64],
    resampled: NDArray[Any] | None = None,
) -> LostLabels:
    """What is lost where a label map is resampled.

    Parameters
    ----------
    label_map
        Before.
    target
        The grid.
    matrix
        (3, 4) voxel (x, y, z) of the target to voxel of the label map.
    resampled
        (Z, Y, X) label values after, where they are known.
    """
    before = _counts(label_map.values)
    lost = _outside(label_map, target, matrix)
    if resampled is not None:
        left = _counts(resampled)
        lost |= {value: n for value, n in before.items() if value not in left}
    return LostLabels(before, lost, label_map.metadata.get("names", {}))


def _outside(label_map: LabelMap, target: Geometry, matrix: NDArray[np.float64]) -> dict[int, int]:
    """Labelled voxels whose centre lies outside the grid, plane by plane."""
    back = np.linalg.inv(np.vstack([matrix, [0.0, 0.0, 0.0, 1.0]]))[:3]
    edge = np.array(target.shape[::-1])[:, None] - 0.5
    ends = back @ corner_voxels(label_map.geometry.shape)
    if ((ends >= -0.5) & (ends < edge)).all():
        return {}
    lost: dict[int, int] = {}
    for z, plane in enumerate(label_map.values):
        y, x = np.nonzero(plane)
        places = back[:, :2] @ np.stack([x, y]) + (back[:, 2] * z + back[:, 3])[:, None]
        out = ((places < -0.5) | (places >= edge)).any(axis=0)
        for value, n in _counts(plane[y[out], x[out]]).items():
            lost[value] = lost.get(value, 0) + n
    return lost


def _counts(values: NDArray[Any]) -> dict[int, int]:
    """Voxels of each label value but 0."""
    if values.dtype in (np.uint8, np.uint16):
        from softlab_cli.kernels.labels import count_values

        counts = np.zeros(1 << 8 * values.itemsize, np.int64)
        count_values(np.ascontiguousarray(values).reshape(-1), counts)
        return {int(v): int(counts[v]) for v in np.flatnonzero(counts) if v}
    found = np.unique(values, return_counts=True)
    return {int(v): int(n) for v, n in zip(*found, strict=True) if v}
