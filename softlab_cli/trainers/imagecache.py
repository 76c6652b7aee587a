"""Decoded images: the last one, all in memory, or in a folder and mapped.

A ``.nii.gz`` has no random access: a patch costs as much as the whole image.
Written once as a plain ``.npy`` file, it is mapped and only the patch is read.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.provenance import size_and_mtime
from softlab_cli.store.files import partial_path, system_errors
from softlab_cli.store.reader import Case
from softlab_cli.trainers.images import ImagePaths, read_case_image

__all__ = ["CacheImages", "ImageCache", "zscore"]

CacheImages = Literal["memory"] | str | Path | None

Intensities = NDArray[np.float32]


class ImageCache:
    """Images of cases, decoded and kept.

    It may be pickled; what it holds in memory stays in its process.

    Parameters
    ----------
    where
        None keeps the last image only; ``memory`` keeps all, in each process its
        own; a folder keeps all on disk, shared by all processes.
    normalised
        Whether images are z-scored when they are decoded.
    """

    def __init__(self, where: CacheImages = None, *, normalised: bool = False) -> None:
        self.where = where
        self.normalised = normalised
        self._held: dict[tuple[str, ImagePaths], Intensities] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self.where, self.normalised)

    def get(self, case: Case, paths: ImagePaths) -> Intensities:
        """The image of a case, (channels, Z, Y, X) float32; it must not be written to.

        Raises
        ------
        InputError
            As of `read_case_image`.
        StoreError
            When the folder cannot be written.
        """
        key = (case.case_id, paths)
        image = self._held.get(key)
        if image is None:
            if self.where != "memory":
                self._held.clear()
            image = self._held[key] = self._open(case, paths)
        return image

    def _open(self, case: Case, paths: ImagePaths) -> Intensities:
        if self.where is None or self.where == "memory":
            return self._decode(case, paths)
        path = Path(self.where) / self._name(case, paths)
        if not path.exists():
            _write(path, self._decode(case, paths))
        with system_errors(path, "read"):
            mapped: Intensities = np.load(path, mmap_mode="r")
        return mapped

    def _decode(self, case: Case, paths: ImagePaths) -> Intensities:
        image = read_case_image(case, paths)
        return zscore(image) if self.normalised else image

    def _name(self, case: Case, paths: ImagePaths) -> str:
        """A name that changes with the files, the grid and what is done to the image."""
        geometry = case.geometry
        facts = [(str(path.resolve()), *size_and_mtime(path)) for path in paths]
        told = repr((facts, geometry.shape, geometry.affine.tolist(), self.normalised))
        return f"{case.case_id}-{hashlib.sha256(told.encode()).hexdigest()[:16]}.npy"


def _rebuild(where: CacheImages, normalised: bool) -> ImageCache:
    return ImageCache(where, normalised=normalised)


def _write(path: Path, image: Intensities) -> None:
    """Write under a name of its own and rename: several workers may do so at once."""
    unfinished = partial_path(path.parent, path.name)
    with system_errors(path, "written"):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(unfinished, "xb") as file:
                np.save(file, image)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)


def zscore(image: Intensities) -> Intensities:
    """Each channel less its mean, over its standard deviation (over 1 where that is 0).

    Parameters
    ----------
    image
        (channels, Z, Y, X) float32, a whole image.
    """
    axes = tuple(range(1, image.ndim))
    mean = image.mean(axis=axes, dtype=np.float64, keepdims=True)
    deviation = image.std(axis=axes, dtype=np.float64, keepdims=True)
    deviation[deviation == 0] = 1
    scaled: Intensities = (image - mean.astype(np.float32)) / deviation.astype(np.float32)
    return scaled
