"""What an RTSTRUCT file says: regions of interest, their contours, their series."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from pydicom.dataset import Dataset

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.dicom.files.common import (
    RTSTRUCT_CLASSES,
    DicomFile,
    listing,
    open_dicom,
    quiet,
)
from softlab_cli.readers.dicom.files.elements import integer_of, items_of, text_of, value_of
from softlab_cli.readers.dicom.objects.reference import Reference
from softlab_cli.readers.dicom.objects.rtstruct_contours import (
    Contour,
    contours_of,
    lie_on_their_images,
)
from softlab_cli.readers.segments import Segment, choose, unique_names

__all__ = ["Roi", "RoiSummary", "RtStructFile", "list_rois"]


@dataclass(frozen=True)
class RoiSummary:
    """One region of interest in a list.

    Parameters
    ----------
    number, name
        As in the file.
    contours
        How many contours it has; 0 for an empty region.
    kinds
        Geometric types of its contours, such as ``CLOSED_PLANAR``.
    """

    number: int
    name: str
    contours: int
    kinds: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Roi:
    """One region of interest with its contours."""

    segment: Segment
    frame_of_reference: str
    contours: tuple[Contour, ...]


def list_rois(path: str | Path) -> list[RoiSummary]:
    """The regions of interest of an RTSTRUCT, in the order of the file.

    Raises
    ------
    InputError
        When it is no readable RTSTRUCT.
    """
    with quiet():
        return RtStructFile.open(Path(path)).summaries()


@dataclass(frozen=True, eq=False)
class RtStructFile:
    """An open RTSTRUCT file."""

    file: DicomFile

    @classmethod
    def open(cls, path: Path) -> RtStructFile:
        """Open a file; `InputError` when it is no RTSTRUCT."""
        file = open_dicom(path)
        if file.sop_class not in RTSTRUCT_CLASSES:
            problem = f"is no RTSTRUCT (modality {file.text('Modality') or 'unknown'})."
            raise InputError(problem, remedy="Give an RT structure set.", path=path)
        return cls(file)

    @cached_property
    def rois(self) -> list[Roi]:
        """All regions of interest, in the order of the file."""
        path = self.file.path
        contours = contours_of(self.file)
        kinds = {
            integer_of(item, "ReferencedROINumber", path, -1): text_of(
                value_of(item, "RTROIInterpretedType", path)
            )
            for item in self.file.items("RTROIObservationsSequence")
        }
        rois = []
        for item in self.file.items("StructureSetROISequence"):
            segment = _segment(item, kinds, path)
            frame = text_of(value_of(item, "ReferencedFrameOfReferenceUID", path))
            rois.append(Roi(segment, frame, tuple(contours.get(segment.number, ()))))
        self._check_numbers(rois, contours)
        return rois

    def _check_numbers(
        self, rois: Sequence[Roi], contours: Mapping[int, Sequence[Contour]]
    ) -> None:
        """Refuse contours that belong to no region, or to several."""
        listed = Counter(roi.segment.number for roi in rois)
        wrong = [number for number, found in contours.items() if found and listed[number] != 1]
        if wrong:
            raise InputError(
                f"has contours of region(s) {listing(wrong)}, which it lists "
                f"{'not at all' if not listed[wrong[0]] else 'several times'}.",
                remedy=FETCH_AGAIN,
                path=self.file.path,
            )

    def summaries(self) -> list[RoiSummary]:
        """All regions in short, in the order of the file."""
        return [
            RoiSummary(
                roi.segment.number,
                roi.segment.name,
                len(roi.contours),
                tuple(sorted({c.kind for c in roi.contours})),
            )
            for roi in self.rois
        ]

    def select(self, wanted: Sequence[str]) -> list[Roi]:
        """Regions whose names match one of some names or patterns, in the file's order.

        Parameters
        ----------
        wanted
            Names, or patterns such as ``GTV*``; all regions when there is none. Where
            several have one name, it means all of them, and ``name (7)`` that of a number.

        Raises
        ------
        ClassError
            When a name or pattern matches nothing; the message lists the names.
        """
        names = [roi.segment.name for roi in self.rois]
        unique = unique_names([roi.segment for roi in self.rois])
        numbered = {s.name: i for i, s in enumerate(unique) if s.name not in names}
        others = [pattern for pattern in wanted if pattern not in numbered]
        found = {numbered[pattern] for pattern in wanted if pattern in numbered}
        if others or not wanted:
            found |= set(choose(names, others, self.file.path, what="region of interest"))
        return [replace(self.rois[i], segment=unique[i]) for i in sorted(found)]

    def reference(self, rois: Sequence[Roi]) -> Reference:
        """The images that some regions belong to.

        Raises
        ------
        InputError
            When the regions lie in several frames of reference.
        """
        frames = {r.frame_of_reference for r in rois if r.contours} - {""}
        if len(frames) > 1:
            names = [f"{r.segment.name} ({r.frame_of_reference})" for r in rois]
            raise InputError(
                f"regions lie in {len(frames)} frames of reference: {listing(names)}.",
                remedy="Choose the regions of one of them with --roi.",
                path=self.file.path,
            )
        uid = next(iter(frames), "")
        images = frozenset(u for r in rois for c in r.contours for u in c.image_uids)
        proof = partial(lie_on_their_images, [c for r in rois for c in r.contours])
        return Reference(self.file.path, self.series_uids(uid), images, uid, proof)

    def series_uids(self, frame_uid: str = "") -> tuple[str, ...]:
        """Series that the file names: of one frame of reference, or all."""
        path = self.file.path
        found: dict[str, None] = {}
        for frame in self.file.items("ReferencedFrameOfReferenceSequence"):
            own = text_of(value_of(frame, "FrameOfReferenceUID", path)) or frame_uid
            if frame_uid and own != frame_uid:
                continue
            for study in items_of(frame, "RTReferencedStudySequence", path):
                for series in items_of(study, "RTReferencedSeriesSequence", path):
                    found[text_of(value_of(series, "SeriesInstanceUID", path))] = None
        return tuple(uid for uid in found if uid)


def _segment(item: Dataset, kinds: Mapping[int, str], path: Path) -> Segment:
    number = integer_of(item, "ROINumber", path)
    facts = {
        "algorithm": text_of(value_of(item, "ROIGenerationAlgorithm", path)),
        "interpreted_type": kinds.get(number, ""),
    }
    name = text_of(value_of(item, "ROIName", path))
    return Segment(number, name, number, {k: v for k, v in facts.items() if v})
