"""Cases whose soft labels are there already: nnU-Net's probabilities, and stores."""

from __future__ import annotations

from pathlib import Path

from softlab_cli.cases.case import Finding, natural_order
from softlab_cli.cases.kinds import Tell, ignore, tell_left_out
from softlab_cli.core.caseid import PROBABILITY_SUFFIX
from softlab_cli.core.folders import (
    files_in,
    holds_probabilities,
    is_probabilities,
    segmentation_beside,
)
from softlab_cli.store.documents import read_store_info
from softlab_cli.store.files import METADATA, list_cases

__all__ = ["find_soft"]


def find_soft(path: Path, rater: str, tell: Tell = ignore) -> list[Finding]:
    """The cases of a store, or of nnU-Net's probabilities (``case.npz``).

    Parameters
    ----------
    path
        A store, a folder with probabilities, or a file of them. Probabilities go before
        anything else in a folder.
    rater
        Name for what is found.
    tell
        Is told what is left out.

    Returns
    -------
    list of Finding
        Empty where the input is something else.

    Raises
    ------
    StoreError
        When a folder is a Zarr group of another kind.
    """
    if (path / METADATA).is_file():
        read_store_info(path)
        return [Finding(case_id, path / case_id, rater) for case_id in list_cases(path)]
    if is_probabilities(path) and path.is_file():
        return [_finding(path, rater)]
    if not holds_probabilities(path):
        return []
    files = sorted(files_in(path), key=lambda file: natural_order(file.name))
    found = [_finding(file, rater) for file in files if is_probabilities(file)]
    taken = {file for f in found for file in (f.label_map, segmentation_beside(f.label_map))}
    tell_left_out(path, [f for f in files if f not in taken], "no probabilities", tell)
    return found


def _finding(file: Path, rater: str) -> Finding:
    return Finding(file.name[: -len(PROBABILITY_SUFFIX)], file, rater)
