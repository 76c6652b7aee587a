"""Train on soft labels with TorchIO: subjects, transforms, a queue of patches.

make data
python examples/torchio_training.py
"""

from __future__ import annotations

import torch
import torchio
from training import arguments, endless, make_store, small_network, train

from softlab_cli import open_store
from softlab_cli.trainers.torchio import FillBackground, subjects


def pipeline() -> torchio.Compose:
    """Soft labels are label maps that are interpolated linearly."""
    return torchio.Compose([
        torchio.Clamp(-400, 600),
        torchio.RescaleIntensity((-1, 1)),
        torchio.RandomAffine(degrees=(0, 0, 0, 0, -15, 15), label_interpolation="linear"),
        torchio.RandomFlip(axes=("AP",)),
        FillBackground(),
    ])  # fmt: skip


def main() -> None:
    args = arguments(__doc__)
    store = open_store(make_store(args.out))
    torch.manual_seed(0)
    data = torchio.SubjectsDataset(subjects(store), transform=pipeline())
    # Patches lie around a voxel of a foreground class, all classes as likely.
    shares = {c: float(c != store.classes.background_index) for c in range(len(store.classes))}
    sampler = torchio.LabelSampler((32, 32, 16), "soft", shares)
    queue = torchio.Queue(data, max_length=8, samples_per_volume=8, sampler=sampler)
    loader = torchio.SubjectsLoader(queue, batch_size=2)
    batches = ((b["image"][torchio.DATA], b["soft"][torchio.DATA]) for b in endless(loader))
    train(small_network(store), batches, args.steps)


if __name__ == "__main__":
    main()
