"""Soft labels that a case's files already have, with the label values of the class table.

Fractions of a DICOM SEG, contours with partial volume, label maps that are resampled
linearly; and what `softlab_cli.labels.softlabels` reads: maps of one class each, files
with a volume for each class, nnU-Net's probabilities, cases of stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from softlab_cli.cases import Case
from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import is_probabilities
from softlab_cli.core.fractions import SoftClasses, SoftSegments
from softlab_cli.labels.indices import distinct_values
from softlab_cli.labels.numbering import Occurring, class_values, number_as
from softlab_cli.labels.read import image_grid, probe_labels, series_for
from softlab_cli.labels.segments import as_classes, check_needed, choose_segments, merge_fractions
from softlab_cli.labels.softfiles import probe_soft_input
from softlab_cli.labels.softlabels import SoftLabels, occurring_in_soft
from softlab_cli.labels.stores import is_store_case, open_labels
from softlab_cli.readers import FileProbe, LabelObject, LabelSource, open_label_object, path_of
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.regrid import resample_soft

__all__ = ["occurring_fractions", "open_case_fractions", "open_fractions", "probe_fractions"]

SEGMENTS = (".seg.nrrd",)
"""Endings of files whose volumes are layers of named segments, and no classes."""


def open_case_fractions(
    case: Case, supersample: int | None, classes: ClassTable, options: ReadingOptions
) -> SoftClasses:
    """The soft label of a case, whatever its files.

    Parameters
    ----------
    case
        The case.
    supersample, classes, options
        As for `open_fractions`.

    Raises
    ------
    SoftlabError
        As `open_fractions` and `softlab_cli.labels.softlabels.SoftLabels`.
    """
    if _is_plain(case, options):
        return SoftLabels.open(case, classes, options)
    soft = open_fractions(case.label_maps[0], case.images, supersample, classes, options)
    divides = options.sums == "normalise" and options.on_overlap == "error"
    return replace(soft, on_overlap="highest" if divides else options.on_overlap)


def probe_fractions(case: Case, options: ReadingOptions) -> FileProbe:
    """What the headers say of a case whose soft label is wanted; refuses what would do nothing."""
    if _is_plain(case, options):
        _refuse_idle(case, options)
        return probe_soft_input(case, options)
    return probe_labels(case.label_maps[0], case.images, options)


def occurring_fractions(case: Case, options: ReadingOptions) -> Occurring:
    """The classes of a case whose soft label is wanted."""
    if _is_plain(case, options):
        return occurring_in_soft(case, options)
    path = case.label_maps[0]
    source = open_label_object(path)
    chosen = choose_segments(source, options, path)
    if chosen.names is not None:
        return Occurring(frozenset(), chosen.classes)
    label_map = source.label_map(None, options)
    return Occurring(
        frozenset(distinct_values(label_map.values)), label_map.metadata.get("names", {})
    )


def _is_plain(case: Case, options: ReadingOptions) -> bool:
    """Whether the voxels of a case's files are soft labels, and no label map to be resampled."""
    path = case.label_maps[0]
    if case.class_names or is_probabilities(path) or is_store_case(path):
        return True
    suffix = image_suffix(path.name)
    return bool(suffix) and suffix not in SEGMENTS and options.resample_labels != "linear"


def _refuse_idle(case: Case, options: ReadingOptions) -> None:
    """Refuse options that change nothing of soft labels which are stored as they are."""
    idle = {"threshold": options.threshold, "resample-labels": options.resample_labels}
    given = [f"--{name} {value}" for name, value in idle.items() if value is not None]
    if given:
        raise InputError(
            f"holds soft labels, which are stored as they are: {' and '.join(given)} would change "
            "nothing.",
            remedy="Leave it out; put soft labels on another grid before they are imported.",
            path=case.label_maps[0],
        )


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
    source, path = open_labels(path), path_of(path)
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
    target = image_grid(images, options)
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
