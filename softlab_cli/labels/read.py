"""Label maps of cases, placed on the grid of their image.

A label map in a file has label values. A DICOM SEG or RTSTRUCT has named segments
on the grid of a series; see `softlab_cli.labels.numbering` for what their label values are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from softlab_cli.core.errors import ClassError
from softlab_cli.core.volume import Geometry, LabelMap, check_same_grid, with_spacing
from softlab_cli.labels.segments import as_classes, check_needed, choose_segments
from softlab_cli.labels.stores import open_labels
from softlab_cli.readers import (
    FileProbe,
    LabelObject,
    LabelSource,
    dicom,
    is_dicom,
    path_of,
    probe,
)
from softlab_cli.readers.label_values import BUFFER_BYTES
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


def image_grid(images: Sequence[Path], options: ReadingOptions) -> Geometry | None:
    """The one grid of a case's images, or None without images.

    Raises
    ------
    GeometryError
        When the images lie on different grids.
    """
    if not images:
        return None
    grids = [
        dicom.probe(path, options.series).geometry
        if is_dicom(path)
        else probe(path).geometry.with_spacing(options.spacing_mm)
        for path in images
    ]
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
    return dicom.check_complete(find_grid(chosen or folder, reference, options.series))


def read_labels(
    path: LabelSource,
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
        A file of any kind that can be read, a SEG or RTSTRUCT, or files of one class each.
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
    source, path = open_labels(path), path_of(path)
    if options.values_of(rater) and source.names(()) is not None:
        raise ClassError(
            "has named segments, whose label values --map cannot replace.",
            remedy="Say which value each name has, such as --labels 0,1=liver.",
            path=path,
        )
    chosen = choose_segments(source, options, path)
    check_needed(options.names, chosen.names, path)
    options = chosen.options.for_rater(rater)
    series = series_for(source, images, options)
    label_map = source.label_map(series, options)
    label_map = with_spacing(as_classes(label_map, options, path), options.spacing_mm)
    target = _target(series, images, options, onto)
    turn = target and find_turn(label_map.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        names = _names_of_grids(images)
        label_map = to_grid(
            label_map, target, resample=options.resample_labels, names=names, path=path
        )
    if not chosen.warnings:
        return label_map
    return replace(label_map, warnings=(*chosen.warnings, *label_map.warnings))


def _target(
    series: SeriesGrid | None,
    images: Sequence[Path],
    options: ReadingOptions,
    onto: Geometry | None,
) -> Geometry | None:
    """The grid to bring labels to; those that lie on their series are on their image's."""
    return onto if series else image_grid(images, options) or onto


def _names_of_grids(images: Sequence[Path]) -> tuple[str, str]:
    return "label map", f"image {images[0].name}" if images else "label map of the first rater"


def probe_labels(
    path: LabelSource,
    images: Sequence[Path],
    options: ReadingOptions,
    *,
    onto: Geometry | None = None,
) -> FileProbe:
    """What the headers say of a label map once it is read as by `read_labels`.

    A file may lack classes that it needs: what its names are is told, for the run to say
    what no file has.
    """
    source, path = open_labels(path), path_of(path)
    chosen = choose_segments(source, options, path)
    series = series_for(source, images, chosen.options)
    seen = source.probe(series)
    if chosen.names or seen.names:
        seen = replace(seen, names=chosen.names or {})
    seen = with_spacing(seen, options.spacing_mm)
    target = _target(series, images, options, onto)
    turn = target and find_turn(seen.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        if options.resample_labels is None and placement_on(seen.geometry, target) is None:
            nothing = LabelMap(np.empty((0, 0, 0)), seen.geometry)
            to_grid(nothing, target, names=_names_of_grids(images), path=path)
        seen = _probe_on(target, seen)
    return _probe_with_values(seen) if options.value_map or options.unlabelled else seen


def _probe_on(target: Geometry, seen: FileProbe) -> FileProbe:
    # The label map and what it becomes are held at the same time.
    held = seen.bytes_held * prod(target.shape) // max(1, prod(seen.geometry.shape)) + 8
    on_read = max(seen.bytes_on_read, seen.bytes_held + held)
    return replace(seen, geometry=target, bytes_held=held, bytes_on_read=on_read)


def _probe_with_values(seen: FileProbe) -> FileProbe:
    # Values that become larger ones are held once more while they are widened, a piece longer.
    held = 2 * prod(seen.geometry.shape)
    on_read = seen.bytes_on_read + held + BUFFER_BYTES
    return replace(seen, bytes_held=max(held, seen.bytes_held), bytes_on_read=on_read)
