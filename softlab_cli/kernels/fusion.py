"""Which labels the raters gave to each voxel: one number, the *pattern*.

Raters are taken in one after another. While they all say the same, the pattern is
their class index; ``class_count`` stands for "ignored by all", and every other
combination of labels gets a number above, in the order in which it is met.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned, kernel

__all__ = [
    "add_rater",
    "compare_raters",
    "count_patterns",
    "find_largest",
    "first_pattern",
    "gather_votes",
    "is_indexed",
    "rehash",
]

RUN = 64
"""Voxels that are compared at once before any is looked at alone."""

FREE = -1
"""Key of an empty place in the table of combinations."""

_SPREAD = np.uint64(0x9E3779B97F4A7C15)


@kernel
def _place(key: Int, keys: NDArray[np.int64]) -> Int:
    """Where a key is in an open-addressing table, or where it belongs."""
    # Keys of neighbouring patterns follow one another; multiplied by a large odd number, their
    # upper bits differ, so that they do not crowd one part of the table.
    last = np.uint64(len(keys) - 1)
    place = ((np.uint64(key) * _SPREAD) >> np.uint64(32)) & last
    while keys[place] != key and keys[place] != FREE:
        place = (place + np.uint64(1)) & last
    return np.int64(place)


@kernel
def rehash(
    old_keys: NDArray[np.int64], old_found: NDArray[np.int64],
    keys: NDArray[np.int64], found: NDArray[np.int64],
) -> None:  # fmt: skip
    """Move the entries of a table into a larger one, which is empty."""
    for i in range(len(old_keys)):
        if old_keys[i] != FREE:
            place = _place(old_keys[i], keys)
            keys[place] = old_keys[i]
            found[place] = old_found[i]


@kernel
def is_indexed(labels: NDArray[Any], class_count: int, ignore_index: int) -> bool:
    """Whether all labels are class indices or the mark of ignored voxels.

    Parameters
    ----------
    labels
        (n,) labels of a rater.
    class_count, ignore_index
        Number of classes, and the mark of voxels that are not labelled.
    """
    count, ignored = labels.dtype.type(class_count), labels.dtype.type(ignore_index)
    wrong = False
    for i in range(len(labels)):
        label = labels[Unsigned(i)]
        # No early end, so that the loop is vectorised: nearly always all labels are right.
        wrong |= (label >= count) & (label != ignored)
    return not wrong


@kernel
def first_pattern(
    labels: NDArray[Any], class_count: int, ignore_index: int, patterns: NDArray[Any]
) -> None:
    """Patterns of the first rater: its class indices, `class_count` where it has none.

    Parameters
    ----------
    labels
        (n,) class indices.
    class_count, ignore_index
        Number of classes, and the mark of voxels that are not labelled.
    patterns
        (n,) is written.
    """
    for i in range(len(labels)):
        label = np.int64(labels[Unsigned(i)])
        patterns[Unsigned(i)] = label if label != ignore_index else class_count


@kernel
def add_rater(
    labels: NDArray[Any], class_count: int, ignore_index: int, patterns: NDArray[Any],
    start: int, count: int, most: int, keys: NDArray[np.int64], found: NDArray[np.int64],
) -> tuple[int, int]:  # fmt: skip
    """Take in one more rater.

    A combination is an earlier pattern and a label, as
    ``pattern * (class_count + 1) + label``.

    Parameters
    ----------
    labels
        (n,) class indices of the rater.
    class_count, ignore_index
        As in `first_pattern`.
    patterns
        (n,) patterns so far; from `start` on they are replaced.
    start
        First voxel to do.
    count
        Combinations that the table has.
    most
        Combinations that it may hold.
    keys, found
        The table, a power of two long: combinations, and their new numbers.

    Returns
    -------
    stop, count
        The first voxel that is not done (n, unless the table is full), and how
        many combinations there are now.
    """
    n = len(labels)
    ignored = labels.dtype.type(ignore_index)
    i = start
    while i < n:
        stop = min(i + RUN, n)
        # Raters agree nearly everywhere, so voxels are first compared together; looking at each
        # takes 1.9 times as long. Types are as narrow as they may be: more fit into a vector.
        same = stop - i == RUN
        if same:
            difference = np.uint32(0)
            for k in range(RUN):
                label = labels[Unsigned(i + k)]
                mark = np.uint32(label) if label != ignored else np.uint32(class_count)
                difference |= mark ^ np.uint32(patterns[Unsigned(i + k)])
            same = difference == 0
        if not same:
            for k in range(i, stop):
                label = np.int64(labels[Unsigned(k)])
                label = label if label != ignore_index else class_count
                pattern = np.int64(patterns[Unsigned(k)])
                if label == pattern:
                    continue
                key = pattern * (class_count + 1) + label
                place = _place(key, keys)
                if keys[place] == FREE:
                    # A kernel makes no arrays: the caller brings a larger table and calls again.
                    if count == most:
                        return k, count
                    keys[place] = key
                    found[place] = class_count + 1 + count
                    count += 1
                patterns[Unsigned(k)] = found[place]
        i = stop
    return n, count


@kernel
def count_patterns(patterns: NDArray[Any], counts: NDArray[np.int64]) -> None:
    """Count the voxels of each pattern.

    Parameters
    ----------
    patterns
        (n,) patterns.
    counts
        (patterns,) int64; is added to.
    """
    # `count_values` does the same: on patterns of raters it takes 1.07 to 1.09 times as long, on
    # noise, which they are not, a sixth.
    i, n = 0, len(patterns)
    while i < n:
        first = patterns[Unsigned(i)]
        stop = i + 1
        # A run is followed 64 voxels at a time; voxel by voxel takes 1.4 times as long.
        while stop + RUN <= n:
            difference = first ^ first
            for k in range(RUN):
                difference |= patterns[Unsigned(stop + k)] ^ first
            if difference != 0:
                break
            stop += RUN
        while stop < n and patterns[Unsigned(stop)] == first:
            stop += 1
        counts[Unsigned(first)] += stop - i
        i = stop


@kernel
def gather_votes(
    labels: NDArray[np.int32], weights: NDArray[np.int64], starts: NDArray[np.int64],
    classes: NDArray[np.int64], parts: NDArray[np.int64],
) -> int:  # fmt: skip
    """Add up what the raters of each pattern say, class by class.

    Parameters
    ----------
    labels
        (patterns, raters) class indices, below 0 for none.
    weights
        (raters,) what each rater's vote is worth; those of 0 or less do not count.
    starts
        (patterns + 1,); is written: where the classes of each pattern begin.
    classes, parts
        As long as `labels` is large; the classes that have votes, rising for each pattern,
        and their votes are written.

    Returns
    -------
    end
        How many these are.
    """
    end = 0
    starts[0] = 0
    for p in range(len(labels)):
        start = end
        for j in range(labels.shape[1]):
            label, weight = np.int64(labels[p, j]), weights[j]
            if label < 0 or weight <= 0:
                continue
            place = end
            while place > start and classes[place - 1] > label:
                place -= 1
            if place > start and classes[place - 1] == label:
                parts[place - 1] += weight
                continue
            for i in range(end, place, -1):
                classes[i], parts[i] = classes[i - 1], parts[i - 1]
            classes[place], parts[place] = label, weight
            end += 1
        starts[p + 1] = end
    return end


@kernel
def find_largest(
    starts: NDArray[np.int64], classes: NDArray[np.int64], parts: NDArray[np.int64],
    winners: NDArray[np.int64], tied: NDArray[np.bool_],
) -> None:  # fmt: skip
    """The class with most parts in each row, and whether others have as many.

    Parameters
    ----------
    starts
        (rows + 1,) where each row begins.
    classes, parts
        (n,) class indices and their parts.
    winners
        (rows,); is written where a row has any class: the lowest of those with most parts.
    tied
        (rows,), all False; True is written where there are several.
    """
    for row in range(len(winners)):
        most = np.int64(-1)
        for i in range(starts[row], starts[row + 1]):
            if parts[i] > most:
                most, winners[row], tied[row] = parts[i], classes[i], False
            elif parts[i] == most:
                winners[row], tied[row] = min(winners[row], classes[i]), True


@kernel
def compare_raters(
    labels: NDArray[np.int32], counts: NDArray[np.int64], said: NDArray[np.int64],
    agreed: NDArray[np.int64],
) -> None:  # fmt: skip
    """Count what each two raters say of the voxels that both labelled.

    Parameters
    ----------
    labels
        (patterns, raters) class indices, below 0 for none.
    counts
        (patterns,) voxels of each pattern.
    said
        (raters, raters, C), to which the voxels are added that the first rater gives a
        class, of those that the second labelled.
    agreed
        (raters, raters, C), likewise of those that the second gives the same class, which
        comes after the first.
    """
    for p in range(len(labels)):
        for i in range(labels.shape[1]):
            for j in range(i + 1, labels.shape[1]):
                one, other = labels[p, i], labels[p, j]
                if one < 0 or other < 0:
                    continue
                said[i, j, one] += counts[p]
                said[j, i, other] += counts[p]
                if one == other:
                    agreed[i, j, one] += counts[p]
