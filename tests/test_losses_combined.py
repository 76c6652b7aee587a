"""Sums of losses, marginals, deep supervision, and what users are told."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import softlab_cli.trainers
from softlab_cli.core.errors import UsageError
from softlab_cli.trainers.losses import (
    CombinedLoss,
    CrossEntropyWithMarginals,
    DeepSupervision,
    DiceSemimetricLoss,
    JaccardMetricLoss,
    SoftCrossEntropy,
    SoftDiceLoss,
    TverskyLoss,
    step_schedule,
)
from softlab_cli.trainers.losses.combined import pool_targets
from tests.losses_support import LOSSES, one_hot, random_case


class TestCombined:
    def test_is_the_weighted_sum(self) -> None:
        logits, targets = random_case()
        ce, dice = SoftCrossEntropy(), DiceSemimetricLoss(2, include_background=False)
        found = CombinedLoss(0.25, 0.75, overlap=dice)(logits, targets).item()
        expected = 0.25 * ce(logits, targets) + 0.75 * dice(logits, targets)
        assert found == pytest.approx(expected.item())

    def test_a_weight_of_0_is_not_computed(self) -> None:
        logits, targets = random_case()
        unfit = SoftCrossEntropy(class_weights=[1.0, 2.0])
        found = CombinedLoss(0, 1, cross_entropy=unfit)(logits, targets).item()
        assert found == DiceSemimetricLoss()(logits, targets).item()

    def test_activations_must_agree(self) -> None:
        with pytest.raises(UsageError, match="SoftDiceLoss with activation='softmax' is combined"):
            CombinedLoss(overlap=SoftDiceLoss(), activation="sigmoid")

    def test_regions(self) -> None:
        logits, targets = random_case()
        found = CombinedLoss(activation="sigmoid")(logits, targets).item()
        parts = [f(activation="sigmoid") for f in (SoftCrossEntropy, DiceSemimetricLoss)]
        assert found == pytest.approx(sum(p(logits, targets).item() for p in parts))


class TestMarginals:
    def penalty(self, *arguments, given=None, **options) -> float:
        logits, targets = random_case(spatial=(10,))
        loss = CrossEntropyWithMarginals(*arguments, **options)
        entropy = SoftCrossEntropy()(logits, targets)
        return (loss(logits, targets, proportions=given) - entropy).item()

    def test_temperature(self) -> None:
        logits, targets = random_case(spatial=(10,))
        found = (10 * logits).softmax(1).mean(2)
        expected = (found - targets.mean(2)).abs().mean().item()
        assert self.penalty(temperature=10.0, proportions="soft") == pytest.approx(expected)

    def test_hard_proportions_are_the_default(self) -> None:
        logits, targets = random_case(spatial=(10,))
        hard = one_hot(targets.argmax(1), 3).double().mean(2)
        expected = (logits.softmax(1).mean(2) - hard).abs().mean().item()
        assert self.penalty() == pytest.approx(expected)

    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_hard_proportions_of_the_valid_voxels(self, activation) -> None:
        logits, targets = random_case(spatial=(10,))
        loss = CrossEntropyWithMarginals(activation=activation)
        found = loss(logits, targets, torch.arange(10).expand(2, 10) < 6).item()
        assert found == pytest.approx(loss(logits[..., :6], targets[..., :6]).item())

    def test_proportions_of_the_store(self) -> None:
        logits, _ = random_case(spatial=(10,))
        wanted = torch.tensor([[0.9, 0.1, 0.0], [0.5, 0.25, 0.25]]).double()
        found = logits.softmax(1).mean(2)
        expected = (wanted * (wanted / found).log()).nan_to_num(0).sum(1).mean().item()
        assert self.penalty("kl", given=wanted.float()) == pytest.approx(expected)
        with pytest.raises(UsageError, match=r"\(2, 2\), and the batch needs \(2, 3\)"):
            self.penalty(given=wanted[:, :2])

    def test_uniform_smoothing_does_not_inflate_rare_classes(self) -> None:
        hard = torch.zeros(1, 4, 1000)
        hard[0, 0, 1:] = hard[0, 1, 0] = 1
        smooth = 0.9 * hard + 0.1 / 4
        assert smooth[0, 1].mean().item() == pytest.approx(0.0259)
        rare = torch.tensor([[0.999, 0.001, 0.0, 0.0]])
        x = rare[:, :, None].expand(1, 4, 1000)
        entropy = SoftCrossEntropy(activation=None)(x, smooth)
        loss = CrossEntropyWithMarginals(activation=None)(x, smooth)
        assert (loss - entropy).item() == pytest.approx(0, abs=1e-6)

    def test_schedule(self) -> None:
        loss = CrossEntropyWithMarginals(weight=0.1, schedule=step_schedule(10, 10.0, most=50))
        weights = []
        for epoch in (0, 9, 10, 20, 30):
            loss.set_epoch(epoch)
            weights.append(loss.current_weight)
        assert weights == pytest.approx([0.1, 0.1, 1, 5, 5])
        loss.set_epoch(10)
        logits, targets = random_case(spatial=(10,))
        assert loss(logits, targets).item() == pytest.approx(
            CrossEntropyWithMarginals()(logits, targets).item()
        )

    def test_overlapping_classes(self) -> None:
        logits = torch.tensor([0.0, 2.0]).reshape(1, 2, 1)
        targets = torch.tensor([0.7, 0.9]).reshape(1, 2, 1)
        loss = CrossEntropyWithMarginals("kl", activation="sigmoid", proportions="soft")
        # With one voxel the divergence of proportions is the voxel's own.
        entropy = SoftCrossEntropy(activation="sigmoid")
        divergence = 2 * (entropy(logits, targets) - entropy(targets.logit(), targets))
        found = loss(logits, targets) - entropy(logits, targets)
        assert found.item() == pytest.approx(divergence.item(), abs=1e-6)
        hard = CrossEntropyWithMarginals(activation="sigmoid")(logits, targets)
        expected = (0.5 + 1 - torch.tensor(2.0).sigmoid()) / 2
        assert (hard - entropy(logits, targets)).item() == pytest.approx(expected.item())

    def test_temperature_needs_logits(self) -> None:
        with pytest.raises(UsageError, match="temperature=10 needs logits"):
            CrossEntropyWithMarginals(temperature=10, activation=None)


class TestDeepSupervision:
    def test_masses_stay_what_they_are(self) -> None:
        _, targets = random_case(spatial=(8, 6, 4))
        pooled, mask = pool_targets(targets, torch.ones(2, 8, 6, 4, dtype=torch.bool), (4, 3, 2))
        torch.testing.assert_close(pooled.mean((2, 3, 4)), targets.mean((2, 3, 4)).float())
        torch.testing.assert_close(pooled[0, 1, 0, 0, 0], targets[0, 1, :2, :2, :2].mean().float())
        assert mask.all()

    def test_ignored_voxels_have_no_share(self) -> None:
        targets = torch.tensor([[[1.0, 0, 0, 0, 0.5, 0], [0.0, 1, 1, 0, 0.5, 0]]])
        mask = torch.tensor([[True, True, True, False, False, False]])
        pooled, valid = pool_targets(targets, mask, (3,))
        assert pooled.tolist() == [[[0.5, 0, 0], [0.5, 1, 0]]]
        assert valid.tolist() == [[True, True, False]]

    def test_is_the_weighted_sum_of_scales(self) -> None:
        logits, targets = random_case(spatial=(8, 4))
        targets[0, :, 0] = 0
        small, loss = logits[..., ::2, ::2].contiguous(), LOSSES["combined"]()
        mask = targets.sum(1) > 0.5
        coarse = pool_targets(targets, mask, (4, 2))
        expected = 2 / 3 * loss(logits, targets) + 1 / 3 * loss(small, *coarse)
        assert DeepSupervision(loss)([logits, small], targets).item() == pytest.approx(
            expected.item()
        )
        listed = DeepSupervision(loss, [2, 1])
        found = listed([logits, small], [targets, coarse[0]], [mask, coarse[1]]).item()
        assert found == pytest.approx(3 * expected.item())

    def test_a_weight_of_0_is_not_computed(self) -> None:
        logits, targets = random_case(spatial=(8, 4))
        broken = torch.full((2, 3, 4, 2), torch.nan)
        loss = SoftCrossEntropy()
        found = DeepSupervision(loss, [1, 0])([logits, broken], targets).item()
        assert found == pytest.approx(loss(logits, targets).item())

    def test_what_does_not_fit(self) -> None:
        logits, targets = random_case(spatial=(8, 4))
        loss = DeepSupervision(SoftCrossEntropy(), [1, 1])
        with pytest.raises(UsageError, match="2 weights for logits of 1 scales"):
            loss([logits], targets)
        with pytest.raises(UsageError, match="2 scales, 1 targets and 1 masks"):
            loss([logits, logits], [targets])
        with pytest.raises(UsageError, match="2 masks come with one target"):
            loss([logits, logits], targets, [targets[:, 0] > 0] * 2)
        with pytest.raises(
            UsageError, match=r"\(2, 3, 8, 4\) with .* has no scale of shape \(2,\)"
        ):
            loss([logits, logits[..., 0, ::2]], targets)


class TestMessages:
    def test_shapes(self) -> None:
        logits, targets = random_case()
        with pytest.raises(UsageError, match=r"\(2, 3, 5, 4\) and targets \(2, 2, 5, 4\)"):
            SoftCrossEntropy()(logits, targets[:, :2])
        with pytest.raises(UsageError, match=r"mask has shape \(2, 1, 5, 4\).*need \(2, 5, 4\)"):
            SoftCrossEntropy()(logits, targets, torch.ones(2, 1, 5, 4, dtype=torch.bool))
        with pytest.raises(UsageError, match=r"mask is torch.uint8.*mask > 0"):
            SoftCrossEntropy()(logits, targets, torch.ones(2, 5, 4, dtype=torch.uint8))

    def test_integer_targets_learn_to_be_one_hot(self) -> None:
        logits, targets = random_case()
        indices = targets.argmax(1)
        with pytest.raises(UsageError) as told:
            SoftCrossEntropy()(logits, indices)
        assert "torch.int64 and shape (2, 5, 4)" in str(told.value)
        remedy = str(told.value).split(" by ")[1].split(", one-hot")[0]
        fixed = eval(remedy, {"torch": torch, "targets": indices})
        assert SoftCrossEntropy()(logits, fixed).isfinite()

    def test_options(self) -> None:
        with pytest.raises(UsageError, match=r"variant=3 has no meaning. There are: 1, 2"):
            JaccardMetricLoss(3)  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"activation='relu'.*'softmax', 'sigmoid', None"):
            SoftDiceLoss(activation="relu")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="smooth=-1"):
            SoftDiceLoss(smooth=-1)
        with pytest.raises(UsageError, match="not both 0"):
            TverskyLoss(0, 0)

    @pytest.mark.parametrize("weights", [[0, 0], [1, -1], [1, float("nan")], [[1, 2]]])
    def test_class_weights(self, weights) -> None:
        with pytest.raises(UsageError, match="class weights"):
            SoftCrossEntropy(class_weights=weights)

    def test_class_weights_of_other_classes(self) -> None:
        with pytest.raises(UsageError, match="2 class weights for 3 classes"):
            SoftCrossEntropy(class_weights=[1, 2])(*random_case())
        with pytest.raises(UsageError, match="the only class is the background"):
            SoftDiceLoss(activation="sigmoid", include_background=False)(*random_case(classes=1))

    @pytest.mark.parametrize(
        "statement",
        ["from softlab_cli.trainers import SoftDiceLoss", "import softlab_cli.trainers.losses"],
    )
    def test_without_torch_pip_is_named(self, statement) -> None:
        code = f"import sys; sys.modules['torch'] = None; {statement}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        last = done.stderr.strip().splitlines()[-1]
        assert last.endswith(
            "PackageError: softlab's losses need torch. pip install 'softlab-cli[torch]'"
        )

    def test_the_names(self) -> None:
        assert "SoftCrossEntropy" in dir(softlab_cli.trainers)
        for name in softlab_cli.trainers.__all__:
            assert callable(getattr(softlab_cli.trainers, name))
        with pytest.raises(AttributeError, match="no attribute 'HardLoss'"):
            _ = softlab_cli.trainers.HardLoss
