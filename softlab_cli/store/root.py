"""The root of a store: made once by whoever comes first, and cleared of what killed runs left."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from softlab_cli.core.caseid import PARTIAL_MARK
from softlab_cli.core.errors import StoreError
from softlab_cli.store.documents import read_store_info, softlab_facts, store_document
from softlab_cli.store.files import (
    METADATA,
    find_partials,
    is_abandoned,
    is_marked,
    is_partial,
    list_cases,
    partial_path,
    remove,
    sync_file,
    sync_folder,
    system_errors,
    write_json,
)
from softlab_cli.store.schema import LABEL_IMAGE, StoreInfo

__all__ = ["prepare_root", "refuse_foreign", "remove_abandoned"]

_ARRAY = f"(soft|raters|label|{LABEL_IMAGE}/0)"
OWN_FOLDER = re.compile(rf"labels|{LABEL_IMAGE}|{_ARRAY}(/c(/[0-9]+)*)?")
OWN_FILE = re.compile(
    rf"((labels|{LABEL_IMAGE}|{_ARRAY})/)?{re.escape(METADATA)}|{_ARRAY}/c([./][0-9]+)+"
)
OTHERS_NAMED = 5

LISTED_AGAIN_SECONDS = 1.0

_listed: dict[Path, tuple[float, list[Path]]] = {}
"""What is unfinished in a store, and when that was looked up."""


def prepare_root(path: Path, info: StoreInfo, *, overwrite: bool, sync: bool = True) -> StoreInfo:
    """Make a store's root unless there is one, and read it.

    Parameters
    ----------
    path
        The store's folder; parents are made.
    info
        What a new root says.
    overwrite
        Replace a root that is there already, and remove its cases.
    sync
        Wait until a new root is on the disk.

    Returns
    -------
    info
        What the root says, which may be what another process wrote.

    Raises
    ------
    StoreError
        When the path is something else than a store or cannot be written; with
        `overwrite`, also when it is a symbolic link or something else lies in the
        folder of a case.
    """
    refuse_foreign(path)
    root = path / METADATA
    with system_errors(path, "made"):
        path.mkdir(parents=True, exist_ok=True)
        if overwrite and root.exists():
            softlab_facts(root)  # refuses the root of another program
            _check_removable(path)
            _place_root(path, info, replace=True, sync=sync)
            _remove_cases(path)
        elif not root.exists():
            _place_root(path, info, replace=False, sync=sync)
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
    for partial in _unfinished(path, case_id):
        abandoned = is_abandoned(partial)
        if _is_older(partial, before) if abandoned is None else abandoned:
            remove(partial)


def _unfinished(path: Path, case_id: str) -> list[Path]:
    """What is unfinished; of one case, as it was a moment ago.

    To list a store of 50,000 cases takes longer than to write a small one. What began in that
    moment is not old enough to be removed, and what a worker of ours leaves goes in the end.
    """
    listed_at, partials = _listed.get(path, (0.0, []))
    now = time.monotonic()
    if not case_id or not listed_at or now - listed_at > LISTED_AGAIN_SECONDS:
        partials = _ours(find_partials(path))
        _listed[path] = now, partials
    return [p for p in partials if not case_id or p.name.split(PARTIAL_MARK)[0] == case_id]


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


def _place_root(path: Path, info: StoreInfo, *, replace: bool, sync: bool) -> None:
    """Write the root's metadata in one step.

    A hard link fails when the name is taken, so of several processes the first
    wins. Where the file system has no links, the last wins; all of them read the
    result back and compare.
    """
    draft = partial_path(path, METADATA)
    try:
        write_json(draft, store_document(info))
        if sync:
            sync_file(draft)
        with system_errors(path / METADATA, "written"):
            if replace or not _linked(draft, path / METADATA):
                os.replace(draft, path / METADATA)
        if sync:
            sync_folder(path)
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


def _check_removable(path: Path) -> None:
    """Raise before anything is removed that softlab did not make, or that lies elsewhere."""
    if path.is_symlink():
        raise StoreError(
            "is a symbolic link, and --overwrite removes nothing through one.",
            remedy=f"Give --out the folder that it leads to, {path.resolve()}.",
            path=path,
        )
    others = [name for case_id in _own_cases(path) for name in _others_in(path, case_id)]
    if others:
        more = f" and {len(others) - OTHERS_NAMED} more" if len(others) > OTHERS_NAMED else ""
        raise StoreError(
            "holds what softlab did not make, and --overwrite would remove it: "
            f"{', '.join(others[:OTHERS_NAMED])}{more}.",
            remedy="Move that elsewhere, or give --out a new name.",
            path=path,
        )


def _own_cases(path: Path) -> Iterator[str]:
    for case_id in list_cases(path):
        with suppress(StoreError):
            softlab_facts(path / case_id / METADATA)
            yield case_id


def _others_in(path: Path, case_id: str) -> list[str]:
    """What is no part of a case in its folder, or the folder itself where it is a link."""
    if (path / case_id).is_symlink():
        return [case_id]
    found = []
    for place, folders, files in os.walk(path / case_id):
        for name, own in [*((f, OWN_FOLDER) for f in folders), *((f, OWN_FILE) for f in files)]:
            entry = Path(place, name)
            inside = entry.relative_to(path / case_id).as_posix()
            if entry.is_symlink() or not own.fullmatch(inside):
                found.append(f"{case_id}/{inside}")
    return found


def _remove_cases(path: Path) -> None:
    """Remove all cases of a store and what is left of unfinished ones, but nothing else."""
    for case_id in list(_own_cases(path)):
        # Renamed first: a kill in between leaves a partial folder, not half a case.
        (path / case_id).rename(partial_path(path, case_id))
    for partial in _ours(find_partials(path)):
        remove(partial)


def _ours(partials: list[Path]) -> list[Path]:
    """Those that softlab named; what a user calls so is the user's."""
    return [partial for partial in partials if is_marked(partial)]


def _is_older(folder: Path, moment: float) -> bool:
    try:
        return folder.stat().st_mtime < moment
    except OSError:
        return False
