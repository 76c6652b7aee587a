"""Soft labels of a store as files that other tools read: NIfTI and npz.

Files are written class by class and slab by slab under another name, and
renamed when they are complete; a case is never held whole.
"""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from isal import igzip
from numpy.lib import format as npy
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.core.system import remedy_of
from softlab_cli.core.text import cut_bytes
from softlab_cli.core.volume import Geometry
from softlab_cli.readers.nifti_header import HEADER_1
from softlab_cli.store.files import find_partials, is_abandoned, partial_path, remove

__all__ = [
    "EXPORTERS",
    "CaseReader",
    "export_case",
    "nifti_header",
    "refuse_existing",
    "remove_leftovers",
    "renamed_when_complete",
    "slabs_of",
    "write_together",
]

SLAB_3D, SLAB_2D = 64, 512
"""Slices, or rows of a picture, read at a time: the extent of a chunk."""

LONGEST_FILE_NAME = 220
"""Bytes: of the 255 that a file system takes, the mark of an unfinished file needs some."""

LONGEST_NIFTI_AXIS = 32767
FIRST_VOXEL = 352
LARGEST_SHEAR = 1e-5
"""Cosine between axes beyond which a rotation does not describe them."""

MILLIMETRES, SCANNER = 2, 1
"""NIfTI's codes of the unit, and what the affine refers to."""

VOXEL_TYPES = {"<f4": 16, "|u1": 2, "<u2": 512}
"""NIfTI's codes of numpy's types."""


Write = Callable[[BinaryIO], object]
Files = dict[Path, Write]
"""What to write where, before anything is written."""


class CaseReader(Protocol):
    """What an exporter needs of a case of a store."""

    @property
    def case_id(self) -> str:
        """Name of the case."""
        ...

    @property
    def geometry(self) -> Geometry:
        """The voxel grid."""
        ...

    @property
    def classes(self) -> ClassTable:
        """The store's class table."""
        ...

    def read(
        self, region: tuple[slice, ...] | None = None, *, classes: Sequence[int] | None = None
    ) -> NDArray[np.float16]:
        """Soft labels (C, z, y, x), or (C, y, x) in 2D."""
        ...

    def read_label(self, region: tuple[slice, ...] | None = None) -> NDArray[Any]:
        """Class indices (z, y, x), or (y, x) in 2D."""
        ...


def export_case(
    case: CaseReader,
    folder: str | os.PathLike[str],
    *,
    to: str = "nifti",
    per_class: bool = False,
    overwrite: bool = False,
) -> list[Path]:
    """Write the soft labels of a case as files.

    Parameters
    ----------
    case
        A case of an open store.
    folder
        Where to write; it is made if need be.
    to
        ``nifti``: ``<case>.nii.gz`` (x, y, z, class) float32 and ``<case>.json``
        with the classes. ``npz``: ``<case>.npz`` with ``soft`` float16 (C, Z, Y,
        X), ``label`` (class indices), ``affine``, ``spacing_mm``,
        ``class_values`` and ``class_names``; without Z in 2D.
    per_class
        NIfTI only: one file ``<case>_<value>_<name>.nii.gz`` for each class.
    overwrite
        Replace files that are there already.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    UsageError
        For an unknown `to`, `per_class` with npz, or axes too long for NIfTI.
    StoreError
        When a file exists already, or cannot be written.
    """
    if to not in EXPORTERS:
        raise UsageError(f"cannot export to {to!r}.", remedy=f"There are: {', '.join(EXPORTERS)}.")
    files = EXPORTERS[to](case, Path(folder), per_class)
    if not overwrite:
        _refuse_existing(files)
    write_together(files)
    return list(files)


def write_together(files: Files) -> None:
    """Write files under other names; they get their own once all of them are whole.

    Raises
    ------
    StoreError
        When the disk is full or cannot be written to; and what writing them raises.
    """
    with ExitStack() as stack:
        for path, write in files.items():
            partial = stack.enter_context(renamed_when_complete(path))
            with open(partial, "xb") as file:
                write(file)


def _nifti(case: CaseReader, folder: Path, per_class: bool) -> Files:
    if per_class:
        return {
            folder / _class_file(case.case_id, c.value, c.name): partial(
                _write_nifti, case, [c.index], None
            )
            for c in case.classes.classes
        }
    classes = {"classes": case.classes.to_json(), "ignore_values": case.classes.ignore_values}
    text = json.dumps(classes, indent=1, ensure_ascii=False).encode()
    every = range(len(case.classes))
    return {
        folder / f"{case.case_id}.nii.gz": partial(_write_nifti, case, every, len(every)),
        folder / f"{case.case_id}.json": partial(_write_bytes, text),
    }


def _npz(case: CaseReader, folder: Path, per_class: bool) -> Files:
    if per_class:
        raise UsageError("--per-class does not go with --to npz.", remedy="Leave it out.")
    return {folder / f"{case.case_id}.npz": partial(_write_npz, case)}


EXPORTERS: dict[str, Callable[[CaseReader, Path, bool], Files]] = {"nifti": _nifti, "npz": _npz}
"""Kind of file to what makes it."""


def _class_file(case_id: str, value: int, name: str) -> str:
    """A file's name for a class; as much of the class's name as a file system takes."""
    begin, end = f"{case_id}_{value}_", ".nii.gz"
    room = LONGEST_FILE_NAME - len(begin.encode()) - len(end)
    return begin + cut_bytes(re.sub(r"[^\w.-]+", "_", name), room) + end


def slabs_of(case: CaseReader) -> Iterator[tuple[slice, ...]]:
    """The volume in pieces along its slowest axis."""
    shape = case.geometry.shape[3 - case.geometry.ndim :]
    step = SLAB_3D if len(shape) == 3 else SLAB_2D
    for start in range(0, shape[0], step):
        yield (slice(start, min(start + step, shape[0])), *(slice(0, n) for n in shape[1:]))


def _write_bytes(content: bytes, file: BinaryIO) -> None:
    file.write(content)


def _write_nifti(
    case: CaseReader, classes: Sequence[int], channels: int | None, file: BinaryIO
) -> None:
    """A compressed NIfTI-1 file of some classes, one after another.

    Parameters
    ----------
    case
        The case.
    classes
        Class indices.
    channels
        Length of the fourth axis, or None for a file without one.
    file
        Where to write.
    """
    packed: Any
    with igzip.IGzipFile("", "wb", fileobj=file, mtime=0) as packed:
        packed.write(nifti_header(case.geometry, channels, f"softlab {case.case_id}"))
        for class_index in classes:
            for slab in slabs_of(case):
                packed.write(case.read(slab, classes=[class_index]).astype("<f4", order="C").data)


def nifti_header(
    geometry: Geometry, channels: int | None, description: str, voxel: str = "<f4"
) -> bytes:
    """Header of a NIfTI-1 file, with sform and qform, up to the first voxel.

    Parameters
    ----------
    geometry
        The grid. A sheared grid has no qform.
    channels
        Length of the fourth axis, or None for a file without one.
    description
        Text for people; cut at 79 bytes.
    voxel
        numpy's name of the voxels' type, one of `VOXEL_TYPES`.

    Raises
    ------
    UsageError
        For an axis that is too long for the format.
    """
    sizes = [*reversed(geometry.shape)]
    if channels is None:
        sizes = sizes[: geometry.ndim]
    else:
        sizes.append(channels)
    if max(sizes) > LONGEST_NIFTI_AXIS:
        raise UsageError(
            f"{max(sizes)} voxels or classes are more than NIfTI's {LONGEST_NIFTI_AXIS}.",
            remedy="Export to npz.",
        )
    quaternion, handed = _quaternion(geometry.affine)
    fields = np.zeros((), HEADER_1.newbyteorder("<"))
    fields["sizeof_hdr"] = HEADER_1.itemsize
    fields["dim"] = [len(sizes), *sizes, *[1] * (7 - len(sizes))]
    fields["datatype"], fields["bitpix"] = VOXEL_TYPES[voxel], 8 * np.dtype(voxel).itemsize
    fields["pixdim"] = [handed, *reversed(geometry.spacing_mm), 1, 1, 1, 1]
    fields["vox_offset"] = FIRST_VOXEL
    fields["scl_slope"] = 1
    fields["xyzt_units"] = MILLIMETRES
    fields["descrip"] = description.encode()[:79]
    fields["sform_code"] = SCANNER
    fields["srow"] = geometry.affine[:3]
    fields["qoffset"] = geometry.affine[:3, 3]
    if quaternion is not None:
        fields["qform_code"] = SCANNER
        fields["quatern"] = quaternion[1:]
    fields["magic"] = b"n+1"
    return fields.tobytes().ljust(FIRST_VOXEL, b"\0")


def _quaternion(affine: NDArray[np.float64]) -> tuple[NDArray[np.float64] | None, float]:
    """Unit quaternion (a, b, c, d), a >= 0, of the axes, and -1 when they are left-handed.

    No quaternion when the axes are not perpendicular.
    """
    axes = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    handed = 1.0 if np.linalg.det(axes) > 0 else -1.0
    r = axes * [1.0, 1.0, handed]
    if np.abs(r.T @ r - np.eye(3)).max() > LARGEST_SHEAR:
        return None, handed
    # The eigenvector of the largest eigenvalue is right for every rotation, half
    # turns included (Bar-Itzhack, J. Guidance 2000).
    k = np.array(
        [
            [r.trace(), 0, 0, 0],
            [r[2, 1] - r[1, 2], 2 * r[0, 0] - r.trace(), 0, 0],
            [r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], 2 * r[1, 1] - r.trace(), 0],
            [r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], 2 * r[2, 2] - r.trace()],
        ]
    )
    quaternion = np.linalg.eigh(k, "L")[1][:, -1]
    return quaternion * (-1.0 if quaternion[0] < 0 else 1.0), handed


def _write_npz(case: CaseReader, file: BinaryIO) -> None:
    shape = case.geometry.shape[3 - case.geometry.ndim :]
    count, table = len(case.classes), case.classes
    soft = (
        case.read(slab, classes=[class_index])
        for class_index in range(count)
        for slab in slabs_of(case)
    )
    labels = (case.read_label(slab) for slab in slabs_of(case))
    small = {
        "affine": case.geometry.affine,
        "spacing_mm": np.array(case.geometry.spacing_mm[-len(shape) :]),
        "class_values": np.array(table.values),
        "class_names": np.array(table.names),
        "ignore_index": np.array(table.ignore_index),
    }
    with zipfile.ZipFile(file, "w") as archive:
        _add_array(archive, "soft", np.dtype("<f2"), (count, *shape), soft)
        _add_array(archive, "label", table.index_dtype, shape, labels)
        for name, array in small.items():
            _add_array(archive, name, array.dtype, array.shape, [array])


def _add_array(
    archive: zipfile.ZipFile,
    name: str,
    dtype: np.dtype[Any],
    shape: tuple[int, ...],
    pieces: Iterable[NDArray[Any]],
) -> None:
    """Add an array that comes in pieces, in C order."""
    entry = zipfile.ZipInfo(f"{name}.npy")
    entry.compress_type = zipfile.ZIP_DEFLATED
    header = {"descr": npy.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with archive.open(entry, "w", force_zip64=True) as member:
        npy.write_array_header_1_0(member, header)
        for piece in pieces:
            member.write(piece.astype(dtype, copy=False).tobytes())


def _refuse_existing(files: Files) -> None:
    for path in files:
        refuse_existing(path)


def refuse_existing(path: Path) -> None:
    """Raise `StoreError` when there is such a file already."""
    if path.exists():
        raise StoreError(
            "exists already.", remedy="Add --overwrite, or write into another folder.", path=path
        )


@contextmanager
def renamed_when_complete(path: Path) -> Iterator[Path]:
    """Another name to write to, which becomes `path` when nothing went wrong.

    Raises
    ------
    StoreError
        When the disk is full or cannot be written to.
    """
    unfinished = partial_path(path.parent, f".{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield unfinished
        os.replace(unfinished, path)
    except OSError as error:
        raise StoreError(
            f"cannot be written ({error.strerror or error}).",
            remedy=remedy_of(error, "written") or "Check the folder's rights and the free space.",
            path=path,
        ) from error
    finally:
        remove(unfinished)


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files that exports which were killed have left in a folder."""
    if folder.is_dir():
        for unfinished in find_partials(folder):
            if unfinished.name.startswith(".") and is_abandoned(unfinished):
                remove(unfinished)
