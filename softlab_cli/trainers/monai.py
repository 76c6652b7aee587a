"""Soft labels in MONAI's dictionary pipelines.

Loaded this way a soft label is a `MetaTensor`, channel first, with the affine of
its image: spatial transforms move both alike. Use ``mode="bilinear"`` for soft
labels: each voxel becomes a weighted mean of soft labels, whose sum is 1 again
(splines of higher order can fall below 0, ``nearest`` throws the softness of the
interpolation away). Pad with zeros and let `FillBackgroundd` follow the last
spatial transform: ::

    Compose([
        LoadImaged("image", ensure_channel_first=True),
        LoadSoftLabeld("soft"),
        Orientationd(["image", "soft"], axcodes="RAS"),
        Spacingd(["image", "soft"], pixdim=(1.5, 1.5, 1.5), mode="bilinear"),
        RandCropByPosNegLabeld(["image", "soft"], label_key="soft", spatial_size=96, num_samples=4),
        RandAffined(["image", "soft"], prob=0.5, rotate_range=0.3, mode="bilinear",
                    padding_mode=["border", "zeros"]),
        FillBackgroundd("soft"),
    ])
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.core.extras import require
from softlab_cli.store.reader import Case, Store
from softlab_cli.trainers.images import Images, find_images
from softlab_cli.trainers.xyz import (
    SEPARATOR,
    CaseName,
    fill_background,
    find_case,
    label_xyz,
    opened,
    soft_xyz,
)

with require("monai", extra="monai", problem="softlab's MONAI transforms need monai."):
    import torch
    from monai.config.type_definitions import KeysCollection
    from monai.data.meta_tensor import MetaTensor
    from monai.transforms.transform import MapTransform, Transform
    from monai.utils.enums import MetaKeys, SpaceKeys
    from monai.utils.misc import ImageMetaKey, ensure_tuple

__all__ = ["FillBackground", "FillBackgroundd", "LoadSoftLabel", "LoadSoftLabeld", "datalist"]


class LoadSoftLabel(Transform):
    """Load the soft label of a case.

    Parameters
    ----------
    store
        A store, where cases are given by their id alone.
    dtype
        Type of the result; MONAI's spatial transforms want ``torch.float32``.
    classes
        Class indices in the order wanted; None for all. Memory is what limits
        whole volumes of many classes: 117 classes at 256^3 are 8 GB in float32.
    hard
        Load the hard label instead: class indices, one channel.
    """

    def __init__(
        self,
        store: str | Path | Store | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        classes: Sequence[int] | None = None,
        hard: bool = False,
    ) -> None:
        self.store = None if store is None else opened(store)
        self.dtype = dtype
        self.classes = classes
        self.hard = hard

    def __call__(self, data: CaseName) -> MetaTensor:
        """Load a case.

        Parameters
        ----------
        data
            ``"soft.zarr::s01"``, ``(store, "s01")``, an open case, or ``"s01"``
            when the transform was made with a store.

        Returns
        -------
        soft
            (C, X, Y, Z), or (C, X, Y) in 2D, with the affine from voxels to RAS+
            millimetres; 0 for all classes where a voxel is not labelled.

        Raises
        ------
        UsageError
            When `data` names no case.
        StoreError
            When there is no such store or case, or it is damaged.
        """
        case = find_case(data, self.store)
        array: NDArray[Any] = label_xyz(case) if self.hard else soft_xyz(case, self.classes)
        # NumPy's uint16 has few operations in torch; every class index fits into int32.
        array = array.astype(np.int32) if array.dtype == np.uint16 else array
        tensor = torch.from_numpy(array).to(self.dtype)
        return MetaTensor(tensor, affine=torch.tensor(case.affine), meta=_meta(case))


def _meta(case: Case) -> dict[str, Any]:
    """What MONAI's own readers tell about an image."""
    return {
        ImageMetaKey.FILENAME_OR_OBJ: str(case.path),
        MetaKeys.ORIGINAL_AFFINE: case.affine.copy(),
        MetaKeys.SPATIAL_SHAPE: np.array(case.shape[::-1]),
        MetaKeys.SPACE: SpaceKeys.RAS,
        MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
    }


class LoadSoftLabeld(MapTransform):
    """Load the soft labels of cases in a dictionary pipeline.

    Parameters
    ----------
    keys
        Keys whose values name a case; see `LoadSoftLabel`.
    store, dtype, classes
        As for `LoadSoftLabel`.
    label_keys
        Where to put the hard label too, one key for each of `keys`: (1, X, Y, Z)
        class indices, for instance for ``RandCropByLabelClassesd``. Interpolate
        it with ``nearest``.
    allow_missing_keys
        Whether keys may be missing.
    """

    def __init__(
        self,
        keys: KeysCollection,
        store: str | Path | Store | None = None,
        *,
        dtype: torch.dtype = torch.float32,
        classes: Sequence[int] | None = None,
        label_keys: KeysCollection | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        hard_keys = () if label_keys is None else ensure_tuple(label_keys)
        if hard_keys and len(hard_keys) != len(self.keys):
            raise UsageError(f"label_keys {label_keys!r} do not go with the keys {keys!r}.")
        self.label_keys = dict(zip(self.keys, hard_keys, strict=False))
        self.soft = LoadSoftLabel(store, dtype=dtype, classes=classes)
        self.hard = LoadSoftLabel(store, dtype=dtype, hard=True)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put the soft label, and the hard one where asked for, in place of the name."""
        loaded = dict(data)
        for key in self.key_iterator(loaded):
            name = loaded[key]
            loaded[key] = self.soft(name)
            if key in self.label_keys:
                loaded[self.label_keys[key]] = self.hard(name)
        return loaded


class FillBackground(Transform):
    """Make soft labels add up to 1 again where a spatial transform padded with zeros.

    Leave it out for a store with ignored voxels, whose soft labels are 0 on
    purpose; padding then counts as ignored.

    Parameters
    ----------
    background_index
        Index of the background class.
    """

    def __init__(self, background_index: int = 0) -> None:
        self.background_index = background_index

    def __call__(self, data: torch.Tensor) -> torch.Tensor:
        """(C, ...) soft labels in, the same with what is missing given to the background."""
        return fill_background(data, self.background_index)


class FillBackgroundd(MapTransform):
    """`FillBackground` in a dictionary pipeline.

    Parameters
    ----------
    keys
        Keys of soft labels.
    background_index
        Index of the background class.
    allow_missing_keys
        Whether keys may be missing.
    """

    def __init__(
        self, keys: KeysCollection, background_index: int = 0, allow_missing_keys: bool = False
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.fill = FillBackground(background_index)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        """Fill the soft labels of all keys."""
        filled = dict(data)
        for key in self.key_iterator(filled):
            filled[key] = self.fill(filled[key])
        return filled


def datalist(
    store: str | Path | Store, images: Images = None, *, cases: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """Items for MONAI's data sets: ``image``, ``soft``, ``case_id`` and ``fingerprint``.

    A `PersistentDataset` finds what it has cached by an item's text: paths are absolute,
    and the fingerprint is another one once a case was made anew with other contents.

    Parameters
    ----------
    store
        A store's folder, or an open store.
    images
        As for `SoftLabelDataset`: None, a folder, or paths by case id.
    cases
        Case ids; None for all.

    Returns
    -------
    items
        ``image`` is a path, or a list with one for each channel.
    """
    source = opened(store)
    found = find_images(source, images, source if cases is None else cases)
    return [
        {
            "image": absolute[0] if len(absolute) == 1 else absolute,
            "soft": f"{os.path.abspath(source.path)}{SEPARATOR}{case_id}",
            "case_id": case_id,
            "fingerprint": source[case_id].fingerprint,
        }
        for case_id, paths in found.items()
        for absolute in [[os.path.abspath(path) for path in paths]]
    ]
