"""RTSTRUCT: contours as label maps, or as soft labels with partial volume.

Contours are polygons in millimetres on the planes of the slices. A voxel belongs
to a region when its centre lies inside an odd number of the region's contours of
that slice, so that a contour within another is a hole. A centre exactly on a
contour is inside at the contour's low x and low y sides and outside at its high
sides; it is said where that decides on much of a region. Slices without a contour
stay empty; nothing is interpolated.

With supersampling a voxel gets the share of its points that lie inside, on an
even N x N lattice in the slice. A contour stands for the whole thickness of its
slice, so there is no partial volume along Z.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.choices import OverlapRule
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.volume import LabelMap
from softlab_cli.readers.base import FETCH_AGAIN, FileProbe
from softlab_cli.readers.dicom.files.common import quiet
from softlab_cli.readers.dicom.objects.painter import Painter
from softlab_cli.readers.dicom.objects.reference import Reference, find_grid, probe_on_series
from softlab_cli.readers.dicom.objects.rtstruct_file import RoiSummary, RtStructFile, list_rois
from softlab_cli.readers.dicom.objects.rtstruct_fill import Outlines, place_contours
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.label_object import Description, NamedLabel
from softlab_cli.readers.options import LostContours, ReadingOptions
from softlab_cli.readers.segments import Segment, assign_values, titled, told_apart

__all__ = ["RoiSummary", "RtStructObject", "list_rois", "open_soft_rtstruct", "read_rtstruct"]

TEXT_GROWTH = 6
"""Contours are text in the file and numbers in memory, for a moment both."""

MOST_SUPERSAMPLES = 32


@dataclass(frozen=True, eq=False)
class RtStructObject:
    """An open RTSTRUCT, as a `LabelObject`."""

    struct: RtStructFile

    @classmethod
    def open(cls, path: Path) -> RtStructObject:
        """Read the file; `InputError` when it is no RTSTRUCT."""
        with quiet():
            return cls(RtStructFile.open(path))

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Series of all frames of reference."""
        with quiet():
            return self.struct.series_uids()

    def describe(self) -> Description:
        """Its regions, as the file numbers and names them, with their contours."""
        with quiet():
            labels = tuple(
                NamedLabel(r.number, r.name, r.contours) for r in self.struct.summaries()
            )
        return Description("RTSTRUCT", labels, {"series": list(self.series_uids)})

    def names(self, rois: Sequence[str]) -> dict[int, str]:
        """ROI numbers, or what stands for them, and ROI names."""
        path = self.struct.file.path
        with quiet():
            chosen = [roi.segment for roi in self.struct.select(rois)]
        assigned, _ = assign_values(chosen, None, path, what="region")
        return {s.value: s.name for s in assigned if s is not None}

    def reference(self, rois: Sequence[str]) -> Reference:
        """The images that the regions name, not only their series."""
        with quiet():
            found = self.struct.reference(self.struct.select(rois))
        return replace(found, place_on=partial(self._place_on, rois))

    def probe(self, series: SeriesGrid | None) -> FileProbe:
        """On the series; the text of the contours and their numbers are held."""
        path = self.struct.file.path
        return probe_on_series(path, series, TEXT_GROWTH * path.stat().st_size)

    def label_map(self, series: SeriesGrid | None, options: ReadingOptions) -> LabelMap:
        """As `read_rtstruct`."""
        values = None
        if options.names is not None:
            values = options.segment_values(self.names(options.rois), self.struct.file.path)
        drawn = _Drawn.of(self.struct, series, options.rois, values, options.lost_contours)
        return _label_map(drawn, options)

    def fractions(
        self, series: SeriesGrid | None, options: ReadingOptions, supersample: int | None
    ) -> SoftSegments:
        """As `open_soft_rtstruct`."""
        if supersample is None:
            raise InputError(
                "holds contours, which are no soft label by themselves.",
                remedy="Give --supersample 8 for their partial volume.",
                path=self.struct.file.path,
            )
        _check_supersample(supersample)
        drawn = _Drawn.of(self.struct, series, options.rois, None, options.lost_contours)
        return _soft(drawn, supersample)

    def _place_on(self, rois: Sequence[str], series: SeriesGrid) -> None:
        _Drawn.of(self.struct, series, rois, None, "ok")


def read_rtstruct(
    path: str | Path,
    images: str | Path | SeriesGrid | None,
    *,
    rois: Sequence[str] | None = None,
    on_overlap: OverlapRule = "error",
    values: Mapping[str, int] | None = None,
    lost_contours: LostContours = "refuse",
) -> LabelMap:
    """An RTSTRUCT as a label map on the grid of its series.

    Parameters
    ----------
    path
        The RTSTRUCT file.
    images
        The series that it was drawn on (see `open_series`), or a folder that
        holds it.
    rois
        Names of regions, or patterns (``GTV*``); all regions by default.
    on_overlap
        What counts where regions overlap: ``first`` or ``last`` in the file,
        ``highest`` label value, or ``error``.
    values
        Region name or pattern to label value; other regions are left out. By
        default label values are ROI numbers.
    lost_contours
        Whether a region may lose a slice, or become empty, since some of its
        contours are not closed, have fewer than three points or enclose no voxel
        centre.

    Returns
    -------
    LabelMap
        ``metadata`` has ``names`` (label value to region name), ``segments``,
        ``type`` and ``series_uid``.

    Raises
    ------
    InputError
        When it is no RTSTRUCT, its series is missing, contours lie on none of
        the slices, a region loses something that it must not, or regions overlap.
    GeometryError
        When its frame of reference is not that of the series.
    ClassError
        When `rois` or `values` do not fit the regions.
    """
    struct = RtStructObject.open(Path(path)).struct
    drawn = _Drawn.of(struct, images, rois or (), values, lost_contours)
    return _label_map(drawn, ReadingOptions(on_overlap=on_overlap))


def _label_map(drawn: _Drawn, options: ReadingOptions) -> LabelMap:
    segments = [segment for segment, _ in drawn.regions]
    painter = Painter(drawn.grid.geometry.shape, segments, options.on_overlap)
    for segment, outlines in drawn.regions:
        for z, box, inside in outlines.voxels():
            painter.paint(itemgetter((z, *box)), inside, segment)
    labels, notes = painter.finish(drawn.path)
    metadata = {**drawn.metadata(), "names": {s.value: s.name for s in titled(segments, options)}}
    return LabelMap(labels, drawn.grid.geometry, drawn.warnings(notes), metadata)


def open_soft_rtstruct(
    path: str | Path,
    images: str | Path | SeriesGrid | None,
    *,
    supersample: int,
    rois: Sequence[str] | None = None,
    values: Mapping[str, int] | None = None,
    lost_contours: LostContours = "refuse",
) -> SoftSegments:
    """An RTSTRUCT as a soft label: how much of each voxel a region occupies.

    Parameters
    ----------
    path, images, rois, values, lost_contours
        As for `read_rtstruct`.
    supersample
        Points along X and along Y of a voxel, 1 to 32; fractions are multiples
        of 1 / supersample^2.

    Returns
    -------
    SoftSegments
        One segment for each region, filled when it is read.

    Raises
    ------
    InputError, GeometryError, ClassError
        As `read_rtstruct`; overlaps show when the classes are read.
    """
    _check_supersample(supersample)
    struct = RtStructObject.open(Path(path)).struct
    return _soft(_Drawn.of(struct, images, rois or (), values, lost_contours), supersample)


def _check_supersample(supersample: int) -> None:
    if not 1 <= supersample <= MOST_SUPERSAMPLES:
        raise UsageError(
            f"--supersample {supersample} is outside 1 to {MOST_SUPERSAMPLES}.",
            remedy="8 gives fractions in steps of 1/64.",
        )


def _soft(drawn: _Drawn, supersample: int) -> SoftSegments:
    shape = drawn.grid.geometry.shape
    for _, outlines in drawn.regions:
        deque(outlines.fill(), maxlen=0)  # what is odd shows when contours are filled

    def read(index: int) -> NDArray[np.float32]:
        volume = np.zeros(shape, np.float32)
        for z, box, counts in drawn.regions[index][1].fill(supersample):
            volume[z][box] = counts / np.float32(supersample**2)
        return volume

    segments = [segment for segment, _ in drawn.regions]
    return SoftSegments(
        drawn.grid.geometry,
        tuple(s.value for s in segments),
        tuple(s.name for s in segments),
        read,
        warnings=drawn.warnings([]),
        metadata={**drawn.metadata(), "supersample": supersample, "fractional_type": "OCCUPANCY"},
    )


@dataclass(frozen=True, eq=False)
class _Drawn:
    """Regions of interest with their contours on the grid of a series."""

    path: Path
    grid: SeriesGrid
    regions: list[tuple[Segment, Outlines]]
    notes: list[str]

    @classmethod
    def of(
        cls,
        struct: RtStructFile,
        images: str | Path | SeriesGrid | None,
        rois: Sequence[str],
        values: Mapping[str, int] | None,
        lost: LostContours,
    ) -> _Drawn:
        path = struct.file.path
        with quiet():
            chosen = struct.select(rois)
            if not chosen:
                raise InputError("has no region of interest.", remedy=FETCH_AGAIN, path=path)
            named = [roi.segment for roi in chosen]
            assigned, notes = assign_values(named, values, path, what="region")
            given = {roi.segment.number: roi.segment for roi in struct.rois}
            notes = [*told_apart([given[s.number] for s in named], named, "region"), *notes]
            kept = [(s, roi) for s, roi in zip(assigned, chosen, strict=True) if s is not None]
            grid = find_grid(images, struct.reference([roi for _, roi in kept]))
            regions = [(s, place_contours(roi, s.name, grid, path, lost)) for s, roi in kept]
        return cls(path, grid, regions, notes)

    def warnings(self, more: Sequence[str]) -> tuple[str, ...]:
        """All warnings, those of the regions included."""
        regions = [note for _, outlines in self.regions for note in outlines.warnings]
        return (*self.grid.warnings, *self.notes, *regions, *more)

    def metadata(self) -> dict[str, Any]:
        """Facts about the file."""
        return {
            "type": "RTSTRUCT",
            "series_uid": self.grid.uid,
            "names": {s.value: s.name for s, _ in self.regions},
            "segments": [s.to_json() for s, _ in self.regions],
        }
