"""From what a user names to cases: `discover_cases` and the classes that come with them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from os.path import commonpath
from pathlib import Path
from typing import Any

from softlab_cli.cases.case import Case, Finding, gather
from softlab_cli.cases.class_folders import find_class_folders, look_like_classes
from softlab_cli.cases.dicom import find_in_dicom, with_dicom_images
from softlab_cli.cases.folders import (
    DATASET_FILE,
    ImageFolder,
    find_in_dataset,
    find_in_folder,
    is_dataset,
)
from softlab_cli.cases.kinds import (
    Tell,
    holds_dicom_files,
    labels_are_dicom,
    tell_left_out,
    tell_subfolders,
)
from softlab_cli.cases.manifests import TABLE_SUFFIXES, read_datalist, read_manifest
from softlab_cli.cases.naming import ClassPattern, NamePattern
from softlab_cli.cases.soft import find_in_store, find_probabilities, is_store
from softlab_cli.core.caseid import hard_to_carry, image_suffix, natural_order, strip_suffix
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.folders import (
    files_in,
    header_beside,
    holds_probabilities,
    is_probabilities,
    some_of,
)
from softlab_cli.core.jsonfile import load_json
from softlab_cli.core.system import reading
from softlab_cli.readers import is_dicom

__all__ = ["class_names_from", "discover_cases"]

log = logging.getLogger(__name__)


def discover_cases(
    inputs: Sequence[Path],
    images: Path | None = None,
    *,
    series: str | None = None,
    rater_pattern: str | None = None,
    class_pattern: str | None = None,
    soft: bool = False,
    kept_raters: bool = False,
    kept_images: bool = False,
    tell: Tell = log.info,
) -> list[Case]:
    """All cases of the inputs, sorted by id (``case2`` before ``case10``).

    Parameters
    ----------
    inputs
        Each a folder of label maps, one label map, a store, an nnU-Net raw dataset, a
        MONAI datalist (``.json``), a manifest (``.csv``, ``.tsv``), or DICOM (see
        `softlab_cli.cases.dicom`). Several inputs are raters of the same cases,
        paired by case id; a case keeps the raters that it has.
    images
        A folder of images, paired by case id with or without channel numbers
        (``case_0000``), or of DICOM series; or the one image of the only case.
    series
        Which DICOM object is meant where a case has several.
    rater_pattern
        How file names tell case and rater, see `softlab_cli.cases.naming`; the
        inputs are folders or label maps then.
    class_pattern
        The same for case and class, where each file holds one class of a case.
    soft
        Whether soft labels are wanted, such as nnU-Net's probabilities. Several inputs
        need no case in common then.
    kept_raters, kept_images
        Whether the raters that a store keeps are wanted instead of its hard label, and the
        images that its cases were made with, where `images` names none.
    tell
        Is told of files that are left out, counted and named, and what may be a slip.

    Returns
    -------
    list of Case
        Files other than DICOM are not opened. A case that cannot be done, such as one whose id
        two files claim, has a `Case.problem`.

    Raises
    ------
    InputError
        When an input cannot be understood, or nothing can be paired.
    """
    paths = [Path(p) for p in inputs]
    if not paths:
        raise UsageError("no input is given.", remedy="Name label maps with --in.")
    pattern = _pattern(rater_pattern, class_pattern)
    if pattern is not None:
        found = [_find_named(path, pattern, tell) for path in paths]
        if class_pattern is not None and not soft:  # soft labels are one case's, not raters'
            found = _drawn_by(found, _rater_names(paths))
    else:
        kept = {"raters": kept_raters, "images": kept_images and images is None}
        find = partial(_find, series=series, soft=soft, tell=tell, kept=kept)
        found = [
            find(path, rater=rater) for path, rater in zip(paths, _rater_names(paths), strict=True)
        ]
        if len(paths) > 1 and not soft:  # several raters have no soft label in common
            _check_paired(found)
    cases = gather(finding for findings in found for finding in findings)
    if images is not None:
        with reading(images):
            cases = _with_images(cases, Path(images), tell)
    _tell_oddities(cases, soft, tell)
    return sorted(cases, key=lambda case: natural_order(case.case_id))


def _pattern(rater_pattern: str | None, class_pattern: str | None) -> NamePattern | None:
    if rater_pattern is not None and class_pattern is not None:
        raise UsageError(
            "--rater-pattern and --class-pattern are given together.",
            remedy="Leave one of them out.",
        )
    if class_pattern is not None:
        return ClassPattern(class_pattern)
    return None if rater_pattern is None else NamePattern(rater_pattern)


def _drawn_by(found: list[list[Finding]], raters: list[str]) -> list[list[Finding]]:
    """Findings of several inputs, each of which is a rater."""
    pairs = list(zip(found, raters, strict=True))
    if len(pairs) > 1:
        _check_paired(found)
    return [[replace(one, rater=rater) for one in findings] for findings, rater in pairs]


def _tell_oddities(cases: Sequence[Case], soft: bool, tell: Callable[[str], None]) -> None:
    """What may be meant, or be a slip: missing raters, names that other systems cannot hold."""
    cases = [case for case in cases if case.problem is None]  # those are told of anyway
    counts = {len(case.drawings): case for case in reversed(cases)}
    if len(counts) > 1 and not soft:
        named = ", ".join(f"{counts[n].case_id!r} has {n}" for n in sorted(counts))
        tell(f"cases have different numbers of raters: {named}")
    classes = dict.fromkeys(name for case in cases for name in case.class_names)
    without = [
        f"{case.case_id} (no {some_of(lacking, 3)})"
        for case in cases
        if (lacking := [name for name in classes if name not in case.class_names])
    ]
    if without:
        lack = "lacks" if len(without) == 1 else "lack"
        tell(
            f"{len(without)} of {len(cases)} cases {lack} a file of a class that others have: "
            f"{some_of(without, 3)}"
        )
    for reason in hard_to_carry([case.case_id for case in cases]):
        tell(f"{reason}: other systems (Windows, macOS) cannot hold this store")


def class_names_from(inputs: Sequence[Path]) -> Path | None:
    """The file that names the classes of the inputs, if one does.

    Parameters
    ----------
    inputs
        As for `discover_cases`; nnU-Net datasets and datalists may name classes.
    """
    for path in map(Path, inputs):
        folder = path.parent if is_probabilities(path) else path
        with reading(path):
            known = folder.is_dir() and (is_dataset(folder) or holds_probabilities(folder))
            file = folder / DATASET_FILE if known else path
            if file.suffix.lower() != ".json" or not file.is_file():
                continue
        content = load_json(file)
        if isinstance(content, dict) and isinstance(content.get("labels"), dict):
            return file
    return None


def _find(path: Path, **options: Any) -> list[Finding]:
    """The findings of one input; what the system refuses becomes an error of ours."""
    with reading(path):
        return _findings(path, **options)


def _findings(
    path: Path, rater: str, series: str | None, soft: bool, tell: Tell, kept: Mapping[str, bool]
) -> list[Finding]:
    if is_store(path):
        return find_in_store(path, rater, tell, **kept)
    if soft and (found := find_probabilities(path, rater, tell)):
        return found
    if path.is_dir():
        if is_dataset(path):
            return find_in_dataset(path, rater, tell)
        if labels_are_dicom(path):
            return find_in_dicom(path, rater, series, tell)
        return find_class_folders(path, rater, tell) or _in_folder(path, rater, tell)
    _check_exists(path)
    if path.suffix.lower() in TABLE_SUFFIXES:
        return read_manifest(path, rater, tell)
    if path.suffix.lower() == ".json":
        beside = path.name == DATASET_FILE and is_dataset(path.parent)
        return find_in_dataset(path.parent, rater, tell) if beside else read_datalist(path, rater)
    if image_suffix(path.name):
        return [Finding(strip_suffix(path.name), path, rater)]
    if is_dicom(path):
        return find_in_dicom(path, rater, series, tell)
    if (header := header_beside(path)) is not None:
        return [Finding(strip_suffix(header.name), header, rater)]
    raise InputError(
        "is neither a label map nor a list of cases.",
        remedy="Give a folder, a label map (.nii.gz, .dcm, ...), a datalist (.json) or a CSV "
        "manifest.",
        path=path,
    )


def _in_folder(path: Path, rater: str, tell: Tell) -> list[Finding]:
    found = find_in_folder(path, rater, tell)
    names = [finding.case_id for finding in found]
    if look_like_classes(names):
        tell(
            f"{path}: each file is a case ({some_of(names)}); if each is a class of one case, "
            "say --class-pattern '{class}'"
        )
    return found


def _find_named(path: Path, pattern: NamePattern, tell: Tell) -> list[Finding]:
    with reading(path):
        if path.is_dir():
            return pattern.find(path, tell)
        _check_exists(path)
    found = pattern.match(path, path.parent)
    if found is None:
        raise InputError(
            f"is not named like {pattern.text!r}.", remedy=f"Check {pattern.option}.", path=path
        )
    return [found]


def _check_exists(path: Path) -> None:
    if not path.exists():
        raise InputError("does not exist.", remedy="Check the path.", path=path)


def _rater_names(paths: Sequence[Path]) -> list[str]:
    """A name for each input: its own, or as much of its path as tells it from the others."""
    full = [path.resolve() for path in paths]
    twice = [path for path, count in Counter(full).items() if count > 1]
    if twice:
        raise UsageError(f"{twice[0]} is given twice.", remedy="Each --in is another rater.")
    names = [strip_suffix(path.name) for path in full]
    if len(set(names)) == len(names):
        return names
    shared = commonpath([path.parent for path in full])
    return [path.relative_to(shared).as_posix() for path in full]


def _check_paired(found: Sequence[Sequence[Finding]]) -> None:
    """Refuse raters that have no case in common: their ids hardly mean what was meant."""
    counts = Counter(case_id for findings in found for case_id in {f.case_id for f in findings})
    if max(counts.values()) > 1:
        return
    examples = " and ".join(repr(findings[0].case_id) for findings in found[:2])
    raise InputError(
        f"no case is in more than one of the {len(found)} inputs (case ids are, for instance, "
        f"{examples}).",
        remedy="Several --in are raters of the same cases: give their files the same names, say "
        "with --rater-pattern what is the case and what the rater, or list them in a CSV manifest "
        "with the columns case_id, label and rater.",
    )


def _with_images(cases: list[Case], images: Path, tell: Tell) -> list[Case]:
    if not images.exists():
        raise InputError("does not exist.", remedy="Check --images.", path=images)
    if not images.is_dir():
        return [replace(_only_case(cases, images), images=(images,))]
    folder = ImageFolder(images)
    paired = [_with_images_of(case, folder) for case in cases]
    if _images_are_dicom(cases, paired, images):
        return with_dicom_images(cases, images, tell)
    _tell_unpaired(paired, images, tell)
    if not any(case.images for case in paired):
        there = ", ".join(list(folder.names())[:3]) or "none"
        raise InputError(
            f"holds no image of any case: the case ids are {_some(cases)}, the images {there}.",
            remedy="Name images like their label maps, with or without _0000.",
            path=images,
        )
    return paired


def _images_are_dicom(cases: list[Case], paired: list[Case], images: Path) -> bool:
    """Whether a folder's DICOM series are meant: where label maps need one, or nothing else fits.

    A picture beside series is no image of a case that is called otherwise.
    """
    needed = any(not image_suffix(case.label_maps[0].name) for case in cases)
    fitting = any(case.images for case in paired)
    return (needed or not fitting) and holds_dicom_files(images)


def _tell_unpaired(paired: list[Case], images: Path, tell: Tell) -> None:
    taken = {image for case in paired for image in case.images}
    left = sorted(set(files_in(images)) - taken, key=lambda file: natural_order(file.name))
    tell_left_out(images, left, "no image of a case", tell)
    tell_subfolders(images, tell)


def _only_case(cases: list[Case], images: Path) -> Case:
    if len(cases) > 1:
        raise InputError(
            f"is one image, but there are {len(cases)} cases.",
            remedy="Give the folder of the images.",
            path=images,
        )
    return cases[0]


def _with_images_of(case: Case, folder: ImageFolder) -> Case:
    try:
        images = folder.of(case.case_id)
    except InputError as error:
        return replace(case, images=(), problem=case.problem or error)
    missing = InputError(
        f"holds no image of the case {case.case_id!r}.",
        remedy=f"Expected {case.case_id}.nii.gz or {case.case_id}_0000.nii.gz, or another ending.",
        path=folder.folder,
    )
    return replace(case, images=images, problem=case.problem or (None if images else missing))


def _some(cases: Sequence[Case]) -> str:
    ids = [case.case_id for case in cases[:3]]
    return ", ".join(ids) + (", ..." if len(cases) > 3 else "")
