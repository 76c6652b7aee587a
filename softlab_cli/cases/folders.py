"""Label maps and images in folders, plain or of nnU-Net's kind."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from softlab_cli.cases.case import Finding
from softlab_cli.cases.kinds import Tell, ignore, tell_left_out, tell_subfolders
from softlab_cli.core.caseid import IMAGE_SUFFIXES, image_suffix, natural_order, strip_suffix
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import files_in, folders_in
from softlab_cli.core.jsonfile import load_json

__all__ = [
    "DATASET_FILE",
    "ImageFolder",
    "find_in_dataset",
    "find_in_folder",
    "is_dataset",
]

DATASET_FILE = "dataset.json"
LABELS, IMAGES = "labelsTr", "imagesTr"
CHANNEL = re.compile(r"(.+)_([0-9]{4})")
"""A channel's file name in nnU-Net, without its ending: ``case_0000``."""

SUBFOLDERS_LOOKED_INTO = 100


def find_in_folder(folder: Path, rater: str, tell: Tell = ignore) -> list[Finding]:
    """The label maps of a folder; the id is the file name without its ending.

    Channels of images that lie beside their label map (``case_0000.nii.gz`` and
    ``case.nii.gz``) are left out.

    Parameters
    ----------
    folder
        Where the label maps are; subfolders are not looked into.
    rater
        Name for the label maps.
    tell
        Is told what is left out.

    Raises
    ------
    InputError
        When the folder holds no label map; says what was looked for.
    """
    files = _files(folder)
    by_id = [(strip_suffix(file.name), file) for file in files if image_suffix(file.name)]
    ids = {case_id for case_id, _ in by_id}
    kept = [(i, f) for i, f in by_id if not _is_channel_of(i, ids)]
    if not kept:
        raise _nothing_in(folder, len(files))
    taken = {file for _, file in kept}
    tell_left_out(folder, [f for f in files if f not in taken], "no label map", tell)
    tell_subfolders(folder, tell)
    return [Finding(case_id, file, rater) for case_id, file in kept]


def _is_channel_of(name: str, ids: set[str]) -> bool:
    match = CHANNEL.fullmatch(name)
    return match is not None and match[1] in ids


def _files(folder: Path) -> list[Path]:
    """Files of a folder in natural order, links that lead nowhere included."""
    return sorted(files_in(folder), key=lambda p: natural_order(p.name))


def _nothing_in(folder: Path, others: int) -> InputError:
    found = f"{others} files of other kinds" if others else "no files"
    below = [p.name for p in _subfolders(folder) if _holds_image(p)]
    remedy = "Give the folder that holds the label maps."
    if below:
        more = ", ..." if len(below) > 5 else ""
        remedy = (
            f"Subfolders hold some: {', '.join(below[:5])}{more}. Give one of them, or a CSV "
            "manifest with the columns case_id and label; or say what they are, with "
            "--class-pattern '{case}/{class}' (one file a class) or --rater-pattern "
            "'{rater}/{case}'."
        )
    return InputError(
        f"holds no label map: looked for {', '.join(IMAGE_SUFFIXES)}; there are {found}.",
        remedy=remedy,
        path=folder,
    )


def _holds_image(folder: Path) -> bool:
    with suppress(OSError):  # what cannot be read is no place to point to
        return any(image_suffix(f.name) for f in files_in(folder))
    return False


def _subfolders(folder: Path) -> list[Path]:
    found = sorted(folders_in(folder), key=lambda p: natural_order(p.name))
    return found[:SUBFOLDERS_LOOKED_INTO]


def is_dataset(folder: Path) -> bool:
    """Whether a folder is an nnU-Net raw dataset."""
    return (folder / DATASET_FILE).is_file() and (folder / LABELS).is_dir()


def find_in_dataset(folder: Path, rater: str, tell: Tell = ignore) -> list[Finding]:
    """The training cases of an nnU-Net raw dataset.

    Parameters
    ----------
    folder
        Holds ``dataset.json``, ``labelsTr`` and perhaps ``imagesTr``.
    rater
        Name for the label maps.
    tell
        Is told what is left out.

    Raises
    ------
    InputError
        When ``dataset.json`` cannot be read, names an ending that cannot be
        read, or there are no label maps.
    """
    facts = load_json(folder / DATASET_FILE)
    listed = facts.get("dataset") if isinstance(facts, dict) else None
    if isinstance(listed, dict) and listed:
        return [_listed(folder, case_id, entry, rater) for case_id, entry in listed.items()]
    ending = str(facts.get("file_ending", "")) if isinstance(facts, dict) else ""
    if ending and not image_suffix(f"x{ending}"):
        raise InputError(
            f"names the file ending {ending!r}, which cannot be read.",
            remedy=f"Endings that can be read: {', '.join(IMAGE_SUFFIXES)}.",
            path=folder / DATASET_FILE,
        )
    every = find_in_folder(folder / LABELS, rater, tell)
    findings = [f for f in every if f.label_map.name.endswith(ending)]
    if not findings:
        raise InputError(
            f"holds no file that ends in {ending!r}, as {DATASET_FILE} says.",
            remedy=f"Correct file_ending in {DATASET_FILE}.",
            path=folder / LABELS,
        )
    others = [f.label_map for f in every if f not in findings]
    tell_left_out(folder / LABELS, others, f"not named like *{ending}", tell)
    if not (folder / IMAGES).is_dir():
        return findings
    images = ImageFolder(folder / IMAGES, ending)
    return [Finding(f.case_id, f.label_map, rater, images.of(f.case_id)) for f in findings]


def _listed(folder: Path, case_id: str, entry: Any, rater: str) -> Finding:
    """A case that ``dataset.json`` lists with its files."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("label"), str):
        raise InputError(
            f"lists the case {case_id!r} without a label.",
            remedy='Expected {"image": ..., "label": "labelsTr/a.nii.gz"} for each case.',
            path=folder / DATASET_FILE,
        )
    images = tuple(folder / str(p) for p in entry.get("images", ()))
    return Finding(str(case_id), folder / entry["label"], rater, images)


class ImageFolder:
    """Images by case id, with or without channel numbers.

    Parameters
    ----------
    folder
        Holds ``<case_id>.nii.gz``, or ``<case_id>_0000.nii.gz`` and so on.
    ending
        Only files that end so; all images by default.
    """

    def __init__(self, folder: Path, ending: str = "") -> None:
        self.folder = folder
        self._whole: dict[str, list[Path]] = {}
        self._channels: dict[str, dict[str, list[Path]]] = {}  # in order, as the files are
        for file in _files(folder):
            if not image_suffix(file.name) or not file.name.endswith(ending):
                continue
            name = strip_suffix(file.name)
            self._whole.setdefault(name, []).append(file)
            if match := CHANNEL.fullmatch(name):
                self._channels.setdefault(match[1], {}).setdefault(match[2], []).append(file)

    def of(self, case_id: str) -> tuple[Path, ...]:
        """The images of a case, in the order of their channels; empty when there are none.

        Raises
        ------
        InputError
            When two files claim to be the same image.
        """
        if case_id in self._whole:
            return (_only(self._whole[case_id], case_id),)
        channels = self._channels.get(case_id, {})
        return tuple(_only(channels[number], case_id) for number in channels)

    def names(self) -> Iterable[str]:
        """File names without their endings."""
        return self._whole


def _only(files: list[Path], case_id: str) -> Path:
    if len(files) > 1:
        raise InputError(
            f"is an image of the case {case_id!r}, and so is {files[0]}.",
            remedy="Remove one of them.",
            path=files[1],
        )
    return files[0]
