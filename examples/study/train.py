"""Train a network on a store of soft labels, and write what it predicts."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from arms import Setting
from network import UNet
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader

from softlab_cli import open_store
from softlab_cli.trainers import CombinedLoss, SoftCrossEntropy, SoftLabelDataset

LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-2
WARM_UP = 50
LARGEST_GRADIENT = 12.0
LOSSES = {"ce": SoftCrossEntropy, "combined": CombinedLoss}


def open_data(setting: Setting, store: Path, seed: int, random_rater: bool) -> SoftLabelDataset:
    """Patches of a store, placed anywhere.

    Where a patch lies follows from the seed, the epoch and its number, so it is the same for
    all stores. Patches are not drawn around the foreground: that makes foreground look more
    frequent than it is, which is a fault of calibration by itself.
    """
    opened = open_store(store)
    return SoftLabelDataset(
        opened,
        cases=list(opened)[: setting.cases],
        patch_size=setting.patch,
        foreground_probability=0.0,
        normalise="zscore",
        cache_images="memory",
        seed=seed,
        random_rater=random_rater,
    )


def batches(data: SoftLabelDataset, size: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Images (B, channels, *patch) and what to learn (B, C, *patch), without end."""
    order = torch.Generator().manual_seed(seed)
    loader = DataLoader(data, size, shuffle=True, drop_last=True, generator=order)
    rng = np.random.default_rng(seed)
    epoch = 0
    while True:
        data.set_epoch(epoch)
        for batch in loader:
            target = batch["soft"]
            if data.random_rater:
                target = one_hot(batch["rater"], target.shape[1]).movedim(-1, 1).float()
            yield augment(batch["image"], target, rng)
        epoch += 1


def augment(images: Tensor, targets: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror images and soft labels alike, which changes no probability; vary intensities.

    Flips are exact. A rotation by any angle would have to interpolate the soft label, and so
    soften it further.
    """
    ndim = images.ndim - 2
    mirrored = (2, 3) if ndim == 2 else (4,)
    pairs = []
    for image, target in zip(images, targets, strict=True):
        axes = [axis - 1 for axis in mirrored if rng.random() < 0.5]
        gain, offset = rng.uniform(0.85, 1.15), rng.uniform(-0.15, 0.15)
        noise = rng.normal(0, rng.uniform(0, 0.1), tuple(image.shape)).astype(np.float32)
        changed = image.flip(axes) * gain + offset + torch.from_numpy(noise)
        pairs.append((changed, target.flip(axes)))
    return torch.stack([p[0] for p in pairs]), torch.stack([p[1] for p in pairs])


def learning_rate_share(step: int, steps: int) -> float:
    """Of the full rate: up in some steps, and down to 0 along half a cosine."""
    return min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * step / steps))


def make_network(setting: Setting, data: SoftLabelDataset, seed: int, device: str) -> nn.Module:
    """The same network for the same seed, whatever it is to learn."""
    torch.manual_seed(seed)
    channels = data[0]["image"].shape[0]
    network = UNet(setting.ndim, channels, len(data.store.classes))
    return network.to(device, memory_format=layout(setting.ndim))


def layout(ndim: int) -> torch.memory_format:
    """Channels last, which processors convolve faster."""
    return torch.channels_last if ndim == 2 else torch.channels_last_3d


def train(
    setting: Setting, store: Path, seed: int, device: str, random_rater: bool
) -> tuple[nn.Module, list[float]]:
    """A network that has learned from a store, and the loss of each step."""
    data = open_data(setting, store, seed, random_rater)
    network = make_network(setting, data, seed, device)
    loss_of = LOSSES[setting.loss]()
    optimiser = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: learning_rate_share(step, setting.steps)
    )
    losses = []
    source = batches(data, min(setting.batch, len(data)), seed)
    for _, (images, targets) in zip(range(setting.steps), source, strict=False):
        logits = logits_of(network, images, device)
        loss = loss_of(logits, targets.to(device))
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), LARGEST_GRADIENT)
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    return network, losses


def logits_of(network: nn.Module, images: Tensor, device: str) -> Tensor:
    """Logits (B, C, *patch) float32; a GPU convolves in bfloat16, a CPU may be slow at it."""
    images = images.to(device, memory_format=layout(images.ndim - 2))
    with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
        return network(images).float()


def predict(network: nn.Module, store: Path, grids: Path, out: Path, device: str) -> None:
    """Write probabilities of whole cases as nnU-Net does: ``.npz`` beside a segmentation.

    Parameters
    ----------
    network
        Trained.
    store
        Of the cases; its images are read, as for training.
    grids
        Folder with an image of each case, ``<case>.nii.gz``, whose grid is taken over.
    out
        Folder for the files.
    device
        Where to reckon.
    """
    out.mkdir(parents=True)
    network.eval()
    data = SoftLabelDataset(store, normalise="zscore", foreground_probability=0.0)
    for sample in (data[i] for i in range(len(data))):
        with torch.no_grad():
            logits = logits_of(network, sample["image"][None], device)[0]
        probabilities = torch.softmax(logits.double(), dim=0).float().cpu().numpy()
        case_id = sample["case_id"]
        # nnU-Net counts pictures as volumes of one slice.
        volume = probabilities.reshape(len(probabilities), -1, *probabilities.shape[-2:])
        np.savez_compressed(out / f"{case_id}.npz", probabilities=volume)
        grid = sitk.ReadImage(str(grids / f"{case_id}.nii.gz"))
        write_segmentation(probabilities.argmax(axis=0), grid, out / f"{case_id}.nii.gz")


def write_segmentation(classes: NDArray[np.int64], grid: sitk.Image, path: Path) -> None:
    segmentation = sitk.GetImageFromArray(classes.astype(np.uint8))
    segmentation.CopyInformation(grid)
    sitk.WriteImage(segmentation, str(path))
