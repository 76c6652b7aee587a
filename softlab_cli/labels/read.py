"""Label maps of cases, placed on the grid of their image.

A label map in a file has label values. A DICOM SEG or RTSTRUCT has named segments
on the grid of a series; see `softlab_cli.labels.numbering` for what their label values are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softlab_cli.core.errors import ClassError
from softlab_cli.core.volume import Geometry, LabelMap, check_same_grid
from softlab_cli.labels.indices import replace_values
from softlab_cli.labels.stores import open_labels
from softlab_cli.readers import (
    FileProbe,
    LabelObject,
    dicom,
    is_dicom,
    probe,
)
from softlab_cli.readers.lattice import find_turn
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.regrid import placement_on, to_grid

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = [
    "ReadingOptions",
    "image_grid",
    "probe_labels",
    "read_labels",
    "series_for",
]


def image_grid(images: Sequence[Path], series: str | None = None) -> Geometry | None:
    """The one grid of a case's images, or None without images.

    Raises
    ------
    GeometryError
        When the images lie on different grids.
    """
    if not images:
        return None
    grids = [dicom.probe(p, series).geometry if is_dicom(p) else probe(p).geometry for p in images]
    for path, grid in zip(images[1:], grids[1:], strict=True):
        check_same_grid(grids[0], grid, names=(images[0].name, path.name), path=path)
    return grids[0]


def series_for(
    source: LabelObject, images: Sequence[Path], options: ReadingOptions
) -> SeriesGrid | None:
    """The series whose grid labels belong on; None for a file with a grid of its own.

    Parameters
    ----------
    source
        What holds the labels.
    images
        Where the series is; it is looked up there by what the file says of its images.
    options
        `ReadingOptions.series` decides, where it fits an image series.

    Raises
    ------
    InputError
        When the series is not there.
    GeometryError
        When its frame of reference is another one.
    """
    reference = source.reference(options.rois)
    if reference is None:
        return None
    from softlab_cli.readers.dicom.objects.reference import find_grid

    folder = images[0] if images else None
    chosen = None
    if folder is not None and options.series is not None:
        chosen = dicom.find_series(folder, options.series)
    return dicom.check_complete(find_grid(chosen or folder, reference))


def read_labels(
    path: Path,
    images: Sequence[Path],
    options: ReadingOptions,
    *,
    rater: str = "",
    onto: Geometry | None = None,
) -> LabelMap:
    """A label map on the grid of its image, with the label values of its file.

    Parameters
    ----------
    path
        A file of any kind that can be read, or a SEG or RTSTRUCT.
    images
        Images of the case; may be none.
    options
        How to read.
    rater
        Whose label map it is; decides which label values are replaced.
    onto
        The grid of the case's first rater, where there is no image.

    Returns
    -------
    LabelMap
        ``metadata["names"]`` has the names of label values, where the file has names.

    Raises
    ------
    InputError
        When it cannot be read.
    GeometryError
        When it lies on another grid than the image or the first rater, in more
        than orientation, and resampling was not asked for.
    ClassError
        When label values of named segments are to be replaced.
    """
    source = open_labels(path)
    series = series_for(source, images, options)
    label_map = source.label_map(series, options)
    target = _target(series, images, options, onto)
    turn = target and find_turn(label_map.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        names = _names_of_grids(images)
        label_map = to_grid(
            label_map, target, resample=options.resample_labels, names=names, path=path
        )
    return _with_values(label_map, options.values_of(rater), path)


def _target(
    series: SeriesGrid | None,
    images: Sequence[Path],
    options: ReadingOptions,
    onto: Geometry | None,
) -> Geometry | None:
    """The grid to bring labels to; those that lie on their series are on their image's."""
    return onto if series else image_grid(images, options.series) or onto


def _names_of_grids(images: Sequence[Path]) -> tuple[str, str]:
    return "label map", "image" if images else "label map of the first rater"


def _with_values(label_map: LabelMap, wanted: Mapping[int, int], path: Path) -> LabelMap:
    if not wanted:
        return label_map
    if label_map.metadata.get("names"):
        raise ClassError(
            "has named segments, whose label values --map cannot replace.",
            remedy="Say which value each name has, such as --labels 0,1=liver.",
            path=path,
        )
    return replace(label_map, values=replace_values(label_map.values, wanted))


def probe_labels(
    path: Path,
    images: Sequence[Path],
    options: ReadingOptions,
    *,
    onto: Geometry | None = None,
) -> FileProbe:
    """What the headers say of a label map once it is read as by `read_labels`."""
    source = open_labels(path)
    series = series_for(source, images, options)
    seen = source.probe(series)
    target = _target(series, images, options, onto)
    turn = target and find_turn(seen.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        if options.resample_labels is None and placement_on(seen.geometry, target) is None:
            nothing = LabelMap(np.empty((0, 0, 0)), seen.geometry)
            to_grid(nothing, target, names=_names_of_grids(images), path=path)
        seen = _probe_on(target, seen)
    return _probe_with_values(seen) if options.value_map else seen


def _probe_on(target: Geometry, seen: FileProbe) -> FileProbe:
    # The label map and what it becomes are held at the same time.
    held = seen.bytes_held * prod(target.shape) // max(1, prod(seen.geometry.shape)) + 8
    on_read = max(seen.bytes_on_read, seen.bytes_held + held)
    return replace(seen, geometry=target, bytes_held=held, bytes_on_read=on_read)


def _probe_with_values(seen: FileProbe) -> FileProbe:
    # The label values before and after are held at the same time.
    held = 2 * prod(seen.geometry.shape)
    return replace(
        seen, bytes_held=held, bytes_on_read=max(seen.bytes_on_read, seen.bytes_held + held)
    )
