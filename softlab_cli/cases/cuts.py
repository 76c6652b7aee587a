"""Where a file name is cut into case and class, when it can be cut in several places.

``s1_kidney_left`` may be the class ``kidney_left`` of the case ``s1``, or the class ``left``
of ``s1_kidney``; all file names together tell.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

__all__ = ["Cut", "choose_cuts"]

Cut = tuple[str, str]
"""A case and a class."""


def choose_cuts(possible: Sequence[Sequence[Cut]]) -> list[Cut]:
    """The cut of each name whose case has the most files, and whose class the most cases.

    Parameters
    ----------
    possible
        For each name, every cut that a pattern allows; at least one.
    """
    files: dict[str, int] = defaultdict(int)
    cases: dict[str, set[str]] = defaultdict(set)
    for cuts in possible:
        for case, name in cuts:
            files[case] += 1
            cases[name].add(case)

    def worth(cut: Cut) -> tuple[int, int]:
        # Of k classes of n cases, s_1_liver is cut after s_1: k files times n cases. A cut
        # after s counts as much (all files, one case each), so the longer case decides.
        return files[cut[0]] * len(cases[cut[1]]), len(cut[0])

    return [max(cuts, key=worth) for cuts in possible]
