"""The example of the losses trains on the real CT, and its loss falls."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

EXAMPLE = Path(__file__).parents[1] / "examples" / "losses_on_soft_labels.py"


@pytest.fixture
def example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("losses_on_soft_labels", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loss_falls(example, real, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(example, "PATCH", (8, 16, 16))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    losses = example.train(example.make_store(real, tmp_path / "soft.zarr"), steps=16)
    torch.set_num_threads(threads)
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])
    assert "liver" in capsys.readouterr().out


def test_patches_and_soft_labels_lie_on_one_another(example, real, tmp_path, monkeypatch) -> None:
    store = example.make_store(real, tmp_path / "soft.zarr")
    images, targets = next(example.patches(store["s01"], seed=0))
    count = len(store.classes) - 1
    assert images.shape == (count, 1, *example.PATCH)
    assert targets.shape == (count, len(store.classes), *example.PATCH)
    middle = tuple(n // 2 for n in example.PATCH)
    for organ in range(count):
        assert targets[(organ, organ + 1, *middle)] >= 0.5
    # Liver and spleen are soft tissue: far from air and from bone.
    inside = images[:, 0][targets[:, 1:3].sum(1) > 0.9] * 300
    assert 0 < inside.median() < 200
