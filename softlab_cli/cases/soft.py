"""Cases of stores, and of nnU-Net's probabilities."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from softlab_cli.cases.case import Finding
from softlab_cli.cases.kinds import (
    Tell,
    holds_dicom_files,
    ignore,
    image_files,
    tell_left_out,
)
from softlab_cli.core.caseid import PARTIAL_MARK, PROBABILITY_SUFFIX, natural_order
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.core.folders import (
    files_in,
    holds_probabilities,
    is_probabilities,
    segmentation_beside,
    some_of,
)
from softlab_cli.store.documents import read_case_info, read_store_info
from softlab_cli.store.files import (
    METADATA,
    find_partials,
    is_abandoned,
    is_marked,
    list_cases,
)
from softlab_cli.store.schema import StoreInfo

__all__ = ["find_in_store", "find_probabilities", "is_store"]


def is_store(path: Path) -> bool:
    """Whether an input is a store, or another Zarr group."""
    return (path / METADATA).is_file()


def find_in_store(
    path: Path, rater: str, tell: Tell = ignore, *, raters: bool = False, images: bool = False
) -> list[Finding]:
    """The cases of a store; the label map of each is its folder there.

    Parameters
    ----------
    path
        The store.
    rater
        Name for the hard labels.
    tell
        Is told of cases that were left unfinished.
    raters
        Whether the raters that a store keeps are wanted, where it keeps them.
    images
        Whether the images that its cases were made with are wanted.

    Raises
    ------
    StoreError
        When it is a Zarr group of another kind, is being written, or is damaged.
    InputError
        When it has no case.
    """
    info = read_store_info(path)
    ids = list_cases(path)
    _look_for_unfinished(path, set(ids), tell)
    if not ids:
        raise InputError("is a store without a case.", remedy="Fill it first.", path=path)
    found: list[Finding] = []
    for case_id in ids:
        one = Finding(case_id, path / case_id, rater)
        if images or (raters and info.keep_raters):
            one, names = _with_facts(one, info, images)
            if raters and info.keep_raters and names:
                found += [replace(one, rater=name, kept_rater=name) for name in names]
                continue
        found.append(one)
    if named := dict.fromkeys(one.kept_rater for one in found if one.kept_rater):
        tell(f"{path}: the raters that the store keeps are taken, and not its hard label: "
             f"{some_of(list(named))}")  # fmt: skip
    return found


def _with_facts(finding: Finding, info: StoreInfo, images: bool) -> tuple[Finding, tuple[str, ...]]:
    """A case with the images that it was made with, and its raters."""
    case = read_case_info(finding.label_map, info)
    if not images:
        return finding, case.raters
    paths = tuple(Path(s.path) for s in case.sources if s.role == "image")
    gone = [image for image in paths if not image.exists()]
    problem = None
    if gone:
        problem = InputError(
            f"was made with the image {gone[0]}, which is not there any more.",
            remedy="Name the folder of the images with --images.",
            path=finding.label_map,
        )
    return replace(finding, images=paths, problem=problem), case.raters


def _look_for_unfinished(path: Path, complete: set[str], tell: Tell) -> None:
    """Refuse a store that is being written; say what a run that was killed has left unfinished."""
    left: dict[str, bool | None] = {}
    for partial in find_partials(path):
        name = partial.name.split(PARTIAL_MARK)[0]
        if is_marked(partial) and name not in complete:
            left[name] = is_abandoned(partial)
    busy = [name for name, abandoned in left.items() if not abandoned]
    if busy:
        raise StoreError(
            f"is being written, or was left half-written: {some_of(busy, 3)} is not complete.",
            remedy="Wait for the run that writes it; if none does, run its command again.",
            path=path,
        )
    if left:
        tell(
            f"{path}: {some_of(list(left), 3)} is not complete, since the run that wrote it was "
            "ended, and is left out; run its command again"
        )


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
