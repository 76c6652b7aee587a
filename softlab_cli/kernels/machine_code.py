"""Where compiled kernels are kept, so that the next run need not compile them.

Numba keeps them in NUMBA_CACHE_DIR, beside the package, or in the user's home. In a
container, or for a user without a home, it may be allowed to write to none of
these; a folder for temporary files does then, or nothing.
"""

from __future__ import annotations

import hashlib
import logging
import multiprocessing
import os
import stat
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba

__all__ = ["keep_machine_code"]

log = logging.getLogger(__name__)

_kept = True


def keep_machine_code(compiled: Any) -> None:
    """Keep the machine code of a compiled function, if there is any place for it."""
    global _kept
    if not _kept or _is_kept(compiled):
        return
    folder = _temporary_folder()
    if folder is not None:
        os.environ["NUMBA_CACHE_DIR"] = numba.config.CACHE_DIR = str(folder)  # for workers as well
        if _is_kept(compiled):
            log.warning("%s", _note(f"in {folder}"))
            return
    _kept = False
    if multiprocessing.parent_process() is None:  # a worker's parent has said so
        log.warning("%s", _note("nowhere, so that every run compiles for a while"))


def _is_kept(compiled: Any) -> bool:
    try:
        compiled.enable_caching()
    except RuntimeError:
        return False
    _watch_all(compiled._cache)
    _forgive(compiled._cache)
    return True


def _watch_all(cache: Any) -> None:
    """Compile anew once any kernel's source is another one.

    Numba looks at the file of the function itself, and not at those that it calls: after an
    update of those alone it would go on with what they were.
    """
    with suppress(AttributeError):
        index = cache._cache_file
        index._source_stamp = (index._source_stamp, stamp_of(str(Path(__file__).parent)))


@lru_cache(maxsize=1)
def stamp_of(folder: str) -> str:
    """A short text that is another one once a source in a folder has changed."""
    facts = []
    for path in sorted(Path(folder).rglob("*.py")):
        with suppress(OSError):  # an editor's lock is a link to nothing
            found = path.stat()
            facts.append((str(path), found.st_mtime_ns, found.st_size))
    told = repr(facts)
    return hashlib.sha256(told.encode()).hexdigest()


def _forgive(cache: Any) -> None:
    """Compile where kept code cannot be read, and go on where it cannot be written.

    Numba lets both errors end the program: a power cut may leave an empty index,
    and a disk may be full.
    """
    load, save = cache.load_overload, cache.save_overload

    def load_or_begin_again(*arguments: Any) -> Any:
        try:
            return load(*arguments)
        except Exception:
            with suppress(Exception):
                cache.flush()
            return None

    def save_if_possible(*arguments: Any) -> None:
        with suppress(Exception):
            save(*arguments)

    cache.load_overload, cache.save_overload = load_or_begin_again, save_if_possible


def _note(where: str) -> str:
    return (
        "note: no folder for compiled code is writable (the package's, the user's, "
        f"NUMBA_CACHE_DIR); it is kept {where}"
    )


def _temporary_folder() -> Path | None:
    """A folder of ours among the temporary ones, the same for each run where that is safe."""
    with suppress(OSError):
        folder = Path(tempfile.gettempdir()) / f"softlab-{os.getuid()}"
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        return folder if _is_ours(folder) else Path(tempfile.mkdtemp(prefix="softlab-"))
    return None


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can have put code there: numba would run it."""
    facts = folder.lstat()
    others = facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid() and not others
