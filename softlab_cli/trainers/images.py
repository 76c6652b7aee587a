"""The images of a store's cases: where they are, whether they fit, and what is in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases.folders import ImageFolder
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.core.provenance import Source, sha256_of, size_and_mtime
from softlab_cli.core.volume import Geometry, check_same_grid
from softlab_cli.readers import read_geometry, read_image
from softlab_cli.readers.lattice import find_turn
from softlab_cli.store.reader import Case, Store

__all__ = [
    "Check",
    "ImagePaths",
    "Images",
    "check_image_grid",
    "check_sources",
    "find_images",
    "read_case_image",
]

ImagePaths = tuple[Path, ...]
Images = str | Path | Mapping[str, str | Path | Sequence[str | Path]] | None
"""Where images are: None for where they were, a folder, or paths by case id."""

Check = Literal["size", "sha256"]


def find_images(store: Store, images: Images, case_ids: Iterable[str]) -> dict[str, ImagePaths]:
    """The image files of each case.

    Parameters
    ----------
    store
        An open store.
    images
        None for the paths that the store keeps; a folder that they were moved or
        copied to, or that has ``<case_id>.nii.gz`` or ``<case_id>_0000.nii.gz``
        and so on; or a path, or one for each channel, by case id.
    case_ids
        The cases wanted.

    Raises
    ------
    InputError
        When a case has no image, or its file does not exist; the case is named.
    """
    if isinstance(images, str | Path):
        folder = _Folder(Path(images))
        return {c: _existing(c, folder.of(store[c])) for c in case_ids}
    if images is None:
        return {c: _existing(c, [Path(s.path) for s in _kept(store[c])]) for c in case_ids}
    return {c: _existing(c, _listed(images.get(c, ()))) for c in case_ids}


def _kept(case: Case) -> list[Source]:
    return [source for source in case.sources if source.role == "image"]


def _listed(entry: str | Path | Sequence[str | Path]) -> list[Path]:
    return [Path(entry)] if isinstance(entry, str | Path) else [Path(p) for p in entry]


class _Folder:
    """A folder that images were moved to, or that names them by case id."""

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise InputError("is no folder.", remedy="Give the folder of the images.", path=path)
        self.path = path
        self._by_id = ImageFolder(path)

    def of(self, case: Case) -> Sequence[Path]:
        kept = [Path(source.path) for source in _kept(case)]
        # A file's own name comes first; with a folder for each case it takes the folder's too.
        for depth in (1, 2):
            moved = [self.path.joinpath(*path.parts[-depth:]) for path in kept]
            if moved and all(path.exists() for path in moved):
                return moved
        series = self.path / case.case_id
        return self._by_id.of(case.case_id) or ([series] if series.is_dir() else [])


def _existing(case_id: str, paths: Sequence[Path]) -> ImagePaths:
    remedy = "Say with images= where they are: a folder, or paths by case id."
    if not paths:
        raise InputError(f"case {case_id!r} has no image that is known.", remedy=remedy)
    for path in paths:
        if not path.exists():
            raise InputError(
                f"is the image of case {case_id!r} and does not exist.", remedy=remedy, path=path
            )
    return tuple(paths)


def check_sources(case: Case, image_paths: ImagePaths, check: Check) -> None:
    """Raise `StoreError` when a file that a case was made from has changed since.

    Parameters
    ----------
    case
        The case.
    image_paths
        Where its images are now; label maps are looked for where they were.
    check
        What to compare: ``size`` in bytes, or ``sha256``, which reads the files.
    """
    kept_images = _kept(case)
    moved = dict(zip(kept_images, image_paths, strict=len(image_paths) == len(kept_images)))
    for source in case.sources:
        path = moved.get(source, Path(source.path))
        if not path.exists():
            raise StoreError(
                f"case {case.case_id!r} was made from it and it is gone, so it cannot be compared.",
                remedy="Put it back, or do without check=.",
                path=path,
            )
        if not _is_same(source, path, check):
            raise StoreError(
                f"case {case.case_id!r} is stale: this file has changed since it was made.",
                remedy="Run the command that made the store again; it does changed cases anew.",
                path=path,
            )


def _is_same(source: Source, path: Path, check: Check) -> bool:
    if check == "size":
        return size_and_mtime(path)[0] == source.size
    return sha256_of(path) == source.sha256


def check_image_grid(case: Case, paths: ImagePaths) -> None:
    """Raise `GeometryError` unless the images' headers tell the case's grid."""
    for path in paths:
        _check_grid(case, read_geometry(path), path)


def _check_grid(case: Case, found: Geometry, path: Path) -> None:
    names = (f"case {case.case_id!r} of the store", "its image")
    check_same_grid(case.geometry, found, names=names, path=path)


def read_case_image(case: Case, paths: ImagePaths) -> NDArray[np.float32]:
    """The channels of a case's images on the case's grid.

    An image of the same world in another orientation is turned.

    Parameters
    ----------
    case
        The case.
    paths
        Its images.

    Returns
    -------
    intensities
        (channels, Z, Y, X) float32; Z is 1 in 2D.

    Raises
    ------
    GeometryError
        When an image lies on another grid; the case is named.
    InputError
        When it cannot be read.
    """
    channels = []
    for path in paths:
        image = read_image(path)
        turn = find_turn(image.geometry, case.geometry)
        if turn is None:
            _check_grid(case, image.geometry, path)
        channels.append(turn.apply(image.intensities) if turn else image.intensities)
    return channels[0] if len(channels) == 1 else np.concatenate(channels)
