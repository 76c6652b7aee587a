"""What the system refuses, in words: which file it is about, and what can be done."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from softlab_cli.core.errors import InputError, StoreError

__all__ = ["explained", "open_file", "place_of", "reading", "remedy_of", "unreadable"]

_FULL = "Free some space, then run the same command again: finished cases are kept."
_FORBIDDEN = "Ask for the right to write there, or choose another place."
_UNREAD = "Ask for the right to read it, and to enter the folders on the way; or leave it out."
_EITHER = "Ask for the right to it, or choose another place."
_AWAY = "Look after the network drive, then run the same command again."

_ALWAYS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: "Raise the limit of a file's size (ulimit -f), or choose another file system.",
    errno.EROFS: _FORBIDDEN,
    errno.EACCES: _EITHER,
    errno.EPERM: _EITHER,
    errno.ENAMETOOLONG: "Shorten the case id or the path.",
    errno.EMFILE: "Raise the limit of open files (ulimit -n).",
    errno.ENFILE: "End other programs: this machine has as many files open as it may.",
    errno.ELOOP: "Remove the links that lead to one another, or name the file that was meant.",
    errno.ENOTDIR: "Check the path: a part of it is a file, and no folder.",
    errno.EISDIR: "Name a file: this is a folder.",
    errno.ENXIO: "Name a file that can be read from its beginning.",
    errno.EIO: "Look after the disk, or copy the file anew from where it came.",
    errno.ESTALE: "It was exchanged on its server meanwhile: run the same command again.",
    errno.ETIMEDOUT: _AWAY,
    errno.EHOSTDOWN: _AWAY,
    errno.EHOSTUNREACH: _AWAY,
    errno.ENOTCONN: _AWAY,
}
"""Error number to remedy, whatever was being done."""

_READING = {
    errno.ENOENT: "Check the path.",
    errno.EACCES: _UNREAD,
    errno.EPERM: _UNREAD,
    errno.ENAMETOOLONG: "Shorten the name, or the path of its folder.",
}
_WRITING = {
    errno.ENOENT: "Check the path: its folder is not there.",
    errno.EACCES: _FORBIDDEN,
    errno.EPERM: _FORBIDDEN,
    errno.ENAMETOOLONG: "Shorten the case id or the path of the store.",
    errno.EEXIST: "Choose another place: something of that name is there already.",
}


def open_file(path: str | os.PathLike[str], flags: int) -> int:
    """Open what can be read from its beginning; an opener for `open`.

    To open a pipe waits for someone who writes to it, for ever perhaps.

    Raises
    ------
    OSError
        Also for a pipe, a socket or a device.
    """
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if S_ISREG(mode) or S_ISDIR(mode):  # of a folder Python says so itself
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ENXIO, "No file, but a pipe or a device", os.fspath(path))


def remedy_of(error: OSError, doing: str = "") -> str:
    """What can be done about an error of the system; empty where nobody can say.

    Parameters
    ----------
    error
        What the system said.
    doing
        What could not be done: ``read``, another word such as ``written``, or nothing
        where that is not known.
    """
    special = {"": {}, "read": _READING}.get(doing, _WRITING)
    number = error.errno or 0
    return special.get(number, _ALWAYS.get(number, ""))


def place_of(error: OSError, path: str | Path) -> Path:
    """The file or folder that an error of the system is about.

    Parameters
    ----------
    error
        What the system said. Where it may not even look whether there is a file, the
        folder around is meant, and not a file that may not be there.
    path
        What is named where the error names nothing.
    """
    place = Path(os.fsdecode(error.filename or path))
    if isinstance(error, PermissionError):
        return next((p for p in (place, *place.parents) if os.path.lexists(p)), place)
    return place


def explained(error: OSError) -> StoreError | None:
    """What the system refused, with a remedy, wherever it was; None where there is no remedy."""
    remedy = remedy_of(error)
    if not remedy:
        return None
    path = place_of(error, error.filename) if error.filename else None
    return StoreError(f"the system says: {error.strerror}.", remedy=remedy, path=path)


def unreadable(error: OSError, path: str | Path, remedy: str = "") -> InputError:
    """An error of the system as one about a file that cannot be read.

    Parameters
    ----------
    error
        What the system said.
    path
        The file or folder, where the error names none.
    remedy
        What can be done, where the system's error says nothing of it.
    """
    return InputError(
        f"cannot be read ({error.strerror or error}).",
        remedy=remedy_of(error, "read") or remedy,
        path=place_of(error, path),
    )


@contextmanager
def reading(path: str | Path) -> Iterator[None]:
    """Turn an error of the system into an `InputError` about a file that cannot be read.

    Parameters
    ----------
    path
        The file or folder, where the error names none.
    """
    try:
        yield
    except OSError as error:
        raise unreadable(error, path) from error
