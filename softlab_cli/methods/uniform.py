"""Label smoothing (LS): a share of every soft label is spread evenly over all classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.base import OwnClassOnly

__all__ = ["UniformSmoothing"]


@dataclass(frozen=True)
class UniformSmoothing(OwnClassOnly):
    """Uniform label smoothing: p_c = (1 - alpha) [y = c] + alpha / C.

    Equation 1 of Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021.

    Parameters
    ----------
    smoothing
        The paper's alpha, 0 (one-hot) to 1 (the same for all classes).

    Raises
    ------
    UsageError
        For any other amount.
    """

    smoothing: float = 0.1

    name: ClassVar[str] = "ls"

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing <= 1:
            raise UsageError(
                f"a smoothing of {self.smoothing:g} has no meaning.",
                remedy="Choose a number from 0 (one-hot) to 1.",
            )

    def parameters(self) -> dict[str, Any]:
        """The amount of smoothing."""
        return {"smoothing": float(self.smoothing)}

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread."""
        from softlab_cli.methods.painting import Painter

        low = self.smoothing / len(classes)
        high = (1 - self.smoothing) + low
        return Painter(len(classes), classes.ignore_index, block, low, high)
