"""The maps of one case, and how they become soft labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from softlab_cli.methods.geols.map_scratch import MapScratch

__all__ = ["Blend", "MapSet"]


@dataclass(frozen=True)
class Blend:
    """How maps become soft labels; see `softlab_cli.methods.geols.geols.GeoLS`.

    Parameters
    ----------
    smoothing, min_mass
        As for `GeoLS`.
    normalise
        Whether the maps of a voxel are divided by their sum.
    background_index
        The class that is no foreground, if there is one.
    """

    smoothing: float
    min_mass: float
    normalise: bool
    background_index: int | None


@dataclass(frozen=True)
class MapSet:
    """The maps of one case; a context manager, and leaving it removes its scratch.

    Parameters
    ----------
    blend
        How the maps become soft labels.
    written
        Classes that may have a soft label above 0, ascending.
    numbers
        Class index to the number of its map, for the foreground classes that have seeds.
    scratch
        Where the maps are.
    """

    blend: Blend
    written: tuple[int, ...]
    numbers: Mapping[int, int]
    scratch: MapScratch

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the scratch; nothing can be softened any more."""
        self.scratch.close()
