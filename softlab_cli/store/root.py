"""The root of a store: made once by whoever comes first, and cleared of what killed runs left."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from softlab_cli.core.errors import StoreError
from softlab_cli.store.files import (
    METADATA,
    find_partials,
    is_abandoned,
    is_partial,
    list_cases,
    partial_path,
    remove,
    system_errors,
    write_json,
)
from softlab_cli.store.schema import StoreInfo, group_document, read_store_info, softlab_facts

__all__ = ["prepare_root", "refuse_foreign", "remove_abandoned"]


def prepare_root(path: Path, info: StoreInfo, *, overwrite: bool) -> StoreInfo:
    """Make a store's root unless there is one, and read it.

    Parameters
    ----------
    path
        The store's folder; parents are made.
    info
        What a new root says.
    overwrite
        Replace a root that is there already, and remove its cases.

    Returns
    -------
    info
        What the root says, which may be what another process wrote.

    Raises
    ------
    StoreError
        When the path is something else than a store or cannot be written.
    """
    refuse_foreign(path)
    root = path / METADATA
    with system_errors(path, "made"):
        path.mkdir(parents=True, exist_ok=True)
        if overwrite and root.exists():
            softlab_facts(root)  # refuses the root of another program
            _place_root(path, info, replace=True)
            _remove_cases(path)
        elif not root.exists():
            _place_root(path, info, replace=False)
    return read_store_info(path)


def remove_abandoned(path: Path, case_id: str = "", *, before: float = 0) -> None:
    """Remove what runs that were killed have left.

    Parameters
    ----------
    path
        The store's folder.
    case_id
        Only what is left of this case; empty for all.
    before
        For what another machine has left, and nobody here can say whether it is
        still in work: only what is older than this moment, in seconds since 1970.
    """
    for partial in find_partials(path, case_id):
        abandoned = is_abandoned(partial)
        if _is_older(partial, before) if abandoned is None else abandoned:
            remove(partial)


def refuse_foreign(path: Path) -> None:
    """Raise unless the path is free, empty, a store, or one that is being made just now."""
    with system_errors(path, "read"):
        if not path.exists():
            return
        if not path.is_dir():
            raise _foreign(path, "is a file, not a store.")
        names = [name for name in os.listdir(path) if not is_partial(name)]
        if names and not (path / METADATA).exists():
            raise _foreign(path, f"is a folder with other things in it ({names[0]}, ...).")


def _foreign(path: Path, problem: str) -> StoreError:
    return StoreError(problem, remedy="Give --out a new name.", path=path)


def _place_root(path: Path, info: StoreInfo, *, replace: bool) -> None:
    """Write the root's metadata in one step.

    A hard link fails when the name is taken, so of several processes the first
    wins. Where the file system has no links, the last wins; all of them read the
    result back and compare.
    """
    draft = partial_path(path, METADATA)
    try:
        write_json(draft, group_document({"softlab": info.to_json()}))
        with system_errors(path / METADATA, "written"):
            if replace or not _linked(draft, path / METADATA):
                os.replace(draft, path / METADATA)
    finally:
        remove(draft)


def _linked(draft: Path, target: Path) -> bool:
    try:
        os.link(draft, target)
    except FileExistsError:
        return True
    except OSError:
        return False
    return True


def _remove_cases(path: Path) -> None:
    """Remove all cases of a store and what is left of unfinished ones, but nothing else."""
    for case_id in list_cases(path):
        with suppress(StoreError):
            softlab_facts(path / case_id / METADATA)
            # Renamed first: a kill in between leaves a partial folder, not half a case.
            (path / case_id).rename(partial_path(path, case_id))
    for partial in find_partials(path):
        remove(partial)


def _is_older(folder: Path, moment: float) -> bool:
    try:
        return folder.stat().st_mtime < moment
    except OSError:
        return False
