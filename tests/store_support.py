"""Small stores with random soft labels, for the tests of the store."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from softlab_cli.core import blocks
from softlab_cli.core.blocks import Grid, Region, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.provenance import Source
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.core.volume import Geometry
from softlab_cli.store.arrays import ArrayReader
from softlab_cli.store.documents import PROOFS, case_documents, store_document
from softlab_cli.store.files import METADATA, read_json, write_json
from softlab_cli.store.reader import Store
from softlab_cli.store.records import ArrayRecord, checksum_of, sealed
from softlab_cli.store.schema import FIRST_SCHEMA, CaseInfo, StoreInfo
from softlab_cli.store.shards import ShardWriter
from softlab_cli.store.statistics import LabelCounts, case_statistics
from softlab_cli.store.writer import CaseWriter, StoreWriter

AFFINE = np.array([[-0.8, 0, 0, 10], [0, 0.9, 0, -20], [0, 0, 2.5, 30], [0, 0, 0, 1]], float)


@contextmanager
def small_blocks() -> Iterator[None]:
    """Blocks of 4^3 in shards of 8^3, so that a tiny volume has many of both."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "BLOCK_3D", (4, 4, 4))
        patch.setattr(blocks, "SHARD_3D", (8, 8, 8))
        patch.setattr(blocks, "BLOCK_2D", (1, 8, 8))
        patch.setattr(blocks, "SHARD_2D", (1, 16, 16))
        yield


@dataclass(frozen=True)
class Example:
    """A case with all its voxels: (C, Z, Y, X) float16 and (Z, Y, X) class indices."""

    soft: NDArray[np.float16]
    indices: NDArray[Any]
    geometry: Geometry
    classes: ClassTable


def example(
    shape: tuple[int, int, int] = (11, 9, 18),
    class_count: int = 3,
    *,
    ndim: int = 3,
    ignore: bool = True,
    seed: int = 0,
) -> Example:
    """A random case: uniform regions, regions of two classes, some ignored voxels.

    The soft labels are multiples of 1/64, so that every sum is exact.
    """
    rng = np.random.default_rng(seed)
    classes = ClassTable.from_values(range(class_count), ignore_values=[60000] if ignore else [])
    coarse = rng.integers(0, class_count, [-(-n // 6) for n in shape])
    indices = np.kron(coarse, np.ones((6, 6, 6), int))[: shape[0], : shape[1], : shape[2]]
    weight = np.where(rng.random(shape) < 0.1, rng.integers(33, 64, shape) / 64, 1.0)
    weight[:, :, : shape[2] // 2] = 1
    soft = np.zeros((class_count, *shape), np.float16)
    np.put_along_axis(soft, indices[None], weight[None].astype(np.float16), axis=0)
    other = (indices + 1) % class_count
    soft += np.where(np.arange(class_count)[:, None, None, None] == other, 1 - weight, 0).astype(
        np.float16
    )
    if ignore:
        ignored = rng.random(shape) < 0.02
        soft[:, ignored] = 0
        indices = np.where(ignored, classes.ignore_index, indices)
    geometry = Geometry(shape, AFFINE, ndim)
    return Example(soft, indices.astype(classes.index_dtype), geometry, classes)


def soft_blocks(soft: NDArray[np.float16], grid: Grid) -> Iterator[SoftBlock]:
    """The blocks that a method would deliver."""
    for region in grid.regions():
        yield soft_block(soft, region, grid)


def soft_block(soft: NDArray[np.float16], region: Region, grid: Grid) -> SoftBlock:
    """One block: classes of one value are constants, absent ones are left out."""
    z, y, x = region_shape(region)
    part = soft[(slice(None), *region)]
    constants = {c: float(p.flat[0]) for c, p in enumerate(part) if (p == p.flat[0]).all()}
    varied = tuple(c for c in range(len(part)) if c not in constants)
    values = np.zeros((len(varied), *grid.block), np.float16)
    values[:, :z, :y, :x] = part[list(varied)]
    return SoftBlock(region, varied, values, {c: v for c, v in constants.items() if v})


def case_info(
    case: Example, sources: tuple[Source, ...] = (), *, labels_only: bool = False
) -> CaseInfo:
    """Metadata with the right statistics."""
    background = case.classes.background_index
    counts = count_labels(case.indices, len(case.classes), case.classes.ignore_index, background)
    statistics = case_statistics(
        counts,
        None if labels_only else soft_sums(case, counts.box),
        background_index=background,
        spacing_mm=case.geometry.spacing_mm,
    )
    return CaseInfo(case.geometry, sources, statistics, ("a warning",), {"raters": 1})


def soft_sums(case: Example, box: Region | None) -> SoftSums:
    """What the soft labels add up to, by NumPy."""
    soft = case.soft.astype(np.float64)
    soft = np.where((soft >= 0) & (soft <= 1), soft, 0)
    entropy = np.rint(-soft * np.log(np.where(soft > 0, soft, 1)) / ENTROPY_UNIT)
    largest = soft.max(axis=0)
    own = np.array([(soft[c] * (case.indices == c)) for c in range(len(soft))]).sum(axis=0)
    ties = ((soft == largest).sum(axis=0) > 1) & (largest > 0)
    inside = soft[(slice(None), *box)] if box else soft[:, :0]
    return SoftSums(
        (soft.sum(axis=(1, 2, 3)) / MASS_UNIT).astype(np.int64),
        int(entropy.sum()),
        int((own < largest).sum()),
        int(ties.sum()),
        (inside.sum(axis=(1, 2, 3)) / MASS_UNIT).astype(np.int64) if box else None,
    )


def fill(writer: CaseWriter, case: Example) -> None:
    """Write all voxels of a case."""
    for region in writer.grid.regions():
        writer.append(writer.encode_label(region, case.indices[region]))
    if "soft" in writer.arrays:
        for block in soft_blocks(case.soft, writer.grid):
            writer.append(writer.encode(block))


def store_info(classes: ClassTable, **changes: Any) -> StoreInfo:
    """Facts of a store."""
    return StoreInfo("test", {"sigma_voxels": 1.0, "sizes": (3, 3, 3)}, classes, **changes)


def write_store(
    path: Path, *, labels_only: bool = False, ome: str = "0.5", **cases: Example
) -> StoreWriter:
    """A store with the given cases."""
    classes = next(iter(cases.values())).classes
    info = store_info(classes, labels_only=labels_only, ome=ome)
    store = StoreWriter.create_or_open(path, info)
    for case_id, case in cases.items():
        with store.case(case_id, case.geometry) as writer:
            fill(writer, case)
            writer.complete(case_info(case, labels_only=labels_only))
    return store


def as_first_schema(path: Path) -> None:
    """Make a store what versions before schema 1.1 wrote, but for the place of the image."""
    info = Store(path).info
    first = replace(info, schema=FIRST_SCHEMA)
    for case_id in Store(path):
        case = Store(path)[case_id]
        records = {
            name: _as_first_schema(case.path, info.array_path(name), name, record)
            for name, record in case.info.arrays.items()
        }
        if info.has_label_image:
            shutil.rmtree(case.path / "labels")
        document = json.loads(
            case_documents(case_id, replace(case.info, arrays=records), first)[""]
        )
        write_json(case.path / METADATA, document)
    write_json(path / METADATA, store_document(first))


def _as_first_schema(case: Path, path: str, name: str, record: ArrayRecord) -> ArrayRecord:
    """Move an array, and its shards into a folder for each number."""
    (case / path).rename(case / "moved")
    (case / "moved").rename(case / name)
    layout = ArrayReader(case / name, record).layout
    layout = replace(layout, separator="/")
    shards = {}
    for old, shard in record.shards.items():
        new = case / name / old.replace(".", "/")
        new.parent.mkdir(parents=True, exist_ok=True)
        if old != old.replace(".", "/"):
            (case / name / old).rename(new)
        shards[old.replace(".", "/")] = shard
    write_json(case / name / METADATA, layout.to_json())
    return ArrayRecord(checksum_of(layout.to_json()), shards)


def as_placed_before(path: Path) -> None:
    """Place the images as versions before schema 1.1 did, as if their axes ran to RAS."""
    for case_id in Store(path):
        case = Store(path)[case_id]
        document = read_json(case.path / METADATA)
        (multiscale,) = document["attributes"]["ome"]["multiscales"]
        for axis in multiscale["axes"]:
            axis.pop("orientation", None)
        place = multiscale["datasets"][0]["coordinateTransformations"][1]["translation"]
        place[-case.geometry.ndim :] = case.geometry.origin_mm[::-1][-case.geometry.ndim :]
        write_json(case.path / METADATA, document)


def as_earlier_version(store: Path, *case_ids: str) -> None:
    """Make cases (and the root, when none are named) what versions without checksums wrote.

    All of the store gets the schema that they knew.
    """
    as_first_schema(store)
    for folder in [store / case_id for case_id in case_ids or [*Store(store)]]:
        facts = edit_facts(folder, lambda facts: [facts.pop(name) for name in PROOFS])
        for name in facts["arrays"]:
            record = ArrayRecord.from_json(facts["arrays"][name])
            _without_checksums(ArrayReader(folder / name, record))
    if not case_ids:
        edit_facts(store, lambda facts: [facts.pop("seal"), facts.pop("recipe")])


def _without_checksums(array: ArrayReader) -> None:
    layout = replace(array.layout, checksums=False)
    draft = array.folder.with_name("draft")
    writer = ShardWriter(draft, layout)
    for region in layout.grid.regions():
        index, inside = layout.grid.locate(region)
        shard = array.shard(index)
        for place, data in shard.chunks(inside) if shard else ():
            writer.append(index, layout.slot(place, inside), bytes(data)[:-4])
    draft.mkdir(exist_ok=True)
    writer.close()
    write_json(draft / METADATA, layout.to_json())
    shutil.rmtree(array.folder)
    draft.rename(array.folder)


def edit_facts(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    """Change the ``softlab`` attributes of a group; returns what they were."""
    document = read_json(folder / METADATA)
    before: dict[str, Any] = copy.deepcopy(document["attributes"]["softlab"])
    edit(document["attributes"]["softlab"])
    write_json(folder / METADATA, document)
    return before


def edit_and_seal(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    """The same as if a faulty writer had written it: with the right seal."""

    def spoil(facts: dict[str, Any]) -> None:
        edit(facts)
        facts.update(sealed(facts))

    edit_facts(folder, spoil)


def count_labels(
    class_indices: NDArray[np.unsignedinteger[Any]],
    class_count: int,
    ignore_index: int,
    background_index: int | None,
) -> LabelCounts:
    """What the hard label holds, by NumPy."""
    counts = np.zeros(max(class_count, ignore_index + 1), np.int64)
    columns = [np.zeros(n, bool) for n in class_indices.shape]
    for z, plane in enumerate(class_indices):
        counts += np.bincount(plane.ravel(), minlength=len(counts))
        foreground = plane != ignore_index
        if background_index is not None:
            foreground &= plane != background_index
        columns[1] |= foreground.any(axis=1)
        columns[2] |= foreground.any(axis=0)
        columns[0][z] = columns[1].any() and bool(foreground.any())
    ignored = int(counts[ignore_index])
    box = _box(columns)
    in_box = int((class_indices[box] == ignore_index).sum()) if box and ignored else 0
    return LabelCounts(counts[:class_count], ignored, box, in_box)


def _box(columns: list[NDArray[np.bool_]]) -> Region | None:
    if not columns[0].any():
        return None
    found = [np.flatnonzero(c) for c in columns]
    z, y, x = (slice(int(f[0]), int(f[-1]) + 1) for f in found)
    return z, y, x


class CrossSoftener:
    """A local method in miniature: the share of a voxel's face neighbours in each class."""

    def __init__(self, class_count: int) -> None:
        self.class_count = class_count
        self.largest = 0

    def halo(self, spacing_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        return 1, 1, 1

    def soften(
        self,
        class_indices: NDArray[Any],
        region: Region,
        geometry: Geometry,
        block: tuple[int, int, int],
    ) -> Iterator[SoftBlock]:
        self.largest = max(self.largest, int(np.prod(region_shape(region))))
        z, y, x = region_shape(region)
        soft = cross_soft(class_indices, self.class_count)[(slice(None), *region)]
        values = np.full((1, *block), np.nan, np.float16)
        for c in range(self.class_count):
            if (soft[c] == soft[c].flat[0]).all():
                yield SoftBlock(region, (), values[:0], {c: float(soft[c].flat[0])})
            else:
                values[0, :z, :y, :x] = soft[c]
                yield SoftBlock(region, (c,), values)


def cross_soft(class_indices: NDArray[Any], class_count: int) -> NDArray[np.float16]:
    """(C, Z, Y, X): a half for the voxel itself, the rest for its six face neighbours."""
    padded = np.pad(class_indices, 1, mode="edge")
    views = [(slice(1, -1),) * 3] * 6
    for axis in range(3):
        for i in range(2):
            cut = [slice(1, -1)] * 3
            cut[axis] = slice(2 * i, 2 * i - 2 or None)
            views.append((cut[0], cut[1], cut[2]))
    return np.array(
        [sum((padded[v] == c).astype(np.float64) for v in views) / 12 for c in range(class_count)]
    ).astype(np.float16)
