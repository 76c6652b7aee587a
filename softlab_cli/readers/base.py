"""What every reader offers, and how a file that cannot be used is refused."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from softlab_cli.core.errors import InputError
from softlab_cli.core.system import open_file, unreadable
from softlab_cli.core.volume import Geometry, Image, LabelMap
from softlab_cli.readers.replacing import Replacing

__all__ = [
    "FETCH_AGAIN",
    "FileProbe",
    "ReadLabelMap",
    "Reader",
    "check_one_value",
    "check_promise",
    "file_size",
    "open_input",
    "refuse_empty",
]

FETCH_AGAIN = "Fetch or export the file again."


@dataclass(frozen=True)
class FileProbe:
    """What a file's header says, read without its voxels.

    Parameters
    ----------
    path
        The file.
    geometry
        The grid of one volume.
    dtype
        The type that the voxels are stored in.
    channels
        Values for each voxel: volumes, vector components or colours.
    bytes_held
        Upper bound of what a `LabelMap` of this file occupies, bytes.
    bytes_on_read
        Upper bound of what is occupied while it is read, the result included.
        Both hold for label values of 0..65535; others are refused later.
    warnings
        As in `LabelMap`, as far as the header tells.
    names
        Numbers and names of its segments, where it has any and they were asked for.
    """

    path: Path
    geometry: Geometry
    dtype: np.dtype[Any]
    channels: int
    bytes_held: int
    bytes_on_read: int
    warnings: tuple[str, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)


class ReadLabelMap(Protocol):
    """Reads a label map, with other label values in place of some numbers."""

    def __call__(self, path: Path, replacing: Replacing | None = None) -> LabelMap:
        """The label map of a file; by default its numbers stay what they are."""


@dataclass(frozen=True)
class Reader:
    """One kind of file: how to look into it and how to read it.

    Each function takes the path and raises `InputError` when the file cannot
    be used.
    """

    probe: Callable[[Path], FileProbe]
    read_label_map: ReadLabelMap
    read_image: Callable[[Path], Image]


LARGE_READ = 1 << 20
"""Bytes from which on a read is compared with what the file has."""


class _Bounded(io.BufferedReader):
    """A file that makes no room for more than it holds, whatever length its header claims."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > LARGE_READ:
            size = min(size, max(0, os.fstat(self.fileno()).st_size - self.tell()))
        return super().read(size)


def open_input(path: Path) -> BinaryIO:
    """Open a file for reading; `InputError` says why it cannot be opened."""
    try:
        return _Bounded(io.FileIO(os.fspath(path), opener=open_file))
    except IsADirectoryError as error:
        remedy = "Name a file in it, or give the folder to --in."
        raise InputError("is a folder, not an image file.", remedy=remedy, path=path) from error
    except FileNotFoundError as error:
        if os.path.islink(path):
            problem = f"is a link to {os.readlink(path)}, which does not exist."
            remedy = "Put the file there again, or remove the link."
            raise InputError(problem, remedy=remedy, path=path) from error
        raise InputError("does not exist.", remedy="Check the path.", path=path) from error
    except OSError as error:
        raise unreadable(error, path) from error


def file_size(path: Path) -> int:
    """Bytes of a file that can be opened and is not empty."""
    with open_input(path) as file:
        size = os.fstat(file.fileno()).st_size
    refuse_empty(size, path)
    return size


def refuse_empty(size: int, path: Path) -> None:
    """Refuse a file of no bytes."""
    if not size:
        raise InputError("is an empty file (0 bytes).", remedy=FETCH_AGAIN, path=path)


def check_promise(promised: int, at_most: int, path: Path) -> None:
    """Refuse a file whose header promises more voxels than it can hold.

    Parameters
    ----------
    promised
        Bytes of voxels by the header.
    at_most
        Bytes that the data can amount to, once inflated.
    path
        The file.
    """
    if promised > at_most:
        raise InputError(
            f"is truncated, or its header is damaged: the header promises {promised} bytes of "
            f"voxels, but the file can hold at most {at_most}.",
            remedy=FETCH_AGAIN,
            path=path,
        )


def check_one_value(channels: int, components: int, path: Path) -> None:
    """Refuse a label map with several values for each voxel.

    Parameters
    ----------
    channels
        Values for each voxel.
    components
        How many of them are colours or parts of a vector, the rest being volumes.
    path
        The file.
    """
    if channels == 1:
        return
    if components > 1:
        problem = f"holds vectors or colours ({components} numbers for each voxel)"
        remedy = "Save it with one channel, where each number is a label value."
    else:
        problem = f"holds {channels} volumes"
        remedy = "Save one file for each volume; several raters are given as several --in."
    raise InputError(f"{problem}; a label map has one value.", remedy=remedy, path=path)
