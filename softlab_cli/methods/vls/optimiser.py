"""AdamW, as networks here are trained with it.

torch has one, whose module imports torch's compiler: that takes each process 6 seconds of CPU
before its first step, and a small training does not take longer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from softlab_cli.methods.vls.pytorch import torch

__all__ = ["AdamW"]

DECAYS = 0.9, 0.999
TINY = 1e-8

Tensor = torch.Tensor


class AdamW:
    """Adam with decoupled weight decay; Loshchilov and Hutter, ICLR 2019.

    Parameters
    ----------
    parameters
        What is learned.
    decay
        Weight decay.
    """

    def __init__(self, parameters: Iterable[Tensor], decay: float) -> None:
        self._parameters = list(parameters)
        self._decay = decay
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = 0

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Go a step against the gradients, and forget them.

        Parameters
        ----------
        rate
            The learning rate of this step.
        """
        self._steps += 1
        first, second = (1 - decay**self._steps for decay in DECAYS)
        moments = zip(self._parameters, self._means, self._squares, strict=True)
        for parameter, mean, square in moments:
            if parameter.grad is None:
                continue
            mean.lerp_(parameter.grad, 1 - DECAYS[0])
            square.mul_(DECAYS[1]).addcmul_(parameter.grad, parameter.grad, value=1 - DECAYS[1])
            spread = (square / second).sqrt_().add_(TINY)
            parameter.mul_(1 - rate * self._decay).addcdiv_(mean, spread, value=-rate / first)
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """What a later training goes on from."""
        return {"steps": self._steps, "means": self._means, "squares": self._squares}

    def load_state_dict(self, kept: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self._steps = int(kept["steps"])
        for own, other in ((self._means, kept["means"]), (self._squares, kept["squares"])):
            for tensor, value in zip(own, other, strict=True):
                tensor.copy_(value)
