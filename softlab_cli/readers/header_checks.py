"""Whether the numbers of a MetaImage or NRRD header are such that ITK survives them.

ITK believes the counts of a header and copies its words into places of fixed size: NDims
of -3, a vector of 1100 characters or a matrix with too few numbers make it read or write
outside of its memory, which ends the process or gives another grid each time. So all that
it reads of the grid is looked at here before, in Python.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.text_headers import header_lines

__all__ = ["check_header", "file_sizes", "range_axis"]

MOST_AXES = 10
LONGEST_WORD = 128
"""Characters of a number or a name: more than any tool writes, and less than ITK has room for."""

LONGEST_LINE = 4000
"""Characters of a line of a MetaImage."""

LARGEST_SIZE = 1 << 40

META_VECTORS = ("elementspacing", "elementsize", "offset", "position", "origin", "centerofrotation")
META_MATRICES = ("transformmatrix", "rotation", "orientation")
META_NAMES = {
    name.lower(): name
    for name in (
        "NDims", "DimSize", "ElementType", "ElementSpacing", "ElementSize", "Offset", "Position",
        "Origin", "TransformMatrix", "Rotation", "Orientation", "ElementNumberOfChannels",
        "CompressedData", "BinaryData", "ElementByteOrderMSB", "BinaryDataByteOrderMSB",
        "HeaderSize", "ElementDataFile",
    )
}  # fmt: skip

NRRD_FREE_TEXT = ("content", "number", "date", "sampleunits", "datafile")

DOMAIN = ("domain", "space", "time", "none", "???")
"""Kinds of axes that are no numbers of a voxel."""

SMALLEST, LARGEST = 1e-300, 1e300
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
VECTOR = re.compile(r"\(([^()]*)\)|(none)", re.IGNORECASE)


def check_header(path: Path) -> None:
    """Refuse a header that ITK must not see.

    Raises
    ------
    InputError
        With the field and its value.
    """
    lines = header_lines(path)
    is_nrrd = path.suffix.lower() in (".nrrd", ".nhdr")
    fields = _once(lines, path)
    if is_nrrd:
        _check_nrrd(fields, path)
        return
    for key, value in lines:  # ITK knows them by these letters alone
        if key.lower() in META_NAMES and key not in META_NAMES.values():
            raise _damaged(key, value, f"is not written {META_NAMES[key.lower()]}", path)
        words = key.split()
        if not words or (len(words) > 1 and any(word.lower() in META_NAMES for word in words)):
            raise _damaged(key, value, "is no field of a MetaImage", path)
        if not value and key in META_NAMES.values():
            raise _damaged(key, value, "says nothing", path)
    _check_meta(fields, path)


def file_sizes(path: Path) -> tuple[int, ...]:
    """Lengths of all axes of the file, the fastest first; of a header that was checked."""
    fields = _once(header_lines(path), path)
    sizes = fields.get("sizes") or fields.get("dimsize", "")
    return tuple(map(int, sizes.split()))


def range_axis(path: Path) -> int:
    """The axis of a NRRD file that is neither space nor time, the fastest being 0; -1 for none."""
    kinds = _once(header_lines(path), path).get("kinds", "").lower().split()
    axes = [axis for axis, kind in enumerate(kinds) if kind not in DOMAIN]
    return axes[0] if axes else -1


def _once(lines: Sequence[tuple[str, str]], path: Path) -> dict[str, str]:
    """Fields by name; none may occur twice, since readers do not agree on which one counts."""
    fields: dict[str, str] = {}
    for key, value in lines:
        name = key.lower().replace(" ", "")
        if fields.setdefault(name, value) != value:
            raise _damaged(key, value, "stands there before with another value", path)
    return fields


def _check_meta(fields: dict[str, str], path: Path) -> None:
    for name, value in fields.items():
        if len(value) > LONGEST_LINE or len(name) > LONGEST_WORD or "\0" in name + value:
            raise _damaged(name, value, "is longer than any number or name", path)
    axes = _count(fields, "ndims", "NDims", MOST_AXES, path)
    for name in list(fields)[: list(fields).index("ndims")]:
        if name in ("dimsize", *META_VECTORS, *META_MATRICES):
            raise _damaged(name, fields[name], "stands before NDims, which says its length", path)
    _check_sizes(fields, "dimsize", "DimSize", axes, path)
    if not fields.get("elementtype"):
        raise _damaged("ElementType", "", "does not say what a voxel is", path)
    for name in META_VECTORS:
        _check_numbers(fields, name, axes, path)
    for name in META_MATRICES:
        _check_numbers(fields, name, axes * axes, path)
    if "elementnumberofchannels" in fields:
        _count(fields, "elementnumberofchannels", "ElementNumberOfChannels", 1 << 16, path)
    for name in ("elementtype", "objecttype", "objectsubtype", "distanceunits", "modality"):
        if len(fields.get(name, "")) > LONGEST_WORD:
            raise _damaged(name, fields[name], "is longer than any name", path)


def _check_nrrd(fields: dict[str, str], path: Path) -> None:
    for name, value in fields.items():
        words = re.findall(r'\([^)]*\)?|"[^"]*"?|[^\s()"]+', value)
        if "\0" in value or (
            name not in NRRD_FREE_TEXT and any(len(word) > LONGEST_WORD for word in words)
        ):
            raise _damaged(name, value, "is longer than any number or name", path)
    axes = _count(fields, "dimension", "dimension", MOST_AXES, path)
    _check_sizes(fields, "sizes", "sizes", axes, path)
    for name in ("spacings", "axismins", "axismaxs", "thicknesses"):
        _check_numbers(fields, name, axes, path)
    for name in ("kinds", "centers", "centerings"):
        words = fields.get(name, "").split()
        if name in fields and len(words) != axes:
            raise _damaged(name, fields[name], f"is not one word for each of {axes} axes", path)
    _check_vectors(fields, "spacedirections", axes, path)
    _check_vectors(fields, "spaceorigin", 1, path)
    if "spacedimension" in fields:
        _count(fields, "spacedimension", "space dimension", MOST_AXES, path)


def _count(fields: dict[str, str], name: str, title: str, most: int, path: Path) -> int:
    text = fields.get(name, "")
    if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= most:
        raise _damaged(title, text, f"is no number from 1 to {most}", path)
    return int(text)


def _check_sizes(fields: dict[str, str], name: str, title: str, axes: int, path: Path) -> None:
    words = fields.get(name, "").split()
    if len(words) != axes or not all(re.fullmatch(r"\d{1,13}", word) for word in words):
        raise _damaged(title, fields.get(name, ""), f"is not {axes} numbers of voxels", path)
    sizes = [int(word) for word in words]
    if min(sizes) < 1 or prod(sizes) > LARGEST_SIZE:
        shown = "x".join(words)
        raise InputError(
            f"has the size {shown}; expected 2 to 5 axes, each of at least 1 voxel, and "
            f"at most {LARGEST_SIZE} voxels.",
            remedy=FETCH_AGAIN,
            path=path,
        )


def _check_numbers(fields: dict[str, str], name: str, count: int, path: Path) -> None:
    """As many numbers as there should be; more are left out, as ITK does."""
    if name not in fields:
        return
    words = fields[name].split()
    can_be_missing = "ndims" not in fields
    if len(words) < count or not all(
        _is_number(word) or (can_be_missing and word.lower() == "nan") for word in words[:count]
    ):
        raise _damaged(name, fields[name], f"is not {count} numbers", path)


def _check_vectors(fields: dict[str, str], name: str, count: int, path: Path) -> None:
    if name not in fields:
        return
    found = _vectors(fields[name])
    lengths = {len(vector) for vector in found if vector is not None}
    all_there = VECTOR.sub("", fields[name]).strip() == ""
    if len(found) != count or not all_there or len(lengths) > 1 or max(lengths, default=1) > 8:
        raise _damaged(name, fields[name], f"is not {count} vectors of the same length", path)
    words = [word for vector in found if vector for word in vector]
    if not all(word.lower() == "nan" or _is_number(word) for word in words):
        raise _damaged(name, fields[name], "holds what is no number", path)


def _vectors(text: str) -> list[list[str] | None]:
    """The vectors of a line, with the words of each; None where it says ``none``."""
    return [
        None if none else [word.strip() for word in inner.split(",")]
        for inner, none in VECTOR.findall(text)
    ]


def _is_number(word: str) -> bool:
    """Whether a word is a number that ITK can hold; a NRRD file may say that it has none."""
    if len(word) > LONGEST_WORD or NUMBER.fullmatch(word) is None:
        return False
    size = abs(float(word))
    return size == 0 or SMALLEST <= size <= LARGEST


def _damaged(name: str, value: str, reason: str, path: Path) -> InputError:
    shown = value if len(value) <= 40 else f"{value[:40]}..."
    return InputError(
        f"has a damaged header: {name[:40]!r} with the value {shown!r} {reason}.",
        remedy=FETCH_AGAIN,
        path=path,
    )
