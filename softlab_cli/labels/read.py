"""Label maps of cases, placed on the grid of their image.

A label map in a file has label values. A DICOM SEG or RTSTRUCT has named segments
on the grid of a series; see `softlab_cli.labels.numbering` for what their label values are.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import ClassError
from softlab_cli.core.fractions import OverlapRule
from softlab_cli.core.volume import Geometry, LabelMap, check_same_grid
from softlab_cli.labels.indices import replace_values
from softlab_cli.readers import FileProbe, dicom, is_dicom, probe, read_label_map
from softlab_cli.readers.regrid import Resampling, find_turn, to_grid

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.objects.seg import Padding
    from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = [
    "ReadingOptions",
    "chosen_segments",
    "image_grid",
    "is_object",
    "probe_labels",
    "read_labels",
    "segment_names",
    "series_for",
]


@dataclass(frozen=True)
class ReadingOptions:
    """How label maps are read, where there is a choice; named like the command line's options.

    Parameters
    ----------
    series
        UID, description or pattern of the series (or of the segmentation) that
        is meant where a folder holds several.
    rois
        Names or patterns of the regions or segments to keep; by default all.
    on_overlap
        What counts where segments overlap.
    threshold
        Fractions from here on are inside; for FRACTIONAL segmentations.
    padding
        Whether padding of a LABELMAP segmentation is background or ignored.
    resample_labels
        How a label map on another grid than its image is resampled, if at all.
    value_map
        Label values to replace, for each rater; ``""`` is for those that have no
        entry of their own.
    """

    series: str | None = None
    rois: tuple[str, ...] = ()
    on_overlap: OverlapRule = "error"
    threshold: float | None = None
    padding: Padding = "background"
    resample_labels: Resampling | None = None
    value_map: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What was chosen, without what nobody chose."""
        unchosen = asdict(ReadingOptions())
        chosen = {k: v for k, v in asdict(self).items() if v != unchosen[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}

    def values_of(self, rater: str) -> Mapping[int, int]:
        """Label values to replace in the label maps of a rater."""
        return self.value_map.get(rater, self.value_map.get("", {}))


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


def series_for(label: Path, images: Sequence[Path], options: ReadingOptions) -> SeriesGrid:
    """The series whose grid a SEG or RTSTRUCT belongs on.

    Parameters
    ----------
    label
        The SEG or RTSTRUCT file.
    images
        Where the series is; the series is looked up by its UID there.
    options
        `ReadingOptions.series` decides, where it fits an image series.

    Raises
    ------
    InputError
        When the series is not there.
    GeometryError
        When its frame of reference is another one.
    """
    from softlab_cli.readers.dicom.objects.reference import find_grid

    folder = images[0] if images else None
    chosen = None
    if folder is not None and options.series is not None:
        chosen = dicom.find_series(folder, options.series)
    return dicom.check_complete(find_grid(chosen or folder, dicom.reference_of(label)))


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
    if is_object(path):
        label_map = _read_object(path, series_for(path, images, options), options)
        target = onto
    else:
        label_map = read_label_map(path)
        target = image_grid(images, options.series) or onto
    turn = target and find_turn(label_map.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        names = _names_of_grids(images)
        label_map = to_grid(
            label_map, target, resample=options.resample_labels, names=names, path=path
        )
    return _with_values(label_map, options.values_of(rater), path)


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


def is_object(path: Path) -> bool:
    """Whether a label map is a DICOM object, which needs its series."""
    return not image_suffix(path.name)


def _read_object(path: Path, grid: SeriesGrid, options: ReadingOptions) -> LabelMap:
    from softlab_cli.readers.dicom.objects.rtstruct import read_rtstruct
    from softlab_cli.readers.dicom.objects.seg import read_seg

    if dicom.kind_of(path) == "contours":
        return read_rtstruct(path, grid, rois=options.rois or None, on_overlap=options.on_overlap)
    return read_seg(
        path,
        grid,
        on_overlap=options.on_overlap,
        threshold=options.threshold,
        padding=options.padding,
        values=chosen_segments(path, options.rois),
    )


def chosen_segments(path: Path, rois: Sequence[str]) -> dict[str, int] | None:
    """Names and numbers of the segments of a SEG that patterns choose; None for all."""
    if not rois:
        return None
    names = dicom.segment_names(path)
    chosen: dict[str, int] = {}
    for pattern in rois:
        found = {n: v for v, n in names.items() if n == pattern or fnmatch.fnmatchcase(n, pattern)}
        if not found:
            raise ClassError(
                f"no segment matches {pattern!r}.",
                remedy=f"There are: {', '.join(names.values()) or 'none'}.",
                path=path,
            )
        chosen.update(found)
    return chosen


def segment_names(path: Path, rois: Sequence[str]) -> dict[int, str]:
    """Label values and names of the segments that are read; empty for other files."""
    if not is_object(path):
        return {}
    if dicom.kind_of(path) == "contours":
        return dicom.region_names(path, rois)
    chosen = chosen_segments(path, rois)
    return dicom.segment_names(path) if chosen is None else {v: n for n, v in chosen.items()}


def probe_labels(
    path: Path,
    images: Sequence[Path],
    options: ReadingOptions,
    *,
    onto: Geometry | None = None,
) -> FileProbe:
    """What the headers say of a label map once it is read as by `read_labels`."""
    if is_object(path):
        seen = _probe_object(path, series_for(path, images, options))
        target = onto
    else:
        seen = probe(path)
        target = image_grid(images, options.series) or onto
    turn = target and find_turn(seen.geometry, target)
    if target is not None and not (turn and turn.is_identity):
        if turn is None and options.resample_labels is None:
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


def _probe_object(path: Path, grid: SeriesGrid) -> FileProbe:
    voxels = prod(grid.geometry.shape)
    on_read = dicom.label_bytes_on_read(path, voxels)
    return FileProbe(path, grid.geometry, np.dtype(np.uint16), 1, 2 * voxels, on_read)
