"""Check a store: metadata, files, voxels, statistics, sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from softlab_cli.core.errors import StoreError
from softlab_cli.core.events import Listener, StageStarted, StageStepped, ignore
from softlab_cli.core.provenance import Source, sha256_of
from softlab_cli.store.arrays import ArrayReader
from softlab_cli.store.defects import Defect
from softlab_cli.store.files import METADATA, is_partial, list_cases, read_json, system_errors
from softlab_cli.store.ngff import ngff_problems
from softlab_cli.store.reader import Case, Store
from softlab_cli.store.verify_data import check_raters, check_voxels

__all__ = ["Defect", "verify_store"]

UNFINISHED = "in work, or left by a run that was killed; the same command completes it"


def verify_store(
    path: str | Path,
    *,
    cases: Sequence[str] | None = None,
    check_sources: bool = True,
    listen: Listener | None = None,
) -> list[Defect]:
    """Look for everything that could be wrong with a store.

    Memory is that of a few blocks, however large the cases are.

    Parameters
    ----------
    path
        The store's folder.
    cases
        Case ids to check; None for all, and for the store's own files.
    check_sources
        Compare the files that the cases were made from with their checksums,
        where they are at hand.
    listen
        Is told of each case that was checked.

    Returns
    -------
    defects
        What was found; the store is sound when none has severity ``defect``.

    Raises
    ------
    StoreError
        When the folder is no store of softlab at all.
    MissingCaseError
        For a case id that the store does not have.
    """
    store = Store(path)
    found = [] if cases is not None else list(_check_root(store))
    wanted = list(store) if cases is None else list(cases)
    tell = listen or ignore
    tell(StageStarted("verify", len(wanted)))
    for case_id in wanted:
        found += _check_case(store, case_id, check_sources)
        tell(StageStepped("verify", case_id))
    return found


def _check_root(store: Store) -> Iterator[Defect]:
    """Files and folders of the root that are not cases."""
    known = {*list_cases(store.path), METADATA}
    with system_errors(store.path, "read"):
        others = sorted(set(os.listdir(store.path)) - known)
    for name in others:
        if is_partial(name):
            yield Defect("", "unfinished case", f"{name}: {UNFINISHED}", "note")
        elif (store.path / name).is_dir():
            yield Defect("", "folder that is no case", f"{name} has no {METADATA}")
        else:
            yield Defect("", "unknown file", name, "note")


def _check_case(store: Store, case_id: str, check_sources: bool) -> Iterator[Defect]:
    try:
        case = store[case_id]
    except StoreError as error:
        if case_id not in store:
            raise
        yield Defect(case_id, "metadata", f"{error.path}: {error.problem}")
        return
    yield from _check_ngff(case)
    yield from _check_with_zarr(case)
    yield from _check_files(case)
    yield from check_voxels(
        case_id,
        case.label_array,
        case.soft_array,
        case.statistics,
        len(store.classes),
        store.classes.ignore_index,
        sums_to_one=store.info.sums_to_one,
    )
    if case.rater_array is not None:
        classes = store.classes
        yield from check_raters(case_id, case.rater_array, len(classes), classes.ignore_index)
    if case.statistics is None:
        yield Defect(case_id, "metadata", "has no statistics", "note")
    for source in case.sources if check_sources else ():
        yield from _check_source(case_id, source)


def _arrays(case: Case) -> list[ArrayReader]:
    every = (case.label_array, case.soft_array, case.rater_array)
    return [array for array in every if array is not None]


def _check_ngff(case: Case) -> Iterator[Defect]:
    ome = read_json(case.path / METADATA)["attributes"].get("ome")
    dimensions = {array.folder.name: array.layout.axes for array in _arrays(case)}
    for problem in ngff_problems(ome, dimensions):
        yield Defect(case.case_id, "OME-NGFF 0.5", problem)


def _check_with_zarr(case: Case) -> Iterator[Defect]:
    """Others must be able to open what we read directly."""
    import zarr

    for array in _arrays(case):
        name, layout = array.folder.name, array.layout
        try:
            opened = zarr.open_group(case.path, mode="r")[name]
        # Whatever zarr-python raises, it means that it cannot open the array.
        except Exception as error:
            yield Defect(case.case_id, "zarr-python", f"cannot open {name}: {error}")
            continue
        seen = getattr(opened, "shape", None), getattr(opened, "dtype", None)
        if seen != (layout.shape, layout.dtype):
            expected = f"{layout.dtype} {layout.shape}"
            yield Defect(case.case_id, "zarr-python", f"sees {name} as {seen}, not {expected}")


def _check_files(case: Case) -> Iterator[Defect]:
    """Files that belong to no array."""
    expected = {METADATA}
    for array in _arrays(case):
        name, layout = array.folder.name, array.layout
        expected |= {f"{name}/{METADATA}", *(f"{name}/{key}" for key in layout.shard_paths())}
    present = {
        file.relative_to(case.path).as_posix() for file in case.path.rglob("*") if file.is_file()
    }
    for name in sorted(present - expected):
        yield Defect(case.case_id, "unknown file", name, "note")


def _check_source(case_id: str, source: Source) -> Iterator[Defect]:
    path = Path(source.path)
    try:
        found = sha256_of(path)
    except OSError:
        yield Defect(case_id, "source not at hand", str(path), "note")
        return
    if found != source.sha256:
        detail = f"{path} has sha256 {found} and had {source.sha256}"
        yield Defect(case_id, "source has changed", detail)
