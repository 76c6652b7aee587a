"""Votes of the raters: mean, majority, and the mean weighted by agreement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from softlab_cli.core.errors import UsageError
from softlab_cli.fusion.agreement import dice, mean_dice
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.fusion.shares import FINEST, Shares, count_votes, one_class

__all__ = [
    "dice_weights",
    "majority_votes",
    "mean_votes",
    "normalise_weights",
    "vanished_warnings",
]


def mean_votes(patterns: RaterPatterns, weights: Sequence[float] | None = None) -> Shares:
    """Share of the raters that chose each class (mOH), of those who labelled the voxel.

    Parameters
    ----------
    patterns
        The raters' labels.
    weights
        One for each rater, see `normalise_weights`; equal if not given.
    """
    if weights is None:
        return count_votes(patterns.labels)
    normalised = normalise_weights(weights, patterns.rater_count)
    whole = np.rint(np.asarray(normalised) * FINEST).astype(np.int64)
    return count_votes(patterns.labels, whole)


def majority_votes(patterns: RaterPatterns) -> tuple[Shares, int]:
    """The class that most raters chose; among equals the one of the lowest label value.

    Parameters
    ----------
    patterns
        The raters' labels.

    Returns
    -------
    shares
        One class for each pattern.
    ties
        Voxels where several classes had most votes.
    """
    winners, tied = count_votes(patterns.labels).largest()
    return one_class(winners), int(patterns.counts[tied].sum())


def dice_weights(patterns: RaterPatterns, background_index: int | None) -> tuple[float, ...]:
    """Weight of each rater: its Dice with the majority, all weights adding up to 1.

    The Dice is the mean over the classes, without background, that the rater or
    the majority has; for a case without foreground it is that of the background.
    A rater that has nothing in common with the majority gets 0: it vanishes from the
    soft label, and where only such raters labelled a voxel, it counts as not labelled.
    Where that is so of all raters, weights are equal.

    Parameters
    ----------
    patterns
        The raters' labels.
    background_index
        The class that is no foreground, if there is one.

    Notes
    -----
    As in Wang et al., "Dice Semimetric Losses: Optimizing the Dice Score with
    Soft Labels", MICCAI 2023; but their code gives a rater with a Dice of 0 the weight
    of a perfect one.
    """
    winners, _ = count_votes(patterns.labels).largest()
    scores = [
        mean_dice(dice(column, winners, patterns.counts, patterns.class_count), background_index)
        for column in patterns.labels.T
    ]
    if not any(scores):
        return (1 / len(scores),) * len(scores)
    return normalise_weights(scores, len(scores))


def vanished_warnings(weights: Mapping[str, float]) -> tuple[str, ...]:
    """Say which raters have no part in the soft label by `dice_weights`.

    Parameters
    ----------
    weights
        Name of each rater to its weight.
    """
    return tuple(
        f"rater {name} has a Dice of 0 with the majority, so its weight is 0 and it has no part "
        "in the soft label (the code of Wang et al. gives such a rater the weight of a perfect one)"
        for name, weight in weights.items()
        if weight == 0
    )


def normalise_weights(weights: Sequence[float], raters: int) -> tuple[float, ...]:
    """Weights that add up to 1.

    Parameters
    ----------
    weights
        One for each rater, at least 0, not all 0.
    raters
        Number of raters.

    Raises
    ------
    UsageError
        For weights that are missing, negative, not finite or all 0.
    """
    if len(weights) != raters:
        raise UsageError(
            f"{len(weights)} rater weights for {raters} raters.",
            remedy="Give one weight for each rater, in the order of the raters.",
        )
    total = math.fsum(weights)
    if not (math.isfinite(total) and total > 0 and min(weights) >= 0):
        raise UsageError(
            f"rater weights {', '.join(f'{w:g}' for w in weights)} cannot be used.",
            remedy="Weights are finite numbers from 0 up, and at least one is above 0.",
        )
    return tuple(w / total for w in weights)
