"""Reading a store: cases by their id, patches by their region.

A `Case` parses the index of a shard once and then goes straight to the chunks
that a region touches; chunks that are absent cost nothing. Stores and cases can
be pickled (as their path) and used after a fork and from several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, clip, region_shape, shift
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.core.folders import some_of
from softlab_cli.core.places import refuse_url
from softlab_cli.core.provenance import Source
from softlab_cli.core.volume import Geometry
from softlab_cli.store.arrays import ArrayReader, corner
from softlab_cli.store.cuts import Cut, parse_classes, parse_region
from softlab_cli.store.documents import read_case_info, read_store_info
from softlab_cli.store.files import is_case_id, is_complete, list_cases
from softlab_cli.store.records import checksum_of
from softlab_cli.store.remedies import ANEW
from softlab_cli.store.schema import CaseInfo, StoreInfo
from softlab_cli.store.softening import LocalSoftener, soften_region
from softlab_cli.store.statistics import CaseStatistics

__all__ = ["Case", "MissingCaseError", "Padding", "Store", "open_arrays"]

Padding = Literal["background", "zero"]
CASES_KEPT_OPEN = 256
CASES_NAMED = 20


def open_arrays(folder: Path, case: CaseInfo, store: StoreInfo) -> dict[str, ArrayReader]:
    """The arrays of a case by name: ``label``, and ``soft`` and ``raters`` where they are kept.

    Their files are looked for, and not read.

    Parameters
    ----------
    folder
        The case's folder.
    case
        What the store keeps about the case.
    store
        What holds for all cases.

    Raises
    ------
    StoreError
        When one is missing, damaged or of another shape or type.
    """
    indices = store.classes.index_dtype
    expected = {"label": (indices, 0)}
    if not store.labels_only:
        expected["soft"] = (np.dtype("<f2"), len(store.classes))
    if store.keep_raters:
        expected["raters"] = (indices, len(case.raters))
    found = {}
    for name, (dtype, count) in expected.items():
        found[name] = ArrayReader(folder / store.array_path(name), case.arrays.get(name))
        _check_array(found[name], dtype, count, case.geometry)
    return found


def _check_array(array: ArrayReader, dtype: np.dtype[Any], count: int, geometry: Geometry) -> None:
    layout = array.layout
    found = (layout.count, layout.grid.shape, layout.ndim, layout.dtype)
    if found != (count, geometry.shape, geometry.ndim, dtype):
        raise StoreError(
            f"is {layout.dtype.name} {layout.shape} with the axes {layout.axes}; expected "
            f"{dtype.name}{f', {count} along the first axis' if count else ''} and "
            f"{geometry.describe()}.",
            remedy=ANEW,
            path=array.folder,
        )


class MissingCaseError(UsageError, StoreError, KeyError):
    """A case id that the store does not have; also a `KeyError`, as for any mapping."""


class Case:
    """One case of a store; made by ``store[case_id]``.

    Parameters
    ----------
    store
        The store that it belongs to.
    case_id
        Its name there.

    Attributes
    ----------
    path
        The case's folder.
    info
        Everything that the store keeps about the case.
    label_array, soft_array, rater_array
        Its arrays; there is no ``soft`` one in a store of hard labels only, and
        ``raters`` only where ``--keep-raters`` asked for it.
    """

    def __init__(self, store: Store, case_id: str) -> None:
        self.case_id = case_id
        self.path = store.path / case_id
        self.info: CaseInfo = read_case_info(self.path, store.info)
        self._store = store
        arrays = open_arrays(self.path, self.info, store.info)
        self.label_array = arrays["label"]
        self.soft_array = arrays.get("soft")
        self.rater_array = arrays.get("raters")

    def __reduce__(self) -> tuple[Any, ...]:
        return Case, (self._store, self.case_id)

    def __repr__(self) -> str:
        return f"<Case {self.case_id!r}, {self.geometry.describe()}>"

    @property
    def arrays(self) -> list[ArrayReader]:
        """Every array that it has."""
        every = (self.label_array, self.soft_array, self.rater_array)
        return [array for array in every if array is not None]

    @property
    def geometry(self) -> Geometry:
        """The voxel grid."""
        return self.info.geometry

    @property
    def shape(self) -> tuple[int, ...]:
        """Voxels along (Z, Y, X), or (Y, X) in 2D."""
        return self.geometry.shape[3 - self.geometry.ndim :]

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4), voxel index (x, y, z) to RAS+ millimetres."""
        return self.geometry.affine

    @property
    def spacing_mm(self) -> tuple[float, ...]:
        """Distance of voxels along (Z, Y, X), or (Y, X) in 2D."""
        return self.geometry.spacing_mm[3 - self.geometry.ndim :]

    @property
    def classes(self) -> ClassTable:
        """The store's class table."""
        return self._store.classes

    @property
    def softener(self) -> LocalSoftener | None:
        """What computes the soft labels on read; None where they are stored."""
        return self._store.compute

    @property
    def statistics(self) -> CaseStatistics | None:
        """How much of each class there is."""
        return self.info.statistics

    @property
    def sources(self) -> tuple[Source, ...]:
        """The files that the case was made from."""
        return self.info.sources

    @property
    def fingerprint(self) -> str:
        """A short text that is another one once the case was made anew with other contents.

        It is made of the recipe and of what the record says of the chunks, or of the
        sources in stores of earlier versions. Caches of loaded cases can keep it.
        """
        arrays = {name: array.to_json() for name, array in self.info.arrays.items()}
        contents = arrays or [source.to_json() for source in self.sources]
        return checksum_of({"recipe": self._store.info.recipe, "contents": contents})

    def read(
        self,
        region: Cut | None = None,
        *,
        classes: Sequence[int] | None = None,
        padding: Padding = "background",
        out: NDArray[np.float16] | None = None,
    ) -> NDArray[np.float16]:
        """Soft labels of a region.

        Parameters
        ----------
        region
            A slice along each of (Z, Y, X), or (Y, X) in 2D, in voxels and
            without steps. It may reach outside the volume: a negative start
            means voxels before the first one, and does *not* count from the end.
            None, or a slice's missing start or stop, means as far as the volume
            goes.
        classes
            Class indices, each once, in the order wanted; None for all.
        padding
            What lies outside the volume: ``background`` is 1 for the background
            class and 0 for the others, ``zero`` is 0 for all, like an ignored
            voxel. A store without a background class pads with zero.
        out
            Array to fill instead of a new one.

        Returns
        -------
        soft
            (C, z, y, x) float16, or (C, y, x) in 2D; `out` if it was given.

        Raises
        ------
        UsageError
            For a region, classes or `out` that do not fit the case.
        StoreError
            When the files are damaged, or hold hard labels only and the store
            was opened without a way to compute soft ones.
        """
        cut = parse_region(region, self.shape)
        rows = parse_classes(classes, len(self.classes))
        shape = (len(rows), *region_shape(cut)[3 - self.geometry.ndim :])
        out = _zeros(shape, np.dtype(np.float16), out)
        target = out if out.ndim == 4 else out[:, None]
        inside = clip(cut, self.geometry.shape)
        place = shift(inside, corner(cut))
        background = self.classes.background_index
        if padding == "background" and background in rows and inside != cut:
            target[rows[background]] = 1
            target[(rows[background], *place)] = 0
        if min(region_shape(inside)) > 0:
            self._fill(inside, rows, target[(slice(None), *place)])
        return out

    def read_label(
        self, region: Cut | None = None, *, padding: Padding = "background"
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Hard labels of a region, as class indices.

        Parameters
        ----------
        region
            As in `read`.
        padding
            What lies outside the volume: the ``background`` class, or the ignore
            index for ``zero`` and in a store without a background class.

        Returns
        -------
        class_indices
            (z, y, x), or (y, x) in 2D, uint8 or uint16. Voxels that are not
            labelled have `ClassTable.ignore_index`.
        """
        return self._read_indices(self.label_array, 0, region, padding)

    @property
    def raters(self) -> tuple[str, ...]:
        """Names of the raters that the case has; empty where it has one label map."""
        return self.info.raters

    def read_rater(
        self, rater: int | str, region: Cut | None = None, *, padding: Padding = "background"
    ) -> NDArray[np.unsignedinteger[Any]]:
        """Hard labels of one rater, where ``--keep-raters`` asked for them.

        Parameters
        ----------
        rater
            Number (from 0) or name, as in `raters`.
        region, padding
            As in `read_label`.

        Returns
        -------
        class_indices
            As from `read_label`.

        Raises
        ------
        StoreError
            When the store does not keep the raters' labels.
        UsageError
            When the case has no such rater.
        """
        if self.rater_array is None:
            raise StoreError(
                "does not keep the labels of each rater.",
                remedy="Make it with --keep-raters.",
                path=self._store.path,
            )
        names = self.raters
        number = names.index(rater) if rater in names else rater
        if not isinstance(number, int) or not 0 <= number < len(names):
            raise UsageError(
                f"case {self.case_id!r} has no rater {rater!r}.",
                remedy=f"It has: {', '.join(names)}.",
            )
        return self._read_indices(self.rater_array, number, region, padding)

    def _read_indices(
        self, array: ArrayReader, place: int, region: Cut | None, padding: Padding
    ) -> NDArray[np.unsignedinteger[Any]]:
        cut = parse_region(region, self.shape)
        inside = clip(cut, self.geometry.shape)
        outside = self.classes.background_index if padding == "background" else None
        found = array.read(inside, place)
        if inside != cut:
            fill = self.classes.ignore_index if outside is None else outside
            padded = np.full(region_shape(cut), fill, found.dtype)
            padded[shift(inside, corner(cut))] = found
            found = padded
        return found if self.geometry.ndim == 3 else found[0]

    def _fill(self, inside: Region, rows: Mapping[int, int], target: NDArray[Any]) -> None:
        softener = self._store.compute
        if softener is not None:
            soften_region(self.label_array, softener, self.geometry, inside, rows, target)
        elif self.soft_array is not None:
            self.soft_array.copy(inside, rows, target)
        else:
            raise StoreError(
                "holds hard labels only; soft labels are computed on read.",
                remedy="Open it with softlab_cli.open_store.",
                path=self._store.path,
            )


class Store(Mapping[str, Case]):
    """A store: a mapping of case ids to cases, sorted by id.

    Parameters
    ----------
    path
        The store's folder.
    compute
        What computes soft labels from hard ones on read; without it they are read,
        which a store of hard labels only cannot do.

    Raises
    ------
    StoreError
        When the folder is no store of softlab, or of a newer schema.
    UsageError
        For a URL.
    """

    def __init__(self, path: str | Path, compute: LocalSoftener | None = None) -> None:
        self.path = Path(path)
        refuse_url(self.path)
        self.compute = compute
        self.info: StoreInfo = read_store_info(self.path)
        self._case: Callable[[str], Case] = lru_cache(CASES_KEPT_OPEN)(self._open)

    def __reduce__(self) -> tuple[Any, ...]:
        # What is open stays in this process; the other one opens its own.
        return Store, (self.path, self.compute)

    def __repr__(self) -> str:
        return f"<Store {str(self.path)!r}, {self.info.method}, {len(self.classes)} classes>"

    @property
    def classes(self) -> ClassTable:
        """The class table."""
        return self.info.classes

    def __getitem__(self, case_id: str) -> Case:
        self.check_known([case_id])
        return self._case(case_id)

    def __contains__(self, case_id: object) -> bool:
        name = str(case_id)
        return is_case_id(name) and is_complete(self.path / name)

    def __iter__(self) -> Iterator[str]:
        return iter(list_cases(self.path))

    def __len__(self) -> int:
        return len(list_cases(self.path))

    def check_filled(self) -> None:
        """Raise `StoreError` where there is no case yet."""
        if not list_cases(self.path):
            raise StoreError("is a store without a case.", remedy="Fill it first.", path=self.path)

    def check_known(self, case_ids: Iterable[str]) -> None:
        """Raise `MissingCaseError` for the first case that the store does not have."""
        for case_id in case_ids:
            if case_id not in self:
                raise MissingCaseError(
                    f"has no case {case_id!r}.",
                    remedy=f"It has: {some_of(list(self), CASES_NAMED) or 'none'}.",
                    path=self.path,
                )

    def read_info(self, case_id: str) -> CaseInfo:
        """What the store keeps about a case, without a look at its arrays.

        Raises
        ------
        StoreError
            When there is no such case, or its metadata is damaged.
        """
        return read_case_info(self.path / case_id, self.info)

    def _open(self, case_id: str) -> Case:
        return Case(self, case_id)


def _zeros(
    shape: tuple[int, ...], dtype: np.dtype[Any], out: NDArray[np.float16] | None
) -> NDArray[np.float16]:
    if out is None:
        return np.zeros(shape, dtype)
    if out.shape != shape or out.dtype != dtype:
        raise UsageError(
            f"out is {out.dtype.name} {out.shape} and must be {dtype.name} {shape}.",
        )
    out.fill(0)
    return out
