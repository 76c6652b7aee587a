"""nnU-Net's probabilities: ``case.npz``, whose place ``case.nii.gz`` beside it tells.

An ``.npz`` is a zip archive of arrays; the one called ``probabilities`` is (C, Z, Y, X), in
the order of the segmentation's file or, where nnU-Net turns images to RAS first
(NibabelIOWithReorient), in that order. The array does not say which: the class with the
largest probability must be the segmentation.

It is inflated volume by volume, so that all classes are never held together. Arrays of
Python objects are refused, and the ``.pkl`` beside is not opened: unpickling runs what the
file says.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import segmentation_beside, some_of
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.readers import probe, read_label_map
from softlab_cli.readers.base import FETCH_AGAIN, check_promise, file_size
from softlab_cli.readers.byte_stream import MOST_INFLATION
from softlab_cli.readers.lattice import Turn
from softlab_cli.readers.soft.base import SoftFile, turned

__all__ = ["in_agreement", "open_probabilities"]

KEY = "probabilities"
MOST_DIFFERING = 0.01
"""Of labelled voxels: nnU-Net's own differ nowhere, and its postprocessing removes islands."""

BYTES_PER_VOXEL = 24
"""While both are compared: four float32 volumes, masks and the segmentation."""

PIECE = 1 << 20
"""Numbers converted together."""

AS_STORED = Turn((0, 1, 2), (False, False, False))


@dataclass(frozen=True)
class _Layout:
    """The array as the header of its member says, and the bytes before its numbers."""

    shape: tuple[int, int, int, int]
    dtype: np.dtype[Any]
    offset: int

    @property
    def volume(self) -> tuple[int, int, int]:
        """Voxels along the axes of one class."""
        return self.shape[1:]


def open_probabilities(path: Path) -> SoftFile:
    """Open ``case.npz``, on the grid of the segmentation beside it.

    Parameters
    ----------
    path
        The archive.

    Raises
    ------
    InputError
        When there is no segmentation, the archive is damaged or holds something else, or
        the shapes differ.
    """
    seen = probe(_segmentation(path))
    layout, wanted = _layout(path), seen.geometry.shape
    if wanted not in (layout.volume, _turn_from_ras(seen.geometry).shape(layout.volume)):
        raise InputError(
            f"has probabilities of {'x'.join(map(str, layout.volume))} voxels, and the "
            f"segmentation beside it has {'x'.join(map(str, wanted))}.",
            remedy="Put the files of one prediction side by side.",
            path=path,
        )
    held = seen.bytes_on_read + BYTES_PER_VOXEL * prod(wanted)
    return SoftFile(
        path, seen.geometry, layout.dtype, layout.shape[0], _Member(path, layout).read,
        bytes_held=held, warnings=seen.warnings,
    )  # fmt: skip


def in_agreement(file: SoftFile) -> SoftFile:
    """Probabilities in the order of the axes in which they are the segmentation beside them.

    Reads all of them, volume by volume.

    Parameters
    ----------
    file
        What `open_probabilities` gave.

    Returns
    -------
    SoftFile
        Its `read` gives volumes on the grid of the segmentation; voxels in which they
        differ are counted in its `warnings`.

    Raises
    ------
    InputError
        When the class with the largest probability is another than that of the
        segmentation in more than `MOST_DIFFERING` of the labelled voxels.
    """
    segmentation = read_label_map(_segmentation(file.path))
    found = []
    for turn in dict.fromkeys((AS_STORED, _turn_from_ras(file.geometry))):
        if turn.shape(_layout(file.path).volume) != file.geometry.shape:
            continue
        candidate = turned(file, turn, file.geometry)
        differing, labelled = _differing(candidate, segmentation)
        if differing <= MOST_DIFFERING * labelled:
            notes = _notes(turn, differing, labelled)
            return replace(candidate, warnings=(*file.warnings, *notes))
        found.append(f"{differing:,} of {labelled:,} labelled voxels")
    raise InputError(
        "does not belong to the segmentation beside it: the largest probability is of another "
        f"class at {' and, turned, at '.join(found)}.",
        remedy="Put the files of one prediction side by side. Regions of nnU-Net, which overlap, "
        "are no classes.",
        path=file.path,
    )


def _notes(turn: Turn, differing: int, labelled: int) -> Iterator[str]:
    if not turn.is_identity:
        yield "turned from RAS, which nnU-Net's reader turned it to (as the segmentation shows)."
    if differing:
        yield (
            "the largest probability is of another class than the segmentation beside it at "
            f"{differing:,} voxels ({100 * differing / labelled:.2g} % of the labelled ones)."
        )


def _differing(file: SoftFile, segmentation: LabelMap) -> tuple[int, int]:
    """Voxels whose segmentation has not the largest probability, and the labelled ones."""
    labels = segmentation.values
    largest = np.full(labels.shape, -np.inf, np.float32)
    own = np.full(labels.shape, -np.inf, np.float32)
    for index in range(file.count):
        values = file.read(index)
        np.copyto(own, values, where=labels == index)
        np.maximum(largest, values, out=largest)
        if index == 0:
            background = values
    # A number that is none equals nothing, and is refused by name later.
    differs = own < largest
    labelled = (labels != 0) | (background < largest)
    return int(np.count_nonzero(differs)), int(np.count_nonzero(labelled))


def _segmentation(path: Path) -> Path:
    found = segmentation_beside(path)
    if found is None:
        raise InputError(
            "has no segmentation beside it, which tells where the probabilities lie.",
            remedy="Put the file that nnUNetv2_predict wrote with it, such as "
            f"{path.name[:-4]}.nii.gz, into the same folder.",
            path=path,
        )
    return found


def _turn_from_ras(geometry: Geometry) -> Turn:
    """What turns an array in RAS order into the order of a file."""
    from nibabel.orientations import io_orientation

    # Row i: the world axis that file axis i (x, y, z) runs along, and whether it runs back.
    (z, z_sign), (y, y_sign), (x, x_sign) = io_orientation(geometry.affine)[::-1]
    order = (2 - int(z), 2 - int(y), 2 - int(x))
    return Turn(order, (bool(z_sign < 0), bool(y_sign < 0), bool(x_sign < 0)))


class _Member:
    """The array's numbers, read from front to back; going back begins again."""

    def __init__(self, path: Path, layout: _Layout) -> None:
        self.path, self.layout = path, layout
        self._stream: IO[bytes] | None = None
        self._next = 0

    def read(self, index: int) -> NDArray[np.float32]:
        with _explained(self.path):
            if self._stream is None or index < self._next:
                self._begin()
            while self._next < index:
                self._volume()
            return self._volume()

    def _begin(self) -> None:
        with zipfile.ZipFile(self.path) as archive:
            self._stream = archive.open(_member(archive, self.path))
        self._stream.read(self.layout.offset)
        self._next = 0

    def _volume(self) -> NDArray[np.float32]:
        assert self._stream is not None
        dtype = self.layout.dtype
        values, done = np.empty(prod(self.layout.volume), np.float32), 0
        with np.errstate(over="ignore"):
            while done < values.size:
                count = min(values.size - done, PIECE)
                piece = self._stream.read(count * dtype.itemsize)
                if len(piece) < count * dtype.itemsize:
                    raise _damaged(self.path)
                values[done : done + count] = np.frombuffer(piece, dtype)
                done += count
        self._next += 1
        if self._next == self.layout.shape[0]:
            self._stream.close()  # with the last byte its checksum was compared
            self._stream = None
        return values.reshape(self.layout.volume)


def _layout(path: Path) -> _Layout:
    """What the archive says of its array, once that is known to be possible."""
    size = file_size(path)
    with _explained(path), zipfile.ZipFile(path) as archive:
        member = _member(archive, path)
        most = min(member.compress_size, size) * (
            1 if member.compress_type == zipfile.ZIP_STORED else MOST_INFLATION
        )
        check_promise(member.file_size, most, path)
        with archive.open(member) as stream:
            layout = _header(stream, path)
    promised = layout.offset + prod(layout.shape) * layout.dtype.itemsize
    if promised != member.file_size:
        raise _damaged(path)
    return layout


def _member(archive: zipfile.ZipFile, path: Path) -> zipfile.ZipInfo:
    names = archive.namelist()
    if f"{KEY}.npy" not in names:
        arrays = [name.removesuffix(".npy") for name in names]
        raise InputError(
            f"has no array {KEY!r}; it has {some_of(arrays) or 'none'}.",
            remedy="Give what nnUNetv2_predict --save_probabilities writes (nnU-Net 2).",
            path=path,
        )
    member = archive.getinfo(f"{KEY}.npy")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise InputError(
            "is compressed in a way that numpy.savez_compressed is not.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    return member


def _header(stream: IO[bytes], path: Path) -> _Layout:
    version = npy.read_magic(stream)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(stream)
    if dtype.kind != "f" or dtype.itemsize > 8:
        raise InputError(
            f"holds {KEY} of the type {dtype}; expected float16, float32 or float64.",
            remedy="Arrays of Python objects are never read; save numbers.",
            path=path,
        )
    if len(shape) != 4 or min(shape) < 1 or fortran:
        order = " in Fortran order" if fortran else ""
        raise InputError(
            f"holds {KEY} of the shape {shape}{order}; expected (C, Z, Y, X) in C order.",
            remedy="Save it again with numpy.ascontiguousarray.",
            path=path,
        )
    return _Layout(shape, dtype, stream.tell())


def _damaged(path: Path) -> InputError:
    return InputError("is damaged, or no .npz archive.", remedy=FETCH_AGAIN, path=path)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """The errors of zipfile and numpy as ours."""
    try:
        yield
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError,
            NotImplementedError, OSError) as error:  # fmt: skip
        raise _damaged(path) from error
