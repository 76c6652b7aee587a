"""Losses: golden values, the classic forms for hard labels, and naive implementations."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from softlab_cli.trainers.losses import (
    CrossEntropyWithMarginals,
    LovaszSoftmaxLoss,
    SoftCrossEntropy,
    SoftDiceLoss,
    SoftJaccardLoss,
    TverskyLoss,
)
from softlab_cli.trainers.losses.lovasz import lovasz_jaccard
from tests.losses_support import LOSSES, OVERLAP, one_hot, random_case

X, Y = [0.9, 0.2], [0.7, 0.1]
"""The golden example: one class of two voxels."""


def one_class(values: list[float]) -> Tensor:
    return torch.tensor([[values]])


def both_classes(values: list[float]) -> Tensor:
    return torch.tensor([[[1 - v for v in values], values]])


class TestGolden:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("jml1", 0.272727),
            ("jml2", 0.315789),
            ("dml1", 0.157895),
            ("dml2", 0.1875),
            ("soft jaccard", 0.48),
            ("soft dice", 0.315789),
            ("squared dice", 0.037037),
        ],
    )
    def test_overlap(self, name, value) -> None:
        alone = LOSSES[name](activation=None)
        assert alone(one_class(X), one_class(Y)).item() == pytest.approx(value, abs=1e-6)
        foreground = LOSSES[name](activation="softmax", include_background=False)
        logits = both_classes(X).log()
        assert foreground(logits, both_classes(Y)).item() == pytest.approx(value, abs=1e-6)

    @pytest.mark.parametrize(("penalty", "value"), [("l1", 0.0666667), ("kl", 0.0342344)])
    def test_marginals(self, penalty, value) -> None:
        x = torch.tensor([0.8, 0.15, 0.05]).reshape(1, 3, 1).expand(1, 3, 6)
        y = torch.tensor([0.7, 0.25, 0.05]).reshape(1, 3, 1).expand(1, 3, 6)
        both = CrossEntropyWithMarginals(penalty, proportions="soft", activation=None)
        entropy = SoftCrossEntropy(activation=None)
        assert (both(x, y) - entropy(x, y)).item() == pytest.approx(value, abs=1e-6)

    def test_cross_entropy_of_label_smoothing(self) -> None:
        logits = torch.tensor([2.0, 0, 0, 0]).reshape(1, 4, 1)
        target = torch.tensor([0.925, 0.025, 0.025, 0.025]).reshape(1, 4, 1)
        total = math.log(math.e**2 + 3)
        expected = 0.925 * (total - 2) + 0.075 * total
        assert SoftCrossEntropy()(logits, target).item() == pytest.approx(expected, abs=1e-6)

    def test_cross_entropy_of_labels_that_do_not_add_up_to_1(self) -> None:
        """As GeoLS with the authors' numbers makes them: theirs over the mean mass."""
        logits, targets = random_case()
        targets = targets * torch.linspace(0.8, 1.6, 20, dtype=torch.float64).reshape(5, 4)
        theirs = -(targets * logits.log_softmax(1)).sum(1).mean()
        found = SoftCrossEntropy()(logits, targets).item()
        assert found == pytest.approx((theirs / targets.sum(1).mean()).item())


class TestHardLabels:
    @pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0]])
    def test_cross_entropy_is_that_of_torch(self, weights) -> None:
        logits, _ = random_case(spatial=(4, 3, 2))
        indices = torch.arange(48).reshape(2, 4, 3, 2) % 3
        found = SoftCrossEntropy(class_weights=weights)(logits, one_hot(indices, 3).double())
        weight = None if weights is None else torch.tensor(weights).double()
        assert found.item() == pytest.approx(cross_entropy(logits, indices, weight).item())

    def test_soft_cross_entropy_is_that_of_torch(self) -> None:
        logits, targets = random_case()
        assert SoftCrossEntropy()(logits, targets).item() == pytest.approx(
            cross_entropy(logits, targets).item()
        )

    def test_sigmoid_is_that_of_torch(self) -> None:
        logits, targets = random_case()
        weight = torch.tensor([1.0, 0.5, 3.0]).double()
        found = SoftCrossEntropy(activation="sigmoid", class_weights=weight)(logits, targets)
        terms = binary_cross_entropy_with_logits(logits, targets, reduction="none")
        expected = (terms.mean((0, 2, 3)) * weight).sum() / weight.sum()
        assert found.item() == pytest.approx(expected.item())

    @pytest.mark.parametrize("name", ["jml1", "jml2", "soft jaccard", "lovasz"])
    def test_jaccard_of_hard_predictions(self, name) -> None:
        x, y = hard_pair()
        intersection, union = (x * y).sum(2), (x + y - x * y).sum(2)
        expected = 1 - (intersection / union).mean()
        assert LOSSES[name](activation=None)(x, y).item() == pytest.approx(expected.item())

    @pytest.mark.parametrize("name", ["dml1", "dml2", "squared dice", "soft dice"])
    def test_dice_of_hard_predictions(self, name) -> None:
        x, y = hard_pair()
        expected = 1 - (2 * (x * y).sum(2) / (x + y).sum(2)).mean()
        assert LOSSES[name](activation=None)(x, y).item() == pytest.approx(expected.item())

    @pytest.mark.parametrize("smooth", [0.0, 1.0])
    @pytest.mark.parametrize(("name", "classic"), [("dml1", "soft dice"), ("jml1", "soft jaccard")])
    def test_soft_predictions_of_hard_labels(self, name, classic, smooth) -> None:
        logits, targets = random_case(spatial=(20,))
        hard = one_hot(targets.argmax(1), 3).double()
        found = LOSSES[name](smooth=smooth)(logits, hard)
        assert found.item() == pytest.approx(LOSSES[classic](smooth=smooth)(logits, hard).item())
        soft = LOSSES[name](smooth=smooth)(logits, targets)
        assert soft.item() != pytest.approx(LOSSES[classic](smooth=smooth)(logits, targets).item())


def hard_pair() -> tuple[Tensor, Tensor]:
    first, second = random_case(spatial=(30,)), random_case(spatial=(30,), seed=1)
    return one_hot(first[1].argmax(1), 3).double(), one_hot(second[1].argmax(1), 3).double()


class TestTversky:
    @pytest.mark.parametrize(("alpha", "other"), [(0.5, SoftDiceLoss), (1.0, SoftJaccardLoss)])
    def test_special_cases(self, alpha, other) -> None:
        logits, targets = random_case()
        found = TverskyLoss(alpha, alpha)(logits, targets).item()
        assert found == pytest.approx(other()(logits, targets).item())

    def test_false_negatives_weigh_more(self) -> None:
        # One voxel is found, one is missed; then one is found, and one too many.
        missed = TverskyLoss(0.3, 0.7, activation=None)(
            one_class([1.0, 0.0]), one_class([1.0, 1.0])
        )
        extra = TverskyLoss(0.3, 0.7, activation=None)(one_class([1.0, 1.0]), one_class([1.0, 0.0]))
        assert missed.item() == pytest.approx(1 - 1 / 1.7)
        assert extra.item() == pytest.approx(1 - 1 / 1.3)


def naive_extension(errors: list[float], y: list[float]) -> float:
    """Lovász extension as an integral over thresholds: no sorting of voxels, no increments.

    For each level t the voxels with an error above t are wrong; the extension is the
    integral of the Jaccard loss of that set.
    """
    levels, total = sorted({0.0, *errors}), sum(y)
    value = 0.0
    for low, high in pairwise(levels):
        wrong = [i for i, e in enumerate(errors) if e > low]
        lost = sum(y[i] for i in wrong)
        value += (high - low) * (1 - (total - lost) / (total + len(wrong) - lost))
    return value


class TestLovasz:
    @given(st.integers(1, 12), st.booleans(), st.integers(0, 10**6))
    def test_is_the_integral_over_thresholds(self, size, hard, seed) -> None:
        generator = torch.Generator().manual_seed(seed)
        y = torch.rand(size, generator=generator, dtype=torch.float64)
        y = y.round() if hard else y
        x = (4 * torch.rand(size, generator=generator, dtype=torch.float64)).round() / 4  # ties
        found = lovasz_jaccard((y - x).abs(), y).item()
        assert found == pytest.approx(naive_extension((y - x).abs().tolist(), y.tolist()))

    @pytest.mark.parametrize("reduction", ["image", "batch"])
    def test_classes_and_images(self, reduction) -> None:
        logits, targets = random_case(spatial=(7,))
        found = LovaszSoftmaxLoss(reduction=reduction)(logits, targets).item()
        x, errors = targets, (logits.softmax(1) - targets).abs()
        if reduction == "batch":
            x, errors = (t.movedim(0, 1).reshape(1, 3, 14) for t in (x, errors))
        values = [
            naive_extension(e.tolist(), y.tolist())
            for e, y in zip(errors.flatten(0, 1), x.flatten(0, 1), strict=True)
        ]
        assert found == pytest.approx(sum(values) / len(values))


class TestReduction:
    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_a_batch_is_one_large_image(self, name) -> None:
        logits, targets = random_case(spatial=(6,))
        long = (t.movedim(0, 1).reshape(1, 3, 12) for t in (logits, targets))
        found = LOSSES[name](reduction="batch")(logits, targets)
        assert found.item() == pytest.approx(LOSSES[name]()(*long).item())

    @pytest.mark.parametrize("name", list(LOSSES))
    def test_images_are_averaged(self, name) -> None:
        loss = LOSSES[name]() if name == "combined" else LOSSES[name](reduction="image")
        logits, targets = random_case(spatial=(6,))
        single = [loss(logits[i : i + 1], targets[i : i + 1]).item() for i in range(2)]
        assert loss(logits, targets).item() == pytest.approx(sum(single) / 2)

    @pytest.mark.parametrize("weights", [None, [1.0, 0.5, 3.0, 2.0, 1.0]])
    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_images_with_different_classes_weigh_the_same(self, name, weights) -> None:
        logits, _ = random_case(batch=3, classes=5, spatial=(40,))
        _, two = random_case(batch=1, classes=2, spatial=(40,), seed=1)
        _, five = random_case(batch=1, classes=5, spatial=(40,), seed=2)
        two = torch.cat([two, torch.zeros(1, 3, 40)], dim=1)
        targets = torch.cat([two, five, torch.zeros(1, 5, 40)])  # the last one is ignored
        loss = LOSSES[name](class_weights=weights)
        single = [loss(logits[i : i + 1], targets[i : i + 1]).item() for i in range(2)]
        assert single[0] != pytest.approx(single[1], rel=1e-2)
        assert loss(logits, targets).item() == pytest.approx(sum(single) / 2)

    @pytest.mark.parametrize("reduction", ["image", "batch"])
    @pytest.mark.parametrize(("name", "of_union"), [("jml1", True), ("dml1", False)])
    def test_the_means_in_plain_numbers(self, name, of_union, reduction) -> None:
        """Two images, of 2 and of 5 classes, by loops over images and classes."""
        y = torch.zeros(2, 5, 20, dtype=torch.float64)
        for image, classes in enumerate((2, 5)):
            for voxel in range(20):
                y[image, voxel % classes, voxel] = 1
        x = random_case(classes=5, spatial=(20,))[0].softmax(1)
        groups = [[0], [1]] if reduction == "image" else [[0, 1]]
        means = []
        for group in groups:
            losses = []
            for c in range(5):
                size = sum((x[i, c] + y[i, c]).sum().item() for i in group)
                error = sum((x[i, c] - y[i, c]).abs().sum().item() for i in group)
                if any(y[i, c].any() for i in group):
                    losses.append(error / ((size + error) / 2 if of_union else size))
            means.append(sum(losses) / len(losses))
        found = LOSSES[name](activation=None, reduction=reduction)(x, y).item()
        assert found == pytest.approx(sum(means) / len(means))

    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_class_weights_and_background(self, name) -> None:
        logits, targets = random_case(batch=1)
        each = [
            LOSSES[name](class_weights=[float(c == k) for c in range(3)])(logits, targets).item()
            for k in range(3)
        ]
        weighted = LOSSES[name](class_weights=[1, 2, 5])(logits, targets).item()
        assert weighted == pytest.approx((each[0] + 2 * each[1] + 5 * each[2]) / 8)
        foreground = LOSSES[name](include_background=False)(logits, targets).item()
        assert foreground == pytest.approx((each[1] + each[2]) / 2)


class TestAbsentClasses:
    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_are_left_out_or_count(self, name) -> None:
        logits, targets = random_case(batch=1, spatial=(9,))
        targets = torch.cat([targets, torch.zeros(1, 1, 9)], dim=1)
        logits = torch.cat([logits, torch.full((1, 1, 9), -1.0)], dim=1)
        skipped = LOSSES[name]()(logits, targets).item()
        only = LOSSES[name](class_weights=[1, 1, 1, 0])(logits, targets).item()
        assert skipped == pytest.approx(only)
        counted = LOSSES[name](absent="count")(logits, targets).item()
        own = float(logits.softmax(1)[0, 3].max()) if name == "lovasz" else 1.0
        assert counted == pytest.approx((3 * only + own) / 4)

    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_nothing_wanted_and_nothing_found_is_0(self, name) -> None:
        zeros = torch.zeros(1, 1, 4)
        assert LOSSES[name](activation=None, absent="count")(zeros, zeros).item() == 0
        assert LOSSES[name](activation=None)(zeros, zeros).item() == 0

    def test_smooth_gives_them_a_gradient(self) -> None:
        logits = torch.zeros(1, 1, 4, requires_grad=True)
        LOSSES["dml1"](activation="sigmoid", absent="count", smooth=1.0)(
            logits, torch.zeros(1, 1, 4)
        ).backward()
        assert (logits.grad > 0).all()
