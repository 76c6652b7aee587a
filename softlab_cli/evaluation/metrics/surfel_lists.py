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

__all__ = ["SurfelLists", "find_surfels"]


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


def find_surfels(
    class_indices: NDArray[Any], classes: Sequence[int], threads: int = 1
) -> SurfelLists:
    """List the surfels of several classes, in one pass that counts and one that writes.

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
    from softlab_cli.kernels.surfels import walk_surfels

    flat = class_indices.ndim == 2
    volume = class_indices[None] if flat else class_indices
    planes = 1 if flat else len(volume) + 1
    largest = int(np.iinfo(volume.dtype).max)
    blank = read_only(np.full(volume.shape[2], largest, volume.dtype))
    wanted = np.zeros(largest + 1, np.bool_)
    wanted[list(classes)] = True
    parts = min(max(threads, 1), planes)
    edges = [planes * part // parts for part in range(parts + 1)]
    places = np.zeros((parts, largest + 1), np.int64)

    def walk(part: int, surfels: Surfels) -> None:
        first, last = edges[part], edges[part + 1]
        walk_surfels(volume, blank, wanted, first, last, flat, places[part], surfels)

    def walk_all(surfels: Surfels) -> None:
        for _ in ordered_map(lambda part: walk(part, surfels), range(parts), threads):
            pass

    walk_all(_room(0))
    counts = places.copy()
    # Class by class, and in a class part by part, so that each list is in the volume's order.
    ends = counts.T.cumsum().reshape(-1, parts).T
    places[...] = ends - counts
    starts = {c: slice(int(places[0, c]), int(ends[-1, c])) for c in classes}
    surfels = _room(int(ends[-1, -1]))
    if len(surfels.codes):
        walk_all(surfels)
    return SurfelLists(starts, surfels.rows, surfels.columns, surfels.codes, volume.shape[1] + 1)


def _room(count: int) -> Surfels:
    from softlab_cli.kernels.surfels import Surfels

    return Surfels(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.uint8))
