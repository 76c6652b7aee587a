"""nnU-Net's preprocessed cases: segmentation and image, their grid, and whether they changed.

nnU-Net writes different bytes for the same voxels when it preprocesses a case again,
so what identifies a segmentation or an image is its voxels, not its file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import NO_POSITION, Geometry
from softlab_cli.nnunet.plans import Configuration

__all__ = ["OUTSIDE", "PreprocessedCase", "case_ids", "is_unchanged"]

OUTSIDE = -1
"""What nnU-Net writes where the images are 0 all around: background."""

ENDINGS = {"segmentation": ("_seg.b2nd", ".npz"), "image": (".b2nd", ".npz")}
"""How the files of a case end, in the forms that nnU-Net has had."""


PREPROCESS = "Run nnUNetv2_preprocess again."


@dataclass(frozen=True)
class PreprocessedCase:
    """A case as nnU-Net's preprocessing left it.

    Parameters
    ----------
    configuration
        The configuration that it was preprocessed for.
    case_id
        nnU-Net's identifier of the case.
    """

    configuration: Configuration
    case_id: str

    @cached_property
    def values(self) -> NDArray[np.int16]:
        """(Z, Y, X) label values and `OUTSIDE`, in the order of nnU-Net's array axes."""
        return _read_segmentation(self.configuration.folder, self.case_id)

    @cached_property
    def intensities(self) -> NDArray[np.float32]:
        """(channels, Z, Y, X), normalised and resampled."""
        return _read_image(self.configuration.folder, self.case_id)

    @cached_property
    def properties(self) -> dict[str, Any]:
        """What nnU-Net noted down about the case: spacing, crop box, shapes."""
        _, _, _, properties = _load(self.configuration.folder, self.case_id)
        return dict(properties)

    @property
    def original_spacing_mm(self) -> tuple[float, ...]:
        """Distance of voxels before resampling, in the order of nnU-Net's array axes."""
        spacing = self.properties["spacing"]
        return tuple(float(spacing[axis]) for axis in self.configuration.transpose_forward)

    @property
    def target_spacing_mm(self) -> tuple[float, float, float]:
        """Distance of voxels after resampling; slices of a 2d configuration stay where they are."""
        configured = self.configuration.spacing_mm
        if self.configuration.is_2d:
            configured = (self.original_spacing_mm[0], *configured)
        z, y, x = configured
        return z, y, x

    @property
    def geometry(self) -> Geometry:
        """The grid of the arrays. Its origin and its axes are nnU-Net's, not the patient's."""
        depth, height, width = self.values.shape
        affine = np.diag([*reversed(self.target_spacing_mm), 1.0])
        return Geometry((depth, height, width), affine, missing=NO_POSITION)

    def describe(self, *, with_image: bool = False) -> dict[str, Any]:
        """What `is_unchanged` compares, ready for JSON.

        Parameters
        ----------
        with_image
            Whether the soft labels depend on the image as well.
        """
        folder = self.configuration.folder
        path = _file(folder, self.case_id, "segmentation")
        found = {"segmentation": {**_facts(path), "voxels_sha256": _fingerprint(self.values)}}
        if with_image:
            path = _file(folder, self.case_id, "image")
            checksum = _fingerprint(self.intensities)
            found["image"] = {**_facts(path), "voxels_sha256": checksum}
        return found


def case_ids(folder: Path) -> list[str]:
    """Identifiers of the preprocessed cases of a folder, sorted.

    Raises
    ------
    InputError
        When nothing in the folder is nnU-Net's.
    """
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    try:
        found = sorted(infer_dataset_class(str(folder)).get_identifiers(str(folder)))
    except (AssertionError, KeyError) as error:
        raise InputError(
            "holds no preprocessed cases, or other files beside them.",
            remedy=PREPROCESS,
            path=folder,
        ) from error
    return [str(case_id) for case_id in found]


def is_unchanged(kept: Mapping[str, Any], folder: Path, case_id: str) -> bool:
    """Whether a case is still what a store's soft labels were made from.

    Size and time of a file settle it; only where they differ are the voxels compared.

    Parameters
    ----------
    kept
        What `PreprocessedCase.describe` returned, among other things.
    folder
        The folder of the preprocessed cases.
    case_id
        nnU-Net's identifier of the case.
    """
    try:
        same = _is_same(kept["segmentation"], folder, case_id, "segmentation")
        return same and ("image" not in kept or _is_same(kept["image"], folder, case_id, "image"))
    except (InputError, KeyError, OSError):
        return False


def _is_same(kept: Mapping[str, Any], folder: Path, case_id: str, part: str) -> bool:
    facts = _facts(_file(folder, case_id, part))
    if all(kept.get(name) == fact for name, fact in facts.items()):
        return True
    read = _read_segmentation if part == "segmentation" else _read_image
    return bool(kept.get("voxels_sha256") == _fingerprint(read(folder, case_id)))


def _file(folder: Path, case_id: str, part: str) -> Path:
    for ending in ENDINGS[part]:
        path = folder / f"{case_id}{ending}"
        if path.is_file():
            return path
    raise InputError(f"has no {part}.", remedy=PREPROCESS, path=folder / case_id)


def _facts(path: Path) -> dict[str, Any]:
    status = path.stat()
    return {"file": path.name, "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def _load(folder: Path, case_id: str) -> Any:
    """nnU-Net's own way to a case: image, segmentation, that of the stage before, properties."""
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    return infer_dataset_class(str(folder))(str(folder), [case_id]).load_case(case_id)


def _read_segmentation(folder: Path, case_id: str) -> NDArray[np.int16]:
    values = _read(folder, case_id, "segmentation")
    if values.shape[0] != 1:
        path = _file(folder, case_id, "segmentation")
        problem = f"has the shape {values.shape}, not (1, Z, Y, X)."
        raise InputError(problem, remedy=PREPROCESS, path=path)
    return np.ascontiguousarray(values[0], np.int16)


def _read_image(folder: Path, case_id: str) -> NDArray[np.float32]:
    return np.ascontiguousarray(_read(folder, case_id, "image"), np.float32)


def _read(folder: Path, case_id: str, part: str) -> NDArray[Any]:
    """(channels, Z, Y, X) of a part of a case."""
    path = _file(folder, case_id, part)
    try:
        image, segmentation, _, _ = _load(folder, case_id)
        values = np.asarray((image if part == "image" else segmentation)[:])
    except (OSError, RuntimeError, ValueError) as error:
        raise InputError(f"cannot be read ({error}).", remedy=PREPROCESS, path=path) from error
    if values.ndim != 4:
        problem = f"has the shape {values.shape}, not (channels, Z, Y, X)."
        raise InputError(problem, remedy=PREPROCESS, path=path)
    return values


def _fingerprint(values: NDArray[Any]) -> str:
    """Checksum of shape and voxels."""
    checksum = hashlib.sha256(repr(values.shape).encode())
    checksum.update(values.astype(values.dtype.newbyteorder("<"), copy=False).data)
    return checksum.hexdigest()
