"""What an RTSTRUCT file says: regions of interest, their contours, their series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
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
from softlab_cli.readers.dicom.objects.reference import Reference
from softlab_cli.readers.segments import Segment, choose, unique_names

__all__ = ["Contour", "Roi", "RoiSummary", "RtStructFile", "list_rois"]

CLOSED_KINDS = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
_CONTOUR_DATA = 0x30060050


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
class Contour:
    """One contour.

    Parameters
    ----------
    kind
        Geometric type.
    points
        (n, 3) LPS millimetres.
    image_uids
        SOP instances that it names.
    """

    kind: str
    points: NDArray[np.float64]
    image_uids: tuple[str, ...]


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
        contours = {
            int(item.get("ReferencedROINumber", -1)): item.get("ContourSequence") or []
            for item in self.file.value("ROIContourSequence") or []
        }
        kinds = {
            int(item.get("ReferencedROINumber", -1)): str(item.get("RTROIInterpretedType") or "")
            for item in self.file.value("RTROIObservationsSequence") or []
        }
        rois = []
        for item in self.file.value("StructureSetROISequence") or []:
            number = int(item.get("ROINumber", 0))
            found = tuple(self._contour(c) for c in contours.get(number, []))
            rois.append(Roi(_segment(item, number, kinds), _frame_uid(item), found))
        return rois

    def _contour(self, item: Dataset) -> Contour:
        images = item.get("ContourImageSequence") or []
        return Contour(
            str(item.get("ContourGeometricType", "")).upper(),
            self._points(item),
            tuple(str(i.get("ReferencedSOPInstanceUID", "")) for i in images),
        )

    def _points(self, item: Dataset) -> NDArray[np.float64]:
        element: Any = item.get_item(_CONTOUR_DATA)
        value = getattr(element, "value", None)
        if value is None:
            return np.empty((0, 3))
        # Undecoded text is parsed at once; pydicom would make an object of each number.
        raw = value.split(b"\\") if isinstance(value, bytes) else list(value)
        try:
            points = np.array(raw).astype(np.float64).reshape(-1, 3)
        except ValueError as error:
            problem = f"has a damaged contour ({error})."
            raise InputError(problem, remedy=FETCH_AGAIN, path=self.file.path) from error
        return points

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
        return Reference(self.file.path, self.series_uids(uid), images, uid)

    def series_uids(self, frame_uid: str = "") -> tuple[str, ...]:
        """Series that the file names: of one frame of reference, or all."""
        found: dict[str, None] = {}
        for frame in self.file.value("ReferencedFrameOfReferenceSequence") or []:
            if frame_uid and str(frame.get("FrameOfReferenceUID", frame_uid)) != frame_uid:
                continue
            for study in frame.get("RTReferencedStudySequence") or []:
                for series in study.get("RTReferencedSeriesSequence") or []:
                    found[str(series.get("SeriesInstanceUID", ""))] = None
        return tuple(uid for uid in found if uid)


def _segment(item: Dataset, number: int, kinds: dict[int, str]) -> Segment:
    facts = {
        "algorithm": str(item.get("ROIGenerationAlgorithm") or ""),
        "interpreted_type": kinds.get(number, ""),
    }
    name = str(item.get("ROIName") or "").strip()
    return Segment(number, name, number, {k: v for k, v in facts.items() if v})


def _frame_uid(item: Dataset) -> str:
    return str(item.get("ReferencedFrameOfReferenceUID") or "").strip()
