"""DICOM files and their headers: what the readers of series, SEG and RTSTRUCT share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.config import disable_value_validation
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, file_size, open_input
from softlab_cli.readers.dicom.files.elements import integer_of, items_of, text_of, value_of
from softlab_cli.readers.dicom.files.magic import is_dicom_file

__all__ = [
    "LPS_TO_RAS",
    "RTSTRUCT_CLASSES",
    "SEG_CLASSES",
    "DicomFile",
    "listing",
    "numbers",
    "open_dicom",
    "quiet",
]

LPS_TO_RAS: NDArray[np.float64] = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's x runs to the left and y to the back; ours run to the right and to the front."""

SEG_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"})
"""SOP classes Segmentation Storage and Label Map Segmentation Storage."""

RTSTRUCT_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.481.3"})
"""SOP class RT Structure Set Storage."""

NATIVE_SYNTAXES = frozenset({"", str(ImplicitVRLittleEndian), str(ExplicitVRLittleEndian)})
PIXEL_DATA = bytes.fromhex("e07f1000")
UNDEFINED_LENGTH = 0xFFFFFFFF


@dataclass(frozen=True, eq=False)
class DicomFile:
    """One DICOM file: its header, and where its pixels lie.

    Parameters
    ----------
    path
        The file.
    header
        All elements that were asked for, without the pixels.
    pixel_offset
        Bytes before the first pixel when pixels lie in the file as they are,
        little-endian; -1 when a decoder has to read them.
    pixel_bytes
        Length of the pixel element, bytes; 0 where it is not known.
    """

    path: Path
    header: Dataset
    pixel_offset: int = -1
    pixel_bytes: int = 0

    def value(self, key: str | int) -> Any:
        """Value of an element by keyword or tag number, or None.

        Raises
        ------
        InputError
            When the element is damaged; elements are decoded on first use.
        """
        return value_of(self.header, key, self.path)

    def text(self, keyword: str) -> str:
        """An element as stripped text; an empty string when it is absent or empty."""
        return text_of(self.value(keyword))

    def integer(self, keyword: str, default: int = 0) -> int:
        """An element as a whole number; `default` when it is absent or empty."""
        return integer_of(self.header, keyword, self.path, default)

    def items(self, keyword: str) -> list[Dataset]:
        """The items of a sequence; none when it is absent or empty."""
        return items_of(self.header, keyword, self.path)

    def check_pixels(self) -> None:
        """Refuse a file that ends before its pixels do.

        Raises
        ------
        InputError
            With the bytes that there are, and those that there should be.
        """
        held = self.path.stat().st_size - self.pixel_offset
        if self.pixel_offset >= 0 and held < self.pixel_bytes:
            raise InputError(
                f"is truncated: it has {held} of {self.pixel_bytes} bytes of pixels.",
                remedy=FETCH_AGAIN,
                path=self.path,
            )

    @property
    def sop_class(self) -> str:
        """UID of the SOP class, or an empty string."""
        return self.text("SOPClassUID") or _meta(self.header, "MediaStorageSOPClassUID")


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom from warning about each odd value; what matters is checked here."""
    with warnings.catch_warnings(), disable_value_validation():
        warnings.simplefilter("ignore")
        yield


def open_dicom(path: Path, tags: Sequence[BaseTag] | None = None) -> DicomFile:
    """Read a file's header, without its pixels.

    Parameters
    ----------
    path
        The file.
    tags
        Elements to read; all by default.

    Raises
    ------
    InputError
        When it does not exist, cannot be read or is not DICOM.
    """
    file_size(path)
    if not is_dicom_file(path):
        problem = "is no DICOM file (it lacks the letters DICM at byte 128)."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path)
    try:
        with open_input(path) as file, quiet():
            keys = None if tags is None else list(tags)
            header = dcmread(file, stop_before_pixels=True, force=True, specific_tags=keys)
            offset, length = _pixel_place(file, header)
    except InputError:
        raise
    except Exception as error:  # pydicom raises many kinds for damaged files
        problem = f"is no readable DICOM file ({error or type(error).__name__})."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path) from error
    return DicomFile(path, header, offset, length)


def _pixel_place(file: BinaryIO, header: Dataset) -> tuple[int, int]:
    syntax = _meta(header, "TransferSyntaxUID")
    implicit, little = header.original_encoding
    start = file.tell()
    element = file.read(12)
    if syntax not in NATIVE_SYNTAXES or not little or element[:4] != PIXEL_DATA:
        return -1, 0
    # An explicit element has its type and two reserved bytes before the length.
    width = 8 if implicit else 12
    length = int.from_bytes(element[width - 4 : width], "little")
    return (-1, 0) if length == UNDEFINED_LENGTH else (start + width, length)


def _meta(header: Dataset, keyword: str) -> str:
    return text_of(getattr(header, "file_meta", Dataset()).get(keyword))


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """An element's value as `count` finite numbers, or None when it is something else."""
    if value is None or isinstance(value, str):
        return None
    try:
        found = tuple(float(v) for v in (value if count > 1 else [value]))
    except (TypeError, ValueError):
        return None
    return found if len(found) == count and bool(np.isfinite(found).all()) else None


def listing(items: Sequence[object], most: int = 5) -> str:
    """Some of many things for a message: ``a, b, c and 7 more``."""
    shown = ", ".join(os.fspath(i.name) if isinstance(i, Path) else str(i) for i in items[:most])
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
