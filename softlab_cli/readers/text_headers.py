"""Headers of MetaImage and NRRD files: their fields, and where the voxels are.

ITK allocates whatever a header promises, and reads outside of its memory for some that
are damaged, so that a header is looked through here before ITK sees it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.detached import META_END, NRRD_END, find_data_files, read_head
from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, check_promise, file_size
from softlab_cli.readers.byte_stream import MOST_INFLATION, ByteStream
from softlab_cli.readers.surplus import surplus_warnings

__all__ = ["DataPart", "check_data_part", "find_data_part", "header_fields", "header_lines"]

ENCODINGS = {"gz": "gzip", "txt": "text", "ascii": "text"}
FROM_THE_END = -1


@dataclass(frozen=True)
class DataPart:
    """Where the voxels are.

    Parameters
    ----------
    files
        The files that hold them, each the same number of bytes once inflated.
    start
        Bytes before them in each file; -1 where they end with the file.
    encoding
        ``raw``, ``gzip`` (or zlib) or ``text``.
    skip
        Bytes to leave out of what is inflated.
    lines
        Lines to leave out after `start`.
    is_big_endian
        Whether numbers have their largest byte first.
    """

    files: tuple[Path, ...]
    start: int
    encoding: str
    skip: int = 0
    lines: int = 0
    is_big_endian: bool = False

    def begin(self, file: Path, promised: int) -> int:
        """Bytes before the voxels of one file, of which `promised` bytes are wanted."""
        if self.start == FROM_THE_END:
            return max(0, file.stat().st_size - promised)
        if not self.lines:
            return self.start
        with open(file, "rb") as opened:
            opened.seek(self.start)
            for _ in range(self.lines):
                if not opened.readline():
                    break
            return opened.tell()


def find_data_part(path: Path) -> DataPart:
    """Where the header says that the voxels are.

    Raises
    ------
    InputError
        When the header has no end, or names a file that does not exist or leads elsewhere.
    """
    file_size(path)
    head = read_head(path)
    find = _nrrd_part if path.suffix.lower() in (".nrrd", ".nhdr") else _meta_part
    part = find(path, head)
    for file in part.files:
        if not file.is_file():
            raise InputError(
                f"names {file.name!r} as the file of its voxels, which does not exist.",
                remedy="Put both files into one folder.",
                path=path,
            )
    return part


def check_data_part(part: DataPart, promised: int, voxels: int, path: Path) -> tuple[str, ...]:
    """Refuse a header that promises more than the data can amount to, or much less.

    Parameters
    ----------
    part
        Where the voxels are.
    promised
        Bytes of voxels by the header.
    voxels
        Numbers by the header.
    path
        The header's file, for messages.

    Returns
    -------
    warnings
        When something follows the voxels.
    """
    count = len(part.files)
    if promised % count or voxels % count:
        raise InputError(
            f"lists {count} files for its {voxels} voxels, which cannot be of equal size.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    warnings: list[str] = []
    for file in part.files:
        begin = part.begin(file, promised // count)
        there = file.stat().st_size - begin - part.skip
        if part.encoding == "text":
            # A number takes two characters at least, the last one may go without its space.
            check_promise(2 * (voxels // count) - 1, there, path)
        elif part.encoding == "gzip":
            check_promise(promised // count, there * MOST_INFLATION, path)
        else:
            check_promise(promised // count, there, path)
            with ByteStream(file, begin + part.skip, compressed=False) as stream:
                stream.seek(promised // count)
                warnings += surplus_warnings(stream, promised // count, path)
    return tuple(warnings)


def _meta_part(path: Path, head: bytes) -> DataPart:
    found = find_data_files(path, head)
    if found is None:
        raise InputError(
            "is not a MetaImage: its header has no ElementDataFile.", remedy=FETCH_AGAIN, path=path
        )
    fields = _by_name(_meta_lines(head))
    encoding = "raw"
    if _is_true(fields, "compresseddata"):
        encoding = "gzip"
    elif fields.get("binarydata", "true").lower() in ("false", "f", "0"):
        encoding = "text"
    at_least = FROM_THE_END if encoding == "raw" else 0
    size = _whole(fields.get("headersize", "0"), "HeaderSize", path, at_least)
    if size > 0 and not found.files and size < found.end:
        raise InputError(
            f"has a damaged header: HeaderSize {size} lies within the header itself.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    start = size or (0 if found.files else found.end)
    big = _is_true(fields, "elementbyteordermsb") or _is_true(fields, "binarydatabyteordermsb")
    return DataPart(found.files or (path,), start, encoding, is_big_endian=big)


def _is_true(fields: dict[str, str], name: str) -> bool:
    return fields.get(name, "").lower() in ("true", "t", "1")


def _nrrd_part(path: Path, head: bytes) -> DataPart:
    if not head.startswith(b"NRRD"):
        raise InputError(
            f"is not a NRRD file: it starts with {head[:12].decode('latin-1')!r}.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    fields = _by_name(_nrrd_lines(head))
    encoding = fields.get("encoding", "").lower()
    encoding = ENCODINGS.get(encoding, encoding)
    if encoding not in ("raw", "gzip", "text"):
        raise InputError(
            f"is a NRRD file with the encoding {encoding or 'none'!r}, which cannot be read.",
            remedy="Save it with the encoding gzip or raw.",
            path=path,
        )
    found = find_data_files(path, head)
    if found is None:
        raise InputError("is truncated: its header has no end.", remedy=FETCH_AGAIN, path=path)
    lines = _whole(fields.get("lineskip", "0"), "line skip", path)
    at_least = FROM_THE_END if encoding == "raw" else 0
    skip = _whole(fields.get("byteskip", "0"), "byte skip", path, at_least)
    start = 0 if found.files else found.end
    if skip == FROM_THE_END:
        start, skip, lines = FROM_THE_END, 0, 0
    big = fields.get("endian", "").lower() == "big"
    return DataPart(found.files or (path,), start, encoding, skip, lines, big)


def _whole(text: str, name: str, path: Path, at_least: int = 0) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text) or int(text) < at_least:
        raise InputError(
            f"has a damaged header: {name} is {text[:40]!r}, no number of bytes or lines.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    return int(text)


def header_fields(path: Path) -> dict[str, str]:
    """Header lines by name, in lower case and without blanks; key/value pairs are left out."""
    return _by_name(header_lines(path))


def header_lines(path: Path) -> list[tuple[str, str]]:
    """Name and value of each header line; comments and key/value pairs of NRRD are left out."""
    file_size(path)
    head = read_head(path)
    return list(_nrrd_lines(head) if head.startswith(b"NRRD") else _meta_lines(head))


def _by_name(lines: Iterator[tuple[str, str]] | list[tuple[str, str]]) -> dict[str, str]:
    return {key.lower().replace(" ", ""): value for key, value in lines}


def _meta_lines(head: bytes) -> Iterator[tuple[str, str]]:
    last = META_END.search(head)
    for line in head[: last.end() if last else len(head)].decode("latin-1").split("\n"):
        key, separator, value = line.partition("=")
        if separator:
            yield key.strip(), value.strip()
        elif key.strip():
            yield "", key.strip()  # what belongs to no field; readers do not agree on it


def _nrrd_lines(head: bytes) -> Iterator[tuple[str, str]]:
    end = NRRD_END.search(head)
    for line in head[: end.start() if end else len(head)].decode("latin-1").split("\n")[1:]:
        key, separator, value = line.partition(":")
        if separator and not key.startswith("#") and not value.startswith("="):
            yield key.strip(), value.strip()
