"""Cases of a store as files, one after the other: what ``softlab export`` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.core.events import Listener, Notice, StageStarted, StageStepped, ignore
from softlab_cli.core.failures import failure
from softlab_cli.core.folders import some_of
from softlab_cli.output.dicom_seg import export_dicom_seg, series_of
from softlab_cli.output.export import EXPORTERS, export_case, remove_leftovers
from softlab_cli.output.hard_nifti import export_label_map
from softlab_cli.output.seg_nrrd import export_seg_nrrd
from softlab_cli.store.files import refuse_in_store
from softlab_cli.store.reader import Case, Store

if TYPE_CHECKING:
    from softlab_cli.readers.dicom.objects.write_seg import FractionalType

__all__ = ["KINDS", "export_cases"]

KINDS = (*EXPORTERS, "dicom-seg", "seg-nrrd")
"""Kinds of files."""


def export_cases(
    store: Store,
    folder: str | os.PathLike[str],
    case_ids: Sequence[str] = (),
    *,
    to: str = "nifti",
    per_class: bool = False,
    overwrite: bool = False,
    images: str | os.PathLike[str] | None = None,
    series: str | None = None,
    hard: bool = False,
    listen: Listener = ignore,
) -> dict[str, list[Path]]:
    """Write cases of a store as files.

    Parameters
    ----------
    store
        A store that `softlab_cli.open_store` has opened.
    folder
        Where to write; it is made if need be.
    case_ids
        The cases; by default all.
    to
        ``nifti``, ``npz`` (see `softlab_cli.output.export.export_case`), ``dicom-seg``
        (see `softlab_cli.output.dicom_seg.export_dicom_seg`) or ``seg-nrrd``
        (see `softlab_cli.output.seg_nrrd.export_seg_nrrd`).
    per_class
        NIfTI only: one file for each class.
    overwrite
        Replace files that are there already.
    images
        DICOM SEG only: the series, or a folder of case folders; by default the image that
        a case was made with.
    series
        DICOM SEG only: UID, description or pattern, where there are several.
    hard
        NIfTI: the hard label as a label map (see
        `softlab_cli.output.hard_nifti.export_label_map`). DICOM SEG: as LABELMAP instead of
        FRACTIONAL.
    listen
        Is told of each case that is written or cannot be, and of voxels that become
        background since a format has no mark for those that are not labelled.

    Returns
    -------
    dict
        Case id to the files that were written.

    Raises
    ------
    UsageError
        For options that do not go with `to`, or a folder in a store.
    MissingCaseError
        For a case id that the store does not have.
    InputError
        When a case has no DICOM series to refer to, or not on its grid.
    StoreError
        When the store has no case. When a case is damaged, a file of it exists already, or
        cannot be written: of several cases the others are written before, and the listener
        is told why these are not.
    """
    if to not in KINDS:
        raise UsageError(f"cannot export to {to!r}.", remedy=f"There are: {', '.join(KINDS)}.")
    if to != "nifti" and per_class:
        raise UsageError("--per-class goes with --to nifti only.", remedy="Leave it out.")
    if to != "dicom-seg" and (images or series):
        raise UsageError(
            "--images and --series go with --to dicom-seg only.", remedy="Leave them out."
        )
    _check_hard(to, hard, per_class)
    refuse_in_store(folder)
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise StoreError("is a file.", remedy="Give --out a folder.", path=Path(folder))
    store.check_filled()
    names = list(dict.fromkeys(case_ids)) or list(store)
    store.check_known(names)
    remove_leftovers(Path(folder))
    export = _exporter(Path(folder), to, per_class, overwrite, images, series, hard)
    written, errors = _each(store, names, export, listen)
    if to == "seg-nrrd" or (to == "dicom-seg" and hard):
        _tell_unlabelled([store[case_id] for case_id in written], listen)
    if errors:
        raise StoreError(
            f"{len(errors)} of {len(names)} cases could not be written: {some_of(list(errors))}.",
            remedy="Do what is said of each, and export them by their names.",
            path=Path(folder),
        ) from next(iter(errors.values()))
    return written


Export = Callable[[Store, Case], list[Path]]
"""Writes one case; the files that it has written."""


def _exporter(
    folder: Path, to: str, per_class: bool, overwrite: bool,
    images: str | os.PathLike[str] | None, series: str | None, hard: bool,
) -> Export:  # fmt: skip
    def dicom_seg(store: Store, case: Case) -> list[Path]:
        place = series_of(case.case_id, case.sources, None if images is None else Path(images))
        return [
            export_dicom_seg(
                case, folder, place, series=series, hard=hard, method=store.info.method,
                fractional_type=_fractional_type(case), overwrite=overwrite,
            )
        ]  # fmt: skip

    def files(_: Store, case: Case) -> list[Path]:
        if to == "seg-nrrd":
            return [export_seg_nrrd(case, folder, overwrite=overwrite)]
        if hard:
            return export_label_map(case, folder, overwrite=overwrite)
        return export_case(case, folder, to=to, per_class=per_class, overwrite=overwrite)

    return dicom_seg if to == "dicom-seg" else files


def _each(
    store: Store, case_ids: Sequence[str], export: Export, listen: Listener
) -> tuple[dict[str, list[Path]], dict[str, Exception]]:
    """Write each case; the files of those that are written, and why others are not."""
    written: dict[str, list[Path]] = {}
    errors: dict[str, Exception] = {}
    listen(StageStarted("export", len(case_ids)))
    for case_id in case_ids:
        try:
            written[case_id] = export(store, store[case_id])
        except Exception as error:  # whatever it is, it is about this case
            if len(case_ids) == 1:
                raise
            errors[case_id] = error
            listen(failure(case_id, error))
        else:
            listen(StageStepped("export", case_id))
    return written, errors


def _check_hard(to: str, hard: bool, per_class: bool) -> None:
    if hard and to not in ("nifti", "dicom-seg"):
        remedy = "It has the hard label anyway; leave it out."
        raise UsageError("--hard goes with --to nifti and dicom-seg.", remedy=remedy)
    if hard and per_class:
        raise UsageError(
            "--per-class is about soft labels, and --hard writes one label map.",
            remedy="Leave one of them out.",
        )


def _tell_unlabelled(cases: Sequence[Case], listen: Listener) -> None:
    """Say once that voxels which are not labelled have become background."""
    counts = {case.case_id: _unlabelled(case) for case in cases}
    found = {case_id: count for case_id, count in counts.items() if count}
    if found:
        voxels, few = sum(found.values()), some_of(list(found), 3)
        listen(
            Notice(
                f"{voxels:,} {'voxel is' if voxels == 1 else 'voxels are'} not labelled ({few}), "
                "for which the format has no mark: they are background in the files"
            )
        )


def _unlabelled(case: Case) -> int:
    if case.statistics is not None:
        return case.statistics.ignored_voxels
    return int((case.read_label() == case.classes.ignore_index).sum())


def _fractional_type(case: Case) -> FractionalType:
    """What the fractions of a case mean; those that were imported mean what they did there."""
    occupancy = case.info.details.get("fractional_type") == "OCCUPANCY"
    return "OCCUPANCY" if occupancy else "PROBABILITY"
