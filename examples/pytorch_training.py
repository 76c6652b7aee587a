"""Train on soft labels with plain PyTorch: a data set, a loader, a loss.

make data
python examples/pytorch_training.py
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader
from training import arguments, make_store, small_network, train

from softlab_cli.trainers import SoftLabelDataset


def window(image: np.ndarray) -> np.ndarray:
    """CT numbers of soft tissue and bone as -1 to 1."""
    return np.clip(image, -400, 600) / 500


def batches(data: SoftLabelDataset, loader: DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch after another, each with other patches."""
    epoch = 0
    while True:
        data.set_epoch(epoch)
        for batch in loader:
            yield batch["image"], batch["soft"]
        epoch += 1


def main() -> None:
    args = arguments(__doc__)
    store = make_store(args.out)
    data = SoftLabelDataset(
        store,
        patch_size=(16, 32, 32),
        samples_per_case=16,
        foreground_probability=0.5,
        normalise=window,
        cache_images="memory",
    )
    loader = DataLoader(data, batch_size=2, num_workers=1, persistent_workers=True)
    train(small_network(data.store), batches(data, loader), args.steps)


if __name__ == "__main__":
    main()
