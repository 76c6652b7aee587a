"""Losses: gradients, where they are smallest, masks, precision, symmetry, dimensions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softlab_cli.trainers.losses import DeepSupervision
from tests.losses_support import CLASSIC, LOSSES, OVERLAP, PROMISING, random_case

every_loss = pytest.mark.parametrize("name", list(LOSSES))


class TestGradients:
    @every_loss
    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_of_logits(self, name, activation) -> None:
        logits, targets = random_case(spatial=(4,))
        mask = torch.tensor([[True, True, True, False], [True, False, True, True]])
        loss = LOSSES[name](activation=activation)
        logits.requires_grad_()
        assert torch.autograd.gradcheck(lambda z: loss(z, targets, mask), logits)

    @every_loss
    def test_of_probabilities(self, name) -> None:
        logits, targets = random_case(spatial=(4,))
        x = logits.softmax(1).requires_grad_()
        loss = LOSSES[name](activation=None)
        assert torch.autograd.gradcheck(lambda p: loss(p, targets), x)

    def test_of_deep_supervision(self) -> None:
        logits, targets = random_case(spatial=(4, 4))
        coarse = logits[..., ::2, ::2].clone().requires_grad_()
        loss = DeepSupervision(LOSSES["combined"]())
        logits.requires_grad_()

        def both(fine: Tensor, small: Tensor) -> Tensor:
            return loss([fine, small], targets)

        assert torch.autograd.gradcheck(both, (logits, coarse))


class TestWhereItIsSmallest:
    @pytest.mark.parametrize("name", list(PROMISING))
    @given(seed=st.integers(0, 10**6), step=st.sampled_from([1e-3, 0.05, 0.5, 3.0]))
    @settings(max_examples=30)
    def test_at_the_target(self, name, seed, step) -> None:
        _, targets = random_case(batch=1, spatial=(6,), seed=seed)
        best = targets.clamp(min=1e-12).log()
        generator = torch.Generator().manual_seed(seed)
        moved = best + step * torch.randn(best.shape, generator=generator, dtype=torch.float64)
        loss = LOSSES[name]()
        smallest = loss(best, targets).item()
        # Adding a constant to all logits moves nothing.
        assert loss(best + 1.5, targets).item() == pytest.approx(smallest, abs=1e-9)
        if not torch.allclose(moved.softmax(1), targets, atol=1e-7):
            assert loss(moved, targets).item() > smallest

    @pytest.mark.parametrize("name", list(CLASSIC))
    def test_the_classic_ones_are_not(self, name) -> None:
        _, targets = random_case(batch=1, spatial=(6,))
        loss = LOSSES[name](activation=None)
        corner = torch.nn.functional.one_hot(targets.argmax(1), 3).movedim(-1, 1).double()
        assert loss(corner, targets).item() < loss(targets, targets).item()

    @pytest.mark.parametrize(("name", "where"), [("soft dice", 1.0), ("soft jaccard", 1.0)])
    def test_half_a_label_makes_classic_losses_certain(self, name, where) -> None:
        assert scan(name) == where

    @pytest.mark.parametrize("name", ["ce", "jml1", "jml2", "dml1", "dml2", "squared dice"])
    def test_half_a_label_is_half(self, name) -> None:
        assert scan(name) == pytest.approx(0.5)

    @pytest.mark.parametrize("name", ["ce", "ce + kl", "combined"])
    def test_descent_ends_at_the_target(self, name) -> None:
        logits, targets = random_case(batch=1, spatial=(5,))
        targets = 0.9 * targets + 0.1 / 3
        logits.requires_grad_()
        loss, optimizer = LOSSES[name](), torch.optim.Adam([logits], lr=0.3)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.985)
        for _ in range(500):
            optimizer.zero_grad()
            loss(logits, targets).backward()
            optimizer.step()
            schedule.step()
        torch.testing.assert_close(logits.softmax(1), targets, atol=5e-3, rtol=0)


def scan(name: str) -> float:
    """The x in 0..1 with the smallest loss for one voxel of y = 1/2."""
    candidates = torch.linspace(0, 1, 101, dtype=torch.float64)
    if name == "ce":
        loss = LOSSES[name](activation=None)
        pairs = torch.stack([1 - candidates, candidates], dim=1)[:, :, None]
        values = [loss(p[None], torch.full((1, 2, 1), 0.5)).item() for p in pairs]
    else:
        loss = LOSSES[name](activation=None)
        half = torch.full((1, 1, 1), 0.5, dtype=torch.float64)
        values = [loss(x.reshape(1, 1, 1), half).item() for x in candidates]
    return float(candidates[int(np.argmin(values))])


class TestMask:
    @every_loss
    @pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
    def test_a_masked_voxel_changes_nothing(self, name, activation) -> None:
        logits, targets = random_case(spatial=(5, 4))
        mask = torch.ones(2, 5, 4, dtype=torch.bool)
        mask[0, 1, 2] = mask[1, 3] = False
        loss = LOSSES[name](activation=activation)
        value = loss(logits, targets, mask)
        wild, other = logits.clone(), targets.clone()
        outside = ~mask[:, None].expand_as(wild)
        wild[outside], other[outside] = float("inf"), float("nan")
        wild.requires_grad_()
        changed = loss(wild, other, mask)
        assert changed.item() == value.item()
        changed.backward()
        assert (wild.grad[outside] == 0).all()
        assert (wild.grad[~outside] != 0).any()
        assert wild.grad.isfinite().all()

    @every_loss
    @pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
    def test_it_is_as_if_the_voxels_were_not_there(self, name, activation) -> None:
        logits, targets = random_case(spatial=(8,))
        logits = logits.softmax(1) if activation is None else logits
        mask = torch.arange(8).expand(2, 8) < 5
        loss = LOSSES[name](activation=activation)
        cut = loss(logits[..., :5], targets[..., :5]).item()
        assert loss(logits, targets, mask).item() == pytest.approx(cut)

    @every_loss
    def test_zero_vectors_are_not_labelled(self, name) -> None:
        logits, targets = random_case(spatial=(8,))
        targets[..., 5:] = 0
        loss = LOSSES[name]()
        expected = loss(logits, targets, torch.arange(8).expand(2, 8) < 5).item()
        assert loss(logits, targets).item() == expected
        everything = loss(logits, targets, torch.ones(2, 8, dtype=torch.bool)).item()
        assert (everything == pytest.approx(expected)) == (name == "ce")

    def test_overlapping_classes_have_zero_vectors(self) -> None:
        logits, targets = random_case(spatial=(8,))
        targets[..., 5:] = 0
        loss = LOSSES["ce"](activation="sigmoid")
        everywhere = torch.ones(2, 8, dtype=torch.bool)
        assert loss(logits, targets).item() == loss(logits, targets, everywhere).item()

    @every_loss
    @pytest.mark.parametrize("reduction", ["image", "batch"])
    def test_an_image_without_valid_voxels_is_left_out(self, name, reduction) -> None:
        options = {} if name == "combined" else {"reduction": reduction}
        logits, targets = random_case(spatial=(8,))
        targets[1] = 0
        loss = LOSSES[name](**options)
        logits.requires_grad_()
        found = loss(logits, targets)
        assert found.item() == pytest.approx(loss(logits[:1], targets[:1]).item())
        nothing = loss(logits, torch.zeros_like(targets))
        assert nothing.item() == 0
        nothing.backward()
        assert (logits.grad == 0).all()

    @pytest.mark.parametrize("name", list(OVERLAP))
    def test_nor_does_it_count_where_absent_classes_do(self, name) -> None:
        logits, targets = random_case(spatial=(8,))
        targets[1] = 0
        loss = LOSSES[name](absent="count")
        alone = loss(logits[:1], targets[:1]).item()
        assert loss(logits, targets).item() == pytest.approx(alone)


class TestPrecision:
    @every_loss
    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_half_logits_are_computed_in_float32(self, name, dtype) -> None:
        logits, targets = random_case(spatial=(16, 16), dtype=torch.float32)
        logits, targets = (30 * logits).to(dtype), targets.half()
        loss = LOSSES[name]()
        found = loss(logits, targets)
        assert found.dtype == torch.float32
        assert found.item() == loss(logits.float(), targets.float()).item()

    @every_loss
    def test_gradients_of_half_logits_are_finite(self, name) -> None:
        logits = torch.tensor([60000.0, -60000.0, 0.0]).reshape(1, 3, 1).repeat(1, 1, 9)
        logits = logits.half().requires_grad_()
        targets = torch.tensor([0.0, 1.0, 0.0]).reshape(1, 3, 1).repeat(1, 1, 9).half()
        found = LOSSES[name]()(logits, targets)
        found.backward()
        assert found.isfinite()
        assert logits.grad.isfinite().all()

    @every_loss
    def test_autocast_changes_nothing(self, name) -> None:
        logits, targets = random_case(spatial=(16, 16), dtype=torch.float32)
        loss = LOSSES[name]()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = loss(logits, targets)
        assert inside.item() == loss(logits, targets).item()

    @pytest.mark.parametrize("name", [n for n in LOSSES if n != "lovasz"])
    def test_sums_over_many_voxels(self, name) -> None:
        # Repeating an image moves no share; in float16 sums would end at 65504.
        logits, targets = random_case(batch=1, classes=2, spatial=(64,), dtype=torch.float32)
        small = LOSSES[name]()(logits, targets.half()).item()
        large = (t.repeat(1, 1, 2**15) for t in (logits.half(), targets.half()))
        assert LOSSES[name]()(*large).item() == pytest.approx(small, rel=2e-3)


class TestSymmetry:
    @every_loss
    def test_order_of_classes(self, name) -> None:
        logits, targets = random_case(classes=4)
        order = torch.tensor([2, 0, 3, 1])
        loss = LOSSES[name]()
        found = loss(logits[:, order], targets[:, order]).item()
        assert found == pytest.approx(loss(logits, targets).item())

    @every_loss
    @pytest.mark.parametrize("shape", [(2, 3, 4), (6, 4), (1, 24), (2, 3, 2, 2)])
    def test_number_of_axes(self, name, shape) -> None:
        logits, targets = random_case(spatial=(24,))
        mask = torch.arange(24).expand(2, 24) % 7 != 0
        loss = LOSSES[name]()
        folded: list[Tensor] = [t.unflatten(-1, shape) for t in (logits, targets, mask)]
        assert loss(*folded).item() == pytest.approx(loss(logits, targets, mask).item())
