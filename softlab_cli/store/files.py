"""Names in a store, JSON files, and the system's errors put into words."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from softlab_cli.core.caseid import PARTIAL_MARK, check_case_id
from softlab_cli.core.errors import InputError, StoreError, UsageError
from softlab_cli.core.folders import is_folder
from softlab_cli.core.system import place_of, remedy_of
from softlab_cli.store.remedies import ANEW

__all__ = [
    "METADATA",
    "find_partials",
    "folder_bytes",
    "has_empty_files",
    "is_abandoned",
    "is_case_id",
    "is_complete",
    "is_marked",
    "is_partial",
    "json_bytes",
    "list_cases",
    "parse_json",
    "partial_path",
    "read_bytes",
    "read_json",
    "refuse_in_store",
    "remove",
    "sync_file",
    "sync_folder",
    "sync_tree",
    "system_errors",
    "write_bytes",
    "write_json",
    "written_whole",
]

METADATA = "zarr.json"


def refuse_in_store(out: str | os.PathLike[str]) -> None:
    """Raise `UsageError` where a result would lie in a store, or replace a file of it."""
    for folder in (Path(out).resolve(), *Path(out).resolve().parents):
        if (folder / METADATA).is_file():
            raise UsageError(
                f"--out {out}: lies in the store {folder}, which holds nothing but its cases.",
                remedy="Choose a place outside.",
            )


@contextmanager
def system_errors(path: str | Path, doing: str) -> Iterator[None]:
    """Turn an `OSError` into a `StoreError` with a path and a remedy.

    Parameters
    ----------
    path
        The file or folder to name where the error itself names none.
    doing
        Completes "cannot be ...", for instance ``written``.
    """
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"cannot be {doing} ({error.strerror or error}).",
            remedy=remedy_of(error, doing),
            path=place_of(error, path),
        ) from error


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Another name to write to; the file gets its own once it is whole, or nothing is left.

    Raises
    ------
    StoreError
        When the system cannot write; it names the file, and not the other name.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with system_errors(path, "written"):
        try:
            yield partial
            os.replace(partial, path)
        except OSError as error:
            if error.errno is None:
                raise
            raise OSError(error.errno, error.strerror) from error
        finally:
            partial.unlink(missing_ok=True)


def is_case_id(name: str) -> bool:
    """Whether a folder of this name can be a case."""
    try:
        check_case_id(name)
    except InputError:
        return False
    return True


def partial_path(store: Path, name: str) -> Path:
    """A new name for something unfinished, which tells the process that is at work on it."""
    mark = f"{os.getpid()}-{_machine()}{os.urandom(4).hex()}"
    return store / f"{name}{PARTIAL_MARK}{mark}"


def is_partial(name: str) -> bool:
    """Whether something of this name is unfinished."""
    return PARTIAL_MARK in name


def find_partials(store: str | Path) -> list[Path]:
    """Unfinished cases, sorted; they may be in work, or left over from a run that ended."""
    with system_errors(Path(store), "read"):
        return sorted(Path(store, entry) for entry in os.listdir(store) if is_partial(entry))


def is_marked(partial: Path) -> bool:
    """Whether an unfinished thing has a name that `partial_path` makes."""
    return _marks(partial) is not None


def is_abandoned(partial: Path) -> bool | None:
    """Whether the process that worked on a partial is dead; None when it ran elsewhere."""
    found = _marks(partial)
    if not found or found[2] != _machine() or os.name != "posix":
        return None
    return not _is_running(int(found[1]))


def _marks(partial: Path) -> re.Match[str] | None:
    """Process and machine in the name of an unfinished thing."""
    return re.fullmatch(r"(\d+)-([0-9a-f]{8})[0-9a-f]{8}", partial.name.split(PARTIAL_MARK)[1])


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state not in "ZX"  # it has ended, and its parent has not asked how


@cache
def _machine() -> str:
    """What a process id belongs to: a machine, or a container on it."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{zlib.crc32(f'{platform.node()} {space}'.encode()):08x}"


def list_cases(store: Path) -> list[str]:
    """Case ids of the complete cases, sorted."""
    with system_errors(store, "read"), os.scandir(store) as entries:
        names = [e.name for e in entries if is_folder(e) and is_case_id(e.name)]
    return sorted(n for n in names if is_complete(store / n))


def is_complete(folder: Path) -> bool:
    """Whether a folder is a complete case, or none may look: whoever opens it says so then."""
    try:
        return (folder / METADATA).is_file()
    except OSError:
        return True


def read_json(path: Path, remedy: str = ANEW) -> dict[str, Any]:
    """The object in a JSON file.

    Parameters
    ----------
    path
        The file.
    remedy
        What can be done where it holds something else.

    Raises
    ------
    StoreError
        When the file cannot be read or holds something else.
    """
    return parse_json(read_bytes(path), path, remedy)


def read_bytes(path: Path) -> bytes:
    """A file, whole.

    Raises
    ------
    StoreError
        When it cannot be read.
    """
    with system_errors(path, "read"):
        return path.read_bytes()


def parse_json(text: bytes, path: Path, remedy: str = ANEW) -> dict[str, Any]:
    """The object in a JSON text; `path` is named in errors, and `remedy` given.

    Raises
    ------
    StoreError
        When it is something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"is not JSON ({error}).", remedy=remedy, path=path) from error
    if not isinstance(content, dict):
        raise StoreError("holds no JSON object.", remedy=remedy, path=path)
    return content


def write_json(path: str | Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file; infinite and undefined numbers are refused, as JSON has none."""
    write_bytes(path, json_bytes(content))


def json_bytes(content: Mapping[str, Any]) -> bytes:
    """What `write_json` writes."""
    return json.dumps(content, allow_nan=False).encode()


def write_bytes(path: str | Path, content: bytes) -> None:
    """Write a file.

    Raises
    ------
    StoreError
        When the system cannot write it.
    """
    # Without a buffer, which such a short file takes as long to get as to be written.
    with system_errors(path, "written"), open(path, "wb", buffering=0) as file:
        while content:
            content = content[file.write(content) :]


def sync_tree(folder: Path) -> None:
    """Wait until a folder, and all that it holds, is on the disk.

    Raises
    ------
    StoreError
        When the system could not write it.
    """
    for place, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_file(f"{place}{os.sep}{name}")
        sync_folder(place)


def sync_folder(folder: str | Path) -> None:
    """Wait until the names in a folder are on the disk, where the system can say so."""
    if os.name == "posix":
        sync_file(folder)


def sync_file(path: str | Path) -> None:
    """Wait until a file is on the disk."""
    with system_errors(path, "written"):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        except OSError as error:
            # Some network file systems have no such call; they write when a file is closed.
            if error.errno not in (errno.EINVAL, errno.ENOTSUP):
                raise
        finally:
            os.close(descriptor)


def has_empty_files(folder: Path) -> bool:
    """Whether a file below a folder is empty, as after a power cut; a case has no such files."""
    return any(file.stat().st_size == 0 for file in folder.rglob("*") if file.is_file())


def remove(path: Path) -> None:
    """Remove a file or folder as far as the system lets us; ``verify`` names what stays.

    Of a symbolic link the link goes, and never what it leads to.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def folder_bytes(path: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
