"""Which cases are of one patient, as far as DICOM files say it."""

from __future__ import annotations

import hashlib

from softlab_cli.cases import Case
from softlab_cli.core.errors import SoftlabError
from softlab_cli.readers import is_dicom

__all__ = ["patient_of"]


def patient_of(case: Case) -> str:
    """A word that cases of one patient share; empty where no file says who it is.

    It is a checksum of the PatientID, so that what is kept of it names nobody.
    """
    for path in (*case.label_maps, *case.images):
        if not is_dicom(path):
            continue
        from softlab_cli.readers.dicom.files.patient import patient_id

        try:
            found = patient_id(path)
        except SoftlabError:  # whoever reads the case says what is wrong with it
            continue
        if found:
            return f"patient-{hashlib.sha256(found.encode()).hexdigest()[:12]}"
    return ""
