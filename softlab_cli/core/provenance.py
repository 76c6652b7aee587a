"""The files that a case was made from, and whether they are still the same."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from softlab_cli.core.detached import detached_files
from softlab_cli.core.folders import may_be_file, voxels_beside
from softlab_cli.core.places import resolved
from softlab_cli.core.system import open_file, unreadable

__all__ = [
    "Source",
    "describe_sources",
    "same_content",
    "sha256_of",
    "size_and_mtime",
]

PIECE_BYTES = 1 << 18

Role = Literal["label", "image"]


@dataclass(frozen=True)
class Source:
    """One file that a case was made from, or the folder of a DICOM series.

    Parameters
    ----------
    role
        ``label`` or ``image``.
    path
        Absolute path.
    sha256
        Checksum, as `sha256_of` makes it.
    size
        Bytes.
    mtime_ns
        Time of the last change, nanoseconds since 1970.
    """

    role: Role
    path: str
    sha256: str
    size: int
    mtime_ns: int

    def to_json(self) -> dict[str, Any]:
        """The source as the store keeps it."""
        return dict(vars(self))

    @classmethod
    def from_json(cls, facts: dict[str, Any]) -> Source:
        """The source that `to_json` wrote."""
        return cls(
            facts.get("role", "label"),
            str(facts["path"]),
            str(facts["sha256"]),
            int(facts.get("size", -1)),
            int(facts.get("mtime_ns", -1)),
        )


def sha256_of(path: str | Path) -> str:
    """Checksum of a file's bytes, or of the names and bytes of a folder's files.

    A header whose voxels lie in other files is summed like a folder with all of them.
    """
    path = Path(path)
    return _of_parts(path, _parts(path))


def _of_parts(path: Path, parts: Sequence[Path]) -> str:
    if parts == [path]:
        return _of_bytes(path)
    folder = path if path.is_dir() else path.parent
    listed = "".join(f"{_of_bytes(f)}  {f.relative_to(folder).as_posix()}\n" for f in parts)
    return hashlib.sha256(listed.encode()).hexdigest()


def _of_bytes(path: Path) -> str:
    digest = hashlib.sha256()
    # Without a buffer to be filled and cleared, which takes longer than to read a small file.
    with open(path, "rb", buffering=0, opener=open_file) as file:
        while piece := file.read(PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def _parts(path: Path) -> list[Path]:
    """The files that one source is made of: those of a folder, or a header and its voxels."""
    if path.is_dir():
        return _files(path)
    if path.suffix.lower() != ".hdr":
        return [path, *detached_files(path)]
    voxels = voxels_beside(path)
    return [path] if voxels is None else [path, voxels]


def _files(folder: Path) -> list[Path]:
    """Files of a folder and its subfolders; a store that lies there is another matter."""
    found: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or (entry / "zarr.json").exists():
            continue
        if entry.is_dir():
            found += _files(entry)
        elif may_be_file(entry):
            found.append(entry)
    return found


def size_and_mtime(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change, nanoseconds; of several files, of all."""
    return _size_and_mtime(_parts(path))


def _size_and_mtime(parts: Sequence[Path]) -> tuple[int, int]:
    facts = [os.stat(file) for file in parts]
    return sum(f.st_size for f in facts), max((f.st_mtime_ns for f in facts), default=-1)


def describe_sources(files: Sequence[tuple[Path, Role]]) -> tuple[Source, ...]:
    """The sources of a case as they are now, in their order.

    Raises
    ------
    InputError
        When a file cannot be read.
    """
    folders: dict[str, str] = {}
    found = []
    for path, role in files:
        try:
            parts = _parts(path)
            size, mtime_ns = _size_and_mtime(parts)
            checksum = _of_parts(path, parts)
        except OSError as error:
            raise unreadable(error, path) from error
        found.append(Source(role, resolved(path, folders), checksum, size, mtime_ns))
    return tuple(found)


def same_content(kept: Sequence[Source], now: Sequence[tuple[Path, Role]]) -> bool:
    """Whether files still hold what was read from them.

    Size and time of change settle it; only where the time differs is the file
    read again. Paths do not count, so a moved data set is not computed anew.

    Parameters
    ----------
    kept
        The sources that the store keeps.
    now
        Paths and roles of the case as it was found.
    """
    if [s.role for s in kept] != [role for _, role in now]:
        return False
    return all(_unchanged(source, path) for source, (path, _) in zip(kept, now, strict=True))


def _unchanged(kept: Source, path: Path) -> bool:
    try:
        size, mtime_ns = size_and_mtime(path)
    except OSError:
        return False
    if size != kept.size:
        return False
    return mtime_ns == kept.mtime_ns or sha256_of(path) == kept.sha256
