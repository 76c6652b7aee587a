"""Geodesic label smoothing (GeoLS): soft labels that follow the image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import inf, prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.memory import MIB, PROCESS_BYTES, SHARD_BUFFER_BYTES, blocks_bytes
from softlab_cli.core.volume import Geometry
from softlab_cli.geodesic.base import Engine, Metric, StepCost
from softlab_cli.geodesic.seeds import (
    ClassBox,
    ClassSeeds,
    SeedOptions,
    class_boxes,
    every_class_seeds,
    seeding_bytes,
    seeds_bytes,
)
from softlab_cli.kernels.sizes import MAX_CLASSES_AT_ONCE
from softlab_cli.labels.images import probe_images
from softlab_cli.methods.base import CaseInput, Method, Needs, Takes
from softlab_cli.methods.checks import check_choice, check_share
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
from softlab_cli.methods.prepared import PreparedBlocks

if TYPE_CHECKING:
    from softlab_cli.cases import Case
    from softlab_cli.core.volume import Image
    from softlab_cli.labels.case import HardLabels
    from softlab_cli.readers import FileProbe

__all__ = ["CHANNEL_MODES", "METRICS", "PARITIES", "GeoLS"]

METRICS: tuple[str, ...] = get_args(Metric)
"""What a step may cost, by the name on the command line."""

CHANNEL_MODES = ("mean", "vector")
"""What several channels become: the mean of their maps, or one distance over all."""

PARITIES = ("repository",)
"""Whose numbers can be reproduced."""

PARITY_ENGINE = "parity"
"""Engine that computes distances as the authors' repository does."""

SCRATCH_NAME = "geols.maps"

LIBRARY_BYTES = 48 * MIB
"""The libraries that seeds are found with."""

BYTES_PER_BLOCK_VOXEL = 2 + 4 + 3 * 8 + 2 * 2 + 1 + 2 + 32
"""What a workspace holds for each voxel of a block: a map, its numbers, three sums
over classes, marks, a copy of the labels; and what numpy needs in passing."""


@dataclass(frozen=True)
class GeoLS(Method):
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
    smoothing
        The paper's alpha, 0 (one-hot) to 1.
    seeds
        One of `softlab_cli.geodesic.seeds.SEED_STRATEGIES`.
    metric
        One of `METRICS`; see `softlab_cli.geodesic.base.StepCost`.
    intensity_weight
        lambda, how much of a step's cost the intensities are, 0 to 1.
    engine
        Name of an engine, or ``auto``.
    parity
        ``repository``: the authors' own numbers, that is, four raster iterations
        that have not converged; no normalisation over classes, so that soft labels do
        not add up to 1; and the bare skeleton: where it leaves nothing of a class,
        the class has g = 0 and does not count in the mean of g_0. They blend in
        float32: see docs/FIDELITY.md for what rounding the maps first is worth.
    channel_mode
        One of `CHANNEL_MODES`; the paper's is ``mean``.
    min_mass
        Soft labels below are dropped and the others of the voxel divided by what is
        left; at most 1 - `smoothing`, so that a voxel's own class stays.
    iterations
        Sweeps of the engine ``fastgeodis``, the only one that may stop before it has
        converged.
    erosion_voxels, random_voxels, random_seed
        As for `softlab_cli.geodesic.seeds.SeedOptions`.

    Raises
    ------
    UsageError
        For values without meaning, or that contradict each other.
    """

    smoothing: float = 0.1
    seeds: str = "skeleton"
    metric: Metric = "geodistk"
    intensity_weight: float = 1.0
    engine: str = "auto"
    parity: Literal["repository"] | None = None
    channel_mode: Literal["mean", "vector"] = "mean"
    min_mass: float = 0.0
    iterations: int = 4
    erosion_voxels: int = 1
    random_voxels: int = 10
    random_seed: int = 0

    name: ClassVar[str] = "geols"
    takes: ClassVar[Takes] = "label map and image"

    def __post_init__(self) -> None:
        check_share("a smoothing", self.smoothing, 1)
        check_share("an intensity weight", self.intensity_weight, 1)
        check_share("a min mass", self.min_mass, 1 - self.smoothing)
        check_choice("metric", self.metric, METRICS)
        check_choice("channel mode", self.channel_mode, CHANNEL_MODES)
        check_choice("parity", self.parity or PARITIES[0], PARITIES)
        _ = self.seed_options
        self._check_together()

    def _check_together(self) -> None:
        if self.engine == "fastgeodis" and self.metric != "fastgeodis":
            raise UsageError(
                f"engine fastgeodis does not compute the metric {self.metric}.",
                remedy="Choose the metric fastgeodis, or another engine.",
            )
        if self.iterations < 1:
            raise UsageError(
                f"{self.iterations} iterations have no meaning.", remedy="Choose 1 or more."
            )
        if self.engine != "fastgeodis" and self.iterations != GeoLS.iterations:
            raise UsageError(
                f"engine {self.engine} takes no iterations.", remedy="Only fastgeodis does."
            )
        if self.engine == PARITY_ENGINE and not self.parity:
            raise UsageError(
                "engine parity is for --parity repository.", remedy="Choose another engine."
            )
        if not self.parity:
            return
        wrong = {
            f"engine {self.engine}": self.engine not in ("auto", PARITY_ENGINE),
            f"the metric {self.metric}": self.metric != "geodistk",
            f"a min mass of {self.min_mass:g}": self.min_mass > 0,
        }
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise UsageError(
                    f"the authors' repository does not know {what}.",
                    remedy="Leave it out, or leave --parity out.",
                )

    @property
    def sums_to_one(self) -> bool:
        """Whether the soft labels of a voxel add up to 1."""
        return self.parity is None

    @property
    def seed_options(self) -> SeedOptions:
        """How seeds are chosen."""
        return SeedOptions(
            self.seeds, self.erosion_voxels, self.random_voxels, self.random_seed,
            bare=self.parity is not None,
        )  # fmt: skip

    @property
    def cost(self) -> StepCost:
        """What a step costs."""
        return StepCost(self.metric, float(self.intensity_weight))

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, ready for JSON.

        Engines that converge give the same bits and so the same ``distances``. Those of
        the authors name their seeds: stores of before seeds were bare do not go on.
        """
        distances = f"{self.parity}, bare seeds" if self.parity else "converged"
        if self.engine == "fastgeodis":
            distances = f"fastgeodis, {self.iterations} iterations"
        return {
            "smoothing": float(self.smoothing),
            **self.seed_options.parameters(),
            "metric": self.metric,
            "intensity_weight": float(self.intensity_weight),
            "distances": distances,
            "parity": self.parity,
            "channel_mode": self.channel_mode,
            "min_mass": float(self.min_mass),
        }

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> GeoLS:
        """The method that has these `parameters`, with an engine that gives its distances."""
        given = dict(parameters)
        package, _, sweeps = given.pop("distances").partition(", ")
        if package == "fastgeodis":
            given |= {"engine": package, "iterations": int(sweeps.split()[0])}
        return cls(**given)

    def make_engine(self) -> Engine:
        """The engine, ready to work.

        Raises
        ------
        UsageError
            For a name that no engine has.
        EngineError
            When the engine cannot work here.
        """
        from softlab_cli.geodesic import resolve_engine

        if self.engine == "fastgeodis":
            return resolve_engine(self.engine, self.iterations)
        return resolve_engine(PARITY_ENGINE if self.parity else self.engine)

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
