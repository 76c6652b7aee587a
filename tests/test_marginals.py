"""Label marginals: what stores keep, what the command shows, and class weights."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.report.marginals import (
    LabelMarginals,
    class_weights,
    label_marginals,
    stored_marginals,
)
from softlab_cli.store.reader import Store
from softlab_cli.store.statistics import CaseStatistics
from tests.conftest import blobs, write_image
from tests.store_support import small_blocks

IGNORED = 9


@pytest.fixture
def labels(tmp_path) -> Path:
    """Foreground in the middle only, so that blocks lie in, across and outside its box."""
    folder = tmp_path / "labels"
    for i, size in enumerate((14, 11)):
        label_map = np.zeros((18 + 4 * i, 20, 23), np.uint8)
        label_map[3 : 3 + size, 5:15, 6:17] = blobs((size, 10, 11), 4, seed=i)
        label_map[4, 5:9, 6:20] = IGNORED
        write_image(folder / f"case{i}.nii.gz", label_map, (2, 1, 1))
    return folder


@pytest.fixture(params=["svls", "ls", "onehot"])
def store(request, softlab, labels, tmp_path) -> Store:
    out = tmp_path / "soft.zarr"
    with small_blocks():
        done = softlab(
            request.param, "--in", labels, "--out", out, "--ignore-label", IGNORED,
            "--workers", 1, "--labels", "0-5",
        )  # fmt: skip
    assert done.exit_code == 0, done.output
    return softlab_cli.open_store(out)


def soft_in_box(case) -> tuple[np.ndarray, int]:
    """Sum over the voxels, and the number of valid ones, without any statistics."""
    label = case.read_label()
    inside = np.argwhere((label != 0) & (label != case.classes.ignore_index))
    (z0, y0, x0), (z1, y1, x1) = inside.min(axis=0), inside.max(axis=0) + 1
    cut = (slice(z0, z1), slice(y0, y1), slice(x0, x1))
    valid = int((label[cut] != case.classes.ignore_index).sum())
    return case.read(cut).astype(np.float64).sum(axis=(1, 2, 3)), valid


class TestWhatIsKept:
    def test_soft_proportions_in_the_box(self, store) -> None:
        for case in store.values():
            mass, valid = soft_in_box(case)
            assert case.statistics.soft_proportion_box == (mass / valid).tolist()
            assert sum(case.statistics.soft_proportion_box) == pytest.approx(1, abs=1e-3)

    def test_smoothing_leaves_the_box(self, softlab, labels, tmp_path) -> None:
        softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr", "--ignore-label", IGNORED)
        kept = softlab_cli.open_store(tmp_path / "soft.zarr")["case0"].statistics
        assert kept.hard_proportion_box[1] > kept.soft_proportion_box[1] > 0

    def test_threads_and_blocks_change_nothing(self, store, softlab, labels, tmp_path) -> None:
        again = tmp_path / "again.zarr"
        softlab(
            store.info.method, "--in", labels, "--out", again, "--ignore-label", IGNORED,
            "--threads", 3, "--labels", "0-5",
        )  # fmt: skip
        for name, case in softlab_cli.open_store(again).items():
            assert case.statistics == store[name].statistics

    def test_no_foreground_no_box(self, softlab, tmp_path) -> None:
        write_image(tmp_path / "labels" / "empty.nii.gz", np.zeros((4, 5, 6), np.uint8))
        out = tmp_path / "soft.zarr"
        softlab("svls", "--in", tmp_path / "labels", "--out", out, "--labels", "0-1")
        store = softlab_cli.open_store(out)
        assert store["empty"].statistics.soft_proportion_box is None
        found = label_marginals(store, "box", "soft")
        assert (found.voxels == 0).all()
        assert (found.proportions == 0).all()
        assert (
            json.loads(softlab("info", out, "--marginals", "--json").output)["cases"]["empty"][
                "hard"
            ]["proportion_box"]
            is None
        )

    def test_a_store_of_an_earlier_version_is_read(self, store) -> None:
        facts = store["case0"].statistics.to_json()
        del facts["soft_proportion_box"]
        assert CaseStatistics.from_json(facts).soft_proportion_box is None


class TestLabelMarginals:
    def test_hard(self, store) -> None:
        found = label_marginals(store)
        every, box = label_marginals(store, "all"), label_marginals(store, "box")
        for row, case in enumerate(store.values()):
            label = case.read_label()
            counts = np.bincount(label.ravel(), minlength=256)[:6]
            np.testing.assert_array_equal(found.amounts[row], counts)
            np.testing.assert_allclose(found.proportions[row], counts / counts.sum())
            np.testing.assert_allclose(every.proportions[row], counts / label.size)
            np.testing.assert_array_equal(found.mm3[row], counts * 2.0)
            assert box.voxels[row] == soft_in_box(case)[1]
            np.testing.assert_array_equal(box.amounts[row, 1:], counts[1:])
        pooled = found.amounts.sum(axis=0) / found.voxels.sum()
        np.testing.assert_allclose(found.pooled, pooled)
        assert not np.allclose(found.pooled, found.proportions.mean(axis=0), rtol=1e-3)

    @pytest.mark.parametrize("over", ["all", "valid", "box"])
    def test_soft_is_the_same_kept_or_summed(self, store, over) -> None:
        kept = label_marginals(store, over, "soft")
        for case in store.values():
            forgetful = replace(case.statistics, soft_mass=None, soft_proportion_box=None)
            object.__setattr__(case.info, "statistics", forgetful)
        assert stored_marginals(store, over, "soft") is None
        with small_blocks():
            summed = label_marginals(store, over, "soft")
        np.testing.assert_allclose(summed.amounts, kept.amounts, rtol=1e-12)
        np.testing.assert_array_equal(summed.voxels, kept.voxels)
        assert kept.amounts.any()

    def test_labels_only_are_computed_on_read(self, softlab, labels, tmp_path) -> None:
        found = []
        for name, options in (("a", []), ("b", ["--labels-only"])):
            out = tmp_path / f"{name}.zarr"
            softlab("svls", "--in", labels, "--out", out, "--ignore-label", IGNORED, *options)
            found.append(label_marginals(softlab_cli.open_store(out), "box", "soft"))
        np.testing.assert_allclose(found[0].proportions, found[1].proportions, rtol=1e-12)

    def test_pictures(self, softlab, tmp_path) -> None:
        write_image(tmp_path / "labels" / "a.png", blobs((30, 40), 3))
        out = tmp_path / "soft.zarr"
        softlab("ls", "--in", tmp_path / "labels", "--out", out, "--labels-only")
        store = softlab_cli.open_store(out)
        soft = store["a"].read().astype(np.float64)
        found = label_marginals(store, source="soft")
        np.testing.assert_allclose(found.pooled, soft.mean(axis=(1, 2)), rtol=1e-12)

    def test_cases_by_name(self, store) -> None:
        one = label_marginals(store, case_ids=["case1"])
        assert one.case_ids == ("case1",)
        np.testing.assert_array_equal(one.amounts[0], label_marginals(store).amounts[1])

    def test_what_is_refused(self, store) -> None:
        with pytest.raises(UsageError, match=r"over='volume'.*all, valid, box"):
            label_marginals(store, "volume")
        with pytest.raises(UsageError, match=r"source='mean'.*hard, soft"):
            label_marginals(store, source="mean")
        with pytest.raises(UsageError, match="no case"):
            label_marginals(store, case_ids=[])
        with pytest.raises(StoreError, match="no case 'x'"):
            label_marginals(store, case_ids=["x"])
        object.__setattr__(store["case0"].info, "statistics", None)
        with pytest.raises(StoreError, match=r"case0: keeps no statistics. Compute the case again"):
            label_marginals(store)


def test_uniform_smoothing_inflates_rare_classes(softlab, tmp_path) -> None:
    label_map = np.zeros((10, 10, 10), np.uint8)
    label_map[5, 5, 5] = 1
    write_image(tmp_path / "labels" / "a.nii.gz", label_map)
    out = tmp_path / "soft.zarr"
    softlab("ls", "--in", tmp_path / "labels", "--out", out, "--labels", "0-3")
    store = softlab_cli.open_store(out)
    assert label_marginals(store).pooled[1] == 0.001
    assert label_marginals(store, source="soft").pooled[1] == pytest.approx(0.0259, rel=1e-3)


class TestCommand:
    def test_the_table(self, softlab, store) -> None:
        shown = softlab("info", store.path, "--marginals")
        assert shown.exit_code == 0, shown.output
        hard = label_marginals(store)
        assert "2 cases" in shown.output
        row = next(line for line in shown.output.splitlines() if " label_2 " in line).split()
        assert row[:4] == ["2", "label_2", "2", str(int(hard.amounts[:, 2].sum()))]
        assert row[4] == f"{hard.mm3[:, 2].sum() / 1000:.2f}"
        soft = [label_marginals(store, over, "soft").pooled[2] for over in ("all", "valid", "box")]
        assert row[-3:] == [f"{share:.3g}" for share in soft]
        absent = "2 of 6 classes do not occur" in shown.output
        assert absent == (store.info.method != "ls")

    def test_one_case(self, softlab, store) -> None:
        shown = softlab("info", store.path, "case1", "--marginals").output
        assert shown.startswith(f"{store.path}: case1\n")
        count = int(label_marginals(store).amounts[1, 3])
        assert re.search(rf"3 +label_3 +1 +{count} ", shown)

    def test_json(self, softlab, store) -> None:
        facts = json.loads(softlab("info", store.path, "--marginals", "--json").output)
        assert [c["name"] for c in facts["classes"]] == list(store.classes.names)
        for over, name in (("all", ""), ("valid", "_valid"), ("box", "_box")):
            for source in ("hard", "soft"):
                found = label_marginals(store, over, source)
                assert facts["pooled"][source][f"proportion{name}"] == found.pooled.tolist()
                shares = facts["cases"]["case1"][source][f"proportion{name}"]
                assert shares == found.proportions[1].tolist()
        mm3 = facts["cases"]["case0"]["hard"]["mm3"]
        assert mm3 == store["case0"].statistics.hard_mm3

    def test_hard_labels_only(self, softlab, labels, tmp_path) -> None:
        out = tmp_path / "hard.zarr"
        softlab("svls", "--in", labels, "--out", out, "--labels-only", "--labels", "0-3,9")
        shown = softlab("info", out, "--marginals").output
        assert "soft/box" not in shown
        assert "computed on read" in shown
        assert (
            "soft" not in json.loads(softlab("info", out, "--marginals", "--json").output)["pooled"]
        )

    def test_an_unknown_case(self, softlab, store) -> None:
        shown = softlab("info", store.path, "nobody", "--marginals")
        assert shown.exit_code == 2
        assert "has no case 'nobody'" in shown.stderr


class TestClassWeights:
    MARGINALS = LabelMarginals(
        ClassTable.from_values([0, 1, 2, 3]),
        ("a", "b"),
        np.array([[900.0, 90, 10, 0], [1000, 0, 0, 0]]),
        np.array([1000.0, 1000]),
        np.array([1.0, 1]),
    )

    @pytest.mark.parametrize(
        ("method", "raw"),
        [
            ("inverse", [1 / 1900, 1 / 90, 1 / 10]),
            ("inverse-sqrt", [1900**-0.5, 90**-0.5, 10**-0.5]),
            ("median", [2000 / 1900, 1000 / 90, 1000 / 10]),
            ("effective", [0.01 / (1 - 0.99**n) for n in (1900, 90, 10)]),
        ],
    )
    def test_methods(self, method, raw) -> None:
        found = class_weights(self.MARGINALS, method, beta=0.99)
        np.testing.assert_allclose(found[:3], np.array(raw) / np.mean(raw))
        assert found[3] == 0
        assert found[:3].mean() == pytest.approx(1)

    def test_limits_of_effective_numbers(self) -> None:
        alike = class_weights(self.MARGINALS, "effective", beta=0)
        np.testing.assert_allclose(alike, [1, 1, 1, 0])
        almost = class_weights(self.MARGINALS, "effective", beta=1 - 1e-12)
        inverse = class_weights(self.MARGINALS, "inverse")
        np.testing.assert_allclose(almost, inverse, rtol=1e-4)

    def test_what_is_refused(self) -> None:
        with pytest.raises(UsageError, match=r"'cube'.*inverse, inverse-sqrt, median, effective"):
            class_weights(self.MARGINALS, "cube")
        with pytest.raises(UsageError, match="beta=1"):
            class_weights(self.MARGINALS, "effective", beta=1)
        nothing = replace(self.MARGINALS, amounts=np.zeros((2, 4)))
        with pytest.raises(UsageError, match="no class occurs"):
            class_weights(nothing)

    def test_a_loss_takes_them(self, store) -> None:
        import torch

        from softlab_cli.trainers import SoftCrossEntropy

        weights = softlab_cli.class_weights(softlab_cli.label_marginals(store))
        soft = torch.from_numpy(store["case0"].read())[None]
        assert SoftCrossEntropy(class_weights=weights)(torch.zeros_like(soft), soft) > 0
