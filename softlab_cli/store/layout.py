"""How an array lies in files: shards, chunks, keys, and its ``zarr.json``.

A shard holds all classes (or raters) of its region. Its chunks are numbered in C
order: class, then block along Z, Y, X.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from softlab_cli.core.blocks import Grid, Region, Shape
from softlab_cli.core.errors import StoreError
from softlab_cli.store.codec import ZSTD_LEVEL
from softlab_cli.store.files import json_bytes
from softlab_cli.store.records import checksum_of
from softlab_cli.store.remedies import ANEW

__all__ = ["ArrayLayout", "blocks_touching"]

SPATIAL_AXES = ("z", "y", "x")
FIRST_AXES = ("c", "r")
SEPARATORS = (".", "/")
CHECKED_CODECS = ["bytes", "zstd", "crc32c"]
"""Of a chunk; stores of earlier versions end with the second."""

LAYOUTS_KEPT = 256

DATA_TYPES = {"float16": "<f2", "uint8": "|u1", "uint16": "<u2"}


def blocks_touching(grid: Grid, region: Region) -> Iterator[Region]:
    """Blocks that share a voxel with a region, each clipped to the volume.

    Parameters
    ----------
    grid
        The volume's blocks.
    region
        A region inside the volume.
    """
    starts = [
        range(s.start - s.start % b, s.stop, b) for s, b in zip(region, grid.block, strict=True)
    ]
    for corner in product(*starts):
        z, y, x = (
            slice(a, min(a + b, n)) for a, b, n in zip(corner, grid.block, grid.shape, strict=True)
        )
        yield z, y, x


@dataclass(frozen=True)
class ArrayLayout:
    """An array of the store.

    Parameters
    ----------
    grid
        Blocks and shards of the volume.
    ndim
        2 for a picture, 3 for a volume.
    dtype
        Type of the values, little-endian.
    count
        Classes of the ``soft`` array, raters of the ``raters`` array; 0 for the
        ``label`` array, which has the spatial axes only.
    first_axis
        Name of the axis that they lie along.
    checksums
        Whether each chunk ends in its crc32c; stores of earlier versions have none.
    separator
        Between the numbers in the name of a shard: with ``.`` all shards lie in one
        folder, as there are few; stores of earlier versions have a folder for each number.
    """

    grid: Grid
    ndim: int
    dtype: np.dtype[Any]
    count: int = 0
    first_axis: str = "c"
    checksums: bool = True
    separator: str = "."

    @classmethod
    def soft(cls, grid: Grid, ndim: int, class_count: int) -> ArrayLayout:
        """The array of soft labels: float16 (C, Z, Y, X), or (C, Y, X) in 2D."""
        return cls(grid, ndim, np.dtype("<f2"), class_count)

    @classmethod
    def label(cls, grid: Grid, ndim: int, dtype: np.dtype[Any]) -> ArrayLayout:
        """The array of class indices: uint8 or uint16 (Z, Y, X), or (Y, X) in 2D."""
        return cls(grid, ndim, dtype.newbyteorder("<"))

    @classmethod
    def raters(cls, grid: Grid, ndim: int, dtype: np.dtype[Any], count: int) -> ArrayLayout:
        """The array of each rater's class indices: (R, Z, Y, X), or (R, Y, X) in 2D."""
        return cls(grid, ndim, dtype.newbyteorder("<"), count, "r")

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape as Zarr has it."""
        return self._with_first(self.grid.shape, self.count)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the array's dimensions."""
        spatial = SPATIAL_AXES[3 - self.ndim :]
        return (self.first_axis, *spatial) if self.count else spatial

    @property
    def slots(self) -> int:
        """Chunks of a full shard."""
        z, y, x = self.grid.blocks_per_shard
        return max(1, self.count) * z * y * x

    def slot(self, place: int, inside: Shape) -> int:
        """Number of a chunk in its shard.

        Parameters
        ----------
        place
            Class index or rater; 0 for the ``label`` array.
        inside
            Place of the block in the shard, from `Grid.locate`.
        """
        _, y, x = per = self.grid.blocks_per_shard
        return place * (per[0] * y * x) + (inside[0] * y + inside[1]) * x + inside[2]

    def shard_path(self, shard: Shape) -> str:
        """Path of a shard's file below the array's folder."""
        return self.separator.join(["c", *map(str, self._with_first(shard, 0))])

    def shard_paths(self) -> Iterator[str]:
        """Paths of all shards."""
        z, y, x = self.grid.shards
        return (self.shard_path((i, j, k)) for i in range(z) for j in range(y) for k in range(x))

    @property
    def checksum(self) -> str:
        """What the record of a case keeps of the layout."""
        return _checksum(self)

    @property
    def document(self) -> bytes:
        """The bytes of the array's ``zarr.json``."""
        return _document(self)

    def to_json(self) -> dict[str, Any]:
        """The array's ``zarr.json``."""
        chunk = self._with_first(self.grid.block, 1)
        shard = self._with_first(self.grid.shard, self.count)
        plain: dict[str, Any] = {"name": "bytes"}
        little = {"name": "bytes", "configuration": {"endian": "little"}}
        # The checksum of the compressed bytes costs a hundredth of zstd's own, which is
        # one of the values: see docs/RELIABILITY.md.
        zstd = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": False}}
        checksum = [{"name": "crc32c"}] if self.checksums else []
        sharding = {
            "chunk_shape": list(chunk),
            "codecs": [plain if self.dtype.itemsize == 1 else little, zstd, *checksum],
            "index_codecs": [little, {"name": "crc32c"}],
            "index_location": "end",
        }
        return {
            "zarr_format": 3,
            "node_type": "array",
            "shape": list(self.shape),
            "data_type": self.dtype.name,
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard)}},
            "chunk_key_encoding": {
                "name": "default",
                "configuration": {"separator": self.separator},
            },
            "fill_value": 0.0 if self.dtype.kind == "f" else 0,
            "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            "attributes": {},
            "dimension_names": list(self.axes),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], path: Path) -> ArrayLayout:
        """The layout that an array's ``zarr.json`` describes; block sizes may differ from ours.

        Raises
        ------
        StoreError
            For a layout or codecs that this reader does not know.
        """
        try:
            foreign = _foreign_part(content)
            if not foreign:
                layout = cls._parse(content)
                foreign = layout._other_cut(content)
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            problem = f"is not the metadata of an array ({error!r})."
            raise StoreError(problem, remedy=ANEW, path=path) from error
        if foreign:
            raise StoreError(
                f"is laid out in a way that softlab does not read: {foreign}.",
                remedy="Read it with zarr-python, or write the store anew with softlab.",
                path=path,
            )
        return layout

    @classmethod
    def _parse(cls, content: Mapping[str, Any]) -> ArrayLayout:
        first_axis = content["dimension_names"][0]
        has_first = first_axis in FIRST_AXES
        shape = content["shape"]
        ndim = len(shape) - has_first
        shard = content["chunk_grid"]["configuration"]["chunk_shape"]
        chunk = content["codecs"][0]["configuration"]["chunk_shape"]
        grid = Grid(_volume(shape, ndim), _volume(chunk, ndim), _volume(shard, ndim))
        dtype = np.dtype(DATA_TYPES[content["data_type"]])
        checksums = len(content["codecs"][0]["configuration"]["codecs"]) == len(CHECKED_CODECS)
        separator = _separator(content)
        if has_first:
            return cls(grid, ndim, dtype, int(shape[0]), first_axis, checksums, separator)
        return cls(grid, ndim, dtype, checksums=checksums, separator=separator)

    def _other_cut(self, content: Mapping[str, Any]) -> str:
        """What differs from shards of all classes with chunks of one class; empty when nothing."""
        shard = content["chunk_grid"]["configuration"]["chunk_shape"]
        chunk = content["codecs"][0]["configuration"]["chunk_shape"]
        if tuple(shard) != self._with_first(self.grid.shard, self.count):
            return f"shards of {shard}, without all of {self.count} along {self.first_axis}"
        if tuple(chunk) != self._with_first(self.grid.block, 1):
            return f"chunks of {chunk}, with more than one along {self.axes[0]}"
        if any(s % c for s, c in zip(shard, chunk, strict=True)):
            return f"shards of {shard}, which are not whole numbers of chunks of {chunk}"
        return ""

    def _with_first(self, spatial: Shape, first: int) -> tuple[int, ...]:
        kept = spatial[3 - self.ndim :]
        return (first, *kept) if self.count else kept


@lru_cache(maxsize=LAYOUTS_KEPT)
def _checksum(layout: ArrayLayout) -> str:
    """Worked out once for all cases of one size."""
    return checksum_of(layout.to_json())


@lru_cache(maxsize=LAYOUTS_KEPT)
def _document(layout: ArrayLayout) -> bytes:
    return json_bytes(layout.to_json())


def _volume(sizes: Sequence[int], ndim: int) -> Shape:
    z, y, x = (1, *sizes[-2:]) if ndim == 2 else sizes[-3:]
    if min(int(z), int(y), int(x)) < 1:
        raise ValueError("a size below 1")
    return int(z), int(y), int(x)


def _foreign_part(content: Mapping[str, Any]) -> str:
    """What differs from the layouts that we read; empty when nothing does."""
    facts: list[tuple[str, Any, Any]] = [
        ("zarr_format", content["zarr_format"], 3),
        ("node_type", content["node_type"], "array"),
        ("chunk grid", _name(content["chunk_grid"]), "regular"),
        ("chunk keys", content["chunk_key_encoding"]["name"], "default"),
        ("separator of chunk keys", _separator(content) in SEPARATORS, True),
        ("fill value", content["fill_value"], 0),
        ("storage transformers", content.get("storage_transformers") or [], []),
        ("codecs", [_name(codec) for codec in content["codecs"]], ["sharding_indexed"]),
    ]
    if _name(content["codecs"][0]) == "sharding_indexed":
        facts += _codec_facts(content["codecs"][0]["configuration"])
    for what, found, known in facts:
        if found != known:
            return f"{what} {found!r} where {known!r} is known"
    if content["data_type"] not in DATA_TYPES:
        return f"data type {content['data_type']!r}"
    known_axes = _known_axes(len(content["shape"]))
    if content["dimension_names"] not in known_axes:
        known = " or ".join(map(str, known_axes)) or "2 to 4 of them"
        return f"dimensions {content['dimension_names']!r} where {known} are known"
    return ""


def _known_axes(count: int) -> list[list[str]]:
    """The names that so many dimensions of an array of ours may have."""
    pictures, volumes = list(SPATIAL_AXES[1:]), list(SPATIAL_AXES)
    every = [pictures, volumes]
    every += [[first, *axes] for axes in (pictures, volumes) for first in FIRST_AXES]
    return [axes for axes in every if len(axes) == count]


def _separator(content: Mapping[str, Any]) -> str:
    return str(content["chunk_key_encoding"].get("configuration", {}).get("separator", "/"))


def _codec_facts(sharding: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    inner, index = sharding["codecs"], sharding["index_codecs"]
    names = [_name(c) for c in inner]
    return [
        ("codecs of a chunk", names, CHECKED_CODECS[: max(2, len(names))]),
        ("codecs of the index", [_name(c) for c in index], ["bytes", "crc32c"]),
        ("place of the index", sharding.get("index_location", "end"), "end"),
        ("byte orders", [_endian(inner[0]), _endian(index[0])], ["little", "little"]),
    ]


def _name(entry: Any) -> str:
    # The specification lets a codec without configuration be its bare name.
    return entry if isinstance(entry, str) else str(entry["name"])


def _endian(codec: Any) -> str:
    configuration = {} if isinstance(codec, str) else codec.get("configuration", {})
    return str(configuration.get("endian", "little"))
