"""Cases in DICOM: segmentations and structure sets, and the series they belong to."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import replace
from os.path import commonpath
from pathlib import Path

from softlab_cli.cases.case import Case, Finding
from softlab_cli.cases.kinds import Tell, ignore, tell_left_out
from softlab_cli.core.caseid import image_suffix, natural_order, strip_suffix
from softlab_cli.core.errors import InputError, SoftlabError
from softlab_cli.core.folders import files_in
from softlab_cli.readers import open_label_object
from softlab_cli.readers.dicom import FoundObject, FoundObjects, find_label_objects

__all__ = ["find_in_dicom", "with_dicom_images"]

NEITHER = "neither image nor label map in DICOM"


def find_in_dicom(
    path: Path, rater: str, series: str | None = None, tell: Tell = ignore
) -> list[Finding]:
    """The cases of a DICOM file or folder.

    Parameters
    ----------
    path
        A SEG or RTSTRUCT; a folder of such files (the id is the file's name); one
        case's folder, with a series and a SEG or RTSTRUCT; or a folder of case
        folders (the id is the subfolder's name).
    rater
        Name for the label maps.
    series
        UID, description or pattern for it, where a case has several label objects.
    tell
        Is told what is left out.

    Raises
    ------
    InputError
        When there is no SEG or RTSTRUCT at all.
    """
    if path.is_file():
        return [Finding(strip_suffix(path.name), path, rater, _images_beside(path))]
    found = find_label_objects(path)
    if not found.labels:
        raise found.broken[0] if found.broken else _no_label(path, found)
    tell_left_out(path, found.others, NEITHER, tell)
    by_folder = _by_folder(path, found)
    direct = by_folder.pop("", FoundObjects((), {}, ()))
    together = any(part.labels and part.images for part in by_folder.values())
    if direct.images or (found.images and len(found.labels) == 1 and not together):
        return [_one_case(path.resolve().name, path, found, rater, series)]
    if direct.labels:
        named = [
            _finding(strip_suffix(o.path.name), path, found, (o,), rater) for o in direct.labels
        ]
        broken = [_broken(error, path, rater) for error in direct.broken]
        return named + broken + _in_subfolders(path, found, by_folder, rater, series)
    return _in_subfolders(path, found, by_folder, rater, series)


def _broken(error: InputError, folder: Path, rater: str) -> Finding:
    """A case that fails, since its file cannot be read."""
    path = error.path or folder
    return Finding(strip_suffix(path.name), path, rater, problem=error)


def _images_beside(label: Path) -> tuple[Path, ...]:
    """The folder of a label object when other DICOM files lie in it."""
    from softlab_cli.readers.dicom.files.magic import is_dicom_file

    others = (p for p in files_in(label.parent) if p.name != label.name)
    return (label.parent,) if any(is_dicom_file(p) for p in others) else ()


def _no_label(path: Path, found: FoundObjects) -> InputError:
    return InputError(
        f"holds {len(found.images)} image series in DICOM, and no SEG or RTSTRUCT.",
        remedy="Give the folder that holds the label maps; series are given with --images.",
        path=path,
    )


def _by_folder(path: Path, found: FoundObjects) -> dict[str, FoundObjects]:
    """What each direct subfolder holds; the folder's own files under an empty name."""

    def top(file: Path) -> str:
        parts = file.relative_to(path).parts
        return parts[0] if len(parts) > 1 or (parts and file.is_dir()) else ""

    labels: dict[str, list[FoundObject]] = {}
    images: dict[str, dict[str, tuple[Path, ...]]] = {}
    broken: dict[str, list[InputError]] = {}
    for entry in found.labels:
        labels.setdefault(top(entry.path), []).append(entry)
    for uid, files in found.images.items():
        for name in dict.fromkeys(map(top, files)):
            here = tuple(f for f in files if top(f) == name)
            images.setdefault(name, {})[uid] = here
    for error in found.broken:
        broken.setdefault(top(error.path or path), []).append(error)
    names = sorted({*labels, *images, *broken}, key=natural_order)
    return {
        name: FoundObjects(
            tuple(labels.get(name, ())), images.get(name, {}), tuple(broken.get(name, ()))
        )
        for name in names
    }


def _in_subfolders(
    path: Path,
    found: FoundObjects,
    by_folder: dict[str, FoundObjects],
    rater: str,
    series: str | None,
) -> list[Finding]:
    """One case for each subfolder; those with images only belong to labels elsewhere."""
    paired = any(part.labels and part.images for part in by_folder.values())
    findings = []
    for name, part in by_folder.items():
        if part.labels or part.broken or paired:
            own = part if part.images else replace(part, images=found.images)
            findings.append(_one_case(name, path / name, own, rater, series))
    return findings


def _one_case(
    case_id: str, folder: Path, found: FoundObjects, rater: str, series: str | None
) -> Finding:
    chosen = _chosen(found.labels, series)
    finding = _finding(case_id, folder, found, chosen, rater)
    if found.broken:
        return replace(finding, problem=found.broken[0])
    if not chosen:
        return replace(finding, problem=_no_label(folder, found))
    if len(chosen) > 1:
        listed = "".join(f"\n  {entry.describe()}" for entry in chosen)
        problem = InputError(
            f"holds {len(chosen)} segmentations or structure sets:{listed}\n",
            remedy="Choose one by its UID or description with --series, or list the files in a "
            "CSV manifest.",
            path=folder,
        )
        return replace(finding, problem=problem)
    return finding


def _chosen(labels: Sequence[FoundObject], series: str | None) -> tuple[FoundObject, ...]:
    """The label objects that are meant; all where the choice is about images."""
    if series is None or len(labels) < 2:
        return tuple(labels)
    exact = [o for o in labels if series in (o.uid, o.description)]
    wanted = series.lower()
    fitting = [o for o in labels if fnmatch.fnmatchcase(o.description.lower(), wanted)]
    return tuple(exact or fitting or labels)


def _finding(
    case_id: str, folder: Path, found: FoundObjects, labels: Sequence[FoundObject], rater: str
) -> Finding:
    label = labels[0].path if labels else folder
    images = _images_of(label, folder, found.images) if labels else ()
    return Finding(case_id, label, rater, images)


def _images_of(label: Path, folder: Path, images: dict[str, tuple[Path, ...]]) -> tuple[Path, ...]:
    """Where the series of a label object lies: by its UID, or the whole folder."""
    inside = any(f.is_relative_to(folder) for files in images.values() for f in files)
    otherwise = (folder,) if inside else ()
    try:
        uids = open_label_object(label).series_uids
    except SoftlabError:
        return otherwise  # reading the file says it better
    # Where several are named, the images that are named tell which is meant, or --series does.
    files = [file for uid in uids for file in images.get(uid, ())]
    return (_folder_of(files),) if files else otherwise


def _folder_of(files: Sequence[Path]) -> Path:
    return files[0] if len(files) == 1 else Path(commonpath([f.parent for f in files]))


def with_dicom_images(cases: Sequence[Case], images: Path, tell: Tell = ignore) -> list[Case]:
    """Pair cases with DICOM series.

    Parameters
    ----------
    cases
        Of any kind.
    images
        A folder of case folders, or of series that segmentations name; or the one
        series of the only case.
    tell
        Is told what is left out.

    Returns
    -------
    list of Case
        Those without a series have a `Case.problem`.
    """
    found = find_label_objects(images)
    tell_left_out(images, found.others, NEITHER, tell)
    return [_with_series(case, images, found, alone=len(cases) == 1) for case in cases]


def _with_series(case: Case, images: Path, found: FoundObjects, *, alone: bool) -> Case:
    if os.path.isdir(images / case.case_id):
        return replace(case, images=(images / case.case_id,))
    if not image_suffix(case.label_maps[0].name):
        return replace(case, images=_images_of(case.label_maps[0], images, found.images))
    if alone:
        return replace(case, images=(images,))
    missing = InputError(
        f"holds no folder of the case {case.case_id!r}.",
        remedy=f"Expected a folder {case.case_id} with the DICOM series.",
        path=images,
    )
    return replace(case, images=(), problem=case.problem or missing)
