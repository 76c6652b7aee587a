"""What networks learn, on discs whose drawing is known to be uncertain, and when they do not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.api import soften
from softlab_cli.core.errors import InputError
from softlab_cli.methods import SVLS
from softlab_cli.methods.vls.cases import TrainingCase, normalised
from softlab_cli.methods.vls.drawing import draw, drawn_noise
from softlab_cli.methods.vls.pytorch import same_bits
from softlab_cli.methods.vls.soundness import check_skill, doubts
from softlab_cli.methods.vls.training import FoldTask, train_fold, weights_path
from softlab_cli.methods.vls.weights import load_network
from tests.vls_support import disc, kept_cases, recipe

SMALL = {"width": 4, "batch": 8, "latent": 4}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Networks this small wait for threads longer than they compute."""
    with same_bits("cpu"):
        yield


def task(folder: Path, cases: tuple[TrainingCase, ...], **changes: Any) -> FoldTask:
    folder.mkdir()
    return FoldTask(recipe(**(SMALL | changes)), 0, folder, cases[4:], cases[:4], 255)


def test_what_is_learned_is_nearer_to_the_chance_than_any_kernel(tmp_path: Path) -> None:
    """Each disc is drawn once, by somebody unsure of its radius; other discs are judged."""
    how = {"size": 32, "noise": 2.0}
    learning = task(tmp_path / "fold", kept_cases(tmp_path, 24, **how), steps=150, patch=(32, 32))
    result = train_fold(learning)
    made = learning.recipe
    network = load_network(weights_path(learning.folder, 0), result.checksum, made, "cpu")
    brier: dict[str, list[float]] = {"learned": [], "k3": [], "k7": []}
    for seed in range(1000, 1020):
        image, label, chance = disc(seed, **how)
        x, y = normalised(image[None])[0][:, 0][None], label.astype(np.int64)
        learned = draw(network, x, y, [drawn_noise(8, made.latent, seed)], "cpu")[0, 1]
        arms = {
            "learned": learned,
            "k3": soften(SVLS(), label, labels=(0, 1))[1, 0],
            "k7": soften(SVLS(7, 3.0), label, labels=(0, 1))[1, 0],
        }
        open_to_doubt = (chance > 0.001) & (chance < 0.999)
        for name, soft in arms.items():
            apart = (soft.astype(np.float64) - chance[0]) ** 2
            brier[name].append(apart[open_to_doubt[0]].mean())
    learned, k3, k7 = (float(np.mean(brier[name])) for name in ("learned", "k3", "k7"))
    assert learned < 0.85 * k7 < k3


def test_images_of_other_cases_are_told_from_their_own(tmp_path: Path) -> None:
    cases = kept_cases(tmp_path, 16, size=24, noise=0.3)
    sharp = train_fold(task(tmp_path / "own", cases, engine="crossfit", steps=110)).figures
    check_skill({0: sharp}, 0.2)
    for case, other in zip(cases, (*cases[1:], cases[0]), strict=True):
        other.file.with_suffix(".image.npy").rename(case.file.with_suffix(".moved"))
    for case in cases:
        case.file.with_suffix(".moved").rename(case.file.with_suffix(".image.npy"))
    moved = tuple(replace(case, image=f"{case.image} moved") for case in cases)
    shuffled = train_fold(task(tmp_path / "other", moved, engine="crossfit", steps=110)).figures
    assert shuffled.skill < 0.2 < sharp.skill
    with pytest.raises(InputError, match="tells next to nothing of the labels from the images"):
        check_skill({0: shuffled}, 0.2)


def test_a_divergence_that_counts_too_much_collapses_and_is_said(tmp_path: Path) -> None:
    cases = kept_cases(tmp_path, 8, size=16)
    figures = train_fold(task(tmp_path / "fold", cases, steps=60, kl_weight=1e4)).figures
    assert max(figures.divergence) < 0.01
    assert any("z has collapsed in fold 0" in said for said in doubts({0: figures}, ["a", "b"]))
