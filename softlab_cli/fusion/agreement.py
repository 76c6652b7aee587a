"""Agreement of label maps, from patterns and their counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.fusion.patterns import UNLABELLED
from softlab_cli.fusion.shares import Shares

__all__ = ["dice", "dice_of_pairs", "fleiss_kappa", "mean_dice", "vote_entropy"]


def dice(
    a: NDArray[np.integer[Any]], b: NDArray[np.integer[Any]], counts: NDArray[np.int64],
    class_count: int,
) -> NDArray[np.float64]:  # fmt: skip
    """Dice coefficient of two label maps, for each class.

    Only voxels that both have labelled count.

    Parameters
    ----------
    a, b
        (patterns,) class index of either in each pattern, or `UNLABELLED`.
    counts
        (patterns,) int64, voxels of each pattern.
    class_count
        Number of classes.

    Returns
    -------
    dice
        (C,) float64: 2 |A and B| / (|A| + |B|), NaN for classes that neither has.
    """
    both = (a != UNLABELLED) & (b != UNLABELLED)
    same = both & (a == b)
    size_a = _count_classes(a[both], counts[both], class_count)
    size_b = _count_classes(b[both], counts[both], class_count)
    shared = _count_classes(a[same], counts[same], class_count)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * shared / (size_a + size_b))


def dice_of_pairs(
    labels: NDArray[np.int32], counts: NDArray[np.int64], class_count: int
) -> NDArray[np.float64]:
    """`dice` of each two raters.

    Parameters
    ----------
    labels
        (patterns, raters) class index in each pattern, or `UNLABELLED`.
    counts, class_count
        As for `dice`.

    Returns
    -------
    dice
        (pairs, C) float64, the pairs in the order of `itertools.combinations`.
    """
    from softlab_cli.kernels.fusion import compare_raters

    raters = labels.shape[1]
    said = np.zeros((raters, raters, class_count), np.int64)
    agreed = np.zeros_like(said)
    compare_raters(labels, counts, said, agreed)
    one, other = np.triu_indices(raters, 1)
    with np.errstate(invalid="ignore"):
        return np.asarray(2 * agreed[one, other] / (said[one, other] + said[other, one]))


def _count_classes(
    classes: NDArray[np.integer[Any]], counts: NDArray[np.int64], class_count: int
) -> NDArray[np.float64]:
    # Sums of whole numbers are exact in float64 up to 2^53 voxels.
    return np.asarray(np.bincount(classes, counts, class_count), np.float64)


def mean_dice(dice: NDArray[np.float64], background_index: int | None) -> float:
    """Mean over the foreground classes that occur.

    Parameters
    ----------
    dice
        (C,) float64, NaN for classes that do not occur.
    background_index
        The class that is no foreground, if there is one. It counts only where
        nothing else occurs.

    Returns
    -------
    mean
        0..1; 1 where no class occurs at all (nothing that could differ).
    """
    occurs = ~np.isnan(dice)
    if background_index is not None:
        foreground = occurs.copy()
        foreground[background_index] = False
        occurs = foreground if foreground.any() else occurs
    return float(dice[occurs].mean()) if occurs.any() else 1.0


def fleiss_kappa(
    votes: Shares, counts: NDArray[np.int64], raters: int, class_count: int
) -> tuple[NDArray[np.float64], float]:
    """Fleiss' kappa of each class, and of all classes together.

    With n raters, N voxels, n_ic votes for class c at voxel i and p_c the share
    of class c among all votes::

        kappa_c = 1 - sum_i n_ic (n - n_ic) / (N n (n - 1) p_c (1 - p_c))
        kappa   = 1 - sum_c sum_i n_ic (n - n_ic) / (N n (n - 1) sum_c p_c (1 - p_c))

    Only voxels that all raters have labelled count.

    Parameters
    ----------
    votes
        From `count_votes` without weights.
    counts
        (patterns,) int64, voxels of each pattern.
    raters
        Number of raters.
    class_count
        Number of classes.

    Returns
    -------
    per_class
        (C,) float64; NaN where it is not defined (one rater, a class that nobody
        chose, or one that everybody chose everywhere).
    overall
        Likewise.

    References
    ----------
    Fleiss, "Measuring nominal scale agreement among many raters", Psychological
    Bulletin 76(5), 1971.
    """
    complete = votes.totals == raters
    entries = complete[votes.rows]
    classes, n_ic = votes.classes[entries], votes.parts[entries].astype(float)
    voxels = counts[votes.rows[entries]]
    total = float(counts[complete].sum())
    disagreement = np.bincount(classes, voxels * n_ic * (raters - n_ic), class_count)
    share = np.bincount(classes, voxels * n_ic, class_count) / max(1.0, total * raters)
    expected = total * raters * (raters - 1) * share * (1 - share)
    with np.errstate(invalid="ignore", divide="ignore"):
        per_class = 1 - disagreement / expected
        overall = 1 - disagreement.sum() / expected.sum()
    return np.where(expected > 0, per_class, np.nan), float(overall)


def vote_entropy(votes: Shares) -> NDArray[np.float64]:
    """Entropy of the raters' shares for each pattern, in nats; 0 for empty rows."""
    share = votes.parts / np.repeat(votes.totals, votes.lengths)
    terms = -share * np.log(share)
    return np.asarray(np.bincount(votes.rows, terms, len(votes)), np.float64)
