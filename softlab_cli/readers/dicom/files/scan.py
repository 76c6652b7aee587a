"""What DICOM a file or folder holds: series of images, segmentations and contours."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydicom.uid import UID

from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import files_below
from softlab_cli.core.system import unreadable
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.dicom.files.common import (
    RTSTRUCT_CLASSES,
    SEG_CLASSES,
    DicomFile,
    listing,
    open_dicom,
)
from softlab_cli.readers.dicom.files.frames import SCAN_TAGS
from softlab_cli.readers.dicom.files.magic import has_magic, is_dicom_file

__all__ = ["FOREIGN", "Kind", "Scan", "Series", "choose_series", "matching_series", "scan_dicom"]

Kind = Literal["image", "segmentation", "contours", "other"]

FOREIGN = "files that are not DICOM were left out"
"""How a warning begins that is of a folder, and not of one of its series."""

# Files that lie beside slices everywhere and are not worth a word.
_IGNORED_NAMES = frozenset({"DICOMDIR", "VERSION", "LOCKFILE"})
_DICOM_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})


@dataclass(frozen=True, eq=False)
class Series:
    """Files that say they belong together.

    Parameters
    ----------
    uid
        Series instance UID; empty where the files have none.
    kind
        What the files are.
    files
        In the order of their paths.
    """

    uid: str
    kind: Kind
    files: tuple[DicomFile, ...]

    @property
    def description(self) -> str:
        """Series description, or an empty string."""
        return self.files[0].text("SeriesDescription")

    @property
    def modality(self) -> str:
        """Modality, such as ``CT``."""
        return self.files[0].text("Modality")

    def describe(self) -> str:
        """One line for messages."""
        files = f"{len(self.files)} file" + ("s" if len(self.files) > 1 else "")
        name = f" {self.description!r}" if self.description else ""
        return f"{self.uid or '(no series UID)'}  {self.modality}{name}, {files}"


@dataclass(frozen=True, eq=False)
class Scan:
    """Everything found under one path.

    Parameters
    ----------
    path
        The file or folder that was scanned.
    series
        In the order of their first files.
    foreign
        Files that are not DICOM.
    broken
        Files that should be DICOM and cannot be read, each with the reason.
    """

    path: Path
    series: tuple[Series, ...] = ()
    foreign: tuple[Path, ...] = ()
    broken: tuple[InputError, ...] = field(default=())

    def of_kind(self, *kinds: Kind) -> tuple[Series, ...]:
        """The series of some kinds."""
        return tuple(s for s in self.series if s.kind in kinds)

    def check(self) -> None:
        """Refuse a folder with broken files: each may be a slice that is missing."""
        if not self.broken:
            return
        if len(self.broken) == 1:
            raise self.broken[0]
        names = listing([e.path for e in self.broken])
        problem = f"{len(self.broken)} files cannot be read: {names}."
        raise InputError(f"{problem} {self.broken[0]}", remedy=FETCH_AGAIN, path=self.path)

    def warnings(self) -> tuple[str, ...]:
        """What a reader of images should pass on."""
        if not self.foreign:
            return ()
        return (f"{FOREIGN}: {listing(self.foreign)}",)


def scan_dicom(path: Path) -> Scan:
    """Find all DICOM files under a path and group them into series.

    Parameters
    ----------
    path
        One file, or a folder that is searched with all its subfolders.

    Raises
    ------
    InputError
        When the path does not exist. Files that cannot be read are listed in
        the result.
    """
    if not path.exists():
        raise InputError("does not exist.", remedy="Check the path.", path=path)
    found: list[DicomFile] = []
    foreign: list[Path] = []
    broken: list[InputError] = []
    for candidate in _candidates(path, broken):
        claims = candidate.suffix.lower() in _DICOM_SUFFIXES or has_magic(candidate)
        if not (claims or is_dicom_file(candidate)):
            foreign.append(candidate)
            continue
        try:
            found.append(_open(candidate))
        except InputError as error:
            if claims:
                broken.append(error)
            else:
                foreign.append(candidate)
    return Scan(path, _group(found), tuple(foreign), tuple(broken))


def _candidates(path: Path, broken: list[InputError]) -> list[Path]:
    """The files that may be DICOM; folders that cannot be listed are among what is broken."""
    if path.exists() and not path.is_dir():
        return [path]
    files = files_below(path, lambda error: broken.append(unreadable(error, path)))
    return sorted(p for p in files if p.name not in _IGNORED_NAMES)


def _open(path: Path) -> DicomFile:
    file = open_dicom(path, SCAN_TAGS)
    if "Rows" in file.header:
        return file
    sop_class = UID(file.sop_class).name
    if not sop_class or sop_class.endswith("Image Storage"):
        # A header that ends too early; unnoticed, the slice would be missing from its series.
        problem = f"is truncated, or no DICOM object ({sop_class or 'no SOP class'}, no pixels)."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path)
    return file


def _kind(file: DicomFile) -> Kind:
    sop_class = file.sop_class
    if sop_class in SEG_CLASSES:
        return "segmentation"
    if sop_class in RTSTRUCT_CLASSES:
        return "contours"
    return "image" if "Rows" in file.header else "other"


def _group(files: Iterable[DicomFile]) -> tuple[Series, ...]:
    groups: dict[tuple[str, ...], list[DicomFile]] = {}
    for file in files:
        uid, kind = file.text("SeriesInstanceUID"), _kind(file)
        # Without a UID, files of one folder and description belong together.
        stand_in = () if uid else (str(file.path.parent), file.text("SeriesDescription"))
        # Segmentations and contours are objects of their own, one a file.
        single = () if kind == "image" else (str(file.path),)
        groups.setdefault((uid, kind, *stand_in, *single), []).append(file)
    return tuple(Series(key[0], _kind(g[0]), tuple(g)) for key, g in groups.items())


def choose_series(scan: Scan, wanted: str | None = None) -> Series:
    """The image series that is meant.

    Parameters
    ----------
    scan
        What was found.
    wanted
        Series UID, description, or a pattern for the description (``*CT*``);
        needed only where there are several image series.

    Raises
    ------
    InputError
        When there is none, or more than one; the message lists them.
    """
    scan.check()
    images = scan.of_kind("image")
    if not images:
        raise InputError("holds no DICOM image.", remedy=_what_is_there(scan), path=scan.path)
    matching = images if wanted is None else matching_series(images, wanted)
    if len(matching) == 1:
        return matching[0]
    several = f"holds {len(images)} image series" if wanted is None else (
        f"{len(matching) or 'no'} image series match {wanted!r}"
    )  # fmt: skip
    raise InputError(
        f"{several}:\n" + "\n".join(f"  {s.describe()}" for s in matching or images) + "\n",
        remedy="Choose one by its UID or description (--series).",
        path=scan.path,
    )


def matching_series(images: Sequence[Series], wanted: str) -> tuple[Series, ...]:
    """The series with a UID, a description, or a description that fits a pattern."""
    for test in (
        lambda s: s.uid == wanted,
        lambda s: s.description == wanted,
        lambda s: s.description.lower() == wanted.lower(),
        lambda s: fnmatch.fnmatchcase(s.description.lower(), wanted.lower()),
    ):
        if found := tuple(s for s in images if test(s)):
            return found
    return ()


def _what_is_there(scan: Scan) -> str:
    if scan.series:
        return "It holds " + listing([f"{s.modality} ({s.kind})" for s in scan.series]) + "."
    return "Give a folder of DICOM slices, or one file."
