"""Segmentations of 3D Slicer: NRRD files whose headers name their segments.

3D Slicer numbers segments anew in each file, so that only their names are the same
everywhere. Segments that lie over one another are in several layers, the first axis of
the file; each layer counts from 1 again. Versions before 4.11 wrote a layer of 0 and 1 for
each segment. The file may hold less than the image that was segmented: its own grid says
where it lies.

Source: the description of the format in 3D Slicer's documentation (Segmentations).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.detached import read_head
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import some_of
from softlab_cli.core.volume import LabelMap
from softlab_cli.readers import itk
from softlab_cli.readers.base import FileProbe, open_input
from softlab_cli.readers.label_object import Description, NamedLabel
from softlab_cli.readers.label_values import BUFFER_BYTES
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.overlaps import BYTES_PER_VOXEL, Combinations, value_bytes
from softlab_cli.readers.replacing import Replacing
from softlab_cli.readers.segments import Segment, assign_values, choose, titled

__all__ = ["SegNrrdObject", "find_segmentation", "read_label_map"]

KEY = re.compile(r"Segment(\d+)_(\w+)")
FURTHER = ("ID", "Color", "Extent", "Tags")
"""What is kept of a segment besides."""


def find_segmentation(path: Path) -> SegNrrdObject | None:
    """A NRRD file that names segments; None for any other.

    Raises
    ------
    InputError
        When it cannot be opened, or what it says of its segments makes no sense.
    """
    pairs = _pairs(path)
    said: dict[int, dict[str, str]] = {}
    for key, value in pairs.items():
        if match := KEY.fullmatch(key):
            said.setdefault(int(match[1]), {})[match[2]] = value
    if not any({"Name", "ID"} & facts.keys() for facts in said.values()):
        return None
    stored = [_stored(n, said[n], place, path) for place, n in enumerate(sorted(said))]
    return SegNrrdObject(path, tuple(_numbered(stored, path)))


def read_label_map(path: Path, replacing: Replacing | None = None) -> LabelMap:
    """A NRRD file as a label map; with the names of its segments, if it has any.

    What numbers become is for files of plain numbers.

    Raises
    ------
    InputError
        As `softlab_cli.readers.itk.read_label_map`, and when segments overlap.
    """
    found = find_segmentation(path)
    if found is None:
        return itk.read_label_map(path, replacing)
    return found.label_map(None, ReadingOptions())


@dataclass(frozen=True)
class StoredSegment:
    """A segment, and the voxels that it is: a value in a layer."""

    segment: Segment
    layer: int
    stored: int


@dataclass(frozen=True)
class SegNrrdObject:
    """A segmentation of 3D Slicer, as a `LabelObject` with names and a grid of its own."""

    path: Path
    stored: tuple[StoredSegment, ...]

    @property
    def series_uids(self) -> tuple[str, ...]:
        """None: it has a grid of its own."""
        return ()

    def describe(self) -> Description:
        """Its segments, with their colours and extents."""
        segments = self._segments(None)[0]
        kept = [s for s in segments if s is not None]
        facts = {
            "layers": len({s.layer for s in self.stored}),
            "segments": [s.to_json() for s in kept],
        }
        labels = tuple(NamedLabel(s.value, s.name) for s in kept)
        return Description("3D Slicer segmentation", labels, facts)

    def names(self, rois: Sequence[str]) -> dict[int, str]:
        """Label values, or 1, 2, 3... where layers use them twice, and segment names."""
        segments = [s for s in self._segments(None)[0] if s is not None]
        chosen = choose([s.name for s in segments], rois, self.path, what="segment")
        return {segments[i].value: segments[i].name for i in chosen}

    def reference(self, rois: Sequence[str]) -> None:
        """No images: the file has a grid."""

    def probe(self, series: object) -> FileProbe:
        """What the header says; all layers are read together."""
        seen = itk.probe(self.path)
        voxels = int(np.prod(seen.geometry.shape, dtype=object))
        layers = voxels * seen.channels * seen.dtype.itemsize
        held = voxels * value_bytes([s for s in self._segments(None)[0] if s is not None])
        beside = max(layers, voxels * BYTES_PER_VOXEL + held)  # ITK's buffer, or what is made
        return FileProbe(
            self.path, seen.geometry, seen.dtype, 1, held, layers + beside + BUFFER_BYTES,
            seen.warnings,
        )  # fmt: skip

    def label_map(self, series: object, options: ReadingOptions) -> LabelMap:
        """Its segments by the names that options choose, and by their rule for overlaps."""
        segments, warnings = self._segments(
            options.segment_values(self.names(options.rois), self.path)
        )
        layers, geometry, odd = itk.read_layers(self.path)
        self._check(layers)
        kept = [s for s in segments if s is not None]
        joined = Combinations(geometry.shape, titled(kept, options), self.path)
        unnamed = self._add_layers(joined, layers, segments)
        del layers
        empty = [s.name for s, n in zip(kept, joined.voxels().tolist(), strict=True) if not n]
        if empty:
            warnings.append(f"segments without a voxel (empty): {some_of(empty)}.")
        labels, notes = joined.label_map(options.on_overlap)
        return LabelMap(
            labels, geometry, (*odd, *warnings, *unnamed, *notes),
            self._metadata(titled(kept, options)),
        )  # fmt: skip

    def fractions(self, series: object, options: ReadingOptions, supersample: int | None) -> None:
        """No fractions."""

    def _segments(self, values: Mapping[str, int] | None) -> tuple[list[Segment | None], list[str]]:
        return assign_values([s.segment for s in self.stored], values, self.path)

    def _metadata(self, segments: Sequence[Segment]) -> dict[str, Any]:
        return {
            "format": ".seg.nrrd",
            "names": {s.value: s.name for s in segments},
            "colours": {s.name: c for s in segments if (c := _hex(s.meaning.get("color", "")))},
            "segments": [s.to_json() for s in segments],
        }

    def _check(self, layers: NDArray[Any]) -> None:
        if layers.dtype.kind not in "ui":
            raise InputError(
                f"names segments, but stores {layers.dtype.name} and no whole numbers.",
                remedy="Save it as a segmentation (.seg.nrrd) in 3D Slicer.",
                path=self.path,
            )
        there = layers.shape[-1]
        if lost := [s for s in self.stored if s.layer >= there]:
            raise InputError(
                f"says that {lost[0].segment.name!r} is in layer {lost[0].layer}, but has "
                f"{there} (counted from 0).",
                remedy="Save it again in 3D Slicer.",
                path=self.path,
            )

    def _add_layers(
        self,
        joined: Combinations,
        layers: NDArray[Any],
        segments: Sequence[Segment | None],
    ) -> list[str]:
        """Add each layer; what the header gives no name is background, and is said."""
        numbers = {id(s): n for n, s in enumerate(filter(None, segments), 1)}
        unnamed: dict[int, int] = {}
        for layer in range(layers.shape[-1]):
            here = [(s.stored, numbers.get(id(segment), 0))
                    for s, segment in zip(self.stored, segments, strict=True)
                    if s.layer == layer]  # fmt: skip
            joined.add(layers[:, layer], _Layer(here, unnamed))
        if not unnamed:
            return []
        named = some_of([f"{value} ({count:,} voxels)" for value, count in sorted(unnamed.items())])
        return [f"label values that no segment has count as background: {named}."]


class _Layer:
    """Stored values of a layer to segments' numbers; counts values that no segment has."""

    def __init__(self, numbers: Sequence[tuple[int, int]], unnamed: dict[int, int]) -> None:
        self.unnamed = unnamed
        # The last entry is for all larger values, the first for 0 and below.
        size = max((stored for stored, _ in numbers), default=0) + 2
        self.number = np.zeros(size, np.int32)
        self.named = np.zeros(size, bool)
        self.named[0] = True
        for stored, number in numbers:
            self.number[stored], self.named[stored] = number, True

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.int32]:
        places = stored
        if stored.dtype != np.uint8:
            places = np.clip(stored, 0, len(self.number) - 1).astype(np.intp)
        strange = ~self.named.take(places, mode="clip") | (stored < 0)
        if strange.any():
            for value, count in zip(*np.unique(stored[strange], return_counts=True), strict=True):
                self.unnamed[int(value)] = self.unnamed.get(int(value), 0) + int(count)
        return self.number.take(places, mode="clip")


def _hex(colour: str) -> str:
    """Six hex digits of three numbers of 0 to 1; empty for anything else."""
    try:
        parts = [float(part) for part in colour.split()]
    except ValueError:
        return ""
    if len(parts) != 3 or not all(0 <= part <= 1 for part in parts):
        return ""
    return bytes(round(255 * part) for part in parts).hex()


def _pairs(path: Path) -> dict[str, str]:
    """Key/value pairs of a NRRD header; none where there is no such header."""
    with open_input(path):  # says why, where it cannot be opened
        head = read_head(path)
    if not head.startswith(b"NRRD"):
        return {}
    header = re.split(rb"\r?\n\r?\n", head, maxsplit=1)[0]
    lines = (line.split(":", 1) for line in header.decode("utf-8", "replace").splitlines())
    return {
        parts[0]: _unescaped(parts[1][1:])
        for parts in lines
        if len(parts) == 2 and parts[1].startswith("=") and not parts[0].startswith("#")
    }


def _unescaped(value: str) -> str:
    return re.sub(r"\\([n\\])", lambda m: "\n" if m[1] == "n" else "\\", value).strip()


def _stored(number: int, facts: Mapping[str, str], place: int, path: Path) -> StoredSegment:
    """A segment as the header has it; `place` is its place among all."""
    name = facts.get("Name") or facts.get("ID") or ""
    # Without a label value it is a layer of its own, as before 3D Slicer 4.11.
    value = _whole(facts.get("LabelValue", "1"), number, "LabelValue", 1, path)
    default = "0" if "LabelValue" in facts else str(place)
    layer = _whole(facts.get("Layer", default), number, "Layer", 0, path)
    meaning = {key.lower(): facts[key] for key in FURTHER if facts.get(key)}
    return StoredSegment(Segment(value, name, value, meaning), layer, value)


def _whole(text: str, number: int, key: str, least: int, path: Path) -> int:
    if re.fullmatch(r"\d{1,5}", text) and least <= int(text) <= np.iinfo(np.uint16).max:
        return int(text)
    raise InputError(
        f"has {text!r} as Segment{number}_{key}; expected a number of {least} to 65535.",
        remedy="Save it again in 3D Slicer.",
        path=path,
    )


def _numbered(stored: Sequence[StoredSegment], path: Path) -> list[StoredSegment]:
    """The segments with numbers that are each one's own: label values, or 1, 2, 3..."""
    places: dict[tuple[int, int], StoredSegment] = {}
    for one in stored:
        other = places.setdefault((one.layer, one.stored), one)
        if other is not one:
            raise InputError(
                f"gives the segments {other.segment.name!r} and {one.segment.name!r} the same "
                f"label value {one.stored} in the same layer.",
                remedy="Save it again in 3D Slicer.",
                path=path,
            )
    if len({s.stored for s in stored}) == len(stored):
        return list(stored)
    return [
        StoredSegment(Segment(n, s.segment.name, n, s.segment.meaning), s.layer, s.stored)
        for n, s in enumerate(stored, 1)
    ]
