"""MONAI: the soft label lies on the grid of its image, and moves with it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import DataLoader, Dataset, MetaTensor, PersistentDataset
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    Orientationd,
    RandAffined,
    RandCropByLabelClassesd,
    RandCropByPosNegLabeld,
    RandFlipd,
    RandRotate90d,
    SaveImage,
    Spacingd,
)

import softlab_cli
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.trainers.monai import FillBackgroundd, LoadSoftLabel, LoadSoftLabeld, datalist
from tests.conftest import blobs, write_image
from tests.trainers_support import SHAPES, Made, make, run_softlab

KEYS = ["image", "soft"]


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A one-hot store: what MONAI makes of the label map tells what has to come out."""
    return make(tmp_path_factory.mktemp("monai"), method="onehot")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("monai_soft"))


def items(made: Made) -> list[dict[str, Any]]:
    """Image, soft label, and the label map that it was made from."""
    return [
        {**item, "map": str(made.labels / f"{item['case_id']}.nii.gz")}
        for item in datalist(made.store)
    ]


def load() -> list[Any]:
    return [LoadImaged(["image", "map"], ensure_channel_first=True), LoadSoftLabeld("soft")]


def one_hot(label_map: MetaTensor) -> torch.Tensor:
    return torch.stack([label_map[0] == value for value in range(4)]).float()


class TestGrid:
    def test_same_affine_shape_and_orientation_as_monai_reads(self, hard: Made) -> None:
        for item in items(hard):
            got = Compose(load())(item)
            assert isinstance(got["soft"], MetaTensor)
            assert got["soft"].shape[1:] == got["image"].shape[1:]
            assert got["soft"].shape == (4, *SHAPES[item["case_id"]][::-1])
            torch.testing.assert_close(
                got["soft"].affine, got["image"].affine.double(), atol=1e-5, rtol=0
            )
            assert torch.equal(got["soft"].as_tensor(), one_hot(got["map"]))

    @pytest.mark.parametrize(
        "transform",
        [
            Orientationd([*KEYS, "map"], axcodes="SAL", labels=None),
            Spacingd([*KEYS, "map"], pixdim=(0.9, 0.8, 1.7), mode="nearest"),
            RandFlipd([*KEYS, "map"], prob=1.0, spatial_axis=(0, 2)),
            RandRotate90d([*KEYS, "map"], prob=1.0, spatial_axes=(0, 1)),
            RandAffined([*KEYS, "map"], prob=1.0, rotate_range=(0.5,) * 3, mode="nearest",
                        padding_mode="border"),
            RandCropByPosNegLabeld([*KEYS, "map"], label_key="soft", spatial_size=(5, 6, 4),
                                   pos=1, neg=0, num_samples=3),
        ],
        ids=lambda t: type(t).__name__,
    )  # fmt: skip
    def test_transforms_move_it_like_the_label_map(self, hard: Made, transform: Any) -> None:
        pipeline = Compose([*load(), transform]).set_random_state(seed=3)
        found = pipeline(items(hard)[0])
        before = Compose(load())(items(hard)[0])["soft"]
        for got in found if isinstance(found, list) else [found]:
            assert not torch.equal(got["soft"].as_tensor(), before.as_tensor())
            assert torch.equal(got["soft"].as_tensor(), one_hot(got["map"]))
            torch.testing.assert_close(
                got["soft"].affine, got["image"].affine.double(), atol=1e-5, rtol=0
            )

    def test_two_dimensions(self, tmp_path: Path) -> None:
        label_map = blobs((9, 14), 3)
        write_image(tmp_path / "labels" / "a.nii.gz", label_map)
        run_softlab("onehot", "--in", tmp_path / "labels", "--out", tmp_path / "s.zarr")
        soft = LoadSoftLabel(tmp_path / "s.zarr")("a")
        assert soft.shape == (3, 14, 9)
        np.testing.assert_array_equal(soft.argmax(0).T, label_map)


class TestInterpolation:
    def test_bilinear_keeps_the_sum_and_padding_is_filled(self, made: Made) -> None:
        moved = RandAffined(
            KEYS, prob=1.0, rotate_range=0.6, translate_range=4, mode="bilinear",
            padding_mode=["border", "zeros"],
        )  # fmt: skip
        pipeline = Compose([*load(), Spacingd(KEYS, pixdim=1.0, mode="bilinear"), moved])
        got = pipeline.set_random_state(seed=1)(items(made)[0])
        sums = got["soft"].sum(0)
        assert sums.min() < 0.01
        inside = sums > 1 - 1e-3
        assert 0.2 < inside.float().mean() < 0.99
        filled = FillBackgroundd("soft")(got)["soft"]
        torch.testing.assert_close(
            filled.sum(0).as_tensor(), torch.ones(filled.shape[1:]), atol=1e-3, rtol=0
        )
        assert torch.equal(filled[1:], got["soft"][1:])
        assert isinstance(filled, MetaTensor)
        assert torch.equal(filled.affine, got["soft"].affine)

    def test_another_background(self) -> None:
        got = FillBackgroundd("a", background_index=1)({"a": torch.tensor([[0.25], [0.5]])})
        assert got["a"].tolist() == [[0.25], [0.75]]


class TestNames:
    def test_every_way_to_name_a_case(self, made: Made) -> None:
        store = softlab_cli.open_store(made.store)
        expected = store["case1"].read()
        names = [f"{made.store}::case1", (made.store, "case1"), (store, "case1"), store["case1"]]
        found = [LoadSoftLabel()(name) for name in names]
        found.append(LoadSoftLabel(made.store)("case1"))
        for soft in found:
            np.testing.assert_array_equal(soft.permute(0, 3, 2, 1), expected)

    def test_names_that_are_none(self, made: Made) -> None:
        with pytest.raises(UsageError, match="'case1' names no case"):
            LoadSoftLabel()("case1")
        with pytest.raises(StoreError, match="no case 'case9'"):
            LoadSoftLabel()(f"{made.store}::case9")
        with pytest.raises(StoreError, match="does not exist"):
            LoadSoftLabel()("nowhere.zarr::case9")

    def test_a_store_that_is_made_anew_is_opened_anew(self, tmp_path: Path) -> None:
        made = make(tmp_path)
        name = f"{made.store}::case0"
        before = LoadSoftLabel()(name)
        run_softlab("onehot", "--in", made.labels, "--out", made.store, "--labels", "0-3",
                    "--overwrite")  # fmt: skip
        assert not torch.equal(LoadSoftLabel()(name).as_tensor(), before.as_tensor())

    def test_some_classes_and_other_types(self, made: Made) -> None:
        whole = LoadSoftLabel(made.store)("case0")
        some = LoadSoftLabel(made.store, classes=[2, 0], dtype=torch.float16)("case0")
        assert some.dtype == torch.float16
        assert torch.equal(some.as_tensor().float(), whole.as_tensor()[[2, 0]])

    def test_what_the_metadata_tell(self, made: Made, tmp_path: Path) -> None:
        soft = LoadSoftLabel(made.store)("case0")
        assert soft.meta["filename_or_obj"] == str(made.store / "case0")
        assert EnsureChannelFirstd("soft")({"soft": soft})["soft"].shape == soft.shape
        SaveImage(tmp_path, output_ext=".nii.gz", separate_folder=False, print_log=False)(soft)
        saved = LoadImaged("a", ensure_channel_first=True)({"a": tmp_path / "case0_trans.nii.gz"})
        torch.testing.assert_close(saved["a"].as_tensor(), soft.as_tensor(), atol=0, rtol=0)
        torch.testing.assert_close(saved["a"].affine, soft.affine, atol=1e-4, rtol=0)


class TestPipeline:
    def test_hard_labels_beside_it(self, made: Made) -> None:
        pipeline = Compose([
            LoadImaged(["image", "map"], ensure_channel_first=True),
            LoadSoftLabeld("soft", label_keys="label"),
            RandCropByLabelClassesd(["soft", "label", "map"], label_key="label", num_classes=4,
                                    ratios=[0, 0, 1, 0], spatial_size=(3, 3, 3), num_samples=4),
        ])  # fmt: skip
        for got in pipeline(items(made)[0]):
            assert torch.equal(got["label"].as_tensor(), got["map"].as_tensor())
        with pytest.raises(UsageError, match="do not go with the keys"):
            LoadSoftLabeld(["soft", "other"], label_keys="label")

    def test_keys_that_are_missing(self, made: Made) -> None:
        assert LoadSoftLabeld("soft", allow_missing_keys=True)({"x": 1}) == {"x": 1}
        with pytest.raises(KeyError):
            LoadSoftLabeld("soft")({"x": 1})
        assert FillBackgroundd("soft", allow_missing_keys=True)({"x": 1}) == {"x": 1}

    def test_in_workers(self, made: Made) -> None:
        transform = Compose([LoadSoftLabeld("soft", store=made.store), RandFlipd("soft", prob=0.5)])
        names = [{"soft": "case0"}, {"soft": "case1"}]
        for start in ("fork", "spawn"):
            loader = DataLoader(
                Dataset(names, transform), num_workers=1, multiprocessing_context=start
            )
            assert [tuple(batch["soft"].shape[2:]) for batch in loader] == [
                shape[::-1] for shape in SHAPES.values()
            ]
        assert pickle.loads(pickle.dumps(transform))

    def test_items(self, made: Made, tmp_path: Path) -> None:
        assert datalist(made.store, cases=["case1"]) == [
            {
                "image": str(made.images / "case1.nii.gz"),
                "soft": f"{made.store}::case1",
                "case_id": "case1",
                "fingerprint": softlab_cli.open_store(made.store)["case1"].fingerprint,
            }
        ]
        two = {"case0": [made.images / "case0.nii.gz"] * 2}
        (item,) = datalist(made.store, two, cases=["case0"])
        assert LoadImaged("image")(item)["image"].shape[0] == 2

    def test_a_store_made_anew_is_not_taken_from_a_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The cache finds an item by its text, which stays right from another folder too."""
        monkeypatch.chdir(tmp_path)
        sums, texts = [], []
        for smoothing in ("0.1", "0.1", "0.2"):
            made = make(Path("data"), "--smoothing", smoothing, "--overwrite", method="ls")
            kept = PersistentDataset(
                datalist(made.store, cases=["case1"]), LoadSoftLabeld("soft"), tmp_path / "cache"
            )
            monkeypatch.chdir("/")
            sums.append(float(kept[0]["soft"][0].sum()))
            texts.append(datalist(tmp_path / made.store, cases=["case1"]))
            monkeypatch.chdir(tmp_path)
        assert texts[0] == texts[1]
        assert sums[0] == sums[1] != sums[2]
