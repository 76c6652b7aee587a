"""What a file or folder turned out to be: what ``softlab inspect`` shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.volume import Geometry

__all__ = ["FOLDER", "LIST", "STORE", "UNREADABLE", "Found", "Label", "words_of"]

UNREADABLE = "unreadable"
"""The kind of what cannot be read."""

FOLDER, STORE, LIST = CONTAINERS = "folder", "store", "list of cases"
"""The kinds of what holds cases."""


@dataclass(frozen=True)
class Label:
    """A label value or a segment: its name, and its voxels or contours where they were counted."""

    value: int
    name: str = ""
    voxels: int | None = None
    contours: int | None = None


@dataclass(frozen=True)
class Found:
    """What a file, a series or a store is.

    Parameters
    ----------
    path
        Where it is.
    kind
        Such as ``label map``, ``image``, ``DICOM series`` or ``store``.
    geometry
        Its grid, where it has one of its own.
    labels
        What a label map holds.
    facts
        Further facts by name, ready for JSON.
    problems
        Why it cannot be used, and what is odd about it.
    parts
        What a folder holds.
    unseen
        Files of a folder that were not looked into.
    holds_below
        Whether a folder that holds nothing itself has folders that do.
    """

    path: Path
    kind: str
    geometry: Geometry | None = None
    labels: tuple[Label, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    parts: tuple[Found, ...] = ()
    unseen: int = 0
    holds_below: bool = False

    @property
    def is_readable(self) -> bool:
        """Whether there is anything, and it and all its parts can be read."""
        if self.kind == UNREADABLE or self.is_empty:
            return False
        return all(part.is_readable for part in self.parts)

    @property
    def is_empty(self) -> bool:
        """Whether it should hold something and holds nothing, nor do folders below it."""
        if self.kind not in CONTAINERS or self.holds_below:
            return False
        return not self.parts and not self.facts["cases"]

    def to_json(self) -> dict[str, Any]:
        """All of it for other programs."""
        grid = self.geometry and {
            "shape": list(self.geometry.shape[-self.geometry.ndim :]),
            "spacing_mm": list(self.geometry.spacing_mm[-self.geometry.ndim :]),
            "origin_mm": list(self.geometry.origin_mm),
            "orientation": self.geometry.orientation,
            "affine": self.geometry.affine.tolist(),
        }
        return {
            "path": str(self.path),
            "kind": self.kind,
            "grid": grid,
            "labels": [vars(label) for label in self.labels],
            **self.facts,
            "problems": list(self.problems),
            "files_not_looked_into": self.unseen,
            "parts": [part.to_json() for part in self.parts],
        }


def words_of(error: SoftlabError, path: Path | None = None) -> str:
    """What is wrong and what can be done; and with which file, where that is not `path`."""
    where = "" if path is None or error.path in (None, path) else f"{error.path}: "
    gap = "\n  " if "\n" in error.problem else " "
    return f"{where}{error.problem.rstrip()}{gap}{error.remedy}".strip()
