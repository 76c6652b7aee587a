"""DICOM files made for tests: series, enhanced files, SEG and RTSTRUCT."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
RTSTRUCT = "1.2.840.10008.5.1.4.1.1.481.3"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
FRAME = generate_uid(entropy_srcs=["frame of reference"])


def oblique() -> tuple[float, ...]:
    """Row and column directions of a slice that is turned about all axes."""
    a, b = 0.3, -0.4
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    turned = about_z @ about_x
    return tuple(float(v) for v in (*turned[:, 0], *turned[:, 1]))


def header(sop_class: str, modality: str, **elements: Any) -> Dataset:
    """A data set with what every DICOM file has."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = UID(sop_class), generate_uid()
    ds.StudyInstanceUID, ds.SeriesInstanceUID = generate_uid(), generate_uid()
    ds.FrameOfReferenceUID = FRAME
    ds.Modality, ds.SeriesDescription = modality, "made for tests"
    ds.PatientID, ds.PatientName = "1", "Test^Case"
    ds.PatientBirthDate = ds.PatientSex = ds.AccessionNumber = ds.StudyID = ""
    ds.StudyDate = ds.StudyTime = ""
    for key, value in elements.items():
        setattr(ds, key, value)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return ds


def save(ds: Dataset, path: Path) -> Path:
    """Write a data set; its meta header follows the data set."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID or "2.25.1"
    ds.save_as(path, enforce_file_format=True)
    return path


def put_pixels(ds: Dataset, stored: np.ndarray, bits: int | None = None) -> None:
    """Fill in the image pixel elements; `stored` is (Y, X) or (frames, Y, X)."""
    ds.Rows, ds.Columns = stored.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated = 8 * stored.dtype.itemsize
    ds.BitsStored = bits or ds.BitsAllocated
    ds.HighBit = ds.BitsStored - 1
    ds.PixelRepresentation = int(stored.dtype.kind == "i")
    ds.PixelData = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
    ds["PixelData"].VR = "OW"


def make_slices(
    stored: np.ndarray,
    *,
    spacing_mm: tuple[float, float, float] = (2.0, 0.8, 0.7),
    origin: Sequence[float] = (-10.0, 20.0, 30.0),
    axes: Sequence[float] = AXIAL,
    shift: Sequence[float] = (0.0, 0.0, 0.0),
) -> list[Dataset]:
    """Data sets of a CT series, in the order of Z.

    `shift` is added to each further slice's position: a tilted gantry.
    """
    series, study = generate_uid(), generate_uid()
    normal = np.cross(axes[:3], axes[3:])
    slices = []
    for z, plane in enumerate(stored):
        position = np.array(origin) + z * (spacing_mm[0] * normal + np.array(shift))
        ds = header(CT, "CT", SeriesInstanceUID=series, StudyInstanceUID=study)
        ds.ImagePositionPatient = [f"{v:.10g}" for v in position]
        ds.ImageOrientationPatient = [f"{v:.12g}" for v in axes]
        ds.PixelSpacing = [spacing_mm[1], spacing_mm[2]]
        ds.SliceThickness, ds.InstanceNumber = spacing_mm[0], z + 1
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.RescaleSlope, ds.RescaleIntercept = 1, -1000
        put_pixels(ds, plane)
        slices.append(ds)
    return slices


def save_slices(folder: Path, slices: Sequence[Dataset], seed: int = 0) -> Path:
    """Write slices under names that say nothing about their order."""
    names = np.random.default_rng(seed).permutation(len(slices))
    for name, ds in zip(names, slices, strict=True):
        save(ds, folder / f"{name:04d}.dcm")
    return folder


def make_series(folder: Path, shape: tuple[int, int, int] = (6, 9, 11), **how: Any) -> Path:
    """A folder with a CT series of random values."""
    stored = np.random.default_rng(1).integers(0, 4000, shape).astype(np.int16)
    return save_slices(folder, make_slices(stored, **how))


def make_enhanced(
    path: Path,
    stored: np.ndarray,
    order: Sequence[int],
    change: Callable[[int, Dataset], None] = lambda z, group: None,
) -> Path:
    """An enhanced MR file whose frames are `stored` slices in another order."""
    ds = header(ENHANCED_MR, "MR", NumberOfFrames=len(order))
    put_pixels(ds, stored[list(order)])
    shared = Dataset()
    shared.PlaneOrientationSequence = [Dataset()]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = list(AXIAL)
    shared.PixelMeasuresSequence = [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.8, 0.7]
    shared.PixelMeasuresSequence[0].SliceThickness = 2.0
    ds.SharedFunctionalGroupsSequence = [shared]
    groups = []
    for z in order:
        group = Dataset()
        group.PlanePositionSequence = [Dataset()]
        group.PlanePositionSequence[0].ImagePositionPatient = [0.0, 0.0, 2.0 * z]
        group.PixelValueTransformationSequence = [Dataset()]
        group.PixelValueTransformationSequence[0].RescaleSlope = 1 + z
        group.PixelValueTransformationSequence[0].RescaleIntercept = -z
        change(z, group)
        groups.append(group)
    ds.PerFrameFunctionalGroupsSequence = groups
    return save(ds, path)


def describe_segment(number: int, name: str) -> SegmentDescription:
    """A segment made by hand."""
    return SegmentDescription(number, name, codes.SCT.Organ, codes.SCT.Liver, "MANUAL")


def make_seg(
    path: Path,
    sources: Sequence[Dataset],
    pixels: np.ndarray,
    kind: str,
    names: Mapping[int, str],
    **more: Any,
) -> Path:
    """A SEG written by highdicom."""
    segments = [describe_segment(n, name) for n, name in names.items()]
    path.parent.mkdir(parents=True, exist_ok=True)
    Segmentation(
        list(sources), pixels, kind, segments, generate_uid(), 1, generate_uid(), 1, "maker",
        "model", "1", "1", **more,
    ).save_as(path)  # fmt: skip
    return path


def make_rtstruct(
    path: Path,
    sources: Sequence[Dataset],
    rois: Mapping[str, Sequence[np.ndarray]],
    *,
    kind: str = "CLOSED_PLANAR",
    numbers: Sequence[int] = (),
    change: Callable[[Dataset], None] = lambda ds: None,
) -> Path:
    """An RTSTRUCT; each contour is (n, 3) LPS millimetres."""
    ds = header(RTSTRUCT, "RTSTRUCT", StudyInstanceUID=sources[0].StudyInstanceUID)
    series = Dataset()
    series.SeriesInstanceUID = sources[0].SeriesInstanceUID
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID = sources[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = [study]
    ds.ReferencedFrameOfReferenceSequence = [frame]
    ds.StructureSetROISequence, ds.ROIContourSequence = [], []
    for place, (name, contours) in enumerate(rois.items()):
        number = numbers[place] if numbers else place + 1
        roi = Dataset()
        roi.ROINumber, roi.ROIName = number, name
        roi.ReferencedFrameOfReferenceUID = frame.FrameOfReferenceUID
        ds.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber = number
        drawn.ContourSequence = [_contour(points, kind, sources) for points in contours]
        ds.ROIContourSequence.append(drawn)
    change(ds)
    return save(ds, path)


def _contour(points: np.ndarray, kind: str, sources: Sequence[Dataset]) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType = kind
    contour.NumberOfContourPoints = len(points)
    contour.ContourData = [f"{v:.9g}" for v in np.asarray(points, float).ravel()]
    nearest = min(sources, key=lambda s: abs(float(s.ImagePositionPatient[2]) - points[0][2]))
    image = Dataset()
    image.ReferencedSOPClassUID = nearest.SOPClassUID
    image.ReferencedSOPInstanceUID = nearest.SOPInstanceUID
    contour.ContourImageSequence = [image]
    return contour


def read_back(folder: Path) -> list[Dataset]:
    """All data sets of a folder, in the order of their paths."""
    return [dcmread(path) for path in sorted(folder.rglob("*.dcm"))]
