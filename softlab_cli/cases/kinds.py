"""A folder with several kinds of data: which of them counts, and what is left out.

A SEG or RTSTRUCT carries labels; a picture or a NIfTI file may be anything. So where
both lie in one folder, DICOM counts if the folder is one patient's, or has at least as
many label objects as other files. Otherwise nobody can tell, and the folder is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from softlab_cli.core.caseid import DICOM_SUFFIXES, image_suffix, natural_order
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import files_below, files_in, folders_in, header_beside, some_of
from softlab_cli.readers.dicom import FoundObjects, find_label_objects

__all__ = [
    "Tell",
    "holds_dicom_files",
    "ignore",
    "image_files",
    "labels_are_dicom",
    "tell_left_out",
    "tell_subfolders",
    "whole_files",
]

Tell = Callable[[str], None]
"""Is told, in one sentence, what a user should know of the inputs."""


def ignore(message: str) -> None:
    """The one who wants to know nothing."""


def image_files(folder: Path) -> list[Path]:
    """Files of a folder itself that have an image ending; DICOM has none that counts."""
    return [file for file in files_in(folder) if image_suffix(file.name)]


def holds_dicom_files(folder: Path) -> bool:
    """Whether a folder holds DICOM files, in subfolders perhaps."""
    from softlab_cli.readers.dicom.files.magic import is_dicom_file

    return any(not image_suffix(file.name) and is_dicom_file(file) for file in files_below(folder))


def labels_are_dicom(folder: Path) -> bool:
    """Whether the labels of a folder are SEG or RTSTRUCT files, whatever else is in it.

    Raises
    ------
    InputError
        When it holds other label maps or images as well, and which of them counts
        is not clear.
    """
    others = image_files(folder)
    if not holds_dicom_files(folder):
        return False
    if not others:
        return True
    found = find_label_objects(folder)
    if not found.labels:
        return False
    if _is_one_case(folder, found) or len(found.labels) >= len(others):
        return True
    raise InputError(
        f"holds two kinds of data: {_files(others, folder)} that may be label maps or images, and "
        f"{_files([o.path for o in found.labels], folder)} with DICOM SEG or RTSTRUCT.",
        remedy="Give a folder that holds one kind of label map, or list the files in a CSV "
        "manifest.",
        path=folder,
    )


def _is_one_case(folder: Path, found: FoundObjects) -> bool:
    """Whether slices of a series lie in the folder itself."""
    return any(file.parent == folder for files in found.images.values() for file in files)


def tell_left_out(folder: Path, files: Sequence[Path], why: str, tell: Tell) -> None:
    """Count and name files of a folder that are no data of the run; nothing for none.

    Parameters
    ----------
    folder
        The input.
    files
        What is left out.
    why
        What they are not, such as ``no label map``.
    tell
        Is told.
    """
    left = whole_files(files)
    if left:
        are = "is" if len(left) == 1 else "are"
        tell(f"{folder}: left out {_count(left)} that {are} {why}: {_named(left, folder)}")


def whole_files(files: Sequence[Path]) -> list[Path]:
    """Files without the second halves of pairs, which belong to the headers beside them."""
    return [file for file in files if header_beside(file) is None]


def tell_subfolders(folder: Path, tell: Tell) -> None:
    """Count and name label maps and images that lie deeper than a folder is looked into."""
    deeper = [f for below in folders_in(folder) for f in files_below(below) if _is_image(f)]
    if deeper:
        deeper.sort(key=lambda file: natural_order(str(file)))
        tell(f"{folder}: left out {_count(deeper)} in subfolders: {_named(deeper, folder)}")


def _is_image(file: Path) -> bool:
    return bool(image_suffix(file.name)) or file.suffix.lower() in DICOM_SUFFIXES


def _count(files: Sequence[Path]) -> str:
    return "1 file" if len(files) == 1 else f"{len(files)} files"


def _named(files: Sequence[Path], folder: Path) -> str:
    return some_of([file.relative_to(folder).as_posix() for file in files])


def _files(files: Sequence[Path], folder: Path) -> str:
    return f"{_count(files)} ({_named(files, folder)})"
