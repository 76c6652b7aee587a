"""Whether a training can be believed: figures of its folds, and what to say of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from softlab_cli.core.errors import InputError

__all__ = ["FEW_STEPS", "GOOD_SKILL", "Figures", "check_skill", "doubts", "sentence"]

GOOD_SKILL = 0.55
"""Below, a longer training is worth its time, or svls is as good."""

INACTIVE_NATS = 0.01
"""Of divergence: a dimension of z below says nothing."""

COPIED_NATS = 0.05
"""Of entropy at edges: below, the soft label is the label."""

FEW_STEPS = 600
"""With fewer, a prototype gained nothing over svls."""


@dataclass(frozen=True)
class Figures:
    """What a fold is worth on groups of its training that were set aside.

    Parameters
    ----------
    skill
        1 - NLL of the head that sees the image alone / entropy of the class frequencies,
        both within 6 voxels of an edge: 0 for no more than the frequencies, 1 for all.
        None where there is no such head, or no edge.
    dice
        Dice of that head, by class index, where the class occurs.
    divergence
        KL(q || N(0, I)) of each dimension of z, nats; empty without a z.
    edge_entropy
        Mean entropy of y_s at edges, nats; None without any edge.
    """

    skill: float | None
    dice: Mapping[int, float]
    divergence: tuple[float, ...]
    edge_entropy: float | None

    def to_json(self) -> dict[str, Any]:
        """The figures as a model keeps them."""
        facts = asdict(self)
        return {**facts, "dice": {str(index): value for index, value in self.dice.items()}}

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> Self:
        """The figures that `to_json` wrote."""
        dice = {int(index): float(value) for index, value in facts["dice"].items()}
        return cls(facts["skill"], dice, tuple(facts["divergence"]), facts["edge_entropy"])


def sentence(fold: int, figures: Figures, judged_on: str) -> str:
    """What the log says of a fold."""
    parts = [f"fold {fold}: skill {_number(figures.skill)}"]
    if figures.divergence:
        parts.append(f"divergence {sum(figures.divergence):.3g} nats")
    parts.append(f"entropy at edges {_number(figures.edge_entropy)} nats ({judged_on})")
    return ", ".join(parts)


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3f}"


def check_skill(every: Mapping[int, Figures], least: float) -> None:
    """Raise `InputError` where a fold can tell next to nothing of the labels from images.

    Parameters
    ----------
    every
        The figures by fold.
    least
        What is enough.
    """
    for fold, figures in every.items():
        if figures.skill is not None and figures.skill <= least:
            raise InputError(
                f"fold {fold} tells next to nothing of the labels from the images: its skill is "
                f"{figures.skill:.3f}, and must be above {least:g}.",
                remedy="Check that images and label maps belong together, train with more --steps, "
                "or let svls make the soft labels.",
            )


def doubts(every: Mapping[int, Figures], names: Sequence[str]) -> Iterator[str]:
    """What the user should know of the folds, one sentence each.

    Parameters
    ----------
    every
        The figures by fold.
    names
        Class names by class index.
    """
    weak = [fold for fold, f in every.items() if f.skill is not None and f.skill < GOOD_SKILL]
    if weak:
        yield (
            f"the skill of {_folds(weak)} is below {GOOD_SKILL}: train with more --steps, or "
            "let svls make the soft labels"
        )
    if any(f.skill is None for f in every.values()):
        yield "the skill of some fold is unknown: whether its images are of use was not measured"
    yield from _latent_doubts(every)
    for index, name in enumerate(names):
        if missed := [fold for fold, f in every.items() if f.dice.get(index) == 0]:
            yield f"{_folds(missed)} never finds the class {name!r} in images: its Dice is 0"
    copied = [
        fold
        for fold, f in every.items()
        if f.edge_entropy is not None and f.edge_entropy < COPIED_NATS
    ]
    if copied:
        yield (
            f"the soft labels of {_folds(copied)} are next to the hard ones: their entropy at "
            f"edges is below {COPIED_NATS} nats"
        )


def _latent_doubts(every: Mapping[int, Figures]) -> Iterator[str]:
    silent = {
        fold: sum(nats < INACTIVE_NATS for nats in f.divergence)
        for fold, f in every.items()
        if f.divergence
    }
    collapsed = [fold for fold, count in silent.items() if count == len(every[fold].divergence)]
    if collapsed:
        yield (
            f"z has collapsed in {_folds(collapsed)}: no dimension says anything of a case, and "
            "all draws are alike; the engine crossfit does the same for less"
        )
    partly = [fold for fold, count in silent.items() if count and fold not in collapsed]
    if partly:
        counts = ", ".join(str(silent[fold]) for fold in partly)
        yield (
            f"dimensions of z are inactive in {_folds(partly)} ({counts}): a smaller --latent is "
            "enough"
        )


def _folds(folds: Sequence[int]) -> str:
    return f"fold {folds[0]}" if len(folds) == 1 else f"folds {', '.join(map(str, folds))}"
