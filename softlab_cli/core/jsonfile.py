"""JSON files that users give."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import InputError
from softlab_cli.core.system import reading

__all__ = ["load_json"]


def load_json(path: Path, remedy: str = "Correct the file there.") -> Any:
    """The content of a JSON file.

    Parameters
    ----------
    path
        The file, in UTF-8, with or without a mark of it.
    remedy
        What can be done where it is no JSON.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    with reading(path):
        content = path.read_bytes()
    try:
        return json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:  # the latter for lists in lists in lists
        raise InputError(f"is not JSON ({error}).", remedy=remedy, path=path) from error
