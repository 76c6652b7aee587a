"""Parameters of STAPLE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from softlab_cli.core.errors import UsageError

__all__ = ["StapleOptions"]


@dataclass(frozen=True)
class StapleOptions:
    """How STAPLE is run.

    Parameters
    ----------
    restrict
        ``disagreement`` leaves the voxels out where all raters agree; what they
        say there is taken as certain. Empty: all voxels.
    tolerance
        Stop when no parameter (a probability) changes by more than this.
    max_iterations
        Stop after this many steps in any case.

    Raises
    ------
    UsageError
        For another restriction, and for a tolerance or a number of steps that is
        not above 0.
    """

    restrict: str = ""
    tolerance: float = 1e-7
    max_iterations: int = 1000

    def __post_init__(self) -> None:
        if self.restrict not in ("", "disagreement"):
            raise UsageError(
                f"STAPLE cannot be restricted to {self.restrict!r}.",
                remedy="Only to 'disagreement'.",
            )
        if not 0 < self.tolerance < math.inf or self.max_iterations < 1:
            raise UsageError(
                f"STAPLE with a tolerance of {self.tolerance:g} and "
                f"{self.max_iterations} iterations has no meaning.",
                remedy="Both must be above 0.",
            )

    def parameters(self) -> dict[str, Any]:
        """The parameters, ready for JSON."""
        return {
            "restrict": self.restrict,
            "tolerance": float(self.tolerance),
            "max_iterations": int(self.max_iterations),
        }
