"""FreeSurfer's volumes (.mgz, .mgh) and pairs of header and voxels (.hdr with .img).

nibabel reads the headers. The voxels behind them are plain numbers and are read here,
piece by piece, so that a damaged or truncated file is noticed as it is for NIfTI.

The header of a pair is NIfTI's, which says where the voxels lie, or Analyze 7.5's, which
says how large they are and nothing else. As for a NIfTI file without sform and qform, no
orientation is guessed: axes run right, front and up from the origin, and a warning says so.

Source: surfer.nmr.mgh.harvard.edu/fswiki/FsTutorial/MghFormat; Analyze 7.5 file format,
Mayo Foundation; nifti1.h.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import voxels_beside
from softlab_cli.core.volume import Geometry, Image, LabelMap
from softlab_cli.readers.base import (
    FETCH_AGAIN,
    FileProbe,
    check_one_value,
    check_promise,
    file_size,
)
from softlab_cli.readers.byte_stream import ByteStream
from softlab_cli.readers.geometry import shear_warnings, sound_affine
from softlab_cli.readers.label_values import (
    BUFFER_BYTES,
    PIECE_VOXELS,
    collect_labels,
    held_bytes_per_voxel,
    read_bytes_per_voxel,
)
from softlab_cli.readers.nifti_header import LONGEST_HEADER, parse_header
from softlab_cli.readers.replacing import Replacing
from softlab_cli.readers.surplus import surplus_warnings, too_long

__all__ = ["probe", "read_image", "read_label_map"]

MGH_HEADER_BYTES = 284
LONGEST_TAGS = 1 << 24
"""Bytes behind the voxels of a FreeSurfer volume: how it was scanned, colours, commands."""

ANALYZE_HEADER_BYTES = 348
MAGIC = {b"ni1": (344, 1), b"ni2": (4, 2)}
"""What the header of a NIfTI pair has, where, and the version; in one piece it is n+1 or n+2."""


@dataclass(frozen=True)
class _Volumes:
    """What a header says of the voxels.

    Parameters
    ----------
    file
        Where the voxels are.
    offset
        Bytes before them.
    dtype
        Type of one number, in the file's byte order.
    components
        Numbers for each voxel, more than one for colours.
    volumes
        Volumes one after the other.
    slope, intercept
        A value is its stored number times `slope` plus `intercept`.
    geometry
        The grid.
    kind
        Name of the format.
    warnings
        What is odd about it.
    """

    file: Path
    offset: int
    dtype: np.dtype[Any]
    components: int
    volumes: int
    slope: float
    intercept: float
    geometry: Geometry
    kind: str
    warnings: tuple[str, ...]

    @property
    def voxels(self) -> int:
        return int(np.prod(self.geometry.shape, dtype=object))

    @property
    def channels(self) -> int:
        return self.volumes * self.components

    @property
    def promised(self) -> int:
        """Bytes of all voxels as stored."""
        return self.voxels * self.channels * self.dtype.itemsize

    def after(self, stream: ByteStream, path: Path) -> tuple[str, ...]:
        """What is to be said of the bytes behind the voxels."""
        if self.kind != "MGH":
            return surplus_warnings(stream, self.promised, path)
        if stream.skim(LONGEST_TAGS + 1) > LONGEST_TAGS:
            raise too_long(f"more than {LONGEST_TAGS}", self.promised, path)
        return ()

    def pieces(self, stream: ByteStream) -> Iterator[NDArray[Any]]:
        """The values of one volume; floats when they are scaled."""
        left = self.voxels * self.components
        scaled = (self.slope, self.intercept) != (1.0, 0.0)
        while left:
            count = min(left, PIECE_VOXELS * self.components)
            raw = stream.read(count * self.dtype.itemsize)
            if len(raw) < count * self.dtype.itemsize:
                raise InputError(
                    f"is truncated: the last {left * self.dtype.itemsize - len(raw)} bytes of its "
                    "voxels are missing.",
                    remedy=FETCH_AGAIN,
                    path=self.file,
                )
            piece = np.frombuffer(raw, self.dtype).astype(self.dtype.newbyteorder("="))
            yield piece * np.float64(self.slope) + self.intercept if scaled else piece
            left -= count


def probe(path: Path) -> FileProbe:
    """What the header says; see `FileProbe`."""
    with _opened(path) as (volumes, _):
        dtype = volumes.dtype.newbyteorder("=")
        return FileProbe(
            path=path,
            geometry=volumes.geometry,
            dtype=dtype,
            channels=volumes.channels,
            bytes_held=volumes.voxels * held_bytes_per_voxel(dtype),
            bytes_on_read=volumes.voxels * read_bytes_per_voxel(dtype) + BUFFER_BYTES,
            warnings=volumes.warnings,
        )


def read_label_map(path: Path, replacing: Replacing | None = None) -> LabelMap:
    """A label map with one integer for each voxel.

    Parameters
    ----------
    path
        A file that ends in .mgz or .mgh, or the .hdr of a pair.
    replacing
        What numbers of the file become.

    Raises
    ------
    InputError
        When the file is damaged, has several values for each voxel, or values
        that are not integers.
    """
    with _opened(path) as (volumes, stream):
        check_one_value(volumes.channels, volumes.components, path)
        shape = volumes.geometry.shape
        pieces = volumes.pieces(stream)
        values, rounded = collect_labels(pieces, shape, path, replacing=replacing)
        rounded += volumes.after(stream, path)
    metadata = {"format": volumes.kind, "stored_dtype": volumes.dtype.name}
    return LabelMap(values, volumes.geometry, (*volumes.warnings, *rounded), metadata)


def read_image(path: Path) -> Image:
    """An image; further volumes and colours are channels.

    Parameters
    ----------
    path
        A file that ends in .mgz or .mgh, or the .hdr of a pair.

    Raises
    ------
    InputError
        When the file is damaged or stores complex numbers.
    """
    with _opened(path) as (file, stream), np.errstate(over="ignore"):  # as in the NIfTI reader
        values = np.empty((file.volumes, file.components, file.voxels), np.float32)
        for volume in values:
            start = 0
            for piece in file.pieces(stream):
                colours = piece.reshape(-1, file.components).T
                volume[:, start : start + colours.shape[1]] = colours
                start += colours.shape[1]
        after = file.after(stream, path)
    shape = (file.channels, *file.geometry.shape)
    return Image(values.reshape(shape), file.geometry, (*file.warnings, *after))


@contextmanager
def _opened(path: Path) -> Iterator[tuple[_Volumes, ByteStream]]:
    """The header, and the voxels of a file that may be long enough for them."""
    file_size(path)
    volumes = _pair(path) if image_suffix(path.name) == ".hdr" else _freesurfer(path)
    if volumes.dtype.kind not in "uif":
        raise InputError(
            f"stores voxels of a type that cannot be read ({volumes.dtype.name}).",
            remedy="Save it with an integer type, for instance uint8 or int16.",
            path=path,
        )
    file_size(volumes.file)
    with ByteStream(volumes.file) as stream:
        check_promise(volumes.promised, max(0, stream.capacity - volumes.offset), volumes.file)
        stream.skip(volumes.offset)
        yield volumes, stream


def _head(path: Path, count: int) -> bytes:
    with ByteStream(path) as stream:
        return stream.read(count)


def _freesurfer(path: Path) -> _Volumes:
    from nibabel.freesurfer.mghformat import MGHHeader

    raw = _head(path, MGH_HEADER_BYTES)
    placed = _placed_by_mgh(raw)
    with _explained(path, "a FreeSurfer volume"):
        if len(raw) < MGH_HEADER_BYTES or int.from_bytes(raw[:4], "big") != 1:
            raise ValueError(f"it starts with {raw[:12].decode('latin-1')!r}")
        header = MGHHeader(raw[:90], check=False)
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        affine = np.asarray(header.get_affine(), np.float64)
    geometry, volumes = _grid(shape, affine, path)
    warnings = () if placed else (
        "the file does not say where it lies (its goodRASFlag is 0): voxels of 1 mm in coronal "
        "slices are assumed, as FreeSurfer does.",
    )  # fmt: skip
    warnings = (*warnings, *shear_warnings(geometry.affine))
    return _Volumes(
        path, MGH_HEADER_BYTES, dtype, 1, volumes, 1.0, 0.0, geometry, "MGH", warnings
    )  # fmt: skip


def _placed_by_mgh(raw: bytes) -> bool:
    """Whether the header has the place of the voxels; nibabel fills in FreeSurfer's default."""
    return int.from_bytes(raw[28:30], "big") != 0


def _pair(path: Path) -> _Volumes:
    raw, voxels = _head(path, LONGEST_HEADER), _voxels_beside(path)
    for magic, (at, version) in MAGIC.items():
        if raw[at : at + 3] == magic:
            return _nifti_pair(raw, at, version, voxels, path)
    return _analyze(raw, voxels, path)


def _voxels_beside(path: Path) -> Path:
    """The other half of a pair, whatever the case of its ending."""
    found = voxels_beside(path)
    if found is None:
        raise InputError(
            f"is the header of a pair, and {path.stem}.img is not beside it.",
            remedy="Put it there.",
            path=path,
        )
    return found


def _nifti_pair(raw: bytes, at: int, version: int, voxels: Path, path: Path) -> _Volumes:
    """By the rules for a file in one piece, whose header differs in one letter only."""
    from nibabel.nifti1 import Nifti1PairHeader
    from nibabel.nifti2 import Nifti2PairHeader

    header = parse_header(raw[: at + 1] + b"+" + raw[at + 2 :], path)
    layout = Nifti1PairHeader if version == 1 else Nifti2PairHeader
    size = layout.template_dtype.itemsize
    offset = layout(raw[:size], check=False).get_data_offset()
    volumes = header.channels // header.components
    return _Volumes(
        voxels, max(0, offset), header.dtype, header.components, volumes, header.slope,
        header.intercept, header.geometry, f"NIfTI-{version} pair", header.warnings,
    )  # fmt: skip


def _analyze(raw: bytes, voxels: Path, path: Path) -> _Volumes:
    from nibabel.spm2analyze import Spm2AnalyzeHeader

    with _explained(path, "the header of a pair"):
        if not Spm2AnalyzeHeader.may_contain_header(raw):
            raise ValueError("no header of 348 bytes")
        header = Spm2AnalyzeHeader(raw[:ANALYZE_HEADER_BYTES], check=False)
        shape, dtype = header.get_data_shape(), header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        offset = header.get_data_offset()
    # Negative voxel sizes mean their absolute value; what is missing at the end is 1 mm.
    sizes = [abs(float(size)) for size in header["pixdim"][1:4]]
    sizes = [*sizes[: len(shape)], *[1.0] * (3 - min(3, len(shape)))]
    geometry, volumes = _grid(shape, np.diag([*sizes, 1.0]), path)
    components = len(dtype.fields or "1")
    return _Volumes(
        voxels, max(0, offset), np.dtype("u1") if dtype.fields else dtype, components, volumes,
        1.0 if slope is None else float(slope), float(intercept or 0.0), geometry, "Analyze",
        _analyze_warnings(path),
    )  # fmt: skip


def _analyze_warnings(path: Path) -> tuple[str, ...]:
    warnings = [
        "an Analyze file has no orientation: orientation and position are unknown, the voxel "
        "size is taken from pixdim."
    ]
    beside = path.with_suffix(".mat")
    if beside.is_file():
        warnings.append(f"the affine that SPM keeps beside it ({beside.name}) is not read.")
    return tuple(warnings)


def _grid(shape: tuple[int, ...], affine: NDArray[np.float64], path: Path) -> tuple[Geometry, int]:
    """The grid of one volume, and how many there are."""
    if not 2 <= len(shape) <= 7 or min(shape) < 1:
        listed = "x".join(map(str, shape))
        raise InputError(
            f"has {len(shape)} axes of lengths {listed or 'none'}; expected 2 to 7 axes, each of "
            "at least 1 voxel.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    ndim = 2 if len(shape) == 2 else 3
    x, y, z = (*map(int, shape), 1)[:3]  # nibabel has integers of NumPy
    geometry = Geometry((z, y, x), sound_affine(affine, ndim, path), ndim)
    return geometry, int(np.prod(shape[3:], dtype=object))


@contextmanager
def _explained(path: Path, kind: str) -> Iterator[None]:
    """Errors of nibabel as ours."""
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except (ImageFileError, HeaderDataError, KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"is damaged, or not {kind} ({error}).", remedy=FETCH_AGAIN, path=path
        ) from error
