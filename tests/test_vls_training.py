"""Networks, losses, training and figures: with networks so small that they take no time."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softlab_cli.core import ending
from softlab_cli.core.ending import SIGNALS
from softlab_cli.core.errors import EngineError, InputError, StoreError
from softlab_cli.methods.vls import training, weights
from softlab_cli.methods.vls.batches import NOT_LABELLED, Sampler
from softlab_cli.methods.vls.cases import TrainingCase
from softlab_cli.methods.vls.drawing import draw, drawn_noise
from softlab_cli.methods.vls.loss import divergences, encoded_labels, fold_loss, kl_share
from softlab_cli.methods.vls.measuring import edges, within
from softlab_cli.methods.vls.network import Latent, build
from softlab_cli.methods.vls.optimiser import AdamW
from softlab_cli.methods.vls.pytorch import same_bits
from softlab_cli.methods.vls.soundness import Figures, check_skill, doubts
from softlab_cli.methods.vls.training import FoldTask, rate_share, train_fold
from tests.vls_support import kept_cases, recipe


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingCase, ...]:
    return kept_cases(tmp_path_factory.mktemp("cases"), 4, size=20)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small wait for threads longer than they compute."""
    with same_bits("cpu"):
        yield


@contextmanager
def as_worker(patched: pytest.MonkeyPatch) -> Iterator[None]:
    """Let signals end this process as they end a worker."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    patched.setattr(sys, "unraisablehook", sys.unraisablehook)
    patched.setattr(ending, "_state", ending._State())
    ending.end_worker_on_signals()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def task_in(folder: Path, cases: tuple[TrainingCase, ...], **changes: Any) -> FoldTask:
    folder.mkdir(exist_ok=True)
    return FoldTask(recipe(**changes), 0, folder, cases[:3], cases[3:], 255, checkpoint_steps=2)


@pytest.fixture(scope="module")
def unbroken(cases: tuple[TrainingCase, ...], tmp_path_factory: pytest.TempPathFactory) -> str:
    """Checksum of the weights of a training that nobody interrupted."""
    return train_fold(task_in(tmp_path_factory.mktemp("unbroken"), cases)).checksum


@pytest.mark.parametrize(
    "changes",
    [
        {"engine": "crossfit", "class_count": 3},
        {"image_weight": 0.5, "channels": 2},
        {"dims": 3, "patch": (16, 16, 16), "class_count": 4},
        {"parity": "poster", "image_weight": 1.0},
        {"parity": "poster", "image_weight": 1.0, "dims": 3, "patch": (16, 24, 16)},
    ],
)
def test_every_kind_of_network_learns_and_draws(changes: dict[str, Any]) -> None:
    made = recipe(**changes)
    network = build(made, 0)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, made.channels, *made.patch), np.float32)
    labels = rng.integers(-1, made.class_count, (2, *made.patch))
    noise = torch.zeros(2, made.latent)
    terms = fold_loss(network, made, torch.from_numpy(image), torch.from_numpy(labels), noise, 3)
    terms.loss.backward()
    assert all(p.grad is not None for p in network.parameters())
    soft = draw(network, image, labels, [drawn_noise(3, made.latent, i) for i in range(2)], "cpu")
    assert soft.shape == (2, made.class_count, *made.patch)
    np.testing.assert_allclose(soft.sum(axis=1), 1, atol=1e-5)


def test_ignored_voxels_count_in_nothing() -> None:
    made = recipe(image_weight=1.0)
    network = build(made, 0)
    x, noise = torch.randn(2, 1, 16, 16), torch.randn(2, made.latent)
    labels = torch.full((2, 16, 16), NOT_LABELLED)
    nothing = fold_loss(network, made, x, labels, noise, 0)
    assert [term.item() for term in (nothing.loss, nothing.cross_entropy)] == [0, 0]
    one_hot = encoded_labels(torch.tensor([[0, 1, NOT_LABELLED]]), 2)
    assert one_hot.tolist() == [[[0.5, -0.5, 0], [-0.5, 0.5, 0]]]


def test_the_bound_is_that_of_the_paper() -> None:
    latent = Latent(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]]))
    # The integral of q ln (q / p) for Gaussians: ln (1 / s) + (s^2 + m^2 - 1) / 2.
    expected = [0.5, -0.5 + (np.e - 1) / 2]
    np.testing.assert_allclose(divergences(latent)[0], expected, rtol=1e-6)
    assert [kl_share(step, 100) for step in (0, 15, 30, 99)] == [0, 0.5, 1, 1]
    assert rate_share(0, 1000) < rate_share(49, 1000) > rate_share(999, 1000) > 0


def test_the_optimiser_is_that_of_its_paper() -> None:
    """Algorithm 2 of Loshchilov and Hutter, number by number."""
    weight, mean, square, rate, decay = 0.5, 0.0, 0.0, 1e-2, 1e-1
    tensor = torch.tensor([weight], requires_grad=True)
    optimiser = AdamW([tensor], decay)
    for t in range(1, 6):
        (tensor**3).sum().backward()
        optimiser.step(rate)
        gradient = 3 * weight**2
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        move = mean / (1 - 0.9**t) / ((square / (1 - 0.999**t)) ** 0.5 + 1e-8)
        weight -= rate * (move + decay * weight)
        assert tensor.item() == pytest.approx(weight, rel=1e-5)


def test_draws_come_in_pairs_of_opposite_sign() -> None:
    noise = drawn_noise(5, 3, "seed", "case", 7)
    assert (noise[1] == -noise[0]).all()
    assert (noise[3] == -noise[2]).all()
    assert (noise == drawn_noise(5, 3, "seed", "case", 7)).all()
    assert (noise[:4] == drawn_noise(4, 3, "seed", "case", 7)).all()
    assert not (noise == drawn_noise(5, 3, "seed", "case", 8)).any()


def test_a_training_that_is_ended_goes_on_to_the_same_bits(
    cases: tuple[TrainingCase, ...], unbroken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, batch = task_in(tmp_path, cases), Sampler.batch

    def interrupting(self: Sampler, step: int) -> Any:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return batch(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Sampler, "batch", interrupting)
        with as_worker(patched), pytest.raises(SystemExit):
            train_fold(task)
    assert [p.name for p in tmp_path.iterdir()] == ["fold_0.checkpoint"]
    assert weights.load(tmp_path / "fold_0.checkpoint")["step"] == 4, "the step was finished"
    assert train_fold(task).checksum == unbroken
    assert [p.name for p in tmp_path.iterdir()] == ["fold_0.pt"]


def test_a_training_that_is_killed_goes_on_from_its_checkpoint(
    cases: tuple[TrainingCase, ...], unbroken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch, steps = Sampler.batch, []

    def killing(self: Sampler, step: int) -> Any:
        steps.append(step)
        if step == 5 and steps.count(5) == 1:
            raise RuntimeError("killed")
        return batch(self, step)

    monkeypatch.setattr(Sampler, "batch", killing)
    with pytest.raises(RuntimeError):
        train_fold(task_in(tmp_path, cases))
    steps_before = len(steps)
    assert train_fold(task_in(tmp_path, cases)).checksum == unbroken
    assert steps[steps_before:][:2] == [4, 5]


def test_a_checkpoint_of_something_else_is_not_gone_on_from(
    cases: tuple[TrainingCase, ...], unbroken: str, tmp_path: Path
) -> None:
    other = train_fold(task_in(tmp_path, cases, seed=1))
    assert other.checksum != unbroken
    assert train_fold(task_in(tmp_path, cases)).checksum == unbroken
    (tmp_path / "fold_0.pt").unlink()
    (tmp_path / "fold_0.checkpoint").write_bytes(b"no weights")
    with pytest.raises(StoreError, match="is damaged, and cannot be read as weights"):
        train_fold(task_in(tmp_path, cases))


def test_a_loss_that_is_no_number_ends_the_training_and_keeps_the_checkpoint(
    cases: tuple[TrainingCase, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loss = training.fold_loss

    def failing(*arguments: Any) -> Any:
        terms = loss(*arguments)
        return terms if arguments[-1] < 3 else replace_loss(terms)

    def replace_loss(terms: Any) -> Any:
        return terms._replace(loss=terms.loss * float("nan"))

    monkeypatch.setattr(training, "fold_loss", failing)
    with pytest.raises(EngineError, match="the loss of fold 0 is nan at step 3"):
        train_fold(task_in(tmp_path, cases))
    assert weights.load(tmp_path / "fold_0.checkpoint")["step"] == 2
    assert not (tmp_path / "fold_0.pt").exists()


def test_a_full_disk_leaves_no_half_file(
    cases: tuple[TrainingCase, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device.*Free some space"):
        train_fold(task_in(tmp_path, cases))
    assert list(tmp_path.iterdir()) == []


def test_edges_and_what_is_near_them() -> None:
    labels = torch.tensor([[[0, 0, 0, 1, 1, NOT_LABELLED]]])
    assert edges(labels).tolist() == [[[False, False, True, True, False, False]]]
    marks = torch.zeros(1, 15, 15, dtype=torch.bool)
    marks[0, 7, 7] = True
    y, x = torch.meshgrid(torch.arange(15), torch.arange(15), indexing="ij")
    assert (within(marks, 6)[0] == ((y - 7) ** 2 + (x - 7) ** 2 <= 36)).all()


def figures(**changes: Any) -> Figures:
    sound = Figures(skill=0.7, dice={0: 0.9, 1: 0.8}, divergence=(1.0, 0.5), edge_entropy=0.4)
    return replace(sound, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ""),
        ({"skill": 0.4}, "skill of fold 1 is below 0.55"),
        ({"skill": None}, "is unknown"),
        ({"divergence": (0.001, 0.002)}, "z has collapsed in fold 1"),
        ({"divergence": (0.001, 1.0)}, r"inactive in fold 1 \(1\)"),
        ({"dice": {0: 0.9, 1: 0.0}}, "never finds the class 'b'"),
        ({"edge_entropy": 0.02}, "next to the hard ones"),
    ],
)
def test_what_is_odd_with_a_training_is_said(changes: dict[str, Any], said: str) -> None:
    every = {0: figures(), 1: figures(**changes)}
    found = list(doubts(every, ["a", "b"]))
    assert len(found) == bool(said)
    if said:
        assert re.search(said, found[0])
    assert Figures.from_json(every[1].to_json()) == every[1]


def test_no_skill_is_an_error() -> None:
    check_skill({0: figures(), 1: figures(skill=None)}, 0.2)
    with pytest.raises(InputError, match=r"fold 1 tells next to nothing.*0\.150.*above 0\.2"):
        check_skill({0: figures(), 1: figures(skill=0.15)}, 0.2)
    with pytest.raises(InputError, match="must be above 0"):
        check_skill({0: figures(skill=0.0)}, 0.0)


# ---- against what is written, term by term --------------------------------


def by_hand(network: Any, made: Any, x: Any, labels: Any, noise: Any, step: int) -> Any:
    """The loss as its docstring has it, with torch's own cross-entropy."""
    cross_entropy = partial(
        torch.nn.functional.cross_entropy, ignore_index=NOT_LABELLED, reduction="sum"
    )
    valid = labels != NOT_LABELLED
    features = network.features(x)
    mean, log_variance = network.encode(x, encoded_labels(labels, made.class_count))
    logits, again = network.decode(
        network.shared(features), mean + noise * log_variance.exp() ** 0.5
    )
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum()
    bound = cross_entropy(logits, labels) + kl_share(step, made.steps) * made.kl_weight * divergence
    bound = bound + made.image_weight / 2 * ((again - x)[:, 0][valid] ** 2).sum()
    beside = cross_entropy(network.of_image(features.detach()), labels)
    return (bound + beside) / valid.sum()


def test_the_loss_and_its_gradients_are_those_by_hand() -> None:
    made = recipe(image_weight=0.7, kl_weight=0.5, steps=10, class_count=3)
    x, noise = torch.randn(2, 1, 16, 16), torch.randn(2, made.latent)
    labels = torch.randint(-1, 3, (2, 16, 16))
    found, expected = [], []
    for loss, kept in ((fold_loss, found), (by_hand, expected)):
        network = build(made, 0)
        with torch.no_grad():  # away from a variance of 1
            network.encoder.out.bias.add_(1.5)  # type: ignore[union-attr, operator]
        value = loss(network, made, x, labels, noise, 2)
        value = getattr(value, "loss", value)
        value.backward()
        kept += [value, *(p.grad for p in network.parameters())]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_what_is_drawn_is_the_mean_over_z() -> None:
    made = recipe(class_count=3)
    network = build(made, 0)
    with torch.no_grad():
        network.encoder.out.bias.add_(1.5)  # type: ignore[union-attr, operator]
        for weight in network.parameters():
            weight.mul_(2)
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, 1, 16, 16), np.float32)
    labels = rng.integers(-1, 3, (2, 16, 16))
    noises = [drawn_noise(4, made.latent, i) for i in range(2)]
    found = draw(network, image, labels, noises, "cpu")
    x, one_hot = torch.from_numpy(image), encoded_labels(torch.from_numpy(labels), 3)
    with torch.inference_mode():
        mean, log_variance = network.encode(x, one_hot)
        shared = network.shared(network.features(x))
        every = [
            network.decode(shared, mean + log_variance.exp() ** 0.5 * torch.from_numpy(z))[0]
            .softmax(1).numpy() for z in np.stack(noises, axis=1)
        ]  # fmt: skip
    assert np.ptp(every, axis=0).max() > 1e-3, "z should matter"
    np.testing.assert_allclose(found, np.mean(every, axis=0), atol=1e-6)
