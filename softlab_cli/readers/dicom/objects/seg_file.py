"""What a DICOM SEG file says of itself: its kind, its segments, its series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom.dataset import Dataset

from softlab_cli.core.errors import InputError
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.dicom.files.common import SEG_CLASSES, DicomFile, open_dicom, quiet
from softlab_cli.readers.dicom.files.elements import integer_of, items_of, text_of, value_of
from softlab_cli.readers.dicom.objects.reference import Reference
from softlab_cli.readers.segments import Segment, assign_values, choose

__all__ = ["SegFile", "SegSummary", "describe_seg"]


@dataclass(frozen=True)
class SegSummary:
    """What a DICOM SEG says of itself.

    Parameters
    ----------
    segmentation_type
        ``BINARY``, ``FRACTIONAL`` or ``LABELMAP``.
    fractional_type
        ``PROBABILITY`` or ``OCCUPANCY``; empty unless FRACTIONAL.
    segments
        With their numbers as label values.
    frames
        Frames in the file.
    series_uids
        Series that it was made from.
    """

    segmentation_type: str
    fractional_type: str
    segments: tuple[Segment, ...]
    frames: int
    series_uids: tuple[str, ...]


def describe_seg(path: str | Path) -> SegSummary:
    """What a DICOM SEG says of itself; needs no images.

    Raises
    ------
    InputError
        When it is no readable DICOM SEG.
    """
    with quiet():
        return SegFile.open(Path(path)).summary()


@dataclass(frozen=True, eq=False)
class SegFile:
    """An open SEG file."""

    file: DicomFile
    kind: str

    @classmethod
    def open(cls, path: Path) -> SegFile:
        """Open a file; `InputError` when it is no SEG."""
        file = open_dicom(path)
        if file.sop_class not in SEG_CLASSES:
            problem = f"is no DICOM SEG (modality {file.text('Modality') or 'unknown'})."
            raise InputError(problem, remedy="Give a segmentation object.", path=path)
        kind = file.text("SegmentationType").upper()
        if kind not in ("BINARY", "FRACTIONAL", "LABELMAP"):
            raise InputError(
                f"has segmentation type {kind or '(none)'}.",
                remedy="Export it as BINARY, FRACTIONAL or LABELMAP.",
                path=path,
            )
        return cls(file, kind)

    @property
    def largest(self) -> int:
        """Stored value that means a fraction of 1."""
        return max(self.file.integer("MaximumFractionalValue", 255), 1)

    @property
    def padding_value(self) -> int | None:
        """Stored value of pixels that are padding and of no segment, or None."""
        value = self.file.integer("PixelPaddingValue", -1)
        segments = {segment.number for segment in self.described}
        return value if 0 <= value <= LARGEST_LABEL_VALUE and value not in segments else None

    @cached_property
    def described(self) -> list[Segment]:
        """All segments but the background, in the order of the file."""
        found = [_segment(item, self.file.path) for item in self.file.items("SegmentSequence")]
        return [segment for segment in found if segment.number != 0]

    def segments(self, values: Mapping[str, int] | None) -> tuple[list[Segment], list[str]]:
        """Segments that are kept, with names and label values; see `assign_values`."""
        assigned, warnings = assign_values(self.described, values, self.file.path)
        return [s for s in assigned if s is not None], warnings

    def chosen(self, rois: Sequence[str]) -> list[Segment]:
        """Segments that names or patterns choose, all without any; numbers are label values."""
        segments, _ = self.segments(None)
        names = [s.name for s in segments]
        return [segments[i] for i in choose(names, rois, self.file.path, what="segment")]

    @property
    def frames(self) -> int:
        """Frames in the file."""
        return self.file.integer("NumberOfFrames", 1)

    def summary(self) -> SegSummary:
        """What the file says of itself."""
        return SegSummary(
            self.kind,
            self.file.text("SegmentationFractionalType"),
            tuple(self.segments(None)[0]),
            self.frames,
            self.reference.series_uids,
        )

    @cached_property
    def reference(self) -> Reference:
        """The images that it was made from."""
        path = self.file.path
        series = self.file.items("ReferencedSeriesSequence")
        images = [i for s in series for i in items_of(s, "ReferencedInstanceSequence", path)]
        return Reference(
            path,
            _uids(series, "SeriesInstanceUID", path),
            frozenset(_uids(images, "ReferencedSOPInstanceUID", path)),
            self.file.text("FrameOfReferenceUID"),
        )


def _uids(items: Sequence[Dataset], keyword: str, path: Path) -> tuple[str, ...]:
    found = (text_of(value_of(item, keyword, path)) for item in items)
    return tuple(uid for uid in found if uid)


def _segment(item: Dataset, path: Path) -> Segment:
    codes = {
        "category": "SegmentedPropertyCategoryCodeSequence",
        "property": "SegmentedPropertyTypeCodeSequence",
        "region": "AnatomicRegionSequence",
    }
    meaning = {
        key: text_of(value_of(found[0], "CodeMeaning", path))
        for key, keyword in codes.items()
        if (found := items_of(item, keyword, path))
    }
    if algorithm := text_of(value_of(item, "SegmentAlgorithmType", path)):
        meaning["algorithm"] = algorithm
    number = integer_of(item, "SegmentNumber", path)
    if not 0 <= number <= LARGEST_LABEL_VALUE:
        problem = f"SegmentNumber is {number}, which is outside 0 to {LARGEST_LABEL_VALUE}."
        raise InputError(problem, remedy=FETCH_AGAIN, path=path)
    return Segment(number, text_of(value_of(item, "SegmentLabel", path)), number, meaning)
