"""Predictions as files have them, read block by block.

A store is read by region. Other files are read class by class, so that they are copied once
into a scratch file beside the results, of which blocks can be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.api import open_store
from softlab_cli.cases import Case
from softlab_cli.core.blocks import Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import naming
from softlab_cli.core.fractions import SoftClasses
from softlab_cli.core.volume import Geometry, check_same_grid
from softlab_cli.evaluation.kinds import Kind, kind_of
from softlab_cli.evaluation.metrics.soundness import renormalised
from softlab_cli.evaluation.references import index_in_table
from softlab_cli.evaluation.spooled import Spooled
from softlab_cli.labels.fractions import open_case_fractions
from softlab_cli.labels.read import ReadingOptions, image_grid
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers.lattice import find_turn
from softlab_cli.store.reader import Case as StoredCase

__all__ = ["Prediction", "open_prediction"]


class _Member(Protocol):
    """One prediction of those that are averaged."""

    @property
    def geometry(self) -> Geometry: ...

    def read(self, region: Region) -> NDArray[Any]: ...

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None: ...

    def volume(self, class_index: int) -> NDArray[Any]: ...


@dataclass(frozen=True)
class Prediction:
    """A soft prediction, or the mean of several; `softlab_cli.evaluation.measure` reads it.

    Parameters
    ----------
    members
        One at least, on one grid.
    warnings
        What was found odd.
    """

    members: Sequence[_Member]
    warnings: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """The voxel grid."""
        return self.members[0].geometry

    @property
    def is_checked(self) -> bool:
        """Whether the sums over classes of all members have been looked at as they were read."""
        return all(isinstance(member, Spooled) for member in self.members)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self.geometry.shape

    @property
    def ndim(self) -> int:
        """2 for a picture."""
        return self.geometry.ndim

    def read(self, region: Region) -> NDArray[Any]:
        """(C, z, y, x), the caller's own."""
        return _mean([member.read(region) for member in self.members])

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None:
        """(z, y, x), where one of them says nothing; None where all say something."""
        found = [member.unlabelled(region) for member in self.members]
        there = [mask for mask in found if mask is not None]
        return np.logical_or.reduce(there) if there else None

    def volume(self, class_index: int) -> NDArray[Any]:
        """(Z, Y, X) of one class."""
        return _mean([member.volume(class_index) for member in self.members])


def _mean(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    if len(arrays) == 1:
        return arrays[0]
    total = arrays[0].astype(np.float64)
    for more in arrays[1:]:
        total += more
    return np.asarray(total / len(arrays), np.float32)


@contextmanager
def open_prediction(
    members: Sequence[Case], classes: ClassTable, reading: ReadingOptions, beside: Path
) -> Iterator[Prediction]:
    """Open a soft prediction.

    Parameters
    ----------
    members
        The same case of each fold or model.
    classes
        The class table.
    reading
        How to read.
    beside
        Folder for scratch files.

    Raises
    ------
    SoftlabError
        When a file cannot be used, or the members lie on different grids.
    """
    with ExitStack() as stack:
        opened: list[_Member] = []
        warnings: list[str] = []
        for case in members:
            path = case.label_maps[0]
            with naming(path):
                member: _Member | None = _stored(case, classes, reading)
                if member is None:
                    soft = open_case_fractions(case, None, classes, reading)
                    warnings += soft.warnings
                    folder = stack.enter_context(TemporaryDirectory(prefix=".scratch-", dir=beside))
                    member = _spooled(soft, classes, kind_of(case, reading), Path(folder))
            if opened:
                names = (members[0].label_maps[0].name, path.name)
                check_same_grid(opened[0].geometry, member.geometry, names=names, path=path)
            opened.append(member)
        yield Prediction(opened, tuple(warnings))


def _spooled(soft: SoftClasses, classes: ClassTable, kind: Kind, folder: Path) -> Spooled:
    spooled = Spooled.empty(
        soft.geometry, len(classes), np.float16 if kind == "half" else np.float32, folder
    )
    index_of = {entry.value: entry.index for entry in classes.classes}
    for value, volume in soft.classes():
        spooled.add(index_of[value], volume)
    return spooled


@dataclass(frozen=True)
class _Stored:
    """A case of a store, read by region.

    Parameters
    ----------
    case
        The case.
    rows
        For each class of the table, the store's class; -1 where it has none.
    divides
        Whether sums that are not 1 are divided.
    """

    case: StoredCase
    rows: tuple[int, ...]
    divides: bool

    @property
    def geometry(self) -> Geometry:
        return self.case.geometry

    def read(self, region: Region) -> NDArray[Any]:
        wanted = [row for row in self.rows if row >= 0]
        found = self.case.read(region[3 - self.geometry.ndim :], classes=wanted)
        shape = tuple(s.stop - s.start for s in region)
        found = found.reshape(len(wanted), *shape)
        if len(wanted) < len(self.rows):
            whole = np.zeros((len(self.rows), *shape), found.dtype)
            whole[[i for i, row in enumerate(self.rows) if row >= 0]] = found
            found = whole
        return self._divided(found, region) if self.divides else found

    def _divided(self, values: NDArray[Any], region: Region) -> NDArray[Any]:
        nothing = self.unlabelled(region)
        if nothing is not None:
            values[0, nothing] = 1
        return renormalised(values)

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None:
        labels = self.case.read_label(region[3 - self.geometry.ndim :])
        nothing: NDArray[np.bool_] = labels == self.case.classes.ignore_index
        shape = tuple(s.stop - s.start for s in region)
        return nothing.reshape(shape) if nothing.any() else None

    def volume(self, class_index: int) -> NDArray[Any]:
        z, y, x = map(int, self.geometry.shape)
        whole = (slice(0, z), slice(0, y), slice(0, x))
        if self.divides:
            found: NDArray[Any] = self.read(whole)[class_index]
            return found
        row = self.rows[class_index]
        if row < 0:
            return np.zeros((z, y, x), np.float16)
        return self.case.read(classes=[row]).reshape(z, y, x)


def _stored(case: Case, classes: ClassTable, reading: ReadingOptions) -> _Stored | None:
    """A case of a store as it is; None where it has to be turned, or classes put together."""
    path = case.label_maps[0]
    if not is_store_case(path):
        return None
    stored = open_store(path.parent)[path.name]
    grid = image_grid(case.images, reading)
    turn = None if grid is None else find_turn(stored.geometry, grid)
    turned = grid is not None and not (turn and turn.is_identity)
    if turned or reading.rois or reading.scale is not None:
        return None
    indices = index_in_table(stored.classes, classes, path)[: len(stored.classes)].tolist()
    if len(set(indices)) < len(indices) or classes.ignore_index in indices:
        return None
    rows = [indices.index(c) if c in indices else -1 for c in range(len(classes))]
    return _Stored(stored, tuple(rows), reading.sums == "normalise")
