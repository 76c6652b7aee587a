"""Cases as networks see them: normalised, on one spacing, kept on disk while they are learned from.

Patches are cut from files that are mapped into memory, so that no case is held whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, SoftlabError
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.case import HardLabels
from softlab_cli.methods.base import CaseInput
from softlab_cli.methods.checks import check_finite
from softlab_cli.methods.vls.regridding import resample_linear, resample_nearest, shape_at
from softlab_cli.store.files import system_errors

__all__ = [
    "CaseFacts",
    "ReadTask",
    "TrainingCase",
    "check_image",
    "content_of",
    "dims_of",
    "fits_spacing",
    "median_spacing",
    "normalised",
    "read_case",
    "wanted_shape",
]

Spacing = tuple[float, float, float]

SAME_SPACING = 1.1
"""Spacings within this factor are one."""

MOST_SPACING = 4.0
"""Beyond this factor a case is of another kind than what was learned from."""

FEW_SLICES = 16
THICK_SLICES = 3.0
"""Below so many slices, or from that ratio of spacings on, patches are slices."""

POINTS = 4096
"""Voxels of a class that patches are centred on, at most."""

LARGEST_HALF = 60000.0


@dataclass(frozen=True)
class CaseFacts:
    """What was found out about a case that is learned from.

    Parameters
    ----------
    case_id
        Its name.
    patient
        What its files say of the patient, not to be told from it; empty for nothing.
    image, label
        Checksums of intensities and class indices.
    geometry
        Its own grid.
    channels
        Channels of its image.
    class_voxels
        Voxels of each class.
    file
        Where it is kept, without ending.
    constant
        Channels that are constant.
    problem
        Why it cannot be used; empty when it can.
    """

    case_id: str
    patient: str = ""
    image: str = ""
    label: str = ""
    geometry: Geometry | None = None
    channels: int = 0
    class_voxels: tuple[int, ...] = ()
    file: str = ""
    constant: tuple[int, ...] = ()
    problem: str = ""

    @property
    def grid(self) -> Geometry:
        """The grid of a case that can be used."""
        assert self.geometry is not None
        return self.geometry

    @property
    def classes(self) -> tuple[int, ...]:
        """Class indices that occur."""
        return tuple(index for index, count in enumerate(self.class_voxels) if count)


@dataclass(frozen=True)
class ReadTask:
    """A case that is to be read for learning.

    Parameters
    ----------
    case
        The case.
    folder
        Where it is kept.
    spacing_mm, dims
        What it is brought to; None keeps its own grid.
    """

    case: CaseInput
    folder: Path
    spacing_mm: Spacing | None = None
    dims: int = 3


def read_case(task: ReadTask) -> CaseFacts:
    """Read a case and keep it as networks see it; a problem of the case is told, not raised.

    Raises
    ------
    StoreError
        When the folder cannot be written to.
    """
    case = task.case
    try:
        labels = case.label_map()
        with case.naming_image():
            intensities = case.image(labels.geometry).intensities
            check_image(intensities, labels.class_indices.shape)
    except SoftlabError as error:
        return CaseFacts(case.case_id, problem=str(error))
    image, constant = normalised(intensities)
    content = content_of(intensities)
    indices = labels.class_indices
    if task.spacing_mm is not None:
        shape = wanted_shape(labels.geometry, task.spacing_mm, task.dims)
        image, indices = resample_linear(image, shape), resample_nearest(indices, shape)
    file = task.folder / hashlib.sha256(case.case_id.encode()).hexdigest()[:32]
    _keep(file, image, indices, case.classes)
    return CaseFacts(
        case.case_id, case.patient, content, content_of(labels.class_indices), labels.geometry,
        len(image), _counts(labels), str(file), constant,
    )  # fmt: skip


def _counts(labels: HardLabels) -> tuple[int, ...]:
    return tuple(int(count) for count in labels.counts.hard_voxels)


def check_image(image: NDArray[np.float32], shape: tuple[int, ...]) -> None:
    """Raise `InputError` unless an image has voxels of this shape, and finite intensities."""
    if image.ndim != 4 or image.shape[1:] != shape or len(image) == 0:
        raise InputError(
            f"the image has the shape {image.shape}, and a label map of the shape {shape} needs "
            f"(channels, {', '.join(map(str, shape))}).",
            remedy="Give the image that the label map was drawn on.",
        )
    check_finite(image)


def content_of(array: NDArray[Any]) -> str:
    """Checksum of an array: of its shape, its type and its numbers."""
    checksum = hashlib.sha256(f"{array.shape} {array.dtype.str}".encode())
    for part in array:
        checksum.update(np.ascontiguousarray(part).data)
    return checksum.hexdigest()


def normalised(image: NDArray[np.float32]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
    """Each channel with mean 0 and deviation 1, and the channels that are constant (all 0)."""
    found, constant = np.empty(image.shape, np.float32), []
    for number, channel in enumerate(image):
        mean, deviation = channel.mean(dtype=np.float64), channel.std(dtype=np.float64)
        if channel.min() == channel.max() or not deviation > 0:
            constant.append(number)
            found[number] = 0
            continue
        np.subtract(channel, np.float32(mean), out=found[number])
        found[number] /= np.float32(deviation)
    return found, tuple(constant)


def median_spacing(grids: Sequence[Geometry]) -> Spacing:
    """The median of spacings along each axis, in millimetres."""
    z, y, x = (float(median(axis)) for axis in zip(*(g.spacing_mm for g in grids), strict=True))
    return z, y, x


def dims_of(grids: Sequence[Geometry]) -> int:
    """2 where patches should be slices, and 3 otherwise; most cases decide."""
    flat = [
        grid.ndim == 2
        or grid.shape[0] < FEW_SLICES
        or max(grid.spacing_mm) > THICK_SLICES * min(grid.spacing_mm)
        for grid in grids
    ]
    return 2 if 2 * sum(flat) > len(flat) or any(grid.ndim == 2 for grid in grids) else 3


def _factors(grid: Geometry, spacing_mm: Spacing, dims: int) -> list[float]:
    """How much wider a grid's voxels are, along the axes that networks see."""
    pairs = list(zip(grid.spacing_mm, spacing_mm, strict=True))
    return [own / wanted for own, wanted in pairs[-dims:]]


def fits_spacing(grid: Geometry, spacing_mm: Spacing, dims: int) -> bool:
    """Whether a case stays on its own grid.

    Raises
    ------
    InputError
        For a spacing that is of another order.
    """
    factors = _factors(grid, spacing_mm, dims)
    if any(not 1 / MOST_SPACING <= factor <= MOST_SPACING for factor in factors):
        own, wanted = (" x ".join(f"{s:.4g}" for s in sp) for sp in (grid.spacing_mm, spacing_mm))
        raise InputError(
            f"has voxels of {own} mm, and the model is of {wanted} mm.",
            remedy="Check the spacing, or train on cases like this one.",
        )
    return all(1 / SAME_SPACING <= factor <= SAME_SPACING for factor in factors)


def wanted_shape(grid: Geometry, spacing_mm: Spacing, dims: int) -> Shape:
    """Voxels of a case on the model's spacing; slices stay what they are in 2D."""
    factors = [1.0] * (3 - dims) + _factors(grid, spacing_mm, dims)
    return shape_at(grid.shape, (factors[0], factors[1], factors[2]))


def _keep(
    file: Path, image: NDArray[np.float32], indices: NDArray[Any], classes: ClassTable
) -> None:
    np.clip(image, -LARGEST_HALF, LARGEST_HALF, out=image)
    halves = image.astype(np.float16)
    with system_errors(file, "written"):
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file.with_suffix(".image.npy"), halves)
        np.save(file.with_suffix(".label.npy"), indices)
        np.savez(file.with_suffix(".points.npz"), **_points(indices, classes))  # type: ignore[arg-type]


def _points(indices: NDArray[Any], classes: ClassTable) -> dict[str, NDArray[np.int64]]:
    """Some voxels of each foreground class, evenly over all of them."""
    found = {}
    for index in range(len(classes)):
        if index == classes.background_index:
            continue
        places = np.flatnonzero(indices == index)
        if len(places):
            found[str(index)] = places[:: -(-len(places) // POINTS)].astype(np.int64)
    return found


@dataclass(frozen=True)
class TrainingCase:
    """A case that is kept on disk.

    Parameters
    ----------
    case_id
        Its name.
    file
        Where it is kept, without ending.
    image, label
        Checksums, as in `CaseFacts`.
    """

    case_id: str
    file: Path
    image: str
    label: str

    def arrays(self) -> tuple[NDArray[np.float16], NDArray[Any]]:
        """(channels, Z, Y, X) float16 image and (Z, Y, X) class indices, mapped into memory."""
        return _mapped(self.file, self.image + self.label)

    def points(self) -> dict[int, NDArray[np.int64]]:
        """Voxels that patches may be centred on, by class index; places in the flat array."""
        return _points_of(self.file, self.image + self.label)


@lru_cache(maxsize=4096)
def _mapped(file: Path, content: str) -> tuple[NDArray[np.float16], NDArray[Any]]:
    with system_errors(file, "read"):
        return (
            np.load(file.with_suffix(".image.npy"), mmap_mode="r"),
            np.load(file.with_suffix(".label.npy"), mmap_mode="r"),
        )


@lru_cache(maxsize=4096)
def _points_of(file: Path, content: str) -> dict[int, NDArray[np.int64]]:
    with system_errors(file, "read"), np.load(file.with_suffix(".points.npz")) as kept:
        return {int(name): kept[name] for name in kept.files}
