"""The surfels of all classes of a label map, listed class by class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.threads import ordered_map
from softlab_cli.evaluation.metrics.distances import PointSet
from softlab_cli.kernels.sizes import read_only

if TYPE_CHECKING:
    from softlab_cli.kernels.surfels import Surfels

__all__ = ["SurfelFinder", "SurfelLists"]


@dataclass(frozen=True)
class SurfelLists:
    """Where the surfaces of some classes pass; 9 bytes a surfel.

    Parameters
    ----------
    starts
        Class index to its first surfel, and the end of the last class.
    rows, columns, all_codes
        As in `softlab_cli.kernels.surfels.Surfels`.
    row_length
        Rows of corners in a plane of corners.
    """

    starts: dict[int, slice]
    rows: NDArray[np.int32]
    columns: NDArray[np.int32]
    all_codes: NDArray[np.uint8]
    row_length: int

    def points(self, class_index: int) -> PointSet:
        """The corners on the surface of a class."""
        part = self.starts[class_index]
        return PointSet(self.rows[part], self.columns[part], self.row_length)

    def codes(self, class_index: int) -> NDArray[np.uint8]:
        """The code of each of these corners."""
        return self.all_codes[self.starts[class_index]]


class SurfelFinder:
    """Counts the surfels of classes in one pass, and lists those of some of them in another.

    Parameters
    ----------
    class_indices
        (Z, Y, X) uint8 or uint16, read-only and contiguous; (Y, X) of a picture. The largest
        index of the type is no class.
    classes
        The classes that are wanted.
    threads
        Each does some planes; the result does not depend on it.
    """

    def __init__(
        self, class_indices: NDArray[Any], classes: Sequence[int], threads: int = 1
    ) -> None:
        self._flat = class_indices.ndim == 2
        self._volume = class_indices[None] if self._flat else class_indices
        planes = 1 if self._flat else len(self._volume) + 1
        largest = int(np.iinfo(self._volume.dtype).max)
        self._blank = read_only(np.full(self._volume.shape[2], largest, self._volume.dtype))
        self._threads = threads
        parts = min(max(threads, 1), planes)
        self._edges = [planes * part // parts for part in range(parts + 1)]
        self._counts = np.zeros((parts, largest + 1), np.int64)
        self._walk(classes, self._counts, _room(0))

    def _walk(self, classes: Sequence[int], places: NDArray[np.int64], surfels: Surfels) -> None:
        from softlab_cli.kernels.surfels import walk_surfels

        wanted = np.zeros(places.shape[1], np.bool_)
        wanted[list(classes)] = True

        def walk(part: int) -> None:
            first, last = self._edges[part], self._edges[part + 1]
            walk_surfels(
                self._volume, self._blank, wanted, first, last, self._flat, places[part], surfels
            )

        for _ in ordered_map(walk, range(len(places)), self._threads):
            pass

    def count(self, class_index: int) -> int:
        """How many surfels a class has."""
        return int(self._counts[:, class_index].sum())

    def lists(self, classes: Sequence[int]) -> SurfelLists:
        """The surfels of some of the classes; 9 bytes for each, and another pass."""
        counts = np.zeros_like(self._counts)
        counts[:, list(classes)] = self._counts[:, list(classes)]
        # Class by class, and in a class part by part, so that each list is in the volume's order.
        ends = counts.T.cumsum().reshape(-1, len(counts)).T
        places = ends - counts
        starts = {c: slice(int(places[0, c]), int(ends[-1, c])) for c in classes}
        surfels = _room(int(ends[-1, -1]))
        if len(surfels.codes):
            self._walk(classes, places, surfels)
        rows = self._volume.shape[1] + 1
        return SurfelLists(starts, surfels.rows, surfels.columns, surfels.codes, rows)


def _room(count: int) -> Surfels:
    from softlab_cli.kernels.surfels import Surfels

    return Surfels(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint8))
