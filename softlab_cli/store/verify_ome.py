"""Check, and write anew, the OME metadata of a case: they follow from its affine and classes."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.store.defects import Defect
from softlab_cli.store.differing import first_difference
from softlab_cli.store.documents import label_documents, ome_metadata
from softlab_cli.store.files import (
    METADATA,
    partial_path,
    read_json,
    remove,
    sync_file,
    system_errors,
    write_json,
)
from softlab_cli.store.ngff_rules import ngff_problems
from softlab_cli.store.reader import Case
from softlab_cli.store.schema import FIRST_SCHEMA, StoreInfo

__all__ = ["check_ome", "mend_ome"]

NEAR_MM = 1e-9
"""The last bits of an inverse matrix depend on the machine."""

MENDING = "softlab verify --mend-ome writes such metadata anew, and nothing else."


def check_ome(case: Case, store: StoreInfo, document: Mapping[str, Any]) -> Iterator[Defect]:
    """What of the OME metadata differs from what affine and classes say.

    Parameters
    ----------
    case
        The case; it could be opened.
    store
        What holds for all cases.
    document
        The case's ``zarr.json``.
    """
    what = f"OME-NGFF {store.ome}"
    ome = ome_metadata(case.case_id, case.info, store)
    told = document["attributes"].get("ome")
    if store.schema == FIRST_SCHEMA and (earlier := _of_earlier(case, ome[""], told)) is not None:
        yield from (replace(defect, what=what) for defect in earlier)
    elif problem := _image_problem(case, store, ome[""], told):
        yield Defect(case.case_id, what, problem, remedy=MENDING)
    for path, document in label_documents(ome).items():
        place = case.path / path / METADATA
        try:
            problem = first_difference(read_json(place), document, near=NEAR_MM)
        except StoreError as error:
            problem = error.problem
        if problem:
            yield Defect(case.case_id, what, f"{path}/{METADATA}: {problem}", remedy=MENDING)


def _image_problem(case: Case, store: StoreInfo, expected: dict[str, Any], told: Any) -> str:
    arrays = {a.path_in(case.path): a.layout.axes for a in case.arrays}
    problems = ngff_problems(told, arrays) if store.ome == "0.5" else []
    return next(iter(problems), "") or first_difference(told, expected, near=NEAR_MM)


def _of_earlier(case: Case, expected: dict[str, Any], told: Any) -> list[Defect] | None:
    """What is wrong with metadata as versions wrote them that named no axes; None for others.

    They put the first voxel where it is in the world, and let all axes run to RAS.
    """
    expected = copy.deepcopy(expected)
    multiscale, geometry = expected["multiscales"][0], case.geometry
    for axis in multiscale["axes"]:
        axis.pop("orientation", None)
    if not first_difference(told, expected, near=NEAR_MM):
        return []
    place = multiscale["datasets"][0]["coordinateTransformations"][1]
    right, spatial = place["translation"], geometry.origin_mm[::-1][3 - geometry.ndim :]
    place["translation"] = [*right[: len(right) - geometry.ndim], *spatial]
    if first_difference(told, expected, near=NEAR_MM):
        return None
    detail = (
        f"an earlier version of softlab let the axes (x, y, z) run to RAS, and they run to "
        f"{geometry.orientation}: translation {place['translation']} instead of {right}"
    )
    # Oblique axes that run roughly to RAS were as right as unnamed axes can be.
    slight = geometry.orientation == "RAS"
    return [Defect(case.case_id, "", detail, "note" if slight else "defect", MENDING)]


def mend_ome(case: Case, store: StoreInfo) -> bool:
    """Write the OME metadata of a case anew where they differ; nothing else of it is touched.

    Parameters
    ----------
    case
        The case.
    store
        What holds for all cases.

    Returns
    -------
    mended
        Whether anything was written.

    Raises
    ------
    StoreError
        When it cannot be written.
    """
    ome = ome_metadata(case.case_id, case.info, store)
    expected, documents = ome[""], label_documents(ome)
    whole = read_json(case.path / METADATA)
    changed = {path: d for path, d in documents.items() if _differs(case.path / path, d)}
    if first_difference(whole["attributes"].get("ome"), expected, near=NEAR_MM):
        # In front, as the writer has it: a seal is checked fastest at the end of a file.
        rest = {k: v for k, v in whole["attributes"].items() if k != "ome"}
        changed[""] = {**whole, "attributes": {"ome": expected, **rest}}
    for path, document in changed.items():
        _replace(case.path.parent, case.path / path / METADATA, document)
    return bool(changed)


def _differs(folder: Path, document: dict[str, Any]) -> bool:
    try:
        return bool(first_difference(read_json(folder / METADATA), document, near=NEAR_MM))
    except StoreError:
        return True


def _replace(store: Path, target: Path, document: dict[str, Any]) -> None:
    """Write a file in one step: whoever reads it finds the old one or the new one."""
    draft = partial_path(store, METADATA)
    try:
        write_json(draft, document)
        sync_file(draft)
        with system_errors(target, "written"):
            os.replace(draft, target)
    finally:
        remove(draft)
