"""Writing a store: its root once, then each case in a folder that is renamed when done.

One process writes a case. Any number of processes may write into one store at
once, also over a shared file system, as long as they write different cases.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape
from softlab_cli.core.caseid import check_case_id
from softlab_cli.core.errors import StoreError
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry
from softlab_cli.kernels.sizes import read_only
from softlab_cli.store.codec import encode_chunk, encode_constant
from softlab_cli.store.documents import case_documents, read_case_info
from softlab_cli.store.files import (
    METADATA,
    has_empty_files,
    partial_path,
    remove,
    sync_folder,
    sync_tree,
    system_errors,
    write_bytes,
)
from softlab_cli.store.layout import ArrayLayout
from softlab_cli.store.records import ArrayRecord
from softlab_cli.store.root import prepare_root, remove_abandoned
from softlab_cli.store.schema import LABEL_IMAGE, CaseInfo, StoreInfo, differences
from softlab_cli.store.shards import ShardWriter

__all__ = ["CaseWriter", "EncodedBlock", "StoreWriter"]

MOST_DIFFERENCES = 12


@dataclass(frozen=True)
class EncodedBlock:
    """Chunks of one block, ready to be appended.

    Parameters
    ----------
    array
        The array that they belong to.
    shard
        Place of the shard in the grid.
    chunks
        Number in the shard, and bytes, of each chunk that is not all 0.
    """

    array: Literal["soft", "label", "raters"]
    shard: Shape
    chunks: tuple[tuple[int, bytes], ...]


class StoreWriter:
    """A store that cases are written into; made by `create_or_open`.

    Parameters
    ----------
    path
        The store's folder.
    info
        What holds for all cases, as the folder has it.
    sync
        Wait until a case is on the disk before it gets its final name, so that a
        power cut cannot leave a complete case with empty files.
    """

    def __init__(self, path: Path, info: StoreInfo, *, sync: bool = True) -> None:
        self.path = path
        self.info = info
        self.sync = sync

    @classmethod
    def create_or_open(
        cls, path: str | Path, info: StoreInfo, *, overwrite: bool = False, sync: bool = True
    ) -> StoreWriter:
        """Create a store, or open it when it was made with the same parameters and classes.

        Safe when several processes do so at once, except with `overwrite`.

        Parameters
        ----------
        path
            The store's folder; parents are made.
        info
            Method, parameters and classes.
        overwrite
            Remove all cases of a store that is there already; nobody else may be
            writing into it.
        sync
            As for the store itself; of the root, too.

        Raises
        ------
        StoreError
            When the path is something else than a store, when the store was
            made with other parameters or classes, or when it cannot be written.
        """
        path = Path(path)
        store = cls(path, prepare_root(path, info, overwrite=overwrite, sync=sync), sync=sync)
        store.check(info)
        remove_abandoned(path)
        return store

    def check(self, info: StoreInfo) -> None:
        """Raise `StoreError` unless the store was made with these parameters and classes.

        Parameters
        ----------
        info
            What a run wants to write.
        """
        changes = differences(self.info, info)
        if changes:
            shown = [f"\n  {change}" for change in changes[:MOST_DIFFERENCES]]
            if len(changes) > len(shown):
                shown.append(f"\n  and {len(changes) - len(shown)} more")
            raise StoreError(
                f"was made with other parameters or classes:{''.join(shown)}\n",
                remedy="Add --overwrite to replace the store, or give --out a new name.",
                path=self.path,
            )

    def case(
        self, case_id: str, geometry: Geometry, raters: int = 0, grid: Grid | None = None
    ) -> CaseWriter:
        """Begin a case; use it in a ``with`` statement.

        Parameters
        ----------
        case_id
            Name of the case's folder.
        geometry
            The case's voxel grid.
        raters
            Raters whose labels are kept, in a store that does so.
        grid
            How the volume is cut; by default `Grid.for_volume`.

        Raises
        ------
        InputError
            For a case id that cannot be the name of a Zarr group.
        """
        check_case_id(case_id)
        grid = grid or Grid.for_volume(geometry.shape, geometry.ndim)
        return CaseWriter(self.path, self.info, case_id, geometry, grid, raters, sync=self.sync)

    @contextmanager
    def scratch(self, case_id: str) -> Iterator[Path]:
        """A folder for what a case needs on the way; removed in the end, or by a later run.

        Parameters
        ----------
        case_id
            The case.

        Raises
        ------
        StoreError
            When it cannot be made.
        """
        folder = partial_path(self.path, case_id)
        with system_errors(folder, "made"):
            folder.mkdir()
        try:
            yield folder
        finally:
            remove(folder)

    def completed(self, case_id: str) -> CaseInfo | None:
        """What the store keeps about a case; None when it is absent or must be computed anew.

        A case whose files are missing, empty or cut short is absent. Nothing of its
        voxels is read.
        """
        from softlab_cli.store.reader import open_arrays  # only a store that goes on needs it

        check_case_id(case_id)
        folder = self.path / case_id
        if folder.is_symlink():
            return None
        try:
            case = read_case_info(folder, self.info)
            open_arrays(folder, case, self.info)
        except StoreError:
            return None
        if not _has_groups(folder, self.info):
            return None
        return case if case.arrays or not has_empty_files(folder) else None


class CaseWriter:
    """Writes one case; made by `StoreWriter.case`.

    Encode blocks in as many threads as you like, append in one, then call
    `complete`. Leaving the ``with`` statement before that removes what was
    written.

    Attributes
    ----------
    grid
        The blocks that are expected, each once for every class.
    arrays
        Layouts of the arrays by name: ``label``, ``soft`` unless the store
        holds hard labels only, and ``raters`` where it keeps them.
    """

    def __init__(
        self,
        store: Path,
        info: StoreInfo,
        case_id: str,
        geometry: Geometry,
        grid: Grid,
        raters: int = 0,
        *,
        sync: bool = True,
    ) -> None:
        self.grid = grid
        self._sync = sync
        self._store = store
        self._info = info
        self._case_id = case_id
        self._folder = partial_path(store, case_id)
        self._started = time.time()
        self.arrays = _layouts(info, self.grid, geometry.ndim, raters)
        self._shards = {
            name: ShardWriter(self._folder / info.array_path(name), layout)
            for name, layout in self.arrays.items()
        }

    def __enter__(self) -> Self:
        try:
            with system_errors(self._folder, "made"):
                os.mkdir(self._folder)
                for name, layout in self.arrays.items():
                    folder = _make_below(self._folder, self._info.array_path(name))
                    write_bytes(os.path.join(folder, METADATA), layout.document)
        except BaseException:  # a signal as well: nobody calls `__exit__` then
            remove(self._folder)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        remove(self._folder)

    def encode(self, block: SoftBlock) -> EncodedBlock:
        """Compress the soft labels of a block; any thread may do so.

        Nothing of the block's workspace is kept. The groups of classes of one
        block may be encoded one by one, in any order.
        """
        layout = self.arrays["soft"]
        shard, inside = self.grid.locate(block.region)
        encoded = [
            (layout.slot(c, inside), encode_chunk(block.values[i]))
            for i, c in enumerate(block.class_indices)
        ]
        encoded += [
            (layout.slot(c, inside), encode_constant(float(v), layout.dtype.str, self.grid.block))
            for c, v in block.constants.items()
        ]
        return EncodedBlock("soft", shard, tuple(chunk for chunk in encoded if chunk[1]))

    def encode_label(
        self, region: Region, class_indices: NDArray[Any], rater: int | None = None
    ) -> EncodedBlock:
        """Compress the hard labels of a block; any thread may do so.

        Parameters
        ----------
        region
            The block, as `grid` has it.
        class_indices
            (Z, Y, X) class indices of the region's voxels, or the ignore index.
        rater
            Number of the rater whose labels they are; None for the case's hard label.
        """
        name: Literal["label", "raters"] = "label" if rater is None else "raters"
        layout = self.arrays[name]
        shard, inside = self.grid.locate(region)
        data = self._encode_hard(read_only(class_indices), layout.dtype)
        slot = layout.slot(rater or 0, inside)
        return EncodedBlock(name, shard, ((slot, data),) if data else ())

    def _encode_hard(self, class_indices: NDArray[Any], dtype: np.dtype[Any]) -> bytes:
        from softlab_cli.kernels.block import copy_with_halo, is_uniform

        shape, block = class_indices.shape, self.grid.block
        first = int(class_indices[0, 0, 0])
        # Beyond the volume a block is 0.
        if (first == 0 or shape == block) and is_uniform(class_indices):
            return encode_constant(first, dtype.str, block)
        whole = np.empty(block, dtype) if shape == block else np.zeros(block, dtype)
        copy_with_halo(class_indices, (0, 0, 0), shape, shape[2], whole)
        return encode_chunk(whole)

    def append(self, encoded: EncodedBlock) -> None:
        """Add an encoded block; one thread does so.

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        ValueError
            When a class was delivered twice for one block.
        """
        shards = self._shards[encoded.array]
        for slot, data in encoded.chunks:
            shards.append(encoded.shard, slot, data)

    def complete(self, case: CaseInfo) -> int:
        """Write the metadata and give the folder its final name.

        Parameters
        ----------
        case
            What the store keeps about the case, on the grid that it was begun with.

        Returns
        -------
        size
            Bytes of the case's shards.

        Raises
        ------
        StoreError
            When the disk is full or cannot be written to.
        """
        arrays = {name: self._record(name) for name in self.arrays}
        case = replace(case, arrays=arrays)
        for path, group in case_documents(self._case_id, case, self._info).items():
            write_bytes(os.path.join(self._folder, path, METADATA), group)
        if self._sync:
            sync_tree(self._folder)
        self._rename()
        if self._sync:
            sync_folder(self._store)
        remove_abandoned(self._store, self._case_id, before=self._started)
        return sum(shard.size for array in arrays.values() for shard in array.shards.values())

    def _record(self, name: str) -> ArrayRecord:
        """Finish an array's shards; what the case's record says of them."""
        return ArrayRecord(self.arrays[name].checksum, self._shards[name].close())

    def _rename(self) -> None:
        """A folder cannot replace another in one step: the old one steps aside first.

        A kill in between leaves two partial folders and no case, never half a case.
        """
        final = self._store / self._case_id
        with system_errors(final, "written"):
            if not final.exists():
                self._folder.rename(final)
                return
            old = partial_path(self._store, self._case_id)
            final.rename(old)
            try:
                self._folder.rename(final)
            except OSError:
                old.rename(final)
                raise
            remove(old)


def _make_below(folder: str | Path, path: str) -> str:
    """Make the folders of an array's path; no two arrays share any."""
    for part in path.split("/"):
        folder = os.path.join(folder, part)
        os.mkdir(folder)
    return str(folder)


def _layouts(info: StoreInfo, grid: Grid, ndim: int, raters: int) -> dict[str, ArrayLayout]:
    """The arrays of a case, by name."""
    dtype, classes = info.classes.index_dtype, len(info.classes)
    found = {"label": ArrayLayout.label(grid, ndim, dtype)}
    if not info.labels_only:
        found["soft"] = ArrayLayout.soft(grid, ndim, classes)
    if info.keep_raters:
        found["raters"] = ArrayLayout.raters(grid, ndim, dtype, raters)
    return {name: replace(one, separator=info.separator) for name, one in found.items()}


def _has_groups(folder: Path, info: StoreInfo) -> bool:
    """Whether the metadata of a case's label image are there, which we do not read ourselves."""
    if not info.has_label_image:
        return True
    groups = (folder / LABEL_IMAGE, (folder / LABEL_IMAGE).parent)
    return all((g / METADATA).is_file() and (g / METADATA).stat().st_size for g in groups)
