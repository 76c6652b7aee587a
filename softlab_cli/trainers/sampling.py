"""Where patches lie: anywhere, or around a voxel of a class that is drawn first."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape
from softlab_cli.store.reader import Case, Store

__all__ = ["ClassBlocks", "PatchSampler", "region_anywhere", "region_around"]

TABLES_KEPT = 256


@dataclass(frozen=True)
class ClassBlocks:
    """How many voxels of each foreground class each block of a case has.

    Parameters
    ----------
    regions
        The case's blocks.
    blocks
        Class index to the numbers of the blocks that have it.
    voxels
        Class index to the running sum of its voxels over these blocks.
    """

    regions: tuple[Region, ...]
    blocks: dict[int, NDArray[np.int64]]
    voxels: dict[int, NDArray[np.int64]]

    @classmethod
    def of(cls, case: Case) -> ClassBlocks:
        """Count the hard label, block by block."""
        regions = tuple(case.label_array.layout.grid.regions())
        counts = np.array([_count(case, region) for region in regions])
        if case.classes.background_index is not None:
            counts[:, case.classes.background_index] = 0
        present = [int(c) for c in np.flatnonzero(counts.sum(axis=0))]
        blocks = {c: np.flatnonzero(counts[:, c]) for c in present}
        voxels = {c: np.cumsum(counts[blocks[c], c]) for c in present}
        return cls(regions, blocks, voxels)

    def draw(self, case: Case, rng: np.random.Generator) -> Shape | None:
        """A voxel of a foreground class, all classes as likely and all its voxels as likely.

        Returns
        -------
        voxel
            (z, y, x), or None in a case without foreground.
        """
        if not self.blocks:
            return None
        class_index = int(rng.choice(list(self.blocks)))
        running = self.voxels[class_index]
        number = int(rng.integers(running[-1]))
        place = int(np.searchsorted(running, number, side="right"))
        before = int(running[place - 1]) if place else 0
        region = self.regions[int(self.blocks[class_index][place])]
        labels = case.label_array.read(region)
        flat = np.flatnonzero(labels == class_index)[number - before]
        inside = np.unravel_index(int(flat), labels.shape)
        z, y, x = (s.start + int(i) for s, i in zip(region, inside, strict=True))
        return z, y, x


def _count(case: Case, region: Region) -> NDArray[np.int64]:
    labels = case.label_array.read(region)
    counts = np.bincount(labels.ravel(), minlength=len(case.classes))
    return counts[: len(case.classes)].astype(np.int64)


class PatchSampler:
    """Draws the patches of a store's cases.

    It may be pickled; the tables of the cases stay in their process.

    Parameters
    ----------
    store
        An open store.
    foreground_probability
        Share of patches that are drawn around a foreground voxel.
    """

    def __init__(self, store: Store, foreground_probability: float) -> None:
        self.store = store
        self.foreground_probability = foreground_probability
        self._table: Callable[[str], ClassBlocks] = lru_cache(TABLES_KEPT)(self._count)

    def __reduce__(self) -> tuple[Any, ...]:
        return PatchSampler, (self.store, self.foreground_probability)

    def draw(self, case: Case, patch: Shape, rng: np.random.Generator) -> Region:
        """Where the next patch of a case lies.

        Parameters
        ----------
        case
            A case of the store.
        patch
            Voxels along (Z, Y, X).
        rng
            Decides everything.

        Returns
        -------
        region
            Inside the volume along each axis where the patch fits into it; where
            it does not, the volume lies in its middle.
        """
        voxel = None
        if rng.random() < self.foreground_probability:
            voxel = self._table(case.case_id).draw(case, rng)
        if voxel is None:
            return region_anywhere(case.geometry.shape, patch, rng)
        return region_around(voxel, case.geometry.shape, patch)

    def _count(self, case_id: str) -> ClassBlocks:
        return ClassBlocks.of(self.store[case_id])


def region_anywhere(shape: Shape, patch: Shape, rng: np.random.Generator) -> Region:
    """A patch at a random place, each as likely."""
    return _at([int(rng.integers(max(n - p, 0) + 1)) for n, p in zip(shape, patch, strict=True)],
               shape, patch)  # fmt: skip


def region_around(voxel: Shape, shape: Shape, patch: Shape) -> Region:
    """The patch with a voxel in its middle, moved inside the volume where it reaches out."""
    starts = [
        min(max(v - p // 2, 0), max(n - p, 0))
        for v, n, p in zip(voxel, shape, patch, strict=True)
    ]  # fmt: skip
    return _at(starts, shape, patch)


def _at(starts: Sequence[int], shape: Shape, patch: Shape) -> Region:
    """The patch from these voxels on; larger than the volume, it is centred on it."""
    z, y, x = (
        slice(s, s + p) if p <= n else slice(-((p - n) // 2), p - (p - n) // 2)
        for s, n, p in zip(starts, shape, patch, strict=True)
    )
    return z, y, x
