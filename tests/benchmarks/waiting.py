"""How long a training waits for data: softlab's data set in PyTorch, and nnU-Net's trainer.

``python -m tests.benchmarks.waiting --device cuda`` trains a U-Net of nnU-Net's usual width for two
epochs with autocast: with `SoftLabelDataset`, and by nnU-Net's own trainer with and without soft
labels. It prints a table: seconds of an epoch, and the share of them in which nothing but the next
batch was missing. The data set is synthetic, five classes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

import softlab_cli
from softlab_cli.methods import SVLS
from softlab_cli.nnunet.preprocess import preprocess
from softlab_cli.trainers import CombinedLoss, SoftLabelDataset

from ..nnunet_support import Dataset, make_dataset, make_trainer, preprocess_as_nnunet_does, silence
from .inputs import ROOT
from .report import number, table

LABELS = {"background": 0, **{f"label_{i}": i for i in range(1, 5)}}
BATCH = 2
WIDTHS = [32, 64, 128, 256, 320]
HEAD = ["", "epoch", "s", "steps/s", "waiting for data"]


@dataclass(frozen=True)
class Size:
    """How large everything is.

    Parameters
    ----------
    volume, patch
        Voxels along each axis; a patch has whole eighths of 16 voxels.
    cases
        Cases, all but one to learn from.
    steps
        Of an epoch.
    widths
        Features of the network's stages.
    """

    volume: int
    patch: int
    cases: int
    steps: int
    widths: Sequence[int]


FULL = Size(192, 128, 6, 60, WIDTHS)
SMALL = Size(48, 32, 3, 2, [4, 8, 8])


class Batches:
    """Batches of a loader, and the seconds that were spent waiting for them."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self.batches, self.waited = batches, 0.0

    def __next__(self) -> Any:
        started = time.perf_counter()
        try:
            return next(self.batches)
        finally:
            self.waited += time.perf_counter() - started


def rows(
    name: str, batches: Iterator[Any], step: Callable[[Any], Any], steps: int, epochs: int
) -> Iterator[list[str]]:
    """A row for each epoch."""
    timed = Batches(batches)
    for epoch in range(epochs):
        timed.waited, started = 0.0, time.perf_counter()
        for _ in range(steps):
            step(next(timed))
        seconds = time.perf_counter() - started
        yield [name, str(epoch + 1), number(seconds), number(steps / seconds),
               f"{timed.waited / seconds:.1%}"]  # fmt: skip


def in_pytorch(dataset: Dataset, size: Size, device: str, workers: int) -> tuple[Any, Any]:
    """Batches of softlab's data set, and a step of training with autocast."""
    store = ROOT / "out" / "waiting.zarr"
    shutil.rmtree(store, ignore_errors=True)
    images = dataset.labels.with_name("imagesTr")
    softlab_cli.run(SVLS(), dataset.labels, store, images=images, workers=1)
    count = BATCH * size.steps
    data = SoftLabelDataset(store, patch_size=size.patch, samples_per_case=count)
    loader: DataLoader[Any] = DataLoader(
        data,
        BATCH,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=device == "cuda",
    )
    trainer = make_trainer(dataset, "svls", device=device)  # the same network as nnU-Net's
    network, loss_of = trainer.network, CombinedLoss()
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)

    def step(batch: dict[str, Any]) -> float:
        image, soft = (batch[key].to(device, non_blocking=True) for key in ("image", "soft"))
        with torch.autocast(device, torch.bfloat16):
            found = network(image.float())
        found = found[0] if isinstance(found, list | tuple) else found
        loss = loss_of(found.float(), soft.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return float(loss.detach())  # waits for the device

    def endless() -> Iterator[Any]:
        while True:
            yield from loader

    return endless(), step


def in_nnunet(dataset: Dataset, kind: Any, device: str) -> tuple[Any, Any, Any]:
    """nnU-Net's own batches and step, and the loaders, which are to be ended."""
    trainer = make_trainer(dataset, "svls", kind=kind, device=device)
    with silence():
        loaders = trainer.get_dataloaders()
    trainer.network.train()
    return loaders[0], trainer.train_step, loaders


def prepare(size: Size) -> Dataset:
    """A data set that nnU-Net has preprocessed, with a network of these widths in its plans."""
    root = ROOT / "inputs" / "waiting"
    shutil.rmtree(root, ignore_errors=True)
    shape, patch = (size.volume,) * 3, (size.patch,) * 3
    dataset = make_dataset(root, labels=LABELS, shape=shape, patch=patch, case_count=size.cases)
    path = dataset.preprocessed / "nnUNetPlans.json"
    plans = json.loads(path.read_text())
    network = plans["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    stages = len(size.widths)
    network |= {
        "n_stages": stages,
        "features_per_stage": list(size.widths),
        "kernel_sizes": [[3] * 3] * stages,
        "strides": [[1] * 3] + [[2] * 3] * (stages - 1),
        "n_conv_per_stage": [2] * stages,
        "n_conv_per_stage_decoder": [2] * (stages - 1),
    }
    path.write_text(json.dumps(plans))
    os.environ.update(dataset.environment())
    preprocess_as_nnunet_does(dataset)
    preprocess("501", ["3d_fullres"], "svls", threads=1)
    return dataset


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and print the table."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.waiting", description=__doc__)
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--workers", type=int, default=8, help="processes that load data")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--small", action="store_true", help="to see that it works")
    args = parser.parse_args(arguments)
    # nnU-Net reads both when it is asked for loaders and networks.
    os.environ["nnUNet_n_proc_DA"] = str(args.workers)  # noqa: SIM112
    os.environ["nnUNet_compile"] = "f"  # noqa: SIM112
    size = SMALL if args.small else FULL
    dataset = prepare(size)
    np.random.seed(1)  # noqa: NPY002 - nnU-Net draws from the global generator
    found: list[list[str]] = []
    batches, step = in_pytorch(dataset, size, args.device, args.workers)
    found += rows("SoftLabelDataset in PyTorch", batches, step, size.steps, args.epochs)
    for name, kind in (("nnU-Net with soft labels", None), ("nnU-Net as it is", nnUNetTrainer)):
        batches, step, loaders = in_nnunet(dataset, kind, args.device)
        found += rows(name, batches, step, size.steps, args.epochs)
        for loader in loaders:
            with suppress(AttributeError):  # one that loads in this process has nothing to end
                loader._finish()
    print(f"\n{table(HEAD, found)}\n")
    print(f"{size.steps} steps an epoch, {BATCH} patches of {size.patch}^3 each, on {args.device}.")
    print(f"{args.workers} processes load data.")


if __name__ == "__main__":
    main()
