"""What lies in folders, without what no person means by data.

Systems leave files of their own beside those of people: dot files (macOS writes a
``._name`` beside every file that it copies to a foreign disk), thumbnails, the folder
``__MACOSX`` of an archive. None of them is ever data, under whatever name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from stat import S_ISREG

from softlab_cli.core.caseid import IMAGE_SUFFIXES, PROBABILITY_SUFFIX

__all__ = [
    "files_below",
    "files_in",
    "folders_in",
    "header_beside",
    "holds_probabilities",
    "is_folder",
    "is_litter",
    "is_probabilities",
    "may_be_file",
    "segmentation_beside",
    "some_of",
    "voxels_beside",
]

LITTER = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
PAIR_ENDINGS = (".img", ".IMG", ".img.gz")
STORE_METADATA = "zarr.json"
"""A folder with this file is a store or an array of one: its files are no one's input."""


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is never data."""
    return name.startswith(".") or name in LITTER


def files_in(folder: Path) -> list[Path]:
    """Files of a folder itself, in no order, and whatever may be one: links that lead nowhere."""
    return [folder / name for name in _file_names(folder)]


def _file_names(folder: Path) -> list[str]:
    # The listing says which are folders; to ask of each file anew takes ten times as long.
    with os.scandir(folder) as entries:
        return [e.name for e in entries if not is_litter(e.name) and not is_folder(e)]


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry of a listing is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # of a link to itself
        return False


def folders_in(folder: Path) -> list[Path]:
    """Folders directly in a folder, in no order."""
    return [p for p in folder.iterdir() if not is_litter(p.name) and os.path.isdir(p)]


def files_below(
    folder: Path, unreadable: Callable[[OSError], None] | None = None
) -> Iterator[Path]:
    """Files of a folder and its subfolders, stores left out; links lead to no other folder.

    Links that lead nowhere are among them, and what none may look at: whoever reads them
    says so, and misses nothing.

    Parameters
    ----------
    folder
        Where to look.
    unreadable
        Is told of each folder that cannot be listed. Without it such folders are passed
        over, which does where only some file is looked for.
    """
    for place, below, names in os.walk(folder, onerror=unreadable):
        if STORE_METADATA in names:
            below.clear()
            continue
        below[:] = sorted(name for name in below if not is_litter(name))
        files = (Path(place, name) for name in sorted(names) if not is_litter(name))
        yield from filter(may_be_file, files)


def may_be_file(path: Path) -> bool:
    """Whether something could be read there: no pipe, and no device."""
    try:
        return S_ISREG(os.stat(path).st_mode)
    except OSError:
        return True


def voxels_beside(header: Path) -> Path | None:
    """The file with the voxels of a pair (``a.img`` for ``a.hdr``); None when there is none."""
    beside = (header.with_name(header.stem + ending) for ending in PAIR_ENDINGS)
    return next((file for file in beside if os.path.exists(file)), None)


def header_beside(voxels: Path) -> Path | None:
    """The header that a file with the voxels of a pair belongs to; None when there is none."""
    ending = next((e for e in PAIR_ENDINGS if voxels.name.endswith(e)), None)
    if ending is None:
        return None
    stem = voxels.name.removesuffix(ending)
    headers = (voxels.with_name(stem + e) for e in (".hdr", ".HDR"))
    return next((file for file in headers if os.path.exists(file)), None)


def is_probabilities(path: Path) -> bool:
    """Whether a file has the ending of nnU-Net's probabilities."""
    return _names_probabilities(path.name)


def _names_probabilities(name: str) -> bool:
    return name.lower().endswith(PROBABILITY_SUFFIX)


def holds_probabilities(folder: Path) -> bool:
    """Whether nnU-Net's probabilities lie in a folder itself."""
    return folder.is_dir() and any(map(_names_probabilities, _file_names(folder)))


def segmentation_beside(probabilities: Path) -> Path | None:
    """The segmentation that nnU-Net writes beside probabilities; None when there is none."""
    stem = probabilities.name[: -len(PROBABILITY_SUFFIX)]
    beside = (probabilities.with_name(stem + ending) for ending in IMAGE_SUFFIXES)
    return next((file for file in beside if os.path.isfile(file)), None)


def some_of(items: Sequence[object], most: int = 5) -> str:
    """Some of many things for a message: ``a, b, c and 7 more``."""
    shown = ", ".join(map(str, items[:most]))
    return shown if len(items) <= most else f"{shown} and {len(items) - most} more"
