"""Write DICOM SEG: soft labels as FRACTIONAL, label maps as LABELMAP.

Both refer to the series that they belong to and lie on its slices. The whole
segmentation is built in memory: about five bytes for each voxel and segment of a
FRACTIONAL one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.readers.dicom.files.common import listing, open_dicom, quiet
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.lattice import Turn, find_turn
from softlab_cli.version import __version__

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom.dataset import Dataset

__all__ = ["FractionalType", "write_label_map_seg", "write_soft_seg"]

FractionalType = Literal["PROBABILITY", "OCCUPANCY"]

_MADE_BY = "softlab"
_LARGEST_FRACTION = 255
# What a segmentation has to repeat of its source, and anonymised files lack.
_PATIENT_AND_STUDY = (
    "PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID",
    "StudyDate", "StudyTime",
)  # fmt: skip


def write_soft_seg(
    path: str | Path,
    soft: SoftSegments,
    series: SeriesGrid,
    *,
    fractional_type: FractionalType = "PROBABILITY",
    method: str = "soft label",
) -> None:
    """Write a soft label as a DICOM SEG of kind FRACTIONAL.

    Parameters
    ----------
    path
        The file to write.
    soft
        The soft label; the segment with label value 0 (background) is not
        written. Segments are numbered 1, 2, 3... in their order, as the standard
        demands; their names become segment labels.
    series
        The series that it belongs to.
    fractional_type
        What the fractions mean.
    method
        What made the soft label, for the file.

    Raises
    ------
    GeometryError
        When the soft label does not lie on the series' grid, up to a turn.
    InputError
        When the series lacks what a segmentation has to refer to, or no segment
        is left.
    """
    turn = _turn(soft.geometry, series)
    kept = [i for i, value in enumerate(soft.values) if value != 0]
    sources = _Sources.of(series)
    pixels = np.empty((*series.geometry.shape, len(kept)), np.float32)
    for place, index in enumerate(kept):
        pixels[..., place] = np.clip(turn.apply(soft.read(index)), 0.0, 1.0)
    names = {number: soft.names[index] for number, index in enumerate(kept, 1)}
    sources.write(
        Path(path),
        pixels,
        "FRACTIONAL",
        names,
        method,
        fractional_type=fractional_type,
        max_fractional_value=_LARGEST_FRACTION,
    )


def write_label_map_seg(
    path: str | Path,
    label_map: LabelMap,
    names: Mapping[int, str],
    series: SeriesGrid,
    *,
    method: str = "label map",
) -> None:
    """Write a label map as a DICOM SEG of kind LABELMAP.

    Parameters
    ----------
    path
        The file to write.
    label_map
        Label values 0 to 65535; 0 is background. Ignored voxels have to be given
        a value of their own or 0: the format has no mark for them.
    names
        Names of label values, which become segment numbers; values that occur
        and have no name are called ``label_<value>``.
    series
        The series that it belongs to.
    method
        What made the label map, for the file.

    Raises
    ------
    GeometryError, InputError
        As for `write_soft_seg`.
    """
    values = _turn(label_map.geometry, series).apply(label_map.values)
    found = [int(v) for v in np.unique(values)]
    if found[0] < 0 or found[-1] > np.iinfo(np.uint16).max:
        problem = f"label values {found[0]} to {found[-1]} do not fit a DICOM SEG (0 to 65535)."
        raise InputError(problem, remedy="Renumber the labels.", path=path)
    all_names = {v: names.get(v, f"label_{v}") for v in sorted({*names, *found}) if v != 0}
    pixels = values.astype(np.uint8 if max(all_names, default=0) <= 255 else np.uint16)
    _Sources.of(series).write(Path(path), pixels, "LABELMAP", all_names, method)


def _turn(geometry: Geometry, series: SeriesGrid) -> Turn:
    turn = find_turn(geometry, series.geometry)
    if turn is not None:
        return turn
    raise GeometryError(
        "the label does not lie on the grid of the series:\n"
        f"  label: {geometry.describe()}\n"
        f"  series: {series.geometry.describe()}\n",
        remedy="Give the series that the case was made from.",
        path=series.path,
    )


@dataclass(frozen=True, eq=False)
class _Sources:
    """Headers of a series, ready to be referred to."""

    series: SeriesGrid
    headers: Sequence[Dataset]

    @classmethod
    def of(cls, series: SeriesGrid) -> _Sources:
        """Read the headers in full, one for each file, and fill in what may be empty."""
        with quiet():
            paths = dict.fromkeys(frame.file.path for frame in series.frames)
            headers = [open_dicom(path).header for path in paths]
            for header in headers:
                for keyword in _PATIENT_AND_STUDY:
                    if keyword not in header:
                        setattr(header, keyword, "")
        needed = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "FrameOfReferenceUID")
        if lacking := [k for k in needed if not all(h.get(k) for h in headers)]:
            raise InputError(
                f"the series has no {listing(lacking)}: a segmentation cannot refer to it.",
                remedy="Export another format, or give the series with its UIDs.",
                path=series.path,
            )
        if 1 < len(headers) < len(series.frames):
            raise InputError(
                f"the series is {len(headers)} multi-frame files; a segmentation can refer to one.",
                remedy="Export another format.",
                path=series.path,
            )
        return cls(series, headers)

    def write(
        self,
        path: Path,
        pixels: NDArray[Any],
        kind: str,
        names: Mapping[int, str],
        method: str,
        **more: Any,
    ) -> None:
        """Build the segmentation and save it."""
        from highdicom.seg import Segmentation
        from pydicom.uid import generate_uid

        if not names:
            raise InputError("there is no segment to write.", path=path)
        with quiet():
            Segmentation(
                list(self.headers),
                self._in_file_order(pixels),
                kind,
                [_description(number, name, method) for number, name in names.items()],
                series_instance_uid=generate_uid(),
                series_number=1,
                sop_instance_uid=generate_uid(),
                instance_number=1,
                manufacturer=_MADE_BY,
                manufacturer_model_name=_MADE_BY,
                software_versions=__version__,
                device_serial_number="0",
                series_description=method[:64],
                **more,
            ).save_as(path)

    def _in_file_order(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Slices in the order of the headers' frames."""
        if len(self.headers) == len(self.series.frames):
            return pixels
        order = np.argsort([frame.number for frame in self.series.frames])
        return pixels[order]


def _description(number: int, name: str, method: str) -> SegmentDescription:
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.seg import SegmentDescription
    from pydicom.sr.codedict import codes

    return SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Tissue,
        algorithm_type="SEMIAUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=method[:64], family=codes.cid7162.NeighborhoodAnalysis, version=__version__
        ),
    )
