"""Case ids: the file names that they come from, and what they may be."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from softlab_cli.core.errors import InputError

__all__ = [
    "DICOM_SUFFIXES",
    "IMAGE_SUFFIXES",
    "ITK_SUFFIXES",
    "LONGEST_CASE_ID",
    "NIBABEL_SUFFIXES",
    "NIFTI_SUFFIXES",
    "NRRD_SUFFIXES",
    "PARTIAL_MARK",
    "PICTURE_SUFFIXES",
    "PROBABILITY_SUFFIX",
    "check_case_id",
    "hard_to_carry",
    "image_suffix",
    "natural_order",
    "strip_suffix",
]

NIFTI_SUFFIXES = (".nii.gz", ".nii")
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
NRRD_SUFFIXES = (".seg.nrrd", ".nrrd", ".nhdr")
ITK_SUFFIXES = (*NRRD_SUFFIXES, ".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".tiff", ".tif")
NIBABEL_SUFFIXES = (".mgz", ".mgh", ".hdr")
IMAGE_SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *PICTURE_SUFFIXES, *NIBABEL_SUFFIXES)
"""Endings of images and label maps; DICOM files are known by their content."""

PROBABILITY_SUFFIX = ".npz"
"""Ending of nnU-Net's probabilities, which lie beside the segmentation of the same name."""

PARTIAL_MARK = ".partial-"
"""Part of the names of unfinished cases in a store."""

LONGEST_CASE_ID = 200
"""Bytes: a file name has 255, and the mark of an unfinished case must fit."""

NAMES_KEPT = 4096

LONGEST_NUMBER = 4000
"""Digits of a number in a name; Python refuses to count further."""


def natural_order(text: str) -> tuple[list[str | int], str]:
    """Sorting key that counts numbers as numbers: ``case2`` before ``case10``."""
    parts = re.split(r"([0-9]+)", text)
    return [int(p[:LONGEST_NUMBER]) if i % 2 else p for i, p in enumerate(parts)], text


@lru_cache(maxsize=NAMES_KEPT)
def image_suffix(name: str) -> str:
    """The image ending of a file name in lower case, or an empty string.

    Parameters
    ----------
    name
        A file name, for instance ``case_1.nii.gz``.
    """
    lower = name.lower()
    return next((s for s in IMAGE_SUFFIXES if lower.endswith(s)), "")


def strip_suffix(name: str) -> str:
    """A file name without its image ending; unchanged when it has none."""
    suffix = image_suffix(name) or next((s for s in DICOM_SUFFIXES if name.lower().endswith(s)), "")
    return name[: len(name) - len(suffix)]


def check_case_id(case_id: str) -> None:
    """Refuse a case id that cannot name a folder of a store (a Zarr group).

    Raises
    ------
    InputError
        With the id and the reason.
    """
    reason = _why_not(case_id)
    if reason:
        raise InputError(f"the case id {case_id!r} {reason}.", remedy="Rename the case.")


def _why_not(case_id: str) -> str:
    if not case_id:
        return "is empty"
    if any(c in "/\\" or not c.isprintable() for c in case_id):
        return "holds a path separator or an unprintable character"
    if case_id.startswith((".", "__")):
        return "starts with '.' or '__', which names of Zarr groups may not"
    if PARTIAL_MARK in case_id:
        return f"holds {PARTIAL_MARK!r}, the mark of unfinished cases"
    if case_id == "zarr.json":
        return "is the name of a file in every store"
    if len(os.fsencode(case_id)) > LONGEST_CASE_ID:
        return f"is longer than {LONGEST_CASE_ID} bytes"
    return ""


FORBIDDEN_ELSEWHERE = '<>:"|?*'
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{d}{i}" for d in ("COM", "LPT") for i in range(1, 10))}
"""What Windows takes for a device, with any ending."""


def hard_to_carry(case_ids: Sequence[str]) -> list[str]:
    """Why a store with these cases cannot be copied to other systems; empty when it can.

    Parameters
    ----------
    case_ids
        Ids that are allowed here.

    Returns
    -------
    list of str
        One sentence for each reason, with an example.
    """
    reasons: dict[str, str] = {}
    alike: dict[str, str] = {}
    for case_id in case_ids:
        if reason := _why_not_elsewhere(case_id):
            reasons.setdefault(reason, f"the case id {case_id!r} {reason}")
        other = alike.setdefault(unicodedata.normalize("NFC", case_id).casefold(), case_id)
        if other != case_id:
            reason = "differ in upper and lower case or accents only"
            reasons.setdefault(reason, f"the case ids {other!r} and {case_id!r} {reason}")
    return list(reasons.values())


def _why_not_elsewhere(case_id: str) -> str:
    if any(c in FORBIDDEN_ELSEWHERE for c in case_id):
        return f"holds one of {FORBIDDEN_ELSEWHERE}"
    if case_id.endswith((".", " ")):
        return "ends in a dot or a space"
    if case_id.split(".")[0].upper() in DEVICES:
        return "is the name of a device"
    return ""
