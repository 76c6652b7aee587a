"""Checkpoints that nnU-Net can predict with where softlab is not installed."""

from __future__ import annotations

import os
from pathlib import Path

import torch

__all__ = ["make_portable"]


def make_portable(path: Path, trainer_name: str) -> None:
    """Say that a stock trainer made a checkpoint; the true name is kept beside it.

    nnU-Net looks up the trainer of a checkpoint in order to build the network. Soft
    labels change nothing of that, so the trainer they were added to will do.

    Parameters
    ----------
    path
        The checkpoint; it is replaced in one step.
    trainer_name
        A trainer of nnU-Net's own that builds the same network.
    """
    checkpoint = torch.load(path, map_location="cpu", weights_only=False)
    if checkpoint["trainer_name"] == trainer_name:
        return
    checkpoint["softlab_trainer_name"] = checkpoint["trainer_name"]
    checkpoint["trainer_name"] = trainer_name
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    torch.save(checkpoint, draft)
    os.replace(draft, path)
