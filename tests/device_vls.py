"""`softlab vls` on a CUDA device; not part of the tests, since few machines have one.

python -m pytest tests/device_vls.py
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from softlab_cli.methods.vls.batches import Sampler
from softlab_cli.methods.vls.drawing import draw, drawn_noise
from softlab_cli.methods.vls.network import build
from softlab_cli.methods.vls.pytorch import same_bits
from softlab_cli.methods.vls.training import FoldTask, train_fold
from tests.vls_support import kept_cases, recipe

KINDS = [
    {"engine": "crossfit"},
    {"engine": "vls", "image_weight": 1.0},
    {"engine": "vls", "dims": 3, "patch": (16, 16, 16)},
    {"engine": "vls", "parity": "poster", "image_weight": 1.0},
]


def task(folder: Path, **changes: Any) -> FoldTask:
    depth = 16 if changes.get("dims") == 3 else 1
    cases = kept_cases(folder / "cases", 4, size=20, depth=depth)
    made = recipe(**({"device": "cuda", "width": 8, "steps": 8} | changes))
    (folder / "fold").mkdir(exist_ok=True)
    return FoldTask(made, 0, folder / "fold", cases[1:], cases[:1], 255, checkpoint_steps=4)


@pytest.mark.parametrize("changes", KINDS)
def test_two_trainings_have_the_same_bits(changes: dict[str, Any], tmp_path: Path) -> None:
    found = set()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        result = train_fold(task(tmp_path / name, **changes))
        assert all(np.isfinite(row).all() for row in result.losses)
        found.add(result.checksum)
    assert len(found) == 1


def test_a_training_goes_on_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "whole").mkdir()
    whole = train_fold(task(tmp_path / "whole")).checksum
    batch, broken = Sampler.batch, task(tmp_path)

    def failing(self: Sampler, step: int) -> Any:
        if step == 6:
            raise RuntimeError("killed")
        return batch(self, step)

    with monkeypatch.context() as patched:
        patched.setattr(Sampler, "batch", failing)
        with pytest.raises(RuntimeError, match="killed"):
            train_fold(broken)
    assert train_fold(broken).checksum == whole


@pytest.mark.parametrize("changes", KINDS)
def test_soft_labels_are_next_to_those_of_the_cpu(changes: dict[str, Any]) -> None:
    made = recipe(**({"width": 8} | changes))
    rng = np.random.default_rng(0)
    image = rng.standard_normal((2, 1, *made.patch), np.float32)
    labels = rng.integers(-1, 2, (2, *made.patch))
    noises = [drawn_noise(4, made.latent, i) for i in range(2)]
    found = {}
    for device in ("cpu", "cuda"):
        with same_bits(device):
            found[device] = draw(build(made, 0).to(device), image, labels, noises, device)
    np.testing.assert_allclose(found["cuda"], found["cpu"], atol=0.05)  # of bfloat16
    assert torch.cuda.memory_allocated() > 0
