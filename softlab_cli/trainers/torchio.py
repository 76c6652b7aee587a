"""Soft labels as TorchIO images.

They are a `torchio.LabelMap` with one channel for each class: intensity transforms
leave it alone, and spatial transforms interpolate it as ``label_interpolation``
says. Give that as ``"linear"``: its default is ``nearest``, which moves whole
voxels. Let `FillBackground` follow the last spatial transform: ::

    transform = torchio.Compose([
        torchio.RandomFlip(axes=("LR",)),
        torchio.RandomAffine(label_interpolation="linear"),
        FillBackground(),
        torchio.ZNormalization(),
    ])
    data = torchio.SubjectsDataset(subjects("soft.zarr"), transform=transform)
    sampler = torchio.LabelSampler(96, "soft", {0: 0, 1: 1, 2: 1})  # class index: share
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from softlab_cli.core.extras import require
from softlab_cli.store.reader import Store
from softlab_cli.trainers.images import Images, check_image_grid, find_images
from softlab_cli.trainers.xyz import fill_background, label_xyz, opened, soft_xyz

with require("torchio", extra="torchio", problem="softlab's TorchIO images need torchio."):
    import torch
    import torchio

__all__ = ["FillBackground", "hard_label_image", "soft_label_image", "subjects"]


def soft_label_image(
    store: str | Path | Store, case_id: str, *, classes: Sequence[int] | None = None
) -> torchio.LabelMap:
    """The soft label of a case; read when it is first used.

    Parameters
    ----------
    store
        A store's folder, or an open store.
    case_id
        The case.
    classes
        Class indices in the order wanted; None for all.

    Returns
    -------
    image
        (C, X, Y, Z) float32, Z is 1 in 2D; affine from voxels to RAS+ millimetres.

    Raises
    ------
    StoreError
        When there is no such store or case.
    """
    case = opened(store)[case_id]
    return torchio.LabelMap(case.path, reader=partial(_read_soft, opened(store), classes))


def hard_label_image(store: str | Path | Store, case_id: str) -> torchio.LabelMap:
    """The hard label of a case as class indices, (1, X, Y, Z); read when it is first used.

    Spatial transforms with ``label_interpolation="linear"`` mix class indices:
    sample by the soft label after these, or give `LabelSampler` this image in a
    pipeline that does not interpolate.
    """
    case = opened(store)[case_id]
    return torchio.LabelMap(case.path, reader=partial(_read_hard, opened(store)))


# TorchIO hands the path over that the image was made with; its last part is the case id.


def _read_soft(
    store: Store, classes: Sequence[int] | None, path: str | Path
) -> tuple[torch.Tensor, Any]:
    case = store[Path(path).name]
    return _four_axes(torch.from_numpy(soft_xyz(case, classes)).float()), case.affine


def _read_hard(store: Store, path: str | Path) -> tuple[torch.Tensor, Any]:
    case = store[Path(path).name]
    return _four_axes(torch.from_numpy(label_xyz(case).astype(np.int32))), case.affine


def _four_axes(tensor: torch.Tensor) -> torch.Tensor:
    return tensor if tensor.ndim == 4 else tensor[..., None]


def subjects(
    store: str | Path | Store,
    images: Images | Literal[False] = None,
    *,
    cases: Iterable[str] | None = None,
    hard_label: bool = False,
) -> list[torchio.Subject]:
    """Subjects with ``image``, ``soft`` and ``case_id``, and ``label`` where asked for.

    Parameters
    ----------
    store
        A store's folder, or an open store.
    images
        As for `SoftLabelDataset`: None, a folder, paths by case id, or False.
    cases
        Case ids; None for all.
    hard_label
        Whether to add the hard label, see `hard_label_image`.

    Raises
    ------
    InputError
        When a case's image is missing.
    GeometryError
        When the header of an image tells another grid than its case has.
    """
    source = opened(store)
    case_ids = list(source if cases is None else cases)
    found = {} if images is False else find_images(source, images, case_ids)
    made = []
    for case_id in case_ids:
        facts: dict[str, Any] = {"case_id": case_id, "soft": soft_label_image(source, case_id)}
        if hard_label:
            facts["label"] = hard_label_image(source, case_id)
        if paths := found.get(case_id):
            check_image_grid(source[case_id], paths)
            facts["image"] = torchio.ScalarImage(paths[0] if len(paths) == 1 else list(paths))
        made.append(torchio.Subject(facts))
    return made


class FillBackground(torchio.Transform):
    """Make soft labels add up to 1 again where a spatial transform padded with zeros.

    Leave it out for a store with ignored voxels, whose soft labels are 0 on
    purpose; padding then counts as ignored.

    Parameters
    ----------
    image_name
        The soft label's name in the subject.
    background_index
        Index of the background class.
    **options
        Of any TorchIO transform, such as ``p``.
    """

    def __init__(self, image_name: str = "soft", background_index: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.image_name = image_name
        self.background_index = background_index
        self.args_names = ["image_name", "background_index"]

    def apply_transform(self, subject: torchio.Subject) -> torchio.Subject:
        """Fill the soft label of a subject."""
        image = subject.get_image(self.image_name)
        image.set_data(fill_background(image.data, self.background_index))
        return subject
