"""A case whose label maps and image are arrays, and soft labels that become one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.fractions import PADDING_VALUE, SoftClasses
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.volume import Geometry, Image
from softlab_cli.labels.case import HardLabels, RaterLabels, count_indexed
from softlab_cli.labels.indices import distinct_values, index_label_map
from softlab_cli.readers.label_values import collect_labels, pieces_of
from softlab_cli.readers.replacing import Replacing

__all__ = ["ArrayCase", "ArraySink"]


@dataclass(frozen=True)
class ArrayCase:
    """Arrays as a method sees them; see `softlab_cli.methods.base.CaseInput`.

    Parameters
    ----------
    classes
        The class table.
    geometry
        The voxel grid.
    volumes
        (Z, Y, X) label values, of each rater.
    channels
        (channels, Z, Y, X) intensities, where there is an image.
    threads, case_id, keep_raters, max_memory
        As for `CaseInput`.
    """

    classes: ClassTable
    geometry: Geometry
    volumes: tuple[NDArray[Any], ...]
    channels: NDArray[np.float32] | None
    threads: int
    case_id: str = ""
    keep_raters: bool = False
    max_memory: int | None = None

    @classmethod
    def of(
        cls,
        label_maps: Sequence[NDArray[Any]],
        image: NDArray[Any] | None,
        *,
        spacing_mm: Sequence[float] | None,
        labels: Iterable[int] | None,
        ignore_value: int | None,
        threads: int,
    ) -> ArrayCase:
        """The case of the arrays that `softlab_cli.api.soften` is given.

        Raises
        ------
        ClassError, UsageError
            As `softlab_cli.api.soften`.
        """
        if not label_maps:
            raise UsageError("there is no label map.", remedy="Give one for each rater.")
        first = label_maps[0]
        volumes = tuple(_as_volume(one) for one in label_maps)
        if ignore_value is not None and not 0 <= ignore_value <= LARGEST_LABEL_VALUE:
            replacing = Replacing({int(ignore_value): PADDING_VALUE}, stand_in=PADDING_VALUE)
            volumes = tuple(_replaced(one, replacing) for one in volumes)
            ignore_value = PADDING_VALUE
        geometry = _geometry(volumes[0].shape, np.ndim(first), spacing_mm)
        classes = _class_table(volumes, labels, ignore_value)
        channels = None if image is None else _as_channels(image, np.shape(first))
        return cls(classes, geometry, volumes, channels, threads)

    @property
    def patient(self) -> str:
        """Nothing: an array says nothing of a patient."""
        return ""

    def label_map(self) -> HardLabels:
        """The label map of the first rater, in class indices."""
        indexed = index_label_map(self.volumes[0], self.classes)
        counts = count_indexed(indexed, self.classes)
        return HardLabels(self.geometry, indexed.class_indices, counts)

    def raters(self) -> RaterLabels:
        """The label maps of all raters, who are called 1, 2 and so on."""
        from softlab_cli.fusion.patterns import find_patterns

        indexed = (index_label_map(one, self.classes).class_indices for one in self.volumes)
        patterns = find_patterns(indexed, len(self.classes), self.classes.ignore_index)
        names = tuple(str(number) for number in range(1, len(self.volumes) + 1))
        return RaterLabels(self.geometry, patterns, names)

    def image(self, geometry: Geometry) -> Image:
        """The image; `UsageError` when there is none."""
        if self.channels is None:
            raise UsageError("this method follows the image.", remedy="Give the image as well.")
        return Image(self.channels, geometry)

    def fractions(self, supersample: int | None) -> SoftClasses:
        """Refuse with a `UsageError`: an array has none."""
        raise UsageError(
            "an array of label values has no soft labels to import.", remedy="Choose a method."
        )

    def grid(self, geometry: Geometry) -> Grid:
        """No block larger than the volume: here no store wants them all alike."""
        grid = Grid.for_volume(geometry.shape, geometry.ndim)
        z, y, x = (min(pair) for pair in zip(grid.block, grid.shape, strict=True))
        return Grid(grid.shape, (z, y, x), (z, y, x))

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A temporary folder."""
        with TemporaryDirectory() as folder:
            yield Path(folder)

    def naming_image(self) -> AbstractContextManager[None]:
        """Nothing: an array has no name."""
        return nullcontext()


@dataclass(frozen=True)
class ArraySink:
    """Where soft labels of arrays go; see `softlab_cli.methods.prepared.Sink`.

    Parameters
    ----------
    grid
        The blocks that are expected.
    soft_label
        (C, Z, Y, X), 0 all over.
    """

    grid: Grid
    soft_label: NDArray[np.float16]

    @classmethod
    def new(cls, case: ArrayCase) -> ArraySink:
        """An empty one for a case."""
        shape = len(case.classes), *case.geometry.shape
        return cls(case.grid(case.geometry), np.zeros(shape, np.float16))

    def encode_label(
        self, region: Region, class_indices: NDArray[Any], rater: int | None = None
    ) -> None:
        """Nothing: the caller has the hard labels."""

    def encode(self, block: SoftBlock) -> None:
        """Copy the block into its place."""
        z, y, x = region_shape(block.region)
        for i, class_index in enumerate(block.class_indices):
            self.soft_label[(class_index, *block.region)] = block.values[i, :z, :y, :x]
        for class_index, value in block.constants.items():
            self.soft_label[(class_index, *block.region)] = value

    def append(self, block: None) -> None:
        """Nothing: each block is in its place already."""


def _class_table(
    volumes: Sequence[NDArray[Any]], labels: Iterable[int] | None, ignore_value: int | None
) -> ClassTable:
    if labels is None:
        labels = {value for volume in volumes for value in distinct_values(volume)}
    ignored = () if ignore_value is None else (ignore_value,)
    return ClassTable.from_values(labels, ignore_values=ignored)


def _as_volume(label_map: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(label_map)
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.kind not in "ui":
        raise UsageError(f"label values of type {array.dtype} are no integers.",
                         remedy="Convert the array, for instance with astype.")  # fmt: skip
    if array.ndim not in (2, 3) or array.size == 0:
        raise UsageError(f"an array of shape {array.shape} is no label map.",
                         remedy="Give (Z, Y, X) or (Y, X) with at least one voxel.")  # fmt: skip
    return array if array.ndim == 3 else array[np.newaxis]


def _replaced(volume: NDArray[Any], replacing: Replacing) -> NDArray[Any]:
    """The volume with other numbers in place of some."""
    pieces = pieces_of(np.ascontiguousarray(volume))
    z, y, x = volume.shape
    return collect_labels(pieces, (z, y, x), None, replacing=replacing)[0]


def _as_channels(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(channels, Z, Y, X); that voxels are those of the label map is for the method to check."""
    array = np.asarray(image, np.float32)
    if array.shape == shape:
        array = array[np.newaxis]
    if array.shape[1:] == shape and len(shape) == 2:
        array = array[:, np.newaxis]
    return array


def _geometry(shape: tuple[int, ...], ndim: int, spacing_mm: Sequence[float] | None) -> Geometry:
    spacing = [1.0] * ndim if spacing_mm is None else [float(s) for s in spacing_mm]
    if len(spacing) != ndim or not all(0 < s < np.inf for s in spacing):
        raise UsageError(f"a spacing of {spacing_mm} mm does not fit {ndim} axes.",
                         remedy="Give one number above 0 for each axis.")  # fmt: skip
    affine = np.diag([*reversed(spacing), *[1.0] * (4 - ndim)])
    depth, height, width = shape
    return Geometry((depth, height, width), affine, ndim)
