"""Whether the data of a MetaImage or NRRD file are all there, before ITK reads them.

ITK allocates whatever a header promises, returns a compressed MetaImage whose
checksum is wrong without a word, and does not always look at that of a NRRD file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, check_promise, open_input
from softlab_cli.readers.byte_stream import MOST_INFLATION, ByteStream

__all__ = [
    "LONGEST_TEXT",
    "DataPart",
    "check_data_part",
    "find_data_part",
    "header_fields",
    "verify_deflated",
]

LONGEST_TEXT = 1 << 20
"""A header that has not ended by then is none (Slicer writes some tens of kilobytes)."""


@dataclass(frozen=True)
class DataPart:
    """Where the voxels are.

    Parameters
    ----------
    path
        The file that holds them.
    start
        Bytes before them.
    encoding
        ``raw``, ``gzip`` (or zlib) or ``text``.
    """

    path: Path
    start: int
    encoding: str


def find_data_part(path: Path) -> DataPart | None:
    """Where the header says that the voxels are; None when they are in several files.

    Raises
    ------
    InputError
        When the header has no end, or names a file that does not exist.
    """
    with open_input(path) as file:
        head = file.read(LONGEST_TEXT)
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        part = _nrrd_part(path, head)
    else:
        part = _meta_part(path, head)
    if part is not None and not part.path.is_file():
        raise InputError(
            f"names {part.path.name!r} as the file of its voxels, which does not exist.",
            remedy="Put both files into one folder.",
            path=path,
        )
    return part


def check_data_part(part: DataPart, promised: int, voxels: int, path: Path) -> None:
    """Refuse a header that promises more than the data can amount to.

    Parameters
    ----------
    part
        Where the voxels are.
    promised
        Bytes of voxels by the header.
    voxels
        Voxels by the header.
    path
        The header's file, for messages.
    """
    there = part.path.stat().st_size - part.start
    if part.encoding == "text":
        # A number takes two characters at least, the last one may go without its space.
        check_promise(2 * voxels - 1, there, path)
    else:
        check_promise(promised, there * (1 if part.encoding == "raw" else MOST_INFLATION), path)


def verify_deflated(part: DataPart, promised: int, path: Path) -> None:
    """Inflate the voxels once, so that their length and checksum are known to be right."""
    with ByteStream(part.path, part.start, compressed=True) as stream:
        count = stream.drain()
    if count < promised:
        raise InputError(
            f"is truncated: its voxels inflate to {count} bytes of {promised}.",
            remedy=FETCH_AGAIN,
            path=path,
        )


def _meta_part(path: Path, head: bytes) -> DataPart | None:
    last = re.search(rb"^\s*ElementDataFile\s*=.*\n", head, re.MULTILINE)
    if last is None:
        raise InputError(
            "is not a MetaImage: its header has no ElementDataFile.", remedy=FETCH_AGAIN, path=path
        )
    fields = _fields(head[: last.end()], "=")
    encoding = "raw"
    if fields.get("compresseddata", "").lower() == "true":
        encoding = "gzip"
    elif fields.get("binarydata", "").lower() == "false":
        encoding = "text"
    name = fields["elementdatafile"]
    if name.upper() == "LOCAL":
        return DataPart(path, last.end(), encoding)
    return _other_file(path, name, encoding)


def _nrrd_part(path: Path, head: bytes) -> DataPart | None:
    if not head.startswith(b"NRRD"):
        raise InputError(
            f"is not a NRRD file: it starts with {head[:12].decode('latin-1')!r}.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    ends = [head.find(e) + len(e) for e in (b"\n\n", b"\r\n\r\n") if e in head]
    fields = _fields(head[: min(ends, default=len(head))], ":")
    name = fields.get("datafile", fields.get("data file", ""))
    encoding = fields.get("encoding", "").lower()
    encoding = {"gz": "gzip", "txt": "text", "ascii": "text"}.get(encoding, encoding)
    if encoding not in ("raw", "gzip", "text"):
        raise InputError(
            f"is a NRRD file with the encoding {encoding or 'none'!r}, which cannot be read.",
            remedy="Save it with the encoding gzip or raw.",
            path=path,
        )
    if name:
        return _other_file(path, name, encoding)
    if not ends:
        raise InputError("is truncated: its header has no end.", remedy=FETCH_AGAIN, path=path)
    return DataPart(path, min(ends), encoding)


def _other_file(path: Path, name: str, encoding: str) -> DataPart | None:
    if name.upper().startswith("LIST") or "%" in name:
        return None
    return DataPart(path.parent / name, 0, encoding)


def _fields(head: bytes, separator: str) -> dict[str, str]:
    """Header lines by lower-case name."""
    lines = (line.partition(separator) for line in head.decode("latin-1").splitlines())
    return {key.strip().lower(): value.strip() for key, _, value in lines}


def header_fields(path: Path) -> dict[str, str]:
    """Header lines by name, in lower case and without blanks; key/value pairs are left out."""
    with open_input(path) as file:
        head = file.read(LONGEST_TEXT)
    is_nrrd = head.startswith(b"NRRD")
    end = re.search(rb"\r?\n\r?\n" if is_nrrd else rb"(?m)^\s*ElementDataFile.*$", head)
    fields = _fields(head[: end.start()] if end else head, ":" if is_nrrd else "=")
    return {
        key.replace(" ", ""): value
        for key, value in fields.items()
        if not key.startswith("#") and not (is_nrrd and value.startswith("="))
    }
