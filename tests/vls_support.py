"""Small data and small networks, for tests of `softlab vls`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.methods.arrays import ArrayCase
from softlab_cli.methods.vls.cases import ReadTask, TrainingCase, read_case
from softlab_cli.methods.vls.recipe import Recipe
from tests.conftest import write_image

TINY: dict[str, Any] = {
    "folds": 2, "steps": 6, "width": 2, "patch": 16, "batch": 2, "latent": 2, "samples": 3,
    "min_skill": -1e9, "device": "cpu",
}  # fmt: skip
"""Parameters of a training that takes no time, and reaches nothing."""


def options(**parameters: Any) -> list[str]:
    """The same on the command line."""
    given = TINY | parameters
    return [part for name, value in given.items()
            for part in (f"--{name.replace('_', '-')}", str(value))]  # fmt: skip


def disc(
    seed: int, size: int = 32, noise: float = 1.0, depth: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float64]]:
    """An image of a disc, one drawing of it, and the chance of each voxel to be drawn.

    Whoever draws takes the radius for a normally distributed length longer than it is: the
    chance is that of a radius beyond the voxel. Around the disc the image fades away.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    centre, radius = rng.uniform(0.4 * size, 0.6 * size, 2), rng.uniform(0.15, 0.3) * size
    beyond = np.hypot(y - centre[0], x - centre[1]) - radius
    chance = 0.5 * (1 - erf(beyond / noise / 2**0.5))
    image = (1 / (1 + np.exp(beyond)) + rng.normal(0, 0.05, beyond.shape)).astype(np.float32)
    label = (beyond < rng.normal(0, noise)).astype(np.uint8)
    return np.stack([image] * depth), np.stack([label] * depth), np.stack([chance] * depth)


def erf(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The error function, from its integral; exact to 1e-4, which is far below what is tested."""
    steps = np.linspace(0, 1, 400)
    return 2 / np.pi**0.5 * np.trapezoid(np.exp(-((x[..., None] * steps) ** 2)), steps) * x


def write_discs(folder: Path, count: int, **how: Any) -> Path:
    """Label maps and images of so many discs, in ``labels`` and ``images``."""
    for i in range(count):
        image, label, _ = disc(i, **how)
        write_image(folder / "labels" / f"c{i}.nii.gz", label)
        write_image(folder / "images" / f"c{i}.nii.gz", image)
    return folder


def kept_cases(folder: Path, count: int, **how: Any) -> tuple[TrainingCase, ...]:
    """Discs that are kept for a training."""
    found = []
    for i in range(count):
        image, label, _ = disc(i, **how)
        case = ArrayCase.of([label], image, spacing_mm=None, labels=(0, 1), ignore_value=None,
                            threads=1)  # fmt: skip
        case = ArrayCase(case.classes, case.geometry, case.volumes, case.channels, 1, f"c{i}")
        facts = read_case(ReadTask(case, folder))
        assert not facts.problem
        found.append(TrainingCase(facts.case_id, Path(facts.file), facts.image, facts.label))
    return tuple(found)


def recipe(**changes: Any) -> Recipe:
    """A recipe of the same kind as `TINY`."""
    given = {
        "engine": "vls", "parity": None, "dims": 2, "patch": (16, 16), "width": 2, "batch": 2,
        "steps": 6, "latent": 2, "image_weight": 0.0, "kl_weight": 1.0, "folds": 2, "seed": 0,
        "device": "cpu", "class_count": 2, "channels": 1, "spacing_mm": (1.0, 1.0, 1.0),
    }  # fmt: skip
    return Recipe(**{**given, **changes})
