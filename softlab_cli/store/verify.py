"""Check a store: metadata, files, voxels, statistics, soft labels, sources."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from softlab_cli.core.errors import StoreError
from softlab_cli.core.events import Listener, StageStarted, StageStepped, ignore
from softlab_cli.core.provenance import Source, same_content, sha256_of
from softlab_cli.store.defects import Defect, Severity
from softlab_cli.store.documents import softlab_facts
from softlab_cli.store.files import METADATA, is_partial, list_cases, read_json, system_errors
from softlab_cli.store.reader import Case, Store
from softlab_cli.store.records import SEAL, is_sealed
from softlab_cli.store.remedies import COPY
from softlab_cli.store.softening import LocalSoftener
from softlab_cli.store.verify_data import check_raters, check_voxels
from softlab_cli.store.verify_files import (
    check_files,
    check_group,
    check_link,
    check_shards,
    unreadable_data,
)
from softlab_cli.store.verify_ome import mend_ome
from softlab_cli.store.verify_soft import check_against_label

__all__ = ["Defect", "verify_store"]

UNFINISHED = "in work, or left by a run that was killed; the same command completes it"
UNPROVEN = (
    "an earlier version, without checksums: a chunk that is lost or exchanged, a value that has "
    "changed and an edited file of metadata may pass unseen"
)
AGAIN = "Run the command again, which computes such a case anew; or bring back the file that was."
ADD = "Run the command again, which adds what is missing."
NO_CASE = (
    "Move it elsewhere; or run the command again, which computes a case of that name anew, if it "
    "was one."
)
CASES_NAMED = 20


def verify_store(
    path: str | Path,
    *,
    cases: Sequence[str] | None = None,
    check_sources: bool = True,
    quick: bool = False,
    mend: bool = False,
    softener: LocalSoftener | None = None,
    expected: Mapping[str, Sequence[Path]] | None = None,
    missing: Severity = "defect",
    listen: Listener | None = None,
) -> list[Defect]:
    """Look for everything that could be wrong with a store.

    Memory is that of a few blocks, however large the cases are.

    Parameters
    ----------
    path
        The store's folder.
    cases
        Case ids to check; None for all, and for the store's own files.
    check_sources
        Compare the files that the cases were made from with their checksums,
        where they are at hand.
    quick
        Read metadata, and indexes and digests of the shards, and no voxel.
    mend
        Write OME metadata anew where they differ from affine and classes. That is all
        that is written, and a note says so.
    softener
        What computes the soft labels from the hard ones, for methods that can;
        what is stored must have the same bits.
    expected
        Case id to label maps, one for each rater, of the cases that should be
        there; no label maps where they are not to be compared. None when nobody knows.
    missing
        What an expected case that is not there is.
    listen
        Is told of each case that was checked.

    Returns
    -------
    defects
        What was found; the store is sound when none has severity ``defect``.

    Raises
    ------
    StoreError
        When the folder is no store of softlab at all.
    MissingCaseError
        For a case id that the store does not have.
    """
    store = Store(path)
    found = [] if cases is not None else list(_check_root(store))
    wanted = list(store) if cases is None else list(cases)
    tell = listen or ignore
    tell(StageStarted("verify", len(wanted)))
    unproven, opened = 0, set[str]()
    for case_id in wanted:
        case, defects = _open(store, case_id)
        defects += check_link(case_id, store.path / case_id, store.path)
        if case is not None:
            unproven += not case.info.arrays
            defects += _mended(store, case) if mend else ()
            defects += _check_case(store, case, quick, softener, opened)
            defects += _check_sources(case, check_sources, (expected or {}).get(case_id))
        found += defects
        tell(StageStepped("verify", case_id))
    if unproven:
        detail = f"{unproven} of {len(wanted)} cases were written by {UNPROVEN}"
        found.append(Defect("", "not checked", detail, "note"))
    if expected is not None and cases is None:
        found += _check_expected(list(store), expected, missing)
    return found


def _check_root(store: Store) -> Iterator[Defect]:
    """Metadata of the root, and its files and folders that are not cases."""
    root = store.path / METADATA
    yield from check_group("", root, read_json(root))
    facts = softlab_facts(root)
    if SEAL in facts and not is_sealed(facts):
        detail = f"{root} has changed since it was written"
        yield Defect("", "metadata", detail, remedy=COPY)
    cases = set(list_cases(store.path))
    with system_errors(store.path, "read"):
        names = sorted(os.listdir(store.path))
    for name in names:
        if name in cases:
            continue
        yield from check_link("", store.path / name, store.path)
        if name == METADATA:
            continue
        if is_partial(name):
            yield Defect("", "unfinished case", f"{name}: {UNFINISHED}", "note")
        elif (store.path / name).is_dir():
            detail = f"{name} has no {METADATA}"
            yield Defect("", "folder that is no case", detail, remedy=NO_CASE)
        else:
            yield Defect("", "unknown file", name, "note")


def _open(store: Store, case_id: str) -> tuple[Case | None, list[Defect]]:
    try:
        return store[case_id], []
    except StoreError as error:
        if case_id not in store:
            raise
        return None, [unreadable_data(case_id, error, "metadata")]


def _mended(store: Store, case: Case) -> Iterator[Defect]:
    """Write the OME metadata of a case anew where they differ; says so, or why it cannot."""
    what = f"OME-NGFF {store.info.ome}"
    try:
        if mend_ome(case, store.info):
            detail = f"written anew from the affine: {case.geometry.describe()}"
            yield Defect(case.case_id, what, detail, "note")
    except StoreError as error:
        yield unreadable_data(case.case_id, error, what)


def _check_case(
    store: Store, case: Case, quick: bool, softener: LocalSoftener | None, opened: set[str]
) -> list[Defect]:
    found = list(check_files(case, store.info, opened))
    if quick:
        return [*found, *check_shards(case)]
    found += check_voxels(case, sums_to_one=store.info.sums_to_one)
    if case.rater_array is not None:
        classes = store.classes
        found += check_raters(case.case_id, case.rater_array, len(classes), classes.ignore_index)
    if case.statistics is None:
        found.append(Defect(case.case_id, "metadata", "has no statistics", "note"))
    # What differs because of another defect is no defect of its own.
    sound = all(d.severity == "note" for d in found)
    if softener is not None and case.soft_array is not None and sound:
        found += check_against_label(case, softener)
    return found


def _check_sources(
    case: Case, check_sources: bool, label_maps: Sequence[Path] | None
) -> Iterator[Defect]:
    for source in case.sources if check_sources else ():
        yield from _check_source(case.case_id, source)
    kept = [source for source in case.sources if source.role == "label"]
    if label_maps and not same_content(kept, [(p, "label") for p in label_maps]):
        detail = f"not from {', '.join(map(str, label_maps))} as it is now"
        yield Defect(case.case_id, "made from other files", detail, remedy=AGAIN)


def _check_source(case_id: str, source: Source) -> Iterator[Defect]:
    path = Path(source.path)
    try:
        found = sha256_of(path)
    except OSError:
        yield Defect(case_id, "source not at hand", str(path), "note")
        return
    if found != source.sha256:
        detail = f"{path} has sha256 {found} and had {source.sha256}"
        yield Defect(case_id, "source has changed", detail, remedy=AGAIN)


def _check_expected(
    present: Sequence[str], expected: Mapping[str, object], missing: Severity
) -> Iterator[Defect]:
    absent = [case_id for case_id in expected if case_id not in set(present)]
    if absent:
        here = len(expected) - len(absent)
        detail = f"{here} of {len(expected)} cases are here; missing: {_named(absent)}"
        yield Defect("", "missing cases", detail, missing, ADD)
    if others := [case_id for case_id in present if case_id not in expected]:
        yield Defect("", "cases that were not expected", _named(others), "note")


def _named(case_ids: Sequence[str]) -> str:
    more = len(case_ids) - CASES_NAMED
    return ", ".join(case_ids[:CASES_NAMED]) + (f" and {more} more" if more > 0 else "")
