"""Soft labels that a case's file already has, with the label values of the class table.

Fractions of a DICOM SEG, contours with partial volume, and label maps that are
resampled linearly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.labels.numbering import class_values, number_as
from softlab_cli.labels.read import image_grid, series_for
from softlab_cli.labels.segments import as_classes, check_needed, choose_segments, merge_fractions
from softlab_cli.readers import LabelObject, LabelSource, open_label_object, path_of
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.regrid import resample_soft

__all__ = ["open_fractions"]


def open_fractions(
    path: LabelSource,
    images: Sequence[Path],
    supersample: int | None,
    classes: ClassTable,
    options: ReadingOptions,
) -> SoftSegments:
    """The soft label of a case, with the label values of the class table.

    Parameters
    ----------
    path
        Its file, or files.
    images
        Images of the case; may be none.
    supersample
        Points along X and Y of a voxel at which contours are tested; needed for
        RTSTRUCT.
    classes
        The class table.
    options
        How to read.

    Raises
    ------
    InputError
        When the file holds a hard label.
    ClassError
        When a segment is no class.
    """
    source, path = open_label_object(path), path_of(path)
    chosen = choose_segments(source, options, path)
    check_needed(options.names, chosen.names, path)
    options = chosen.options
    series = series_for(source, images, options)
    # Segments as they are, to be made one after they are read.
    soft = source.fractions(series, replace(options, names=None), supersample)
    if soft is None:
        return _resampled(path, source, images, classes, options)
    soft = merge_fractions(soft, options, path)
    soft = replace(soft, warnings=(*chosen.warnings, *soft.warnings))
    values = class_values(dict(zip(soft.values, soft.names, strict=True)), classes, path)
    return replace(soft, values=tuple(values[v] for v in soft.values))


def _resampled(
    path: Path,
    source: LabelObject,
    images: Sequence[Path],
    classes: ClassTable,
    options: ReadingOptions,
) -> SoftSegments:
    """A label map with a grid of its own, on the grid of its image."""
    target = image_grid(images, options.series)
    if target is None or options.resample_labels != "linear":
        raise InputError(
            "is a hard label map: there is no soft label to import.",
            remedy="Make one with softlab svls, or resample it onto the grid of --images with "
            "--resample-labels linear.",
            path=path,
        )
    label_map = as_classes(source.label_map(None, options), options, path)
    label_map = number_as(label_map, classes, path)
    return resample_soft(
        label_map, target, classes.values, ignore_values=classes.ignore_values, path=path
    )
