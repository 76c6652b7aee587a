"""Train a tiny network on the soft labels of a real CT, with losses made for them.

    make data
    python examples/losses_on_soft_labels.py

Makes a store of soft labels (SVLS) of three organs, reads patches of it, and trains
three convolutions with cross-entropy, weighted by the store's label marginals, plus
the Dice semimetric loss. Takes seconds on a CPU; needs the extra softlab-cli[torch].
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

import softlab_cli
from softlab_cli.api import Case, Store
from softlab_cli.methods.svls.svls import SVLS
from softlab_cli.readers import read_image
from softlab_cli.trainers import CombinedLoss, DiceSemimetricLoss, SoftCrossEntropy

DATA = Path(__file__).resolve().parent / "data" / "totalsegmentator"

ORGANS = {0: "background", 1: "spleen", 5: "liver", 6: "stomach"}
PATCH = (16, 32, 32)


def make_store(data: Path, out: Path) -> Store:
    """Soft labels of the organs; voxels of all other labels count as not labelled."""
    report = softlab_cli.run(
        SVLS(),
        data / "labels",
        out,
        images=data / "images",
        labels=",".join(f"{value}={name}" for value, name in ORGANS.items()),
        ignore_labels=[value for value in range(118) if value not in ORGANS],
    )
    if report.failed:
        raise SystemExit("\n".join(case.message for case in report.cases))
    return softlab_cli.open_store(out)


def patches(case: Case, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches at random: (B, 1, z, y, x) intensities and (B, C, z, y, x) soft labels.

    One for each organ, which lies in its middle; it may reach outside the volume.
    """
    path = next(source.path for source in case.sources if source.role == "image")
    image = np.clip(read_image(path).intensities[0] / 300, -1, 1).astype(np.float32)
    label = case.read_label()
    middles = [np.argwhere(label == index) for index in range(1, len(case.classes))]
    rng = np.random.default_rng(seed)
    half = np.array(PATCH) // 2
    padded = np.pad(image, [(n, n) for n in half], constant_values=-1)
    while True:
        cuts = [
            tuple(slice(a, a + n) for a, n in zip(rng.choice(organ).tolist(), PATCH, strict=True))
            for organ in middles
        ]
        soft = [
            case.read(tuple(slice(s.start - h, s.stop - h) for s, h in zip(cut, half, strict=True)))
            for cut in cuts
        ]
        images = np.stack([padded[cut] for cut in cuts])[:, None]
        yield torch.from_numpy(images), torch.from_numpy(np.stack(soft))


def train(store: Store, steps: int, seed: int = 0) -> list[float]:
    """The loss at each step."""
    torch.manual_seed(seed)
    network = nn.Sequential(
        nn.Conv3d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv3d(8, len(store.classes), 1),
    )
    marginals = softlab_cli.label_marginals(store)
    weights = softlab_cli.class_weights(marginals, "inverse-sqrt")
    for name, share, weight in zip(store.classes.names, marginals.pooled, weights, strict=True):
        print(f"{name:<12}{share:8.2%} of the labelled voxels, weight {weight:.2f}")
    # Zero vectors, the voxels that are not labelled, are left out by the loss itself.
    loss = CombinedLoss(
        cross_entropy=SoftCrossEntropy(class_weights=weights),
        overlap=DiceSemimetricLoss(reduction="batch"),
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    losses = []
    for _, (images, targets) in zip(range(steps), patches(store["s01"], seed), strict=False):
        optimizer.zero_grad()
        value = loss(network(images), targets)
        value.backward()
        optimizer.step()
        losses.append(value.item())
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=60)
    steps = parser.parse_args().steps
    with tempfile.TemporaryDirectory() as scratch:
        losses = train(make_store(DATA, Path(scratch) / "soft.zarr"), steps)
    tenth = max(1, steps // 10)
    for start in range(0, steps, tenth):
        part = losses[start : start + tenth]
        print(f"step {start + 1:4}   loss {sum(part) / len(part):.4f}")


if __name__ == "__main__":
    main()
