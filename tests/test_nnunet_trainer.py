"""The trainer: soft labels that stay on their voxels, and nnU-Net's loss."""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform
from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
from batchgeneratorsv2.transforms.utils.random import RandomTransform
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from softlab_cli.core.errors import EngineError
from softlab_cli.nnunet.loss import combined_loss
from softlab_cli.nnunet.preprocess import preprocess
from softlab_cli.nnunet.trainer import SoftLabMixin, nnUNetTrainerSoftLab
from softlab_cli.nnunet.transforms import SoftTargets
from softlab_cli.trainers.losses import DiceSemimetricLoss
from tests.nnunet_support import (
    Dataset,
    make_dataset,
    make_trainer,
    preprocess_as_nnunet_does,
    segmentation,
    silence,
    write_blosc,
)

KINDS = {
    "isotropic": {},
    "thick slices": {
        "shape": (14, 48, 48), "spacing_mm": (4, 1, 1), "target_mm": (4, 1, 1),
        "patch": (8, 32, 32),
    },
    "ignore": {"labels": {"background": 0, "one": 1, "two": 2, "ignore": 3}},
    "regions": {
        "labels": {"background": 0, "all": [1, 2, 3], "some": [2, 3], "one": 3},
        "dataset_facts": {"regions_class_order": [1, 2, 3]},
    },
    "regions and ignore": {
        "labels": {"background": 0, "both": [1, 2], "one": 2, "ignore": 3},
        "dataset_facts": {"regions_class_order": [1, 2]},
    },
}  # fmt: skip
"""Data sets that nnU-Net treats differently."""


@pytest.fixture(autouse=True)
def environment(monkeypatch) -> Iterator[None]:
    monkeypatch.setenv("nnUNet_n_proc_DA", "0")  # loads in this process
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def datasets(tmp_path_factory):
    """Data sets by kind, preprocessed, with a store of one-hot and one of SVLS labels."""
    made: dict[str, Dataset] = {}

    def get(kind: str) -> Dataset:
        if kind not in made:
            made[kind] = make_dataset(tmp_path_factory.mktemp("nnunet"), **KINDS[kind])
            os.environ.update(made[kind].environment())
            for configuration in ("3d_fullres", "2d"):
                preprocess_as_nnunet_does(made[kind], configuration)
            for method in ("onehot", "svls"):
                preprocess("501", ["3d_fullres", "2d"], method)
        os.environ.update(made[kind].environment())
        return made[kind]

    kept = dict(os.environ)
    yield get
    os.environ.clear()
    os.environ.update(kept)


class Turned(nnUNetTrainerSoftLab):
    """Rotates and scales every sample."""

    def get_training_transforms(self, *args, **kwargs):
        transforms = super().get_training_transforms(*args, **kwargs)
        for part in transforms.transforms.transforms:
            if type(part).__name__ == "SpatialTransform":
                part.p_rotation = part.p_scaling = 1
        return transforms


def batches(trainer, count: int, which: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Soft labels (B, C, ...) and hard target of augmented batches."""
    np.random.seed(1)  # noqa: NPY002 - nnU-Net draws from the global generator
    torch.manual_seed(1)
    with silence():
        loader = trainer.get_dataloaders()[which]
    for _ in range(count):
        batch = next(loader)
        target = batch["target"]
        fine = target[0] if isinstance(target, list) else target
        yield batch["data"][:, -len(trainer.softlab_labels) :], fine


def agreement(trainer, soft: torch.Tensor, target: torch.Tensor) -> tuple[float, int]:
    """Share of voxels whose largest soft label is the hard one, and voxels far from it."""
    if trainer.label_manager.has_regions:
        regions = trainer.loss.regions(soft)
        largest = torch.zeros_like(soft).scatter_(1, soft.argmax(1, keepdim=True), 1)
        hard = target[:, : regions.shape[1]].bool()
        valid = torch.ones_like(hard[:, 0])
        if trainer.label_manager.has_ignore_label:
            valid = ~target[:, -1].bool()
        same = (trainer.loss.regions(largest).bool() == hard).all(1)
        own = torch.where(hard, regions, 1 - regions).amin(1)
    else:
        valid = target[:, 0] != (trainer.label_manager.ignore_label or -9)
        same = soft.argmax(1) == target[:, 0]
        own = soft.gather(1, torch.where(valid, target[:, 0], 0)[:, None].long())[:, 0]
    return float(same[valid].float().mean()), int((own[valid] < 0.05).sum())


@pytest.mark.parametrize(
    ("kind", "configuration"),
    [(kind, "3d_fullres") for kind in KINDS] + [("isotropic", "2d")],
)
def test_soft_labels_stay_on_their_voxels(datasets, kind, configuration) -> None:
    """Through nnU-Net's own loader and augmentation, rotated and scaled."""
    trainer = make_trainer(datasets(kind), "onehot", configuration, Turned)
    found = []
    for soft, target in batches(trainer, 8):
        sums = soft.sum(1)
        assert ((sums - 1).abs().lt(1e-3) | sums.eq(0)).all()
        moved = soft.roll(1, -1)
        found.append((agreement(trainer, soft, target), agreement(trainer, moved, target)))
    straight, shifted = zip(*found, strict=True)
    assert np.mean([share for share, _ in straight]) >= 0.9995
    assert sum(far for _, far in straight) == 0
    assert np.mean([share for share, _ in shifted]) < 0.99
    assert sum(far for _, far in shifted) > 100


def test_soft_labels_are_those_of_the_store(datasets) -> None:
    """Unturned validation patches are pieces of the stored soft label."""
    trainer = make_trainer(datasets("isotropic"), "svls")
    for soft, target in batches(trainer, 3, which=1):
        own = soft.gather(1, target.long())[:, 0]
        assert own.min() >= 0.5 - 1e-3  # SVLS keeps half of each voxel
        assert 0.05 < (own < 0.999).float().mean() < 0.9


@pytest.mark.parametrize(
    "variant",
    [
        "data_augmentation.nnUNetTrainerDA5.nnUNetTrainerDA5",
        "data_augmentation.nnUNetTrainerNoDA.nnUNetTrainerNoDA",
        "data_augmentation.nnUNetTrainerNoMirroring.nnUNetTrainerNoMirroring",
        "network_architecture.nnUNetTrainerNoDeepSupervision.nnUNetTrainerNoDeepSupervision",
    ],
)
def test_the_mixin_goes_before_other_trainers(datasets, variant) -> None:
    module, _, name = variant.rpartition(".")
    stock = getattr(
        importlib.import_module(f"nnunetv2.training.nnUNetTrainer.variants.{module}"), name
    )
    mixed = type("Mixed", (SoftLabMixin, stock), {})
    trainer = make_trainer(datasets("isotropic"), "onehot", kind=mixed)
    for soft, target in batches(trainer, 3):
        share, far = agreement(trainer, soft, target)
        assert share >= 0.999
        assert far == 0
    batch = {"data": torch.cat((torch.rand(2, 1, 32, 32, 32), soft), 1)}
    batch["target"] = [target, target[..., ::2, ::2, ::2]]
    if not trainer.enable_deep_supervision:
        batch["target"] = target
    assert np.isfinite(trainer.train_step(batch)["loss"])


def test_the_second_stage_of_a_cascade_gets_both(datasets) -> None:
    """Labels of the stage before are further channels of the image; soft labels are not."""
    dataset = datasets("isotropic")
    trainer = make_trainer(dataset, "onehot", "3d_cascade", Turned)
    before = Path(trainer.folder_with_segs_from_previous_stage)
    before.mkdir(parents=True)
    for case_id in ("case0", "case1", "case2"):
        values = segmentation(dataset.preprocessed / "nnUNetPlans_3d_fullres", case_id)
        write_blosc(before / f"{case_id}.b2nd", np.where(values == -1, 0, values))
    with silence():
        loader = trainer.get_dataloaders()[1]
    batch = next(loader)
    image, soft = batch["data"][:, :-4], batch["data"][:, -4:]
    assert image.shape[1] == 1 + 3
    assert torch.equal(soft[:, 1:], image[:, 1:])
    assert agreement(trainer, soft, batch["target"][0]) == (1.0, 0)


def test_loaders_can_be_sent_to_other_processes(datasets) -> None:
    trainer = make_trainer(datasets("isotropic"), "svls")
    with silence():
        training, _ = trainer.get_tr_and_val_datasets()
    here, there = training, pickle.loads(pickle.dumps(training))
    assert there.identifiers == here.identifiers
    cut = (slice(None), slice(3, 9), slice(0, 30), slice(10, 44))
    image, segmented, *_ = here.load_case("case1")
    np.testing.assert_array_equal(image[cut], there.load_case("case1")[0][cut])
    assert image.shape == (1 + 3, *segmented.shape[1:])  # the background stays behind


class Listener:
    """A loss that keeps what it is given."""

    soft: torch.Tensor | None = None

    def __call__(self, output, target):
        self.seen, self.soft = self.soft, None
        return output[0].mean()


def test_steps_give_the_image_to_the_network_and_soft_labels_to_the_loss(datasets) -> None:
    trainer = make_trainer(datasets("isotropic"), "svls")
    with silence():
        loader, _ = trainer.get_dataloaders()
    inputs = []
    trainer.network.register_forward_pre_hook(lambda network, given: inputs.append(given[0]))
    for step in (trainer.train_step, trainer.validation_step):
        batch, trainer.loss = next(loader), Listener()
        step(batch)
        assert torch.equal(inputs[-1], batch["data"][:, :1])
        assert torch.equal(trainer.loss.seen, batch["data"][:, 1:])


class Unable(BasicTransform):
    """Knows images and segmentations only."""

    def _apply_to_image(self, img, **params):
        return img

    def _apply_to_segmentation(self, segmentation, **params):
        return segmentation


def test_an_augmentation_that_would_lose_soft_labels_is_named() -> None:
    nested = ComposeTransforms([RandomTransform(Unable(), 0.5)])
    with pytest.raises(EngineError, match="the augmentation Unable would lose the soft labels"):
        SoftTargets(nested, 4, False)


class Losing(ComposeTransforms):
    """Returns no regression target."""

    def apply(self, data_dict, **params):
        return {**data_dict, "regression_target": None}


def test_lost_soft_labels_are_noticed() -> None:
    with pytest.raises(EngineError, match="an augmentation lost the soft labels"):
        SoftTargets(Losing([]), 4, False)(image=torch.zeros(4, 4, 4))


def test_the_background_is_what_the_other_classes_leave() -> None:
    """And where an augmentation mixed labelled with ignored voxels, the labelled ones count."""
    image = torch.tensor([7.0, 7, 7, 7])
    foreground = torch.tensor([[0.25, 0.5, 0, 1.125], [0.5, 0.5, 0, 0]])
    given = torch.cat((image[None], foreground))[:, None]  # a picture of one row
    found = SoftTargets(ComposeTransforms([]), 3, False)(image=given)["image"][:, 0]
    np.testing.assert_array_equal(found[0], image)
    expected = [[0.25, 0, 1, 0], [0.25, 0.5, 0, 1], [0.5, 0.5, 0, 0]]
    np.testing.assert_array_equal(found[1:], expected)
    ignored = torch.tensor([[0, 0, 0.75, 0]])
    given = torch.cat((image[None], foreground * (1 - ignored), ignored))[:, None]
    found = SoftTargets(ComposeTransforms([]), 3, True)(image=given)["image"][1:, 0]
    expected[0][2] = 0  # mostly ignored, so nothing is known
    np.testing.assert_array_equal(found, expected)
    ignored[0, 0] = 0.5
    given = torch.cat((image[None], foreground * (1 - ignored), ignored))[:, None]
    found = SoftTargets(ComposeTransforms([]), 3, True)(image=given)["image"][1:, 0]
    np.testing.assert_array_equal(found, expected)  # half of it is labelled: that counts


def hard_batch(trainer, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Label values that are constant over 4^3 voxels, and their one-hot labels."""
    draw = np.random.default_rng(seed)
    labels = [*trainer.softlab_labels, trainer.label_manager.ignore_label or 0]
    coarse = torch.as_tensor(draw.choice(labels, (2, 1, 4, 4, 4)))
    values = coarse.float()
    for axis in (2, 3, 4):
        values = values.repeat_interleave(4, axis)
    soft = torch.cat([(values == label).float() for label in trainer.softlab_labels], 1)
    return values, soft


def stock_target(trainer, values: torch.Tensor) -> torch.Tensor:
    """What nnU-Net's own loss is given."""
    if not trainer.label_manager.has_regions:
        return values
    regions = list(trainer.label_manager.foreground_regions)
    if trainer.label_manager.has_ignore_label:
        regions.append(trainer.label_manager.ignore_label)
    sets = [torch.tensor([r] if isinstance(r, int) else list(r)) for r in regions]
    return torch.cat([torch.isin(values, s) for s in sets], 1)


@pytest.mark.parametrize("configuration", ["3d_fullres", "3d_again"])
@pytest.mark.parametrize("kind", ["isotropic", "ignore", "regions", "regions and ignore"])
def test_for_hard_labels_the_loss_is_that_of_nnunet(datasets, kind, configuration) -> None:
    """Up to the constant 1: at all scales, with and without the Dice of the whole batch."""
    trainer = make_trainer(datasets(kind), "onehot", configuration)
    stock = nnUNetTrainer._build_loss(trainer)
    values, soft = hard_batch(trainer)
    fine = stock_target(trainer, values)
    target = [fine, fine[:, :, ::2, ::2, ::2]]
    heads = trainer.label_manager.num_segmentation_heads
    torch.manual_seed(0)
    output = [torch.randn(2, heads, n, n, n, dtype=torch.float64) for n in (16, 8)]
    for scale_weights in ((1.0, 0.0), (0.6, 0.4)):
        stock.weight_factors = trainer.loss.loss.weights = scale_weights
        trainer.loss.soft = soft.double()
        found = trainer.loss(output, target)
        assert float(found) == pytest.approx(float(stock(output, target)) + 1, abs=1e-6)


def test_the_loss_is_smallest_at_the_soft_label(datasets) -> None:
    trainer = make_trainer(datasets("isotropic"), "svls")
    torch.manual_seed(0)
    soft = torch.randn(2, 4, 8, 8, 8).softmax(1)
    loss = trainer.loss
    loss.loss.weights = (1.0, 0.0)

    def at(logits: torch.Tensor) -> float:
        loss.soft = soft
        return float(loss([logits, None], [soft, None]))

    smallest = at(soft.log())
    for _ in range(20):
        assert at(soft.log() + 0.05 * torch.randn_like(soft)) > smallest


def test_voxels_that_are_ignored_change_nothing(datasets) -> None:
    trainer = make_trainer(datasets("ignore"), "svls")
    values, soft = hard_batch(trainer)
    logits = torch.randn(2, 3, 16, 16, 16)
    ignored = (values == 3).expand(-1, 3, -1, -1, -1)
    losses = []
    for noise in (0.0, 7.0):
        trainer.loss.soft = torch.where(ignored, torch.tensor(0.0), soft)
        noisy = logits + noise * ignored
        losses.append(float(trainer.loss([noisy, noisy[:, :, ::2, ::2, ::2]], [values, None])))
    assert ignored.any()
    assert losses[0] == pytest.approx(losses[1], abs=1e-6)


def test_a_loss_without_soft_labels_is_refused(datasets) -> None:
    trainer = make_trainer(datasets("isotropic"), "svls")
    with pytest.raises(RuntimeError, match="were not handed to the loss"):
        trainer.loss([torch.zeros(1, 4, 4, 4, 4)], [torch.zeros(1, 1, 4, 4, 4)])


def test_the_dice_of_a_batch_is_gathered_from_all_processes(monkeypatch) -> None:
    """Half of a batch, with the sums of the other half, has the Dice of the whole."""
    torch.manual_seed(0)
    logits, soft = torch.randn(4, 3, 6, 6), torch.randn(4, 3, 6, 6).softmax(1)
    elsewhere: list[torch.Tensor] = []

    class Elsewhere(DiceSemimetricLoss):
        def sums(self, *terms):
            elsewhere.extend(super().sums(*terms))
            return super().sums(*terms)

    Elsewhere(reduction="batch")(logits[2:], soft[2:])
    gather = SimpleNamespace(apply=lambda term: torch.stack([term, elsewhere.pop(0)]))
    monkeypatch.setattr("softlab_cli.nnunet.loss.AllGatherGrad", gather)
    half = combined_loss(batch_dice=True, gather=True).overlap(logits[:2], soft[:2])
    whole = combined_loss(batch_dice=True).overlap(logits, soft)
    assert float(half) == pytest.approx(float(whole), abs=1e-6)
    assert not elsewhere
