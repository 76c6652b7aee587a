"""Elements of a data set, as one text, one number or items, whatever a file holds there.

Elements are decoded on first use, so damage shows late and as any kind of exception; and
an element that the standard gives one value may have several, none, or another type. All
of that becomes one clear error here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as DicomSequence

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN

__all__ = ["as_items", "integer_of", "items_of", "text_of", "value_of"]


def value_of(data: Dataset, key: str | int, path: Path) -> Any:
    """Value of an element by keyword or tag number, or None.

    Raises
    ------
    InputError
        When the element is damaged.
    """
    try:
        element = data.get(key)
    except Exception as error:  # pydicom raises many kinds
        problem = f"has a damaged element {_name(key)} ({error or type(error).__name__})."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path) from error
    # A tag number answers with the element, a keyword with its value.
    return getattr(element, "value", element) if isinstance(key, int) else element


def text_of(value: Any) -> str:
    """A value as stripped text; an empty string for None.

    A backslash in a text makes it several values for DICOM; it is one text again here.
    """
    if value is None:
        return ""
    parts = value if _is_several(value) else [value]
    return "\\".join(map(str, parts)).strip().strip("\0")


def integer_of(data: Dataset, keyword: str, path: Path, default: int = 0) -> int:
    """An element as a whole number; `default` when it is absent or empty.

    Raises
    ------
    InputError
        When it is something else, or several numbers.
    """
    value = value_of(data, keyword, path)
    if value is None or text_of(value) == "":
        return default
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        said = f"{len(value)} values ({text_of(value)})" if _is_several(value) else repr(value)
        problem = f"{keyword} is {said}, not one whole number."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path) from error


def items_of(data: Dataset, keyword: str, path: Path) -> list[Dataset]:
    """The items of a sequence; none when it is absent or empty.

    Raises
    ------
    InputError
        When the element is no sequence.
    """
    return as_items(value_of(data, keyword, path), keyword, path)


def as_items(value: Any, keyword: str, path: Path) -> list[Dataset]:
    """A value that should be a sequence, as its items; see `items_of`."""
    if value is None or isinstance(value, DicomSequence):
        return list(value or ())
    problem = f"{keyword} is no sequence ({type(value).__name__})."
    raise InputError(problem, remedy=FETCH_AGAIN, path=path)


def _is_several(value: Any) -> bool:
    return isinstance(value, MultiValue | list | tuple)


def _name(key: str | int) -> str:
    return key if isinstance(key, str) else f"({key >> 16:04x},{key & 65535:04x})"
