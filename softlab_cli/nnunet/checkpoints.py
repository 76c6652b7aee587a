"""Checkpoints that nnU-Net can predict with where softlab is not installed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import torch

from softlab_cli.core.errors import InputError
from softlab_cli.store.files import written_whole

__all__ = ["load_checkpoint", "make_portable"]


# How a pickle makes a number of numpy; the function is public under no name, so one makes it.
_scalar = np.float64(0).__reduce__()[0]

NUMBERS: list[Any] = [
    np.dtype,
    *{type(np.dtype(code)) for code in "?bhilqBHILQefd"},
    (_scalar, "numpy.core.multiarray.scalar"),
    (_scalar, "numpy._core.multiarray.scalar"),
]
"""What makes a number of numpy, for `torch.load`: nnU-Net keeps some among its figures."""


def load_checkpoint(path: Path) -> dict[str, Any]:
    """What nnU-Net keeps of a training: tensors, numbers and names, and nothing that runs.

    A checkpoint is a pickle, which may run anything when it is loaded; torch is told to
    refuse all but weights, and the numbers of numpy that nnU-Net keeps beside them.

    Raises
    ------
    InputError
        When the file holds anything else, or cannot be read.
    """
    try:
        with torch.serialization.safe_globals(NUMBERS):
            checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise InputError(
            "is no checkpoint of nnU-Net, or holds more than weights and numbers.",
            remedy="Train again, or get it from where it was made.",
            path=path,
        ) from error
    if not isinstance(checkpoint, dict) or "trainer_name" not in checkpoint:
        raise InputError(
            "is no checkpoint of nnU-Net.",
            remedy="Give a checkpoint_final.pth or checkpoint_best.pth.",
            path=path,
        )
    return checkpoint


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
    checkpoint = load_checkpoint(path)
    if checkpoint["trainer_name"] == trainer_name:
        return
    checkpoint["softlab_trainer_name"] = checkpoint["trainer_name"]
    checkpoint["trainer_name"] = trainer_name
    with written_whole(path) as draft:
        torch.save(checkpoint, draft)
