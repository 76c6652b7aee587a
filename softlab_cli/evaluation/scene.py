"""What a prediction is judged against: the raters of a case, and how they are looked at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.regions import (
    Reach,
    band,
    challenge_box,
    dilated_union,
    foreground,
    region_codes,
)
from softlab_cli.evaluation.settings import BOX, Settings

__all__ = ["Scene"]


@dataclass(frozen=True, eq=False)
class Scene:
    """The references of one case.

    Parameters
    ----------
    raters
        (R, Z, Y, X) class indices, uint8 or uint16; `ignore_index` where a rater did not label.
    names
        Of the R raters.
    classes
        Names of the C classes.
    background
        Class index of background; None where no class is.
    ignore_index
        The mark of voxels that are not labelled.
    spacing_mm
        Along (Z, Y, X).
    ndim
        2 for a picture, which has one slice.
    """

    raters: NDArray[Any]
    names: tuple[str, ...]
    classes: tuple[str, ...]
    background: int | None
    ignore_index: int
    spacing_mm: tuple[float, ...]
    ndim: int = 3

    @property
    def foreground(self) -> list[int]:
        """Indices of the classes that have overlap and surfaces: all but background."""
        return [c for c in range(len(self.classes)) if c != self.background]

    @property
    def space(self) -> tuple[float, ...]:
        """Spacing along the axes that there are, in mm."""
        return tuple(self.spacing_mm[3 - self.ndim :])

    @property
    def voxel_mm3(self) -> float:
        """Volume of a voxel; of a picture its area, mm^2."""
        return prod(self.space)

    @property
    def unit(self) -> str:
        """What volumes are given in."""
        return f"mm{self.ndim}"

    @property
    def pooled(self) -> str:
        """Who figures of all raters together are of: the one rater, or ``pooled``."""
        return self.names[0] if len(self.names) == 1 else "pooled"

    def flat(self, volume: NDArray[Any]) -> NDArray[Any]:
        """A volume (Z, Y, X) with the axes that there are."""
        return volume if self.ndim == 3 else volume[0]

    def codes(self, settings: Settings) -> tuple[tuple[str, ...], NDArray[np.uint8]]:
        """Names of the regions, and (Z, Y, X) uint8 with a bit for each that a voxel lies in."""
        wanted = settings.all_regions
        if not wanted:
            return (), np.zeros(self.raters.shape[1:], np.uint8)
        masks = {name: self._mask(name, reach) for name, reach in wanted.items()}
        return region_codes(masks)

    def _mask(self, name: str, reach: Reach | None) -> NDArray[np.bool_]:
        labels, ignored = self._with_zero_as_background()
        if name == BOX:
            return challenge_box(np.where(labels == ignored, 0, labels).astype(labels.dtype))
        if reach is None:
            return foreground(labels, ignore_index=ignored)
        grow = dilated_union if name == "union" else band

        def of_slab(slab: NDArray[Any]) -> NDArray[np.bool_]:
            return grow(slab, reach, self.spacing_mm, ignore_index=ignored)

        return _by_slabs(labels, of_slab, _slices(reach, self.spacing_mm[0]) + 1, ignored)

    def _with_zero_as_background(self) -> tuple[NDArray[Any], int]:
        if self.background == 0:
            return self.raters, self.ignore_index
        return self.raters.astype(np.uint16) + 1, self.ignore_index + 1


SLAB = 32
"""Slices that a region is looked for in together: distances take 8 bytes a voxel."""


def _by_slabs(
    labels: NDArray[Any], mask_of: Callable[[NDArray[Any]], NDArray[np.bool_]], halo: int,
    ignored: int, slab: int = SLAB,
) -> NDArray[np.bool_]:  # fmt: skip
    """(Z, Y, X) mask of (R, Z, Y, X) class indices, of which no more than a slab is in work.

    Parameters
    ----------
    labels
        Class indices; 0 is background.
    mask_of
        Makes a mask that depends on so many slices around each voxel as `halo`, and is empty
        where there is no foreground.
    ignored
        The index that is no class.
    slab
        Slices of a slab, at least; as many again may be its halo.
    """
    depth = labels.shape[1]
    found = np.zeros(labels.shape[1:], np.bool_)
    step = max(slab, 2 * halo)
    for start in range(0, depth, step):
        stop, first = min(start + step, depth), max(0, start - halo)
        part = labels[:, first : min(stop + halo, depth)]
        if foreground(part, ignore_index=ignored).any():
            found[start:stop] = mask_of(part)[start - first : stop - first]
    return found


def _slices(reach: Reach, step_mm: float) -> int:
    """Slices that a distance reaches over."""
    return reach.voxels or 0 if reach.mm is None else int(reach.mm / step_mm) + 1
