"""PyTorch as networks here use it: one thread, the same bits each time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from softlab_cli.core.errors import EngineError
from softlab_cli.core.extras import require

with require("torch", extra="vls", problem="softlab vls needs torch."):
    import torch

__all__ = ["arithmetic", "chosen_device", "same_bits", "torch"]


def chosen_device(wanted: str) -> str:
    """``cpu`` or ``cuda``, whichever is meant.

    Raises
    ------
    EngineError
        For CUDA where there is none.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "torch finds no CUDA device.",
            remedy="Leave --device out, or install a torch that is built for CUDA.",
        )
    return wanted


@contextmanager
def same_bits(device: str) -> Iterator[None]:
    """Let torch compute with one thread, and by algorithms that give the same bits each time.

    Two threads add up in another order than one; processes are what cores are for.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _strict_algorithms() if device == "cuda" else nullcontext():
            yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _strict_algorithms() -> Iterator[None]:
    """Let CUDA take the algorithms that give the same bits each time."""
    # Not on a CPU, where all do: asking for them imports torch's compiler, which takes seconds.
    strict = torch.are_deterministic_algorithms_enabled()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(strict)


def arithmetic(device: str) -> Any:
    """Where networks run: float32 on the CPU, bfloat16 where it serves on CUDA."""
    if device == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()
