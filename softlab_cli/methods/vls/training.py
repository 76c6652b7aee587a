"""The training of one fold: it can end at any moment, and goes on to the same bits."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from softlab_cli.core.ending import held
from softlab_cli.core.errors import EngineError
from softlab_cli.methods.vls.batches import Sampler
from softlab_cli.methods.vls.cases import TrainingCase
from softlab_cli.methods.vls.folds import seed_of
from softlab_cli.methods.vls.loss import Terms, fold_loss
from softlab_cli.methods.vls.measuring import measure
from softlab_cli.methods.vls.network import Network, build
from softlab_cli.methods.vls.optimiser import AdamW
from softlab_cli.methods.vls.pytorch import arithmetic, same_bits, torch
from softlab_cli.methods.vls.recipe import Recipe
from softlab_cli.methods.vls.soundness import Figures
from softlab_cli.methods.vls.weights import checksum_of, load, save

__all__ = ["CHECKPOINT_STEPS", "FoldResult", "FoldTask", "train_fold", "weights_path"]

CHECKPOINT_STEPS = 100
"""A training that is killed loses fewer steps than these."""

LEARNING_RATE, WEIGHT_DECAY = 2e-3, 1e-2
WARM_UP_STEPS = 50
LARGEST_GRADIENT = 12.0
MEASURED_SAMPLES = 8


@dataclass(frozen=True)
class FoldTask:
    """A fold that is to be trained; travels to a worker process.

    Parameters
    ----------
    recipe
        What is trained.
    fold
        Its number.
    folder
        Where weights and checkpoints are kept.
    cases
        What it learns from.
    inner
        What it is judged by; empty where there is too little to set aside.
    ignore_index
        Mark of voxels that are not labelled.
    checkpoint_steps
        A checkpoint is kept every so many steps.
    """

    recipe: Recipe
    fold: int
    folder: Path
    cases: tuple[TrainingCase, ...]
    inner: tuple[TrainingCase, ...]
    ignore_index: int
    checkpoint_steps: int = CHECKPOINT_STEPS

    @property
    def key(self) -> str:
        """What the weights depend on: a checkpoint of anything else is not gone on from."""
        contents = [(case.image, case.label) for case in self.cases]
        judged = [(case.image, case.label) for case in self.inner]
        return f"{seed_of(self.recipe, self.fold, contents, judged):016x}"

    def sampler(self) -> Sampler:
        """Draws the patches that are learned from."""
        recipe = self.recipe
        return Sampler(
            self.cases, recipe.block, recipe.dims, recipe.batch, recipe.seed, self.fold,
            self.ignore_index,
        )  # fmt: skip

    def judging_sampler(self) -> Sampler:
        """Draws the patches that the fold is judged by."""
        cases = self.inner or self.cases
        return replace(self.sampler(), cases=cases, changed=False, centred_share=1)


@dataclass(frozen=True)
class FoldResult:
    """A fold that has been trained.

    Parameters
    ----------
    fold
        Its number.
    checksum
        Of its weights.
    figures
        What it is worth.
    losses
        Step, loss, cross-entropy and divergence for each valid voxel, of some steps.
    """

    fold: int
    checksum: str
    figures: Figures
    losses: tuple[tuple[int, float, float, float], ...]


def weights_path(folder: Path, fold: int) -> Path:
    """Where the weights of a fold are kept."""
    return folder / f"fold_{fold}.pt"


def train_fold(task: FoldTask) -> FoldResult:
    """Train a fold, from its last checkpoint on; nothing is trained where it is done.

    Raises
    ------
    EngineError
        When the loss is no number any more; the last checkpoint is kept.
    StoreError
        When the disk is full, or a checkpoint is damaged.
    """
    path = weights_path(task.folder, task.fold)
    kept = load(path)
    if kept is None or kept["key"] != task.key:
        with same_bits(task.recipe.device):
            kept = _Training(task).run()
            save(path, kept)
        _checkpoint_path(task).unlink(missing_ok=True)
    losses = tuple((int(a), float(b), float(c), float(d)) for a, b, c, d in kept["losses"])
    return FoldResult(
        task.fold, checksum_of(kept["weights"]), Figures.from_json(kept["figures"]), losses
    )


def _checkpoint_path(task: FoldTask) -> Path:
    return task.folder / f"fold_{task.fold}.checkpoint"


class _Training:
    """Networks and optimiser of a fold while it is trained."""

    def __init__(self, task: FoldTask) -> None:
        recipe = task.recipe
        self.task = task
        self.network: Network = build(recipe, seed_of(recipe.seed, task.fold, "weights"))
        self.network.to(recipe.device)
        self.optimiser = AdamW(self.network.parameters(), WEIGHT_DECAY)
        self.sampler = task.sampler()
        self.step = 0
        self.in_step = False
        self.losses: list[tuple[int, float, float, float]] = []

    def run(self) -> dict[str, Any]:
        """What is kept of the fold, when all steps are done."""
        self._go_on()
        steps = self.task.recipe.steps
        try:
            while self.step < steps:
                with held():  # whoever is asked to end does so between two steps
                    self._do_step()
                if self.step % self.task.checkpoint_steps == 0 and self.step < steps:
                    self._save_checkpoint()
        except (SystemExit, KeyboardInterrupt):
            if not self.in_step:
                self._save_checkpoint()
            raise
        return self._kept()

    def _go_on(self) -> None:
        kept = load(_checkpoint_path(self.task))
        if kept is None or kept["key"] != self.task.key:
            return
        self.network.load_state_dict(kept["weights"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.step, self.losses = int(kept["step"]), [tuple(row) for row in kept["losses"]]

    def _save_checkpoint(self) -> None:
        content = {
            "key": self.task.key,
            "step": self.step,
            "losses": self.losses,
            "weights": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        with held():
            save(_checkpoint_path(self.task), content)

    def _do_step(self) -> None:
        recipe, device = self.task.recipe, self.task.recipe.device
        self.in_step = True  # until it is over, weights and optimiser do not belong together
        images, labels = self.sampler.batch(self.step)
        rng = np.random.default_rng(seed_of(recipe.seed, self.task.fold, "z", self.step))
        noise = rng.standard_normal((len(images), recipe.latent), np.float32)
        x, y, e = (torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in
                   (images, labels, noise))  # fmt: skip
        with arithmetic(device):
            terms = fold_loss(self.network, recipe, x, y, e, self.step)
        numbers = self._checked(terms)
        terms.loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step(LEARNING_RATE * rate_share(self.step, recipe.steps))
        if self.step % CHECKPOINT_STEPS == 0 or self.step == recipe.steps - 1:
            self.losses.append((self.step, *numbers))
        self.step += 1
        self.in_step = False

    def _checked(self, terms: Terms) -> tuple[float, float, float]:
        loss, entropy, divergence = (float(term.detach()) for term in terms)
        if not math.isfinite(loss):
            raise EngineError(
                f"the loss of fold {self.task.fold} is {loss} at step {self.step}: the training "
                "has failed.",
                remedy="Look for intensities far from all others, or choose another --seed.",
            )
        return loss, entropy, divergence

    def _kept(self) -> dict[str, Any]:
        self.network.eval()
        figures = measure(
            self.network, self.task.judging_sampler(), MEASURED_SAMPLES, self.task.recipe.device
        )
        weights = {name: tensor.cpu() for name, tensor in self.network.state_dict().items()}
        return {
            "key": self.task.key,
            "weights": weights,
            "figures": figures.to_json(),
            "losses": self.losses,
        }


def rate_share(step: int, steps: int) -> float:
    """What the learning rate is of the highest one: it warms up, and falls like a cosine."""
    return min(1.0, (step + 1) / WARM_UP_STEPS) * 0.5 * (1 + math.cos(math.pi * step / steps))
