"""Train on soft labels in MONAI's dictionary pipeline, with its spatial transforms.

make data
python examples/monai_training.py
"""

from __future__ import annotations

from monai.data import CacheDataset, DataLoader
from monai.transforms import (
    Compose,
    LoadImaged,
    Orientationd,
    RandAffined,
    RandCropByPosNegLabeld,
    RandFlipd,
    ScaleIntensityRanged,
)
from training import arguments, endless, make_store, small_network, train

from softlab_cli import open_store
from softlab_cli.trainers.monai import FillBackgroundd, LoadSoftLabeld, datalist

BOTH = ("image", "soft")


def pipeline() -> Compose:
    """Soft labels are interpolated linearly, as images are; what is padded becomes background."""
    return Compose([
        LoadImaged("image", ensure_channel_first=True),
        LoadSoftLabeld("soft"),
        Orientationd(BOTH, axcodes="RAS", labels=None),
        ScaleIntensityRanged("image", -400, 600, -1, 1, clip=True),
        RandCropByPosNegLabeld(BOTH, label_key="soft", spatial_size=(32, 32, 16), num_samples=2),
        RandAffined(BOTH, prob=0.5, rotate_range=(0.0, 0.0, 0.3), mode="bilinear",
                    padding_mode=("border", "zeros")),
        RandFlipd(BOTH, prob=0.5, spatial_axis=1),
        FillBackgroundd("soft"),
    ])  # fmt: skip


def main() -> None:
    args = arguments(__doc__)
    store = make_store(args.out)
    transform = pipeline().set_random_state(seed=0)
    data = CacheDataset(datalist(store), transform, progress=False)
    loader = DataLoader(data, batch_size=1)
    batches = ((batch["image"], batch["soft"]) for batch in endless(loader))
    train(small_network(open_store(store)), batches, args.steps)


if __name__ == "__main__":
    main()
