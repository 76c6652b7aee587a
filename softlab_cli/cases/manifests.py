"""Cases that a file lists: MONAI datalists (JSON) and manifests (CSV)."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from softlab_cli.cases.case import Finding, natural_order
from softlab_cli.cases.folders import load_json
from softlab_cli.core.caseid import strip_suffix
from softlab_cli.core.errors import InputError

__all__ = ["TABLE_SUFFIXES", "read_datalist", "read_manifest"]

TABLE_SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t"
PADDING = " \t"
"""Left out around a value; a line break or another space is part of a name, for better or worse."""

IMAGE_COLUMN = re.compile(r"image(_[0-9]+)?")

DATALIST_FORM = (
    'Expected {"training": [{"image": "a.nii.gz", "label": "b.nii.gz"}]}, or such a list.'
)
MANIFEST_FORM = (
    "Expected the columns case_id, label and, if there are any, image (or image_0, ...), rater."
)


def read_datalist(path: Path, rater: str) -> list[Finding]:
    """The cases of a MONAI datalist or of a Medical Segmentation Decathlon ``dataset.json``.

    The id is the label map's file name, or its folder's name where all label
    maps are called the same.

    Parameters
    ----------
    path
        A JSON file; paths in it count from its folder. All sections are taken;
        entries of ``test`` sections without a label are left out.
    rater
        Name for the label maps.

    Raises
    ------
    InputError
        When the file has another form, or an entry has no label.
    """
    entries = {label: images for label, images in _entries(path)}
    names = [strip_suffix(label.name) for label in entries]
    if len(names) > 1 and len(set(names)) == 1:
        names = [label.parent.name for label in entries]
    return [
        Finding(name, label, rater, images)
        for name, (label, images) in zip(names, entries.items(), strict=True)
    ]


def _entries(path: Path) -> Iterator[tuple[Path, tuple[Path, ...]]]:
    """Label map and images of each entry."""
    sections = _sections(load_json(path))
    if not sections:
        raise InputError("is no datalist.", remedy=DATALIST_FORM, path=path)
    for section, entries in sections.items():
        for i, entry in enumerate(entries):
            if "label" not in entry and section.startswith("test"):
                continue
            where = f"entry {i} of {section!r}" if section else f"entry {i}"
            label, images = _paths_of(entry, where, path)
            yield path.parent / label, tuple(path.parent / image for image in images)


def _paths_of(entry: Mapping[str, Any], where: str, path: Path) -> tuple[str, list[str]]:
    if entry.get("label") is None:
        raise InputError(f"{where} has no label.", remedy=DATALIST_FORM, path=path)
    label, images = entry["label"], entry.get("image") or []
    images = [images] if isinstance(images, str) else images
    if not isinstance(images, list) or not all(map(_is_path, [label, *images])):
        raise InputError(
            f"{where} has something other than file names.", remedy=DATALIST_FORM, path=path
        )
    return label, images


def _is_path(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _sections(content: Any) -> dict[str, list[Mapping[str, Any]]]:
    """Lists of objects, by the name of their section."""
    named = content if isinstance(content, dict) else {"": content}
    return {
        str(name): entries
        for name, entries in named.items()
        if isinstance(entries, list) and entries and all(isinstance(e, dict) for e in entries)
    }


def read_manifest(path: Path, rater: str) -> list[Finding]:
    """The cases of a CSV file, one label map in each row.

    Parameters
    ----------
    path
        Separated by commas, semicolons or tabs, with the columns ``case_id``
        and ``label``; ``image`` or ``image_0``, ``image_1``, ... and ``rater``
        may follow, other columns are left out. Paths count from its folder.
    rater
        Name for the label maps, where there is no column ``rater``.

    Raises
    ------
    InputError
        When a column or a value is missing (with the line), or there are no rows.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:  # csv knows its line ends
            findings = list(_rows(file.read(), path, rater))
    except UnicodeDecodeError as error:
        raise InputError("is not text in UTF-8.", path=path) from error
    except csv.Error as error:
        raise InputError(f"is no table ({error}).", remedy=MANIFEST_FORM, path=path) from error
    if not findings:
        raise InputError("lists no case.", remedy=MANIFEST_FORM, path=path)
    return findings


def _rows(text: str, path: Path, rater: str) -> Iterator[Finding]:
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    rows = csv.DictReader(
        StringIO(text, newline=""),
        delimiter=max(DELIMITERS, key=header.count),
        skipinitialspace=True,
    )
    columns = [c.strip() for c in rows.fieldnames or ()]
    missing = [c for c in ("case_id", "label") if c not in columns]
    if missing:
        raise InputError(
            f"line 1 has no column {' and '.join(missing)}; it has {', '.join(columns) or 'none'}.",
            remedy=MANIFEST_FORM,
            path=path,
        )
    image_columns = sorted((c for c in columns if IMAGE_COLUMN.fullmatch(c)), key=natural_order)
    for row in rows:
        values = {(k or "").strip(): v.strip(PADDING) for k, v in row.items() if isinstance(v, str)}
        empty = [c for c in ("case_id", "label") if not values.get(c)]
        if empty:
            raise InputError(
                f"line {rows.line_num} has no {' and '.join(empty)}.",
                remedy=MANIFEST_FORM,
                path=path,
            )
        images = tuple(path.parent / values[c] for c in image_columns if values.get(c))
        name = values.get("rater") or rater
        yield Finding(values["case_id"], path.parent / values["label"], name, images)
