"""Whose a DICOM file is."""

from __future__ import annotations

from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.tag import Tag

from softlab_cli.core.folders import files_below
from softlab_cli.readers.dicom.files.common import open_dicom
from softlab_cli.readers.dicom.files.magic import is_dicom_file

__all__ = ["patient_id"]


def patient_id(path: Path) -> str:
    """PatientID of a file, or of the first DICOM file of a folder; empty where it has none.

    Raises
    ------
    InputError
        When the file cannot be read.
    """
    if path.is_dir():
        found = next((file for file in files_below(path) if is_dicom_file(file)), None)
        return "" if found is None else patient_id(found)
    tag = Tag(tag_for_keyword("PatientID") or 0)
    return open_dicom(path, [tag]).text("PatientID").strip()
