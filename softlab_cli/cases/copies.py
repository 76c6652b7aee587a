"""Raters whose label maps are copies of one another: one person would count twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path

from softlab_cli.cases.case import Case
from softlab_cli.core.provenance import sha256_of, size_and_mtime
from softlab_cli.readers.class_files import ClassFiles, LabelSource

__all__ = ["Copies", "copied_raters"]

Copies = list[tuple[str, str, int]]
"""Two raters, and the number of cases that both have, with the same bytes in each."""


def copied_raters(cases: Sequence[Case]) -> Copies:
    """Raters with the same files in every case that both have.

    Sizes settle most; checksums are made as far as sizes agree, and only until two
    raters differ. Files that cannot be read are none's copy.

    Parameters
    ----------
    cases
        With their label maps and raters.

    Returns
    -------
    Copies
        In the order in which the raters first occur.
    """
    files = {case.case_id: case.drawings for case in cases}
    raters = {rater: None for case in cases for rater in case.raters}
    checksum = cache(sha256_of)
    found = []
    for a, b in combinations(raters, 2):
        shared = [(f[a], f[b]) for f in files.values() if a in f and b in f]
        if shared and all(_same(x, y, checksum) for x, y in shared):
            found.append((a, b, len(shared)))
    return found


def _same(a: LabelSource, b: LabelSource, checksum: Callable[[Path], str]) -> bool:
    if isinstance(a, ClassFiles) and isinstance(b, ClassFiles):
        pairs = zip(a.files, b.files, strict=False)
        return a.names == b.names and all(_same(x, y, checksum) for x, y in pairs)
    if not (isinstance(a, Path) and isinstance(b, Path)):
        return False
    try:
        return size_and_mtime(a)[0] == size_and_mtime(b)[0] and checksum(a) == checksum(b)
    except OSError:
        return False
