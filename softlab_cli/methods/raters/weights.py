"""Weights of raters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from softlab_cli.core.errors import UsageError
from softlab_cli.fusion.majority import normalise_weights

__all__ = ["check_weights", "weights_of"]


def check_weights(rater_weights: Mapping[str, float] | None) -> None:
    """Raise `UsageError` for weights that cannot be used, whatever raters a case has."""
    if rater_weights is not None:
        normalise_weights(list(rater_weights.values()), len(rater_weights))


def weights_of(
    rater_weights: Mapping[str, float] | None, raters: Sequence[str]
) -> tuple[float, ...] | None:
    """Weights of the raters that a case has, adding up to 1; None for equal ones.

    Parameters
    ----------
    rater_weights
        Name of each rater to its weight, or None.
    raters
        Names of the case's raters.

    Raises
    ------
    UsageError
        For a rater without a weight, and for weights that cannot be used.
    """
    if rater_weights is None:
        return None
    missing = [name for name in raters if name not in rater_weights]
    if missing:
        raise UsageError(
            f"rater {missing[0]} has no weight.",
            remedy=f"Weights are given for {', '.join(rater_weights)}.",
        )
    return normalise_weights([rater_weights[name] for name in raters], len(raters))
