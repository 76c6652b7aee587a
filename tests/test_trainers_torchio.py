"""TorchIO: the soft label lies on the grid of its image, moves with it, and is sampled."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchio

from softlab_cli.core.errors import GeometryError, InputError, StoreError
from softlab_cli.trainers.torchio import (
    FillBackground,
    hard_label_image,
    soft_label_image,
    subjects,
)
from tests.conftest import blobs, write_image
from tests.trainers_support import SHAPES, Made, make, ramp, run_softlab, write_nifti


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("torchio"), method="onehot")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("torchio_soft"))


def with_map(made: Made) -> list[torchio.Subject]:
    """Subjects that have the label map as TorchIO reads it, too."""
    found = subjects(made.store, hard_label=True)
    for subject in found:
        subject.add_image(torchio.LabelMap(made.labels / f"{subject['case_id']}.nii.gz"), "map")
    return found


def one_hot(label_map: torchio.LabelMap) -> torch.Tensor:
    return torch.stack([label_map.data[0] == value for value in range(4)]).float()


class TestGrid:
    def test_same_grid_as_torchio_reads(self, hard: Made) -> None:
        for subject in with_map(hard):
            subject.check_consistent_spatial_shape()
            subject.check_consistent_affine()
            shape = SHAPES[subject["case_id"]][::-1]
            assert subject["soft"].shape == (4, *shape)
            assert torch.equal(subject["soft"].data, one_hot(subject["map"]))
            assert torch.equal(subject["label"].data, subject["map"].data)
            np.testing.assert_allclose(subject["soft"].affine, subject["image"].affine, atol=1e-5)

    @pytest.mark.parametrize(
        "transform",
        [
            torchio.RandomFlip(axes=(0, 2), flip_probability=1.0),
            torchio.ToCanonical(),
            torchio.Resample((0.9, 0.8, 1.7)),
            torchio.RandomAffine(degrees=30, translation=3),
            torchio.RandomElasticDeformation(
                num_control_points=5, max_displacement=2, locked_borders=1
            ),
            torchio.CropOrPad((12, 20, 10)),
        ],
        ids=lambda t: type(t).__name__,
    )
    def test_transforms_move_it_like_the_label_map(self, hard: Made, transform: Any) -> None:
        torch.manual_seed(0)
        # Zero is background in the label map, and all zero in the soft label.
        subject = with_map(hard)[0]
        moved = FillBackground()(transform(subject))
        assert not torch.equal(moved["soft"].data, subject["soft"].data)
        assert torch.equal(moved["soft"].data, one_hot(moved["map"]))

    def test_two_dimensions(self, tmp_path: Path) -> None:
        label_map = blobs((9, 14), 3)
        write_image(tmp_path / "labels" / "a.nii.gz", label_map)
        run_softlab("onehot", "--in", tmp_path / "labels", "--out", tmp_path / "s.zarr")
        soft = soft_label_image(tmp_path / "s.zarr", "a")
        assert soft.shape == (3, 14, 9, 1)
        assert soft.is_2d()
        np.testing.assert_array_equal(soft.data.argmax(0)[..., 0].T, label_map)
        assert hard_label_image(tmp_path / "s.zarr", "a").shape == (1, 14, 9, 1)


class TestTransforms:
    def test_linear_keeps_the_sum_and_padding_is_filled(self, made: Made) -> None:
        torch.manual_seed(0)
        affine = torchio.RandomAffine(degrees=40, label_interpolation="linear")
        moved = affine(subjects(made.store)[0])
        sums = moved["soft"].data.sum(0)
        assert sums.min() < 0.01
        assert (sums > 1 - 1e-3).float().mean() > 0.2
        filled = FillBackground()(moved)
        torch.testing.assert_close(
            filled["soft"].data.sum(0), torch.ones(sums.shape), atol=1e-3, rtol=0
        )
        assert torch.equal(filled["soft"].data[1:], moved["soft"].data[1:])

    def test_intensity_transforms_leave_it_alone(self, made: Made) -> None:
        subject = subjects(made.store)[0]
        noisy = torchio.Compose([torchio.RandomNoise(std=1), torchio.ZNormalization()])(subject)
        assert not torch.equal(noisy["image"].data, subject["image"].data)
        assert torch.equal(noisy["soft"].data, subject["soft"].data)

    def test_the_history_can_be_applied_again(self, made: Made) -> None:
        subject = subjects(made.store)[0]
        chain = torchio.Compose([torchio.RandomFlip(axes=(1,)), FillBackground("soft", 0)])
        once = chain(subject)
        again = once.get_composed_history()(subject)
        assert torch.equal(again["soft"].data, once["soft"].data)


class TestSampling:
    def test_by_the_hard_and_by_the_soft_label(self, made: Made) -> None:
        subject = subjects(made.store, hard_label=True)[0]
        wanted = {0: 0, 1: 0, 2: 1, 3: 0}
        for name in ("label", "soft"):
            sampler = torchio.LabelSampler(3, name, wanted)
            for patch in sampler(subject, num_patches=20):
                assert patch["soft"].data[2, 1, 1, 1] > 0
                assert patch["image"].shape == (1, 3, 3, 3)

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_a_queue_with_workers(self, made: Made, start: str) -> None:
        data = torchio.SubjectsDataset(
            subjects(made.store, hard_label=True), transform=torchio.RandomFlip()
        )
        loader = torchio.SubjectsLoader(data, num_workers=1, multiprocessing_context=start)
        assert [batch["case_id"] for batch in loader] == [["case0"], ["case1"]]
        if start == "spawn":
            return
        queue = torchio.Queue(data, 8, 4, torchio.LabelSampler(4, "label"), num_workers=1)
        batches = list(torchio.SubjectsLoader(queue, batch_size=4))
        assert [tuple(batch["soft"]["data"].shape) for batch in batches] == [(4, 4, 4, 4, 4)] * 2
        for batch in batches:
            sums = batch["soft"]["data"].sum(1)
            torch.testing.assert_close(sums, torch.ones(sums.shape), atol=1e-3, rtol=0)


class TestSubjects:
    def test_nothing_is_read_before_it_is_used(self, made: Made) -> None:
        (subject,) = subjects(made.store, cases=["case1"])
        again = pickle.loads(pickle.dumps(copy.copy(subject)))
        assert not subject["soft"]._loaded
        assert again["soft"].shape == (4, *SHAPES["case1"][::-1])
        assert torch.equal(again["soft"].data, subject["soft"].data)

    def test_with_some_classes_and_without_images(self, made: Made) -> None:
        (subject,) = subjects(made.store, False, cases=["case0"])
        assert subject.get_images_names() == ["soft"]
        some = soft_label_image(made.store, "case0", classes=[3])
        assert torch.equal(some.data[0], subject["soft"].data[3])

    def test_errors_name_the_case(self, made: Made, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="no case 'case9'"):
            soft_label_image(made.store, "case9")
        with pytest.raises(InputError, match="'case0' has no image"):
            subjects(made.store, tmp_path)
        write_nifti(tmp_path / "case0.nii.gz", ramp((9, 14, 19)), (1, 0, 0, 0, 1, 0, 0, 0, 1))
        with pytest.raises(GeometryError, match="'case0' of the store and its image"):
            subjects(made.store, tmp_path, cases=["case0"])
