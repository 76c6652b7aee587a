"""Geodesic label smoothing (GeoLS): soft labels that follow the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.memory import MIB, PROCESS_BYTES, SHARD_BUFFER_BYTES, blocks_bytes
from softlab_cli.core.volume import Geometry
from softlab_cli.geodesic.base import Engine
from softlab_cli.geodesic.seeds import (
    ClassBox,
    ClassSeeds,
    class_boxes,
    every_class_seeds,
    seeding_bytes,
    seeds_bytes,
)
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE
from softlab_cli.labels.images import probe_images
from softlab_cli.methods.base import CaseInput, Method, Needs, Takes
from softlab_cli.methods.geols.findings import (
    check_image,
    constant_warnings,
    facts_of,
    flat_warnings,
    seed_warnings,
)
from softlab_cli.methods.geols.map_scratch import MapScratch
from softlab_cli.methods.geols.map_set import Blend
from softlab_cli.methods.geols.maps import GeodesicMaps, MapMaker
from softlab_cli.methods.geols.parameters import GeoLSParameters
from softlab_cli.methods.prepared import PreparedBlocks

if TYPE_CHECKING:
    from softlab_cli.cases import Case
    from softlab_cli.core.volume import Image
    from softlab_cli.labels.case import HardLabels
    from softlab_cli.readers import FileProbe

__all__ = ["GeoLS"]

SCRATCH_NAME = "geols.maps"

LIBRARY_BYTES = 48 * MIB
"""The libraries that seeds are found with."""

BYTES_PER_BLOCK_VOXEL = 2 + 4 + 3 * 8 + 2 * 2 + 1 + 2 + 32
"""What a workspace holds for each voxel of a block: a map, its numbers, three sums
over classes, marks, a copy of the labels; and what numpy needs in passing."""


@dataclass(frozen=True)
class GeoLS(GeoLSParameters, Method):
    """Geodesic label smoothing: p = (1-alpha) onehot + alpha g~.

    Adiga Vasudeva, Dolz and Lombaert, GeoLS: Geodesic Label Smoothing for Image
    Segmentation, MIDL 2023; what the paper leaves open follows the authors'
    repository. For each foreground class c that occurs, D_c is the geodesic
    distance of every voxel to the class's seeds, and
    g_c = exp(-D_c / mean(D_c)), stretched to [0, 1]. The background's map is
    g_0 = 1 - mean of all g_c, or 1 without any. g~ is g over its sum over classes.
    Classes that do not occur have g = 0. The maps are rounded to float16 before
    they are blended, on disk and in memory, so that memory does not decide on bits.

    Ignored voxels get 0 in every class and belong to none, but distances pass
    through them. Where the table has no background, only the foreground is
    normalised, and a voxel that all classes are farthest from keeps its label.

    Parameters
    ----------
    smoothing, seeds, metric, ...
        As for `softlab_cli.methods.geols.parameters.GeoLSParameters`, which checks them.
    """

    name: ClassVar[str] = "geols"
    takes: ClassVar[Takes] = "label map and image"

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace of `GeodesicMaps` occupies."""
        planes = 2 * min(class_count, MAX_CLASSES_AT_ONCE)
        return (planes + BYTES_PER_BLOCK_VOXEL) * prod(block)

    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """Memory when the maps wait on disk, and the disk that they take there."""
        geometry = seen.geometry
        image = probe_images(case, geometry)
        block = Grid.for_volume(geometry.shape, geometry.ndim).block
        distances = self.case_bytes(geometry.shape, image.channels, len(classes), threads)
        indices = prod(geometry.shape) * classes.index_dtype.itemsize
        volumes = max(
            seen.bytes_on_read,
            seen.bytes_held + max(indices, image.bytes_on_read),
            indices + image.bytes_held + distances,
        )
        return Needs(
            self._blocks_bytes(len(classes), block, threads) + volumes,
            self.scratch_bytes(geometry.shape, len(classes)),
        )

    def _blocks_bytes(self, class_count: int, block: Shape, threads: int) -> int:
        """A process with its blocks, without any volume."""
        blocks = blocks_bytes(self.workspace_bytes(class_count, block), threads)
        return PROCESS_BYTES + SHARD_BUFFER_BYTES + blocks

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedBlocks]:
        """Read label map and image, and compute the maps of all classes."""
        labels = case.label_map()
        image = case.image(labels.geometry)
        # A label map and its image are often odd in the same way; that is said once.
        warnings = tuple(dict.fromkeys((*labels.warnings, *image.warnings)))
        grid = case.grid(labels.geometry)
        with (
            case.naming_image(),
            case.scratch() as folder,
            self.make_maps(
                labels.class_indices,
                image.intensities,
                case.classes,
                labels.geometry,
                case_id=case.case_id,
                scratch_folder=folder,
                threads=case.threads,
                max_memory=self._spare(case, labels, image, grid.block),
                grid=grid,
            ) as maps,
        ):
            del image  # the maps are made
            ready = PreparedBlocks.of_hard_labels(labels, maps, case.classes)
            details = {"geols": maps.facts}
            yield replace(ready, warnings=(*warnings, *maps.warnings), details=details)

    def _spare(self, case: CaseInput, labels: HardLabels, image: Image, block: Shape) -> int | None:
        """Bytes that are left when label map, image and blocks have theirs."""
        if case.max_memory is None:
            return None
        taken = self._blocks_bytes(len(case.classes), block, case.threads)
        taken += labels.class_indices.nbytes + image.intensities.nbytes
        return max(0, case.max_memory - taken)

    def case_bytes(
        self,
        shape: Shape,
        channels: int,
        class_count: int,
        threads: int,
        *,
        engine: Engine | None = None,
    ) -> int:
        """Upper bound of the memory that `make_maps` takes when it takes as little as it can.

        The label map and the image come on top, and so do workspaces afterwards.

        Parameters
        ----------
        shape
            Voxels along (Z, Y, X).
        channels
            Channels of the image.
        class_count
            Classes of the table.
        threads
            As for `make_maps`.
        engine
            As for `make_maps`.
        """
        voxels, options = prod(shape), self.seed_options
        engine = engine or self.make_engine()
        together = channels if self.channel_mode == "vector" else 1
        rows = min(threads, class_count) if channels > together else 1
        seeding = seeding_bytes(shape, class_count, options, threads)
        mapping = (
            seeds_bytes(shape, class_count, options)
            + engine.held_bytes(shape, together, threads)
            + (4 * rows + 2) * voxels
            + 28 * shape[0] * shape[1]  # sums of rows
        )
        return LIBRARY_BYTES + max(seeding, mapping)

    def scratch_bytes(self, shape: Shape, class_count: int) -> int:
        """Upper bound of the maps that wait, on disk unless memory is left for them.

        Parameters
        ----------
        shape, class_count
            As for `case_bytes`.
        """
        return 2 * prod(shape) * class_count

    def make_maps(
        self,
        class_indices: NDArray[np.unsignedinteger[Any]],
        image: NDArray[np.float32],
        classes: ClassTable,
        geometry: Geometry,
        *,
        case_id: str,
        scratch_folder: Path,
        threads: int = 1,
        max_memory: int | None = None,
        engine: Engine | None = None,
        grid: Grid | None = None,
    ) -> GeodesicMaps:
        """Compute the maps of all classes of a case.

        Parameters
        ----------
        class_indices
            (Z, Y, X) uint8 or uint16.
        image
            (channels, Z, Y, X) float32 intensities on the same grid.
        classes
            The class table.
        geometry
            The grid; of it, the spacing matters.
        case_id
            What random seeds depend on.
        scratch_folder
            A folder of this case alone, for a file with the maps. The file is removed
            when the result is closed.
        threads
            Threads that compute; the result does not depend on it.
        max_memory
            Bytes that may be taken beside label map and image; the maps stay in
            memory when they fit. None for no limit.
        engine
            Another engine than `make_engine`'s.
        grid
            The blocks that will be softened; by default those of a store.

        Raises
        ------
        InputError
            For intensities that are not finite, or an image of another shape.
        StoreError
            When the scratch cannot be written.
        """
        check_image(image, class_indices.shape)
        engine = engine or self.make_engine()
        boxes = class_boxes(class_indices)
        found = every_class_seeds(
            class_indices, self._foreground(boxes, classes), self.seed_options,
            label_values=classes.values, case_id=case_id,
            spacing_mm=geometry.spacing_mm, threads=threads,
        )  # fmt: skip
        seeds = [one for one in found if len(one.places)]  # the others have no map
        least = self.case_bytes(geometry.shape, len(image), len(classes), threads, engine=engine)
        spare = inf if max_memory is None else max(0, max_memory - least)
        size = self.scratch_bytes(geometry.shape, len(seeds))
        scratch = MapScratch(
            grid or Grid.for_volume(geometry.shape, geometry.ndim),
            None if size <= spare else scratch_folder / SCRATCH_NAME,
        )
        spare -= size if scratch.path is None else 0
        maker = MapMaker(
            engine, self.cost, geometry.spacing_mm, self._images(image), scratch.grid, threads,
            classes_at_once=threads + int(min(len(seeds), spare // (4 * class_indices.size))),
        )  # fmt: skip
        flat = maker.write(seeds, classes.names, scratch)
        facts = facts_of(boxes, found, flat, classes) | {
            "engine": engine.name,
            "deterministic": engine.deterministic,
            "scratch_bytes": scratch.size,
        }
        warnings = self._warnings(image, found, flat, classes)
        numbers = {one.class_index: number for number, one in enumerate(seeds)}
        written = self._written(boxes, classes)
        return GeodesicMaps(self._blend(classes), written, numbers, scratch, facts, warnings)

    def _warnings(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[ClassSeeds],
        flat: Sequence[str],
        classes: ClassTable,
    ) -> tuple[str, ...]:
        """What the user should know of the image, the seeds and the maps."""
        used = image if seeds else image[:0]
        return (
            *constant_warnings(used, self.cost, self.channel_mode),
            *seed_warnings(seeds, self.seed_options, classes),
            *flat_warnings(flat),
        )

    def _foreground(self, boxes: Sequence[ClassBox], classes: ClassTable) -> list[ClassBox]:
        """The classes that get a map; without smoothing none is needed."""
        if self.smoothing == 0:
            return []
        no_map = (classes.background_index, classes.ignore_index)
        return [box for box in boxes if box.class_index not in no_map]

    def _images(self, image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        """What distances are computed in: all channels together, or one after another."""
        image = np.ascontiguousarray(image, np.float32)
        if self.channel_mode == "vector":
            return [image]
        return [image[i : i + 1] for i in range(len(image))]

    def _blend(self, classes: ClassTable) -> Blend:
        background = classes.background_index
        return Blend(self.smoothing, self.min_mass, self.sums_to_one, background)

    def _written(self, boxes: Sequence[ClassBox], classes: ClassTable) -> tuple[int, ...]:
        found = {box.class_index for box in boxes} - {classes.ignore_index}
        background = classes.background_index
        return tuple(sorted(found if background is None else found | {background}))
