"""What the three training examples share: a store of the real scan, a network, a loop."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from softlab_cli import run
from softlab_cli.methods import SVLS
from softlab_cli.store.reader import Store
from softlab_cli.trainers import CombinedLoss

HERE = Path(__file__).resolve().parent
SCAN = HERE / "data" / "totalsegmentator"
AVERAGED = 5

Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (B, channels, *patch) and soft labels (B, C, *patch)."""


def arguments(what: str) -> argparse.Namespace:
    """The command line of an example."""
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--steps", type=int, default=40, help="steps of training")
    parser.add_argument("--out", type=Path, default=HERE / "out" / "training.zarr", help="store")
    return parser.parse_args()


def make_store(out: Path) -> Path:
    """SVLS of a real CT label map with 42 organs; nothing to do when it is there already."""
    if not (SCAN / "labels" / "s01.nii.gz").exists():
        raise SystemExit("The scan is missing: run 'make data' first.")
    run(SVLS(), SCAN / "labels", out, images=SCAN / "images", workers=1)
    return out


def small_network(store: Store) -> nn.Module:
    """Four convolutions: enough to see a loss fall, not to segment."""
    torch.manual_seed(0)
    torch.set_num_threads(1)  # for tensors as small as these, more threads cost more
    wide = 16
    layers: list[nn.Module] = []
    for channels, dilation in ((1, 1), (wide, 2), (wide, 4)):
        layers += [
            nn.Conv3d(channels, wide, 3, padding=dilation, dilation=dilation),
            nn.InstanceNorm3d(wide, affine=True),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Conv3d(wide, len(store.classes), 1))


def train(network: nn.Module, batches: Batches, steps: int) -> None:
    """Some steps; prints the first and the last loss, each the mean of a few."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    loss_of = CombinedLoss()  # cross-entropy and the Dice semimetric: least where x = y
    losses = []
    for image, soft in itertools.islice(batches, steps):
        loss = loss_of(network(image), soft)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    few = min(AVERAGED, len(losses) // 2)
    first, last = sum(losses[:few]) / few, sum(losses[-few:]) / few
    print(f"{len(losses)} steps: first loss {first:.3f}, last loss {last:.3f}")


def endless(loader: Iterable[dict[str, Tensor]]) -> Iterator[dict[str, Tensor]]:
    """One epoch after another."""
    while True:
        yield from loader
