"""Which segments lie over one another: sets of them, and how many voxels each pair shares.

Few of all the sets that there could be occur in a file, so one number a voxel says what a bit
for each segment would.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import combinations

__all__ = ["SegmentSets", "shared_voxels"]


class SegmentSets:
    """Numbers of sets of segments, in the order in which they are met; 0 is the empty one.

    Attributes
    ----------
    members
        Of each set, its segments in ascending order.
    """

    def __init__(self) -> None:
        self.members: list[tuple[int, ...]] = [()]
        self._numbers: dict[tuple[int, ...], int] = {(): 0}

    def __len__(self) -> int:
        return len(self.members)

    def joined(self, number: int, segment: int) -> int:
        """The number of a set once a segment has joined it; a new one where it was not met yet."""
        members = tuple(sorted({*self.members[number], segment}))
        found = self._numbers.setdefault(members, len(self.members))
        if found == len(self.members):
            self.members.append(members)
        return found


def shared_voxels(
    groups: Iterable[Sequence[int]], counts: Iterable[int]
) -> dict[tuple[int, int], int]:
    """Voxels that two of a group share, for each pair that meets.

    Parameters
    ----------
    groups
        What lies over one another in some voxels; each once.
    counts
        How many voxels those are, of each group.

    Returns
    -------
    voxels
        Pairs in ascending order to voxels.
    """
    found: dict[tuple[int, int], int] = {}
    for group, count in zip(groups, counts, strict=True):
        for pair in combinations(group, 2) if count else ():
            key = min(pair), max(pair)
            found[key] = found.get(key, 0) + count
    return found
