"""Hard labels of a store as NIfTI label maps, which any tool reads."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from isal import igzip
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.output.export import (
    CaseReader,
    nifti_header,
    refuse_existing,
    slabs_of,
    write_together,
)

__all__ = ["export_label_map"]


def export_label_map(
    case: CaseReader, folder: str | os.PathLike[str], *, overwrite: bool = False
) -> list[Path]:
    """Write the hard label of a case as ``<case>.nii.gz``, with its classes in ``<case>.json``.

    Voxels have the label values of the classes, uint8 where those are small and else uint16.
    Those that are not labelled have the value that was ignored, the first of several, and else
    65535; where there are such voxels, the JSON file names it ``ignore``. That file has the
    form of nnU-Net's ``dataset.json``, and can be given to ``--classes-from``.

    Parameters
    ----------
    case
        A case of an open store.
    folder
        Where to write; it is made if need be.
    overwrite
        Replace files that are there already.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    ClassError
        When voxels are not labelled, and no label value is left for them.
    UsageError
        For axes too long for NIfTI.
    StoreError
        When a file exists already, or cannot be written.
    """
    folder, classes = Path(folder), case.classes
    files = [folder / f"{case.case_id}.nii.gz", folder / f"{case.case_id}.json"]
    if not overwrite:
        for path in files:
            refuse_existing(path)
    unlabelled = any((case.read_label(s) == classes.ignore_index).any() for s in slabs_of(case))
    mark = _mark(classes) if unlabelled else None
    names = _names(classes, mark).encode()
    write_together({
        files[0]: partial(_write_labels, case, _lookup(classes, mark)),
        files[1]: lambda file: file.write(names),
    })  # fmt: skip
    return files


def _write_labels(case: CaseReader, lookup: NDArray[Any], file: BinaryIO) -> None:
    packed: Any
    with igzip.IGzipFile("", "wb", fileobj=file, mtime=0) as packed:
        title = f"softlab {case.case_id}"
        packed.write(nifti_header(case.geometry, None, title, lookup.dtype.str))
        for slab in slabs_of(case):
            packed.write(lookup[case.read_label(slab)].data)


def _mark(classes: ClassTable) -> int:
    """The label value of voxels that are not labelled."""
    for value in (*classes.ignore_values, LARGEST_LABEL_VALUE):
        if value not in classes.values:
            return value
    raise ClassError(
        "has voxels that are not labelled, and every number for them is a class.",
        remedy="Export to npz, which has class indices and a mark of its own.",
    )


def _lookup(classes: ClassTable, mark: int | None) -> NDArray[Any]:
    """Class index to label value."""
    values = [*classes.values, *([] if mark is None else [mark])]
    dtype = np.dtype("|u1" if max(values) <= np.iinfo(np.uint8).max else "<u2")
    found = np.zeros(classes.ignore_index + 1, dtype)
    found[: len(classes)] = classes.values
    found[classes.ignore_index] = mark or 0
    return found


def _names(classes: ClassTable, mark: int | None) -> str:
    labels = {entry.name: entry.value for entry in classes.classes}
    content = {"labels": ({} if mark is None else {"ignore": mark}) | labels}
    return json.dumps(content, indent=1, ensure_ascii=False)
