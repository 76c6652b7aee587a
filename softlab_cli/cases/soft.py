"""Cases of stores, and of nnU-Net's probabilities."""

from __future__ import annotations

from pathlib import Path

from softlab_cli.cases.case import Finding, natural_order
from softlab_cli.cases.kinds import (
    Tell,
    holds_dicom_files,
    ignore,
    image_files,
    tell_left_out,
)
from softlab_cli.core.caseid import PROBABILITY_SUFFIX
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import (
    files_in,
    holds_probabilities,
    is_probabilities,
    segmentation_beside,
)
from softlab_cli.store.documents import read_store_info
from softlab_cli.store.files import METADATA, list_cases

__all__ = ["find_in_store", "find_probabilities", "is_store"]


def is_store(path: Path) -> bool:
    """Whether an input is a store, or another Zarr group."""
    return (path / METADATA).is_file()


def find_in_store(path: Path, rater: str) -> list[Finding]:
    """The cases of a store; the label map of each is its folder there.

    Raises
    ------
    StoreError
        When it is a Zarr group of another kind.
    InputError
        When it has no case.
    """
    read_store_info(path)
    cases = [Finding(case_id, path / case_id, rater) for case_id in list_cases(path)]
    if not cases:
        raise InputError("is a store without a case.", remedy="Fill it first.", path=path)
    return cases


def find_probabilities(path: Path, rater: str, tell: Tell = ignore) -> list[Finding]:
    """The cases of nnU-Net's probabilities (``case.npz``).

    Parameters
    ----------
    path
        A folder with probabilities, which go before anything else in it where a segmentation
        lies beside one of them; or a file.
    rater
        Name for what is found.
    tell
        Is told what is left out.

    Returns
    -------
    list of Finding
        Empty where the input is something else.
    """
    if is_probabilities(path) and path.is_file():
        return [_finding(path, rater)]
    if not holds_probabilities(path):
        return []
    files = sorted(files_in(path), key=lambda file: natural_order(file.name))
    found = [_finding(file, rater) for file in files if is_probabilities(file)]
    beside = {segmentation_beside(f.label_map) for f in found} - {None}
    if not beside and (image_files(path) or holds_dicom_files(path)):
        return []  # arrays of another kind
    taken = {*beside, *(f.label_map for f in found)}
    tell_left_out(path, [f for f in files if f not in taken], "no probabilities", tell)
    return found


def _finding(file: Path, rater: str) -> Finding:
    return Finding(file.name[: -len(PROBABILITY_SUFFIX)], file, rater)
