"""Which image series of a folder a segmentation or structure set fits, and why not the others."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from softlab_cli.core.errors import InputError
from softlab_cli.readers.dicom.files.common import quiet
from softlab_cli.readers.dicom.files.scan import Scan, Series, scan_dicom
from softlab_cli.readers.dicom.objects.reference import (
    Reference,
    holds_any,
    in_frame_of_reference,
    pick_series,
    shares_frame,
)
from softlab_cli.readers.dicom.series.grid import SeriesGrid
from softlab_cli.readers.dicom.series.read import grid_of

__all__ = ["Fit", "fits_in"]

Verdict = Literal["yes", "with --series", "no"]


@dataclass(frozen=True)
class Fit:
    """Whether a label object fits one series.

    Parameters
    ----------
    series
        UID of the series, or what stands for it.
    description
        Of the series.
    fits
        ``yes`` for the one that a run takes, ``with --series`` for one that it takes
        when it is told to.
    why
        The reason.
    grid
        The series' grid; None without a fit.
    """

    series: str
    description: str
    fits: Verdict
    why: str
    grid: SeriesGrid | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, str]:
        """The fit as facts."""
        return {
            "series": self.series,
            "description": self.description,
            "fits": self.fits,
            "why": self.why,
        }


def fits_in(reference: Reference, folder: Path) -> tuple[Fit, ...]:
    """How a label object fits each image series of a folder, those that fit first.

    Parameters
    ----------
    reference
        What the SEG or RTSTRUCT says of its images.
    folder
        Searched with its subfolders.
    """
    with quiet():
        scan = scan_dicom(folder)
        try:
            chosen = pick_series(scan, reference)
        except InputError:
            chosen = None
        found = [_fit(reference, scan, s, chosen) for s in scan.of_kind("image")]
    return tuple(sorted(found, key=lambda fit: ("yes", "with --series", "no").index(fit.fits)))


def _fit(reference: Reference, scan: Scan, series: Series, chosen: Series | None) -> Fit:
    uid = series.uid or "(no series UID)"
    if reason := _plainly_foreign(series, reference):
        return Fit(uid, series.description, "no", reason)
    try:
        grid = grid_of(scan, series).checked()
        in_frame_of_reference(grid, reference)
        reference.place_on(grid)
    except InputError as error:
        return Fit(uid, series.description, "no", " ".join(error.problem.split()))
    fits: Verdict = "yes" if series is chosen else "with --series"
    return Fit(uid, series.description, fits, _reason(series, reference), grid)


def _plainly_foreign(series: Series, reference: Reference) -> str:
    """Why a series need not be looked at further; empty where it must be."""
    theirs = series.files[0].text("FrameOfReferenceUID")
    named = series.uid in reference.series_uids or holds_any(series, reference.image_uids)
    if named or not theirs or not reference.frame_of_reference:
        return ""
    same = shares_frame(series, reference)
    return "" if same else "it is not named, and has another frame of reference."


def _reason(series: Series, reference: Reference) -> str:
    if series.uid in reference.series_uids:
        return "the series is named."
    if holds_any(series, reference.image_uids):
        return "images of the series are named."
    return "neither the series nor its images are named, but all lies on its slices."
