"""Cases of stores as an input: their hard labels, and their soft labels class by class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import LabelMap
from softlab_cli.readers import FileProbe, KeptRater, LabelObject, LabelSource, open_label_object
from softlab_cli.readers.label_object import Description, NamedLabel
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.segments import choose
from softlab_cli.readers.soft import SoftFile
from softlab_cli.store.files import METADATA

if TYPE_CHECKING:
    from softlab_cli.store.reader import Case, Store

__all__ = ["StoredLabels", "is_store_case", "open_labels", "open_store_case"]

CHUNK_BYTES = 1 << 26
"""Chunks that are decoded on the way."""


def is_store_case(path: Path) -> bool:
    """Whether a path is the folder of a case in a store."""
    return os.path.isfile(os.path.join(path, METADATA))


def open_labels(source: LabelSource) -> LabelObject:
    """Open what holds labels: a file, files, or a case of a store; see `LabelObject`."""
    if isinstance(source, KeptRater):
        return StoredLabels(source.path, source.name)
    if isinstance(source, Path) and is_store_case(source):
        return StoredLabels(source)
    return open_label_object(source)


def open_store_case(path: Path) -> tuple[SoftFile, ClassTable]:
    """The soft labels of a case in a store, and the store's classes.

    Parameters
    ----------
    path
        The case's folder in the store.

    Raises
    ------
    InputError
        When the store holds hard labels only.
    StoreError
        When it is damaged.
    """
    store = _store(path)
    if store.info.labels_only:
        raise InputError(
            "holds hard labels only: there is no soft label to import.",
            remedy="Give the store's sources to the method that made it, without --labels-only.",
            path=path.parent,
        )
    case = store[path.name]
    voxels = prod(case.geometry.shape)
    file = SoftFile(
        path, case.geometry, np.dtype(np.float16), len(store.classes), _Classes(case).read,
        bytes_held=2 * voxels + CHUNK_BYTES,
    )  # fmt: skip
    return file, store.classes


def _store(path: Path) -> Store:
    from softlab_cli.store.reader import Store

    return Store(path.parent)


class _Classes:
    """The classes of a case, each as (Z, Y, X) float32."""

    def __init__(self, case: Case) -> None:
        self._case = case

    def read(self, index: int) -> NDArray[np.float32]:
        values = self._case.read(classes=[index]).astype(np.float32)
        return values.reshape(self._case.geometry.shape)


@dataclass(frozen=True)
class StoredLabels:
    """The hard label of a case in a store, or that of one rater, as a `LabelObject`.

    Parameters
    ----------
    path
        The case's folder in the store.
    rater
        Whose labels are meant, where the store keeps them; nothing for the hard label.
    """

    path: Path
    rater: str = ""

    @property
    def series_uids(self) -> tuple[str, ...]:
        """None: it has a grid of its own."""
        return ()

    @property
    def _classes(self) -> ClassTable:
        return _store(self.path).classes

    def describe(self) -> Description:
        """The classes of the store."""
        labels = tuple(NamedLabel(c.value, c.name) for c in self._classes.classes)
        return Description("case of a store", labels)

    def names(self, rois: Sequence[str]) -> dict[int, str]:
        """Label values and names of the classes that have a name of their own."""
        kept = self._kept(rois)
        named = {c.value: c.name for c in self._classes.classes if c.value in kept}
        return {value: name for value, name in named.items() if name != f"label_{value}"}

    def _kept(self, rois: Sequence[str]) -> list[int]:
        """Label values of the classes that count, without background."""
        others = [c for c in self._classes.classes if c.value]
        places = choose([c.name for c in others], rois, self.path, what="class")
        return [others[place].value for place in places]

    def reference(self, rois: Sequence[str]) -> None:
        """No images."""

    def probe(self, series: object) -> FileProbe:
        """The grid of the case."""
        case = _store(self.path)[self.path.name]
        dtype = case.classes.index_dtype
        voxels = prod(case.geometry.shape)
        on_read = voxels * (2 + dtype.itemsize) + CHUNK_BYTES
        return FileProbe(self.path, case.geometry, dtype, 1, 2 * voxels, on_read)

    def label_map(self, series: object, options: ReadingOptions) -> LabelMap:
        """Its label values; classes that --roi leaves out are background.

        Voxels that are not labelled have the first of the store's ignored values.

        Raises
        ------
        InputError
            When voxels are not labelled, and the store has no value for them.
        """
        case = _store(self.path)[self.path.name]
        indices = case.read_rater(self.rater) if self.rater else case.read_label()
        indices = indices.reshape(case.geometry.shape)
        marks = case.classes.ignore_values
        unlabelled = int(np.count_nonzero(indices == case.classes.ignore_index))
        if unlabelled and not marks:
            raise InputError(
                f"has {unlabelled:,} voxels that are not labelled, for which its class table has "
                "no number.",
                remedy="Give the label maps that the store was made of, with --ignore-label.",
                path=self.path,
            )
        kept = set(self._kept(options.rois))
        values = np.zeros(case.classes.ignore_index + 1, np.uint16)
        values[: len(case.classes)] = [v if v in kept else 0 for v in case.classes.values]
        values[case.classes.ignore_index] = marks[0] if unlabelled else 0
        narrow = values.astype(np.uint8) if values.max() <= np.iinfo(np.uint8).max else values
        metadata = {"format": "store", "names": self.names(options.rois)}
        return LabelMap(narrow[indices], case.geometry, (), metadata)

    def fractions(self, series: object, options: ReadingOptions, supersample: int | None) -> None:
        """None here: `open_store_case` reads them."""
