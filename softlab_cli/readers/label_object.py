"""What holds labels: one protocol, whatever the file.

A DICOM SEG or RTSTRUCT has named segments on the grid of a series, which it names; a
plain label map has numbers on a grid of its own. Which it is, is asked once, by
`softlab_cli.readers.open_label_object`. A file with names on a grid of its own (such as
those of 3D Slicer) fills the same protocol: `LabelObject.reference` is None, and
`LabelObject.names` is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.volume import LabelMap
from softlab_cli.readers.base import FileProbe, Reader
from softlab_cli.readers.options import ReadingOptions

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.objects.reference import Reference
    from softlab_cli.readers.dicom.series.grid import SeriesGrid

__all__ = ["Description", "LabelObject", "NamedLabel", "PlainLabelMap"]


@dataclass(frozen=True)
class NamedLabel:
    """One segment as its file has it; contours where it is drawn with them."""

    value: int
    name: str
    contours: int | None = None


@dataclass(frozen=True)
class Description:
    """What a file says of itself, without its images.

    Parameters
    ----------
    kind
        Such as ``DICOM SEG``.
    labels
        Its segments.
    facts
        Further facts by name, ready for JSON.
    """

    kind: str
    labels: tuple[NamedLabel, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


class LabelObject(Protocol):
    """A file with labels that was opened; its voxels are read when they are asked for.

    `series` is the series whose grid the labels lie on: None where `reference` is None,
    since the file has a grid of its own then. `rois` are names or patterns of the
    segments that count, all when there is none; what matches nothing is a `ClassError`.
    """

    @property
    def series_uids(self) -> tuple[str, ...]:
        """Every series that the file names, whatever its segments."""

    def describe(self) -> Description:
        """What the file says of itself; raises `InputError` when that is damaged."""

    def names(self, rois: Sequence[str]) -> dict[int, str] | None:
        """Label values and names of the segments; None where labels are numbers alone."""

    def reference(self, rois: Sequence[str]) -> Reference | None:
        """The images that the segments belong to; None for a file with its own grid.

        Raises
        ------
        InputError
            When the segments belong to images that have no common place.
        """

    def probe(self, series: SeriesGrid | None) -> FileProbe:
        """The grid of the labels, and the memory that reading takes."""

    def label_map(self, series: SeriesGrid | None, options: ReadingOptions) -> LabelMap:
        """One label value for each voxel.

        ``metadata["names"]`` has the names of label values, where there are any. Of the
        options, `rois`, `names`, `on_overlap`, `threshold` and `padding` count here:
        `ReadingOptions.segment_values` says what is painted with which label value, and
        `ReadingOptions.class_name` what that is called. In a file of plain numbers
        `value_map` and `unlabelled` count.

        Raises
        ------
        InputError
            When the file is damaged, holds no hard labels, or segments overlap.
        GeometryError
            When it does not lie on the series.
        """

    def fractions(
        self, series: SeriesGrid | None, options: ReadingOptions, supersample: int | None
    ) -> SoftSegments | None:
        """The soft label that the file has; None for a label map of plain numbers.

        Parameters
        ----------
        series, options
            As for `label_map`.
        supersample
            Points along X and Y of a voxel at which contours are tested.

        Raises
        ------
        InputError, GeometryError
            As `label_map`, and when the file has segments but no fractions.
        """


@dataclass(frozen=True)
class PlainLabelMap:
    """A file whose voxels are label values, as a `LabelObject`; opening it reads nothing."""

    path: Path
    reader: Reader

    @property
    def series_uids(self) -> tuple[str, ...]:
        """None: it has a grid of its own."""
        return ()

    def describe(self) -> Description:
        """Its kind alone; what its values are takes reading them."""
        return Description("label map")

    def names(self, rois: Sequence[str]) -> None:
        """No names."""

    def reference(self, rois: Sequence[str]) -> None:
        """No images."""

    def probe(self, series: SeriesGrid | None) -> FileProbe:
        """What the header says."""
        return self.reader.probe(self.path)

    def label_map(self, series: SeriesGrid | None, options: ReadingOptions) -> LabelMap:
        """Its values, on its own grid, replaced as `ReadingOptions.value_map` says for ``""``."""
        return self.reader.read_label_map(self.path, options.replacing())

    def fractions(
        self, series: SeriesGrid | None, options: ReadingOptions, supersample: int | None
    ) -> None:
        """No fractions."""
