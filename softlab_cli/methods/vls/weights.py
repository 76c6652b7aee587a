"""Weights and checkpoints on disk: written whole, read without running anything of theirs."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
from functools import lru_cache
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.methods.vls.network import Network, build
from softlab_cli.methods.vls.pytorch import torch
from softlab_cli.methods.vls.recipe import Recipe
from softlab_cli.store.files import system_errors, written_whole

__all__ = ["checksum_of", "load", "load_network", "save"]


def checksum_of(weights: dict[str, torch.Tensor]) -> str:
    """Checksum of the names and numbers of weights."""
    checksum = hashlib.sha256()
    for name in sorted(weights):
        tensor = weights[name].detach().cpu().contiguous()
        checksum.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        checksum.update(tensor.numpy().tobytes())
    return checksum.hexdigest()


def save(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values; the file is there whole, or as it was.

    Raises
    ------
    StoreError
        When the disk is full or cannot be written to.
    """
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with written_whole(path) as partial, partial.open("wb") as file:
        file.write(buffer.getbuffer())
        file.flush()
        os.fsync(file.fileno())


AGAIN = "Get the model again, or train anew."
GOES_ON = "Remove it; the training goes on from what else is there."


def load(path: Path, remedy: str = GOES_ON) -> dict[str, Any] | None:
    """What `save` wrote, on the CPU; None when there is no such file.

    Parameters
    ----------
    path
        The file.
    remedy
        What to do where it is damaged.

    Raises
    ------
    StoreError
        When the file is damaged.
    """
    if not path.exists():
        return None
    try:
        with system_errors(path, "read"):
            found: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise StoreError(
            "is damaged, and cannot be read as weights.",
            remedy=remedy,
            path=path,
        ) from error
    return found


@lru_cache(maxsize=16)
def load_network(path: Path, checksum: str, recipe: Recipe, device: str) -> Network:
    """The network of a fold, ready to be applied.

    Raises
    ------
    StoreError
        When the file is missing, or holds other weights.
    """
    found = load(path, AGAIN)
    if found is None or checksum_of(found["weights"]) != checksum:
        problem = "is missing." if found is None else "holds other weights than the model had."
        raise StoreError(problem, remedy=AGAIN, path=path)
    network = build(recipe, 0)
    network.load_state_dict(found["weights"])
    return network.to(device).eval()
