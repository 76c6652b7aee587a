"""Where files are: on this machine, so far."""

from __future__ import annotations

import os
import re
from pathlib import Path

from softlab_cli.core.errors import UsageError

__all__ = ["refuse_url", "resolved"]

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/.*")
"""Two letters at least: one is a drive. Paths have lost the second slash."""


def refuse_url(*paths: Path | None) -> None:
    """Raise `UsageError` for a path that is a URL: it would become a folder named ``s3:``."""
    for path in paths:
        found = URL.fullmatch(str(path or ""))
        if path is not None and found and not Path(path).exists():
            raise UsageError(
                f"{str(path).replace(':/', '://', 1)!r} is a URL; only files and folders of this "
                "machine can be read and written so far.",
                remedy=f"Copy what {found[1]} holds, or mount it.",
            )


def resolved(path: Path, folders: dict[str, str]) -> str:
    """The absolute path without links and dots, as `Path.resolve` has it.

    Parameters
    ----------
    path
        A file or folder.
    folders
        The same of folders that are known; those met are added. To resolve one takes a
        call of the system for each part of its path, and the files of a case lie in few.
    """
    folder, name = os.path.split(path)
    if name in ("", ".", "..") or os.path.islink(path):
        return os.path.realpath(path)
    if folder not in folders:
        folders[folder] = os.path.realpath(folder)
    return os.path.join(folders[folder], name)
