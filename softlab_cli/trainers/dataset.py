"""Patches of a store as a PyTorch data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.api import open_store
from softlab_cli.core.blocks import Region, Shape, clip, region_shape, shift
from softlab_cli.core.errors import ClassError, StoreError, UsageError
from softlab_cli.core.extras import require
from softlab_cli.store.reader import Case, Padding, Store
from softlab_cli.trainers.imagecache import CacheImages, ImageCache
from softlab_cli.trainers.images import Check, ImagePaths, Images, check_sources, find_images
from softlab_cli.trainers.sampling import PatchSampler

with require("torch", extra="torch", problem="softlab's data sets need torch."):
    import torch

__all__ = ["ImagePadding", "Sample", "SoftLabelDataset"]

Sample = dict[str, Any]
ImagePadding = Literal["edge", "minimum"]
Normalise = Literal["zscore"] | Callable[[NDArray[np.float32]], NDArray[np.float32]] | None


class SoftLabelDataset(torch.utils.data.Dataset[Sample]):
    """Random patches of the cases of a store; or whole cases.

    Sample ``index`` of an epoch is the same patch whatever the number of workers
    and however they were started: it depends on `seed`, the epoch and the index.
    Call `set_epoch` before each epoch, or the patches are the same every time.

    A sample is a dictionary, ready for PyTorch's own collating:

    ============ ==========================================================
    ``image``    (channels, *patch) float32; missing with ``images=False``
    ``soft``     (C, *patch) `soft_dtype`, 0 in voxels that are not labelled
    ``label``    (*patch) int64 class indices, `ignore_index` where not labelled
    ``mask``     (*patch) bool, whether a voxel is labelled
    ``rater``    (*patch) int64, what one rater drew; with ``random_rater=True`` only
    ``case_id``  str
    ``region``   (axes, 2) int64, first voxel and end along each array axis
    ============ ==========================================================

    ``*patch`` is (Z, Y, X), or (Y, X) in 2D.

    Parameters
    ----------
    store
        A store's folder, or an open store.
    images
        None for the images that the store was made with; a folder that they were
        moved to, or that names them by case id; paths by case id; or False.
        DICOM series are folders.
    patch_size
        Voxels along the array axes, or one number for all; None for whole cases.
    samples_per_case
        Patches of each case in an epoch.
    foreground_probability
        Share of patches with a foreground voxel in the middle. Its class is drawn
        first, all foreground classes of the case being as likely.
    seed
        Any number from 0.
    cases
        Case ids; None for all cases of the store.
    normalise
        ``zscore`` over each channel of the whole image; or a function of the
        image's *patch*, (channels, *patch) float32 to the same shape, such as
        clipping a CT.
    transform
        Function of the finished sample, for augmentation.
    padding
        What the soft label is outside the volume, where patches are larger:
        ``background``, or ``zero``, which is not labelled.
    image_padding
        What the image is there: its nearest voxel (``edge``) or the ``minimum`` of
        the patch's channel.
    soft_dtype
        ``torch.float32``, which any loss takes, or ``torch.float16``, half the
        bytes to move.
    cache_images
        None decodes an image when it is another than the last one. ``memory``
        keeps all, in each worker. A folder keeps them on disk as plain ``.npy``,
        written once by whichever worker needs one first, and mapped by all: right
        for compressed images and random order.
    check
        Compare the files that the cases were made from now: their ``size``, or
        their ``sha256``, which reads them all.
    class_count
        Number of classes that the network has, if it is to be checked.
    random_rater
        Whether each sample also has the hard labels of one of the case's raters,
        drawn anew for each; the store must have been made with ``--keep-raters``.

    Raises
    ------
    UsageError
        For arguments without meaning.
    ClassError
        When the store has another number of classes than `class_count`.
    StoreError
        When the store or a case is missing, damaged, or stale.
    InputError
        When a case's image is missing.
    GeometryError
        On reading a sample whose image lies on another grid than its soft label.

    Examples
    --------
    ::

        data = SoftLabelDataset("soft.zarr", patch_size=(64, 96, 96), samples_per_case=4)
        loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True, num_workers=2)
        for epoch in range(100):
            data.set_epoch(epoch)
            for batch in loader:
                loss = torch.nn.functional.cross_entropy(net(batch["image"]), batch["soft"])
    """

    def __init__(
        self,
        store: str | Path | Store,
        *,
        images: Images | Literal[False] = None,
        patch_size: int | Sequence[int] | None = None,
        samples_per_case: int = 1,
        foreground_probability: float = 1 / 3,
        seed: int = 0,
        cases: Sequence[str] | None = None,
        normalise: Normalise = None,
        transform: Callable[[Sample], Sample] | None = None,
        padding: Padding = "background",
        image_padding: ImagePadding = "edge",
        soft_dtype: torch.dtype = torch.float32,
        cache_images: CacheImages = None,
        check: Check | None = None,
        class_count: int | None = None,
        random_rater: bool = False,
    ) -> None:
        self.store = store if isinstance(store, Store) else open_store(store)
        self.case_ids = tuple(self.store if cases is None else cases)
        self.patch_size = patch_size
        self.samples_per_case = samples_per_case
        self.seed = seed
        self.normalise = normalise
        self.transform = transform
        self.padding = padding
        self.image_padding = image_padding
        self.soft_dtype = soft_dtype
        self.random_rater = random_rater
        _check_arguments(self, foreground_probability, check)
        _check_store(self.store, class_count, random_rater)
        self._patches = {c: _patch_shape(patch_size, self.store[c]) for c in self.case_ids}
        self._paths = {} if images is False else find_images(self.store, images, self.case_ids)
        if check is not None:
            for case_id in self.case_ids:
                check_sources(self.store[case_id], self._paths.get(case_id, ()), check)
        self._images = ImageCache(cache_images, normalised=normalise == "zscore")
        self._sampler = PatchSampler(self.store, foreground_probability)
        # Shared memory, so that workers that live on see a new epoch.
        self._epoch: torch.Tensor = torch.zeros((), dtype=torch.int64)
        self._epoch.share_memory_()

    @property
    def ignore_index(self) -> int:
        """What ``label`` is where a voxel is not labelled; for losses that ask for it."""
        return self.store.classes.ignore_index

    def set_epoch(self, epoch: int) -> None:
        """Draw other patches from now on; also in workers that live on between epochs.

        Parameters
        ----------
        epoch
            Any number from 0.
        """
        if epoch < 0:
            raise UsageError(f"epoch {epoch} is below 0.")
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.case_ids) * self.samples_per_case

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        case = self.store[self.case_ids[index // self.samples_per_case]]
        rng = np.random.default_rng((self.seed, int(self._epoch), index))
        region = self._sampler.draw(case, self._patches[case.case_id], rng)
        sample = self._read(case, region)
        if self.random_rater:
            rater = int(rng.integers(len(case.raters)))
            drawn = case.read_rater(rater, _cut(case, region), padding=self.padding)
            sample["rater"] = torch.from_numpy(drawn.astype(np.int64))
        return sample if self.transform is None else self.transform(sample)

    def _read(self, case: Case, region: Region) -> Sample:
        cut = _cut(case, region)
        label = torch.from_numpy(case.read_label(cut, padding=self.padding).astype(np.int64))
        sample = {
            "soft": torch.from_numpy(case.read(cut, padding=self.padding)).to(self.soft_dtype),
            "label": label,
            "mask": label != self.ignore_index,
            "case_id": case.case_id,
            "region": torch.tensor([[s.start, s.stop] for s in cut]),
        }
        if paths := self._paths.get(case.case_id):
            sample["image"] = self._read_image(case, paths, region)
        return sample

    def _read_image(self, case: Case, paths: ImagePaths, region: Region) -> torch.Tensor:
        patch = cut_image(self._images.get(case, paths), region, self.image_padding)
        patch = patch if case.geometry.ndim == 3 else patch[:, 0]
        if callable(self.normalise):
            patch = np.asarray(self.normalise(patch), np.float32)
        return torch.from_numpy(np.ascontiguousarray(patch))


def _cut(case: Case, region: Region) -> tuple[slice, ...]:
    """A region as the case's arrays have it, without Z in 2D."""
    return region[3 - case.geometry.ndim :]


def cut_image(
    image: NDArray[np.float32], region: Region, padding: ImagePadding
) -> NDArray[np.float32]:
    """A copy of a region of an image, padded where it reaches outside.

    Parameters
    ----------
    image
        (channels, Z, Y, X) float32.
    region
        Touches the volume.
    padding
        As `SoftLabelDataset` says.
    """
    inside = clip(region, (image.shape[1], image.shape[2], image.shape[3]))
    found = image[(slice(None), *inside)]
    if inside == region:
        return found.copy()
    if padding == "edge":
        widths = [(i.start - r.start, r.stop - i.stop) for i, r in zip(inside, region, strict=True)]
        return np.pad(found, [(0, 0), *widths], mode="edge")
    padded = np.empty((len(image), *region_shape(region)), np.float32)
    padded[...] = found.min(axis=(1, 2, 3), keepdims=True)
    z, y, x = region
    padded[(slice(None), *shift(inside, (z.start, y.start, x.start)))] = found
    return padded


def _patch_shape(patch_size: int | Sequence[int] | None, case: Case) -> Shape:
    """Voxels of a patch along (Z, Y, X); Z is 1 in 2D."""
    ndim = case.geometry.ndim
    if patch_size is None:
        return case.geometry.shape
    sizes = [patch_size] * ndim if isinstance(patch_size, int) else [int(n) for n in patch_size]
    if len(sizes) != ndim or min(sizes) < 1:
        raise UsageError(
            f"patch_size {patch_size} does not fit case {case.case_id!r}, which has {ndim} axes.",
            remedy=f"Give {ndim} numbers from 1, or one for all axes.",
        )
    z, y, x = [1] * (3 - ndim) + sizes
    return z, y, x


def _check_store(store: Store, class_count: int | None, random_rater: bool) -> None:
    if random_rater and not store.info.keep_raters:
        raise StoreError(
            "does not keep the labels of each rater, and random_rater asks for them.",
            remedy="Make it with --keep-raters.",
            path=store.path,
        )
    if class_count is not None and class_count != len(store.classes):
        raise ClassError(
            f"has {len(store.classes)} classes, and {class_count} are expected.",
            remedy="Make the network's output fit len(store.classes), or the store with --labels.",
            path=store.path,
        )


def _check_arguments(
    data: SoftLabelDataset, foreground_probability: float, check: Check | None
) -> None:
    """Raise `UsageError` for the first argument that has no meaning."""
    choices: Mapping[str, tuple[object, tuple[object, ...]]] = {
        "normalise": (None if callable(data.normalise) else data.normalise, (None, "zscore")),
        "padding": (data.padding, ("background", "zero")),
        "image_padding": (data.image_padding, ("edge", "minimum")),
        "soft_dtype": (data.soft_dtype, (torch.float32, torch.float16)),
        "check": (check, (None, "size", "sha256")),
    }
    for name, (value, known) in choices.items():
        if value not in known:
            raise UsageError(f"{name}={value!r} is not one of {', '.join(map(str, known))}.")
    if not data.case_ids:
        raise UsageError("there are no cases to train from.", remedy="Choose some with cases=.")
    if data.samples_per_case < 1 or data.seed < 0 or not 0 <= foreground_probability <= 1:
        raise UsageError(
            f"samples_per_case={data.samples_per_case}, seed={data.seed} and "
            f"foreground_probability={foreground_probability} must be at least 1, at least 0, "
            "and from 0 to 1."
        )
