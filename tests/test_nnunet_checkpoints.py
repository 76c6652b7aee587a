"""A checkpoint is weights and numbers; nothing in it runs when it is loaded."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from softlab_cli.core.errors import InputError
from softlab_cli.nnunet.checkpoints import load_checkpoint, make_portable


def save(path: Path, **more: object) -> Path:
    facts = {"network_weights": {"a": torch.ones(3)}, "trainer_name": "Mine", **more}
    torch.save(facts, path)
    return path


@pytest.mark.parametrize("number", [np.float64(0.5), np.float32(0.5), np.int64(2), 0.5, None])
def test_numbers_are_kept(tmp_path: Path, number: object) -> None:
    path = save(tmp_path / "c.pth", _best_ema=number, logging={"ema": [number]})
    make_portable(path, "Stock")
    found = load_checkpoint(path)
    assert found["trainer_name"] == "Stock"
    assert found["softlab_trainer_name"] == "Mine"
    assert found["logging"] == {"ema": [number]}
    assert torch.equal(found["network_weights"]["a"], torch.ones(3))


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_nothing_in_a_checkpoint_runs(tmp_path: Path, how: str) -> None:
    mark, path = tmp_path / "ran", tmp_path / "c.pth"
    if how == "torch":
        save(path, evil=Evil(mark))
    else:
        path.write_bytes(pickle.dumps({"trainer_name": Evil(mark)}))
    with pytest.raises(InputError, match="no checkpoint of nnU-Net"):
        make_portable(path, "Stock")
    assert not mark.exists()


def test_what_is_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "empty.pth").touch()
    torch.save([1], tmp_path / "list.pth")
    for name in ("empty.pth", "list.pth", "none.pth"):
        with pytest.raises(InputError, match="no checkpoint"):
            load_checkpoint(tmp_path / name)
