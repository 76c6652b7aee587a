"""Soft labels on their way through nnU-Net's own loader: as further channels of the image.

The loader cuts one box out of all channels, so image and soft labels stay together
without any change to it. `softlab_cli.nnunet.transforms` takes them apart again. The
background stays behind: it is what the other classes leave.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from softlab_cli.core.errors import StoreError
from softlab_cli.nnunet.preprocessed import is_unchanged
from softlab_cli.store.reader import Case, Store

__all__ = ["ImageAndSoft", "SoftDataset", "check_store"]

CASES_NAMED = 10


class ImageAndSoft:
    """The channels of an image and, after them, the classes of its soft label but the first.

    It is read when it is sliced, and has just what nnU-Net's cropping needs of an array.

    Parameters
    ----------
    image
        (channels, Z, Y, X), read when sliced.
    case
        The soft labels on the same grid.
    with_ignored
        Whether there is one more channel, 1 where nothing is labelled: there all
        classes are 0, as they are beyond the volume, where nnU-Net pads with 0.
    """

    dtype = np.dtype(np.float32)
    ndim = 4

    def __init__(self, image: Any, case: Case, with_ignored: bool) -> None:
        if tuple(image.shape[1:]) != case.shape:
            raise StoreError(
                f"has soft labels of shape {case.shape} for an image of {tuple(image.shape[1:])}.",
                remedy="Run softlab nnunet preprocess again.",
                path=case.path,
            )
        self._image, self._case = image, case
        self._with_ignored = with_ignored
        channels = image.shape[0] + len(case.classes) - 1 + with_ignored
        self.shape = (channels, *case.shape)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        """(channels, z, y, x) float32 of all channels and a slice along each axis."""
        region = index[1:] if isinstance(index, tuple) else (slice(None),) * 3
        image = self._image[(slice(None), *region)]
        foreground = range(1, len(self._case.classes))
        soft = self._case.read(region, classes=None if self._with_ignored else foreground)
        found = np.empty((self.shape[0], *image.shape[1:]), np.float32)
        found[: len(image)] = image
        own = torch.from_numpy(found[len(image) :])  # torch widens float16 nine times as fast
        own[: len(foreground)] = torch.from_numpy(soft[-len(foreground) :])
        if self._with_ignored:
            own[-1] = torch.from_numpy(soft).sum(0, dtype=torch.float32) < 0.5
        return found


class SoftDataset:
    """A data set of nnU-Net whose images carry their soft labels.

    Parameters
    ----------
    base
        nnU-Net's own; everything but the loading of cases is left to it.
    store
        The soft labels.
    with_ignored
        As for `ImageAndSoft`.
    """

    def __init__(self, base: Any, store: Store, with_ignored: bool) -> None:
        self.base, self.store, self.with_ignored = base, store, with_ignored

    def load_case(self, identifier: str) -> tuple[Any, ...]:
        """Image with soft labels, segmentation, that of the stage before, properties."""
        image, *others = self.base.load_case(identifier)
        return ImageAndSoft(image, self.store[identifier], self.with_ignored), *others

    def __getitem__(self, identifier: str) -> tuple[Any, ...]:
        return self.load_case(identifier)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "base":  # before the state of a pickle is there
            raise AttributeError(name)
        return getattr(self.base, name)


def check_store(
    store: Store, folder: Path, identifiers: Sequence[str], labels: Sequence[int]
) -> None:
    """Raise `StoreError` unless a store holds soft labels of these very cases.

    Parameters
    ----------
    store
        The store.
    folder
        nnU-Net's preprocessed cases.
    identifiers
        The cases that are needed.
    labels
        Label values of the data set, without the ignore label.
    """
    remedy = "Run softlab nnunet preprocess again, with the options that made the store."
    if store.info.labels_only or not store.info.sums_to_one:
        what = (
            "hard labels only" if store.info.labels_only else "soft labels that do not add up to 1"
        )
        raise StoreError(f"holds {what}.", remedy="Make another store.", path=store.path)
    if store.classes.values != tuple(labels):
        raise StoreError(
            f"has the {len(store.classes)} classes {_some(store.classes.values)}, and the data "
            f"set the {len(labels)} classes {_some(labels)}.",
            remedy="Run softlab nnunet preprocess again, with --overwrite.",
            path=store.path,
        )
    missing = [i for i in identifiers if i not in store]
    if missing:
        problem = f"has no soft labels of {_some(missing)}."
        raise StoreError(problem, remedy=remedy, path=store.path)
    stale = [i for i in identifiers if not is_unchanged(store[i].info.details, folder, i)]
    if stale:
        raise StoreError(
            f"is not up to date: nnU-Net's {_some(stale)} has changed since.",
            remedy=remedy,
            path=store.path,
        )


def _some(things: Sequence[Any]) -> str:
    more = f" and {len(things) - CASES_NAMED} more" if len(things) > CASES_NAMED else ""
    return ", ".join(map(str, things[:CASES_NAMED])) + more
