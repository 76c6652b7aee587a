"""The files that a case was made from, and whether they are still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from softlab_cli.errors import InputError

__all__ = ["Source", "describe_source", "same_content", "sha256_of"]

Role = Literal["label", "image"]


@dataclass(frozen=True)
class Source:
    """One file that a case was made from.

    Parameters
    ----------
    role
        ``label`` or ``image``.
    path
        Absolute path.
    sha256
        Checksum of the file's bytes.
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
        return asdict(self)

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
    """Checksum of a file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_source(path: Path, role: Role) -> Source:
    """The source as it is now.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    try:
        facts = path.stat()
        checksum = sha256_of(path)
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}).", path=path) from error
    return Source(role, str(path.resolve()), checksum, facts.st_size, facts.st_mtime_ns)


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
        facts = path.stat()
    except OSError:
        return False
    if facts.st_size != kept.size:
        return False
    return facts.st_mtime_ns == kept.mtime_ns or sha256_of(path) == kept.sha256
