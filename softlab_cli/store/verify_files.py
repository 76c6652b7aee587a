"""Check the files of a case: metadata, links, names, and what each shard says of itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.core.folders import is_folder
from softlab_cli.store.arrays import ArrayReader
from softlab_cli.store.defects import Defect
from softlab_cli.store.differing import first_difference
from softlab_cli.store.documents import group_document, group_paths
from softlab_cli.store.files import METADATA, read_json
from softlab_cli.store.reader import Case
from softlab_cli.store.remedies import ANEW, COPY
from softlab_cli.store.schema import StoreInfo
from softlab_cli.store.verify_ome import check_ome

__all__ = ["check_files", "check_group", "check_link", "check_shards", "unreadable_data"]

COPY_OF_LINK = "Put what the link leads to in its place, so that the store holds all of itself."
NO_LINK = "Remove the link: nothing is where it leads. Run the command again if a file is missing."


def check_group(case_id: str, path: Path, content: Mapping[str, Any]) -> Iterator[Defect]:
    """What makes a ``zarr.json`` the one of a group, besides its attributes.

    Parameters
    ----------
    case_id
        The case, for the defects; empty for the store.
    path
        The document.
    content
        What it holds.
    """
    kept = {k: v for k, v in content.items() if k != "consolidated_metadata"}
    expected = group_document(content.get("attributes") or {})
    if problem := first_difference(kept, expected):
        yield Defect(case_id, "metadata", f"{path}: {problem}", remedy=ANEW if case_id else COPY)


def check_link(case_id: str, path: Path, store: Path) -> Iterator[Defect]:
    """A symbolic link: a defect when what it leads to is not in the store, or not there."""
    if not path.is_symlink():
        return
    target = os.path.realpath(path)
    shown = f"{path.relative_to(store)} leads to {target}"
    if not os.path.exists(target):
        yield Defect(case_id, "symbolic link to nothing", shown, remedy=NO_LINK)
    elif Path(target).is_relative_to(os.path.realpath(store)):
        yield Defect(case_id, "symbolic link", shown, "note")
    else:
        yield Defect(case_id, "symbolic link out of the store", shown, remedy=COPY_OF_LINK)


def check_files(case: Case, store: StoreInfo, opened: set[str]) -> Iterator[Defect]:
    """Metadata of a case and its arrays, and files that belong to none of them.

    Parameters
    ----------
    case
        The case; it could be opened.
    store
        What holds for all cases.
    opened
        What zarr-python has opened of other cases; what it opens of this one is added.
    """
    path = case.path / METADATA
    document = read_json(path)
    yield from check_group(case.case_id, path, document)
    yield from check_ome(case, store, document)
    for array in case.arrays:
        yield from _check_array(case.case_id, array)
    # All that zarr-python looks at; whatever attributes a group has, it takes them as they are.
    seen = [{**document, "attributes": None}, *(array.document for array in case.arrays)]
    if (key := json.dumps(seen)) not in opened:
        defects = list(_check_with_zarr(case))
        yield from defects
        if not defects:
            opened.add(key)
    yield from _check_names(case, store)


def unreadable_data(case_id: str, error: StoreError, what: str = "unreadable data") -> Defect:
    """What a reader said of a case, as a defect with the reader's remedy."""
    return Defect(case_id, what, f"{error.path}: {error.problem}", remedy=error.remedy)


def check_shards(case: Case) -> Iterator[Defect]:
    """Read the index and the digest of every shard, and no chunk."""
    for array in case.arrays:
        for place in product(*map(range, array.layout.grid.shards)):
            z, y, x = place
            try:
                array.shard((z, y, x))
            except StoreError as error:
                yield unreadable_data(case.case_id, error)


def _check_array(case_id: str, array: ArrayReader) -> Iterator[Defect]:
    """Others heed more of an array's metadata than we do; where we wrote it, we know all of it."""
    if array.record is None:
        return
    path = array.folder / METADATA
    if problem := first_difference(array.document, array.layout.to_json()):
        yield Defect(case_id, "metadata", f"{path}: {problem}")


def _check_with_zarr(case: Case) -> Iterator[Defect]:
    """Others must be able to open what we read directly."""
    import zarr

    group: Any = None
    for array in case.arrays:
        name, layout = array.path_in(case.path), array.layout
        try:
            if group is None:
                group = zarr.open_group(case.path, mode="r")
            opened = group[name]
        # Whatever zarr-python raises, it means that it cannot open the array.
        except Exception as error:
            yield Defect(case.case_id, "zarr-python", f"cannot open {name}: {error}")
            continue
        seen = getattr(opened, "shape", None), getattr(opened, "dtype", None)
        if seen != (layout.shape, layout.dtype):
            expected = f"{layout.dtype} {layout.shape}"
            yield Defect(case.case_id, "zarr-python", f"sees {name} as {seen}, not {expected}")


def _check_names(case: Case, store: StoreInfo) -> Iterator[Defect]:
    """Links, and files that belong to no array and no group."""
    expected = {f"{path}/{METADATA}".lstrip("/") for path in group_paths(store)}
    for array in case.arrays:
        name, layout = array.path_in(case.path), array.layout
        expected |= {f"{name}/{METADATA}", *(f"{name}/{key}" for key in layout.shard_paths())}
    unknown = []
    for name, entry in _entries_below(str(case.path)):
        if entry.is_symlink():
            yield from check_link(case.case_id, Path(entry.path), case.path.parent)
        if name not in expected and not is_folder(entry):
            unknown.append(name)
    for name in sorted(unknown):
        yield Defect(case.case_id, "unknown file", name, "note")


def _entries_below(folder: str, inside: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies below a folder, by its path there with ``/``; links lead no further.

    As `os.walk`, and what an entry is does not have to be asked of the system again.
    """
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            yield inside + entry.name, entry
            if entry.is_dir(follow_symlinks=False):
                yield from _entries_below(entry.path, f"{inside}{entry.name}/")
