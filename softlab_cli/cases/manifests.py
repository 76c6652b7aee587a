"""Cases that a file lists: MONAI datalists (JSON) and manifests (CSV)."""

from __future__ import annotations

import csv
import os
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from softlab_cli.cases.case import Finding
from softlab_cli.cases.kinds import Tell, ignore
from softlab_cli.core.caseid import natural_order, strip_suffix
from softlab_cli.core.errors import InputError
from softlab_cli.core.folders import some_of
from softlab_cli.core.jsonfile import load_json

__all__ = ["TABLE_SUFFIXES", "read_datalist", "read_manifest"]

TABLE_SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",;\t"
PADDING = " \t"
"""Left out around a value; a line break or another space is part of a name, for better or worse."""
COMMENT = "#"
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""What Excel takes for the delimiter, in the first line."""
LINE = re.compile(r"([^\r\n]*)(\r\n|\r|\n|)(.*)", re.DOTALL)
"""The first line of a text, its end, and the rest."""
IMAGE_COLUMN = re.compile(r"image(_[0-9]+)?")
COLUMN = re.compile(rf"case_id|label|rater|{IMAGE_COLUMN.pattern}")
"""Columns that count."""


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


def read_manifest(path: Path, rater: str, tell: Tell = ignore) -> list[Finding]:
    """The cases of a CSV file, one label map in each row.

    Parameters
    ----------
    path
        Separated by commas, semicolons or tabs (or as a line ``sep=;`` says), with
        the columns ``case_id`` and ``label``; ``image`` or ``image_0``, ``image_1``,
        ... and ``rater`` may follow, other columns are left out. Paths count from
        its folder, with slashes or backslashes. In UTF-8, UTF-16 or, failing these,
        Windows-1252. Empty rows, and lines that begin with ``#``, are left out.
    rater
        Name for the label maps, where there is no column ``rater``.
    tell
        Is told of comments that are left out, and of an encoding that was guessed.

    Returns
    -------
    list of Finding
        A row that cannot be used has a `Finding.problem` that names its line.

    Raises
    ------
    InputError
        When a column is missing (with the line), or no row can be used.
    """
    text = _decoded(path, tell)
    try:
        findings = list(_rows(text, path, rater, tell))
    except csv.Error as error:
        raise InputError(f"is no table ({error}).", remedy=MANIFEST_FORM, path=path) from error
    if not findings:
        raise InputError("lists no case.", remedy=MANIFEST_FORM, path=path)
    if all(finding.problem for finding in findings) and findings[0].problem:
        raise findings[0].problem
    return findings


def _decoded(path: Path, tell: Tell) -> str:
    raw = path.read_bytes()
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in raw[:2]:
        encodings = ["utf-16-be" if raw[:1] == b"\0" else "utf-16-le"]
    else:
        encodings = ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding == "cp1252":
            tell(f"{path}: is not UTF-8; read as Windows-1252")
        return text
    raise InputError("is text in no known encoding.", remedy="Save it as CSV in UTF-8.", path=path)


@dataclass(frozen=True)
class _Row:
    """The values of one row by column, and its line."""

    line: int
    values: dict[str, str]
    problem: str = ""


def _rows(text: str, path: Path, rater: str, tell: Tell) -> Iterator[Finding]:
    before, delimiter, table = _without_preamble(text)
    lines = csv.reader(StringIO(table, newline=""), delimiter=delimiter, skipinitialspace=True)
    columns = [c.strip().lower() for c in next(lines, [])]
    missing = [c for c in ("case_id", "label") if c not in columns]
    if missing:
        raise InputError(
            f"line {before + 1} has no column {' and '.join(missing)}; it has "
            f"{', '.join(columns) or 'none'}.",
            remedy=MANIFEST_FORM,
            path=path,
        )
    twice = [c for c in dict.fromkeys(columns) if COLUMN.fullmatch(c) and columns.count(c) > 1]
    if twice:
        raise InputError(
            f"line {before + 1} has the column {twice[0]} twice.",
            remedy="Leave one of them out.",
            path=path,
        )
    comments = []
    for cells in lines:
        line = before + lines.line_num
        if not any(cell.strip() for cell in cells):
            continue
        if cells[0].startswith(COMMENT):
            comments.append(line)
            continue
        yield _finding(_row(line, columns, cells), path, rater)
    if comments:
        tell(f"{path}: left out lines that begin with {COMMENT}: {some_of(comments)}")


def _without_preamble(text: str) -> tuple[int, str, str]:
    """Lines before the table, the delimiter, and the table."""
    lines, declared = 0, ""
    while text:
        first, _, rest = LINE.match(text).groups()  # type: ignore[union-attr]  # fits any text
        said = SEPARATOR_LINE.fullmatch(first)
        if not (said or first.startswith(COMMENT) or not first.strip(f" {DELIMITERS}")):
            break
        declared = said[1] if said else declared
        lines, text = lines + 1, rest
    first = LINE.match(text).group(1)  # type: ignore[union-attr]
    return lines, declared or max(DELIMITERS, key=first.count), text


def _row(line: int, columns: Sequence[str], cells: Sequence[str]) -> _Row:
    values = {c: cell.strip(PADDING) for c, cell in zip(columns, cells, strict=False)}
    empty = [c for c in ("case_id", "label") if not values.get(c)]
    if empty:
        return _Row(line, values, f"line {line} has no {' and '.join(empty)}.")
    if any(cell.strip() for cell in cells[len(columns) :]):
        return _Row(
            line, values, f"line {line} has {len(cells)} values for {len(columns)} columns."
        )
    return _Row(line, values)


def _finding(row: _Row, path: Path, rater: str) -> Finding:
    case_id = row.values.get("case_id") or f"line {row.line}"
    name = row.values.get("rater") or rater
    if row.problem:
        problem = InputError(row.problem, remedy=MANIFEST_FORM, path=path)
        return Finding(case_id, path, name, problem=problem)
    columns = sorted((c for c in row.values if IMAGE_COLUMN.fullmatch(c)), key=natural_order)
    images = tuple(_beside(path, row.values[c]) for c in columns if row.values[c])
    return Finding(case_id, _beside(path, row.values["label"]), name, images)


def _beside(path: Path, text: str) -> Path:
    """A path of the table; Windows writes it with backslashes."""
    file = path.parent / text
    if "\\" in text and not os.path.exists(file):
        return path.parent / text.replace("\\", "/")
    return file
