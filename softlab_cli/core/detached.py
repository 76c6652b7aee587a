"""Files in which the voxels of a MetaImage or NRRD header lie, when they are not in its own.

The header names one file, lists several, or has a pattern such as ``slice%03d.raw 1 90 1``.
Only files below the header's folder count: a header is data that came from elsewhere, and
has no say over what else of this machine is read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.errors import InputError

__all__ = ["LONGEST_TEXT", "DataFiles", "detached_files", "find_data_files", "read_head"]

LONGEST_TEXT = 1 << 20
"""A header that has not ended by then is none (Slicer writes some tens of kilobytes)."""

STEP = 1 << 14
MOST_FILES = 1 << 16
HEADERS = (".mha", ".mhd", ".nrrd", ".nhdr")

META_END = re.compile(rb"^[ \t]*ElementDataFile[ \t]*=[^\n]*(?:\n|\Z)", re.MULTILINE)
NRRD_END = re.compile(rb"\r?\n\r?\n")
NRRD_FILES = re.compile(rb"^data ?file:(?!=)([^\n]*)(?:\n|\Z)", re.MULTILINE | re.IGNORECASE)
PATTERN = re.compile(r"(?P<before>[^%]*)%(?P<zero>0?)(?P<width>\d{0,2})d(?P<after>[^%]*)")


@dataclass(frozen=True)
class DataFiles:
    """Where a header says that its voxels are.

    Parameters
    ----------
    end
        Bytes of the header; the voxels follow it when `files` is empty.
    files
        The files that hold the voxels, in order.
    """

    end: int
    files: tuple[Path, ...] = ()


def read_head(path: Path) -> bytes:
    """The first bytes of a file, with all of its header; at most `LONGEST_TEXT`."""
    with open(path, "rb") as file:
        head = file.read(STEP)
        while len(head) < LONGEST_TEXT and not _has_end(head):
            more = file.read(len(head))
            if not more:
                break
            head += more
    return head[:LONGEST_TEXT]


def _has_end(head: bytes) -> bool:
    if head.startswith(b"NRRD"):
        return NRRD_END.search(head) is not None
    found = META_END.search(head)
    # A list of files goes on to the end of the file.
    return found is not None and b"LIST" not in found[0].upper()


def find_data_files(path: Path, head: bytes) -> DataFiles | None:
    """Where a header says that its voxels are; None when it does not say.

    Parameters
    ----------
    path
        The header's file.
    head
        As `read_head` gives it.

    Raises
    ------
    InputError
        For names that lead out of the header's folder, or make no sense.
    """
    if head.startswith(b"NRRD"):
        return _of_nrrd(path, head)
    last = META_END.search(head)
    if last is None:
        return None
    words = last[0].decode("latin-1").partition("=")[2].strip()
    if words.upper() == "LOCAL":
        return DataFiles(last.end())
    return DataFiles(last.end(), _named(path, words, head[last.end() :]))


def _of_nrrd(path: Path, head: bytes) -> DataFiles | None:
    blank = NRRD_END.search(head)
    end = blank.end() if blank else len(head)
    found = NRRD_FILES.search(head, 0, end)
    if found is not None:
        words = found[1].decode("latin-1").strip()
        return DataFiles(end, _named(path, words, head[found.end() : end]))
    return DataFiles(end) if blank else None


def _named(path: Path, words: str, below: bytes) -> tuple[Path, ...]:
    """The files that a header names, lists below, or counts."""
    first, *rest = words.split() or [""]
    if first.upper() == "LIST":
        names = [line.strip() for line in below.decode("latin-1").splitlines()]
        names = [name for name in names if name]
    elif "%" in words and len(rest) >= 2:
        names = _counted(path, first, rest)
    else:
        names = [words]
    if not names or len(names) > MOST_FILES:
        raise _nonsense(path, words)
    return tuple(_inside(path, name) for name in names)


def _counted(path: Path, pattern: str, numbers: list[str]) -> list[str]:
    """Names by a pattern, the first and the last number and, if it is there, the step."""
    found = PATTERN.fullmatch(pattern)
    if found is None or not all(re.fullmatch(r"\d{1,9}", number) for number in numbers[:3]):
        raise _nonsense(path, " ".join([pattern, *numbers]))
    first, last, step = (*map(int, numbers[:3]), 1)[:3]
    if not 0 <= last - first < MOST_FILES * max(step, 1) or not step:
        raise _nonsense(path, " ".join([pattern, *numbers]))
    fill = "0" if found["zero"] else " "
    return [
        found["before"] + str(n).rjust(int(found["width"] or 0), fill) + found["after"]
        for n in range(first, last + 1, step)
    ]


def _inside(path: Path, name: str) -> Path:
    """A file below the header's folder."""
    if "\0" in name or name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", name):
        raise InputError(
            f"names {name!r} as the file of its voxels, which leads out of its own folder.",
            remedy="Put both files into one folder, and name the file without a path.",
            path=path,
        )
    return path.parent / name


def _nonsense(path: Path, words: str) -> InputError:
    return InputError(
        f"names no file of its voxels that makes sense ({words[:80]!r}).",
        remedy="Save it again, as one file.",
        path=path,
    )


def detached_files(path: Path) -> list[Path]:
    """Files with the voxels of a MetaImage or NRRD header, as far as they exist.

    Parameters
    ----------
    path
        Any file; those of other kinds have none.

    Raises
    ------
    OSError
        When it cannot be read.
    """
    if path.suffix.lower() not in HEADERS:
        return []
    try:
        found = find_data_files(path, read_head(path))
    except InputError:  # the reader says why
        return []
    return [file for file in found.files if file.is_file()] if found else []
