"""Frames: one slice each, whether a file holds one of them or many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.files.common import DicomFile, open_dicom
from softlab_cli.readers.dicom.files.elements import as_items, items_of, value_of

__all__ = ["DISTINGUISHING", "SCAN_TAGS", "Frame", "frames_of"]

# Element of a single-frame header -> sequence that holds it in a multi-frame one.
_GROUPS = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
    "SliceThickness": "PixelMeasuresSequence",
    "SpacingBetweenSlices": "PixelMeasuresSequence",
    "RescaleSlope": "PixelValueTransformationSequence",
    "RescaleIntercept": "PixelValueTransformationSequence",
    "TemporalPositionIndex": "FrameContentSequence",
    "StackID": "FrameContentSequence",
    "FrameAcquisitionNumber": "FrameContentSequence",
    "EffectiveEchoTime": "MREchoSequence",
    "DiffusionBValue": "MRDiffusionSequence",
    "NominalCardiacTriggerDelayTime": "CardiacSynchronizationSequence",
}

DISTINGUISHING: tuple[str | int, ...] = (
    "EchoTime", "EffectiveEchoTime", "EchoNumbers", "DiffusionBValue", 0x0019100C, 0x00431039,
    "TemporalPositionIdentifier", "TemporalPositionIndex", "TriggerTime",
    "NominalCardiacTriggerDelayTime", "InversionTime", "FlipAngle", "StackID",
    "FrameAcquisitionNumber", "AcquisitionNumber", "ImageType", "AcquisitionTime", "ContentTime",
    "InstanceNumber",
)  # fmt: skip
"""Elements that may tell slices at one position apart, the most telling first.

The two numbers are the b-values of Siemens and GE."""

SCAN_TAGS: tuple[BaseTag, ...] = tuple(map(Tag, (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesDescription",
    "SeriesNumber", "Modality", "FrameOfReferenceUID", "NumberOfFrames", "Rows", "Columns",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "ImagerPixelSpacing",
    "NominalScannedPixelSpacing", "SliceThickness", "SpacingBetweenSlices", "RescaleSlope",
    "RescaleIntercept", "ModalityLUTSequence", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    *DISTINGUISHING,
)))  # fmt: skip
"""What a scan reads of each file; per-frame groups are read only where they are needed."""


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """One slice.

    Parameters
    ----------
    file
        The file that holds it.
    number
        Its place in the file, counted from 0.
    groups
        Functional groups that apply to it: its own, then the shared ones.
        Empty for single-frame files.
    """

    file: DicomFile
    number: int = 0
    groups: tuple[Dataset, ...] = ()

    def find(self, key: str | int) -> Any:
        """Value of an element in the functional groups or the header, or None."""
        path = self.file.path
        sequence = _GROUPS.get(key) if isinstance(key, str) else None
        for group in self.groups:
            # What is in no sequence of a group is a sequence of the group itself.
            items = items_of(group, sequence, path)[:1] if sequence else [group]
            value = value_of(items[0], key, path) if items else None
            if value is not None:
                return value
        return self.file.value(key)

    def items(self, keyword: str) -> list[Dataset]:
        """The items of a sequence in the functional groups or the header."""
        return as_items(self.find(keyword), keyword, self.file.path)

    @property
    def uid(self) -> str:
        """SOP instance UID of the file."""
        return self.file.text("SOPInstanceUID")

    @property
    def name(self) -> str:
        """File name, with the frame's number (from 1) where a file holds several."""
        name = self.file.path.name
        many = self.file.text("NumberOfFrames") not in ("", "1")
        return f"{name} frame {self.number + 1}" if many else name


def frames_of(file: DicomFile) -> list[Frame]:
    """All frames of a file.

    Parameters
    ----------
    file
        Scanned with `SCAN_TAGS` at least; the header of a multi-frame file is
        read again, in full.

    Raises
    ------
    InputError
        When a multi-frame file has no functional group for each frame.
    """
    count = file.integer("NumberOfFrames", 1)
    if count == 1 and "ImagePositionPatient" in file.header:
        return [Frame(file)]
    full = open_dicom(file.path)
    own = full.items("PerFrameFunctionalGroupsSequence")
    shared = full.items("SharedFunctionalGroupsSequence")
    if count == 1 and not own:
        return [Frame(file)]
    if len(own) != count:
        raise InputError(
            f"has {count} frames, but {len(own)} functional groups that place them.",
            remedy="Convert it to an enhanced multi-frame file or to single slices.",
            path=file.path,
        )
    return [Frame(full, i, (group, *shared[:1])) for i, group in enumerate(own)]
