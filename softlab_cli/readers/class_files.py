"""One file a class: what together is one label map, as TotalSegmentator writes it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.readers.base import FileProbe, Reader
from softlab_cli.readers.label_object import Description, NamedLabel
from softlab_cli.readers.label_values import BUFFER_BYTES
from softlab_cli.readers.lattice import find_turn
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.overlaps import BYTES_PER_VOXEL, Combinations, value_bytes
from softlab_cli.readers.regrid import to_grid
from softlab_cli.readers.segments import Segment, assign_values, choose, titled

__all__ = ["ClassFiles", "ClassFilesObject", "KeptRater", "LabelSource", "path_of"]


BACKGROUND = "background"
"""Name of a file that holds what is no class, in any case."""


@dataclass(frozen=True)
class ClassFiles:
    """The files of one case and one rater, each with one class.

    Parameters
    ----------
    files
        At least one.
    names
        The class of each.
    """

    files: tuple[Path, ...]
    names: tuple[str, ...]

    @property
    def path(self) -> Path:
        """What messages name: the only file, or the folder that holds them all."""
        return self.files[0] if len(self.files) == 1 else Path(commonpath(self.files))


@dataclass(frozen=True)
class KeptRater:
    """What one rater drew of one case, where a store keeps it.

    Parameters
    ----------
    path
        The case's folder in the store.
    name
        The rater there.
    """

    path: Path
    name: str


LabelSource = Path | ClassFiles | KeptRater
"""What one rater drew of one case."""


def path_of(source: LabelSource) -> Path:
    """The path that stands for it in messages."""
    return source if isinstance(source, Path) else source.path


@dataclass(frozen=True)
class ClassFilesObject:
    """Files of one class each, as a `LabelObject` with names and a grid of its own.

    The grid is the largest one of its files: a file may hold a crop of it. A file called
    `BACKGROUND` is no class: what is no other class is background.
    """

    source: ClassFiles
    reader: Reader

    @property
    def series_uids(self) -> tuple[str, ...]:
        """None: the files have a grid of their own."""
        return ()

    def describe(self) -> Description:
        """The classes."""
        labels = tuple(NamedLabel(s.value, s.name) for s in self._segments)
        return Description("label map, one file a class", labels)

    def names(self, rois: Sequence[str]) -> dict[int, str]:
        """The classes with numbers in the order of the files; they are not opened."""
        names = [s.name for s in self._segments]
        chosen = choose(names, rois, self.source.path, what="class")
        return {self._segments[i].value: names[i] for i in chosen}

    def reference(self, rois: Sequence[str]) -> None:
        """No images: the files have a grid."""

    def probe(self, series: object) -> FileProbe:
        """What the headers say, as if all files were as large as the largest."""
        seen = self._largest
        voxels = int(np.prod(seen.geometry.shape, dtype=object))
        held = voxels * value_bytes(self._segments)
        kept = voxels * BYTES_PER_VOXEL
        on_read = kept + max(held, seen.bytes_on_read, 2 * seen.bytes_held) + BUFFER_BYTES
        return FileProbe(
            self.source.path, seen.geometry, seen.dtype, 1, held, on_read, seen.warnings
        )

    def label_map(self, series: object, options: ReadingOptions) -> LabelMap:
        """The classes that options choose, one file at a time, by their rule for overlaps."""
        named = self.names(options.rois)
        values = options.segment_values(named, self.source.path)
        chosen, _ = assign_values(self._segments, values, self.source.path)
        segments = titled([s for s in chosen if s is not None], options)
        geometry = self._largest.geometry
        joined = Combinations(geometry.shape, segments, self.source.path)
        warnings: dict[str, None] = {}
        for number, segment in enumerate(segments, 1):
            path = self.source.files[segment.number - 1]
            one = self._on_grid(self.reader.read_label_map(path), geometry, path)
            warnings.update(dict.fromkeys(f"{path.name}: {text}" for text in one.warnings))
            _add(joined, one.values, number, path)
        labels, notes = joined.label_map(options.on_overlap)
        metadata = {"names": {s.value: s.name for s in segments}}
        return LabelMap(labels, geometry, (*warnings, *notes), metadata)

    def fractions(self, series: object, options: ReadingOptions, supersample: int | None) -> None:
        """No fractions."""

    @cached_property
    def _largest(self) -> FileProbe:
        """What is said of the file with the most voxels, the first of equals."""
        seen: list[FileProbe] = []
        for path in self.source.files[1:]:
            with suppress(InputError):  # a file that is not chosen may be anything
                seen.append(self.reader.probe(path))
        seen.insert(0, self.reader.probe(self.source.files[0]))
        return max(seen, key=lambda one: np.prod(one.geometry.shape, dtype=object))

    @cached_property
    def _segments(self) -> list[Segment]:
        named = [
            Segment(n, name)
            for n, name in enumerate(self.source.names, 1)
            if name.casefold() != BACKGROUND
        ]
        return [s for s in assign_values(named, None, self.source.path)[0] if s is not None]

    def _on_grid(self, one: LabelMap, geometry: Geometry, path: Path) -> LabelMap:
        turn = find_turn(one.geometry, geometry)
        if turn is not None and turn.is_identity:
            return one
        placed = to_grid(one, geometry, names=(path.name, "largest file"), path=path)
        lost = int(np.count_nonzero(one.values)) - int(np.count_nonzero(placed.values))
        if lost:
            raise GeometryError(
                f"reaches out of the grid of the largest file of its case, with {lost:,} labelled "
                "voxels.",
                remedy="Save all files of the case on one grid, or name the image with --images.",
                path=path,
            )
        return placed


def _add(joined: Combinations, values: NDArray[Any], number: int, path: Path) -> None:
    """Add a file; its voxels are the class where they are not 0."""
    found: set[int] = set()

    def number_of(piece: NDArray[Any]) -> NDArray[np.int32]:
        inside = piece != 0
        held = piece[inside]
        if held.size:
            found.update((int(held.min()), int(held.max())))
        numbers: NDArray[np.int32] = inside.astype(np.int32) * np.int32(number)
        return numbers

    joined.add(np.ascontiguousarray(values).reshape(-1), number_of)
    if len(found) > 1:
        raise InputError(
            f"holds label values from {min(found)} to {max(found)}; a file of one class has one "
            "value besides 0.",
            remedy="Leave it out with --roi, or give label maps of several classes as --in, "
            "one file a case.",
            path=path,
        )
