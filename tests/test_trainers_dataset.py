"""The PyTorch data set: what a sample holds, where it lies, and that workers agree."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader

import softlab_cli
from softlab_cli.core.errors import (
    ClassError,
    GeometryError,
    InputError,
    StoreError,
    UsageError,
)
from softlab_cli.store.reader import MissingCaseError
from softlab_cli.trainers import imagecache
from softlab_cli.trainers.dataset import SoftLabelDataset, cut_image
from softlab_cli.trainers.sampling import (
    ClassBlocks,
    PatchSampler,
    region_anywhere,
    region_around,
)
from tests.conftest import blobs, write_image
from tests.trainers_support import SHAPES, Made, make, ramp, run_softlab, write_nifti


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make(tmp_path_factory.mktemp("trainers"))


@pytest.fixture
def copied(made: Made, tmp_path: Path) -> Path:
    """The images, moved: what is done to them does not last."""
    return Path(shutil.copytree(made.images, tmp_path / "moved"))


def raw(image: Path) -> np.ndarray:
    return sitk.GetArrayFromImage(sitk.ReadImage(str(image))).astype(np.float32)


def slices(sample: Any) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b)) for a, b in sample["region"])


class TestSamples:
    def test_a_sample_is_what_the_store_and_the_image_have_there(self, made: Made) -> None:
        data = SoftLabelDataset(made.store, patch_size=(4, 5, 6), samples_per_case=20)
        store = softlab_cli.open_store(made.store)
        assert len(data) == 40
        assert [s["case_id"] for s in data] == ["case0"] * 20 + ["case1"] * 20
        for sample in data:
            case, region = store[sample["case_id"]], slices(sample)
            assert sample["image"].dtype == sample["soft"].dtype == torch.float32
            assert sample["label"].dtype == torch.int64
            np.testing.assert_array_equal(sample["soft"], case.read(region))
            np.testing.assert_array_equal(sample["label"], case.read_label(region))
            image = raw(made.images / f"{case.case_id}.nii.gz")
            np.testing.assert_array_equal(sample["image"], image[region][None])
            assert sample["mask"].all()

    def test_whole_cases(self, made: Made) -> None:
        for sample in SoftLabelDataset(made.store, soft_dtype=torch.float16):
            assert sample["soft"].dtype == torch.float16
            assert sample["soft"].shape == (4, *SHAPES[sample["case_id"]])
            assert sample["image"].shape == (1, *SHAPES[sample["case_id"]])

    def test_labels_only_and_without_images(self, made: Made, tmp_path: Path) -> None:
        run_softlab("svls", "--in", made.labels, "--out", tmp_path / "s.zarr", "--labels-only")
        hard = SoftLabelDataset(tmp_path / "s.zarr", images=False, patch_size=5)
        full = SoftLabelDataset(made.store, images=False, patch_size=5)
        for a, b in zip(hard, full, strict=True):
            assert "image" not in a
            torch.testing.assert_close(a["soft"], b["soft"], rtol=0, atol=0)

    def test_ignored_voxels(self, tmp_path: Path) -> None:
        made = make(tmp_path, "--ignore-label", "3")
        data = SoftLabelDataset(made.store)
        sample = data[0]
        ignored = torch.from_numpy(blobs(SHAPES["case0"], 4, seed=0) == 3)
        assert ignored.any()
        assert torch.equal(~sample["mask"], ignored)
        assert torch.equal(sample["label"] == data.ignore_index, ignored)
        assert not sample["soft"][:, ignored].any()

    def test_two_dimensions(self, tmp_path: Path) -> None:
        write_image(tmp_path / "labels" / "a.png", blobs((21, 33), 3))
        write_image(tmp_path / "images" / "a.png", (ramp((21, 33)) % 251).astype(np.uint8))
        out = tmp_path / "soft.zarr"
        run_softlab("svls", "--in", tmp_path / "labels", "--images", tmp_path / "images",
                    "--out", out)  # fmt: skip
        sample = SoftLabelDataset(out, patch_size=(8, 40), foreground_probability=1.0)[0]
        assert sample["soft"].shape == (3, 8, 40)
        assert sample["image"].shape == (1, 8, 40)
        assert sample["region"].tolist()[1] == [-3, 37]
        rows = slices(sample)[0]
        inside = sample["image"][0, :, 3:36]
        np.testing.assert_array_equal(inside, (ramp((21, 33)) % 251)[rows])

    def test_a_transform_has_the_last_word(self, made: Made) -> None:
        data = SoftLabelDataset(made.store, transform=lambda s: {"sum": s["soft"].sum(0)})
        torch.testing.assert_close(data[0]["sum"], torch.ones(SHAPES["case0"]), atol=1e-3, rtol=0)

    def test_cases_in_the_order_given(self, made: Made) -> None:
        data = SoftLabelDataset(made.store, cases=["case1"])
        assert [s["case_id"] for s in data] == ["case1"]
        with pytest.raises(IndexError):
            data[1]


class TestRandomness:
    def test_epochs_and_seeds_differ_and_are_repeated(self, made: Made) -> None:
        def regions(seed: int, epoch: int) -> list[Any]:
            data = SoftLabelDataset(
                made.store, images=False, patch_size=4, samples_per_case=30, seed=seed
            )
            data.set_epoch(epoch)
            return [s["region"].tolist() for s in data]

        drawn = [regions(0, 0), regions(0, 1), regions(1, 0)]
        assert drawn[0] == regions(0, 0)
        assert drawn[0] != drawn[1] != drawn[2] != drawn[0]

    @pytest.mark.parametrize("start", ["fork", "spawn"])
    def test_workers_change_nothing_and_see_the_epoch(self, made: Made, start: str) -> None:
        data = SoftLabelDataset(made.store, patch_size=6, samples_per_case=5)
        loader = DataLoader(
            data, num_workers=2, multiprocessing_context=start, persistent_workers=True,
            batch_size=2,
        )  # fmt: skip
        for epoch in (0, 3):
            data.set_epoch(epoch)
            found = list(loader)
            expected = list(DataLoader(data, batch_size=2))
            assert len(found) == len(expected) == 5
            for a, b in zip(found, expected, strict=True):
                assert a.keys() == b.keys()
                assert a["case_id"] == b["case_id"]
                for key in a.keys() - {"case_id"}:
                    assert torch.equal(a[key], b[key]), key

    def test_it_may_be_pickled(self, made: Made) -> None:
        data = SoftLabelDataset(made.store, patch_size=6, normalise="zscore")
        data.set_epoch(5)
        again = pickle.loads(pickle.dumps(data))
        assert torch.equal(again[1]["image"], data[1]["image"])


class TestSampling:
    @given(st.tuples(*[st.integers(1, 9)] * 3), st.tuples(*[st.integers(1, 12)] * 3), st.data())
    def test_patches_around_a_voxel(self, shape: Any, patch: Any, data: Any) -> None:
        voxel = tuple(data.draw(st.integers(0, n - 1)) for n in shape)
        for v, n, p, s in zip(voxel, shape, patch, region_around(voxel, shape, patch), strict=True):
            assert s.stop - s.start == p
            assert s.start <= v < s.stop
            if p <= n:
                assert s.start >= 0
                assert s.stop <= n
                assert s.start in (0, n - p, v - p // 2)
            else:
                assert abs((s.start + s.stop) - n) <= 1  # both sides padded alike

    @given(st.integers(1, 6), st.integers(1, 9))
    def test_patches_anywhere_lie_everywhere(self, n: int, p: int) -> None:
        rng = np.random.default_rng(0)
        found = {region_anywhere((n, 1, 1), (p, 1, 1), rng)[0].start for _ in range(200)}
        assert found == (set(range(n - p + 1)) if p <= n else {-((p - n) // 2)})

    def test_foreground_is_drawn_evenly_over_classes_and_their_voxels(self, made: Made) -> None:
        case = softlab_cli.open_store(made.store)["case0"]
        labels = case.read_label()
        blocks, rng = ClassBlocks.of(case), np.random.default_rng(0)
        drawn = [blocks.draw(case, rng) for _ in range(6000)]
        counts = np.bincount([labels[v] for v in drawn if v is not None], minlength=4)
        assert counts[0] == 0
        assert np.abs(counts[1:] / 2000 - 1).max() < 0.1
        rarest = min((1, 2, 3), key=lambda c: (labels == c).sum())
        seen = {v for v in drawn if v is not None and labels[v] == rarest}
        assert len(seen) > 0.95 * (labels == rarest).sum()

    def test_share_of_foreground(self, made: Made) -> None:
        store = softlab_cli.open_store(made.store)
        case, rng = store["case1"], np.random.default_rng(1)
        background = [
            (case.read_label(PatchSampler(store, share).draw(case, (1, 1, 1), rng)) == 0).item()
            for share in (0.0, 1.0)
            for _ in range(400)
        ]
        there = (case.read_label() == 0).mean()
        assert abs(np.mean(background[:400]) - there) < 0.1
        assert not any(background[400:])

    def test_a_case_without_foreground(self, tmp_path: Path) -> None:
        write_image(tmp_path / "labels" / "a.nii.gz", np.zeros((5, 5, 5), np.uint8))
        run_softlab("onehot", "--in", tmp_path / "labels", "--out", tmp_path / "s.zarr",
                    "--labels", "0,1")  # fmt: skip
        data = SoftLabelDataset(
            tmp_path / "s.zarr", images=False, patch_size=2, foreground_probability=1.0
        )
        assert data[0]["soft"][0].all()


class TestPadding:
    def test_outside_is_background_or_not_labelled(self, made: Made) -> None:
        patch = (13, 14, 19)  # case0 has 9 slices: two of padding on each side
        there = torch.zeros(patch, dtype=torch.bool)
        there[2:11] = True
        padded = SoftLabelDataset(made.store, patch_size=patch)[0]
        assert padded["region"][0].tolist() == [-2, 11]
        assert (padded["soft"][0][~there] == 1).all()
        assert (padded["label"][~there] == 0).all()
        assert padded["mask"].all()
        ignored = SoftLabelDataset(made.store, patch_size=patch, padding="zero")
        assert not ignored[0]["soft"][:, ~there].any()
        assert (ignored[0]["label"][~there] == ignored.ignore_index).all()
        assert torch.equal(ignored[0]["mask"], there)
        assert torch.equal(ignored[0]["soft"][:, there], padded["soft"][:, there])

    def test_image_by_its_edge_or_its_minimum(self) -> None:
        image = ramp((2, 3, 1, 2))
        region = (slice(-1, 4), slice(0, 1), slice(0, 2))
        edge = cut_image(image, region, "edge")
        low = cut_image(image, region, "minimum")
        np.testing.assert_array_equal(edge[0, :, 0], [[0, 1], [0, 1], [2, 3], [4, 5], [4, 5]])
        np.testing.assert_array_equal(low[1, :, 0], [[6, 6], [6, 7], [8, 9], [10, 11], [6, 6]])


class TestImages:
    def test_moved_into_a_folder(self, made: Made, copied: Path) -> None:
        for a, b in zip(
            SoftLabelDataset(made.store, images=copied), SoftLabelDataset(made.store), strict=True
        ):
            assert torch.equal(a["image"], b["image"])

    def test_channels_named_by_case_id(self, made: Made, tmp_path: Path) -> None:
        for case_id, shape in SHAPES.items():
            for channel in (0, 1):
                write_nifti(tmp_path / f"{case_id}_{channel:04d}.nii.gz", ramp(shape, channel))
        image = SoftLabelDataset(made.store, images=tmp_path)[0]["image"]
        assert image.shape == (2, *SHAPES["case0"])
        assert torch.equal(image[1], image[0] + 1)

    def test_paths_by_case_id(self, made: Made) -> None:
        one = made.images / "case1.nii.gz"
        data = SoftLabelDataset(made.store, images={"case1": [one, str(one)]}, cases=["case1"])
        assert data[0]["image"].shape[0] == 2

    def test_missing_ones_name_the_case(self, made: Made, copied: Path) -> None:
        (copied / "case1.nii.gz").unlink()
        with pytest.raises(InputError, match=r"'case1' has no image.*images="):
            SoftLabelDataset(made.store, images=copied)
        with pytest.raises(InputError, match=r"nowhere.nii.*'case0' and does not exist"):
            SoftLabelDataset(made.store, images={"case0": "nowhere.nii"}, cases=["case0"])
        with pytest.raises(InputError, match="is no folder"):
            SoftLabelDataset(made.store, images=copied / "none")

    def test_another_grid_names_the_case(self, made: Made, copied: Path) -> None:
        write_nifti(copied / "case0.nii.gz", ramp((9, 14, 18)))
        with pytest.raises(GeometryError, match=r"'case0' of the store and its image.*grids"):
            SoftLabelDataset(made.store, images=copied)[0]

    def test_the_same_world_in_another_orientation_is_turned(
        self, made: Made, copied: Path
    ) -> None:
        path = copied / "case0.nii.gz"
        flipped = sitk.Flip(sitk.ReadImage(str(path)), (True, False, True))
        permuted = sitk.PermuteAxes(flipped, (1, 2, 0))
        sitk.WriteImage(permuted, str(path))
        assert raw(path).shape != SHAPES["case0"]
        image = SoftLabelDataset(made.store, images=copied)[0]["image"]
        np.testing.assert_array_equal(image[0], raw(made.images / "case0.nii.gz"))

    def test_zscore_is_of_the_whole_image(self, made: Made) -> None:
        sample = SoftLabelDataset(made.store, patch_size=4, normalise="zscore")[0]
        image = raw(made.images / "case0.nii.gz")
        expected = (image - image.mean()) / image.std()
        np.testing.assert_allclose(sample["image"][0], expected[slices(sample)], rtol=1e-4)
        flat = imagecache.zscore(np.full((1, 2, 2, 2), 7, np.float32))
        np.testing.assert_array_equal(flat, 0)

    def test_a_function_is_called_on_the_patch(self, made: Made) -> None:
        def half(patch: np.ndarray) -> np.ndarray:
            assert patch.shape == (1, 4, 4, 4)
            return patch / 2.0

        plain = SoftLabelDataset(made.store, patch_size=4)[0]["image"]
        halved = SoftLabelDataset(made.store, patch_size=4, normalise=half)[0]["image"]
        assert halved.dtype == torch.float32
        assert torch.equal(halved, plain / 2)


class TestCache:
    @pytest.mark.parametrize(("where", "times"), [(None, 3), ("memory", 2), ("folder", 2)])
    def test_how_often_images_are_decoded(
        self, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: Any, times: int
    ) -> None:
        decoded: list[str] = []
        decode = imagecache.read_case_image

        def count(case: Any, paths: Any) -> Any:
            decoded.append(case.case_id)
            return decode(case, paths)

        monkeypatch.setattr(imagecache, "read_case_image", count)
        where = tmp_path if where == "folder" else where
        data = SoftLabelDataset(made.store, samples_per_case=2, patch_size=4, cache_images=where)
        plain = SoftLabelDataset(made.store, samples_per_case=2, patch_size=4)
        found = [data[i]["image"] for i in (0, 1, 2, 0)]
        assert len(decoded) == times
        assert all(
            torch.equal(f, plain[i]["image"]) for f, i in zip(found, (0, 1, 2, 0), strict=True)
        )

    def test_a_folder_serves_all_processes_and_notices_changes(
        self, made: Made, copied: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "cache"
        data = SoftLabelDataset(
            made.store, images=copied, samples_per_case=4, patch_size=4, cache_images=folder
        )
        loader = DataLoader(data, num_workers=2, multiprocessing_context="fork")
        found = [batch["image"][0] for batch in loader]
        plain = SoftLabelDataset(made.store, samples_per_case=4, patch_size=4)
        assert all(torch.equal(a, b["image"]) for a, b in zip(found, plain, strict=True))
        kept = sorted(os.listdir(folder))
        assert [name.split("-")[0] for name in kept] == ["case0", "case1"]
        write_nifti(copied / "case0.nii.gz", -ramp(SHAPES["case0"]))
        again = SoftLabelDataset(made.store, images=copied, cache_images=folder)
        assert again[0]["image"].min() == -(np.prod(SHAPES["case0"]) - 1)
        scaled = SoftLabelDataset(
            made.store, images=copied, cache_images=folder, normalise="zscore"
        )
        assert abs(scaled[1]["image"].mean()) < 1e-3

    def test_a_folder_that_cannot_be_written(self, made: Made, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with pytest.raises(StoreError, match="cannot be written"):
            SoftLabelDataset(made.store, cache_images=tmp_path / "file")[0]


class TestStale:
    def test_what_has_not_changed(self, made: Made, copied: Path) -> None:
        for check in ("size", "sha256"):
            assert len(SoftLabelDataset(made.store, images=copied, check=check)) == 2

    def test_another_size(self, made: Made, copied: Path) -> None:
        write_nifti(copied / "case1.nii.gz", np.zeros(SHAPES["case1"], np.float32))
        with pytest.raises(StoreError, match=r"case1.nii.gz: case 'case1' is stale"):
            SoftLabelDataset(made.store, images=copied, check="size")

    def test_other_bytes_of_the_same_size(self, made: Made, copied: Path) -> None:
        content = bytearray((copied / "case0.nii.gz").read_bytes())
        content[-1] ^= 1
        (copied / "case0.nii.gz").write_bytes(content)
        SoftLabelDataset(made.store, images=copied, check="size")
        with pytest.raises(StoreError, match="'case0' is stale"):
            SoftLabelDataset(made.store, images=copied, check="sha256")

    def test_a_label_map_that_is_gone(self, tmp_path: Path) -> None:
        made = make(tmp_path)
        (made.labels / "case1.nii.gz").unlink()
        with pytest.raises(StoreError, match=r"'case1'.*gone"):
            SoftLabelDataset(made.store, check="size")


class TestErrors:
    @pytest.mark.parametrize(
        "arguments",
        [
            {"patch_size": (4, 4)},
            {"patch_size": 0},
            {"samples_per_case": 0},
            {"foreground_probability": 1.5},
            {"seed": -1},
            {"cases": []},
            {"normalise": "minmax"},
            {"padding": "mirror"},
            {"image_padding": "zero"},
            {"soft_dtype": torch.float64},
            {"check": "mtime"},
        ],
    )
    def test_arguments_without_meaning(self, made: Made, arguments: dict[str, Any]) -> None:
        with pytest.raises(UsageError, match=next(iter(arguments))):
            SoftLabelDataset(made.store, **arguments)

    def test_another_number_of_classes(self, made: Made) -> None:
        assert len(SoftLabelDataset(made.store, class_count=4)) == 2
        with pytest.raises(ClassError, match=r"soft.zarr: has 4 classes, and 5 are expected"):
            SoftLabelDataset(made.store, class_count=5)

    def test_cases_and_epochs_that_are_not(self, made: Made) -> None:
        with pytest.raises(MissingCaseError, match="no case 'case7'"):
            SoftLabelDataset(made.store, cases=["case7"])
        with pytest.raises(UsageError, match="epoch -1"):
            SoftLabelDataset(made.store).set_epoch(-1)

    @pytest.mark.parametrize(
        ("module", "package"), [("dataset", "torch"), ("monai", "monai"), ("torchio", "torchio")]
    )
    def test_missing_packages_say_what_to_install(self, module: str, package: str) -> None:
        code = (
            f"import sys; sys.modules[{package!r}] = None\n"
            f"try: import softlab_cli.trainers.{module}\n"
            "except ImportError as error: print(error)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert f" need {package}." in done.stdout
        assert f"pip install 'softlab-cli[{package}]'" in done.stdout


def test_a_rater_is_drawn_for_each_sample(made: Made, tmp_path: Path) -> None:
    for rater, turn in (("r1", 0), ("r2", 1)):
        for seed, (case_id, shape) in enumerate(SHAPES.items()):
            label_map = np.roll(blobs(shape, 4, seed=seed), turn, axis=1)
            write_nifti(tmp_path / rater / f"{case_id}.nii.gz", label_map)
    folders = ("--in", tmp_path / "r1", "--in", tmp_path / "r2")
    run_softlab("msvls", *folders, "--out", tmp_path / "s.zarr", "--labels", "0-3", "--keep-raters")
    data = SoftLabelDataset(
        tmp_path / "s.zarr", images=False, patch_size=6, samples_per_case=12, random_rater=True
    )
    plain = SoftLabelDataset(tmp_path / "s.zarr", images=False, patch_size=6, samples_per_case=12)
    seen = set()
    for sample, without in zip(data, plain, strict=False):
        assert torch.equal(sample["region"], without["region"])  # the draw moves no patch
        assert "rater" not in without
        case = data.store[sample["case_id"]]
        matches = [
            rater
            for rater in case.raters
            if np.array_equal(case.read_rater(rater, slices(sample)), sample["rater"])
        ]
        assert matches
        seen |= set(matches) if len(matches) == 1 else set()
    assert seen == {"r1", "r2"}
    with pytest.raises(StoreError, match="--keep-raters"):
        SoftLabelDataset(made.store, random_rater=True)
