"""A case of a store as a DICOM SEG that refers to the series it belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.provenance import Source
from softlab_cli.core.volume import LabelMap
from softlab_cli.output.export import CaseReader, refuse_existing, renamed_when_complete
from softlab_cli.readers import is_dicom

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.objects.write_seg import FractionalType

__all__ = ["export_dicom_seg", "series_of"]


def series_of(case_id: str, sources: tuple[Source, ...], images: Path | None) -> Path:
    """Where the series of a case is looked for.

    Parameters
    ----------
    case_id
        The case.
    sources
        What the case was made from.
    images
        A series, or a folder of case folders; by default the case's own image.

    Raises
    ------
    InputError
        When the case was made without a DICOM series and none is given.
    """
    if images is not None:
        return images / case_id if (images / case_id).is_dir() else images
    own = [Path(s.path) for s in sources if s.role == "image"]
    if own and own[0].exists() and is_dicom(own[0]):
        return own[0]
    raise InputError(
        f"the case {case_id!r} has no DICOM series to refer to.",
        remedy="Give the series with --images.",
    )


def export_dicom_seg(
    case: CaseReader,
    folder: str | os.PathLike[str],
    images: str | os.PathLike[str],
    *,
    series: str | None = None,
    hard: bool = False,
    fractional_type: FractionalType = "PROBABILITY",
    method: str = "soft label",
    overwrite: bool = False,
) -> Path:
    """Write a case as ``<case>.dcm``.

    Parameters
    ----------
    case
        A case of an open store.
    folder
        Where to write; it is made if need be.
    images
        The series that the case belongs to, or a folder that holds it.
    series
        UID, description or pattern, where there are several.
    hard
        The hard label as LABELMAP with the label values as segment numbers;
        otherwise the soft labels as FRACTIONAL in steps of 1/255, with the classes
        but the background as segments 1, 2, 3...
    fractional_type
        ``PROBABILITY`` or ``OCCUPANCY``.
    method
        What made the labels, for the file.
    overwrite
        Replace a file that is there already.

    Raises
    ------
    InputError
        When there is no such series, or it lacks what a segmentation refers to.
    GeometryError
        When the case does not lie on the series' grid, up to a turn.
    StoreError
        When the file exists already, or cannot be written.
    """
    from softlab_cli.readers.dicom.objects.write_seg import write_label_map_seg, write_soft_seg
    from softlab_cli.readers.dicom.series.read import open_series

    path = Path(folder) / f"{case.case_id}.dcm"
    if not overwrite:
        refuse_existing(path)
    grid = open_series(Path(images), series)
    with renamed_when_complete(path) as partial:
        if hard:
            names = {c.value: c.name for c in case.classes.classes}
            write_label_map_seg(partial, _label_map(case), names, grid, method=method)
        else:
            soft = _segments(case)
            write_soft_seg(partial, soft, grid, fractional_type=fractional_type, method=method)
    return path


def _segments(case: CaseReader) -> SoftSegments:
    def read(index: int) -> NDArray[np.float32]:
        soft = case.read(classes=[index])
        return soft.astype(np.float32).reshape(case.geometry.shape)

    return SoftSegments(case.geometry, case.classes.values, case.classes.names, read)


def _label_map(case: CaseReader) -> LabelMap:
    """Label values; ignored voxels are background, as the format has no mark for them."""
    lookup = np.zeros(case.classes.ignore_index + 1, np.uint16)
    lookup[: len(case.classes)] = case.classes.values
    values = lookup[case.read_label()].reshape(case.geometry.shape)
    return LabelMap(values, case.geometry)
